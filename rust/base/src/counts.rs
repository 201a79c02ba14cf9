//! What a process counts of its operations on a map.
//!
//! Each thread counts in private memory, in its own stripe (`stripes`): a get stores nothing that
//! anybody else loads. What it has counted is published to the record of the process's slot by
//! every 64th of its writes of a kind, and for all threads on request. So others see of each thread
//! up to 63 writes of each kind too few, and gets only up to that moment; of threads without a
//! stripe of their own that write at the same moments, now and then of 64 more.

use crate::fork;
use crate::stripes::{Block, Mine, NUMBERS, Stripe};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number of the counters.
pub const COUNTERS: usize = 8;

/// Operations that are done, by kind. Those that failed are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Gets that found their key: lookups without the lock, by key or UID, of a value, a type, an
    /// age or a length, each key of a batch and each range of a list for itself. Also where what
    /// was found could not be given, being too long or of another type.
    pub hits: u64,
    /// Gets that did not: there was no such key, or it had expired.
    pub misses: u64,
    /// Puts, each of a batch for itself, replaced or not.
    pub puts: u64,
    /// Keys deleted: by a delete, with a condition or without, by a take, or by `clear`.
    pub deletes: u64,
    /// Changes that depend on what was there: additions, puts under a condition that held (those of
    /// `update` too), appends, and new ages of keys that were there.
    pub changes: u64,
    /// Elements added to lists or taken away.
    pub lists: u64,
    /// Walks: each of a whole map, each piece of a scan, each view of a shard.
    pub walks: u64,
    /// How often a lock was held by another thread or process, and was waited for.
    pub waits: u64,
}

/// Which counter, in the order of a slot's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)] // as in `Counts`
pub enum Counter {
    Hits = 0,
    Misses = 1,
    Puts = 2,
    Deletes = 3,
    Changes = 4,
    Lists = 5,
    Walks = 6,
    Waits = 7,
}

impl Counts {
    /// All of them, each with its name.
    pub fn named(&self) -> [(&'static str, u64); COUNTERS] {
        let &Counts { hits, misses, puts, deletes, changes, lists, walks, waits } = self;
        [
            ("hits", hits),
            ("misses", misses),
            ("puts", puts),
            ("deletes", deletes),
            ("changes", changes),
            ("lists", lists),
            ("walks", walks),
            ("waits", waits),
        ]
    }
}

impl From<[u64; COUNTERS]> for Counts {
    fn from(counters: [u64; COUNTERS]) -> Counts {
        let [hits, misses, puts, deletes, changes, lists, walks, waits] = counters;
        Counts { hits, misses, puts, deletes, changes, lists, walks, waits }
    }
}

/// Writes of a kind from one publication to the next (`Usage::publish_own`).
pub const WRITES_PUBLISHED: u64 = 64;

/// Where the counters begin in a stripe; the first number is the gate's (`gate`).
const FIRST: usize = 1;
/// Where the numbers begin that say how far each is published.
const PUBLISHED: usize = 16;
const _: () = assert!(FIRST + COUNTERS <= PUBLISHED && PUBLISHED + COUNTERS <= NUMBERS);

/// The counts of one handle in this process. A forked child begins with zeros.
pub struct Usage(Tally);

/// A way to count there.
#[derive(Clone, Copy)]
pub(crate) struct Tally(&'static Block);

/// A way for somebody who is inside of a gate to count there, with no look for the stripe.
#[derive(Clone, Copy)]
pub struct Lane<'i>(pub(crate) &'i Stripe);

/// What is a part of something else is not counted.
#[derive(Clone, Copy)]
pub struct Uncounted;

/// Where a call counts what it has done.
pub trait Count: Copy {
    /// Counts one; how many there are then in the same stripe.
    fn count(self, counter: Counter) -> u64;
}

/// Something whose uses are counted.
pub trait Counted {
    /// Where.
    fn usage(&self) -> &Usage;
}

impl Usage {
    /// Counts of a new handle.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Usage {
        Usage(Tally(Block::take()))
    }

    pub(crate) fn tally(&self) -> Tally {
        self.0
    }

    pub(crate) fn block(&self) -> &'static Block {
        self.0.0
    }

    /// Counts several at once.
    pub fn count_many(&self, counter: Counter, many: u64) {
        match self.0.0.mine() {
            Mine::Own(stripe) => _ = add(stripe, counter, many),
            Mine::Shared(stripe) => _ = number(stripe, counter as usize).fetch_add(many, Relaxed),
        }
    }

    /// All that was counted: exact when nobody counts, else without the last of it.
    pub fn counts(&self) -> Counts {
        let sum = |counter: usize| {
            let counted = self.0.0.stripes().map(|stripe| number(stripe, counter).load(Relaxed));
            counted.fold(0, u64::wrapping_add)
        };
        Counts::from(std::array::from_fn(sum))
    }

    /// Hands to `add` what this thread has counted since its last publication, by counter.
    pub fn publish_own(&self, mut add: impl FnMut(usize, u64)) {
        match self.0.0.mine() {
            Mine::Own(stripe) | Mine::Shared(stripe) => publish(stripe, &mut add),
        }
    }

    /// The same of all threads.
    pub fn publish_all(&self, mut add: impl FnMut(usize, u64)) {
        self.0.0.stripes().for_each(|stripe| publish(stripe, &mut add));
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        for stripe in self.0.0.stripes() {
            for counter in 0..COUNTERS {
                number(stripe, counter).store(0, Relaxed);
                stripe.number(PUBLISHED + counter).store(0, Relaxed);
            }
        }
        self.0.0.give_back();
    }
}

impl Count for &Usage {
    #[inline(always)]
    fn count(self, counter: Counter) -> u64 {
        self.0.count(counter)
    }
}

impl Count for Lane<'_> {
    #[inline(always)]
    fn count(self, counter: Counter) -> u64 {
        add(self.0, counter, 1)
    }
}

impl Count for Uncounted {
    #[inline(always)]
    fn count(self, _: Counter) -> u64 {
        0
    }
}

/// Somebody who has no stripe in a block, and what he counts meanwhile: on from what those have
/// counted who are in the same case, so that he publishes as often.
#[repr(C)]
pub(crate) struct Guest {
    pub stripe: Stripe,
    pub room: &'static Block,
    /// Of the process that he came in (`fork`).
    pub generation: u64,
    before: [u64; COUNTERS],
}

impl Guest {
    pub fn of(room: &'static Block) -> Box<Guest> {
        let counted = |counter| number(room.shared(), counter).load(Relaxed);
        let (stripe, generation) = (Stripe::new(), fork::generation());
        let guest = Guest { stripe, room, generation, before: std::array::from_fn(counted) };
        for (counter, counted) in guest.before.into_iter().enumerate() {
            number(&guest.stripe, counter).store(counted, Relaxed);
        }
        Box::new(guest)
    }

    /// Adds what he has counted to the stripe of all who have none.
    pub fn hand_over(&self) {
        for (counter, before) in self.before.into_iter().enumerate() {
            let growth = number(&self.stripe, counter).load(Relaxed).wrapping_sub(before);
            if growth != 0 {
                number(self.room.shared(), counter).fetch_add(growth, Relaxed);
            }
        }
    }
}

impl Tally {
    /// Counts one; how many those are then in this stripe.
    #[inline(always)]
    pub fn count(self, counter: Counter) -> u64 {
        match self.0.own() {
            Some(stripe) => add(stripe, counter, 1),
            None => self.count_slowly(counter),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_slowly(self, counter: Counter) -> u64 {
        match self.0.mine() {
            Mine::Own(stripe) => add(stripe, counter, 1),
            Mine::Shared(stripe) => {
                number(stripe, counter as usize).fetch_add(1, Relaxed).wrapping_add(1)
            }
        }
    }
}

#[inline(always)]
fn number(stripe: &Stripe, counter: usize) -> &AtomicU64 {
    stripe.number(FIRST + counter)
}

/// Adds to a number that no other thread changes.
#[inline(always)]
fn add(stripe: &Stripe, counter: Counter, many: u64) -> u64 {
    let number = number(stripe, counter as usize);
    let sum = number.load(Relaxed).wrapping_add(many);
    number.store(sum, Relaxed);
    sum
}

/// Each count has a number beside it that says how far it is published. Of several threads that
/// publish the same at once, each adds another part.
fn publish(stripe: &Stripe, add: &mut impl FnMut(usize, u64)) {
    for counter in 0..COUNTERS {
        let counted = number(stripe, counter).load(Relaxed);
        let published = stripe.number(PUBLISHED + counter);
        if published.load(Relaxed) < counted {
            let before = published.fetch_max(counted, Relaxed);
            if before < counted {
                add(counter, counted - before);
            }
        }
    }
}
