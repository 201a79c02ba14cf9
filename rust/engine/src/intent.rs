//! The intent of a shard: a redo log that makes a step of several stores one step.
//!
//! A mutation first writes every store that it is going to make into the intent: file offset and
//! new value. Storing the number of entries into `pending` commits it; then the stores are made,
//! in order, and `pending` goes back to 0.
//!
//! A process killed before the commit has changed nothing but memory that nobody refers to. Killed
//! after it, the next locker makes all stores again: each is absolute, so making it twice is
//! making it once, and so is being killed while repairing. Nothing is ever rolled back, so nothing
//! that a reader has seen is taken back.
//!
//! Invariants, under the shard's lock:
//! - `pending` = 0, or 1 <= `pending` <= 96 and entries 0..pending are complete.
//! - Every entry lies inside its own shard; an entry that does not is refused at replay.

use crate::place::{Field, INTENT_ENTRIES, Place};
use crate::{merge, split};
use shf_base::atomic::Ordering::{Acquire, Relaxed, Release};
use shf_base::error::OpError;
use std::ops::Range;

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
    len: u64,
    /// One bit for each address entered, by some of its bits: most searches end here.
    entered: u64,
}

impl<'m> Intent<'m> {
    /// An empty intent. The caller holds the shard's lock and nothing is pending.
    #[inline(always)]
    pub fn begin(place: Place<'m>) -> Intent<'m> {
        Intent { place, len: 0, entered: 0 }
    }

    /// The value that a word will have after the commit.
    #[inline(always)]
    pub fn get(&self, offset: u64) -> u64 {
        match self.find(offset | KIND_WORD) {
            Some(entry) => self.place.intent_entry(entry).1.load(Relaxed),
            None => self.place.word(offset).map_or(0, |word| word.load(Acquire)),
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
        self.enter(offset | KIND_WORD, value);
    }

    /// Will store a header word.
    #[inline(always)]
    pub fn set_field(&mut self, field: Field, value: u64) {
        self.set(self.place.field_offset(field), value);
    }

    /// Will store a half word.
    #[inline(always)]
    pub fn set_half(&mut self, offset: u64, value: u32) {
        self.enter(offset | KIND_HALF, value.into());
    }

    /// Will finish a split: take out of the old table what the new one holds.
    pub fn finish_split(&mut self, pages: u64) {
        self.push(KIND_FINISH_SPLIT, pages);
    }

    /// Will have one table absorb another one: their pages, and the place of the lower half in the
    /// directory. MUST be the first entry.
    pub fn absorb(&mut self, pages: u64, index: u32) {
        self.push(KIND_ABSORB | u64::from(index) << KIND_BITS, pages);
    }

    /// Makes all stores, as one step for whoever comes after a death.
    #[inline(always)]
    pub fn commit(self) -> Result<(), OpError> {
        // Release: orders the entries before the count for a repairer on another processor.
        self.place.field(Field::Pending).store(self.len, Release);
        apply::<false>(self.place, 0..self.len)
    }

    /// As `commit`, where `absorb` does what the first entry says.
    pub fn commit_absorbed(self, absorb: impl FnOnce()) -> Result<(), OpError> {
        self.place.field(Field::Pending).store(self.len, Release);
        absorb();
        apply::<false>(self.place, 1..self.len)
    }

    #[inline(always)]
    fn enter(&mut self, address: u64, value: u64) {
        match self.find(address) {
            Some(entry) => self.place.intent_entry(entry).1.store(value, Relaxed),
            None => self.push(address, value),
        }
    }

    #[inline(always)]
    fn find(&self, address: u64) -> Option<u64> {
        if self.entered & bit(address) == 0 {
            return None;
        }
        (0..self.len).find(|&entry| self.place.intent_entry(entry).0.load(Relaxed) == address)
    }

    #[inline(always)]
    fn push(&mut self, address: u64, value: u64) {
        assert!(self.len < INTENT_ENTRIES, "an intent holds every step of the engine");
        let (to, what) = self.place.intent_entry(self.len);
        to.store(address, Relaxed);
        what.store(value, Relaxed);
        self.entered |= bit(address);
        self.len += 1;
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
    apply::<true>(place, 0..pending)
}

/// Stores some entries up to the last in order (release: readers load each of them with acquire),
/// then forgets them. Entries that were `FOUND`, not made by this call, must lie inside the shard;
/// all are held within the mapping.
#[inline(always)]
fn apply<const FOUND: bool>(place: Place<'_>, entries: Range<u64>) -> Result<(), OpError> {
    let len = entries.end;
    for entry in entries {
        let (to, what) = place.intent_entry(entry);
        let (address, value) = (to.load(Relaxed), what.load(Relaxed));
        let offset = address & !KIND_MASK;
        match address & KIND_MASK {
            KIND_WORD if !FOUND || place.owns(offset, 8) => {
                place.word(offset).ok_or_else(|| misplaced(place, entry))?.store(value, Release);
            }
            KIND_HALF if !FOUND || place.owns(offset, 4) => {
                let half = place.region().half(offset).ok_or_else(|| misplaced(place, entry))?;
                half.store(value as u32, Release);
            }
            // Always the last entry: a forged intent does not get to do it again and again.
            KIND_FINISH_SPLIT if entry + 1 == len => split::finish(place, value)?,
            // And this always the first one.
            KIND_ABSORB if entry == 0 => merge::absorb(place, value, offset >> KIND_BITS)?,
            _ => return Err(misplaced(place, entry)),
        }
    }
    place.field(Field::Pending).store(0, Release);
    Ok(())
}

#[inline(always)]
fn bit(address: u64) -> u64 {
    1 << ((address >> 3 ^ address >> 9) & 63)
}

#[cold]
fn misplaced(place: Place<'_>, entry: u64) -> OpError {
    place.corrupt(place.field_offset(Field::Pending) + entry, "intent entry outside of its shard")
}
