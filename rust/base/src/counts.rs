//! What a process counts of its operations on a map.
//!
//! Each thread counts in private memory, in its own stripe (`stripes`): a get stores nothing that
//! anybody else loads. What it has counted is published to the record of the process's slot by
//! every 16th of its writes of a kind, and for all threads on request. So others see of each thread
//! up to 15 writes of each kind too few, and gets only up to that moment.

use crate::stripes::{Block, Mine, Stripe, Use};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number of the counters.
pub const COUNTERS: usize = 8;

/// Operations that are done, by kind. Those that failed are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Gets that found their key: lookups without the lock, by key or UID, of a value, a type, an
    /// age or a length, each key of a batch and each range of a list for itself. Also where what was found could not be
    /// given, being too long or of another type.
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

/// Writes of a kind from one publication to the next.
const WRITES_PUBLISHED: u64 = 16;

/// The counts of one handle in this process. A forked child begins with zeros.
pub struct Usage(Tally);

/// A way to count there.
#[derive(Clone, Copy)]
pub(crate) struct Tally(&'static Block);

impl Usage {
    /// Counts of a new handle.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Usage {
        Usage(Tally(Block::take(Use::Counts)))
    }

    pub(crate) fn tally(&self) -> Tally {
        self.0
    }

    /// Counts something that is not published by itself.
    #[inline(always)]
    pub fn count(&self, counter: Counter) {
        self.0.count(counter);
    }

    /// Counts a write; whether it is time to publish, see `publish_own`.
    #[inline(always)]
    pub fn count_write(&self, counter: Counter) -> bool {
        self.0.count(counter).is_multiple_of(WRITES_PUBLISHED)
    }

    /// Counts several at once.
    pub fn count_many(&self, counter: Counter, many: u64) {
        match self.0.0.mine() {
            Mine::Own(stripe) => _ = add(stripe, counter, many),
            Mine::Shared(stripe) => _ = stripe.number(counter as usize).fetch_add(many, Relaxed),
        }
    }

    /// All that was counted: exact when nobody counts, else without the last of it.
    pub fn counts(&self) -> Counts {
        let sum = |counter: usize| {
            let counted = self.0.0.stripes().map(|stripe| stripe.number(counter).load(Relaxed));
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
        let numbers = |stripe: &Stripe| {
            (0..2 * COUNTERS).for_each(|number| stripe.number(number).store(0, Relaxed));
        };
        self.0.0.stripes().for_each(numbers);
        self.0.0.give_back();
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
                stripe.number(counter as usize).fetch_add(1, Relaxed).wrapping_add(1)
            }
        }
    }
}

/// Adds to a number that no other thread changes.
#[inline(always)]
fn add(stripe: &Stripe, counter: Counter, many: u64) -> u64 {
    let number: &AtomicU64 = stripe.number(counter as usize);
    let sum = number.load(Relaxed).wrapping_add(many);
    number.store(sum, Relaxed);
    sum
}

/// Each count has a number beside it that says how far it is published. Of several threads that
/// publish the same at once, each adds another part.
fn publish(stripe: &Stripe, add: &mut impl FnMut(usize, u64)) {
    for counter in 0..COUNTERS {
        let counted = stripe.number(counter).load(Relaxed);
        let published = stripe.number(COUNTERS + counter);
        if published.load(Relaxed) < counted {
            let before = published.fetch_max(counted, Relaxed);
            if before < counted {
                add(counter, counted - before);
            }
        }
    }
}
