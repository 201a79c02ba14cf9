//! The change log: which keys of a shard change while somebody copies it.
//!
//! Who copies a shard sets the note `FOLLOWED` at its lock. From then on, whoever changes a key
//! under that lock enters the key's hash here, before the change. A hash too many costs a look; so
//! a writer that dies in between does no harm.
//!
//! ```text
//! header page, bytes   1216       1224    1228
//!                      | written | lock  | notes |
//! behind the slots     | ring: 32768 hashes, number n in place n % 32768 |
//! ```
//!
//! There is one log, and one shard is followed at a time: `mutex` is held by who follows. So the
//! shard's lock protects ring and count as well. The ring's pages are made real before the first
//! note is set, and given back after the last one is gone.
//!
//! If the follower dies, its note stays, and entries are made that nobody reads. One writer in
//! `LOOKS_APART` asks the kernel whether it lives (`is_followed`), and takes the note away. A
//! follower that comes meanwhile sets notes under the lock of the shard only, which that writer
//! holds; so the note that it takes away is none of a living one's. The ring's pages stay until the
//! next follower is done.

use crate::atomic::Ordering::{Acquire, Relaxed};
use crate::atomic::{Half, Word};
use crate::byte_lock::ByteRange;
use crate::error::OpError;
use crate::format::CHANGE_LOG_OFFSET;
use crate::geometry::{CHANGE_LOG_BYTES, Geometry};
use crate::lock_word;
use crate::region::Region;
use crate::robust_mutex::RobustMutex;
use crate::storage::Storage;

const LOCK_OFFSET: u64 = CHANGE_LOG_OFFSET + 8;
const NOTES_OFFSET: u64 = CHANGE_LOG_OFFSET + 12;
/// Entries of the ring.
pub const ENTRIES: u64 = CHANGE_LOG_BYTES / 8;

/// One entry in so many asks whether anybody reads it.
const LOOKS_APART: u64 = 1024;

/// The change log of a map.
#[derive(Clone, Copy)]
pub struct ChangeLog<'r> {
    region: &'r Region,
    ring: u64,
}

/// Entries were lost: more were made than the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapped;

impl<'r> ChangeLog<'r> {
    /// The log of the map in a region.
    pub fn new(region: &'r Region, geometry: &Geometry) -> ChangeLog<'r> {
        ChangeLog { region, ring: geometry.change_log() }
    }

    /// Held by who follows. Nothing that it protects is ever torn, so nobody asks whether an owner
    /// died.
    pub fn mutex(self) -> RobustMutex<'r> {
        let (lock, notes) = self.lock_words();
        RobustMutex::new(lock, notes)
    }

    /// The words of that mutex.
    pub(crate) fn lock_words(self) -> (Half<'r>, Half<'r>) {
        let half = |offset| self.region.half(offset).expect("the header page is mapped");
        (half(LOCK_OFFSET), half(NOTES_OFFSET))
    }

    /// Makes the ring real. No shard is followed yet.
    pub fn prepare(self, storage: &Storage) -> Result<(), OpError> {
        storage.ensure(self.ring, CHANGE_LOG_BYTES)
    }

    /// Gives the ring back. No shard is followed any more.
    pub fn release(self, storage: &Storage) {
        storage.release(self.ring, CHANGE_LOG_BYTES);
    }

    /// How many entries were ever made. The caller holds the lock of the shard that is followed.
    pub fn written(self) -> u64 {
        self.count().load(Relaxed)
    }

    /// Whether somebody follows a shard, as far as can be told. The caller holds the lock of one
    /// that has the note. Asks only now and then, before what `LOOKS_APART` says; else takes it for
    /// granted.
    pub fn is_followed(self, storage: &Storage) -> bool {
        if !self.written().is_multiple_of(LOOKS_APART) {
            return true;
        }
        let (lock, _) = self.lock_words();
        // Acquire pairs with the unlocker.
        let Some(slot) = lock_word::owner(lock.load(Acquire)) else { return false };
        // Through the file that all handles have, to whose locks those of this process's own slot
        // are another one's as well.
        let Ok(file) = storage.file() else { return true };
        ByteRange::slot(slot).held_elsewhere(file).unwrap_or(true)
    }

    /// Enters a hash. The caller holds the lock of a shard that is followed.
    pub fn enter(self, hash: u64) {
        let written = self.written();
        self.entry(written).store(hash, Relaxed);
        self.count().store(written.wrapping_add(1), Relaxed);
    }

    /// Says that anything may have changed. The caller holds the lock of a shard that is followed.
    pub fn lose(self) {
        self.count().store(self.written().wrapping_add(ENTRIES + 1), Relaxed);
    }

    /// Calls `visit` for each entry from number `from` on, and returns the number of the next one.
    /// The caller holds the lock of the shard that it follows.
    pub fn read(self, from: u64, mut visit: impl FnMut(u64)) -> Result<u64, Lapped> {
        let written = self.written();
        if written.wrapping_sub(from) > ENTRIES {
            return Err(Lapped);
        }
        let mut number = from;
        while number != written {
            visit(self.entry(number).load(Relaxed));
            number = number.wrapping_add(1);
        }
        Ok(written)
    }

    fn count(self) -> Word<'r> {
        self.region.word(CHANGE_LOG_OFFSET).expect("the header page is mapped")
    }

    fn entry(self, number: u64) -> Word<'r> {
        let offset = self.ring + number % ENTRIES * 8;
        self.region.word(offset).expect("the front of the file is mapped")
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::open::heap;

    #[test]
    fn what_was_entered_is_read_once_and_a_lap_is_noticed() {
        let opened = heap(1, 256 << 10, 1 << 20);
        let log = ChangeLog::new(opened.storage.region(), &opened.header.geometry);
        let read = |from| {
            let mut hashes = Vec::new();
            log.read(from, |hash| hashes.push(hash)).map(|next| (next, hashes))
        };
        // Also where the count comes around, as a stranger may have it.
        for begin in [0, u64::MAX - 5] {
            log.count().store(begin, Relaxed);
            assert_eq!(read(begin), Ok((begin, vec![])));
            (0..ENTRIES).for_each(|hash| log.enter(hash));
            assert_eq!(read(begin).unwrap().1, (0..ENTRIES).collect::<Vec<_>>());
            log.enter(7);
            assert_eq!(read(begin), Err(Lapped));
            let next = begin.wrapping_add(ENTRIES);
            assert_eq!(read(next), Ok((next.wrapping_add(1), vec![7])));
            log.lose();
            assert_eq!(read(next), Err(Lapped));
        }
    }
}
