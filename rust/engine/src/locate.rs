//! Finding a key's slot, or the slot that it would get, under the shard's lock.

use crate::directory::{self, Entry};
use crate::element::ElementKey;
use crate::group::SLOTS;
use crate::hash::Hash;
use crate::place::Place;
use crate::record::Record;
use crate::stamp::Stamp;
use crate::table::{Head, REACH, bucket_at};
use crate::uid::Uid;
use shf_base::error::OpError;

/// A slot of a table.
#[derive(Clone, Copy)]
pub struct Position<'m> {
    /// The table.
    pub entry: Entry<'m>,
    /// The bucket.
    pub bucket: usize,
    /// The slot in it.
    pub slot: usize,
    /// Buckets after the home bucket.
    pub distance: usize,
    /// The bucket's head when it was looked at.
    pub head: Head,
}

/// What a search under the lock found.
pub enum Located<'m> {
    /// The key's slot, what it holds, and the record.
    Found(Position<'m>, u32, Record<'m>),
    /// The key is not there; this slot is free for it.
    Free(Position<'m>),
    /// The key is not there, and no slot is free for it: its buckets are full, or there is no
    /// table.
    Full,
}

impl<'m> Located<'m> {
    /// The key's record, if it is there.
    pub fn record(&self) -> Option<Record<'m>> {
        match self {
            Located::Found(_, _, record) => Some(*record),
            _ => None,
        }
    }
}

/// Looks for a key. The caller holds the lock.
#[inline(always)]
pub fn key<'m>(place: Place<'m>, hash: Hash, key: &[u8]) -> Result<Located<'m>, OpError> {
    search(place, hash, KeyBeside { key, beside: |_: &Record<'m>| {} })
}

/// As `key`, of the key that `is_it` knows by its record.
pub fn record<'m>(
    place: Place<'m>,
    hash: Hash,
    is_it: impl Fn(&Record<'_>) -> bool,
) -> Result<Located<'m>, OpError> {
    search(place, hash, |_, record: &Record<'m>| is_it(record))
}

/// As `key`, and calls `beside` for each other key whose record has to be looked at.
#[inline(always)]
pub fn key_beside<'m>(
    place: Place<'m>,
    hash: Hash,
    key: &[u8],
    beside: impl Fn(&Record<'m>),
) -> Result<Located<'m>, OpError> {
    search(place, hash, KeyBeside { key, beside })
}

/// Looks for an element of a list. The caller holds the lock.
pub fn element<'m>(place: Place<'m>, hash: Hash, key: ElementKey) -> Result<Located<'m>, OpError> {
    search(place, hash, |_, record: &Record<'m>| record.is_element_of(key))
}

/// Looks for the key of a record. The caller holds the lock.
pub fn key_of<'m>(
    place: Place<'m>,
    hash: Hash,
    record: Record<'m>,
) -> Result<Located<'m>, OpError> {
    search(place, hash, |_, other: &Record<'m>| other.has_key_of(record))
}

/// Looks for the key that a UID names. The caller holds the lock.
pub fn uid<'m>(place: Place<'m>, uid: Uid) -> Result<Located<'m>, OpError> {
    search(place, uid.hash(), |_, record: &Record<'m>| uid.names(record, &place))
}

/// The stamp for a key that is born: `born`, or a later one where a key that is there has that UID.
/// The caller holds the lock.
#[cold]
pub fn free_stamp(place: Place<'_>, hash: Hash, born: Stamp) -> Result<Stamp, OpError> {
    let mut stamp = born;
    // No more keys than there are slots can be in the way.
    for _ in 0..REACH * SLOTS {
        if uid(place, place.uid(hash, stamp))?.record().is_none() {
            break;
        }
        stamp = Stamp::born(stamp.generation() + 1);
    }
    Ok(stamp)
}

/// Looks for the slot that refers to a record. The caller holds the lock.
pub fn reference<'m>(
    place: Place<'m>,
    hash: Hash,
    reference: u32,
) -> Result<Option<(Position<'m>, u32)>, OpError> {
    match search(place, hash, |found, _: &Record<'m>| found == reference)? {
        Located::Found(position, word, _) => Ok(Some((position, word))),
        _ => Ok(None),
    }
}

/// What knows a record, by itself or by its reference. For the most frequent searches this is no
/// function: of those the compiler decides whether they are inlined.
trait IsIt<'m> {
    fn is_it(&self, reference: u32, record: &Record<'m>) -> bool;
}

impl<'m, F: Fn(u32, &Record<'m>) -> bool> IsIt<'m> for F {
    #[inline(always)]
    fn is_it(&self, reference: u32, record: &Record<'m>) -> bool {
        self(reference, record)
    }
}

/// Knows the record of a key, and has `beside` look at those before it.
struct KeyBeside<'k, F> {
    key: &'k [u8],
    beside: F,
}

impl<'m, F: Fn(&Record<'m>)> IsIt<'m> for KeyBeside<'_, F> {
    #[inline(always)]
    fn is_it(&self, _: u32, record: &Record<'m>) -> bool {
        let found = record.key_is(self.key);
        if !found {
            (self.beside)(record);
        }
        found
    }
}

#[inline(always)]
fn search<'m>(place: Place<'m>, hash: Hash, is_it: impl IsIt<'m>) -> Result<Located<'m>, OpError> {
    let Some(entry) = directory::find(&place, hash.directory())? else {
        return Ok(Located::Full);
    };
    let format = place.slot_format();
    let mut free = None;
    let mut passed = true;
    for distance in 0..REACH {
        let bucket = bucket_at(hash.bucket(), distance);
        let head = entry.table.head(bucket);
        if passed {
            for slot in head.matching(hash.tag()) {
                let word = entry.table.slot(bucket, slot);
                if format.distance(word) != distance {
                    continue;
                }
                let reference = format.reference(word);
                // Whoever holds the lock is about to give the record's memory back.
                if let Some(page) = place.unit_page(reference) {
                    place.region().prefetch(place.descriptor_offset(page));
                }
                let Some(record) = Record::at(&place, reference) else {
                    let at = entry.table.slot_offset(bucket, slot);
                    return Err(place.corrupt(at, "slot without a record"));
                };
                if is_it.is_it(reference, &record) {
                    let position = Position { entry, bucket, slot, distance, head };
                    return Ok(Located::Found(position, word, record));
                }
            }
            passed = head.overflow() != 0;
        }
        if free.is_none() {
            free =
                head.empty().first().map(|slot| Position { entry, bucket, slot, distance, head });
        }
        if !passed && free.is_some() {
            break;
        }
    }
    Ok(free.map_or(Located::Full, Located::Free))
}
