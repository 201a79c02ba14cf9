//! What a crash of the machine left of a shard of a durable map, by the seals of its records.
//!
//! Each page may be the one of the last sync or of any later moment. So nothing is believed but
//! whole records, wherever they lie: of those the seal (`seal`) says itself whether it is one, and
//! whether it was live, or retired after the last sync, when its replacement or its deletion need
//! not have reached the disk. These are all that may come back. For each key that was there at the
//! last sync there is at least one: its record of then, since its memory was not used again
//! (`quarantine`), so nothing of it has changed but its state, the mark in its header, its
//! deadline, and a number in place with its stamp.
//!
//! A record that was live at the last sync overlaps with none that has been live since, so whoever
//! comes upon one may go on behind it; of later ones that overlap, the first is taken. Elsewhere
//! every unit is looked at. What is not taken is disowned: its seal would have it come back after
//! the next crash, perhaps in an epoch of the same number. Little is hashed in vain: a part of the
//! checksum covers lengths and place alone, and cannot be made without the map's secret.

use crate::class;
use crate::growth::Memory;
use crate::place::Place;
use crate::record::Record;
use crate::salvage::{Salvage, push};
use crate::seal::State;
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_UNITS, UNIT_BYTES};

/// What comes before what among the records of one key: live ones, born late, before retired ones,
/// retired late.
type Rank = (bool, u64);

/// Searches the pages of a shard that are real. `durable` is the epoch of the last sync, 0: there
/// was none. The caller holds the lock. The live records of the result come in an order in which
/// the first one of each key is its newest.
pub fn search(memory: Memory<'_>, durable: u64) -> Result<Salvage<'_>, OpError> {
    let place = memory.place;
    let mut salvage = Salvage::new(place);
    let (pages, _) = place.limits();
    let (mut at, end) = (place.page_unit(0), place.page_unit(pages));
    let (window, unit) = (place.window(), |offset: u64| (offset / UNIT_BYTES) as u32);
    let mut parts = memory.storage.real_parts(place.record_page(0), place.record_page(pages));
    let mut part_end = at;
    let mut ranked: Vec<(Rank, u32)> = Vec::new();
    while at < end {
        if at >= part_end {
            let Some((from, to)) = parts.next() else { break };
            (at, part_end) = (at.max(unit(from - window)), unit(to - window));
            continue;
        }
        let Some((record, state)) = seen_since(place, at, durable) else {
            at += 1;
            continue;
        };
        let next = u64::from(at) + units(record);
        let whole = next <= end.into() && salvage.is_whole(record);
        match rank(state, durable).filter(|_| whole) {
            Some(rank) => {
                push(&mut ranked, (rank, at))?;
                let used = at + record.shape.bytes().div_ceil(UNIT_BYTES) as u32;
                at = next as u32;
                // In the end of its memory that it does not use.
                for unit in (used..at).filter(|&unit| seen_since(place, unit, durable).is_some()) {
                    push(&mut salvage.disowned, unit)?;
                }
            }
            None => {
                if !whole {
                    salvage.lose(at, format!("a torn record of {} bytes", record.shape.bytes()));
                }
                push(&mut salvage.disowned, at)?;
                at += 1;
            }
        }
    }
    for &(_, reference) in &ranked {
        push(&mut salvage.known, reference)?;
    }
    salvage.only_known(0, pages)?;
    let mut described = std::mem::take(&mut salvage.live);
    described.sort_unstable();
    ranked.sort_unstable();
    for (_, reference) in ranked {
        let there = described.binary_search(&reference).is_ok();
        push(if there { &mut salvage.live } else { &mut salvage.disowned }, reference)?;
    }
    Ok(salvage)
}

/// What looks like a record at a unit that was live at the last sync or later, and what its seal
/// says.
fn seen_since<'m>(place: Place<'m>, at: u32, durable: u64) -> Option<(Record<'m>, State)> {
    let record = Record::at(&place, at)?;
    if !record.shape.traits.sealed() || !record.has_front(place) {
        return None;
    }
    let page_start = (at - place.page_unit(0)).is_multiple_of(PAGE_UNITS as u32);
    if record.shape.is_large() && !page_start {
        return None;
    }
    let state = record.state();
    let seen = match state {
        State::Live { .. } => true,
        State::Retired { epoch } => epoch != 0 && epoch >= durable,
        State::Written => false,
    };
    seen.then_some((record, state))
}

/// The rank of a record that may come back. Before the first sync, of what was retired nothing may.
fn rank(state: State, durable: u64) -> Option<Rank> {
    match state {
        State::Live { born } => Some((false, u64::MAX - born)),
        State::Retired { epoch } if durable != 0 => Some((true, u64::MAX - epoch)),
        _ => None,
    }
}

/// Units that a record takes.
fn units(record: Record<'_>) -> u64 {
    if record.shape.is_large() {
        return record.shape.pages() * PAGE_UNITS;
    }
    class::units(class::of_bytes(record.shape.bytes())).into()
}
