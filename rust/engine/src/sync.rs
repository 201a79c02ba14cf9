//! Sync: what was acknowledged before it survives a crash of the machine.
//!
//! 1. An epoch begins, and each shard enters it under its lock. Whatever was acknowledged before is
//!    in the mapping by now, and whatever is retired from here on carries the new epoch.
//! 2. The disk gets all pages.
//! 3. The header says that the epoch is durable, and the disk gets that.
//! 4. Memory that was retired in earlier epochs may be used again.
//!
//! A crash before the end of 3 leaves the last epoch that is durable: nothing that was live when it
//! began has been written over (`quarantine`), so its records are found by their seals, whichever
//! version the disk has of each page (`salvage`). A process that dies anywhere in between leaves an
//! epoch that was begun, and never becomes durable itself.
//!
//! What the disk refuses, the kernel may drop. So a flush is noted in the map until it has
//! succeeded, and a sync that finds such a note has all pages written again.

use crate::growth;
use crate::map::Map;
use crate::place::Field;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;

impl Map {
    /// Makes everything that was acknowledged before the call, by any process, survive a crash of
    /// the machine. Others go on meanwhile; what they do may survive or not. What was there at a
    /// sync, and is deleted or replaced, keeps its memory until the next one: a map that changes as
    /// a whole between two of them takes twice as much.
    ///
    /// Waits for other calls of `sync`, and for the lock of each shard in turn; then for the disk.
    ///
    /// Errors: `NotDurable`, `ReadOnly`; `Busy` as for other writing operations; `System` when the
    /// disk refuses, after which nothing more than before is known to survive.
    pub fn sync(&self) -> Result<(), OpError> {
        let presence = self.writer()?;
        if !self.facts.durable {
            return Err(OpError::NotDurable);
        }
        let epochs = self.place(0).epochs();
        let _guard = epochs.mutex().lock(presence, self.patience)?;
        let known = self.places().map(|place| place.load(Field::Epoch)).max().unwrap_or(0);
        let epoch = epochs.begin(known);
        let unsure = epochs.failed();
        for shard in 0..self.geometry().shards() {
            let locked = self.lock(shard)?;
            locked.enter_epoch(epoch)?;
            if unsure {
                // Under the lock, since the areas may shrink.
                self.write_again(&growth::committed_areas(locked.place()));
            }
        }
        if unsure {
            self.write_again(&[(0, self.geometry().front_bytes())]);
        }
        // Before, so that who is killed between a failure and its note leaves the note.
        epochs.set_failed(true);
        self.storage.flush(0, self.geometry().file_bytes())?;
        epochs.set_durable(epoch);
        self.storage.flush(0, PAGE_BYTES)?;
        epochs.set_failed(false);
        epochs.set_reusable(epoch);
        Ok(())
    }

    /// Has all of some areas written again, as far as they are real.
    fn write_again(&self, areas: &[(u64, u64)]) {
        for &(offset, len) in areas {
            for (from, to) in self.storage.real_parts(offset, offset + len) {
                self.storage.touch(from, to - from);
            }
        }
    }
}
