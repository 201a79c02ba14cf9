//! What a forked child must know: that it is one, and which descriptors it must not keep.
//!
//! A byte lock dies with the last descriptor of its open file description. A child inherits the
//! descriptors of its parent, so an idle child would keep the slot of a dead parent alive for as
//! long as it lives. A handler of `pthread_atfork` therefore closes, in the child, every descriptor
//! registered here, and raises a generation by which the child's handles notice that the slot they
//! remember is not theirs.
//!
//! The handlers call nothing but the kernel and touch nothing but atomics: the child of a process
//! with threads must not wait for a lock that a thread, which it does not have, held at the fork.
//! For the same reason the registry is a list that only grows, whose entries are used again.
//!
//! A program may also close descriptors that it does not know, as daemons do, and the numbers soon
//! mean other files. So before a number is used or closed, the kernel is asked which file it is;
//! and who is given a number by the kernel takes it away from any entry that still has it, since a
//! handle of the same file could not be told apart otherwise.
//!
//! The handlers are registered when the program is loaded: a fork that began before would not run
//! them, and a map that another thread opens meanwhile would go to the child.
//!
//! The handler also has the child's threads, of which it has one, count from 0 (`numbers`).
//!
//! What this misses: a child made by a raw `clone` system call or by `_Fork`, for which the C
//! library runs no handlers, shares its parent's slot. The death of either is then noticed when
//! both are dead, and both would take a lock as the same owner; such a child must not write to a
//! map it inherited. `vfork` and `posix_spawn` run no handlers either, but their child only lives
//! until `exec`, which closes the descriptors.
#![allow(unsafe_code)]

use crate::file_system::FileId;
use crate::gate;
use crate::numbers;
use crate::thread_number;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
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
/// Value of an entry whose descriptor somebody else closed.
const LOST: i32 = -3;
/// How often opening gives way to forks of other threads, and for how long each time.
const ATTEMPTS: u32 = 10_000;
const PAUSE: Duration = Duration::from_micros(100);

struct Entry {
    descriptor: AtomicI32,
    /// Whether forked children keep the descriptor. Fixed while there is one, like the file.
    shared: AtomicBool,
    device: AtomicU64,
    inode: AtomicU64,
    next: Option<&'static Entry>,
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

/// A descriptor that forked children inherit; each has to drop it for itself.
pub(crate) struct SharedDescriptor {
    entry: &'static Entry,
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
            let opened = open()?;
            let entry = claim_entry(FileId::of(&opened)?, false);
            let descriptor = opened.into_raw_fd();
            let own = OwnDescriptor { entry, descriptor, generation: generation() };
            entry.descriptor.store(descriptor, SeqCst);
            entry.take_from_others(descriptor);
            if FORKS_BEGUN.load(SeqCst) == begun {
                return Ok(own);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// Whether the descriptor is still what it was: not when it belongs to an ancestor of this
    /// process, and is closed here; nor when the program closed it.
    pub(crate) fn usable(&self) -> bool {
        !self.inherited() && self.entry.open().is_some()
    }

    fn inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl SharedDescriptor {
    /// Takes over `file`, which is `id`.
    pub(crate) fn new(file: OwnedFd, id: FileId) -> SharedDescriptor {
        let shared = SharedDescriptor { entry: claim_entry(id, true) };
        let descriptor = file.into_raw_fd();
        shared.entry.descriptor.store(descriptor, SeqCst);
        shared.entry.take_from_others(descriptor);
        shared
    }

    /// The descriptor, unless it no longer is the file.
    pub(crate) fn get(&self) -> Option<BorrowedFd<'_>> {
        let descriptor = self.entry.open()?;
        // SAFETY: open a moment ago, and only ever given up when it is not the file any more.
        Some(unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Puts the same file in the place of a descriptor that no longer is it. Where another thread
    /// was faster, `file` is closed.
    pub(crate) fn replace(&self, file: OwnedFd) {
        let lost = self.entry.descriptor.load(SeqCst);
        if self.get().is_some() {
            return;
        }
        let descriptor = file.as_raw_fd();
        if self.entry.descriptor.compare_exchange(lost, descriptor, SeqCst, SeqCst).is_ok() {
            self.entry.take_from_others(file.into_raw_fd());
        }
    }
}

impl Entry {
    /// The descriptor, if it still is the file that it was. Async-signal-safe.
    fn open(&self) -> Option<i32> {
        let descriptor = self.descriptor.load(SeqCst);
        self.is_file(descriptor).then_some(descriptor)
    }

    fn is_file(&self, descriptor: i32) -> bool {
        let id = FileId { device: self.device.load(Relaxed), inode: self.inode.load(Relaxed) };
        // SAFETY: only asks the kernel, which answers for a number that is not open as well.
        descriptor >= 0
            && FileId::of(unsafe { BorrowedFd::borrow_raw(descriptor) }).is_ok_and(|it| it == id)
    }

    /// Closes a descriptor that the entry had, unless it is another file by now.
    fn close(&self, descriptor: i32) {
        if self.is_file(descriptor) {
            // No cancellation point, unlike the C library's. SAFETY: ours, by the entry, and
            // forgotten there before, so closed once.
            unsafe { rustix::io::close(descriptor) };
        }
    }

    /// The kernel just gave `descriptor` to the owner of this entry: who else has it, has lost it.
    fn take_from_others(&self, descriptor: i32) {
        for other in entries().filter(|other| !ptr::eq(*other, self)) {
            let _ = other.descriptor.compare_exchange(descriptor, LOST, SeqCst, Relaxed);
        }
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
        let (descriptor, entry) = (self.entry.descriptor.swap(CLAIMED, SeqCst), self.entry);
        entry.close(descriptor);
        entry.descriptor.store(FREE, SeqCst);
    }
}

impl Drop for SharedDescriptor {
    fn drop(&mut self) {
        let (descriptor, entry) = (self.entry.descriptor.swap(CLAIMED, SeqCst), self.entry);
        entry.close(descriptor);
        entry.descriptor.store(FREE, SeqCst);
    }
}

/// Runs before `main`, or when a library that contains this is loaded. A failure is met again when
/// the first map is opened, and is an error there.
#[cfg(not(any(loom, miri)))]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        let _ = register_handlers();
    }
    at_load
};

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
    gate::in_child(thread_number::in_child());
    numbers::in_child(gate::visits_at_fork);
    for entry in entries() {
        let descriptor = entry.descriptor.load(SeqCst);
        // What a thread had claimed goes as well: the thread is not here.
        if descriptor == CLAIMED || !entry.shared.load(SeqCst) {
            entry.close(descriptor);
            entry.descriptor.store(FREE, SeqCst);
        }
    }
}

/// All entries. They are never freed.
fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: null, or an entry, which lives for ever.
    let first: Option<&'static Entry> = unsafe { ENTRIES.load(Acquire).as_ref() };
    std::iter::successors(first, |entry| entry.next)
}

/// An entry for a descriptor of the file `id`.
fn claim_entry(id: FileId, shared: bool) -> &'static Entry {
    let claim =
        |entry: &&Entry| entry.descriptor.compare_exchange(FREE, CLAIMED, AcqRel, Relaxed).is_ok();
    let entry = entries().find(claim).unwrap_or_else(add_entry);
    entry.shared.store(shared, SeqCst);
    entry.device.store(id.device, Relaxed);
    entry.inode.store(id.inode, Relaxed);
    entry
}

/// A new entry, claimed.
fn add_entry() -> &'static Entry {
    let entry = Box::into_raw(Box::new(Entry {
        descriptor: AtomicI32::new(CLAIMED),
        shared: AtomicBool::new(false),
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        next: None,
    }));
    let mut head = ENTRIES.load(Acquire);
    loop {
        // SAFETY: not yet published, so nobody else reads or writes it; the head lives for ever.
        unsafe { (*entry).next = head.as_ref() };
        match ENTRIES.compare_exchange(head, entry, AcqRel, Acquire) {
            // SAFETY: leaked on purpose, never freed.
            Ok(_) => return unsafe { &*entry },
            Err(found) => head = found,
        }
    }
}
