//! The index pages of a shard: taken from a dense area, put back into it, given back from its end.
//!
//! ```text
//! window end                     gap                  top                 limit
//!     | table | entries | table | free | table | table | not in use       | hole ...
//!       0                                                 `Kept` and up: rests
//! ```
//!
//! Invariants, whenever no intent is pending:
//! - each page below the top is a table, or a page of directory entries, or the gap
//! - gap = none, or gap + 1 < top: there is one at most, and it is not the last page
//! - top <= limit; while a rest is on, top <= kept
//!
//! A page that is vacated becomes the gap. The next page that is needed comes from there; or the
//! last page is copied into it (`fill_gap`), and the top falls. Its table keeps bucket and slot of
//! each key. Nothing needs to be done about readers that still look at a page which is not what it
//! was: the root tells them (`directory`), also where it is read in other widths than it is stored.
//!
//! When the top has fallen far below the limit, the pages in between go back to the file system,
//! some with each operation: the limit is lowered, then the ledger, then the pages are made a hole;
//! a death in between is put right by `Memory::settle`. First they rest (`grace`), so that readers
//! are done with them. `Kept` says which ones have rested: those from the largest top on that there
//! was since the rest began. So a rest need not begin anew when more pages become free meanwhile.

use crate::directory::{self, Entry};
use crate::growth::Memory;
use crate::holes;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::run;
use crate::table::{BUCKETS, Table};
use shf_base::atomic::Ordering::{Acquire, Release};
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;
use shf_base::grace::{Moment, Rest};

/// Pages that one operation gives back, at most.
const RELEASED_MAX: u32 = 64;
/// While pages rest, the clock is looked at once in so many operations, and one.
const LOOKS_APART: u32 = 31;
/// What stays committed for the next splits: this fraction of the pages in use.
const KEPT_FRACTION: u32 = 8;

/// The table in an index page.
pub fn table(place: Place<'_>, page: u32) -> Result<Table<'_>, OpError> {
    match place.index(page) {
        Some(bytes) => Ok(Table::new(bytes, place.index_page(page), page)),
        None => Err(place.corrupt(place.index_page(0), "table beyond the limit")),
    }
}

/// Will take a page for a new table, or for directory entries.
pub fn take<'m>(intent: &mut Intent<'m>, memory: Memory<'m>) -> Result<u32, OpError> {
    let place = memory.place;
    if place.load(Field::Pause) != 0 {
        intent.set_field(Field::Pause, 0);
    }
    let (records, top) = run::tops(intent, place);
    if let Some(gap) = gap(intent, top) {
        intent.set_field(Field::Gap, 0);
        return Ok(gap);
    }
    memory.need_index(top + 1)?;
    intent.set_field(Field::Tops, pair(records, top + 1));
    if place.load(Field::Rest) != 0 {
        let (kept, _) = unpair(intent.field(Field::Kept));
        intent.set_field(Field::Kept, pair(kept.max(top + 1), 0));
    }
    Ok(top)
}

/// The gap, as it will be after the commit. What no page below the top can be is none.
fn gap(intent: &Intent<'_>, top: u32) -> Option<u32> {
    let (gap, _) = unpair(intent.field(Field::Gap));
    gap.checked_sub(1).filter(|gap| gap + 1 < top)
}

/// Whether there is a gap.
pub fn has_gap(place: Place<'_>) -> bool {
    let intent = Intent::begin(place);
    gap(&intent, run::tops(&intent, place).1).is_some()
}

/// Will give up a page that the directory does not lead to any more. There MUST be no gap, unless
/// it is the last page.
pub fn vacate(intent: &mut Intent<'_>, place: Place<'_>, page: u32) {
    let (records, top) = run::tops(intent, place);
    intent.set_field(Field::Vacated, intent.field(Field::Vacated).wrapping_add(1));
    if page + 1 < top {
        return intent.set_field(Field::Gap, pair(page + 1, 0));
    }
    let gap_is_last = gap(intent, top) == top.checked_sub(2) && top > 1;
    if gap_is_last {
        intent.set_field(Field::Gap, 0);
    }
    let top = top.saturating_sub(if gap_is_last { 2 } else { 1 });
    intent.set_field(Field::Tops, pair(records, top));
}

/// Copies the last page into the gap, if there is one, and lowers the top; or goes on with the
/// search for the directory's entry of that page. One bounded step.
pub fn fill_gap(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let mut intent = Intent::begin(place);
    let (_, top) = run::tops(&intent, place);
    let Some(gap) = gap(&intent, top) else { return Ok(()) };
    let last = top - 1;
    if let Some(level) = directory::level_of(place, last)? {
        copy_entries(place, last, gap)?;
        intent.set_half(place.level_offset(level), gap + 1);
    } else {
        let (_, from) = unpair(place.load(Field::Gap));
        match directory::owner(place, last, from)? {
            Ok(Entry { table, depth, index }) => {
                copy_table(table, self::table(place, gap)?);
                directory::enter(&mut intent, place, index, gap, depth, &mut |_| Ok(gap))?;
            }
            Err(next) => {
                place.store(Field::Gap, pair(gap + 1, next));
                return Ok(());
            }
        }
    }
    intent.set_field(Field::Gap, 0);
    vacate(&mut intent, place, last);
    directory::moved(&mut intent, 0);
    intent.commit()
}

/// Copies a table to a page that nobody refers to.
fn copy_table(from: Table<'_>, to: Table<'_>) {
    for bucket in 0..BUCKETS {
        let head = from.head(bucket);
        for slot in head.occupied() {
            to.half(bucket, slot).store(from.slot(bucket, slot), Release);
        }
        to.store_head(bucket, head);
    }
}

/// Copies a page of directory entries to a page that nobody refers to.
fn copy_entries(place: Place<'_>, from: u32, to: u32) -> Result<(), OpError> {
    let (Some(from), Some(to)) = (place.index(from), place.index(to)) else {
        return Err(place.corrupt(place.field_offset(Field::Tops), "index page beyond the limit"));
    };
    for entry in 0..PAGE_BYTES as usize / 4 {
        to.half(entry).store(from.half(entry).load(Acquire), Release);
    }
    Ok(())
}

/// Pages that stay committed beyond the top.
#[inline(always)]
fn slack(top: u32) -> u32 {
    (top / KEPT_FRACTION).max(1)
}

/// Gives pages back, a step, if there are many that are not in use and have rested.
#[inline(always)]
pub fn give_back(memory: Memory<'_>) {
    let (_, top) = unpair(memory.place.load(Field::Tops));
    let (_, limit) = memory.place.limits();
    if u64::from(limit) > u64::from(top) + 2 * u64::from(slack(top)) {
        give_back_rested(memory, top, limit);
    }
}

#[cold]
fn give_back_rested(memory: Memory<'_>, top: u32, limit: u32) {
    let place = memory.place;
    let reserved = place.reservation().index_pages;
    if !memory.storage.has_file() || limit <= reserved {
        return;
    }
    let (begun, (kept, wait)) = (place.load(Field::Rest), unpair(place.load(Field::Kept)));
    if begun != 0 && (1..=LOOKS_APART).contains(&wait) {
        return place.store(Field::Kept, pair(kept, wait - 1));
    }
    let now = Moment::now();
    match Moment::from_word(begun).rest(now) {
        Rest::Going if begun != 0 => place.store(Field::Kept, pair(kept, LOOKS_APART)),
        Rest::Over if begun != 0 => {
            let least = kept.max(top + slack(top)).max(reserved).min(limit);
            let target = least.max(limit.saturating_sub(RELEASED_MAX));
            if target < limit {
                lower_limit(memory, limit, target);
            }
            if target == least {
                place.store(Field::Rest, 0);
            }
        }
        _ => {
            place.store(Field::Kept, top.into());
            place.store(Field::Rest, now.to_word());
        }
    }
}

/// Gives up to so many pages that are not in use back at once; how many (`holes::give_now`).
pub fn give_now(memory: Memory<'_>, pages: u32) -> u32 {
    let (_, top) = unpair(memory.place.load(Field::Tops));
    let (_, limit) = memory.place.limits();
    let given = limit.saturating_sub(top).min(pages);
    if given > 0 && holes::may_give_now(memory) {
        lower_limit(memory, limit, limit - given);
        memory.place.store(Field::Rest, 0);
        return given;
    }
    0
}

/// Gives back the pages from `target` on, which is below the limit.
fn lower_limit(memory: Memory<'_>, limit: u32, target: u32) {
    let place = memory.place;
    let (records, _) = place.limits();
    place.store(Field::Limits, pair(records, target));
    memory.count(place.load(Field::Holes));
    let bytes = u64::from(limit - target) * PAGE_BYTES;
    memory.storage.release(place.index_page(limit - 1), bytes);
}
