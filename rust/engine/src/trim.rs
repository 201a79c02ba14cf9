//! Closing a map that was built: what was made real ahead, and not used, goes back.

use crate::map::Map;
use crate::shard;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;
use shf_base::slot::Presence;
use std::thread;

impl Map {
    /// Gives back the real memory that the shards have taken ahead and never used: some pages of each.
    /// Returns its bytes. Nobody waits: shards that somebody is writing to are left alone. The next
    /// puts take it anew. Closing the handle that a map was created with does this, so that a map that
    /// was built, and is only read from then on, is no larger than it needs to be (`freeze` makes it
    /// as small as it can be).
    ///
    /// Errors: `ReadOnly`; `TooManyProcesses` and `System` in a forked child.
    pub fn trim(&self) -> Result<u64, OpError> {
        let presence = self.writer()?;
        let mut pages = 0;
        for place in self.places() {
            if let Some(locked) = shard::lock_at_rest(self.memory(place), presence)? {
                pages += locked.memory.trim();
            }
        }
        Ok(pages * PAGE_BYTES)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let is_here = self.presence.as_ref().is_some_and(Presence::has_slot);
        if self.is_creator && is_here && !thread::panicking() {
            // What cannot be given back is not needed back.
            let _ = self.trim();
        }
    }
}
