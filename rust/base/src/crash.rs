//! Crash points: a test build counts the stores into shared memory and dies, or stops, at the n-th.
//!
//! Without the feature `crash-points` every function here is empty and inlined away. The counter
//! belongs to the process: arm it in a forked child, never in the process that judges.

#[cfg(feature = "crash-points")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Steps left until death; 0 means disarmed.
#[cfg(feature = "crash-points")]
static LEFT: AtomicU64 = AtomicU64::new(0);
/// Steps taken since `reset`.
#[cfg(feature = "crash-points")]
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Whether the process stops instead of dying.
#[cfg(feature = "crash-points")]
static STOPS: AtomicBool = AtomicBool::new(false);

/// Dies (SIGKILL to this process) just before the `n`-th step from now; 0 disarms.
#[cfg(feature = "crash-points")]
pub fn arm(n: u64) {
    TAKEN.store(0, Ordering::Relaxed);
    STOPS.store(false, Ordering::Relaxed);
    LEFT.store(n, Ordering::Relaxed);
}

/// Stops (SIGSTOP to this process) just before the `n`-th step from now; goes on after SIGCONT.
#[cfg(feature = "crash-points")]
pub fn arm_stop(n: u64) {
    arm(n);
    STOPS.store(true, Ordering::Relaxed);
}

/// Steps taken since the last `arm`.
#[cfg(feature = "crash-points")]
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// One step: called before each store into shared memory and each change of the file's extent.
#[inline(always)]
pub fn step() {
    #[cfg(feature = "crash-points")]
    {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        if LEFT.load(Ordering::Relaxed) != 0 && LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            stop_or_die();
        }
    }
}

#[cfg(feature = "crash-points")]
#[allow(unsafe_code)]
fn stop_or_die() {
    let stops = STOPS.load(Ordering::Relaxed);
    // SAFETY: plain system calls on this process; SIGKILL cannot be caught, so nothing runs after.
    unsafe {
        libc::kill(libc::getpid(), if stops { libc::SIGSTOP } else { libc::SIGKILL });
        if !stops {
            loop {
                libc::pause();
            }
        }
    }
}
