//! Splitting a table in two, each key keeping its bucket and slot.
//!
//! A table of local depth d gives the keys whose directory bit d is 1 to a new table, at the same
//! bucket and slot. Order:
//! 1. the new page is filled while nobody refers to it, its overflow counts with it;
//! 2. the intent commits: directory entries, root, counters;
//! 3. the old table loses the slots that the new one holds, its counts are lowered, its versions
//!    raised (`finish`, the last entry of the intent).
//!
//! A reader that walked the old directory finds a moved key in its old slot until step 3; what it
//! sees after, it does not believe, because the root counts a move by then (`directory`). `finish`
//! can be made any number of times: which slots moved is what the new table holds, and that does
//! not change before it is over.
//!
//! The cost is two pages and no record, except where a table enters a new group of cached hash
//! bits (`slot_word`), which reads the records of both tables once: of each its key if that is
//! short, or else the hash that it keeps (`record`).

use crate::directory::{self, Entry};
use crate::group::SlotSet;
use crate::growth::Memory;
use crate::hash::{DIRECTORY_BITS, Hash};
use crate::index_pages::{self, table};
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::table::{BUCKETS, Head, Table, bucket_at};
use shf_base::atomic::Ordering::Release;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;

const PAGE_BITS: u32 = 22;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;

/// Gives a shard without tables its first one.
#[cold]
pub fn first_table(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let mut intent = Intent::begin(place);
    let table = new_table(&mut intent, memory)?;
    directory::enter(&mut intent, place, 0, table.page, 0, &mut |intent| {
        new_directory_page(intent, memory)
    })?;
    intent.set_field(Field::Tables, intent.field(Field::Tables).wrapping_add(1));
    intent.commit()
}

/// Splits a table. The caller holds the lock.
#[cold]
pub fn split<'m>(memory: Memory<'m>, entry: Entry<'m>) -> Result<(), OpError> {
    let place = memory.place;
    if entry.depth >= DIRECTORY_BITS {
        return Err(OpError::HashCollisions { shard: place.shard() });
    }
    if entry.index >> entry.depth != 0 {
        // Its sibling would be entered at its own place, and one of the two lost.
        return Err(place.corrupt(entry.table.low_offset(0), "table at an index beyond its depth"));
    }
    let mut intent = Intent::begin(place);
    let new = new_table(&mut intent, memory)?;
    fill(place, entry, new);
    let depth = entry.depth + 1;
    let mut page = |intent: &mut Intent<'m>| new_directory_page(intent, memory);
    let sibling = entry.index | 1 << entry.depth;
    directory::enter(&mut intent, place, sibling, new.page, depth, &mut page)?;
    directory::enter(&mut intent, place, entry.index, entry.table.page, depth, &mut page)?;
    directory::moved(&mut intent, depth);
    intent.set_field(Field::Tables, intent.field(Field::Tables).wrapping_add(1));
    intent.set_field(Field::Splits, intent.field(Field::Splits).wrapping_add(1));
    let pages = u64::from(entry.table.page) | u64::from(new.page) << PAGE_BITS;
    intent.finish_split(pages | u64::from(entry.depth) << (2 * PAGE_BITS));
    intent.commit()
}

/// Takes out of the old table what the new one holds.
pub fn finish(place: Place<'_>, pages: u64) -> Result<(), OpError> {
    let old = table(place, (pages & PAGE_MASK) as u32)?;
    let new = table(place, (pages >> PAGE_BITS & PAGE_MASK) as u32)?;
    let depth = (pages >> (2 * PAGE_BITS)) as u32;
    if depth >= DIRECTORY_BITS {
        return Err(place.corrupt(place.field_offset(Field::Pending), "split of too deep a table"));
    }
    let stays = |bucket: usize| {
        let moved = new.head(bucket).occupied().0;
        old.head(bucket).occupied().0 & !moved
    };
    let mut overflow = [0u8; BUCKETS];
    for bucket in 0..BUCKETS {
        let word = |slot| old.slot(bucket, slot);
        count_overflow(place, (bucket, SlotSet(stays(bucket))), word, &mut overflow);
    }
    let keeps_cache = place.slot_format().keeps_cache(depth);
    let mut hashing = Hashing::new(place);
    for (bucket, overflow) in overflow.into_iter().enumerate() {
        let kept = stays(bucket);
        let mut head = old.head(bucket);
        for slot in head.occupied() {
            if kept >> slot & 1 == 0 {
                head = head.with_tag(slot, 0);
            } else if !keeps_cache {
                let word = hashing.repack(old.slot(bucket, slot), depth + 1);
                old.half(bucket, slot).store(word, Release);
            }
        }
        old.store_head(bucket, head.with_overflow(overflow.into()).bumped());
    }
    Ok(())
}

/// Fills a page that nobody refers to with the keys that leave `entry`.
fn fill(place: Place<'_>, entry: Entry<'_>, new: Table<'_>) {
    let format = place.slot_format();
    let (keeps_cache, cached) = (format.keeps_cache(entry.depth), format.cached(entry.depth));
    if !keeps_cache || cached.is_none() {
        prefetch_records(place, entry.table);
    }
    let mut hashing = Hashing::new(place);
    let mut heads = [Head { low: 0, high: 0 }; BUCKETS];
    for (bucket, new_head) in heads.iter_mut().enumerate() {
        let old_head = entry.table.head(bucket);
        *new_head = new.head(bucket).emptied();
        for slot in old_head.occupied() {
            let word = entry.table.slot(bucket, slot);
            let moves = match cached {
                Some(mask) => word & mask != 0,
                None => hashing.moves(word, entry.depth),
            };
            if !moves {
                continue;
            }
            let word = if keeps_cache { word } else { hashing.repack(word, entry.depth + 1) };
            new.half(bucket, slot).store(word, Release);
            *new_head = new_head.with_tag(slot, old_head.marked_tag(slot));
        }
    }
    let mut overflow = [0u8; BUCKETS];
    for (bucket, head) in heads.iter().enumerate() {
        let word = |slot| new.slot(bucket, slot);
        count_overflow(place, (bucket, head.occupied()), word, &mut overflow);
    }
    for (bucket, (head, overflow)) in heads.iter().zip(overflow).enumerate() {
        new.store_head(bucket, head.with_overflow(overflow.into()).bumped());
    }
}

/// Starts to fetch the records of a table whose keys are about to be hashed, all at once: one after
/// the other, each would wait for the memory.
pub fn prefetch_records(place: Place<'_>, table: Table<'_>) {
    for bucket in 0..BUCKETS {
        for slot in table.head(bucket).occupied() {
            let reference = place.slot_format().reference(table.slot(bucket, slot));
            place.region().prefetch(place.unit_offset(reference));
        }
    }
}

/// Adds the keys in some slots of a bucket, which hold these words, to the counts of the buckets
/// that they passed.
pub fn count_overflow(
    place: Place<'_>,
    (bucket, slots): (usize, SlotSet),
    word: impl Fn(usize) -> u32,
    overflow: &mut [u8; BUCKETS],
) {
    for slot in slots {
        let distance = place.slot_format().distance(word(slot));
        for before in 1..=distance {
            let passed = bucket_at(bucket + BUCKETS, BUCKETS - before);
            overflow[passed] = overflow[passed].saturating_add(1);
        }
    }
}

/// Hashes keys of a table, of no more bytes than its shard has: all slots of a damaged one may
/// lead to the same huge record.
struct Hashing<'m> {
    place: Place<'m>,
    bytes_left: u64,
}

impl<'m> Hashing<'m> {
    /// For one pass over a table; each key may be hashed twice in it.
    fn new(place: Place<'m>) -> Hashing<'m> {
        Hashing { place, bytes_left: 2 * place.records_bytes_max() }
    }

    /// Whether the key of a slot has directory bit `depth` set.
    fn moves(&mut self, word: u32, depth: u32) -> bool {
        self.hash_of(word).is_some_and(|hash| (hash.directory() >> depth) & 1 == 1)
    }

    /// The slot with the cached bits of another depth; as it is where its record makes no sense.
    fn repack(&mut self, word: u32, depth: u32) -> u32 {
        let format = self.place.slot_format();
        match self.hash_of(word) {
            Some(hash) => format.pack(format.reference(word), format.distance(word), hash, depth),
            None => word,
        }
    }

    fn hash_of(&mut self, word: u32) -> Option<Hash> {
        let record = Record::at(&self.place, self.place.slot_format().reference(word))?;
        self.bytes_left = self.bytes_left.checked_sub(record.shape.key_len)?;
        Some(record.hash(self.place.secret()))
    }
}

/// Takes an index page and empties it as a table, keeping its versions.
fn new_table<'m>(intent: &mut Intent<'m>, memory: Memory<'m>) -> Result<Table<'m>, OpError> {
    let page = index_pages::take(intent, memory)?;
    let table = table(memory.place, page)?;
    for bucket in 0..BUCKETS {
        table.store_head(bucket, table.head(bucket).emptied().bumped());
    }
    Ok(table)
}

/// Takes an index page and clears it as a page of directory entries.
fn new_directory_page<'m>(intent: &mut Intent<'m>, memory: Memory<'m>) -> Result<u32, OpError> {
    let page = index_pages::take(intent, memory)?;
    let place = memory.place;
    let Some(bytes) = place.index(page) else {
        return Err(place.corrupt(place.field_offset(Field::Limits), "index page beyond the limit"));
    };
    for entry in 0..PAGE_BYTES as usize / 4 {
        bytes.half(entry).store(0, Release);
    }
    Ok(page)
}
