//! Bounded compaction: emptying sparse log runs, a few records with each put or delete.
//!
//! When much of the record memory is dead (`arena::much_is_dead`), the sparsest of some log runs
//! becomes the victim: its blocks leave the stacks, and each put moves the next few live records
//! out of it, each by an intent of its own that copies the record, swaps its slot and retires the
//! old block. The last retirement frees the run. A record keeps its slot, so readers and positions
//! do not notice; a reader that copied from the old block sees its bucket's version change.

use crate::arena;
use crate::block::{self, Block};
use crate::class;
use crate::directory;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::link;
use crate::place::{Field, Place, pair, unpair};
use crate::record::Record;
use crate::run::{self, Run};
use crate::stacks;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_UNITS;

/// A run is worth emptying when more than so many parts of it are dead, of so many.
const SPARSE_PARTS: u32 = 1;
const PARTS: u32 = 16;
/// Deletes empty runs when more than this fraction of the memory is dead.
const DELETE_DEAD_FRACTION: u64 = 3;
/// When more than the first one's fraction of the memory is dead, one of so many puts takes a step.
const PAUSES: [(u64, u8); 3] = [(8, 1), (10, 2), (13, 4)];
const LONGEST_PAUSE: u8 = 8;
/// Runs that the choice of a victim looks at.
const CANDIDATES: usize = 128;
/// Blocks of the victim that one step looks at.
const BLOCKS_PER_STEP: usize = 32;
/// Live records that one step moves.
const MOVES_PER_STEP: u32 = 8;
/// Steps in which one run is emptied, at most: some for each block that it may have.
const STEPS_MAX: u64 = 3 * arena::LOG_PAGES_MAX as u64 * PAGE_UNITS / 2;
/// Cache lines of the victim that are fetched before the step looks at the first.
const FETCH_LINES: u64 = 16;

/// What takes steps of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A put: it needs memory itself.
    Put,
    /// A delete, which has made memory dead that nobody may ever ask for: it may wait for others to
    /// die beside it, until there are few records to be moved for each that is dead.
    Delete,
}

/// One step, if there is anything to do, for the mutation of a key with this hash. The caller holds
/// the lock and nothing is pending.
#[inline(always)]
pub fn step(memory: Memory<'_>, by: By, hash: Hash) {
    let place = memory.place;
    let much = match by {
        By::Put => place.load(Field::Evacuation) != 0 || arena::much_is_dead(place),
        By::Delete => arena::is_dead(place, DELETE_DEAD_FRACTION),
    };
    if much && is_due(place, hash) && work(memory).is_err() {
        // No space to move a record to, or a damaged one: not this mutation's business.
        place.store(Field::Evacuation, 0);
    }
}

/// Of how many puts, by their hashes, one takes a step: the more is dead, the fewer. So a burst of
/// changing sizes is not held up by moving what the next ones would have emptied anyway.
#[cold]
fn is_due(place: Place<'_>, hash: Hash) -> bool {
    let often = PAUSES.into_iter().find(|(fraction, _)| arena::is_dead(place, *fraction));
    let pause = often.map_or(LONGEST_PAUSE, |(_, pause)| pause);
    hash.tag().is_multiple_of(pause)
}

#[cold]
fn work(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let (victim, mut done) = unpair(place.load(Field::Evacuation));
    let Some(page) = victim.checked_sub(1) else {
        // Without room to move records to, blocks are of more use in their stacks.
        let has_room = place.load(Field::FreePages) > place.load(Field::Holes);
        if has_room || place.evicts() || memory.may_grow() {
            choose(place, SPARSE_PARTS);
        }
        return Ok(());
    };
    fetch_ahead(place, page, done);
    let mut moves = 0;
    for _ in 0..BLOCKS_PER_STEP {
        let used = match run::at(&Intent::begin(place), place, page) {
            Run::Log { used, .. } => used,
            _ => 0,
        };
        let reference = place.page_unit(page).wrapping_add(done);
        let block = if done < used { block::at(&place, reference) } else { None };
        let Some(block) = block else {
            // The end, or bytes that are no record, or no log run: leave it to its retirements.
            place.store(Field::Evacuation, 0);
            return Ok(());
        };
        done += block.units;
        if relocate(memory, block)? {
            moves += 1;
        }
        if place.load(Field::Evacuation) as u32 != victim {
            return Ok(());
        }
        place.store(Field::Evacuation, pair(victim, done));
        if moves == MOVES_PER_STEP {
            return Ok(());
        }
    }
    Ok(())
}

/// The log run that is the next to be emptied, however little of it is dead: its first page.
pub fn sparsest(place: Place<'_>) -> Option<u32> {
    if place.load(Field::Evacuation) == 0 {
        choose(place, 0);
    }
    (place.load(Field::Evacuation) as u32).checked_sub(1)
}

/// Empties a log run at once; whether it did. Where the record of a block finds no room,
/// `make_room` is asked for some, and answers whether to go on; again for the same block, if that
/// was not enough. The caller holds the lock and nothing is pending.
#[cold]
pub fn empty<'m>(
    memory: Memory<'m>,
    page: u32,
    mut make_room: impl FnMut(Block<'m>) -> Result<bool, OpError>,
) -> Result<bool, OpError> {
    let place = memory.place;
    if place.load(Field::Evacuation) as u32 != page + 1 {
        begin(place, page);
    }
    let victim = place.load(Field::Evacuation) as u32;
    for _ in 0..STEPS_MAX {
        if place.load(Field::Evacuation) as u32 != victim {
            return free_if_empty(place, page);
        }
        match work(memory) {
            Ok(()) => {}
            Err(OpError::NoSpace { .. }) => {
                let (_, done) = unpair(place.load(Field::Evacuation));
                let block = block::at(&place, place.page_unit(page).wrapping_add(done));
                match block {
                    Some(block) if make_room(block)? => {}
                    _ => break,
                }
            }
            Err(error) => return Err(error),
        }
    }
    place.store(Field::Evacuation, 0);
    Ok(false)
}

/// Frees a log run that nothing is live in, where its last record did not; whether it is free.
fn free_if_empty(place: Place<'_>, page: u32) -> Result<bool, OpError> {
    let mut intent = Intent::begin(place);
    match run::at(&intent, place, page) {
        Run::Log { pages, live: 0, used, .. } => {
            arena::free_log(&mut intent, place, page, pages, used);
            intent.commit()?;
            Ok(true)
        }
        Run::Log { .. } => Ok(false),
        _ => Ok(true),
    }
}

/// Starts to fetch what the next moves touch, all at once: the records, then their buckets and the
/// blocks that they will probably move to. One after the other, each would wait for the memory.
fn fetch_ahead(place: Place<'_>, page: u32, mut done: u32) {
    let Run::Log { used, .. } = run::at(&Intent::begin(place), place, page) else { return };
    let next = place.unit_offset(place.page_unit(page).wrapping_add(done));
    for line in 0..FETCH_LINES {
        place.region().prefetch(next + line * 64);
    }
    let mut moves = 0;
    for _ in 0..BLOCKS_PER_STEP {
        let reference = place.page_unit(page).wrapping_add(done);
        let block = if done < used { block::at(&place, reference) } else { None };
        let Some(block) = block else { return };
        done += block.units;
        let Some(record) = block.record.filter(|record| record.is_live()) else { continue };
        let hash = record.hash(place.secret());
        if let Ok(Some(entry)) = directory::find(&place, hash.directory()) {
            place.region().prefetch(entry.table.low_offset(hash.bucket()));
        }
        stacks::prefetch(place, class::of_bytes(record.shape.bytes()), moves);
        moves += 1;
        if moves == MOVES_PER_STEP {
            return;
        }
    }
}

/// Moves a record if a slot refers to it.
fn relocate<'m>(memory: Memory<'m>, block: Block<'m>) -> Result<bool, OpError> {
    let place = memory.place;
    let Some((record, position, word)) = block.slot(place)? else { return Ok(false) };
    let mut intent = Intent::begin(place);
    let target = arena::allocate(&mut intent, memory, record.shape)?;
    record.copy_to(place, target)?;
    let hash = || record.hash(place.secret());
    Record::publish(&mut intent, place, target, record.shape, record.stamp, hash);
    link::redirect(&mut intent, place, position, word, target);
    arena::retire(&mut intent, place, block.reference, record)?;
    intent.change_field(Field::Moved, |moved| moved.wrapping_add(1));
    intent.commit()?;
    Ok(true)
}

/// Makes the sparsest of the next runs the victim, if more than so many parts of it are dead or 0
/// are asked for.
fn choose(place: Place<'_>, dead_parts: u32) {
    let (fit, rotor) = unpair(place.load(Field::Rotors));
    let head = place.load(Field::Head) as u32;
    let intent = Intent::begin(place);
    let (top, _) = run::tops(&intent, place);
    let mut page = if rotor < top { rotor } else { 0 };
    let mut best: Option<(u32, u32, u32)> = None;
    for _ in 0..CANDIDATES {
        let run = run::at(&intent, place, page);
        if let Run::Log { live, used, .. } = run
            && page + 1 != head
            && (dead_parts == 0 || used - live.min(used) > used / PARTS * dead_parts)
            && best.is_none_or(|(_, l, u)| {
                u64::from(live) * u64::from(u) < u64::from(l) * u64::from(used)
            })
        {
            best = Some((page, live, used));
        }
        let pages = run.pages();
        page = if pages == 0 || page + pages >= top { 0 } else { page + pages };
    }
    place.store(Field::Rotors, pair(fit, page));
    if let Some((page, ..)) = best {
        begin(place, page);
    }
}

/// Makes a log run the victim: nobody takes a block out of it or puts one back any more.
fn begin(place: Place<'_>, page: u32) {
    let pages = run::at(&Intent::begin(place), place, page).pages();
    stacks::purge(place, place.page_unit(page), pages * PAGE_UNITS as u32);
    if place.load(Field::Head) as u32 == page + 1 {
        place.store(Field::Head, 0);
    }
    place.store(Field::Evacuation, pair(page + 1, 0));
}
