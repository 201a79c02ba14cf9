//! The lock word of a shard: how it names its owner, sleeping on it, and the notes beside it.
//!
//! ```text
//! bit 31   waiters: somebody may sleep on the word, the unlocker wakes one
//! 30..16   zero
//! 15..0    slot of the owning process plus one; all 32 bits are zero when the lock is free
//! ```
//!
//! Words are not trusted: one that is not free and names no slot counts as held by a dead owner.
#![allow(unsafe_code)]

use crate::atomic::Half;
use crate::atomic::Ordering::{self, AcqRel, Relaxed};
#[cfg(not(any(loom, miri)))]
use crate::crash;
use crate::format::NOTE_SUSPECT;
use crate::geometry::SLOTS;
use std::time::Duration;

/// The lock is free.
pub(crate) const FREE: u32 = 0;
/// Somebody may sleep on the word.
pub(crate) const WAITERS: u32 = 1 << 31;

/// Note beside the word: an owner died or panicked.
pub(crate) const SUSPECT: u32 = NOTE_SUSPECT;
/// Note beside the word: somebody follows what changes (`change_log`).
pub(crate) const FOLLOWED: u32 = 2;

const _: () = assert!(SLOTS < 1 << 16, "a slot plus one fits into 16 bits");

/// The word of a lock that the process in `slot` holds.
#[inline(always)]
pub(crate) fn owned_by(slot: u32) -> u32 {
    slot + 1
}

/// The slot that a word names, `None` for a free word and for one that names no slot.
pub(crate) fn owner(word: u32) -> Option<u32> {
    let slot = (word & !WAITERS).wrapping_sub(1);
    (slot < SLOTS).then_some(slot)
}

/// Adds a note. Only for who holds the lock, or knows its owner to be dead and does so alone.
pub(crate) fn note(notes: Half<'_>, note: u32, order: Ordering) {
    notes.store(notes.load(Relaxed) | note, order);
}

/// Frees a lock whose owner is known to be dead, marks what it protects as suspect, and wakes the
/// waiters. Only for who holds the byte of `slot` without having locked anything as that slot yet.
pub(crate) fn free_if_owned_by(slot: u32, lock: Half<'_>, notes: Half<'_>) {
    let mut word = lock.load(Relaxed);
    while owner(word) == Some(slot) {
        // Before the word is freed: the next owner must see it, even if this process dies here.
        note(notes, SUSPECT, Relaxed);
        // Release pairs with the acquire of the next owner, which then sees the note.
        match lock.compare_exchange(word, FREE, AcqRel, Relaxed) {
            Ok(_) => return wake(lock, i32::MAX as u32),
            // Waiters may set their bit meanwhile; nobody else changes a dead owner's word.
            Err(found) => word = found,
        }
    }
}

/// Sleeps until the word is no longer `expected`, somebody wakes, a signal comes, or `timeout`
/// is over; which of them is not told.
#[cfg(not(any(loom, miri)))]
pub(crate) fn wait(lock: Half<'_>, expected: u32, timeout: Duration) {
    use rustix::thread::futex;
    let timeout = rustix::time::Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    crash::step();
    // Not private: the waker may be another process.
    let _ = futex::wait(word_of(&lock), futex::Flags::empty(), expected, Some(&timeout));
}

/// Wakes up to `count` sleepers.
#[cfg(not(any(loom, miri)))]
pub(crate) fn wake(lock: Half<'_>, count: u32) {
    use rustix::thread::futex;
    crash::step();
    let _ = futex::wake(word_of(&lock), futex::Flags::empty(), count);
}

#[cfg(not(any(loom, miri)))]
fn word_of<'r>(lock: &Half<'r>) -> &'r std::sync::atomic::AtomicU32 {
    // SAFETY: a `Half` is aligned and mapped for its lifetime, and accessed as 4 bytes only.
    unsafe { std::sync::atomic::AtomicU32::from_ptr(lock.as_ptr()) }
}

/// The model checker and Miri have no futex: let another thread run instead of sleeping.
#[cfg(any(loom, miri))]
pub(crate) fn wait(lock: Half<'_>, _expected: u32, _timeout: Duration) {
    let _ = lock.as_ptr();
    #[cfg(loom)]
    crate::atomic::spin_hint();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

/// Nobody sleeps, so nobody is woken.
#[cfg(any(loom, miri))]
pub(crate) fn wake(_lock: Half<'_>, _count: u32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_the_slot_that_owns_it_and_nothing_else_does() {
        assert_eq!(owner(FREE), None);
        assert_eq!(owner(owned_by(0)), Some(0));
        assert_eq!(owner(owned_by(SLOTS - 1) | WAITERS), Some(SLOTS - 1));
        for hostile in [WAITERS, owned_by(SLOTS), 0x7fff_0001, u32::MAX] {
            assert_eq!(owner(hostile), None, "{hostile:#x}");
        }
    }
}
