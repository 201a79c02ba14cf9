//! What a process counts of its operations on a map.
//!
//! Each thread counts in private memory, in its own numbers (`numbers`): a get stores nothing that
//! anybody else loads. What it has counted is published to the record of the process's slot by
//! every 64th of its writes of a kind, and for all threads on request. So others see of each thread
//! up to 63 writes of each kind too few, of deletes also those of a `clear`, and gets only up to
//! that moment.

use crate::numbers::{Block, NUMBERS, Numbers};
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

/// Where the numbers begin that say how far each counter is published.
const PUBLISHED: usize = COUNTERS;
const _: () = assert!(PUBLISHED + COUNTERS == NUMBERS);

/// The counts of one handle in this process. A forked child begins with zeros.
pub struct Usage(Tally);

/// A way to count there.
#[derive(Clone, Copy)]
pub(crate) struct Tally(&'static Block);

/// A way for somebody who is inside of a gate to count there, with no look for his numbers.
#[derive(Clone, Copy)]
pub struct Lane<'i>(pub(crate) &'i Numbers);

/// What is a part of something else is not counted.
#[derive(Clone, Copy)]
pub struct Uncounted;

/// Where a call counts what it has done.
pub trait Count: Copy {
    /// Counts one; how many this thread has then.
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
        add(self.0.0.numbers().mine(), counter, many);
    }

    /// All that was counted: exact when nobody counts, else without the last of it.
    pub fn counts(&self) -> Counts {
        let sum = |counter: usize| {
            let counted =
                self.0.0.numbers().all().map(|numbers| numbers.number(counter).load(Relaxed));
            counted.fold(0, u64::wrapping_add)
        };
        Counts::from(std::array::from_fn(sum))
    }

    /// Hands to `add` what this thread has counted since its last publication, by counter.
    pub fn publish_own(&self, mut add: impl FnMut(usize, u64)) {
        publish(self.0.0.numbers().mine(), &mut add);
    }

    /// The same of all threads.
    pub fn publish_all(&self, mut add: impl FnMut(usize, u64)) {
        self.0.0.numbers().all().for_each(|numbers| publish(numbers, &mut add));
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
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

impl Tally {
    /// Counts one; how many this thread has then.
    #[inline(always)]
    pub fn count(self, counter: Counter) -> u64 {
        match self.0.numbers().own() {
            Some(numbers) => add(numbers, counter, 1),
            None => self.count_slowly(counter),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_slowly(self, counter: Counter) -> u64 {
        add(self.0.numbers().mine(), counter, 1)
    }
}

/// Adds to a number that no other thread changes.
#[inline(always)]
fn add(numbers: &Numbers, counter: Counter, many: u64) -> u64 {
    let number = numbers.number(counter as usize);
    let sum = number.load(Relaxed).wrapping_add(many);
    number.store(sum, Relaxed);
    sum
}

/// Each count has a number beside it that says how far it is published. Of several threads that
/// publish the same at once, each adds another part.
fn publish(numbers: &Numbers, add: &mut impl FnMut(usize, u64)) {
    for counter in 0..COUNTERS {
        let counted = numbers.number(counter).load(Relaxed);
        let published = numbers.number(PUBLISHED + counter);
        if published.load(Relaxed) < counted {
            let before = published.fetch_max(counted, Relaxed);
            if before < counted {
                add(counter, counted - before);
            }
        }
    }
}
