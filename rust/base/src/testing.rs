//! What the tests of this crate share: maps under unique names, and children that can be killed.
#![allow(unsafe_code)]

use crate::appearance::Appearance;
use crate::open::{Access, CreateOptions, Opened, create, open, remove};
use crate::slot_record::Role;
use std::any::Any;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const OPTIONS: CreateOptions = CreateOptions {
    shards: Some(4),
    max_bytes: Some(1 << 20),
    mode: 0o600,
    group: None,
    allow_any_file_system: false,
    secret: None,
    age_ms: None,
    durable: None,
    evict: false,
    temporary: false,
    fixed: None,
    initial: None,
    appearance: Appearance { application: None, role: Role::None },
};

/// How long anything in a test may take before the test gives up.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A name for a map in `/dev/shm`, which is removed at the end.
pub struct Name(String);

impl Name {
    pub fn new() -> Name {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Name(format!("shf-base-test-{}-{number}", std::process::id()))
    }

    pub fn folder(&self) -> &Path {
        Path::new("/dev/shm")
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder().join(format!("{}.shf", self.0))
    }

    pub fn create(&self) -> Opened {
        create(self.folder(), &self.0, &OPTIONS).unwrap()
    }

    pub fn open(&self) -> Opened {
        open(self.folder(), &self.0, Access::ReadWrite, false).unwrap()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = remove(self.folder(), &self.0);
    }
}

/// A forked child. Dropping it kills it.
pub struct Child {
    pid: i32,
    reaped: bool,
}

/// Runs `body` in a forked child, which exits with 0 if it returns and with 101 if it panics.
pub fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: the child only runs `body` and exits; the allocator takes care of itself at a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code =
            catch_unwind(AssertUnwindSafe(body)).map_or_else(|panic| report(&*panic), |()| 0);
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(code) }
    }
    Child { pid, reaped: false }
}

/// Says why a child panicked, past the test harness, whose record dies with the child.
fn report(panic: &(dyn Any + Send)) -> i32 {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    say(&format!("in a child: {text}"));
    101
}

/// Prints a line from a child or a test, whatever the test harness does with its output.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Child {
    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        assert_eq!(self.signal(libc::SIGKILL).wait_until_reaped().signal(), Some(libc::SIGKILL));
    }

    /// Waits for its end and asserts that it went well.
    pub fn join(mut self) {
        let status = self.wait_until_reaped();
        assert!(status.success(), "{status}");
    }

    /// Waits for its end and says whether it was killed; a panic is a failure of the test.
    #[cfg(feature = "crash-points")]
    pub fn died(mut self) -> bool {
        let status = self.wait_until_reaped();
        assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status}");
        !status.success()
    }

    pub fn signal(&mut self, signal: i32) -> &mut Child {
        // SAFETY: our own child, not yet reaped.
        unsafe { libc::kill(self.pid, signal) };
        self
    }

    fn wait_until_reaped(&mut self) -> ExitStatus {
        let mut status = 0;
        // SAFETY: our own child, not yet reaped.
        wait_until(|| unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } == self.pid);
        self.reaped = true;
        ExitStatus::from_raw(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(libc::SIGKILL);
            let mut status = 0;
            // SAFETY: our own child, not yet reaped.
            unsafe { libc::waitpid(self.pid, &mut status, 0) };
        }
    }
}

/// Sets the soft limit of this process on a resource.
pub fn set_limit(resource: libc::__rlimit_resource_t, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: asks for and sets a limit of this process only.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut limit), 0);
        limit.rlim_cur = value.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &limit), 0);
    }
}

/// Closes all descriptors of a forked child but the first three.
pub fn close_inherited() {
    // SAFETY: what the child inherited is not used any more, except by what is tested.
    (3..1024).for_each(|fd| unsafe { _ = libc::close(fd) });
}

/// Waits until `done`, but not for ever.
pub fn wait_until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < WATCHDOG, "watchdog");
        sleep(Duration::from_millis(1));
    }
}

/// Sleeps until killed, but not for ever.
pub fn sleep_until_killed() -> ! {
    sleep(WATCHDOG);
    panic!("nobody killed this child");
}

/// Runs `body` in a child whose `/mnt` is a tmpfs of `bytes`, which nobody else sees.
pub fn on_small_tmpfs(bytes: u64, body: impl FnOnce(&Path)) {
    on_file_system(c"tmpfs", &format!("size={bytes}"), body);
}

/// Runs `body` in a child whose `/mnt` is a new file system of a kind, which nobody else sees.
pub fn on_file_system(kind: &CStr, options: &str, body: impl FnOnce(&Path)) {
    let options = CString::new(options).unwrap();
    let mount = || {
        let (target, kind) = (c"/mnt".as_ptr(), kind.as_ptr());
        // SAFETY: strings that outlive the call; only this child sees the mount.
        unsafe { libc::mount(kind, target, kind, 0, options.as_ptr().cast()) == 0 }
    };
    with_mounts(mount, || body(Path::new("/mnt")));
}

/// Runs `body` in a child that sees no `/proc`.
pub fn without_proc(body: impl FnOnce()) {
    // SAFETY: a string that outlives the call; only this child's view changes.
    with_mounts(|| unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) == 0 }, body);
}

/// Runs `body` in a child after `change` of what it sees mounted. Skips it, and says so, where the
/// process may not do that.
fn with_mounts(change: impl FnOnce() -> bool, body: impl FnOnce()) {
    let child = fork(|| {
        let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
        // SAFETY: strings that outlive the calls; only this child is affected.
        let alone = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null())
                    == 0
        };
        if alone && change() {
            body();
        } else {
            say("skipped: this process may not mount");
        }
    });
    child.join();
}
