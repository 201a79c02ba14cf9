//! Reaping: giving back the memory of keys that have expired, and of elements whose list is gone
//! (`orphans`), without anyone asking for it.
//!
//! While a shard has keys with a deadline, or orphans, each put, and each delete of a key that is
//! there, moves a hand of the shard (`hand`) on by four records, or by three buckets that hold
//! fewer, and deletes those that have expired, and orphans.
//!
//! How many expired keys there are: let each key live while `a` others are put, and the hand pass
//! `k` of `N` keys with each put. A key is met `N / k` puts after the last time, so half of that
//! after it expired, on average: `N = a + N / 2k`, which is 1.14 `a` for `k = 4`. The records of
//! the next four keys are fetched while other operations go on, so that these do not wait for them.
//!
//! Where memory is used up, a put that finds none first looks at a larger part of its shard.

use crate::age::Deadline;
use crate::group::SLOTS;
use crate::hand::{Hand, Met, Step};
use crate::kind::Kind;
use crate::orphans;
use crate::place::Field;
use crate::record::Record;
use crate::shard::{Erased, Locked};
use crate::table::BUCKETS;
use arrayvec::ArrayVec;
use shf_base::atomic::Ordering::Relaxed;
use shf_base::error::OpError;

/// Keys that an operation looks at.
const KEYS: usize = 4;
const STEP: Step = Step { keys: KEYS as u32, buckets: 3 };
/// How often a put that finds no memory reaps a part of its shard.
pub const REAPS_PER_PUT: u32 = 4;
/// Steps in that part: some eight full tables.
const ROOM_STEPS: usize = 8 * BUCKETS * SLOTS / KEYS;

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
    fn reap_step(&self) -> Result<usize, OpError> {
        let place = self.memory.place;
        let mut due = ArrayVec::<Met<'_>, KEYS>::new();
        let hand = Hand::of(place, Field::Hand).after(place, STEP, |met| {
            let reference = met.reference(place);
            let is_due = match Record::glance(&place, reference) {
                Some((Kind::Element, _)) => {
                    Record::at(&place, reference).is_some_and(|record| self.is_orphan(&record))
                }
                Some((_, Some(word))) => self.is_over(Deadline::of_word(word.load(Relaxed))),
                _ => false,
            };
            if is_due {
                due.push(met);
            }
        })?;
        // First: a damaged slot keeps nobody from those behind it.
        hand.store(place, Field::Hand);
        hand.fetch(place, STEP)?;
        let reaped = due.len();
        for met in due {
            self.erase_met(met, Erased::Expired)?;
        }
        Ok(reaped)
    }

    /// Whether a record is an element whose list is gone. A damaged index tells of none.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_orphan(&self, record: &Record<'_>) -> bool {
        let place = self.memory.place;
        orphans::count(place) != 0 && orphans::is_one(place, record).unwrap_or(false)
    }
}
