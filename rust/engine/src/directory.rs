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
//! So a split stores one new entry (and the table's own new depth), deepening stores the root.

use crate::hash::DIRECTORY_BITS;
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::table::Table;
use shf_base::atomic::Ordering::Acquire;
use shf_base::error::OpError;
use shf_base::format::{ROOT_CRASHED, ROOT_REBUILDING};

const ENTRIES: u32 = 1024;
/// The bits of the root that are not the depth.
const CLOSED: u64 = ROOT_REBUILDING | ROOT_CRASHED;
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
    let root = place.load(Field::Root);
    if root <= DIRECTORY_BITS.into() { Ok(root as u32) } else { unusual_depth(place, root) }
}

#[cold]
fn unusual_depth(place: &Place<'_>, root: u64) -> Result<u32, OpError> {
    let depth = root & !CLOSED;
    if depth > DIRECTORY_BITS.into() {
        return Err(place.corrupt(place.field_offset(Field::Root), "directory too deep"));
    }
    if place.is_for_rebuild() { Ok(depth as u32) } else { Err(OpError::Busy) }
}

/// Will have lookups start with at least `depth` bits.
pub fn deepen(intent: &mut Intent<'_>, depth: u32) {
    let root = intent.field(Field::Root);
    if root & !CLOSED < depth.into() {
        intent.set_field(Field::Root, root & CLOSED | u64::from(depth));
    }
}

/// The table for some directory bits; `None` while the shard has no table.
#[inline(always)]
pub fn find<'m>(place: &Place<'m>, bits: u32) -> Result<Option<Entry<'m>>, OpError> {
    let mut index = bits & ((1 << depth(place)?) - 1);
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
    intent.set_half(offset, (table_page + 1) | (table_depth << PAGE_BITS));
    Ok(())
}
