//! Crash points: a test build counts its steps and dies, or stops, before the n-th. A step is a
//! store into shared memory, the beginning, a middle and the end of a bulk copy, or a system call
//! that others can see the effect of: on the file's extent, its name or its mode, on a byte lock,
//! on who sleeps on a lock word.
//!
//! A reader takes no steps. It has *looks* instead, of which it can stop at the n-th: between the
//! load of a reference and that of the record's header, and between that and the copy.
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

/// Looks left until the process stops; 0 means disarmed.
#[cfg(feature = "crash-points")]
static LOOKS_LEFT: AtomicU64 = AtomicU64::new(0);

/// Whether the process stops instead of dying.
#[cfg(feature = "crash-points")]
static STOPS: AtomicBool = AtomicBool::new(false);

/// Whether the engine checks what it did.
#[cfg(feature = "crash-points")]
static CHECKS: AtomicBool = AtomicBool::new(false);

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

/// Stops (SIGSTOP to this process) at the `n`-th look from now; goes on after SIGCONT.
#[cfg(feature = "crash-points")]
pub fn arm_look(n: u64) {
    LOOKS_LEFT.store(n, Ordering::Relaxed);
}

/// Steps taken since the last `arm`.
#[cfg(feature = "crash-points")]
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// From now on the engine runs its checker after each repair and each split of a small shard, and
/// panics with what it finds. Not for tests with damaged files, which must never panic.
#[cfg(feature = "crash-points")]
pub fn check_mutations() {
    CHECKS.store(true, Ordering::Relaxed);
}

/// Whether `check_mutations` was called.
#[inline(always)]
pub fn checks() -> bool {
    #[cfg(feature = "crash-points")]
    return CHECKS.load(Ordering::Relaxed);
    #[cfg(not(feature = "crash-points"))]
    false
}

/// One step: called before each store into shared memory and each system call that others see.
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

/// One look: called where a reader has a reference to bytes that it has not touched yet, or one of
/// two words that must be loaded in order.
#[inline(always)]
pub fn looking() {
    #[cfg(feature = "crash-points")]
    if LOOKS_LEFT.load(Ordering::Relaxed) != 0 && LOOKS_LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        send_to_self(libc::SIGSTOP);
    }
}

/// The pieces that a bulk copy is made in, a step before each. A test build cuts behind the first
/// byte, in the middle and before the last byte, but not within the first `whole` bytes.
#[cfg(feature = "crash-points")]
pub fn pieces(bytes: &[u8], whole: usize) -> [&[u8]; 4] {
    let last = bytes.len().saturating_sub(1);
    let first = whole.min(bytes.len()).max(last.min(1));
    let (middle, last) = (first.max(bytes.len() / 2), first.max(last));
    [&bytes[..first], &bytes[first..middle], &bytes[middle..last], &bytes[last..]]
}

/// The pieces that a bulk copy is made in: one.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn pieces(bytes: &[u8], _whole: usize) -> [&[u8]; 1] {
    [bytes]
}

#[cfg(feature = "crash-points")]
fn stop_or_die() {
    let stops = STOPS.load(Ordering::Relaxed);
    send_to_self(if stops { libc::SIGSTOP } else { libc::SIGKILL });
}

#[cfg(feature = "crash-points")]
#[allow(unsafe_code)]
fn send_to_self(signal: i32) {
    // SAFETY: plain system calls on this process; SIGKILL cannot be caught, so nothing runs after.
    unsafe {
        libc::kill(libc::getpid(), signal);
        if signal == libc::SIGKILL {
            loop {
                libc::pause();
            }
        }
    }
}

#[cfg(all(test, feature = "crash-points"))]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_copy_are_all_of_it_in_order() {
        for len in 0..40u8 {
            let bytes: Vec<u8> = (0..len).collect();
            for whole in [0, 8] {
                let pieces = pieces(&bytes, whole);
                assert_eq!(pieces.concat(), bytes);
                assert!(pieces[0].len() >= whole.min(bytes.len()), "{len} {whole}");
            }
        }
    }
}
