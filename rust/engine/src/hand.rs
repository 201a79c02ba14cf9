//! The hands of a shard: they go round all keys, in the order of the directory and of slots, a few
//! with each operation that moves them. So whatever each key needs from time to time is done
//! without a thread for it: one hand reaps (`expiry`), and in a map that evicts, another one looks
//! for what to evict (`eviction`).
//!
//! Keys that a merge takes behind a hand wait for its next turn.

use crate::directory::{self, Entry};
use crate::group::{SLOTS, SlotSet};
use crate::place::{Field, Place, pair, unpair};
use crate::record::Record;
use crate::table::{BUCKETS, Head, Table};
use shf_base::error::OpError;

/// Places of the directory that one step passes, at most.
const PLACES: u32 = 64;

/// Where the hand is.
#[derive(Clone, Copy)]
pub struct Hand {
    /// A place in the directory.
    index: u32,
    /// The next slot of the table there, counted through all buckets.
    slot: usize,
    /// How often it went round since it was looked up.
    pub turns: u64,
}

/// How far one step goes: as far as one of them reaches.
#[derive(Clone, Copy)]
pub struct Step {
    /// Keys.
    pub keys: u32,
    /// Buckets.
    pub buckets: u32,
}

/// The slot of a key that the hand has met.
#[derive(Clone, Copy)]
pub struct Met<'m> {
    /// Its table.
    pub table: Table<'m>,
    /// Its bucket there.
    pub bucket: usize,
    /// Its slot there.
    pub slot: usize,
    /// The head of the bucket as the hand found it.
    pub head: Head,
}

impl Met<'_> {
    /// The reference in the slot.
    pub fn reference(&self, place: Place<'_>) -> u32 {
        place.slot_format().reference(self.table.slot(self.bucket, self.slot))
    }
}

impl Hand {
    /// A hand of a shard, by its field. The caller holds the lock.
    pub fn of(place: Place<'_>, hand: Field) -> Hand {
        let (index, slot) = unpair(place.load(hand));
        Hand { index, slot: slot as usize % (BUCKETS * SLOTS), turns: 0 }
    }

    /// Moves it here.
    pub fn store(self, place: Place<'_>, hand: Field) {
        place.store(hand, pair(self.index, self.slot as u32));
    }

    /// Where it is after a step; each key on the way is met.
    #[inline(always)]
    pub fn after<'m>(
        mut self,
        place: Place<'m>,
        mut step: Step,
        mut meet: impl FnMut(Met<'m>),
    ) -> Result<Hand, OpError> {
        let places = 1u32 << directory::depth(&place)?;
        for _ in 0..PLACES {
            if self.index >= places {
                self = Hand { index: 0, slot: 0, turns: self.turns + 1 };
            }
            let entry = directory::entry(&place, self.index)?;
            if let Some(Entry { table, .. }) = entry
                && !self.passes(table, &mut step, &mut meet)
            {
                break;
            }
            self = Hand { index: self.index + 1, slot: 0, ..self };
        }
        Ok(self)
    }

    /// Goes on in a table; whether it has passed its end.
    #[inline(always)]
    fn passes<'m>(
        &mut self,
        table: Table<'m>,
        step: &mut Step,
        meet: &mut impl FnMut(Met<'m>),
    ) -> bool {
        while self.slot < BUCKETS * SLOTS {
            let (bucket, first) = (self.slot / SLOTS, self.slot % SLOTS);
            let head = table.head(bucket);
            for slot in SlotSet(head.occupied().0 & !0 << first) {
                if step.keys == 0 {
                    self.slot = bucket * SLOTS + slot;
                    return false;
                }
                step.keys -= 1;
                meet(Met { table, bucket, slot, head });
            }
            self.slot = (bucket + 1) * SLOTS;
            if step.buckets <= 1 {
                break;
            }
            step.buckets -= 1;
        }
        self.slot >= BUCKETS * SLOTS
    }

    /// Starts to fetch the records of the keys that a step from here meets.
    #[inline(always)]
    pub fn fetch(self, place: Place<'_>, step: Step) -> Result<(), OpError> {
        self.after(place, step, |met| Record::prefetch_front(&place, met.reference(place)))
            .map(drop)
    }
}
