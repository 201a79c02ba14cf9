//! Looking ahead: the memory that operations on several keys will touch is fetched all at once,
//! where one after the other would wait for each line.
//!
//! Stage by stage, each for all keys of a group before the next: the home buckets, then the records
//! that the tags there point at, and the next bucket where keys passed. (Directories are small and
//! stay in the caches.) Only a hint: it stores nothing, validates nothing and answers nothing, so
//! that what it saw may be wrong by the time of the operation, or damaged; the operation itself is
//! the ordinary one. What it reads on its way is checked against the mapping and the committed
//! limits like everything else.

use crate::directory::{self, Entry};
use crate::hash::Hash;
use crate::place::Place;
use crate::record::Record;
use crate::table::bucket_at;

/// Keys that are fetched together, as measured (docs/decisions/0013-batches.md).
pub const GROUP: usize = 16;

/// A key of a group.
#[derive(Clone, Copy)]
pub struct Ahead<'k> {
    /// The key itself.
    pub key: &'k [u8],
    /// Its hash under the map's secret.
    pub hash: Hash,
}

impl Ahead<'_> {
    /// No key.
    pub const NONE: Ahead<'static> = Ahead { key: &[], hash: Hash(0) };
}

/// Starts to fetch what gets and puts of at most `GROUP` keys will look at. `place` gives the place
/// of a hash's shard.
#[inline(always)]
pub fn fetch<'m>(group: &[Ahead<'_>], place: impl Fn(Hash) -> Place<'m>) {
    let mut entries: [Option<Entry<'m>>; GROUP] = [None; GROUP];
    for (ahead, entry) in group.iter().zip(&mut entries) {
        let place = place(ahead.hash);
        *entry = directory::find(&place, ahead.hash.directory()).ok().flatten();
        if let Some(Entry { table, .. }) = entry {
            place.region().prefetch(table.low_offset(ahead.hash.bucket()));
        }
    }
    for (ahead, entry) in group.iter().zip(entries) {
        let Some(Entry { table, .. }) = entry else { continue };
        let (place, bucket) = (place(ahead.hash), ahead.hash.bucket());
        let head = table.head(bucket);
        if head.overflow() > 0 {
            place.region().prefetch(table.low_offset(bucket_at(bucket, 1)));
        }
        for slot in head.matching(ahead.hash.tag()) {
            let word = table.slot(bucket, slot);
            Record::prefetch(&place, place.slot_format().reference(word));
        }
    }
}
