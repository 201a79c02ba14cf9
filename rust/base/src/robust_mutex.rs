//! A mutex in shared memory that survives the death of its owner.
//!
//! The lock word names the slot of the process that holds it (see `lock_word`). Who waits first
//! spins, on plain loads and with backoff, then sleeps a few milliseconds at a time; after each
//! sleep that changed nothing it asks the kernel, through the byte lock of the owner's slot,
//! whether the owner lives. Waiting for a living owner, who may be stopped, ends with the caller's
//! patience, if that has an end.
//!
//! Taking over from a dead owner, each step safe to die after:
//!
//! 1. hold the byte of the owner's slot, so that nobody can take that slot or take over as well;
//! 2. see that the word still names it;
//! 3. store `suspect`: from here on the next owner repairs, whoever that is;
//! 4. put oneself into the word;
//! 5. give the byte back.
//!
//! A suspicion too many costs a repair; one too few would cost the data, hence the order.

use crate::atomic::Half;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::atomic::spin_hint;
use crate::error::OpError;
use crate::lock_word::{self, FOLLOWED, FREE, SUSPECT, WAITERS, note};
use crate::slot::Presence;
use std::time::{Duration, Instant};

/// How long a waiter sleeps before it looks whether the owner is alive. Tests that kill owners by
/// the ten thousand would spend their time here.
const PROBE_AFTER: Duration =
    Duration::from_micros(if cfg!(feature = "crash-points") { 200 } else { 4_000 });
/// Tries of a waiter before it sleeps; the pauses between them double up to `SPINS_MAX`. Together
/// they last some 25 us, as long as most splits and growth steps of an owner, and less than it
/// takes to sleep and be woken.
const TRIES: u32 = if cfg!(any(loom, miri)) { 1 } else { 40 };
/// Longest pause between two tries, in spin hints of some 10 ns each on current processors.
const SPINS_MAX: u32 = 64;

/// The lock of a shard: a word that names the owner, and one of notes for who locks: an owner died
/// or panicked; somebody follows what changes.
#[derive(Clone, Copy)]
pub struct RobustMutex<'r> {
    lock: Half<'r>,
    notes: Half<'r>,
}

/// The lock, held by this thread; dropping it unlocks.
pub struct Guard<'r> {
    mutex: RobustMutex<'r>,
    panicking: bool,
    /// The lock stays when the guard goes.
    lasting: bool,
}

impl<'r> RobustMutex<'r> {
    /// The mutex that lives in two half words, both zero in a new map.
    #[inline(always)]
    pub fn new(lock: Half<'r>, notes: Half<'r>) -> RobustMutex<'r> {
        RobustMutex { lock, notes }
    }

    /// Locks: waits for a living owner, takes over from a dead one. Not reentrant. `Busy` when the
    /// owner has kept the lock for the whole of `patience`; without one, waits as long as it lives.
    /// Fails else only where a forked child cannot get a slot of its own.
    #[inline(always)]
    pub fn lock(self, who: &'r Presence, patience: Option<Duration>) -> Result<Guard<'r>, OpError> {
        let me = lock_word::owned_by(who.slot()?);
        if self.acquire(FREE, me).is_err() {
            self.wait_and_acquire(who, me, patience)?;
        }
        Ok(Guard::new(self))
    }

    /// Locks if that takes no waiting. A dead owner's lock is taken over, after one system call.
    #[inline(always)]
    pub fn try_lock(self, who: &'r Presence) -> Result<Option<Guard<'r>>, OpError> {
        let me = lock_word::owned_by(who.slot()?);
        let locked = match self.acquire(FREE, me) {
            Ok(_) => true,
            Err(FREE) => false,
            Err(word) => self.take_over(who, word, me | (word & WAITERS)),
        };
        Ok(locked.then(|| Guard::new(self)))
    }

    /// A guard of a lock that this process keeps (`Guard::keep`). Only for the thread that keeps
    /// it, one at a time.
    #[inline(always)]
    pub fn kept(self) -> Guard<'r> {
        let mut guard = Guard::new(self);
        guard.lasting = true;
        guard
    }

    /// Unlocks what was kept.
    pub fn give_back(self) {
        drop(Guard::new(self));
    }

    /// Acquire pairs with the release of the unlocker, and with that of a sweep.
    #[inline(always)]
    fn acquire(self, expected: u32, mine: u32) -> Result<u32, u32> {
        self.lock.compare_exchange(expected, mine, Acquire, Relaxed)
    }

    #[cold]
    fn wait_and_acquire(
        self,
        who: &Presence,
        me: u32,
        patience: Option<Duration>,
    ) -> Result<(), OpError> {
        who.note_wait();
        let begun = Instant::now();
        let mut mine = me;
        while !self.spin_and_acquire(mine) {
            let left = patience.map(|patience| patience.saturating_sub(begun.elapsed()));
            let word = self.lock.load(Relaxed);
            let awaited = word | WAITERS;
            if word != FREE && (word == awaited || self.acquire(word, awaited).is_ok()) {
                lock_word::wait(self.lock, awaited, left.unwrap_or(PROBE_AFTER).min(PROBE_AFTER));
                // Others may sleep as well: who has slept, wakes.
                mine = me | WAITERS;
                if self.lock.load(Relaxed) == awaited && self.take_over(who, awaited, mine) {
                    break;
                }
            }
            if left == Some(Duration::ZERO) {
                // The waiters bit stays, and costs the owner a wake in vain.
                return Err(OpError::Busy);
            }
        }
        Ok(())
    }

    /// Tries a bounded number of times, only when a plain load says that the lock is free: a
    /// compare-and-swap that fails still takes the line away from the owner.
    fn spin_and_acquire(self, mine: u32) -> bool {
        let mut spins = 1;
        for _ in 0..TRIES {
            if self.lock.load(Relaxed) == FREE && self.acquire(FREE, mine).is_ok() {
                return true;
            }
            for _ in 0..spins {
                spin_hint();
            }
            spins = (2 * spins).min(SPINS_MAX);
        }
        false
    }

    /// Takes the lock that `word` names the owner of, if that owner is dead.
    fn take_over(self, who: &Presence, word: u32, mine: u32) -> bool {
        let Some(slot) = lock_word::owner(word) else { return self.seize(word, mine) };
        // Held until the word names us.
        let Some(_dead) = who.dead(slot) else { return false };
        self.seize(word, mine)
    }

    fn seize(self, word: u32, mine: u32) -> bool {
        if self.lock.load(Relaxed) != word {
            return false;
        }
        note(self.notes, SUSPECT, Relaxed);
        // Release: who sees the new owner in the word sees the suspicion. Acquire pairs with the
        // unlocker before the dead owner; what the dead one stored came to memory with its death.
        self.lock.compare_exchange(word, mine, AcqRel, Relaxed).is_ok()
    }
}

impl<'r> Guard<'r> {
    #[inline(always)]
    fn new(mutex: RobustMutex<'r>) -> Guard<'r> {
        Guard { mutex, panicking: std::thread::panicking(), lasting: false }
    }

    /// Keeps the lock beyond the life of the guard, until `RobustMutex::give_back`, or the death of
    /// the process.
    pub fn keep(mut self) {
        self.lasting = true;
    }

    /// Whether there is nothing to know, under this lock.
    #[inline(always)]
    pub fn has_no_notes(&self) -> bool {
        self.mutex.notes.load(Relaxed) == 0
    }

    /// Whether an owner died or panicked since the last `clear_suspect`.
    #[inline(always)]
    pub fn suspect(&self) -> bool {
        self.mutex.notes.load(Relaxed) & SUSPECT != 0
    }

    /// Says that what the lock protects is about to be not whole.
    pub fn set_suspect(&self) {
        // Release: nothing of it comes before.
        note(self.mutex.notes, SUSPECT, Release);
    }

    /// Says that what the lock protects is whole again.
    pub fn clear_suspect(&self) {
        // Release: the repair comes first.
        let notes = self.mutex.notes.load(Relaxed);
        self.mutex.notes.store(notes & !SUSPECT, Release);
    }

    /// Whether somebody follows what changes under the lock (`change_log`).
    #[inline(always)]
    pub fn followed(&self) -> bool {
        self.mutex.notes.load(Relaxed) & FOLLOWED != 0
    }

    /// Says whether somebody does.
    pub fn set_followed(&self, followed: bool) {
        let notes = self.mutex.notes.load(Relaxed) & !FOLLOWED;
        let note = if followed { FOLLOWED } else { 0 };
        self.mutex.notes.store(notes | note, Relaxed);
    }
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if std::thread::panicking() && !self.panicking {
            note(self.mutex.notes, SUSPECT, Relaxed);
        }
        if self.lasting {
            return;
        }
        // Release pairs with the acquire of the next owner.
        let word = self.mutex.lock.swap(FREE, Release);
        if word & WAITERS != 0 {
            lock_word::wake(self.mutex.lock, 1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use crate::atomic::model;
    use crate::open::{Opened, heap};
    use std::sync::Arc;

    #[test]
    fn two_threads_exclude_each_other_in_every_order() {
        let opened = Arc::new(heap(1, 256 << 10, 1 << 20));
        let count = |opened: &Opened| {
            let region = opened.storage.region();
            let [lock, notes] = [64, 68].map(|offset| region.half(8192 + offset).unwrap());
            let counter = region.word(8192).unwrap();
            let who = opened.presence.as_ref().unwrap();
            let guard = RobustMutex::new(lock, notes).lock(who, None).unwrap();
            counter.store(counter.load(Relaxed) + 1, Relaxed);
            drop(guard);
            counter.load(Relaxed)
        };
        let executions = model::check(3, move || {
            let other = opened.clone();
            let thread = loom::thread::spawn(move || {
                count(&other);
            });
            count(&opened);
            thread.join().unwrap();
            assert_eq!(count(&opened), 3);
        });
        assert!(executions > 10, "{executions}");
    }
}
