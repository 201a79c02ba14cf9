//! Counting what a process does through a handle, see `shf_base::counts`.

use crate::map::Map;
use shf_base::counts::{Count, Counted, Counter, Counts, Usage, WRITES_PUBLISHED};
use shf_base::error::OpError;

impl Counted for Map {
    fn usage(&self) -> &Usage {
        &self.usage
    }
}

impl Map {
    /// What this process has done through this handle: exact when nobody uses it at the moment. A
    /// forked child begins with zeros. Handles that only read count as well.
    pub fn counts(&self) -> Counts {
        self.usage.counts()
    }

    /// Has `processes` say, of this process, all that it has done up to now. Without it, and
    /// without asking for `processes` or `stats` itself, others see of each thread up to 63 writes
    /// of each kind too few, of deletes also those of a `clear`, and gets only up to its last 64th
    /// write of a kind. Stores to the map, unless this handle only reads, or is a forked child's
    /// that has not written yet: nobody sees those.
    pub fn publish_counts(&self) {
        if let Some(presence) = self.presence.as_ref().filter(|presence| presence.has_slot()) {
            self.usage.publish_all(|counter, growth| presence.publish(counter, growth));
        }
    }

    /// Counts a walk, or a piece of one.
    pub(crate) fn count_walk(&self) {
        self.usage.count(Counter::Walks);
    }

    /// Counts a write that was done.
    #[inline(always)]
    pub(crate) fn count_write(&self, by: impl Count, counter: Counter) {
        if by.count(counter).is_multiple_of(WRITES_PUBLISHED) {
            self.publish_own();
        }
    }

    /// Counts a write, if there was one.
    #[inline(always)]
    pub(crate) fn count_some<A>(
        &self,
        by: impl Count,
        counter: Counter,
        done: Result<Option<A>, OpError>,
    ) -> Result<Option<A>, OpError> {
        if let Ok(Some(_)) = &done {
            self.count_write(by, counter);
        }
        done
    }

    /// Counts a write that was done, if it went well.
    #[inline(always)]
    pub(crate) fn count_done<A>(
        &self,
        by: impl Count,
        counter: Counter,
        done: Result<A, OpError>,
    ) -> Result<A, OpError> {
        if done.is_ok() {
            self.count_write(by, counter);
        }
        done
    }

    /// Counts a delete, if the key was there.
    #[inline(always)]
    pub(crate) fn count_delete(
        &self,
        by: impl Count,
        deleted: Result<bool, OpError>,
    ) -> Result<bool, OpError> {
        if let Ok(true) = deleted {
            self.count_write(by, Counter::Deletes);
        }
        deleted
    }

    #[cold]
    #[inline(never)]
    fn publish_own(&self) {
        if let Some(presence) = self.presence.as_ref().filter(|presence| presence.has_slot()) {
            self.usage.publish_own(|counter, growth| presence.publish(counter, growth));
        }
    }
}

/// Counts a get by its answer.
pub(crate) fn count_get<A>(by: impl Count, answer: &Result<Option<A>, OpError>) {
    match answer {
        Ok(Some(_)) => _ = by.count(Counter::Hits),
        Ok(None) => _ = by.count(Counter::Misses),
        Err(_) => {}
    }
}
