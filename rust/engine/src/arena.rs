//! The record memory of a shard: where new records go, and what becomes of retired ones.
//!
//! Small records lie in blocks of their size class (`class`), one after the other in log runs of up
//! to 8 pages; `head` is the run that fresh blocks come from. A retired block goes to the stack of
//! its class (`stacks`) and is the next one used, so that updates in a steady state neither grow
//! the map nor move anything. A run with nothing live in it is free at once; `compaction` empties
//! sparse ones, and when memory has run out `sweep` finds dead blocks again and `squeeze` makes
//! contiguous room of them. Large records have runs of their own, exact to the page.
//!
//! Invariants, whenever no intent is pending:
//! - for each log run, live = units of the blocks in it that the index refers to <= used
//! - dead = sum of used - live over all log runs
//! - free pages = sum of the pages of free runs; the runs tile pages 0..top
//! - a block in a stack lies in a log run and no slot refers to it

use crate::class;
use crate::growth::Memory;
use crate::holes;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::quarantine;
use crate::record::Record;
use crate::run::{self, Run};
use crate::shape::Shape;
use crate::stacks;
use crate::sweep;
use shf_base::atomic::{Ordering, fence};
use shf_base::error::OpError;
use shf_base::geometry::PAGE_UNITS;

/// Pages of a log run, at most.
pub const LOG_PAGES_MAX: u32 = 8;
/// A new log run is this fraction of the pages in use, so that small shards stay small.
const LOG_FRACTION: u32 = 32;
/// More than this fraction of the used record memory is much to be dead.
const DEAD_FRACTION: u64 = 16;
/// And at least this many units, 8 KiB.
const DEAD_UNITS_MIN: u64 = 1024;
/// A log run holds at least this many blocks of the size that made it, if it may have so many
/// pages.
const LOG_BLOCKS_MIN: u32 = 4;

/// Cache lines of a fresh block that are fetched ahead: small records, and what the processor's own
/// prefetchers need to go on.
const PREFETCH_LINES: u64 = 2;

/// Will allocate memory for a record of `shape`; returns its reference. The block may be written
/// at once: nothing that is published refers to it.
#[inline(always)]
pub fn allocate<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    shape: Shape,
) -> Result<u32, OpError> {
    let reference = if shape.is_large() {
        allocate_large(intent, memory, shape)?
    } else {
        allocate_small(intent, memory, class::of_bytes(shape.bytes()))?
    };
    // Pairs with the fence of readers: who sees a byte written from here on also sees the version
    // (or `reused`) that took the block's last record away.
    fence(Ordering::Release);
    Ok(reference)
}

/// Starts to fetch the memory that a record of `shape` will probably be written into: the retired
/// block whose turn it is, or the next fresh one. A guess, made without the lock.
#[inline(always)]
pub fn prefetch(place: Place<'_>, shape: Shape) {
    if !shape.is_large() && !stacks::prefetch(place, class::of_bytes(shape.bytes()), 0) {
        prefetch_fresh(place);
    }
}

#[inline(always)]
fn prefetch_fresh(place: Place<'_>) {
    let Some(page) = (place.load(Field::Head) as u32).checked_sub(1) else { return };
    if page >= place.limits().0 {
        return;
    }
    let Some(word) = place.word(place.descriptor_offset(page)) else { return };
    if let Run::Log { used, .. } = Run::decode(word.load(Ordering::Relaxed)) {
        let next = place.unit_offset(place.page_unit(page) + used);
        for line in 0..PREFETCH_LINES {
            place.region().prefetch(next + line * 64);
        }
    }
}

fn allocate_large<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    shape: Shape,
) -> Result<u32, OpError> {
    let pages = shape.pages() as u32;
    let (page, _) = holes::take(intent, memory, pages, pages)?;
    run::set(intent, memory.place, page, Run::Large { pages });
    Ok(memory.place.page_unit(page))
}

#[inline(always)]
fn allocate_small<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    class: usize,
) -> Result<u32, OpError> {
    let place = memory.place;
    if let Some(reference) = stacks::pop(intent, place, class) {
        return Ok(reference);
    }
    let units = class::units(class);
    // What is left of a block must be good for something: small pieces would only be in the way.
    if much_is_dead(place)
        && let Some(reference) = stacks::pop_larger(intent, place, class, units)
    {
        return Ok(reference);
    }
    if let Some((page, Run::Log { pages, live, used, kept })) = head(intent, place)
        && used + units <= pages * PAGE_UNITS as u32
    {
        let run = Run::Log { pages, live: live + units, used: used + units, kept };
        run::set(intent, place, page, run);
        return Ok(place.page_unit(page) + used);
    }
    match start_log(intent, memory, units) {
        Err(OpError::NoSpace { needed_bytes, max_bytes }) => {
            // Who evicts has the stacks refilled by that.
            let found = !place.evicts() && sweep::sweep(intent, place, class);
            let block = if found { stacks::pop(intent, place, class) } else { None };
            let block = block.or_else(|| stacks::pop_larger(intent, place, class, 1));
            block.ok_or(OpError::NoSpace { needed_bytes, max_bytes })
        }
        other => other,
    }
}

/// Whether so much of the record memory is dead that using it again is worth some effort.
#[inline(always)]
pub fn much_is_dead(place: Place<'_>) -> bool {
    is_dead(place, DEAD_FRACTION)
}

/// Whether more than one `fraction`th of the used record memory is dead.
#[inline(always)]
pub fn is_dead(place: Place<'_>, fraction: u64) -> bool {
    let dead = quarantine::dead_units(place);
    if dead < DEAD_UNITS_MIN {
        return false;
    }
    let (top, _) = unpair(place.load(Field::Tops));
    let used = u64::from(top).saturating_sub(place.load(Field::FreePages)) * PAGE_UNITS;
    dead > used / fraction
}

/// Opens a log run and allocates its first block.
#[cold]
fn start_log<'m>(intent: &mut Intent<'m>, memory: Memory<'m>, units: u32) -> Result<u32, OpError> {
    let place = memory.place;
    let (top, _) = run::tops(intent, place);
    let used = u64::from(top).saturating_sub(intent.field(Field::FreePages)) as u32;
    let comfortable = (units * LOG_BLOCKS_MIN).div_ceil(PAGE_UNITS as u32);
    let pages = (used / LOG_FRACTION).max(comfortable).clamp(1, LOG_PAGES_MAX);
    let least = units.div_ceil(PAGE_UNITS as u32);
    let (page, pages) = holes::take(intent, memory, least.min(pages), pages)?;
    run::open_log(intent, place, page, pages, units);
    switch_head(intent, place, page);
    Ok(place.page_unit(page))
}

/// The page that fresh blocks come from, and the run that starts there. It may be any run by now,
/// but lies below the top: above it, descriptors say nothing.
#[inline(always)]
pub(crate) fn head(intent: &Intent<'_>, place: Place<'_>) -> Option<(u32, Run)> {
    let page = (intent.field(Field::Head) as u32).checked_sub(1)?;
    let (top, _) = unpair(place.load(Field::Tops));
    (page < top).then(|| (page, run::at(intent, place, page)))
}

/// Units of the run that fresh blocks come from which have not been handed out yet.
pub fn unused_units(place: Place<'_>) -> u64 {
    let Some(page) = (place.load(Field::Head) as u32).checked_sub(1) else { return 0 };
    // Above the top, descriptors say nothing; above the limit they may be holes.
    if page >= unpair(place.load(Field::Tops)).0.min(place.limits().0) {
        return 0;
    }
    let Some(word) = place.word(place.descriptor_offset(page)) else { return 0 };
    match Run::decode(word.load(Ordering::Relaxed)) {
        Run::Log { pages, used, .. } => (u64::from(pages) * PAGE_UNITS).saturating_sub(used.into()),
        _ => 0,
    }
}

/// Will take fresh blocks from the log run that starts at `page` from now on.
pub fn switch_head(intent: &mut Intent<'_>, place: Place<'_>, page: u32) {
    match head(intent, place) {
        Some((old, Run::Log { pages, live: 0, used, .. })) => {
            free_log(intent, place, old, pages, used);
        }
        Some((old, Run::Log { pages, live, used, kept }))
            if place.evicts() && used < pages * PAGE_UNITS as u32 =>
        {
            // Sizes keep changing and memory is scarce: the end of the run counts as dead, so that
            // compaction knows of it.
            let all = pages * PAGE_UNITS as u32;
            Record::write_gap(place, place.page_unit(old) + used, all - used);
            run::set(intent, place, old, Run::Log { pages, live, used: all, kept });
            quarantine::raise_dead(intent, place, all - used, false);
        }
        _ => {}
    }
    intent.set_field(Field::Head, u64::from(page) + 1);
}

/// Will make a record no longer live and give its memory back. The same intent takes its slot away.
#[inline(always)]
pub fn retire(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    reference: u32,
    record: Record<'_>,
) -> Result<(), OpError> {
    let held = record.retire(intent, place, reference);
    if record.shape.is_large() {
        return retire_large(intent, place, reference, held);
    }
    let class = class::of_bytes(record.shape.bytes());
    let units = class::units(class);
    let (page, run) = run::log_of(intent, place, reference)?;
    let Run::Log { pages, live, used, kept } = run else { unreachable!("log_of answers log runs") };
    let Some(live) = live.checked_sub(units) else {
        return Err(place.corrupt(place.descriptor_offset(page), "run with too few live units"));
    };
    run::set(intent, place, page, Run::Log { pages, live, used, kept: kept || held });
    quarantine::raise_dead(intent, place, units, held);
    // Only the lower half of these words counts, here as everywhere else.
    let first = page + 1;
    if live == 0 && intent.field(Field::Head) as u32 != first {
        free_log(intent, place, page, pages, used);
    } else if !held && intent.field(Field::Evacuation) as u32 != first {
        stacks::push(intent, place, class, reference);
    }
    Ok(())
}

#[cold]
fn retire_large(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    reference: u32,
    held: bool,
) -> Result<(), OpError> {
    let page = place.unit_page(reference);
    match page.map(|page| (page, run::at(intent, place, page))) {
        Some((page, Run::Large { pages })) => {
            run::free(intent, place, page, pages, held);
            Ok(())
        }
        _ => Err(place.corrupt(place.unit_offset(reference), "large record without its run")),
    }
}

/// Will free a log run in which nothing is live.
pub fn free_log(intent: &mut Intent<'_>, place: Place<'_>, page: u32, pages: u32, used: u32) {
    intent.purge(place.page_unit(page), pages * PAGE_UNITS as u32);
    quarantine::lower_dead(intent, place, used);
    if intent.field(Field::Evacuation) as u32 == page + 1 {
        intent.set_field(Field::Evacuation, pair(0, 0));
    }
    let kept = matches!(run::at(intent, place, page), Run::Log { kept: true, .. });
    run::free(intent, place, page, pages, kept);
}
