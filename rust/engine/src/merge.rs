//! Merging two tables into one, each key keeping its bucket and, where that is free, its slot.
//!
//! Two tables of local depth d whose places in the directory differ in bit d - 1 alone merge when
//! both together hold few keys. One of them, the target, absorbs the other one, the source, and
//! serves the keys of both, at depth d - 1. The intent, in order:
//! 1. the target gets the source's keys (`absorb`, the first entry);
//! 2. the directory leads both halves to the target: first the entry without bit d - 1, then the
//!    one with it is taken away;
//! 3. the page of the source is vacated, and the root counts the move.
//!
//! Readers: until 2, nobody looks for a key of the source in the target, and for its own keys it
//! changes as by puts: they keep their slots, and each bucket's version rises with its tags. From
//! its first store on, the directory leads either half to a table that holds all of its keys. After
//! 3, nobody believes what he saw in the source, or where the old directory led him.
//!
//! A death: `absorb` can be made any number of times. It gives the keys of the source slots in the
//! order in which they lie there, passes over those that the target has already, by their
//! reference, and stores bucket by bucket what differs. A key chooses the first of some slots that
//! the target's own keys and those before it have left; what was stored before a death are such
//! choices, and takes no slot that an earlier key chose. So it chooses the same again, and the
//! source does not change before it is over. Overflow counts are computed anew from all slots.
//!
//! The cost is two pages, and no record. Where the merge goes back to an earlier group of cached
//! hash bits (`slot_word`), these are the last ones that all keys of a half share, so that its
//! place in the directory says them. It needs no memory, so it works in a full map.
//!
//! When: a table splits when it holds 80 to 90 % of its slots, and two merge when they hold half as
//! many as one has, and no three neighbouring buckets are nearly full. Between a split and a merge,
//! or a merge and a split, a third of the keys must come or go; where somebody had them collide,
//! some. While all tables together hold so few keys that about every pair would merge, each put and
//! delete looks at one pair, by turns. A whole turn in vain is a pause, until a sixteenth of the
//! keys is gone.

use crate::check;
use crate::directory::{self, Entry};
use crate::group::SLOTS;
use crate::growth::Memory;
use crate::hash::DIRECTORY_BITS;
use crate::index_pages::{self, table};
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::run;
use crate::split;
use crate::table::{BUCKETS, Head, REACH, TAG_MASK, Table, bucket_at};
use shf_base::atomic::Ordering::Release;
use shf_base::error::OpError;

/// Two tables merge when they hold no more keys than this: half of the slots of one.
const KEYS_MAX: u32 = (BUCKETS * SLOTS) as u32 / 2;
/// The index is sparse when there are fewer keys for each table.
const SPARSE_KEYS: u64 = KEYS_MAX as u64 / 2;
/// Slots that are still free in any three neighbouring buckets of two tables that merge: else the
/// next keys there could split them again.
const FREE_MIN: u32 = 6;
/// Places of the directory that one look passes, at most.
const LOOK_PLACES: u32 = 64;
/// A pause ends when this fraction of the keys is gone.
const PAUSE_FRACTION: u64 = 16;
const PAGE_BITS: u32 = 22;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;
const DEPTH_MASK: u32 = 31;
/// The bit of an intent's entry that says that the source is the lower half.
const SWAPPED: u64 = 1 << 49;

/// Makes the index smaller, a bounded step, if there is anything to do. The caller holds the lock
/// and nothing is pending.
#[inline(always)]
pub fn step(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let (keys, (_, top)) = (place.keys(), unpair(place.load(Field::Tops)));
    // A table and a page of the directory are the least there is.
    if top > 2 && keys < SPARSE_KEYS * (u64::from(top) - 1) {
        work(memory, keys)?;
    }
    index_pages::give_back(memory);
    Ok(())
}

#[cold]
fn work(memory: Memory<'_>, keys: u64) -> Result<(), OpError> {
    let place = memory.place;
    if index_pages::has_gap(place) {
        return index_pages::fill_gap(memory);
    }
    let tables = place.load(Field::Tables);
    if tables < 2 || keys / SPARSE_KEYS >= tables || is_paused(place, keys) {
        return Ok(());
    }
    let Some((low, high)) = next_pair(place, keys)? else { return Ok(()) };
    if merge(place, low, high)? {
        check::after_split(place);
        index_pages::fill_gap(memory)?;
        check::after_split(place);
    }
    Ok(())
}

/// Whether a search of the whole directory was in vain, and little has changed since.
fn is_paused(place: Place<'_>, keys: u64) -> bool {
    let pause = place.load(Field::Pause);
    if pause == 0 {
        return false;
    }
    if keys >= pause - (pause / PAUSE_FRACTION).max(1) {
        return true;
    }
    place.store(Field::Pause, 0);
    false
}

/// The next two tables that could merge by their depth, if there are any among the next places.
fn next_pair<'m>(place: Place<'m>, keys: u64) -> Result<Option<(Entry<'m>, Entry<'m>)>, OpError> {
    let places = 1u32 << directory::depth(&place)?;
    let (turn, mut passed) = unpair(place.load(Field::Turn));
    let mut turn = if turn < places { turn } else { 0 };
    let mut found = None;
    for _ in 0..LOOK_PLACES.min(places) {
        let index = turn;
        turn = if turn + 1 < places { turn + 1 } else { 0 };
        passed = passed.saturating_add(1);
        found = buddies(place, index)?;
        if found.is_some() {
            break;
        }
    }
    if passed > places {
        place.store(Field::Pause, keys.saturating_add(1));
        passed = 0;
    }
    place.store(Field::Turn, pair(turn, passed));
    Ok(found)
}

/// The table at a place of the directory, and the one it was split from or that was split from it
/// last, if the place is that of the lower half.
fn buddies<'m>(place: Place<'m>, index: u32) -> Result<Option<(Entry<'m>, Entry<'m>)>, OpError> {
    let Some(low) = directory::entry(&place, index)? else { return Ok(None) };
    if low.depth == 0 || low.depth > DIRECTORY_BITS || index >> (low.depth - 1) != 0 {
        return Ok(None);
    }
    let high = directory::entry(&place, index | 1 << (low.depth - 1))?;
    let high = high.filter(|high| high.depth == low.depth && high.table.page != low.table.page);
    Ok(high.map(|high| (low, high)))
}

/// Merges two tables if they hold few keys, and each of these finds a slot. There MUST be no gap.
fn merge<'m>(place: Place<'m>, low: Entry<'m>, high: Entry<'m>) -> Result<bool, OpError> {
    for bucket in 0..BUCKETS {
        place.region().prefetch(low.table.low_offset(bucket));
        place.region().prefetch(high.table.low_offset(bucket));
    }
    let (low_keys, high_keys) = (keys_of(low.table), keys_of(high.table));
    if low_keys + high_keys > KEYS_MAX {
        return Ok(false);
    }
    // The last page is best vacated: then there is no gap. Else what moves fewer keys.
    let mut intent = Intent::begin(place);
    let last = run::tops(&intent, place).1.wrapping_sub(1);
    let swap = low.table.page == last || (high.table.page != last && low_keys < high_keys);
    let (target, source) = match swap {
        true => (high.table, low.table),
        false => (low.table, high.table),
    };
    let mut plan = Plan::of(target);
    if !plan.add_all(place, source) || !plan.has_room() {
        return Ok(false);
    }
    let depth = low.depth - 1;
    plan.repack(place, depth, low.index, swap);
    let pages = u64::from(target.page) | u64::from(source.page) << PAGE_BITS;
    let swapped = if swap { SWAPPED } else { 0 };
    intent.absorb(pages | u64::from(depth) << (2 * PAGE_BITS) | swapped, low.index);
    directory::enter(&mut intent, place, low.index, target.page, depth, &mut |_| {
        Err(place.corrupt(place.level_offset(0), "directory that lost a page"))
    })?;
    directory::leave(&mut intent, place, high.index)?;
    index_pages::vacate(&mut intent, place, source.page);
    directory::moved(&mut intent, 0);
    intent.set_field(Field::Tables, intent.field(Field::Tables).saturating_sub(1));
    let (turn, _) = unpair(place.load(Field::Turn));
    intent.set_field(Field::Turn, pair(turn, 0));
    intent.commit_absorbed(|| plan.store(place, target))?;
    Ok(true)
}

fn keys_of(table: Table<'_>) -> u32 {
    (0..BUCKETS).map(|bucket| table.head(bucket).occupied().0.count_ones()).sum()
}

/// For repair: has one table absorb the keys of another: target and source page, the depth that the
/// target will have, and whether the source is the lower half; and that half's place in the
/// directory.
pub fn absorb(place: Place<'_>, pages: u64, index: u64) -> Result<(), OpError> {
    let target = table(place, (pages & PAGE_MASK) as u32)?;
    let source = table(place, (pages >> PAGE_BITS & PAGE_MASK) as u32)?;
    let depth = (pages >> (2 * PAGE_BITS)) as u32 & DEPTH_MASK;
    let damaged = |what| Err(place.corrupt(place.field_offset(Field::Pending), what));
    if depth >= DIRECTORY_BITS || source.page == target.page || index >> depth != 0 {
        return damaged("merge of tables that cannot be");
    }
    let mut plan = Plan::of(target);
    if !plan.add_all(place, source) {
        return damaged("merge of too many keys");
    }
    plan.repack(place, depth, index as u32, pages & SWAPPED != 0);
    plan.store(place, target);
    Ok(())
}

/// What a table will hold.
struct Plan {
    heads: [Head; BUCKETS],
    /// Slots of each bucket whose keys are added, or were before.
    added: [u16; BUCKETS],
    slots: [[u32; SLOTS]; BUCKETS],
}

impl Plan {
    /// What it holds now.
    fn of(table: Table<'_>) -> Plan {
        let heads: [Head; BUCKETS] = std::array::from_fn(|bucket| table.head(bucket));
        let mut slots = [[0; SLOTS]; BUCKETS];
        for (bucket, slots) in slots.iter_mut().enumerate() {
            for slot in heads[bucket].occupied() {
                slots[slot] = table.slot(bucket, slot);
            }
        }
        Plan { heads, added: [0; BUCKETS], slots }
    }

    /// Adds all keys of another table; false: one of them finds no slot.
    fn add_all(&mut self, place: Place<'_>, source: Table<'_>) -> bool {
        (0..BUCKETS).all(|bucket| {
            let head = source.head(bucket);
            head.occupied().all(|slot| {
                let word = source.slot(bucket, slot);
                self.add(place, (bucket, slot), head.marked_tag(slot), word)
            })
        })
    }

    /// Adds a key that has a slot in the other table: to the same one, or else to the first that is
    /// free in its home bucket or the ones after it.
    fn add(
        &mut self,
        place: Place<'_>,
        (bucket, slot): (usize, usize),
        tag: u8,
        word: u32,
    ) -> bool {
        let format = place.slot_format();
        let home = bucket_at(bucket + BUCKETS, BUCKETS - format.distance(word));
        let buckets = || (0..REACH).map(|distance| (distance, bucket_at(home, distance)));
        let there = |(_, bucket): (usize, usize)| {
            let is_it = |slot: &usize| {
                format.reference(self.slots[bucket][*slot]) == format.reference(word)
            };
            self.heads[bucket].matching(tag & TAG_MASK).find(is_it).map(|slot| (bucket, slot))
        };
        if let Some((bucket, slot)) = buckets().find_map(there) {
            self.added[bucket] |= 1 << slot;
            return true;
        }
        let same = self.heads[bucket].tag(slot) == 0 && format.distance(word) < REACH;
        let free = |(distance, bucket): (usize, usize)| {
            self.heads[bucket].empty().first().map(|slot| (distance, bucket, slot))
        };
        let chosen = match same {
            true => Some((format.distance(word), bucket, slot)),
            false => buckets().find_map(free),
        };
        let Some((distance, bucket, slot)) = chosen else { return false };
        self.added[bucket] |= 1 << slot;
        self.heads[bucket] = self.heads[bucket].with_tag(slot, tag);
        self.slots[bucket][slot] = format.with_distance(word, distance);
        true
    }

    /// Whether keys of each bucket still find slots.
    fn has_room(&self) -> bool {
        let free = |bucket: usize| self.heads[bucket].empty().0.count_ones();
        (0..BUCKETS).all(|home| {
            let near = (0..REACH).map(|distance| free(bucket_at(home, distance)));
            near.sum::<u32>() >= FREE_MIN
        })
    }

    /// Packs all slots for the depth that the table will have, if they have to be, by the directory
    /// bits of the two halves: `swapped` says that the keys that are added are those of the lower
    /// one, whose place in the directory is `index`.
    fn repack(&mut self, place: Place<'_>, depth: u32, index: u32, swapped: bool) {
        let format = place.slot_format();
        if format.keeps_cache(depth) {
            return;
        }
        let (low, high) = (index, index | 1 << depth);
        let (own, added) = if swapped { (high, low) } else { (low, high) };
        for (bucket, slots) in self.slots.iter_mut().enumerate() {
            for slot in self.heads[bucket].occupied() {
                let bits = if self.added[bucket] >> slot & 1 == 0 { own } else { added };
                slots[slot] = format.with_cached(slots[slot], bits, depth);
            }
        }
    }

    /// Overflow counts of all buckets.
    fn overflow(&self, place: Place<'_>) -> [u8; BUCKETS] {
        let mut overflow = [0; BUCKETS];
        for (bucket, (head, slots)) in self.heads.iter().zip(&self.slots).enumerate() {
            let word = |slot: usize| slots[slot];
            split::count_overflow(place, (bucket, head.occupied()), word, &mut overflow);
        }
        overflow
    }

    /// Stores what differs, each bucket's slots before its head.
    fn store(&self, place: Place<'_>, table: Table<'_>) {
        let overflow = self.overflow(place);
        for (bucket, (head, slots)) in self.heads.iter().zip(&self.slots).enumerate() {
            let mut changed = false;
            for slot in head.occupied() {
                if table.slot(bucket, slot) != slots[slot] {
                    table.half(bucket, slot).store(slots[slot], Release);
                    changed = true;
                }
            }
            let head = head.with_overflow(overflow[bucket].into());
            if changed || head != table.head(bucket) {
                table.store_head(bucket, head.bumped());
            }
        }
    }
}
