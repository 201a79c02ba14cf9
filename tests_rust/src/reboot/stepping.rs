//! A child that stops where its parent wants it to, again and again.
//!
//! When the child is let go on, a handler arms its next stop as the desk says.
#![allow(unsafe_code)]

use crate::process;
use crate::reboot::desk::{Desk, Stop};
use shf_base::crash;
use std::sync::OnceLock;

/// Seconds between two stops after which a child hangs.
const WATCHDOG_SECONDS: u32 = 60;

/// The desk of this child.
static DESK: OnceLock<Desk> = OnceLock::new();

/// The desk of this child, which `follow` was called in.
pub fn desk() -> Option<&'static Desk> {
    DESK.get()
}

/// From now on this child follows what its desk says.
pub fn follow(desk: Desk) {
    process::end_with_parent();
    assert!(DESK.set(desk).is_ok(), "a child has one desk");
    let handler = go_on as extern "C" fn(i32) as libc::sighandler_t;
    // SAFETY: the handler calls what may be called in one: atomics and `alarm`.
    assert_ne!(unsafe { libc::signal(libc::SIGCONT, handler) }, libc::SIG_ERR);
}

/// Stops this child for a reason.
pub fn stop(why: Stop) {
    let Some(desk) = desk() else { return };
    desk.say_stop(why);
    // SAFETY: plain system calls on this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
    desk.say_stop(Stop::Step);
}

extern "C" fn go_on(_: i32) {
    if let Some(desk) = desk() {
        crash::arm_stop(desk.armed());
        // SAFETY: plain system call.
        unsafe { libc::alarm(WATCHDOG_SECONDS) };
    }
}
