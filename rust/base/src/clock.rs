//! The wall clock, which ages are measured with.
//!
//! It is the one clock that says the same in all containers of a machine, and goes on while the
//! machine is off. It can be set: forward, and what is due later is due at once; back, and it is
//! due that much later.

use std::time::SystemTime;

/// Nanoseconds since 1970, to tell when something was. 0 where there is no such clock, or it is set
/// to a time before.
pub fn wall_ns() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64
}

/// Milliseconds since 1970. 0 where there is no such clock, or it is set to a time before.
#[inline]
#[allow(unsafe_code)]
pub fn wall_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: stores the time into a structure of this function.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    let ms = (time.tv_sec.max(0) as u64).saturating_mul(1000) + time.tv_nsec as u64 / 1_000_000;
    shifted(ms)
}

#[cfg(feature = "crash-points")]
thread_local! {
    static SHIFT_MS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// For this thread and its children, the wall clock is set so many milliseconds forward, or back.
#[cfg(feature = "crash-points")]
pub fn shift(milliseconds: i64) {
    SHIFT_MS.set(milliseconds);
}

#[inline(always)]
fn shifted(ms: u64) -> u64 {
    #[cfg(feature = "crash-points")]
    return ms.saturating_add_signed(SHIFT_MS.get());
    #[cfg(not(feature = "crash-points"))]
    ms
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_clock_of_the_system() {
        let of_system = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let (before, now, after) = (of_system(), wall_ms(), of_system());
        assert!(before <= now && now <= after, "{before} {now} {after}");
    }
}
