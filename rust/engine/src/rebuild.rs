//! Rebuilding a damaged shard: its index made anew from the records, where they lie.
//!
//! Records do not move. Order, under the lock:
//! 1. the records are found (`salvage`), which stores nothing;
//! 2. the memory is described as it was found: gaps where bytes make no sense, descriptors,
//!    counters. The old index still stands, so a death here loses nothing that was there before;
//! 3. the root says that the index is being rebuilt: from here on everybody else is told `Busy`;
//! 4. all tables are forgotten, and each record gets a slot, by an intent of its own;
//! 5. the root is opened again.
//!
//! A death between 3 and 5 leaves the root closed, and the next locker begins at 1: by then the
//! memory describes itself, so nothing depends on what is left of the index.

use crate::arena;
use crate::check::Violation;
use crate::directory::REBUILDING;
use crate::growth::Memory;
use crate::hash::{DIRECTORY_BITS, Hash};
use crate::intent::{self, Intent};
use crate::link::{self, Slot};
use crate::locate;
use crate::place::{Field, LEVEL_ENTRIES, Place, pair, unpair};
use crate::record::Record;
use crate::ring;
use crate::run::Run;
use crate::salvage::{self, Salvage};
use shf_base::atomic::Ordering::Release;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;
use shf_base::robust_mutex::Guard;

/// Rebuilds a shard and returns what was lost. The caller holds the lock. `NoSpace` and
/// `OutOfMemory` leave it to be done again.
#[cold]
pub fn shard(memory: Memory<'_>, guard: &Guard<'_>) -> Result<Vec<Violation>, OpError> {
    let place = memory.place.for_rebuild();
    let memory = Memory { place, ..memory };
    if intent::replay(place).is_err() {
        place.store(Field::Pending, 0);
    }
    set_limits(memory)?;
    let mut salvage = salvage::search(place)?;
    guard.set_suspect();
    describe(place, &salvage);
    place.store(Field::Root, REBUILDING);
    forget_tables(place);
    for &reference in &salvage.live {
        if let Some(lost) = link_record(memory, reference)? {
            salvage.lost.push(lost);
        }
    }
    place.store(Field::Root, place.load(Field::Root) & !REBUILDING);
    memory.settle();
    place.store(Field::Repairs, place.load(Field::Repairs).wrapping_add(1));
    guard.clear_suspect();
    Ok(salvage.lost)
}

/// Whether the last one who rebuilt the shard did not come to an end.
#[inline(always)]
pub fn is_unfinished(place: Place<'_>) -> bool {
    place.load(Field::Root) & REBUILDING != 0
}

/// Sets the limits to what is real, where the file system can tell.
fn set_limits(memory: Memory<'_>) -> Result<(), OpError> {
    let place = memory.place;
    let (start, end) = (place.record_page(0), place.window() + place.geometry().window_bytes());
    let (records, index) = match memory.storage.real_edges(start, end) {
        Some((head, tail)) if head < tail => {
            ((head - start) / PAGE_BYTES, (end - tail) / PAGE_BYTES)
        }
        _ => {
            let (records, index) = place.limits();
            (records.into(), index.into())
        }
    };
    if records + index > place.geometry().pages() {
        return Err(place.corrupt(place.field_offset(Field::Limits), "limits beyond the window"));
    }
    place.store(Field::Limits, pair(records as u32, index as u32));
    memory.settle();
    Ok(())
}

/// Describes the record memory as it was found.
fn describe(place: Place<'_>, salvage: &Salvage<'_>) {
    for &(reference, units) in &salvage.gaps {
        Record::write_gap(place, reference, units);
    }
    let retired = place.load(Field::Retired).max(place.load(Field::Reused));
    place.store(Field::Retired, retired);
    let set = |page: u32, run: Run| {
        if let Some(word) = place.word(place.descriptor_offset(page)) {
            word.store(run.encode(), Release);
        }
    };
    let (mut dead, mut free, mut top) = (0, 0, 0);
    for &(page, run) in &salvage.runs {
        let run = match run {
            Run::Log { pages, live, used } => {
                (1..pages).for_each(|back| set(page + back, Run::Inside { back }));
                dead += u64::from(used - live);
                run
            }
            Run::Free { pages, .. } => {
                free += u64::from(pages);
                Run::Free { pages, freed: retired }
            }
            other => other,
        };
        set(page, run);
        top = page + run.pages();
    }
    ring::clear(place);
    for field in [Field::Head, Field::Rotors, Field::Evacuation, Field::Sweep] {
        place.store(field, 0);
    }
    place.store(Field::Dead, dead);
    place.store(Field::FreePages, free);
    place.store(Field::Tops, pair(top, unpair(place.load(Field::Tops)).1));
}

/// Makes the index one without tables.
fn forget_tables(place: Place<'_>) {
    for entry in 0..LEVEL_ENTRIES {
        place.level(entry).store(0, Release);
    }
    place.store(Field::Tops, pair(unpair(place.load(Field::Tops)).0, 0));
    place.store(Field::Keys, 0);
    place.store(Field::Tables, 0);
}

/// Gives a record a slot. A second record of the same key, or one of too many whose hashes collide,
/// is retired and returned.
fn link_record(memory: Memory<'_>, reference: u32) -> Result<Option<Violation>, OpError> {
    let place = memory.place;
    let offset = place.unit_offset(reference);
    let Some(record) = Record::at(&place, reference) else {
        return Err(place.corrupt(offset, "a record changed while its shard was locked"));
    };
    let hash = record.hash(place.secret());
    let found = slot_for(memory, hash, record);
    let mut intent = Intent::begin(place);
    let what = match found {
        Ok(Slot::Free(position)) => {
            link::enter(&mut intent, place, position, hash, reference);
            intent.commit()?;
            return Ok(None);
        }
        Ok(Slot::Taken(..)) => "a second record of the same key",
        Err(OpError::HashCollisions { .. }) => "one of too many keys with the same hash",
        Err(error) => return Err(error),
    };
    arena::retire(&mut intent, place, reference, record)?;
    intent.commit()?;
    Ok(Some(Violation::new(place.shard(), offset, what.into())))
}

/// The slot of a record's key, or one for it. A put gives up after two splits, and finds its slot
/// when it is made again, since these remain; so must this be, for as long as splits can help.
fn slot_for<'m>(memory: Memory<'m>, hash: Hash, record: Record<'m>) -> Result<Slot<'m>, OpError> {
    let find = || link::find_slot(memory, || locate::key_of(memory.place, hash, record));
    let mut found = find();
    for _ in 0..DIRECTORY_BITS {
        let Err(OpError::HashCollisions { shard }) = found else { break };
        found = match find() {
            // Whoever has keys collide does not keep a full shard from being rebuilt.
            Err(OpError::NoSpace { .. }) => return Err(OpError::HashCollisions { shard }),
            again => again,
        };
    }
    found
}
