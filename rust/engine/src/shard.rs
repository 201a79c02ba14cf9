//! A shard under its lock: put, add, delete, clear of one bucket. Gets need no lock, see `read`.
//!
//! Every mutation is one intent. The order of its stores is what readers without a lock rely on:
//! - put of a new key: raised overflow counts of the buckets passed, slot, then tag and version;
//! - replace: slot, then version; only then is the old record given back;
//! - delete: tag and version, then lowered overflow counts; the slot keeps its old reference.
//!
//! A record is written before the commit into memory that nothing refers to.

use crate::arena;
use crate::check::{self, Violation};
use crate::compaction::{self, By};
use crate::directory;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::holes;
use crate::intent::Intent;
use crate::link;
use crate::locate::{self, Located, Position};
use crate::merge;
use crate::number::Number;
use crate::place::{Field, Place};
use crate::quarantine;
use crate::rebuild;
use crate::record::Record;
use crate::repair;
use crate::shape::Shape;
use crate::squeeze;
use crate::table::{Table, bucket_at};
use crate::uid::Uid;
use shf_base::error::OpError;
use shf_base::robust_mutex::{Guard, RobustMutex};
use shf_base::slot::Presence;
use std::cell::Cell;
use std::time::Duration;

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whether the key had a value before.
    pub replaced: bool,
    /// A name for this life of the key, good until it is deleted.
    pub uid: Uid,
}

/// What an attempt to put came to.
enum Attempt<'m> {
    Placed(Placed),
    /// There is no slot for a new key, in the table that was found or because there is none.
    NoSlot(Located<'m>),
}

/// A shard whose lock this thread holds, with nothing pending.
pub struct Locked<'m> {
    memory: Memory<'m>,
    _guard: Guard<'m>,
}

/// Takes the lock of a shard, and repairs it when its last owner left work behind. `Busy` when a
/// living owner keeps it for longer than `patience`.
#[inline(always)]
pub fn lock<'m>(
    memory: Memory<'m>,
    who: &'m Presence,
    patience: Option<Duration>,
) -> Result<Locked<'m>, OpError> {
    let guard = mutex(memory.place).lock(who, patience)?;
    settled(memory, guard)
}

/// Takes the lock only if it is free at once, or its owner is dead.
pub fn try_lock<'m>(memory: Memory<'m>, who: &'m Presence) -> Result<Option<Locked<'m>>, OpError> {
    let guard = mutex(memory.place).try_lock(who)?;
    guard.map(|guard| settled(memory, guard)).transpose()
}

/// Takes the lock of a shard and, when anything is wrong with it, rebuilds it; what was lost, or
/// `None` when it was sound.
pub fn lock_and_rebuild(
    memory: Memory<'_>,
    who: &Presence,
    patience: Option<Duration>,
) -> Result<Option<Vec<Violation>>, OpError> {
    let guard = mutex(memory.place).lock(who, patience)?;
    let unfinished = rebuild::is_unfinished(memory.place);
    if !unfinished && settle(memory, &guard).is_ok() && check::shard(memory.place).is_empty() {
        return Ok(None);
    }
    rebuild::shard(memory, &guard).map(Some)
}

/// Takes the lock of a shard and, when it was left closed, rebuilds it; what was lost, or `None`
/// when it was open.
pub fn lock_and_reopen(
    memory: Memory<'_>,
    who: &Presence,
    patience: Option<Duration>,
) -> Result<Option<Vec<Violation>>, OpError> {
    let guard = mutex(memory.place).lock(who, patience)?;
    let closed = rebuild::is_unfinished(memory.place);
    closed.then(|| rebuild::shard(memory, &guard)).transpose()
}

fn mutex(place: Place<'_>) -> RobustMutex<'_> {
    let (lock, suspect) = place.lock_words();
    RobustMutex::new(lock, suspect)
}

#[inline(always)]
fn settled<'m>(memory: Memory<'m>, guard: Guard<'m>) -> Result<Locked<'m>, OpError> {
    settle(memory, &guard)?;
    Ok(Locked { memory, _guard: guard })
}

#[inline(always)]
fn settle(memory: Memory<'_>, guard: &Guard<'_>) -> Result<(), OpError> {
    if guard.suspect() || memory.place.load(Field::Pending) != 0 {
        repair::repair(memory, guard)?;
        check::after_repair(memory.place);
    }
    Ok(())
}

impl<'m> Locked<'m> {
    /// The shard's place.
    pub fn place(&self) -> Place<'m> {
        self.memory.place
    }

    /// Has the shard enter an epoch of the map.
    pub fn enter_epoch(&self, epoch: u64) -> Result<(), OpError> {
        quarantine::enter_epoch(self.memory.place, epoch)
    }

    /// Looks for a key.
    #[inline(always)]
    pub fn find(&self, hash: Hash, key: &[u8]) -> Result<Located<'m>, OpError> {
        locate::key(self.memory.place, hash, key)
    }

    /// Looks for the key that a UID names.
    pub fn find_uid(&self, uid: Uid) -> Result<Located<'m>, OpError> {
        locate::uid(self.memory.place, uid)
    }

    /// Adds to a number in place, or inserts it with the shape that a new one has.
    #[inline(always)]
    pub fn add<N: Number>(
        &self,
        hash: Hash,
        key: &[u8],
        delta: N::Delta,
        shape: impl FnOnce() -> Result<Shape, OpError>,
    ) -> Result<N, OpError> {
        let Located::Found(_, _, record) = self.find(hash, key)? else {
            let sum = N::ZERO.plus(delta)?;
            self.put(hash, shape()?, key, &sum.bits().to_le_bytes())?;
            return Ok(sum);
        };
        record.shape.kind.expect(N::KIND)?;
        let mut sum = N::ZERO;
        record.change_number(|number| {
            sum = N::of_bits(number).plus(delta)?;
            Ok(sum.bits())
        })?;
        Ok(sum)
    }

    /// Deletes a key that was found; whether one was.
    #[inline(always)]
    pub fn delete(&self, hash: Hash, found: Located<'m>) -> Result<bool, OpError> {
        match found {
            Located::Found(position, word, record) => {
                self.erase(position, word, record)?;
                compaction::step(self.memory, By::Delete, hash);
                self.shrink();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Deletes all keys of one bucket; how many there were.
    pub fn clear_bucket(&self, table: Table<'m>, bucket: usize) -> Result<u64, OpError> {
        let (place, format) = (self.memory.place, self.memory.place.slot_format());
        let mut erased = 0;
        for slot in table.head(bucket).occupied() {
            let word = table.slot(bucket, slot);
            let damaged =
                || place.corrupt(table.slot_offset(bucket, slot), "slot without a record");
            let record = Record::at(&place, format.reference(word)).ok_or_else(damaged)?;
            let entry = crate::directory::Entry { table, depth: 0, index: 0 };
            let (distance, head) = (format.distance(word), table.head(bucket));
            self.erase(Position { entry, bucket, slot, distance, head }, word, record)?;
            erased += 1;
        }
        self.shrink();
        Ok(erased)
    }

    /// A step of giving back what the shard does not need any more, after an operation that went
    /// well.
    #[inline(always)]
    fn shrink(&self) {
        holes::step(self.memory);
        // A damaged index is not this operation's business; an intent that it leaves is found.
        let _ = merge::step(self.memory);
    }

    /// Inserts or replaces.
    #[inline(always)]
    pub fn put(
        &self,
        hash: Hash,
        shape: Shape,
        key: &[u8],
        value: &[u8],
    ) -> Result<Placed, OpError> {
        compaction::step(self.memory, By::Put, hash);
        let placed = match self.attempt(hash, shape, key, value) {
            Ok(Attempt::Placed(placed)) => placed,
            failed => self.put_again(failed, hash, shape, key, value)?,
        };
        self.shrink();
        Ok(placed)
    }

    /// Does what a failed attempt asks for, and attempts it again, as often as this is of use.
    #[cold]
    #[inline(never)]
    fn put_again(
        &self,
        mut attempt: Result<Attempt<'m>, OpError>,
        hash: Hash,
        shape: Shape,
        key: &[u8],
        value: &[u8],
    ) -> Result<Placed, OpError> {
        let (mut splits, mut squeezed) = (0, false);
        loop {
            // The intent is forgotten: what it was made from changes.
            holes::settle_forgotten(self.memory);
            let done = match attempt {
                Ok(Attempt::Placed(placed)) => return Ok(placed),
                Ok(Attempt::NoSlot(found)) => link::make_slot(self.memory, found, &mut splits),
                Err(error) => Err(error),
            };
            match done {
                Err(full @ OpError::NoSpace { .. }) if !squeezed => {
                    self.squeeze(full, shape)?;
                    (splits, squeezed) = (0, true);
                }
                done => done?,
            }
            attempt = self.attempt(hash, shape, key, value);
        }
    }

    /// Makes room where the map may not grow, or else answers that it is full.
    fn squeeze(&self, full: OpError, shape: Shape) -> Result<(), OpError> {
        match squeeze::make_room(self.memory.place, shape) {
            Ok(true) => Ok(()),
            _ => Err(full),
        }
    }

    /// Allocates and writes the record before it looks where the key is: meanwhile its bucket comes
    /// from the memory (docs/decisions/0017-puts-write-first.md).
    #[inline(always)]
    fn attempt(
        &self,
        hash: Hash,
        shape: Shape,
        key: &[u8],
        value: &[u8],
    ) -> Result<Attempt<'m>, OpError> {
        let place = self.memory.place;
        let mut intent = Intent::begin(place);
        let reference = arena::allocate(&mut intent, self.memory, shape)?;
        Record::write(&place, reference, shape, hash, key, value)?;
        let (born, taken) = (place.next_born(), Cell::new(false));
        let beside = |record: &Record<'_>| {
            taken.set(taken.get() | place.have_one_generation(record.stamp, born));
        };
        let (stamp, replaced) = match locate::key_beside(place, hash, key, beside)? {
            Located::Found(position, word, old) => {
                let stamp = old.stamp.next();
                Record::publish(&mut intent, place, reference, shape, stamp, || hash);
                link::redirect(&mut intent, place, position, word, reference);
                arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
                (stamp, true)
            }
            Located::Free(position) => {
                let stamp = if taken.get() { locate::free_stamp(place, hash, born)? } else { born };
                Record::publish(&mut intent, place, reference, shape, stamp, || hash);
                link::enter(&mut intent, place, position, hash, reference);
                directory::count_birth(&mut intent, place, born, stamp);
                (stamp, false)
            }
            none => return Ok(Attempt::NoSlot(none)),
        };
        intent.commit()?;
        Ok(Attempt::Placed(Placed { replaced, uid: place.uid(hash, stamp) }))
    }

    #[inline(always)]
    fn erase(&self, position: Position<'m>, word: u32, old: Record<'m>) -> Result<(), OpError> {
        let place = self.memory.place;
        let Position { entry, bucket, slot, distance, head } = position;
        let table = entry.table;
        let mut intent = Intent::begin(place);
        link::set_head(&mut intent, table, bucket, head.with_tag(slot, 0).bumped(), head);
        for before in 1..=distance {
            let passed = bucket_at(bucket + crate::table::BUCKETS, crate::table::BUCKETS - before);
            let head = table.head(passed);
            let lowered = head.with_overflow(head.overflow().saturating_sub(1)).bumped();
            intent.set(table.high_offset(passed), lowered.high);
        }
        intent.change_field(Field::Keys, |keys| keys - u64::from(keys as u32 != 0));
        arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
        intent.commit()
    }
}
