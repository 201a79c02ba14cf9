//! A gate before something that threads use and another one takes away: who is inside finishes,
//! who comes later is not let in, and what is behind it goes when nobody is inside any more.
//!
//! Each thread says in a line of its own (`per_thread`) which values it is inside of. Entering is
//! to store there where the gate leads, and to look whether it still does; leaving is to take that
//! back. These are hazard pointers (Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free
//! Objects", IEEE TPDS 15(6), 2004). Whoever closes the gate changes where it leads first, then has
//! the kernel execute a barrier on every processor that runs a thread of this process
//! (`membarrier`), and then waits until no thread says that it is inside. So of the two one sees
//! the other, and those who enter need no fence. Where the kernel has no such call, or a thread is
//! one of too many to know its line by its place, it executes one.
//!
//! Two gates may lead to one value; who closes one of them waits for those inside through the other
//! as well.
//!
//! A thread may close the gate from inside, in a function that a *visit* calls. Visits are counted
//! by the value: a thread that closes a gate cannot wait for itself, so if it visits, the gate lets
//! go of the value when the outermost of its visits ends.
#![allow(unsafe_code)]

use crate::cancellation::Uncancellable;
use crate::counts::{Counted, Lane};
use crate::numbers::{Block, Numbers};
use crate::per_thread::{PerThread, Stripe};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32, compiler_fence, fence};
use std::thread;
use std::time::Duration;

/// How long somebody who waits for visitors to leave sleeps between two looks.
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(5);
/// Looks before that.
const LOOKS: u32 = 64;

/// How those who enter and those who close see each other.
static ORDER: AtomicU32 = AtomicU32::new(UNKNOWN);
/// Nobody has asked yet.
const UNKNOWN: u32 = 0;
/// Those who close have the kernel execute barriers.
const BY_KERNEL: u32 = 1;
/// Both execute fences.
const BY_FENCES: u32 = 2;

/// Where the threads of this process are inside.
static INSIDE: PerThread<Line> = PerThread::new();
/// Values that a thread can be inside of at once, before it needs another line.
const ENTRIES: usize = 15;

thread_local! {
    /// The innermost visit of this thread.
    static VISITS: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// A way to a value that can be taken away. All methods may be called from any thread at any time.
pub struct Gate<T: Counted> {
    /// From `Arc::into_raw`; null: closed.
    value: AtomicPtr<T>,
    owner: PhantomData<Arc<T>>,
}

/// Proof that the value stays; belongs to a thread.
pub struct Inside<'g, T> {
    value: *const T,
    gate: PhantomData<&'g T>,
    /// Where this thread says so.
    entry: &'static Entry,
    /// What it counts by. Nothing else is kept, which short calls would feel.
    numbers: &'static Numbers,
    _thread: PhantomData<*const ()>,
}

/// What a thread says of its calls. More than one entry is in use only where a call interrupts
/// another one, as in a signal handler.
#[repr(C, align(128))]
struct Line {
    entries: [Entry; ENTRIES],
    more: AtomicPtr<Line>,
}

/// The value that a thread is inside of, by its address, or null.
struct Entry(AtomicPtr<()>);

/// What a gate gave up.
pub enum Taken<T> {
    /// The value, which nobody who came through the gate uses any more.
    Value(Arc<T>),
    /// Nothing: this thread is inside itself. The gate is as it was.
    Inside,
    /// Nothing: the gate is closed.
    Closed,
}

/// As `Inside`, of somebody who calls functions that may close the gate.
pub struct Visit<'g, T: Counted> {
    value: *const T,
    gate: PhantomData<&'g T>,
    /// From `Box::into_raw`; others of this thread's visits may point to it.
    frame: *mut Frame,
}

/// A visit, in a list of those of its thread.
struct Frame {
    /// The counts of the value, by which it is known.
    block: &'static Block,
    /// How many gates were closed from inside, if this is the outermost visit there.
    closed: Cell<u32>,
    outer: *const Frame,
}

// SAFETY: what is behind it is shared between threads and dropped by any of them, as by an `Arc`.
unsafe impl<T: Counted + Send + Sync> Send for Gate<T> {}
// SAFETY: as above.
unsafe impl<T: Counted + Send + Sync> Sync for Gate<T> {}

impl<T: Counted> Default for Gate<T> {
    /// A closed gate.
    fn default() -> Gate<T> {
        Gate { value: AtomicPtr::new(ptr::null_mut()), owner: PhantomData }
    }
}

impl<T: Counted> Gate<T> {
    /// Lets this thread in; `None`: the gate is closed. Plain loads and stores, no system call, but
    /// for a thread's first time, and for threads whose line is not known by its place.
    #[inline(always)]
    pub fn enter(&self) -> Option<Inside<'_, T>> {
        let value = self.value.load(Acquire);
        let entry = &INSIDE.own_or_nobodys().entries[0];
        // SAFETY: an entry of this thread, or nobody's.
        if !value.is_null() && unsafe { !entry.is_in_use() } {
            #[cfg(all(test, not(any(loom, miri))))]
            tests::about_to_enter();
            // Release as that of the last one who left here, which it may hide.
            entry.0.store(value.cast(), Release);
            // With the barrier of `vacate`: either this thread sees that the gate leads elsewhere,
            // or who closes it sees that this thread is inside.
            compiler_fence(SeqCst);
            // Acquire, since it may have been opened meanwhile, with another value there.
            let now = self.value.load(Acquire);
            if ptr::eq(now, value) {
                // SAFETY: by that, it is a value that stays.
                let numbers = unsafe { &*now }.usage().block().numbers().own_or_nobodys();
                return Some(Inside::new(now, entry, numbers));
            }
            entry.0.store(ptr::null_mut(), Release);
        }
        self.enter_slowly()
    }

    /// As `enter`, with no line of one's own yet, or one that has to be asked for or is in use, or
    /// after others opened and closed the gate meanwhile.
    #[cold]
    #[inline(never)]
    fn enter_slowly(&self) -> Option<Inside<'_, T>> {
        loop {
            let value = self.value.load(Acquire);
            if value.is_null() {
                return None;
            }
            // SAFETY: the line of this thread.
            let entry = unsafe { INSIDE.mine().free_entry() };
            // Release as in `enter`.
            entry.0.store(value.cast(), Release);
            // Pairs with the one in `barrier`.
            fence(SeqCst);
            // Acquire as in `enter`.
            let now = self.value.load(Acquire);
            if ptr::eq(now, value) {
                // SAFETY: as in `enter`.
                let numbers = unsafe { &*now }.usage().block().numbers().mine();
                return Some(Inside::new(now, entry, numbers));
            }
            entry.0.store(ptr::null_mut(), Release);
        }
    }

    /// As `enter`, to call functions that may close the gate.
    pub fn visit(&self) -> Option<Visit<'_, T>> {
        let inside = self.enter()?;
        let block = inside.usage().block();
        // Whoever waits until nobody is inside sees this afterwards.
        block.visits().fetch_add(1, Relaxed);
        let frame = Frame { block, closed: Cell::new(0), outer: VISITS.get() };
        let frame = Box::into_raw(Box::new(frame));
        VISITS.set(frame);
        Some(Visit { value: inside.value, gate: PhantomData, frame })
    }

    /// The value, which lives on for the caller when the gate is closed.
    pub fn share(&self) -> Option<Arc<T>> {
        let inside = self.enter()?;
        // SAFETY: the gate has one count of it, from `Arc::into_raw`, as long as somebody is
        // inside.
        unsafe {
            Arc::increment_strong_count(inside.value);
            Some(Arc::from_raw(inside.value))
        }
    }

    /// Has the gate lead to `value`. Closes it first, if it is open.
    pub fn open(&self, value: Arc<T>) {
        self.replace(Arc::into_raw(value).cast_mut());
    }

    /// Closes the gate, waits until all others who are inside have left, and lets go of the value.
    /// A thread that visits does not wait: the end of its outermost visit does that. MUST NOT be
    /// called by one that is inside otherwise, which would wait for itself.
    pub fn close(&self) {
        self.replace(ptr::null_mut());
    }

    /// As `close`, for somebody who wants the value itself.
    pub fn take(&self) -> Taken<T> {
        let Some(inside) = self.enter() else { return Taken::Closed };
        let (value, block) = (inside.value.cast_mut(), inside.usage().block());
        drop(inside);
        if visits(block).next().is_some() {
            return Taken::Inside;
        }
        // Whoever takes it from the gate meanwhile has the value; another one may be there by now.
        match self.value.compare_exchange(value, ptr::null_mut(), SeqCst, Relaxed) {
            // SAFETY: this thread took it from the gate.
            Ok(found) => unsafe { vacate(found) }.map_or(Taken::Closed, Taken::Value),
            Err(_) => Taken::Closed,
        }
    }

    fn replace(&self, next: *mut T) {
        let value = self.value.swap(next, SeqCst);
        // SAFETY: null, or a value of which this thread took the gate's count.
        let Some(found) = (unsafe { value.as_ref() }) else { return };
        match visits(found.usage().block()).last() {
            Some(outermost) => outermost.closed.set(outermost.closed.get() + 1),
            // SAFETY: as above.
            None => drop(unsafe { vacate(value) }),
        }
    }
}

impl<T: Counted> Drop for Gate<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stripe for Line {
    const NEW: Line = Line::of(ptr::null_mut());
    /// Looks as if it were in use.
    const NOBODYS: Line = Line::of(ptr::dangling_mut());
}

impl Line {
    const fn of(value: *mut ()) -> Line {
        let mut entries = [const { Entry::of(ptr::null_mut()) }; ENTRIES];
        entries[0] = Entry::of(value);
        Line { entries, more: AtomicPtr::new(ptr::null_mut()) }
    }

    /// An entry that is not in use.
    ///
    /// # Safety
    /// This is the first line of the calling thread.
    unsafe fn free_entry(&'static self) -> &'static Entry {
        // SAFETY: entries of this thread.
        let free = self.entries().find(|entry| unsafe { !entry.is_in_use() });
        free.unwrap_or_else(|| {
            let line: &'static Line = Box::leak(Box::new(Line::NEW));
            // Nobody else adds lines, but for a signal handler, which is done by now.
            line.more.store(self.more.load(Relaxed), Relaxed);
            self.more.store(ptr::from_ref(line).cast_mut(), Release);
            &line.entries[0]
        })
    }

    /// All entries of the thread whose first line this is.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        // SAFETY: null, or a line, which is never freed. Acquire pairs with its publication.
        let next = |line: &&Line| unsafe { line.more.load(Acquire).as_ref() };
        std::iter::successors(Some(self), next).flat_map(|line| &line.entries)
    }
}

impl Entry {
    const fn of(value: *mut ()) -> Entry {
        Entry(AtomicPtr::new(value))
    }

    /// Whether a call has it.
    ///
    /// # Safety
    /// It is the calling thread's, or nobody's.
    #[inline(always)]
    unsafe fn is_in_use(&self) -> bool {
        // SAFETY: nobody else stores there: a signal handler of this thread has put back what it
        // found, and the last owner of the thread's number comes before (`thread_number`). (An
        // atomic load would be compared in two steps.)
        unsafe { !(*self.0.as_ptr()).is_null() }
    }
}

impl<T> Inside<'_, T> {
    /// Of a thread that says so at an entry.
    #[inline(always)]
    fn new(value: *const T, entry: &'static Entry, numbers: &'static Numbers) -> Self {
        Inside { value, gate: PhantomData, entry, numbers, _thread: PhantomData }
    }

    /// Where this thread counts what it does inside.
    #[inline(always)]
    pub fn lane(&self) -> Lane<'_> {
        Lane(self.numbers)
    }
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the gate led there once this thread had said that it is inside, so `vacate` keeps
        // it as long as that stands.
        unsafe { &*self.value }
    }
}

impl<T> Drop for Inside<'_, T> {
    /// Release pairs with the acquire in `vacate`: what was done inside comes before.
    #[inline(always)]
    fn drop(&mut self) {
        self.entry.0.store(ptr::null_mut(), Release);
    }
}

impl<T: Counted> Deref for Visit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `vacate` keeps a value as long as somebody visits.
        unsafe { &*self.value }
    }
}

impl<T: Counted> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        // SAFETY: from `visit`; visits of a thread end in the reverse order of their beginnings.
        let frame = unsafe { Box::from_raw(self.frame) };
        VISITS.set(frame.outer);
        // Release pairs with the acquire in `vacate`.
        frame.block.visits().fetch_sub(1, Release);
        for _ in 0..frame.closed.get() {
            // SAFETY: so many counts of it were left to this visit by `replace`.
            drop(unsafe { vacate(self.value) });
        }
    }
}

/// Waits until nobody is inside, and gives the value that a gate had. `None`: somebody may be
/// inside whom nothing tells of, so it stays for ever.
///
/// # Safety
/// The caller took the value from a gate, and with it one count of it.
unsafe fn vacate<T: Counted>(value: *const T) -> Option<Arc<T>> {
    let _uncancellable = Uncancellable::new();
    if !barrier() {
        return None;
    }
    for entry in INSIDE.all().flat_map(Line::entries) {
        wait_until(|| !ptr::addr_eq(entry.0.load(Acquire), value));
    }
    // Last: who makes a visit is inside until it is counted.
    // SAFETY: alive by that count.
    let block = unsafe { &*value }.usage().block();
    wait_until(|| block.visits().load(Acquire) == 0);
    // SAFETY: what `open` had from `Arc::into_raw`, once for each gate; who came through this one
    // is not inside any more.
    Some(unsafe { Arc::from_raw(value) })
}

fn wait_until(done: impl Fn() -> bool) {
    let (mut looks, mut pause) = (0, PAUSE_MIN);
    while !done() {
        looks += 1;
        if looks > LOOKS {
            thread::sleep(pause);
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }
}

/// The visits of this thread to what is counted in a block, innermost first.
fn visits<'v>(block: &Block) -> impl Iterator<Item = &'v Frame> {
    // SAFETY: null, or a visit of this thread that has not ended, which lies in a box.
    let frame = |address: *const Frame| unsafe { address.as_ref() };
    std::iter::successors(frame(VISITS.get()), move |visit| frame(visit.outer))
        .filter(move |visit| ptr::eq(visit.block, block))
}

/// In a forked child, whose only thread has this number: no other one is inside. Async-signal-safe.
pub(crate) fn in_child(number: Option<usize>) {
    let others = INSIDE.others(number).flat_map(Line::entries);
    others.for_each(|entry| entry.0.store(ptr::null_mut(), Relaxed));
}

/// How many visits this thread makes to what is counted in a block when it forks.
/// Async-signal-safe.
pub(crate) fn visits_at_fork(block: &Block) -> u64 {
    visits(block).count() as u64
}

/// Whether the kernel executes barriers for those who close gates. Only then do threads know their
/// lines by their places, so that who does needs no fence.
pub(crate) fn is_ordered_by_kernel() -> bool {
    settle_order();
    ORDER.load(Relaxed) == BY_KERNEL
}

/// Finds out which order the kernel offers, before the first thread asks for its line.
fn settle_order() {
    if ORDER.load(Relaxed) == UNKNOWN {
        let order = if register() { BY_KERNEL } else { BY_FENCES };
        let _ = ORDER.compare_exchange(UNKNOWN, order, Relaxed, Relaxed);
    }
}

/// After it, what other threads did before they last saw a gate lead elsewhere is seen; false: that
/// cannot be had.
fn barrier() -> bool {
    settle_order();
    fence(SeqCst);
    if ORDER.load(Relaxed) != BY_KERNEL {
        return true;
    }
    // A child may have to register for itself.
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        || register() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn register() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: a system call that changes no memory.
    !cfg!(any(loom, miri)) && unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } == 0
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
