//! How long a process was ready to run and did not, because no processor was free.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Calls after which it is looked up again.
const CALLS_PER_LOOK: u64 = 32;

/// The kernel's account of a process; where it keeps none, all times are 0.
pub struct RunDelay {
    file: Option<File>,
    looked: u64,
}

impl RunDelay {
    /// That of this process.
    pub fn own() -> RunDelay {
        RunDelay { file: File::open("/proc/self/schedstat").ok(), looked: 0 }
    }

    /// Nanoseconds until now of another process, which may be dead, but not waited for.
    pub fn of(process: i32) -> u64 {
        let file = File::open(format!("/proc/{process}/schedstat")).ok();
        RunDelay { file, looked: 0 }.now()
    }

    /// Looks, now and then.
    pub fn look(&mut self, call: u64) {
        if call.is_multiple_of(CALLS_PER_LOOK) || self.looked == 0 {
            self.looked = self.now();
        }
    }

    /// Nanoseconds until the last look.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// Nanoseconds since then; looks again.
    pub fn since_look(&mut self) -> u64 {
        let (before, now) = (self.looked, self.now());
        self.looked = now;
        now - before
    }

    fn now(&self) -> u64 {
        let mut text = [0; 64];
        let read = self.file.as_ref().map_or(0, |file| file.read_at(&mut text, 0).unwrap_or(0));
        let text = String::from_utf8_lossy(&text[..read]);
        text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}
