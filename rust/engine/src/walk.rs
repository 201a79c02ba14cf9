//! Walking all keys while others write, each of them once.
//!
//! The walk goes along the directory bits read backwards, lowest first. In that order the keys of a
//! table are an interval, that of a table of local depth d one of 2^-d of all. A split halves it, a
//! merge joins it with its neighbour, and nothing else changes it. The walk looks up the table at
//! its cursor, takes down the UID of each key in it that lies at the cursor or behind it (`names`),
//! and goes on at the end of the table's interval. It counts if the root is the same all the time,
//! so that no key has gone elsewhere meanwhile; else it is done again. Whoever walks then looks up
//! the UIDs, one by one.
//!
//! So a key that is there from beginning to end is seen once, whatever splits and merges meanwhile:
//! its place in the order stays, the intervals that are taken down follow each other without gaps,
//! and a UID finds it wherever it is by then. A key that was never there has no UID.

use crate::directory::{self, Entry};
use crate::group::SLOTS;
use crate::hash::DIRECTORY_BITS;
use crate::place::{Field, Place};
use crate::read::{ATTEMPTS, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::split;
use crate::table::{BUCKETS, Table};
use crate::uid::Uid;
use arrayvec::ArrayVec;
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

/// The UIDs of the keys of one table.
pub type Names = ArrayVec<Uid, { BUCKETS * SLOTS }>;

/// The end of all cursors.
pub const END: u32 = 1 << DIRECTORY_BITS;

/// The directory bits of a cursor, and the cursor of directory bits.
fn reversed(bits: u32) -> u32 {
    bits.reverse_bits() >> (32 - DIRECTORY_BITS)
}

/// The table at a cursor, as it was at one moment.
pub struct View<'m> {
    /// The table.
    pub entry: Entry<'m>,
    /// The root at that moment.
    pub root: u64,
}

impl<'m> View<'m> {
    /// `None`: the shard has no table.
    fn at(place: Place<'m>, cursor: u32) -> Result<Option<View<'m>>, OpError> {
        for _ in 0..ATTEMPTS {
            let root = directory::root(&place);
            let found = directory::find_from(&place, root, reversed(cursor));
            if directory::root(&place) == root {
                return Ok(found?.map(|entry| View { entry, root }));
            }
            spin_hint();
        }
        Err(OpError::Busy)
    }

    /// The cursor behind the table's interval.
    fn end(&self, cursor: u32) -> u32 {
        let places = END >> self.entry.depth.min(DIRECTORY_BITS);
        (cursor & !(places - 1)) + places
    }
}

/// How many tables a walk may visit: a directory that leads to more than there were pages, and has
/// not changed, is damaged.
pub struct Bound<'m> {
    place: Place<'m>,
    begun: u64,
    pages: u64,
    visited: u64,
}

impl<'m> Bound<'m> {
    /// For a walk that begins.
    pub fn new(place: Place<'m>) -> Bound<'m> {
        Bound { place, begun: directory::moves(directory::root(&place)), pages: 0, visited: 0 }
    }

    /// Counts a visit.
    pub fn visit(&mut self) -> Result<(), OpError> {
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

/// Makes `names` the UIDs of the keys that the next table of a shard holds from a cursor on, and
/// that begin with `prefix`; returns the cursor behind them. `calm` is that of `at_rest`.
pub fn names<'m>(
    place: Place<'m>,
    cursor: u32,
    prefix: &[u8],
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    names: &mut Names,
) -> Result<u32, OpError> {
    names.clear();
    at_rest(place, cursor, calm, |view, looks_left| {
        names.clear();
        split::prefetch_records(place, view.entry.table);
        table(place, cursor, view, prefix, looks_left, names)
    })
}

/// Has `look` done at the next table of a shard from a cursor on, until no table has moved
/// meanwhile; returns the cursor behind it. A look may be repeated in parts as often as the number
/// says that it is given; false: it was in vain. `calm` locks the shard, or answers `Busy`: it is
/// asked only where running writers interfered for too long, or the index has to be made anew.
pub fn at_rest<'m>(
    place: Place<'m>,
    cursor: u32,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    mut look: impl FnMut(&View<'m>, &mut u32) -> Result<bool, OpError>,
) -> Result<u32, OpError> {
    let (mut looks_left, mut locked) = (ATTEMPTS, None);
    loop {
        let view = match View::at(place, cursor) {
            Ok(Some(view)) => view,
            Ok(None) => return Ok(END),
            // Nobody rebuilds the index any more, or whoever does holds the lock.
            Err(OpError::Busy) if locked.is_none() => {
                locked = Some(calm()?);
                continue;
            }
            Err(error) => return Err(error),
        };
        if look(&view, &mut looks_left)? && directory::root(&place) == view.root {
            return Ok(view.end(cursor));
        }
        match looks_left.checked_sub(1) {
            None if locked.is_some() => return Err(OpError::Busy),
            Some(left) => looks_left = left,
            None => (locked, looks_left) = (Some(calm()?), ATTEMPTS),
        }
        spin_hint();
    }
}

/// Takes down the keys of a table. False: a writer interfered for too long, or moved a table.
fn table(
    place: Place<'_>,
    cursor: u32,
    view: &View<'_>,
    prefix: &[u8],
    looks_left: &mut u32,
    names: &mut Names,
) -> Result<bool, OpError> {
    let end = view.end(cursor);
    for bucket in 0..BUCKETS {
        for slot in view.entry.table.head(bucket).occupied() {
            let look = loop {
                match name(place, view, (bucket, slot), prefix)? {
                    Look::Again if directory::root(&place) != view.root => return Ok(false),
                    Look::Again if *looks_left == 0 => return Ok(false),
                    Look::Again => *looks_left -= 1,
                    look => break look,
                }
                spin_hint();
            };
            let Look::Key { uid, chosen } = look else { continue };
            // A table may hold other keys than those that the directory leads there for: of before
            // the cursor, after a merge; of behind the end, as long as a merge or a split is under
            // way.
            let at = reversed(uid.hash().directory());
            if chosen && (cursor..end).contains(&at) {
                names.push(uid);
            }
        }
    }
    Ok(true)
}

/// What a look at a slot gave.
enum Look {
    /// The UID of its key, and whether that begins as it should.
    Key {
        uid: Uid,
        chosen: bool,
    },
    Empty,
    /// A writer interfered.
    Again,
}

/// Looks at the key in a slot.
fn name(
    place: Place<'_>,
    view: &View<'_>,
    (number, slot): (usize, usize),
    prefix: &[u8],
) -> Result<Look, OpError> {
    let table = view.entry.table;
    let bucket = table.bucket(number);
    let head = bucket.head();
    if head.tag(slot) == 0 {
        return Ok(Look::Empty);
    }
    let word = bucket.slot(slot);
    let seen = Seen::new(&place, view.root, bucket, slot, word, head);
    crash::looking();
    let record = Record::at(&place, place.slot_format().reference(word));
    let found = record.map(|record| {
        let uid = place.uid(record.hash(place.secret()), record.stamp);
        Look::Key { uid, chosen: record.key_begins_with(prefix) }
    });
    if !seen.unchanged() {
        return Ok(Look::Again);
    }
    found.ok_or_else(|| place.corrupt(table.slot_offset(number, slot), "slot without a record"))
}

/// The buckets of a shard, one after the other. A key that is there from beginning to end is met,
/// perhaps again.
///
/// Between two calls others may write. A split leaves each key in its bucket, in one of two tables:
/// the one at the cursor has the lower half of the interval, of which the buckets before were met
/// already, so the walk goes on there, and later meets the upper half from its first bucket on. So
/// writers that split tables, this one among them, do not keep a walk from its end. Where a table
/// is copied to another page, its keys keep their buckets as well. Only a merge, or a rebuild,
/// gives keys other slots: then the table at the cursor is begun anew. A merge vacates a page,
/// which is counted, as rebuilds are. Merges come to an end, unless a third of the keys of some
/// table comes and goes for each.
pub struct Buckets<'m> {
    place: Place<'m>,
    cursor: u32,
    bucket: usize,
    /// What `settled` said when the table at the cursor was begun; `None`: it was not.
    begun: Option<(u64, u64)>,
    bound: Bound<'m>,
}

impl<'m> Buckets<'m> {
    /// From the first one on.
    pub fn new(place: Place<'m>) -> Buckets<'m> {
        Buckets { place, cursor: 0, bucket: 0, begun: None, bound: Bound::new(place) }
    }

    /// The next one; `None`: that was the last. The caller holds the lock, and may have let it go
    /// since the last call.
    pub fn next_bucket(&mut self) -> Result<Option<(Table<'m>, usize)>, OpError> {
        while self.cursor < END {
            let found = directory::find(&self.place, reversed(self.cursor))?;
            let Some(entry) = found else { return Ok(None) };
            let settled = Some(self.settled());
            if self.begun != settled {
                self.bound.visit()?;
                (self.bucket, self.begun) = (0, settled);
            }
            if self.bucket < BUCKETS {
                self.bucket += 1;
                return Ok(Some((entry.table, self.bucket - 1)));
            }
            let root = directory::root(&self.place);
            self.cursor = View { entry, root }.end(self.cursor);
            self.begun = None;
        }
        Ok(None)
    }

    /// As long as this is the same, no key has got another bucket or slot.
    fn settled(&self) -> (u64, u64) {
        (self.place.load(Field::Vacated), self.place.load(Field::Repairs))
    }
}

/// Has `work` done on all buckets of a shard, each under a lock of its own, and returns the sum of
/// what it returns. A key that is there from beginning to end is met unless `work` deletes it.
pub fn buckets<'m>(
    place: Place<'m>,
    lock: &dyn Fn() -> Result<Locked<'m>, OpError>,
    work: impl Fn(&Locked<'m>, Table<'m>, usize) -> Result<u64, OpError>,
) -> Result<u64, OpError> {
    let (mut buckets, mut done) = (Buckets::new(place), 0);
    loop {
        let locked = lock()?;
        let Some((table, bucket)) = buckets.next_bucket()? else { return Ok(done) };
        done += work(&locked, table, bucket)?;
    }
}
