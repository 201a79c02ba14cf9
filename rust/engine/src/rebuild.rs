//! Rebuilding a damaged shard: its index made anew from the records, where they lie.
//!
//! Records do not move. Order, under the lock:
//! 1. the records are found (`salvage`), which stores nothing;
//! 2. the memory is described as it was found: gaps where bytes make no sense, descriptors,
//!    counters. The old index still stands, so a death here loses nothing that was there before;
//! 3. the root says that the index is being rebuilt: from here on everybody else is told `Busy`;
//! 4. all tables are forgotten, and each record gets a slot, by an intent of its own;
//! 5. gaps in lists are closed (`gaps`);
//! 6. the root is opened again.
//!
//! A death between 3 and 6 leaves the root closed, and the next locker begins at 1: by then the
//! memory describes itself, so nothing depends on what is left of the index.
//!
//! After a crash of the machine all shards of a durable map are closed, by who attaches first, and
//! made anew in the same way by who locks them first. Then the pages are those of different
//! moments: nothing but the seals of the records is believed, and where there are several records
//! of one key, the last one is the newest. The others are retired in an epoch that is over.

use crate::arena;
use crate::check::Violation;
use crate::directory;
use crate::gaps;
use crate::growth::{self, Memory};
use crate::hash::{DIRECTORY_BITS, Hash};
use crate::intent::{self, Intent};
use crate::link;
use crate::locate::{self, Located, Position};
use crate::place::{Field, LEVEL_ENTRIES, Place, pair, unpair};
use crate::record::Record;
use crate::run::Run;
use crate::salvage::{self, Salvage};
use crate::seal::State;
use crate::sealed;
use crate::stacks;
use crate::stamp::{GENERATION_BITS, Stamp};
use shf_base::atomic::Ordering::Release;
use shf_base::error::OpError;
use shf_base::format::{ROOT_CRASHED, ROOT_REBUILDING};
use shf_base::geometry::PAGE_BYTES;
use shf_base::robust_mutex::Guard;

const GENERATIONS: u32 = 1 << GENERATION_BITS;
/// After a crash of the machine, so many births may have left no record.
const UNKNOWN_BIRTHS: u32 = 1 << 18;

/// Rebuilds a shard and returns what was lost. The caller holds the lock. `NoSpace` and
/// `OutOfMemory` leave it to be done again.
#[cold]
pub fn shard(memory: Memory<'_>, guard: &Guard<'_>) -> Result<Vec<Violation>, OpError> {
    let place = memory.place.for_rebuild();
    let closed = place.load(Field::Root) & (ROOT_REBUILDING | ROOT_CRASHED);
    let crashed = closed & ROOT_CRASHED != 0 && place.is_durable();
    // What a crash brings back may be more than there was at any moment: a map that was full must
    // not be lost for want of some pages of index.
    let max_bytes = if crashed { u64::MAX } else { memory.max_bytes };
    let memory = Memory { place, max_bytes, ..memory };
    // What a shard intended before the crash may concern pages that the disk never got.
    if crashed || intent::replay(place).is_err() {
        place.store(Field::Pending, 0);
    }
    set_limits(memory, crashed)?;
    let mut salvage = match crashed {
        true => sealed::search(memory, place.epochs().durable())?,
        false => salvage::search(place)?,
    };
    guard.set_suspect();
    if guard.followed() {
        place.change_log().lose();
    }
    salvage.disown();
    describe(memory, &salvage)?;
    if place.is_durable() {
        begin_quarantine(place, &salvage, crashed);
    }
    let emptied = directory::emptied(place.load(Field::Root));
    place.store(Field::Root, emptied | closed | ROOT_REBUILDING);
    forget_tables(place);
    if crashed {
        gaps::narrow(place, &salvage.live)?;
    }
    for &reference in &salvage.live {
        let older = link_record(memory, reference)?;
        salvage.lost.extend(older.filter(|_| !crashed));
    }
    let lost = gaps::close(memory, &salvage.live, crashed)?;
    salvage.lost.extend(lost.into_iter().filter(|_| !crashed));
    raise_births(place, &salvage.live, crashed);
    if crashed {
        end_quarantine(place);
    }
    place.store(Field::Root, place.load(Field::Root) & !(ROOT_REBUILDING | ROOT_CRASHED));
    memory.settle();
    place.store(Field::Repairs, place.load(Field::Repairs).wrapping_add(1));
    guard.clear_suspect();
    Ok(salvage.lost)
}

/// Whether the last one who rebuilt the shard did not come to an end.
#[inline(always)]
pub fn is_unfinished(place: Place<'_>) -> bool {
    place.load(Field::Root) & ROOT_REBUILDING != 0
}

/// Whether a crash of the machine has left the shard closed.
#[inline(always)]
pub fn is_crashed(place: Place<'_>) -> bool {
    place.load(Field::Root) & ROOT_CRASHED != 0
}

/// Sets the limits to what is real, where the file system can tell. After a crash of the machine
/// the limits stand. What never reached the disk, and is a hole by now, is made real again, but for
/// record pages: see `describe`.
fn set_limits(memory: Memory<'_>, crashed: bool) -> Result<(), OpError> {
    let place = memory.place;
    let fit = |(records, index): (u32, u32)| {
        u64::from(records) + u64::from(index) <= place.geometry().pages()
    };
    let stands = crashed && fit(place.limits());
    let limits = if stands { place.limits() } else { real_limits(memory) };
    if !fit(limits) {
        return Err(place.corrupt(place.field_offset(Field::Limits), "limits beyond the window"));
    }
    place.store(Field::Limits, pair(limits.0, limits.1));
    let [front, _, index] = growth::committed_areas(place);
    for (offset, len) in [front, index] {
        memory.storage.reserve(offset, len)?;
    }
    memory.settle();
    Ok(())
}

/// Record and index pages up to the last real ones. Between record pages there may be holes,
/// between index pages there are none. Where the last record page is the neighbour of the last
/// index page, only the header can tell them apart.
fn real_limits(memory: Memory<'_>) -> (u32, u32) {
    let place = memory.place;
    let (start, end) = (place.record_page(0), place.window() + place.geometry().window_bytes());
    let (records, index) = place.limits();
    let (mut head, mut tail) = (start, end);
    for (from, to) in memory.storage.real_parts(start, end) {
        if to == end {
            tail = from;
        } else {
            head = to;
        }
    }
    let full = u64::from(records) + u64::from(index) == place.geometry().pages();
    if full && tail < place.record_page(records) {
        return (records, index);
    }
    (pages_of(head - start), pages_of(end - tail))
}

/// Puts all that is not live into quarantine, but what is retired after a crash of the machine,
/// which carries an epoch that is over.
fn begin_quarantine(place: Place<'_>, salvage: &Salvage<'_>, crashed: bool) {
    let born = |reference: &u32| match Record::at(&place, *reference)?.state() {
        State::Live { born } => Some(born),
        _ => None,
    };
    let born = salvage.live.iter().filter_map(born).max().unwrap_or(0).min(1 << 44);
    let (epochs, epoch) = (place.epochs(), place.load(Field::Epoch));
    let epoch = match crashed {
        true => epochs.durable().saturating_sub(1),
        false => epoch.clamp(epochs.durable(), epochs.begun().max(epochs.durable())),
    };
    place.store(Field::Born, born);
    place.store(Field::BornBefore, born);
    place.store(Field::Freed, 0);
    place.store(Field::FreedBefore, 0);
    place.store(Field::DeadBefore, 0);
    place.store(Field::Epoch, epoch);
}

/// After a crash of the machine: of what was retired since the last sync, nothing is left.
fn end_quarantine(place: Place<'_>) {
    let epochs = place.epochs();
    place.store(Field::Freed, place.load(Field::Retired));
    place.store(Field::DeadBefore, place.load(Field::Dead));
    place.store(Field::Epoch, epochs.begun().max(epochs.durable()));
}

/// Describes the record memory as it was found. Free pages that are holes become runs that are
/// holes; among others there may be some after a crash of the machine, and these are made real.
fn describe(memory: Memory<'_>, salvage: &Salvage<'_>) -> Result<(), OpError> {
    let (place, storage) = (memory.place, memory.storage);
    for &(reference, units) in &salvage.gaps {
        Record::write_gap(place, reference, units);
    }
    // In a durable map, free runs may hold what has to stay until the next sync.
    let retired = place.load(Field::Retired).max(place.load(Field::Reused));
    let retired = if retired < 1 << 44 { retired + 1 } else { 1 };
    place.store(Field::Retired, retired);
    let set = |page: u32, run: Run| {
        if let Some(word) = place.word(place.descriptor_offset(page)) {
            word.store(run.encode(), Release);
        }
    };
    let (mut dead, mut free, mut holes, mut top) = (0, 0, 0, 0);
    for &(page, run) in &salvage.runs {
        let (start, pages) = (place.record_page(page), run.pages());
        let end = start + u64::from(pages) * PAGE_BYTES;
        top = page + pages;
        if !matches!(run, Run::Free { .. } | Run::Hole { .. }) {
            storage.reserve(start, end - start)?;
        }
        match run {
            Run::Log { pages, live, used, .. } => {
                (1..pages).for_each(|back| set(page + back, Run::Inside { back }));
                dead += u64::from(used - live);
                set(page, Run::Log { pages, live, used, kept: place.is_durable() });
            }
            Run::Free { .. } | Run::Hole { .. } => {
                free += u64::from(pages);
                let mut at = start;
                let mut hole = |from: u64, to: u64| {
                    let (page, pages) = (page + pages_of(from - start), pages_of(to - from));
                    if pages > 0 {
                        holes += u64::from(pages);
                        set(page, Run::Hole { pages, freed: retired });
                        storage.release(from, to - from);
                    }
                };
                for (from, to) in storage.real_parts(start, end) {
                    hole(at, from);
                    let (page, pages) = (page + pages_of(from - start), pages_of(to - from));
                    set(page, Run::Free { pages, freed: retired, kept: place.is_durable() });
                    at = to;
                }
                hole(at, end);
            }
            other => set(page, other),
        }
    }
    stacks::clear(place);
    let forgotten = [Field::Head, Field::Rotors, Field::Evacuation, Field::Sweep];
    let rest = [Field::Unsettled, Field::Rested, Field::Resting, Field::RestBegan, Field::Walked];
    for field in forgotten.into_iter().chain(rest) {
        place.store(field, 0);
    }
    place.store(Field::Dead, dead);
    place.store(Field::FreePages, free);
    place.store(Field::Holes, holes);
    place.store(Field::Tops, pair(top, unpair(place.load(Field::Tops)).1));
    Ok(())
}

fn pages_of(bytes: u64) -> u32 {
    (bytes / PAGE_BYTES) as u32
}

/// Makes the index one without tables.
fn forget_tables(place: Place<'_>) {
    for entry in 0..LEVEL_ENTRIES {
        place.level(entry).store(0, Release);
    }
    place.store(Field::Tops, pair(unpair(place.load(Field::Tops)).0, 0));
    let (_, born) = unpair(place.load(Field::Keys));
    place.store(Field::Keys, pair(0, born));
    let index = [Field::Tables, Field::Gap, Field::Rest, Field::Turn, Field::Pause];
    for field in index.into_iter().chain([Field::Timed, Field::Hand, Field::Elements]) {
        place.store(field, 0);
    }
}

/// Has births go on behind all that records tell of, so that no UID is given twice (`uid`). After a
/// crash of the machine the number is one of an earlier moment, and some of those since left no
/// record.
fn raise_births(place: Place<'_>, records: &[u32], crashed: bool) {
    let (keys, births) = unpair(place.load(Field::Keys));
    let stamps = records.iter().filter_map(|&at| Some(Record::at(&place, at)?.stamp));
    let ahead = if births < GENERATIONS {
        // Each generation is the number of a birth.
        stamps.map(|stamp| (stamp.generation() + 1).saturating_sub(births)).max()
    } else if crashed {
        // What is nearer is believed.
        let ahead = stamps.map(|stamp| stamp.births_since(Stamp::born(births)));
        ahead.filter(|ahead| *ahead < GENERATIONS / 2).map(|ahead| ahead + 1).max()
    } else {
        None
    };
    let unknown = if crashed { UNKNOWN_BIRTHS } else { 0 };
    let births = births.wrapping_add(ahead.unwrap_or(0) + unknown);
    place.store(Field::Keys, pair(keys, births));
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
    let found = slot_for(memory, hash, || locate::key_of(place, hash, record));
    let mut intent = Intent::begin(place);
    let what = match found {
        Ok(Some(position)) => {
            record.revive(&mut intent, place);
            link::enter(&mut intent, place, position, hash, reference, record.shape.traits.timed());
            if record.is_element() {
                intent.change_field(Field::Elements, |elements| elements.wrapping_add(1));
            }
            intent.commit()?;
            return Ok(None);
        }
        Ok(None) => "a second record of the same key",
        Err(OpError::HashCollisions { .. }) => "one of too many keys with the same hash",
        Err(error) => return Err(error),
    };
    arena::retire(&mut intent, place, reference, record)?;
    intent.commit()?;
    Ok(Some(Violation::new(place.shard(), offset, what.into())))
}

/// A free slot for a key with this hash that `locate` looks for; `None`: it has one. A put gives up
/// after two splits, and finds its slot when it is made again, since these remain; so must this be,
/// for as long as splits can help.
pub fn slot_for<'m>(
    memory: Memory<'m>,
    hash: Hash,
    locate: impl Fn() -> Result<Located<'m>, OpError>,
) -> Result<Option<Position<'m>>, OpError> {
    let find = || link::free_slot(memory, hash, &locate);
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
