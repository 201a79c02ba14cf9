//! Reaping: giving back the memory of keys that have expired, and of elements whose list is gone
//! (`orphans`), without anyone asking for it.
//!
//! While a shard has keys with a deadline, or orphans, a hand goes round its tables, in the order of the
//! directory. Each put, and each delete of a key that is there, moves it on by four keys, or by
//! three buckets that hold fewer, and deletes those that have expired. Keys that a merge takes
//! behind the hand wait for its next turn.
//!
//! How many expired keys there are: let each key live while `a` others are put, and the hand pass
//! `k` of `N` keys with each put. A key is met `N / k` puts after the last time, so half of that
//! after it expired, on average: `N = a + N / 2k`, which is 1.14 `a` for `k = 4`. The records of
//! the next four keys are fetched while other operations go on, so that these do not wait for them.
//!
//! Where memory is used up, a put that finds none first looks at a larger part of its shard.

use crate::directory::{self, Entry};
use crate::group::{SLOTS, SlotSet};
use crate::orphans;
use crate::place::{Field, Place, pair, unpair};
use crate::record::Record;
use crate::shard::Locked;
use crate::table::{BUCKETS, Table};
use shf_base::error::OpError;

/// Keys that an operation looks at.
const STEP_KEYS: u32 = 4;
/// Buckets that it looks at, at most.
const STEP_BUCKETS: usize = 3;
/// Places of the directory that one step passes, at most.
const LOOK_PLACES: u32 = 64;
/// How often a put that finds no memory reaps a part of its shard.
pub const REAPS_PER_PUT: u32 = 4;
/// Steps in that part: some eight full tables.
const ROOM_STEPS: usize = 8 * BUCKETS * SLOTS / STEP_KEYS as usize;

/// Where the hand is.
#[derive(Clone, Copy)]
struct Hand {
    /// A place in the directory.
    index: u32,
    /// The next slot of the table there, counted through all buckets.
    slot: usize,
}

/// What one step looks at.
struct Part {
    /// Occupied slots of buckets.
    slots: [(usize, SlotSet); STEP_BUCKETS],
    /// The slot behind them.
    end: usize,
}

impl Locked<'_> {
    /// A step of reaping, after an operation that went well.
    #[inline(always)]
    pub(crate) fn reap(&self) {
        // Keys with a deadline, or orphans.
        if self.memory.place.load(Field::Timed) != 0 {
            // A damaged slot is not this operation's business.
            let _ = self.reap_step();
        }
    }

    /// Reaps a part of the shard; whether there was anything. All of the part: what has expired
    /// lies scattered in the memory, and a record of another size finds no room before much of it
    /// is free.
    #[cold]
    pub(crate) fn reap_for_room(&self) -> bool {
        let mut reaped = 0;
        for _ in 0..ROOM_STEPS {
            if self.memory.place.load(Field::Timed) == 0 {
                break;
            }
            reaped += self.reap_step().unwrap_or(0);
        }
        reaped != 0
    }

    /// Deletes what is to be reaped of the next keys, and moves the hand on; how many.
    #[inline(never)]
    fn reap_step(&self) -> Result<u64, OpError> {
        let place = self.memory.place;
        let (hand, entry) = hand(place)?;
        let Some(Entry { table, .. }) = entry else {
            hand.store(place);
            return Ok(0);
        };
        let part = Part::of(table, hand.slot);
        // First: a damaged slot keeps nobody from those behind it.
        hand.behind(part.end).store(place);
        for (bucket, slots) in Part::of(table, part.end).slots {
            for slot in slots {
                Record::prefetch(&place, place.slot_format().reference(table.slot(bucket, slot)));
            }
        }
        let mut reaped = 0;
        for (bucket, slots) in part.slots {
            reaped += self.erase_of(table, bucket, slots, |record| self.is_to_be_reaped(record))?;
        }
        Ok(reaped)
    }

    /// Whether a record is in nobody's use any more: its key has expired, or it is an orphan.
    #[inline(always)]
    fn is_to_be_reaped(&self, record: &Record<'_>) -> bool {
        self.has_expired(record) || record.is_element() && self.is_orphan(record)
    }

    /// Whether a record is an element whose list is gone. A damaged index tells of none.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_orphan(&self, record: &Record<'_>) -> bool {
        let place = self.memory.place;
        orphans::count(place) != 0 && orphans::is_one(place, record).unwrap_or(false)
    }
}

impl Part {
    /// The keys of a table from a slot on.
    fn of(table: Table<'_>, from: usize) -> Part {
        let mut part = Part { slots: [(0, SlotSet(0)); STEP_BUCKETS], end: from };
        let mut keys_left = STEP_KEYS;
        for slots in &mut part.slots {
            let (bucket, first) = (part.end / SLOTS, part.end % SLOTS);
            if keys_left == 0 || bucket >= BUCKETS {
                break;
            }
            let mut occupied = table.head(bucket).occupied().0 & !0 << first;
            part.end = (bucket + 1) * SLOTS;
            while occupied.count_ones() > keys_left {
                let last = occupied.ilog2();
                occupied &= !(1 << last);
                part.end = bucket * SLOTS + last as usize;
            }
            keys_left -= occupied.count_ones();
            *slots = (bucket, SlotSet(occupied));
        }
        part
    }
}

impl Hand {
    /// Where it is when the slots of its table before one are passed.
    fn behind(self, slot: usize) -> Hand {
        match slot < BUCKETS * SLOTS {
            true => Hand { slot, ..self },
            false => Hand { index: self.index + 1, slot: 0 },
        }
    }

    fn store(self, place: Place<'_>) {
        place.store(Field::Hand, pair(self.index, self.slot as u32));
    }
}

/// Where the hand is, or the first table behind it; where none is near, how far it came.
fn hand(place: Place<'_>) -> Result<(Hand, Option<Entry<'_>>), OpError> {
    let places = 1u32 << directory::depth(&place)?;
    let (index, slot) = unpair(place.load(Field::Hand));
    let mut hand = Hand { index, slot: slot as usize % (BUCKETS * SLOTS) };
    for _ in 0..LOOK_PLACES {
        if hand.index >= places {
            hand = Hand { index: 0, slot: 0 };
        }
        let entry = directory::entry(&place, hand.index)?;
        if entry.is_some() {
            return Ok((hand, entry));
        }
        hand = Hand { index: hand.index + 1, slot: 0 };
    }
    Ok((hand, None))
}
