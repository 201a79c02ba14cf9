//! Locking switched off, for a thread that writes alone: it keeps the locks of all shards.
//!
//! So nothing is given up. Others who would write wait, as for any lock, and take over from the
//! dead as from any owner; repair finds what it always finds. All that the thread saves is taking
//! and giving back a lock with each operation.

use crate::lock;
use crate::map::Map;
use shf_base::error::OpError;

impl Map {
    /// With `false`, this thread takes the locks of all shards, once it gets them, and keeps them:
    /// its operations take none any more, which is faster. All others who would write, other
    /// threads of this process as well, wait until it says `true`, closes this handle, or dies;
    /// with `Options::patience` they are told `Busy`. Readers go on as always. A forked child has
    /// none of the locks. To say what is so already changes nothing.
    ///
    /// Errors: `ReadOnly`; `Busy` as for other writing operations, when another one has a lock,
    /// this process's other threads among them: then nothing has changed.
    pub fn set_lockable(&self, lockable: bool) -> Result<(), OpError> {
        let presence = self.writer()?;
        if lockable != presence.keeps_locks() {
            return Ok(());
        }
        if lockable {
            self.give_locks_back();
            return Ok(());
        }
        let mut locked = Vec::new();
        for shard in 0..self.geometry().shards() {
            locked.push(self.lock(shard)?);
        }
        locked.into_iter().for_each(|locked| locked.keep());
        presence.keep_locks(true);
        Ok(())
    }

    /// Of a thread that keeps them, or when nobody uses this handle any more.
    pub(crate) fn give_locks_back(&self) {
        if let Some(presence) = &self.presence {
            presence.keep_locks(false);
            self.places().for_each(|place| lock::mutex(place).give_back());
        }
    }

    /// Whether operations of this thread take locks.
    pub fn is_lockable(&self) -> bool {
        !self.presence.as_ref().is_some_and(|presence| presence.keeps_locks())
    }
}
