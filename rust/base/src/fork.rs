//! What a forked child must know: that it is one, and which descriptors it must not keep.
//!
//! A byte lock dies with the last descriptor of its open file description. A child inherits the
//! descriptors of its parent, so an idle child would keep the slot of a dead parent alive for as
//! long as it lives. A handler of `pthread_atfork` therefore closes, in the child, every descriptor
//! registered here, and raises a generation by which the child's handles notice that the slot they
//! remember is not theirs.
//!
//! The handlers call nothing but `close` and touch nothing but atomics: the child of a process
//! with threads must not wait for a lock that a thread, which it does not have, held at the fork.
//! For the same reason the registry is a list that only grows, whose entries are used again.
//!
//! What this misses: a child made by a raw `clone` system call or by `_Fork`, for which the C
//! library runs no handlers, shares its parent's slot. The death of either is then noticed when
//! both are dead, and both would take a lock as the same owner; such a child must not write to a
//! map it inherited. `vfork` and `posix_spawn` run no handlers either, but their child only lives
//! until `exec`, which closes the descriptors.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64};
use std::thread;
use std::time::Duration;

/// Differs between a process and its child, and between any two of a line of descent.
static GENERATION: AtomicU64 = AtomicU64::new(1);
/// Forks begun by threads of this process.
static FORKS_BEGUN: AtomicU64 = AtomicU64::new(0);
/// Forks ended by threads of this process.
static FORKS_ENDED: AtomicU64 = AtomicU64::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);
static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// Value of an entry without a descriptor.
const FREE: i32 = -1;
/// Value of an entry that a thread is about to fill.
const CLAIMED: i32 = -2;
/// How often opening gives way to forks of other threads, and for how long each time.
const ATTEMPTS: u32 = 10_000;
const PAUSE: Duration = Duration::from_micros(100);

struct Entry {
    descriptor: AtomicI32,
    next: *mut Entry,
}

/// The generation of this process.
#[inline(always)]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Relaxed)
}

/// A descriptor that belongs to one process: forked children close it before anything else.
pub(crate) struct OwnDescriptor {
    entry: &'static Entry,
    descriptor: i32,
    generation: u64,
}

impl OwnDescriptor {
    /// Registers what `open` returns. When another thread forked meanwhile, the child may have
    /// inherited the descriptor before it was registered: then that one is given up, before any
    /// lock is held through it, and another is opened.
    pub(crate) fn open(open: impl Fn() -> io::Result<OwnedFd>) -> io::Result<OwnDescriptor> {
        register_handlers()?;
        for _ in 0..ATTEMPTS {
            let begun = FORKS_BEGUN.load(SeqCst);
            if begun != FORKS_ENDED.load(SeqCst) {
                thread::sleep(PAUSE);
                continue;
            }
            let descriptor = open()?.into_raw_fd();
            let own = OwnDescriptor { entry: claim_entry(), descriptor, generation: generation() };
            own.entry.descriptor.store(descriptor, SeqCst);
            if FORKS_BEGUN.load(SeqCst) == begun {
                return Ok(own);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// Whether the descriptor belongs to an ancestor of this process, and is closed here.
    pub(crate) fn inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl AsFd for OwnDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        debug_assert!(!self.inherited());
        // SAFETY: open until `self` is dropped, in the process that opened it.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

impl Drop for OwnDescriptor {
    fn drop(&mut self) {
        if self.inherited() {
            return;
        }
        // Forget the number before it can come to mean another file. A child forked in between
        // keeps a descriptor through which no lock is held any more.
        self.entry.descriptor.store(FREE, SeqCst);
        // SAFETY: opened by `open`, owned by `self`, closed once.
        unsafe { libc::close(self.descriptor) };
    }
}

/// Registers the handlers, once or, where two threads race, twice: they bear it. A lock would not
/// do here, since a child forked while it is held would wait for ever.
fn register_handlers() -> io::Result<()> {
    if REGISTERED.load(Acquire) {
        return Ok(());
    }
    // SAFETY: the handlers are async-signal-safe functions without arguments.
    let errno = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    REGISTERED.store(true, Release);
    Ok(())
}

extern "C" fn before() {
    FORKS_BEGUN.fetch_add(1, SeqCst);
}

extern "C" fn in_parent() {
    FORKS_ENDED.fetch_add(1, SeqCst);
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, SeqCst);
    FORKS_ENDED.store(FORKS_BEGUN.load(SeqCst), SeqCst);
    let mut at = ENTRIES.load(Acquire);
    // SAFETY: entries are never freed.
    while let Some(entry) = unsafe { at.as_ref() } {
        let descriptor = entry.descriptor.swap(FREE, SeqCst);
        if descriptor >= 0 {
            // SAFETY: the entry says that the descriptor is one of ours, inherited a moment ago.
            unsafe { libc::close(descriptor) };
        }
        at = entry.next;
    }
}

fn claim_entry() -> &'static Entry {
    let mut at = ENTRIES.load(Acquire);
    // SAFETY: entries are never freed.
    while let Some(entry) = unsafe { at.as_ref() } {
        if entry.descriptor.compare_exchange(FREE, CLAIMED, AcqRel, Relaxed).is_ok() {
            return entry;
        }
        at = entry.next;
    }
    let entry = Box::into_raw(Box::new(Entry {
        descriptor: AtomicI32::new(CLAIMED),
        next: ptr::null_mut(),
    }));
    let mut head = ENTRIES.load(Acquire);
    loop {
        // SAFETY: not yet published, so nobody else reads or writes it.
        unsafe { (*entry).next = head };
        match ENTRIES.compare_exchange(head, entry, AcqRel, Acquire) {
            // SAFETY: leaked on purpose, never freed.
            Ok(_) => return unsafe { &*entry },
            Err(found) => head = found,
        }
    }
}
