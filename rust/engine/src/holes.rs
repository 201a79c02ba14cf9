//! Holes: free record pages that went back to the file system, and how they become real again.
//!
//! A map that shrinks has free runs. When they are more than a fraction of what is in use, each
//! mutation makes one of them a hole, once it has rested (`shf_base::grace`): the descriptor says
//! so first, then the ledger, then the file system gets the pages. Who needs pages takes free
//! runs that are real, then holes, then fresh ones.
//!
//! Between the first and the last of these steps, `unsettled` names the pages: holes among them may
//! be real without being counted. Whoever comes after a death makes them holes again, and so does
//! the next step that needs the word. To become real goes the other way round: the word, the file
//! system, the ledger; then the intent that takes the run clears the word.
//!
//! Which runs have rested is told by the numbers of their freeings, in two generations: `rested` is
//! what `retired` was when the last rest began that is over, `resting` when the present one began.
//!
//! Invariants, whenever no intent is pending:
//! - holes = sum of the pages of runs that are holes <= free pages
//! - a page of a hole is real only if `unsettled` names it
//! - rested <= resting <= retired

use crate::growth::Memory;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::run::{self, Found, Run};
use shf_base::error::OpError;
use shf_base::geometry::{EVICTING_FRACTION, PAGE_BYTES};
use shf_base::grace::{Moment, Rest};

/// Free pages beyond this fraction of those in use go back.
const SLACK_FRACTION: u64 = 16;
/// And beyond this number.
const SLACK_PAGES_MIN: u64 = 16;
/// Pages that one step gives back.
const STEP_PAGES: u32 = 16;
/// Runs that it looks at.
const STEP_RUNS: usize = 64;
/// Runs that are looked at when pages are given back at once.
const NOW_RUNS: usize = 4096;
/// Bytes that the file system has to have left for that, beside a value.
const SPARE_BYTES: u64 = 1 << 20;
/// Searches before a map that may not grow answers that there is no space.
const LAST_SEARCHES: usize = 64;

/// Takes contiguous pages: as many as free runs have in a row, from `least` to `most`, or else
/// `most` fresh ones, or else `least`. Returns the first and how many. Closed memory
/// (`Memory::closed`) gives none at all.
pub fn take<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    least: u32,
    most: u32,
) -> Result<(u32, u32), OpError> {
    if memory.max_bytes == 0 {
        return Err(memory.no_space(least));
    }
    let (mut refused, mut all) = (false, true);
    if let Some(taken) = take_free(intent, memory, (least, most), &mut refused, &mut all)? {
        return Ok(taken);
    }
    let full = match run::take_fresh(intent, memory, least, most) {
        Err(full @ OpError::NoSpace { .. }) => full,
        other => return other,
    };
    // The map may not grow: now a longer search is worth it.
    for _ in 0..LAST_SEARCHES {
        if all {
            break;
        }
        all = true;
        if let Some(taken) = take_free(intent, memory, (least, most), &mut refused, &mut all)? {
            return Ok(taken);
        }
    }
    Err(full)
}

/// One search among free runs that are real, and one with holes unless there was no space to make
/// them real: then they are `refused`. `all` stays true if both have seen all there is.
fn take_free<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    (least, most): (u32, u32),
    refused: &mut bool,
    all: &mut bool,
) -> Result<Option<(u32, u32)>, OpError> {
    let place = memory.place;
    let holes = intent.field(Field::Holes);
    if intent.field(Field::FreePages).saturating_sub(holes) >= u64::from(least)
        && let Some(taken) = run::take_free(intent, place, (least, most), all)
    {
        return Ok(Some(taken));
    }
    if *refused || holes == 0 {
        return Ok(None);
    }
    let found = run::search(intent, place, (least, most), true, all);
    let Some(found) = found else { return Ok(None) };
    match make_real(memory, &found) {
        Ok(()) => {
            if found.holes > 0 {
                intent.set_field(Field::Unsettled, 0);
            }
            Ok(Some(run::take_found(intent, place, found)))
        }
        Err(OpError::NoSpace { .. }) => {
            *refused = true;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes pages of free runs real, those that are holes.
fn make_real(memory: Memory<'_>, found: &Found) -> Result<(), OpError> {
    let place = memory.place;
    if found.holes > 0 {
        memory.afford(found.holes)?;
        settle(memory);
        place.store(Field::Unsettled, pair(found.page + 1, found.pages));
        let bytes = u64::from(found.pages) * PAGE_BYTES;
        let ensured = memory.storage.ensure(place.record_page(found.page), bytes);
        ensured.inspect_err(|_| settle(memory))?;
        memory.count(place.load(Field::Holes).saturating_sub(found.holes.into()));
    }
    Ok(())
}

/// Whether pages may go back at once, without rest: when the file system has so many left that a
/// reader who is copying the largest value there can be would get them anew (`grace`).
pub fn may_give_now(memory: Memory<'_>) -> bool {
    let value_bytes = memory.place.max_bytes() / EVICTING_FRACTION;
    memory.storage.spare_bytes() >= value_bytes.saturating_add(SPARE_BYTES)
}

/// Gives up to so many free pages back at once, whether they have rested or not; how many, none
/// unless that may be. The caller holds the lock and nothing is pending.
#[cold]
pub fn give_now(memory: Memory<'_>, pages: u32) -> Result<u32, OpError> {
    let place = memory.place;
    let (top, _) = run::tops(&Intent::begin(place), place);
    let (fit, sparse) = unpair(place.load(Field::Rotors));
    let (mut page, mut given) = (if fit < top { fit } else { 0 }, 0);
    if !may_give_now(memory) {
        return Ok(0);
    }
    for _ in 0..NOW_RUNS {
        let real = place.load(Field::FreePages).saturating_sub(place.load(Field::Holes));
        if given >= pages || real == 0 {
            break;
        }
        let run = run::at(&Intent::begin(place), place, page);
        let next = page.saturating_add(run.pages());
        if let Run::Free { pages: free, freed, .. } = run
            && next <= top
            && !run.is_held(place)
        {
            let more = free.min(pages - given).min(STEP_PAGES);
            make_hole(memory, (page, free), more, freed)?;
            given += more;
            page += more;
        } else {
            page = if run.pages() == 0 || next >= top { 0 } else { next };
        }
    }
    place.store(Field::Rotors, pair(page, sparse));
    Ok(given)
}

/// Gives some free pages back, if there are many. The caller holds the lock and nothing is pending.
#[inline(always)]
pub fn step(memory: Memory<'_>) {
    let place = memory.place;
    let free = place.load(Field::FreePages);
    let slack = slack_pages(place, free);
    if free > slack && free.saturating_sub(place.load(Field::Holes)) > slack {
        // A damaged run is not this mutation's business.
        let _ = give_back(memory);
    }
}

/// Free pages that are kept for what comes.
#[inline(always)]
fn slack_pages(place: Place<'_>, free: u64) -> u64 {
    let (top, _) = unpair(place.load(Field::Tops));
    (u64::from(top).saturating_sub(free) / SLACK_FRACTION).max(SLACK_PAGES_MIN)
}

#[cold]
fn give_back(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let real = u64::from(place.limits().0).saturating_sub(place.load(Field::Holes));
    let more = real.saturating_sub(place.reservation().record_pages.into());
    if !memory.storage.has_file() || more == 0 {
        return Ok(());
    }
    turn_rest(place);
    let (top, _) = run::tops(&Intent::begin(place), place);
    let walked = place.load(Field::Walked);
    if walked >= top.into() {
        return Ok(());
    }
    // Where allocation goes on as well: a run is sure to start there.
    let (fit, sparse) = unpair(place.load(Field::Rotors));
    let begin = if fit < top { fit } else { 0 };
    let (mut page, mut passed, mut rested) = (begin, 0, None);
    for _ in 0..STEP_RUNS {
        let run = run::at(&Intent::begin(place), place, page);
        let next = page.saturating_add(run.pages());
        if run.pages() == 0 || next > top {
            break;
        }
        if let Run::Free { freed, .. } = run
            && !run.is_held(place)
            && freed <= place.load(Field::Rested)
        {
            rested = Some((page, run));
            break;
        }
        passed += u64::from(run.pages());
        page = if next == top { 0 } else { next };
    }
    place.store(Field::Rotors, pair(page, sparse));
    place.store(Field::Walked, walked.saturating_add(passed.max(1)));
    match rested {
        Some((page, Run::Free { pages, freed, .. })) => {
            let given = u64::from(pages.min(STEP_PAGES)).min(more) as u32;
            make_hole(memory, (page, pages), given, freed)
        }
        _ => Ok(()),
    }
}

/// Makes the first `given` pages of a free run, at most `STEP_PAGES`, a hole.
fn make_hole(
    memory: Memory<'_>,
    (page, pages): (u32, u32),
    given: u32,
    freed: u64,
) -> Result<(), OpError> {
    let place = memory.place;
    settle(memory);
    if freed > place.load(Field::Reused) {
        // Its bytes change as well.
        place.store(Field::Reused, freed);
    }
    place.store(Field::Unsettled, pair(page + 1, given));
    let mut intent = Intent::begin(place);
    run::set(&mut intent, place, page, Run::Hole { pages: given, freed });
    if pages > given {
        let rest = Run::Free { pages: pages - given, freed, kept: false };
        run::set(&mut intent, place, page + given, rest);
    }
    let holes = intent.field(Field::Holes).wrapping_add(given.into());
    intent.set_field(Field::Holes, holes);
    intent.commit()?;
    memory.count(holes);
    memory.storage.release(place.record_page(page), u64::from(given) * PAGE_BYTES);
    place.store(Field::Unsettled, 0);
    Ok(())
}

/// Begins the next rest when one is over. A death in between makes a rest longer, never shorter.
fn turn_rest(place: Place<'_>) {
    let now = Moment::now();
    match Moment::from_word(place.load(Field::RestBegan)).rest(now) {
        Rest::Going => return,
        Rest::Over => {
            place.store(Field::Rested, place.load(Field::Resting));
            place.store(Field::Walked, 0);
        }
        Rest::Unknown => {}
    }
    place.store(Field::RestBegan, now.to_word());
    place.store(Field::Resting, place.load(Field::Retired));
}

/// As `settle`, also of holes that an intent has taken which was forgotten since: they were counted
/// as real.
#[cold]
pub fn settle_forgotten(memory: Memory<'_>) {
    let place = memory.place;
    if place.load(Field::Unsettled) != 0 {
        settle(memory);
        memory.count(place.load(Field::Holes));
    }
}

/// Makes the holes that may be real holes again. The caller holds the lock and nothing is pending.
pub fn settle(memory: Memory<'_>) {
    let place = memory.place;
    let (first, pages) = unpair(place.load(Field::Unsettled));
    let Some(mut page) = first.checked_sub(1) else { return };
    let (limit, _) = place.limits();
    let end = page.saturating_add(pages).min(limit);
    let intent = Intent::begin(place);
    for _ in 0..run::SEARCH_RUNS {
        if page >= end {
            break;
        }
        let run = run::at(&intent, place, page);
        if let Run::Hole { pages, .. } = run {
            let bytes = u64::from(pages.min(limit - page)) * PAGE_BYTES;
            memory.storage.release(place.record_page(page), bytes);
        }
        page += run.pages().max(1);
    }
    place.store(Field::Unsettled, 0);
}
