//! A handle is closed: what it has taken for itself goes back.

use crate::map::Map;
use shf_base::slot::Presence;
use std::thread;

impl Drop for Map {
    fn drop(&mut self) {
        if self.presence.as_ref().is_some_and(Presence::has_keeper) {
            self.give_locks_back();
        }
        let is_here = self.presence.as_ref().is_some_and(Presence::has_slot);
        if self.is_creator && is_here && !thread::panicking() {
            // What cannot be given back is not needed back.
            let _ = self.trim();
        }
    }
}
