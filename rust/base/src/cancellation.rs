//! Cancellation of threads, kept out.
//!
//! A thread that is cancelled (`pthread_cancel`) unwinds from the next cancellation point that it
//! reaches, through whatever frames there are, and Rust's do not bear that. Operations on a map
//! have no such point; opening and closing files and sleeping are some. So whoever does that puts
//! the cancellation off: it takes effect after the call. Asynchronous cancellation, which may hit
//! anywhere, must not be on: POSIX allows next to no function then.
#![allow(unsafe_code)]

use std::marker::PhantomData;

unsafe extern "C" {
    fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
}

/// `PTHREAD_CANCEL_DISABLE` of the C libraries of Linux.
const DISABLE: i32 = 1;

/// While it lives, this thread is not cancelled.
pub(crate) struct Uncancellable {
    old: i32,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

impl Uncancellable {
    pub(crate) fn new() -> Uncancellable {
        let mut old = 0;
        if cfg!(not(any(loom, miri))) {
            // SAFETY: writes to a number that outlives the call; cannot fail.
            unsafe { pthread_setcancelstate(DISABLE, &mut old) };
        }
        Uncancellable { old, _thread: PhantomData }
    }
}

impl Drop for Uncancellable {
    fn drop(&mut self) {
        if cfg!(not(any(loom, miri))) {
            let mut ours = 0;
            // SAFETY: as above, with a state that the same function gave.
            unsafe { pthread_setcancelstate(self.old, &mut ours) };
        }
    }
}
