//! A shard's directory: from hash bits to tables, growing without ever being copied.
//!
//! Two levels: 512 half words in the shard header name index pages of 1024 entries each. An entry
//! holds the index page of a table plus one, and the table's local depth:
//!
//! ```text
//! bit 31          27            0
//!     | depth: 5  | page + 1    |      0: absent
//! ```
//!
//! A table of local depth d has the index p = directory bits 0..d of its keys, and splits into p
//! and p | 1 << d. Entries for longer prefixes are absent: a lookup starts with as many bits as the
//! root says, and while the entry is absent it clears the highest set bit and looks again. The
//! first present one is right: an entry p' with a higher bit b set exists only if the table with
//! the bits below b was split at b, and then no key with those bits is left in it.
//!
//! So a split stores one new entry (and the table's own new depth), deepening stores the root. A
//! merge takes the entry p | 1 << d - 1 away and lowers the depth of p.
//!
//! The root counts the moves:
//!
//! ```text
//! bit 0       8                 61            62        63
//!     | depth | moves of tables | came around | crashed | rebuilding |
//! ```
//!
//! A move is whatever has keys looked for in another page: a split, a merge, a table or a page of
//! entries that is copied to fill a gap. It is counted after the directory leads to the new place,
//! and before the old one changes. So who finds the root after its look as it was before its walk
//! knows that every page was what it took it for, all the time; who finds another one knows
//! nothing, whatever it saw: its page may have become any other one since, or a hole, or memory of
//! records. Nothing else about pages needs to be told from outside of the lock.

use crate::hash::DIRECTORY_BITS;
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::stamp::Stamp;
use crate::table::Table;
use crate::uid;
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::{Page, PagesFromEnd};
use shf_base::crash;
use shf_base::error::OpError;
use shf_base::format::{ROOT_CRASHED, ROOT_REBUILDING};
use std::hint;

const ENTRIES: u32 = 1024;
/// The bits of the root that close it.
const CLOSED: u64 = ROOT_REBUILDING | ROOT_CRASHED;
/// Those that count moves, which no map brings to an end.
const MOVES: u64 = !CLOSED & !DEPTH_MASK & !CAME_AROUND;
/// The bit that says that births have come around (`uid`).
const CAME_AROUND: u64 = 1 << 61;
/// The bits of the root that say the depth, or that there is none.
pub const DEPTH_BITS: u64 = !(MOVES | CAME_AROUND);
/// What quick lookups by UID take for these: where births have come around, they find no depth.
pub const DEPTH_BITS_OF_UIDS: u64 = DEPTH_BITS | CAME_AROUND;
const MOVE: u64 = 1 << 8;
const DEPTH_MASK: u64 = MOVE - 1;
const PAGE_BITS: u32 = 27;
const PAGE_MASK: u32 = (1 << PAGE_BITS) - 1;

/// A table as the directory knows it.
#[derive(Clone, Copy)]
pub struct Entry<'m> {
    /// The table.
    pub table: Table<'m>,
    /// Directory bits that all keys of the table share.
    pub depth: u32,
    /// The table's place in the directory.
    pub index: u32,
}

/// The number of directory bits that lookups start with. `Busy` while the index is being rebuilt,
/// but for who does it.
#[inline(always)]
pub fn depth(place: &Place<'_>) -> Result<u32, OpError> {
    depth_of(place, root(place))
}

/// The root as it is now: to be compared with what it is later.
#[inline(always)]
pub fn root(place: &Place<'_>) -> u64 {
    place.load(Field::Root)
}

/// How many moves a root counts.
pub fn moves(root: u64) -> u64 {
    (root & MOVES) / MOVE
}

#[inline(always)]
fn depth_of(place: &Place<'_>, root: u64) -> Result<u32, OpError> {
    let depth = root & DEPTH_BITS;
    if depth <= DIRECTORY_BITS.into() { Ok(depth as u32) } else { unusual_depth(place, depth) }
}

#[cold]
fn unusual_depth(place: &Place<'_>, unusual: u64) -> Result<u32, OpError> {
    let depth = unusual & !CLOSED;
    if depth > DIRECTORY_BITS.into() {
        return Err(place.corrupt(place.field_offset(Field::Root), "directory too deep"));
    }
    if place.is_for_rebuild() { Ok(depth as u32) } else { Err(OpError::Busy) }
}

/// Will count a move, and have lookups start with at least `depth` bits. MUST be entered into the
/// intent after the entries that lead to the new place, and before what changes the old one.
pub fn moved(intent: &mut Intent<'_>, depth: u32) {
    let root = intent.field(Field::Root);
    let depth = (root & DEPTH_MASK).max(depth.into());
    intent.set_field(Field::Root, root & (CLOSED | CAME_AROUND) | moved_on(root) | depth);
}

/// The root of a directory without entries that counts one more move. How many births there were is
/// not known any more.
pub fn emptied(root: u64) -> u64 {
    moved_on(root) | CAME_AROUND
}

fn moved_on(root: u64) -> u64 {
    root.wrapping_add(MOVE) & MOVES
}

/// The root of a directory that nobody moves tables of.
pub fn at_rest(depth: u32, births_came_around: bool) -> u64 {
    u64::from(depth) | if births_came_around { CAME_AROUND } else { 0 }
}

/// Whether two lives of keys may have the same UID but for the hash.
#[inline(always)]
pub fn births_came_around(place: &Place<'_>) -> bool {
    root(place) & CAME_AROUND != 0
}

/// Will say that births have come around when the key is born whose turn this one is. `stamp` is
/// the one that it gets: those up to it are passed over. That happens only where births have come
/// around.
#[inline(always)]
pub fn count_birth(intent: &mut Intent<'_>, place: Place<'_>, turn: Stamp, stamp: Stamp) {
    let births = uid::births(place.geometry().uid_shard_bits());
    if (turn.generation() + 1) & (births - 1) == 0 {
        intent.set_field(Field::Root, intent.field(Field::Root) | CAME_AROUND);
    }
    if stamp != turn {
        let passed = stamp.births_since(turn);
        intent.change_field(Field::Keys, |keys| keys.wrapping_add(u64::from(passed) << 32));
    }
}

/// Where an entry lies: the entry of the first level for its page, and its place in that page.
pub fn level(index: u32) -> (u32, usize) {
    (index / ENTRIES, (index % ENTRIES) as usize)
}

/// The entry of a table in an index page.
pub fn word(table_page: u32, table_depth: u32) -> u32 {
    (table_page + 1) | table_depth << PAGE_BITS
}

/// The table for some directory bits; `None` while the shard has no table.
#[inline(always)]
pub fn find<'m>(place: &Place<'m>, bits: u32) -> Result<Option<Entry<'m>>, OpError> {
    find_from(place, root(place), bits)
}

/// As `find`, from a root that was loaded before. Without the lock, the answer counts only if the
/// root is still the same afterwards; so does an error.
#[inline(always)]
pub fn find_from<'m>(
    place: &Place<'m>,
    root: u64,
    bits: u32,
) -> Result<Option<Entry<'m>>, OpError> {
    let mut index = bits & ((1 << depth_of(place, root)?) - 1);
    loop {
        if let Some(entry) = entry(place, index)? {
            return Ok(Some(entry));
        }
        if index == 0 {
            return Ok(None);
        }
        index &= !(1 << index.ilog2());
    }
}

/// As `find_from`, of the table for as many bits as the root says or one less, under one load of
/// the limits; no branch depends on which of the two it is, which is as good as random. `None`
/// tells nothing. Where a forged level leads beyond the limits, there may be the shorter entry.
/// `depth_bits`: those of the root that are taken for its depth, `DEPTH_BITS`, those of UIDs, or
/// more.
#[inline(always)]
pub fn find_quickly<'m>(
    place: &Place<'m>,
    root: u64,
    depth_bits: u64,
    bits: u32,
) -> Option<Table<'m>> {
    let depth = root & depth_bits;
    if depth > DIRECTORY_BITS.into() {
        return None;
    }
    // Whole words: half ones in registers would be extended before they say where to load from.
    let (bits, mask) = (u64::from(bits), (1 << depth) - 1);
    let (longer, shorter) = (bits & mask, bits & mask >> 1);
    let pages = place.index_pages();
    let level = |index: u64| place.level(index as u32 / ENTRIES).load(Acquire);
    let (longer, shorter) = if mask < ENTRIES.into() {
        let entries = pages.begins(level(0))?;
        both(Some(entries), longer, Some(entries), shorter)
    } else {
        both_of_two(pages, level(longer), longer, level(shorter), shorter)
    };
    let entry = hint::select_unpredictable(longer != 0, longer, shorter);
    let (bytes, page) = (pages.begins(entry & PAGE_MASK)?, (entry & PAGE_MASK) - 1);
    Some(Table::new(bytes, place.index_page(page), page))
}

/// A longer entry and a shorter one, each from its page of entries; 0: there is none.
#[inline(always)]
fn both(
    of_longer: Option<Page<'_>>,
    longer: u64,
    of_shorter: Option<Page<'_>>,
    shorter: u64,
) -> (u32, u32) {
    let load = |page: Option<Page<'_>>, index: u64| {
        page.map_or(0, |page| page.half(index as usize % ENTRIES as usize).load(Acquire))
    };
    // In this order: a merge may have the shorter entry name the page of both before it takes the
    // longer one away.
    let longer = load(of_longer, longer);
    crash::looking();
    (longer, load(of_shorter, shorter))
}

/// As `both`, from the pages that two levels name. Kept apart, and called with numbers in registers
/// only, so that the caller's stay there as well.
#[inline(never)]
fn both_of_two(
    pages: PagesFromEnd<'_>,
    of_longer: u32,
    longer: u64,
    of_shorter: u32,
    shorter: u64,
) -> (u32, u32) {
    both(pages.begins(of_longer), longer, pages.begins(of_shorter), shorter)
}

/// The table at an index of the directory, if there is one.
#[inline(always)]
pub fn entry<'m>(place: &Place<'m>, index: u32) -> Result<Option<Entry<'m>>, OpError> {
    let Some(page) = place.level(index / ENTRIES).load(Acquire).checked_sub(1) else {
        return Ok(None);
    };
    let Some(bytes) = place.index(page) else { return Err(damaged(place, index)) };
    let value = bytes.half((index % ENTRIES) as usize).load(Acquire);
    let Some(page) = (value & PAGE_MASK).checked_sub(1) else { return Ok(None) };
    let Some(bytes) = place.index(page) else { return Err(damaged(place, index)) };
    let table = Table::new(bytes, place.index_page(page), page);
    Ok(Some(Entry { table, depth: value >> PAGE_BITS, index }))
}

#[cold]
fn damaged(place: &Place<'_>, index: u32) -> OpError {
    place.corrupt(place.level_offset(index / ENTRIES), "directory entry beyond the limit")
}

/// Will enter a table. `new_page` gives an empty index page when a page of entries is missing.
pub fn enter<'m>(
    intent: &mut Intent<'m>,
    place: Place<'m>,
    index: u32,
    table_page: u32,
    table_depth: u32,
    new_page: &mut dyn FnMut(&mut Intent<'m>) -> Result<u32, OpError>,
) -> Result<(), OpError> {
    let page = match place.level(index / ENTRIES).load(Acquire).checked_sub(1) {
        Some(page) if place.index(page).is_some() => page,
        Some(_) => return Err(damaged(&place, index)),
        None => {
            let page = new_page(intent)?;
            intent.set_half(place.level_offset(index / ENTRIES), page + 1);
            page
        }
    };
    let offset = place.index_page(page) + u64::from(index % ENTRIES) * 4;
    intent.set_half(offset, word(table_page, table_depth));
    Ok(())
}

/// Will take away the entry of a table.
pub fn leave<'m>(intent: &mut Intent<'m>, place: Place<'m>, index: u32) -> Result<(), OpError> {
    let page = place.level(index / ENTRIES).load(Acquire).checked_sub(1);
    let page = page.filter(|page| place.index(*page).is_some());
    let page = page.ok_or_else(|| damaged(&place, index))?;
    intent.set_half(place.index_page(page) + u64::from(index % ENTRIES) * 4, 0);
    Ok(())
}

/// The entry of the first level that names a page of entries, if one does.
pub fn level_of(place: Place<'_>, page: u32) -> Result<Option<u32>, OpError> {
    let levels = (1u32 << depth(&place)?).div_ceil(ENTRIES);
    Ok((0..levels).find(|level| place.level(*level).load(Acquire) == page + 1))
}

/// Entries that `owner` looks at, at most: four pages of them.
const SEARCHED: u32 = 4 * ENTRIES;

/// Searches the directory from `from` on for the table in a page. Without one, where the search
/// goes on; it begins anew at the end.
pub fn owner<'m>(
    place: Place<'m>,
    page: u32,
    from: u32,
) -> Result<Result<Entry<'m>, u32>, OpError> {
    let end = 1u32 << depth(&place)?;
    let mut index = if from < end { from } else { 0 };
    let last = index.saturating_add(SEARCHED).min(end);
    while index < last {
        let next = (index / ENTRIES + 1) * ENTRIES;
        let level = place.level(index / ENTRIES).load(Acquire).checked_sub(1);
        if let Some(bytes) = level.and_then(|level| place.index(level)) {
            let is_it = |index: &u32| {
                bytes.half((index % ENTRIES) as usize).load(Acquire) & PAGE_MASK == page + 1
            };
            if let Some(found) = (index..next.min(last)).find(is_it) {
                return Ok(entry(&place, found)?.ok_or(found));
            }
        }
        index = next;
    }
    Ok(Err(if last < end { last } else { 0 }))
}
