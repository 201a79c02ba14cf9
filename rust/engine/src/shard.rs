//! A shard under its lock: put, add, delete, clear of one bucket. Gets need no lock, see `read`.
//!
//! A key that has expired is not there, whatever still lies in its slot: a put begins a new life.
//! Each operation looks at the clock once, so that it does not find a key gone and there again: one
//! that finds a key alive and gives it another deadline has it live on, though its own may be over
//! by then, and gets have missed it in between.
//!
//! Every mutation is one intent. The order of its stores is what readers without a lock rely on:
//! - put of a new key: raised overflow counts of the buckets passed, slot, then tag and version;
//! - replace: slot, then version; only then is the old record given back;
//! - delete: tag and version, then lowered overflow counts; the slot keeps its old reference.
//!
//! A record is written before the commit into memory that nothing refers to.

use crate::age::{Deadline, Now};
use crate::arena;
use crate::compaction::{self, By};
use crate::directory;
use crate::growth::Memory;
use crate::hand::Met;
use crate::hash::Hash;
use crate::holes;
use crate::intent::Intent;
use crate::item::Item;
use crate::kind::Kind;
use crate::link;
use crate::locate::{self, Located, Position};
use crate::merge;
use crate::number::Number;
use crate::orphans;
use crate::place::{Field, Place, pair};
use crate::quarantine;
use crate::record::Record;
use crate::room::Room;
use crate::shape::Shape;
use crate::table::Table;
use crate::uid::Uid;
use shf_base::error::OpError;
use shf_base::robust_mutex::Guard;
use std::cell::Cell;

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whether the key had a value before.
    pub replaced: bool,
    /// A name for this life of the key, good until it is deleted.
    pub uid: Uid,
}

/// What an attempt to put came to.
pub(crate) enum Attempt<A> {
    /// It is done.
    Done(A),
    /// There is no slot for a new key with this hash.
    NoSlot(Hash),
}

/// Why a key is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erased {
    /// Somebody asked for it.
    Deleted,
    /// Its time was over.
    Expired,
    /// Its memory was needed.
    Evicted,
}

/// A shard whose lock this thread holds, with nothing pending.
pub struct Locked<'m> {
    pub(crate) memory: Memory<'m>,
    now: Now,
    guard: Guard<'m>,
}

/// Says of the key in a slot that it is being used. The position's head may lack that bit from then
/// on: `leave` clears all of the slot's byte, and `redirect` reads the head again.
#[cold]
#[inline(never)]
fn used(position: Position<'_>) {
    let Position { entry, bucket, slot, head, .. } = position;
    if !head.is_accessed(slot) {
        entry.table.store_access(bucket, slot, true);
    }
}

impl<'m> Locked<'m> {
    /// A shard whose lock is held, and which has been settled (`lock`).
    #[inline(always)]
    pub(crate) fn new(memory: Memory<'m>, guard: Guard<'m>) -> Locked<'m> {
        Locked { memory, now: Now::default(), guard }
    }

    /// The shard's place.
    pub fn place(&self) -> Place<'m> {
        self.memory.place
    }

    /// Has the shard enter an epoch of the map.
    pub fn enter_epoch(&self, epoch: u64) -> Result<(), OpError> {
        quarantine::enter_epoch(self.memory.place, epoch)
    }

    /// Tells who follows the shard, if somebody does, that a key is about to change.
    #[inline(always)]
    pub(crate) fn announce(&self, hash: impl FnOnce() -> Hash) {
        if self.guard.followed() {
            self.enter_change(hash);
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_change(&self, hash: impl FnOnce() -> Hash) {
        let log = self.memory.place.change_log();
        match log.is_followed(self.memory.storage) {
            true => log.enter(hash().0),
            // Who followed has died.
            false => self.guard.set_followed(false),
        }
    }

    /// Keeps the lock, until somebody gives it back.
    pub(crate) fn keep(self) {
        self.guard.keep();
    }

    /// The lock, for who follows the shard.
    pub(crate) fn guard(&self) -> &Guard<'m> {
        &self.guard
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

    /// The record of a key that was found, unless it has expired.
    #[inline(always)]
    pub fn living(&self, found: &Located<'m>) -> Option<Record<'m>> {
        found.record().filter(|record| !self.has_expired(record))
    }

    /// Whether the key of a record has expired.
    #[inline(always)]
    pub fn has_expired(&self, record: &Record<'_>) -> bool {
        record.deadline().is_some_and(|deadline| self.is_over(deadline))
    }

    /// Whether a deadline is over.
    #[inline(always)]
    pub(crate) fn is_over(&self, deadline: Deadline) -> bool {
        deadline != Deadline::NEVER && deadline.is_over(self.now.ms())
    }

    /// In a map that evicts, says of a key that was found that it is being used.
    #[inline(always)]
    pub(crate) fn note_use(&self, found: &Located<'m>) {
        if self.memory.place.evicts()
            && let Located::Found(position, ..) = found
        {
            used(*position);
        }
    }

    /// In a map that evicts, says of a key that it is being used, and of the record that is going
    /// to be its next one, if it lives on, how it was.
    #[cold]
    #[inline(never)]
    fn used_again(&self, position: Position<'m>, old: Record<'m>, next: Option<u32>) {
        if let Some(reference) = next {
            Record::inherit_uses(&self.memory.place, reference, old);
        }
        used(position);
    }

    /// When a key expires that gets an age now, if it gets one.
    #[inline(always)]
    pub(crate) fn deadline(&self, age_ms: Option<u64>) -> Option<Deadline> {
        age_ms.map(|age_ms| Deadline::after(age_ms, self.now.ms()))
    }

    /// Adds to a number in place.
    #[inline(always)]
    pub fn add<N: Number>(
        &self,
        hash: Hash,
        record: Record<'m>,
        delta: N::Delta,
    ) -> Result<N, OpError> {
        record.shape.traits.kind().expect(N::KIND)?;
        self.announce(move || hash);
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
                let living = !self.has_expired(&record);
                self.erase(position, word, record, Erased::Deleted)?;
                compaction::step(self.memory, By::Delete, hash);
                self.reap();
                self.shrink();
                Ok(living)
            }
            _ => Ok(false),
        }
    }

    /// Deletes the keys of one bucket that `which` says; how many there were.
    pub fn clear_bucket(
        &self,
        table: Table<'m>,
        bucket: usize,
        which: impl Fn(&Record<'_>) -> bool,
    ) -> Result<u64, OpError> {
        let mut erased = 0;
        for slot in table.head(bucket).occupied() {
            let (position, word, record) = self.position(table, bucket, slot)?;
            if which(&record) {
                self.erase(position, word, record, Erased::Deleted)?;
                erased += 1;
            }
        }
        if erased > 0 {
            self.shrink();
        }
        Ok(erased)
    }

    /// Deletes a key that the hand has met; the shape of its record.
    pub(crate) fn erase_met(&self, met: Met<'m>, why: Erased) -> Result<Shape, OpError> {
        let (position, word, record) = self.position(met.table, met.bucket, met.slot)?;
        self.erase(position, word, record, why)?;
        Ok(record.shape)
    }

    /// The record of a slot that holds a key.
    pub(crate) fn record_in(
        &self,
        table: Table<'m>,
        bucket: usize,
        slot: usize,
    ) -> Result<Record<'m>, OpError> {
        self.position(table, bucket, slot).map(|(_, _, record)| record)
    }

    /// What lies in a slot that holds a key.
    fn position(
        &self,
        table: Table<'m>,
        bucket: usize,
        slot: usize,
    ) -> Result<(Position<'m>, u32, Record<'m>), OpError> {
        let place = self.memory.place;
        let (format, word) = (place.slot_format(), table.slot(bucket, slot));
        let damaged = || place.corrupt(table.slot_offset(bucket, slot), "slot without a record");
        let record = Record::at(&place, format.reference(word)).ok_or_else(damaged)?;
        let entry = directory::Entry { table, depth: 0, index: 0 };
        let (distance, head) = (format.distance(word), table.head(bucket));
        Ok((Position { entry, bucket, slot, distance, head }, word, record))
    }

    /// A step of giving back what the shard does not need any more, after an operation that went
    /// well.
    #[inline(always)]
    pub(crate) fn shrink(&self) {
        holes::step(self.memory);
        // A damaged index is not this operation's business; an intent that it leaves is found.
        let _ = merge::step(self.memory);
    }

    /// Inserts or replaces.
    #[inline(always)]
    pub(crate) fn put(&self, item: Item<'_>) -> Result<Placed, OpError> {
        compaction::step(self.memory, By::Put, item.hash);
        let placed = match self.attempt(item) {
            Ok(Attempt::Done(placed)) => placed,
            // A copy: what others may point to is not kept in registers.
            failed => self.put_again(failed, &item.clone())?,
        };
        match placed.replaced || self.memory.place.load(Field::Credit) == 0 {
            true => self.reap(),
            false => self.evict_behind(item.shape, item.hash, item.key),
        }
        self.shrink();
        Ok(placed)
    }

    /// Puts an item again of which an attempt failed.
    #[cold]
    #[inline(never)]
    fn put_again(
        &self,
        failed: Result<Attempt<Placed>, OpError>,
        item: &Item<'_>,
    ) -> Result<Placed, OpError> {
        self.again(failed, (item.hash, item.key), item.shape, &mut || self.attempt(*item))
    }

    /// Does what a failed attempt asks for, and attempts it again, as often as this is of use.
    /// `key` is what it is for, with its hash, and `shape` that of the largest record that it
    /// makes.
    #[cold]
    #[inline(never)]
    pub(crate) fn again<A>(
        &self,
        mut attempt: Result<Attempt<A>, OpError>,
        key: (Hash, &[u8]),
        shape: Shape,
        attempt_again: &mut dyn FnMut() -> Result<Attempt<A>, OpError>,
    ) -> Result<A, OpError> {
        let (mut splits, mut room) = (0, Room::new(self, key, shape));
        loop {
            // The intent is forgotten: what it was made from changes.
            holes::settle_forgotten(self.memory);
            let done = match attempt {
                Ok(Attempt::Done(done)) => return Ok(done),
                Ok(Attempt::NoSlot(hash)) => {
                    link::make_slot(self.memory, hash, &mut splits).map_err(|error| (error, true))
                }
                Err(error) => Err((error, false)),
            };
            match done {
                Err((full @ OpError::NoSpace { .. }, of_index)) => {
                    room.make(full, of_index)?;
                    splits = 0;
                }
                done => done.map_err(|(error, _)| error)?,
            }
            attempt = attempt_again();
        }
    }

    /// Allocates and writes the record before it looks where the key is: meanwhile its bucket comes
    /// from the memory (docs/decisions/0017-puts-write-first.md).
    #[inline(always)]
    pub(crate) fn attempt(&self, item: Item<'_>) -> Result<Attempt<Placed>, OpError> {
        let (place, Item { hash, shape, key, .. }) = (self.memory.place, item);
        let mut intent = Intent::begin(place);
        let reference = arena::allocate(&mut intent, self.memory, shape)?;
        Record::write(&place, reference, item)?;
        let (born, taken) = (place.next_born(), Cell::new(false));
        let beside = |record: &Record<'_>| {
            taken.set(taken.get() | place.have_one_generation(record.stamp, born));
        };
        let (stamp, replaced) = match locate::key_beside(place, hash, key, beside)? {
            Located::Found(position, word, old) => {
                let expired = self.has_expired(&old);
                if place.evicts() {
                    self.used_again(position, old, (!expired).then_some(reference));
                }
                // Of the keys beside it only those were looked at that lie before it.
                let stamp = match expired {
                    false => old.stamp.next(),
                    true => locate::free_stamp(place, hash, born)?,
                };
                Record::publish(&mut intent, place, reference, shape, stamp, || hash);
                link::redirect(&mut intent, place, position, word, reference);
                link::count_timed(&mut intent, old.shape.traits.timed(), shape.traits.timed());
                if old.shape.traits.kind() == Kind::List || shape.traits.kind() == Kind::List {
                    orphans::count_put(&mut intent, shape.traits.kind(), Some(old), !expired);
                }
                if expired {
                    intent.change_field(Field::Keys, |keys| keys.wrapping_add(pair(0, 1)));
                    directory::count_birth(&mut intent, place, born, stamp);
                    intent.change_field(Field::Expired, |expired| expired.wrapping_add(1));
                }
                arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
                (stamp, !expired)
            }
            Located::Free(position) => {
                let stamp = if taken.get() { locate::free_stamp(place, hash, born)? } else { born };
                Record::publish(&mut intent, place, reference, shape, stamp, || hash);
                link::enter(&mut intent, place, position, hash, reference, shape.traits.timed());
                directory::count_birth(&mut intent, place, born, stamp);
                if shape.traits.kind() == Kind::List {
                    orphans::count_put(&mut intent, shape.traits.kind(), None, false);
                }
                (stamp, false)
            }
            _ => return Ok(Attempt::NoSlot(hash)),
        };
        self.announce(move || hash);
        intent.commit()?;
        Ok(Attempt::Done(Placed { replaced, uid: place.uid(hash, stamp) }))
    }

    #[inline(always)]
    pub(crate) fn erase(
        &self,
        position: Position<'m>,
        word: u32,
        old: Record<'m>,
        why: Erased,
    ) -> Result<(), OpError> {
        let place = self.memory.place;
        self.announce(move || old.hash(place.secret()));
        let mut intent = Intent::begin(place);
        link::leave(&mut intent, position, old.shape.traits.timed());
        if self.has_expired(&old) {
            intent.change_field(Field::Expired, |expired| expired.wrapping_add(1));
        } else if why == Erased::Evicted && old.shape.traits.kind() != Kind::Element {
            intent.change_field(Field::Evicted, |evicted| evicted.wrapping_add(1));
        }
        if why != Erased::Evicted && place.evicts() {
            intent.set_field(Field::Credit, 0);
        }
        if matches!(old.shape.traits.kind(), Kind::List | Kind::Element) {
            orphans::count_deleted(&mut intent, old);
        }
        arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
        intent.commit()
    }
}
