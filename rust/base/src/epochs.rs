//! The epochs of a durable map: which syncs have begun, which one a crash of the machine leaves
//! standing, and what memory may be used again.
//!
//! Every sync begins an epoch, and each shard moves to it under its lock. What is retired in a
//! shard carries the shard's epoch. With `durable` = E the state of the map when its shards moved
//! to epoch E is on the disk, so what carries an epoch before E is gone for good, and what carries
//! E or a later one may still be what the disk has. 0: there was no sync yet.
//!
//! ```text
//! header page, bytes   1088      1096      1104       1112     1120    1124
//!                      | begun   | durable | reusable | failed | lock  | suspect |
//! ```
//!
//! Invariant: reusable <= durable <= begun, and `reusable` follows `durable` only after `durable`
//! itself has reached the disk.

use crate::atomic::Ordering::{Acquire, Release};
use crate::atomic::{Half, Word};
use crate::format::EPOCHS_OFFSET;
use crate::region::Region;
use crate::robust_mutex::RobustMutex;

const DURABLE_OFFSET: u64 = EPOCHS_OFFSET + 8;
const REUSABLE_OFFSET: u64 = EPOCHS_OFFSET + 16;
const FAILED_OFFSET: u64 = EPOCHS_OFFSET + 24;
const LOCK_OFFSET: u64 = EPOCHS_OFFSET + 32;
const SUSPECT_OFFSET: u64 = EPOCHS_OFFSET + 36;

/// The epochs of a map.
#[derive(Clone, Copy)]
pub struct Epochs<'r> {
    region: &'r Region,
}

impl<'r> Epochs<'r> {
    /// The epochs of the map in a region.
    #[inline(always)]
    pub fn new(region: &'r Region) -> Epochs<'r> {
        Epochs { region }
    }

    /// Held by who syncs. What it protects is whole at any moment, so nobody asks whether an owner
    /// died.
    pub fn mutex(self) -> RobustMutex<'r> {
        let (lock, suspect) = self.lock_words();
        RobustMutex::new(lock, suspect)
    }

    /// The words of that mutex.
    pub(crate) fn lock_words(self) -> (Half<'r>, Half<'r>) {
        let half = |offset| self.region.half(offset).expect("the header page is mapped");
        (half(LOCK_OFFSET), half(SUSPECT_OFFSET))
    }

    /// The last epoch that was begun.
    pub fn begun(self) -> u64 {
        self.word(EPOCHS_OFFSET).load(Acquire)
    }

    /// Begins an epoch behind all that were begun, `known` among them. The caller holds the mutex.
    pub fn begin(self, known: u64) -> u64 {
        let begun = self.begun().max(self.durable()).max(known).saturating_add(1);
        self.word(EPOCHS_OFFSET).store(begun, Release);
        begun
    }

    /// The epoch whose beginning a crash of the machine leaves standing.
    pub fn durable(self) -> u64 {
        self.word(DURABLE_OFFSET).load(Acquire)
    }

    /// Says that all that was stored before `epoch` began is on the disk.
    pub fn set_durable(self, epoch: u64) {
        self.word(DURABLE_OFFSET).store(epoch, Release);
    }

    /// What was retired in an epoch before this one may be used again.
    #[inline(always)]
    pub fn reusable(self) -> u64 {
        self.word(REUSABLE_OFFSET).load(Acquire)
    }

    /// Says that `durable` is on the disk.
    pub fn set_reusable(self, epoch: u64) {
        self.word(REUSABLE_OFFSET).store(epoch, Release);
    }

    /// Whether a flush was begun and nobody saw it succeed: the kernel may have forgotten what the
    /// disk refused.
    pub fn failed(self) -> bool {
        self.word(FAILED_OFFSET).load(Acquire) != 0
    }

    /// Says whether there is such a flush.
    pub fn set_failed(self, failed: bool) {
        self.word(FAILED_OFFSET).store(failed.into(), Release);
    }

    /// After a crash of the machine: nothing later than `durable` has happened.
    pub(crate) fn fall_back(self) {
        let durable = self.durable();
        self.word(EPOCHS_OFFSET).store(durable, Release);
        self.set_reusable(durable);
        self.set_failed(false);
    }

    #[inline(always)]
    fn word(self, offset: u64) -> Word<'r> {
        self.region.word(offset).expect("the header page is mapped")
    }
}
