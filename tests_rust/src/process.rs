//! Forked children of a test, with a watchdog.
#![allow(unsafe_code)]

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its own exit, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Seconds after which a child that hangs is ended by SIGALRM.
const WATCHDOG_SECONDS: u32 = 60;
/// The same for a child that is a whole test, which has watchdogs of its own.
pub const LONG_SECONDS: u32 = 7200;

/// Runs `work` in a forked child and waits for its end. The child exits with 0 when `work` returns
/// true and with 1 otherwise; it runs no destructors of the parent's.
pub fn run(work: impl FnOnce() -> bool) -> End {
    wait(spawn(work))
}

/// Starts `work` in a forked child; returns its process id.
pub fn spawn(work: impl FnOnce() -> bool) -> i32 {
    spawn_for(WATCHDOG_SECONDS, work)
}

/// As `run`, for a child that may take so long.
pub fn run_for(seconds: u32, work: impl FnOnce() -> bool) -> End {
    wait(spawn_for(seconds, work))
}

fn spawn_for(seconds: u32, work: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child only runs `work` and `_exit`; the C library makes its allocator usable
    // after a fork.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork failed");
        if child == 0 {
            libc::alarm(seconds);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            if let Err(panic) = &done {
                say(panic.as_ref());
            }
            libc::_exit(i32::from(!matches!(done, Ok(true))));
        }
        child
    }
}

/// Runs `work` in a thread of its own and waits for it. The thread is one of the C library: the
/// standard library takes a lock of its own for each that it starts, which another thread of the
/// parent may have held when this child was forked.
pub fn run_in_thread(mut work: impl FnMut() + Send) {
    extern "C" fn start(work: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: what is below, which outlives this thread and is used by it alone.
        unsafe { (*work.cast::<&mut dyn FnMut()>())() };
        std::ptr::null_mut()
    }
    let mut work: &mut dyn FnMut() = &mut work;
    // SAFETY: plain calls; `work` outlives the thread.
    unsafe {
        let (mut thread, work) = (std::mem::zeroed(), (&raw mut work).cast());
        assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), start, work), 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
    }
}

/// Has the kernel end this child when its parent ends, however that happens.
pub fn end_with_parent() {
    // SAFETY: plain system call on this child.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Writes what a child panicked with to its standard error. The test's own report, which the
/// child writes a copy of, dies with it.
fn say(panic: &(dyn std::any::Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    let line = format!("a child panicked: {text}\n");
    // SAFETY: writes bytes that live as long as the call.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}

/// What the kernel says of a process that does not come back: its state, and the system call that
/// it is in.
pub fn whereabouts(pid: i32) -> String {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}"));
    let state = read("status").unwrap_or_default();
    let state = state.lines().find(|line| line.starts_with("State:")).unwrap_or("gone").to_string();
    let rest = ["syscall", "wchan"].map(|what| read(what).unwrap_or_default());
    format!("{state}, {}, {}", rest[0].trim(), rest[1].trim())
}

/// Waits for the end of a child.
pub fn wait(child: i32) -> End {
    let mut status = 0;
    // SAFETY: plain system call on a child of this process.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child, "waitpid failed");
    end(status)
}

/// How a child ended, if it did.
pub fn ended(child: i32) -> Option<End> {
    let mut status = 0;
    // SAFETY: plain system call on a child of this process.
    let waited = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
    assert!(waited == child || waited == 0, "waitpid failed");
    (waited == child).then(|| end(status))
}

fn end(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        return End::Killed(libc::WTERMSIG(status));
    }
    End::Exited(libc::WEXITSTATUS(status))
}

/// Waits for the end of a child and leaves it to be waited for.
pub fn await_end(child: i32) {
    // SAFETY: an all-zero siginfo_t is one; plain system call on a child of this process.
    let waited = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, child as libc::id_t, &mut info, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(waited, 0, "waitid failed");
}

/// Sends a signal to a child that has not been waited for.
pub fn signal(child: i32, signal: i32) {
    // SAFETY: plain system call on a child of this process.
    assert_eq!(unsafe { libc::kill(child, signal) }, 0, "kill failed");
}

/// A child that stops itself. What fails before its end kills it: nothing else would ever end it.
pub struct Stopping(i32);

impl Stopping {
    /// Takes charge of a child.
    pub fn new(child: i32) -> Stopping {
        Stopping(child)
    }

    /// Lets the child go on.
    pub fn go_on(&self) {
        signal(self.0, libc::SIGCONT);
    }

    /// Waits for its end.
    pub fn wait(self) -> End {
        let end = wait(self.0);
        std::mem::forget(self);
        end
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        signal(self.0, libc::SIGKILL);
        wait(self.0);
    }
}

/// Waits until a child stops, or returns how it ended instead.
pub fn wait_for_stop(child: i32) -> Option<End> {
    stopped(child, 0).expect("waitpid waits")
}

/// `None` while a child runs; else as `wait_for_stop`.
pub fn look_for_stop(child: i32) -> Option<Option<End>> {
    stopped(child, libc::WNOHANG)
}

fn stopped(child: i32, options: i32) -> Option<Option<End>> {
    let mut status = 0;
    // SAFETY: plain system call on a child of this process.
    let waited = unsafe { libc::waitpid(child, &mut status, libc::WUNTRACED | options) };
    assert!(waited == child || waited == 0, "waitpid failed");
    let ended = || (!libc::WIFSTOPPED(status)).then(|| end(status));
    (waited == child).then(ended)
}
