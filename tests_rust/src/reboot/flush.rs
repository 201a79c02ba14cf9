//! Flushes of a child, simulated: what asks the kernel to write the file to the disk becomes a
//! signal.
//!
//! So the parent sees each flush where it begins, a flush that returned is told from one that did
//! not, and it can fail. Nothing is flushed in fact.
#![allow(unsafe_code)]

use crate::reboot::desk::Stop;
use crate::reboot::stepping;
use libc::{c_void, siginfo_t, sock_filter, ucontext_t};
use shf_base::geometry::PAGE_BYTES;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// System calls that flush.
const CALLS: [libc::c_long; 5] =
    [libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_msync, libc::SYS_syncfs, libc::SYS_sync];

/// From now on the flushes of this child are simulated, for good.
pub fn simulate() {
    // SAFETY: the handler is made for this signal, and calls what may be called in one; the filter
    // is copied by the kernel.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_flush as extern "C" fn(_, _, _) as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()), 0);
        let mut filter = filter();
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &program), 0, "seccomp is needed");
    }
}

/// A signal for each of the calls; all others pass.
fn filter() -> Vec<sock_filter> {
    let statement = |code: u32, k| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // The number of the call is the first field of what the filter sees.
    let mut filter = vec![statement(load, 0)];
    for (index, call) in CALLS.iter().enumerate() {
        let jt = (CALLS.len() - index) as u8;
        filter.push(sock_filter { jt, ..statement(equal, *call as u32) });
    }
    filter.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(libc::BPF_RET, libc::SECCOMP_RET_TRAP));
    filter
}

extern "C" fn on_flush(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    let Some(desk) = stepping::desk() else { return };
    // SAFETY: with `SA_SIGINFO` the kernel passes the context that the child goes on with.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    let flush = desk.begin_flush(call(context));
    stepping::stop(Stop::Flush);
    let error = desk.flush_error();
    if error == 0 {
        desk.end_flush(flush);
    }
    set_result(context, -i64::from(error));
}

/// The system call and its first two arguments.
fn call(context: &ucontext_t) -> [u64; 3] {
    #[cfg(target_arch = "x86_64")]
    {
        let registers = [libc::REG_RAX, libc::REG_RDI, libc::REG_RSI];
        registers.map(|register| context.uc_mcontext.gregs[register as usize] as u64)
    }
    #[cfg(target_arch = "aarch64")]
    {
        [8, 0, 1].map(|register: usize| context.uc_mcontext.regs[register])
    }
}

/// What the system call answers.
fn set_result(context: &mut ucontext_t, result: i64) {
    #[cfg(target_arch = "x86_64")]
    {
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = result;
    }
    #[cfg(target_arch = "aarch64")]
    {
        context.uc_mcontext.regs[0] = result as u64;
    }
}

/// Which pages of a file the flush is about that a child has stopped at.
pub fn pages(pid: i32, call: [u64; 3], path: &Path) -> Range<u64> {
    let [call, first, second] = call;
    let file = fs::metadata(path).unwrap();
    let all = 0..file.len().div_ceil(PAGE_BYTES);
    match call as libc::c_long {
        libc::SYS_msync => {
            let Some(offset) = offset_of(pid, first, file.ino()) else { return 0..0 };
            offset / PAGE_BYTES..(offset + second).div_ceil(PAGE_BYTES)
        }
        libc::SYS_fsync | libc::SYS_fdatasync => {
            let flushed = fs::metadata(format!("/proc/{pid}/fd/{first}")).unwrap();
            if flushed.ino() == file.ino() && flushed.dev() == file.dev() { all } else { 0..0 }
        }
        _ => all,
    }
}

/// The offset in a file that a child has mapped at an address.
fn offset_of(pid: i32, address: u64, inode: u64) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = fields[0].split_once('-').unwrap();
        let inside = (hex(start)..hex(end)).contains(&address);
        let ours = inside && fields[4].parse() == Ok(inode);
        ours.then(|| hex(fields[2]) + address - hex(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{self, End};
    use crate::reboot::desk::Desks;
    use std::fs::File;

    #[test]
    fn a_flush_stops_its_child_and_ends_as_the_parent_says() {
        let desks = Desks::new();
        let desk = desks.of(1);
        let child = process::spawn(|| {
            stepping::follow(desk);
            simulate();
            let file = File::open("/dev/shm").unwrap();
            let failed = file.sync_data().unwrap_err();
            failed.raw_os_error() == Some(libc::EIO) && file.sync_all().is_ok()
        });
        let stopping = process::Stopping::new(child);
        for (errno, flush, ended) in [(libc::EIO, 1, 0), (0, 2, 2)] {
            assert_eq!(process::wait_for_stop(child), None);
            assert_eq!((desk.stop(), desk.flush()), (Stop::Flush, flush));
            let pages = |path: &str| pages(child, desk.flush_call(), Path::new(path));
            assert_eq!(
                (pages("/dev/shm").is_empty(), pages("/dev/null").is_empty()),
                (false, true)
            );
            desk.fail_flushes(errno);
            assert_eq!(desks.flushes()[1], 0);
            stopping.go_on();
            if ended > 0 {
                assert_eq!(stopping.wait(), End::Exited(0));
                assert_eq!(desks.flushes()[1], ended);
                return;
            }
        }
    }
}
