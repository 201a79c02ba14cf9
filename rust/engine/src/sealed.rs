//! What a crash of the machine left of a shard of a durable map, by the seals of its records.
//!
//! Each page may be the one of the last sync or of any later moment. So nothing is believed but
//! whole records, wherever they lie: of those the seal (`seal`) says itself whether it is one, and
//! whether it was live, or retired after the last sync, when its replacement or its deletion need
//! not have reached the disk. These are all that may come back. For each key that was there at the
//! last sync there is at least one: its record of then, since its memory was not used again
//! (`quarantine`), so none of its bytes has changed but for its state, or a number in place.
//!
//! A record that was live at the last sync overlaps with none that has been live since, so whoever
//! comes upon one may go on behind it; of later ones that overlap, the first is taken. Elsewhere every
//! unit is looked at. Little is hashed in vain: a part of the
//! checksum covers lengths and place alone, and cannot be made without the map's secret.

use crate::class;
use crate::place::Place;
use crate::record::Record;
use crate::salvage::{Salvage, push};
use crate::seal::State;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_UNITS;

/// Bytes that are hashed, in multiples of the committed record pages; more only in a forged map.
const HASHED_TIMES: u64 = 64;

/// Searches a shard. `durable` is the epoch of the last sync, 0: there was none. The caller holds
/// the lock. The live records of the result come in an order in which the first one of each key is
/// its newest.
pub fn search(place: Place<'_>, durable: u64) -> Result<Salvage<'_>, OpError> {
    let mut salvage = Salvage::new(place, HASHED_TIMES);
    let (pages, _) = place.limits();
    let (mut at, end) = (place.page_unit(0), place.page_unit(pages));
    // Retired ones after all live ones, later ones first.
    let mut ranked: Vec<(bool, u64, u32)> = Vec::new();
    while at < end {
        let Some((record, state)) = candidate(place, at, durable) else {
            at += 1;
            continue;
        };
        let units = units(record);
        if units > u64::from(end - at) || !salvage.is_whole(record, at) {
            salvage.lose(at, format!("a torn record of {} bytes", record.shape.bytes()));
            at += 1;
            continue;
        }
        let rank = match state {
            State::Live { born } => (false, u64::MAX - born, at),
            State::Retired { epoch } => (true, u64::MAX - epoch, at),
            State::Written => unreachable!("no candidate"),
        };
        push(&mut ranked, rank)?;
        at += units as u32;
    }
    for &(_, _, reference) in &ranked {
        push(&mut salvage.known, reference)?;
    }
    salvage.only_known(0, pages)?;
    ranked.sort_unstable();
    if let Some((false, below, _)) = ranked.first() {
        salvage.born = u64::MAX - below;
    }
    salvage.live.clear();
    for (_, _, reference) in ranked {
        push(&mut salvage.live, reference)?;
    }
    Ok(salvage)
}

/// What looks like a record at a unit that may come back, and what its seal says.
fn candidate<'m>(place: Place<'m>, at: u32, durable: u64) -> Option<(Record<'m>, State)> {
    let record = Record::at(&place, at)?;
    if !record.shape.sealed || !record.has_front_of(place, at) {
        return None;
    }
    let page_start = (at - place.page_unit(0)).is_multiple_of(PAGE_UNITS as u32);
    if record.shape.is_large() && !page_start {
        return None;
    }
    let state = record.state();
    let may_return = match state {
        State::Live { .. } => true,
        State::Retired { epoch } => durable != 0 && epoch >= durable,
        State::Written => false,
    };
    may_return.then_some((record, state))
}

/// Units that a record takes.
fn units(record: Record<'_>) -> u64 {
    if record.shape.is_large() {
        return record.shape.pages() * PAGE_UNITS;
    }
    class::units(class::of_bytes(record.shape.bytes())).into()
}
