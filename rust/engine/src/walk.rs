//! Walking all keys while others write: one slot at a time, validated like a get.
//!
//! The walk goes along the directory bits read backwards, lowest first. In that order the keys of a
//! table are an interval, that of a table of local depth d one of 2^-d of all. A split halves it, a
//! merge joins it with its neighbour, and nothing else changes it. The walk looks up the table at
//! its cursor, visits all of it, and goes on at the end of the interval that the table has by then:
//! - it has split: what moved lies behind that end, unless the cursor lies in it; then it is
//!   visited anew;
//! - tables have merged, or pages were moved: it is visited anew, since keys may have gone to other
//!   buckets.
//!
//! So a key that is there from beginning to end is seen at least once; and once more for each time
//! that its table splits, or tables of its shard merge, while it is visited. Who comes to a table
//! that takes in what was visited already sees that part once more.

use crate::directory::{self, Entry};
use crate::hash::DIRECTORY_BITS;
use crate::place::{Field, Place};
use crate::read::{ATTEMPTS, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::table::BUCKETS;
use bumpalo::Bump;
use shf_base::atomic::spin_hint;
use shf_base::crash;
use shf_base::error::OpError;

/// Calls `visit` for each table of a shard, with its place in the directory; stops on an error. The
/// caller holds the lock. Each table has an index page of its own, so a directory that leads to
/// more tables than pages leads to some of them again and again.
pub fn tables<'m>(
    place: Place<'m>,
    mut visit: impl FnMut(Entry<'m>) -> Result<bool, OpError>,
) -> Result<bool, OpError> {
    let (mut index, mut tables) = (0, 0);
    while index < 1u32 << directory::depth(&place)? {
        if let Some(entry) = directory::entry(&place, index)? {
            tables += 1;
            if tables > place.limits().1 {
                let at = place.level_offset(0);
                return Err(place.corrupt(at, "directory with more tables than index pages"));
            }
            if !visit(entry)? {
                return Ok(false);
            }
        }
        index += 1;
    }
    Ok(true)
}

/// The end of all cursors.
const END: u32 = 1 << DIRECTORY_BITS;

/// The directory bits of a cursor, and the cursor of directory bits.
fn reversed(bits: u32) -> u32 {
    bits.reverse_bits() >> (32 - DIRECTORY_BITS)
}

/// The table at a cursor, as it was at one moment.
struct View<'m> {
    entry: Entry<'m>,
    root: u64,
    vacated: u64,
}

impl<'m> View<'m> {
    /// `None`: the shard has no table.
    fn at(place: Place<'m>, cursor: u32) -> Result<Option<View<'m>>, OpError> {
        for _ in 0..ATTEMPTS {
            let root = directory::root(&place);
            // Counted before the root is: who finds it raised later finds this raised, too.
            let vacated = place.load(Field::Vacated);
            let found = directory::find_from(&place, root, reversed(cursor));
            if directory::root(&place) == root {
                return Ok(found?.map(|entry| View { entry, root, vacated }));
            }
            spin_hint();
        }
        Err(OpError::Busy)
    }

    /// Whether the table was the one at the cursor all the time, with each key in its place.
    fn renew(&mut self, place: Place<'m>, cursor: u32) -> Result<bool, OpError> {
        if directory::root(&place) == self.root {
            return Ok(true);
        }
        let Some(now) = View::at(place, cursor)? else { return Ok(false) };
        let same = now.vacated == self.vacated && now.entry.table.page == self.entry.table.page;
        *self = now;
        Ok(same)
    }

    /// The cursor behind the table's interval.
    fn end(&self, cursor: u32) -> u32 {
        let places = END >> self.entry.depth.min(DIRECTORY_BITS);
        (cursor & !(places - 1)) + places
    }
}

/// How many tables a walk may visit: a directory that leads to more than there were pages, and has
/// not changed, is damaged.
struct Bound<'m> {
    place: Place<'m>,
    begun: u64,
    pages: u64,
    visited: u64,
}

impl<'m> Bound<'m> {
    fn new(place: Place<'m>) -> Bound<'m> {
        Bound { place, begun: directory::moves(directory::root(&place)), pages: 0, visited: 0 }
    }

    /// Counts a visit.
    fn visit(&mut self) -> Result<(), OpError> {
        let moves = directory::moves(directory::root(&self.place)).wrapping_sub(self.begun);
        self.pages = self.pages.max(self.place.limits().1.into());
        self.visited += 1;
        if self.visited > self.pages.saturating_add(moves) {
            let at = self.place.level_offset(0);
            return Err(self.place.corrupt(at, "directory with more tables than index pages"));
        }
        Ok(())
    }
}

/// Calls `visit` with copies of every key and value of a shard until it returns false. `calm` locks
/// the shard, or answers `Busy`: it is asked only where running writers interfered for too long.
pub fn pairs<'m>(
    place: Place<'m>,
    scratch: &mut Bump,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<bool, OpError> {
    let (mut cursor, mut bound) = (0, Bound::new(place));
    while cursor < END {
        let Some(mut view) = View::at(place, cursor)? else { break };
        bound.visit()?;
        match table(place, cursor, &mut view, scratch, calm, visit)? {
            Visit::Done => cursor = view.end(cursor),
            Visit::Stopped => return Ok(false),
            Visit::Moved => {}
        }
    }
    Ok(true)
}

/// What a visit came to.
enum Visit {
    Done,
    /// Whoever is visited wants no more.
    Stopped,
    /// Something has moved, and has to be looked up again.
    Moved,
}

/// Visits all pairs of a table.
fn table<'m>(
    place: Place<'m>,
    cursor: u32,
    view: &mut View<'m>,
    scratch: &mut Bump,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<Visit, OpError> {
    for bucket in 0..BUCKETS {
        for slot in view.entry.table.head(bucket).occupied() {
            loop {
                match visit_slot(place, view, (bucket, slot), scratch, calm, visit)? {
                    Visit::Done => break,
                    Visit::Stopped => return Ok(Visit::Stopped),
                    Visit::Moved if view.renew(place, cursor)? => {}
                    Visit::Moved => return Ok(Visit::Moved),
                }
            }
        }
    }
    Ok(if view.renew(place, cursor)? { Visit::Done } else { Visit::Moved })
}

/// What a look at a slot gave.
enum Look<'s> {
    Pair(&'s [u8], &'s [u8]),
    Empty,
    /// A writer interfered.
    Again,
    /// The directory has changed.
    Moved,
}

/// Visits the pair in a slot, as it was at one moment and outside of the lock.
fn visit_slot<'m>(
    place: Place<'m>,
    view: &View<'m>,
    slot: (usize, usize),
    scratch: &mut Bump,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<Visit, OpError> {
    let mut locked = None;
    for attempt in 0..=ATTEMPTS {
        if attempt == ATTEMPTS {
            locked = Some(calm()?);
        }
        scratch.reset();
        let found = look(place, view, slot, scratch)?;
        let more = match found {
            Look::Pair(key, value) => {
                drop(locked.take());
                visit(key, value)
            }
            Look::Empty => true,
            Look::Moved => return Ok(Visit::Moved),
            Look::Again => {
                spin_hint();
                continue;
            }
        };
        return Ok(if more { Visit::Done } else { Visit::Stopped });
    }
    Err(OpError::Busy)
}

/// Copies the pair in a slot.
fn look<'s>(
    place: Place<'_>,
    view: &View<'_>,
    (number, slot): (usize, usize),
    scratch: &'s Bump,
) -> Result<Look<'s>, OpError> {
    let table = view.entry.table;
    let bucket = table.bucket(number);
    let head = bucket.head();
    if head.tag(slot) == 0 {
        return Ok(Look::Empty);
    }
    let word = bucket.slot(slot);
    let seen = Seen::new(&place, view.root, bucket, slot, word, head);
    let changed = || match directory::root(&place) == view.root {
        true => Look::Again,
        false => Look::Moved,
    };
    crash::looking();
    let record = Record::at(&place, place.slot_format().reference(word));
    // Lengths are acted upon only once they are known to be the record's.
    if !seen.unchanged() {
        return Ok(changed());
    }
    let Some(record) = record else {
        return Err(place.corrupt(table.slot_offset(number, slot), "slot without a record"));
    };
    let key = buffer(scratch, record.shape.key_len)?;
    let value = buffer(scratch, record.shape.value_len)?;
    let Some(copying) = seen.begin_copy(&record) else { return Ok(changed()) };
    record.copy_key(key);
    record.copy_value(value);
    Ok(if copying.is_whole() { Look::Pair(key, value) } else { changed() })
}

/// Deletes all keys of a shard that are there from beginning to end, a bucket at a time, each under
/// a lock of its own; how many. Whatever moves tables meanwhile, these deletes among it, has the
/// table at the cursor begun anew.
pub fn clear<'m>(
    place: Place<'m>,
    lock: &dyn Fn() -> Result<Locked<'m>, OpError>,
) -> Result<u64, OpError> {
    let (mut cursor, mut erased, mut bound) = (0, 0, Bound::new(place));
    while cursor < END {
        let (mut bucket, mut known) = (0, None);
        loop {
            let locked = lock()?;
            let Some(entry) = directory::find(&place, reversed(cursor))? else { return Ok(erased) };
            let root = directory::root(&place);
            if known != Some(root) {
                bound.visit()?;
                (bucket, known) = (0, Some(root));
            }
            if bucket == BUCKETS {
                cursor = View { entry, root, vacated: 0 }.end(cursor);
                break;
            }
            erased += locked.clear_bucket(entry.table, bucket)?;
            bucket += 1;
        }
    }
    Ok(erased)
}

fn buffer(scratch: &Bump, len: u64) -> Result<&mut [u8], OpError> {
    let len_bytes = len as usize;
    scratch.try_alloc_slice_fill_copy(len_bytes, 0).map_err(|_| OpError::OutOfMemory { bytes: len })
}
