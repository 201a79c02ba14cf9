//! The intent of a shard: a redo log that makes a step of several stores one step.
//!
//! A mutation first lists every store that it is going to make, in private memory: file offset and
//! new value. To commit, the list is written into the shard header, and its length into `pending`;
//! then the stores are made, in order, and `pending` goes back to 0.
//!
//! A process killed before the commit has changed nothing but memory that nobody refers to, and
//! stacks (`stacks`), which are emptied after a death. Killed
//! after it, the next locker makes all stores again: each is absolute, so making it twice is
//! making it once, and so is being killed while repairing. Nothing is ever rolled back, so nothing
//! that a reader has seen is taken back.
//!
//! Invariants, under the shard's lock:
//! - `pending` = 0, or 1 <= `pending` <= 96 and entries 0..pending are complete.
//! - Every entry lies inside its own shard; an entry that does not is refused at replay.

use crate::place::{Field, INTENT_ENTRIES, Place};
use crate::{merge, split, stacks};
use arrayvec::ArrayVec;
use shf_base::atomic::Ordering::{Acquire, Relaxed, Release};
use shf_base::atomic::{Half, Word};
use shf_base::error::OpError;

/// What an entry stores, in the low bits of its address, which alignment leaves free.
const KIND_BITS: u32 = 2;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
const KIND_WORD: u64 = 0;
const KIND_HALF: u64 = 1;
const KIND_FINISH_SPLIT: u64 = 2;
const KIND_ABSORB: u64 = 3;

/// An intent under construction. Dropping it without `commit` forgets it.
pub struct Intent<'m> {
    place: Place<'m>,
    entries: ArrayVec<Entry<'m>, { INTENT_ENTRIES as usize }>,
    /// By the hash of its address the last entry that has it, plus one: nearly all searches end
    /// here.
    hashed: [u8; 1 << HASH_BITS],
    /// Runs that become free: first unit, and how many.
    freed: ArrayVec<(u32, u32), FREED_MAX>,
}

const HASH_BITS: u32 = 7;
/// Runs that one intent frees: the one that fresh blocks came from, and that of a retired record.
const FREED_MAX: usize = 2;
const _: () = assert!(INTENT_ENTRIES < 256);

struct Entry<'m> {
    /// File offset and kind.
    address: u64,
    value: u64,
    target: Target<'m>,
}

/// What an entry stores to.
#[derive(Clone, Copy)]
enum Target<'m> {
    Word(Word<'m>),
    Half(Half<'m>),
    /// Nothing: the entry is one of the steps that are more than a store, or lies outside.
    None,
}

impl<'m> Intent<'m> {
    /// An empty intent. The caller holds the shard's lock and nothing is pending.
    #[inline(always)]
    pub fn begin(place: Place<'m>) -> Intent<'m> {
        Intent {
            place,
            entries: ArrayVec::new_const(),
            hashed: [0; 1 << HASH_BITS],
            freed: ArrayVec::new_const(),
        }
    }

    /// The value that a word will have after the commit.
    #[inline(always)]
    pub fn get(&self, offset: u64) -> u64 {
        match self.find(offset | KIND_WORD) {
            Some(entry) => self.entries[entry].value,
            None => self.place.word(offset).map_or(0, |word| word.load(Acquire)),
        }
    }

    /// The value that a half word will have after the commit.
    #[inline(always)]
    pub fn get_half(&self, offset: u64) -> u32 {
        match self.find(offset | KIND_HALF) {
            Some(entry) => self.entries[entry].value as u32,
            None => self.place.region().half(offset).map_or(0, |half| half.load(Acquire)),
        }
    }

    /// The value that a header word will have after the commit.
    #[inline(always)]
    pub fn field(&self, field: Field) -> u64 {
        self.get(self.place.field_offset(field))
    }

    /// Will store a word. A second store to the same offset replaces the first, in its place.
    #[inline(always)]
    pub fn set(&mut self, offset: u64, value: u64) {
        self.change(offset, |_| value);
    }

    /// Will store what `new` makes of the value that a word would have had.
    #[inline(always)]
    pub fn change(&mut self, offset: u64, new: impl FnOnce(u64) -> u64) {
        let address = offset | KIND_WORD;
        if let Some(entry) = self.find(address) {
            let entry = &mut self.entries[entry];
            entry.value = new(entry.value);
            return;
        }
        let word = self.place.word(offset);
        let value = new(word.map_or(0, |word| word.load(Acquire)));
        self.push(address, value, word.map_or(Target::None, Target::Word));
    }

    /// Will store a header word.
    #[inline(always)]
    pub fn set_field(&mut self, field: Field, value: u64) {
        self.change_field(field, |_| value);
    }

    /// Will store what `new` makes of the value that a header word would have had.
    #[inline(always)]
    pub fn change_field(&mut self, field: Field, new: impl FnOnce(u64) -> u64) {
        self.change(self.place.field_offset(field), new);
    }

    /// Will store a half word. A second store to the same offset replaces the first, in its place.
    #[inline(always)]
    pub fn set_half(&mut self, offset: u64, value: u32) {
        let address = offset | KIND_HALF;
        match self.find(address) {
            Some(entry) => self.entries[entry].value = value.into(),
            None => {
                let half = self.place.region().half(offset);
                self.push(address, value.into(), half.map_or(Target::None, Target::Half));
            }
        }
    }

    /// Will finish a split: take out of the old table what the new one holds.
    pub fn finish_split(&mut self, pages: u64) {
        self.push(KIND_FINISH_SPLIT, pages, Target::None);
    }

    /// Will have one table absorb another one: their pages, and the place of the lower half in the
    /// directory. MUST be the first entry.
    pub fn absorb(&mut self, pages: u64, index: u32) {
        self.push(KIND_ABSORB | u64::from(index) << KIND_BITS, pages, Target::None);
    }

    /// Will take the blocks of a run that becomes free out of the stacks, after the stores: these
    /// may change the same stacks. A death in between empties all of them.
    pub fn purge(&mut self, start: u32, units: u32) {
        self.freed.push((start, units));
    }

    /// Whether there is nothing to be stored.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes all stores, as one step for whoever comes after a death.
    #[inline(always)]
    pub fn commit(&self) -> Result<(), OpError> {
        self.publish();
        self.store(0)?;
        if !self.freed.is_empty() {
            self.purge_freed();
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn purge_freed(&self) {
        for (start, units) in &self.freed {
            stacks::purge(self.place, *start, *units);
        }
    }

    /// As `commit`, where `absorb` does what the first entry says.
    pub fn commit_absorbed(&self, absorb: impl FnOnce()) -> Result<(), OpError> {
        debug_assert!(self.freed.is_empty());
        self.publish();
        absorb();
        self.store(1)
    }

    /// Writes the list into the shard header, and its length.
    #[inline(always)]
    fn publish(&self) {
        let place = self.place;
        for (entry, at) in self.entries.iter().zip(0..) {
            let (to, what) = place.intent_entry(at);
            to.store(entry.address, Relaxed);
            what.store(entry.value, Relaxed);
        }
        // Release: orders the entries before the count for a repairer on another processor.
        place.field(Field::Pending).store(self.entries.len() as u64, Release);
    }

    /// Makes the stores from one on in order (release: readers load each of them with acquire),
    /// then forgets the list.
    #[inline(always)]
    fn store(&self, first: usize) -> Result<(), OpError> {
        for (at, entry) in self.entries.iter().enumerate().skip(first) {
            match entry.target {
                Target::Word(word) => word.store(entry.value, Release),
                Target::Half(half) => half.store(entry.value as u32, Release),
                Target::None => {
                    let (at, len) = (at as u64, self.entries.len() as u64);
                    step(self.place, (at, len), (entry.address, entry.value))?;
                }
            }
        }
        self.place.field(Field::Pending).store(0, Release);
        Ok(())
    }

    #[inline(always)]
    fn find(&self, address: u64) -> Option<usize> {
        let hashed = usize::from(self.hashed[hash(address)]).checked_sub(1)?;
        let is_it = self.entries.get(hashed).is_some_and(|entry| entry.address == address);
        if is_it { Some(hashed) } else { self.search(address) }
    }

    #[cold]
    fn search(&self, address: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.address == address)
    }

    /// Panics when an intent does not hold every step of the engine.
    #[inline(always)]
    fn push(&mut self, address: u64, value: u64, target: Target<'m>) {
        self.entries.push(Entry { address, value, target });
        self.hashed[hash(address)] = self.entries.len() as u8;
    }
}

/// Makes the stores of a committed intent again, if there is one. The caller holds the lock.
pub fn replay(place: Place<'_>) -> Result<(), OpError> {
    let pending = place.load(Field::Pending);
    if pending == 0 {
        return Ok(());
    }
    if pending > INTENT_ENTRIES {
        return Err(place.corrupt(place.field_offset(Field::Pending), "pending intent too long"));
    }
    for at in 0..pending {
        let (to, what) = place.intent_entry(at);
        let (address, value) = (to.load(Relaxed), what.load(Relaxed));
        let offset = address & !KIND_MASK;
        // Entries are not trusted: they must lie inside the shard, and are held within the mapping.
        match address & KIND_MASK {
            KIND_WORD if place.owns(offset, 8) => {
                place.word(offset).ok_or_else(|| misplaced(place, at))?.store(value, Release);
            }
            KIND_HALF if place.owns(offset, 4) => {
                let half = place.region().half(offset).ok_or_else(|| misplaced(place, at))?;
                half.store(value as u32, Release);
            }
            _ => step(place, (at, pending), (address, value))?,
        }
    }
    place.field(Field::Pending).store(0, Release);
    Ok(())
}

/// An entry that is more than a store: number `at` of a list of `len`.
#[cold]
fn step(
    place: Place<'_>,
    (at, len): (u64, u64),
    (address, value): (u64, u64),
) -> Result<(), OpError> {
    match address & KIND_MASK {
        // Always the last entry: a forged intent does not get to do it again and again.
        KIND_FINISH_SPLIT if at + 1 == len => split::finish(place, value),
        // And this always the first one.
        KIND_ABSORB if at == 0 => merge::absorb(place, value, (address & !KIND_MASK) >> KIND_BITS),
        _ => Err(misplaced(place, at)),
    }
}

/// Multiplicative (Fibonacci) hashing.
#[inline(always)]
fn hash(address: u64) -> usize {
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as usize
}

#[cold]
fn misplaced(place: Place<'_>, entry: u64) -> OpError {
    place.corrupt(place.field_offset(Field::Pending) + entry, "intent entry outside of its shard")
}
