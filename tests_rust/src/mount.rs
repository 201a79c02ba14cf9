//! File systems that only one child sees.
#![allow(unsafe_code)]

use crate::process::{self, End};
use std::ffi::CString;

/// Runs `body` in a child for which the folder of the tests' maps is an empty tmpfs of `bytes`.
/// Skips it, and says so, where the process may not do that.
pub fn over_maps(bytes: u64, body: impl FnOnce()) {
    over_maps_with(format!("size={bytes}"), body);
}

/// As `over_maps`, on a mount that answers with huge pages whatever it is asked for. Skips it also
/// where the kernel has none.
pub fn over_huge_maps(bytes: u64, body: impl FnOnce()) {
    over_maps_with(format!("size={bytes},huge=always"), body);
}

fn over_maps_with(options: String, body: impl FnOnce()) {
    let options = CString::new(options).expect("no zero byte");
    alone(body, || {
        let (kind, target) = (c"tmpfs".as_ptr(), c"/dev/shm".as_ptr());
        // SAFETY: strings that outlive the call; only this child sees the mount.
        unsafe { libc::mount(kind, target, kind, 0, options.as_ptr().cast()) == 0 }
    });
}

/// Runs `body` in a child that sees no `/proc`. Skips it as above.
pub fn without_proc(body: impl FnOnce()) {
    // SAFETY: a string that outlives the call; only this child's view changes.
    alone(body, || unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) == 0 });
}

/// Runs `body` in a child that sees an empty `/dev`. Skips it as above.
pub fn without_dev(body: impl FnOnce()) {
    let kind = c"tmpfs".as_ptr();
    // SAFETY: strings that outlive the call; only this child sees the mount.
    alone(body, || unsafe { libc::mount(kind, c"/dev".as_ptr(), kind, 0, std::ptr::null()) == 0 });
}

/// Runs `body` in a child that cannot write to the folder of the tests' maps. Skips it as above.
pub fn over_read_only_maps(body: impl FnOnce()) {
    alone(body, || {
        let (folder, none) = (c"/dev/shm".as_ptr(), std::ptr::null());
        let read_only = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        // SAFETY: strings that outlive the calls; only this child sees the mount.
        unsafe {
            libc::mount(folder, folder, none, libc::MS_BIND, none.cast()) == 0
                && libc::mount(folder, folder, none, read_only, none.cast()) == 0
        }
    });
}

fn alone(body: impl FnOnce(), change: impl FnOnce() -> bool) {
    let end = process::run_for(process::LONG_SECONDS, || {
        let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: strings that outlive the calls; only this child is affected.
        let alone = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, root, none, private, std::ptr::null()) == 0
        };
        if alone && change() {
            body();
        } else {
            println!("skipped: this process may not mount");
        }
        true
    });
    assert_eq!(end, End::Exited(0));
}
