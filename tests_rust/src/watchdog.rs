//! A watchdog for a test: what hangs ends as a failure, and no test hangs for ever.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Seconds that a guarded piece of a test may take: far more than it ever needs.
const SECONDS: u64 = 120;

/// Ends the process when it is neither dropped nor fed in time.
pub struct Watchdog {
    alive: Sender<()>,
}

impl Watchdog {
    /// Starts watching; `what` names what must not hang.
    pub fn new(what: &'static str) -> Watchdog {
        let (alive, dropped) = channel::<()>();
        thread::spawn(move || {
            let over = loop {
                match dropped.recv_timeout(Duration::from_secs(SECONDS)) {
                    Ok(()) => {}
                    Err(over) => break over,
                }
            };
            if over == RecvTimeoutError::Timeout {
                eprintln!("watchdog: {what} hangs");
                std::process::abort();
            }
        });
        Watchdog { alive }
    }

    /// Starts the time anew: for what consists of many pieces.
    pub fn feed(&self) {
        let _ = self.alive.send(());
    }
}
