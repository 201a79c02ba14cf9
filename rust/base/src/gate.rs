//! A gate before something that threads use and another one takes away: who is inside finishes,
//! who comes later is not let in, and what is behind it goes when nobody is inside any more.
//!
//! Entering is a plain addition to a number of the thread's own (`stripes`), and a look whether the
//! gate still leads there. Whoever closes it changes that first, then has the kernel execute a
//! barrier on every processor that runs a thread of this process (`membarrier`), and then reads the
//! numbers. So of the two one sees the other, and those who enter need no fence. Where the kernel
//! has no such call, no thread has numbers of its own, and those who enter execute one.
//!
//! What is behind a gate counts its uses (`counts`), and the numbers of those who are inside lie
//! beside its counters, in the same block: that is its *room*. So whoever is inside knows where to
//! count. Rooms are never freed, only used again: somebody who was about to enter one that is
//! closed meanwhile adds himself there, sees that the gate leads elsewhere, and takes that back.
//! Two gates may lead to one room; who closes one of them waits for those inside through the other
//! as well.
//!
//! A thread may close the gate from inside, in a function that a *visit* calls. Visits are counted
//! apart, by the room: a thread that closes a gate cannot wait for itself, so if it visits, the
//! room is cleared when the outermost of its visits there ends.
#![allow(unsafe_code)]

use crate::cancellation::Uncancellable;
use crate::counts::{Counted, Guest, Lane};
use crate::fork;
use crate::stripes::{Block, Mine, Stripe};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32, compiler_fence, fence};
use std::thread;
use std::time::Duration;

/// Which number of a stripe says how often its threads are inside.
const INSIDE: usize = 0;
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

thread_local! {
    /// The innermost visit of this thread.
    static VISITS: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// A way to a value that can be taken away. All methods may be called from any thread at any time.
pub struct Gate<T> {
    /// Null: closed.
    room: AtomicPtr<Block>,
    value: PhantomData<Arc<T>>,
}

/// Proof that the value stays; belongs to a thread.
pub struct Inside<'g, T> {
    /// Good if the gate led to the room once this thread had entered it.
    value: *const T,
    gate: PhantomData<&'g T>,
    /// The thread's own, or that of a `Guest`. Nothing else is kept for the way out, which short
    /// calls would feel.
    stripe: *const Stripe,
    _thread: PhantomData<*const ()>,
}

/// The number of a guest who is inside: somebody without a stripe in the room. What he takes from
/// it at the end leaves it negative, which those of stripes never are.
const GUEST: u64 = (1 << 63) + 1;

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
pub struct Visit<'g, T> {
    value: *const T,
    gate: PhantomData<&'g T>,
    /// From `Box::into_raw`; others of this thread's visits may point to it.
    frame: *mut Frame,
}

/// A visit, in a list of those of its thread.
struct Frame {
    room: &'static Block,
    /// How many gates were closed from inside, if this is the outermost visit there.
    closed: Cell<u32>,
    outer: *const Frame,
}

// SAFETY: what is behind it is shared between threads and dropped by any of them, as by an `Arc`.
unsafe impl<T: Send + Sync> Send for Gate<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Gate<T> {}

impl<T> Default for Gate<T> {
    /// A closed gate.
    fn default() -> Gate<T> {
        Gate { room: AtomicPtr::new(ptr::null_mut()), value: PhantomData }
    }
}

impl<T: Counted> Gate<T> {
    /// Lets this thread in; `None`: the gate is closed. Plain loads and stores, no system call, but
    /// for a thread's first time, and for threads that have no stripe.
    #[inline(always)]
    pub fn enter(&self) -> Option<Inside<'_, T>> {
        // SAFETY: null, or a block, which is never freed and was set up before the gate led to it.
        let room: &'static Block = unsafe { self.room.load(Acquire).as_ref()? };
        let Some(stripe) = room.own() else { return self.enter_slowly() };
        come_in(stripe);
        // With the barrier of `vacate`: either this thread sees that the gate leads elsewhere, or
        // who closes it sees that this thread is inside. Acquire, since it may have been opened
        // anew meanwhile, with another value in the same room.
        compiler_fence(SeqCst);
        if self.room.load(Acquire) != ptr::from_ref(room).cast_mut() {
            leave(stripe);
            return self.enter_slowly();
        }
        Some(Self::inside(stripe, stripe))
    }

    /// As `enter`, with no stripe of one's own yet, or ever, or after others opened and closed the
    /// gate meanwhile.
    #[cold]
    #[inline(never)]
    fn enter_slowly(&self) -> Option<Inside<'_, T>> {
        loop {
            // SAFETY: as in `enter`.
            let room: &'static Block = unsafe { self.room.load(Acquire).as_ref()? };
            let stripe: *const Stripe = match room.mine() {
                Mine::Own(stripe) => {
                    come_in(stripe);
                    stripe
                }
                Mine::Shared(shared) => {
                    let guest = Guest::of(room);
                    guest.stripe.number(INSIDE).store(GUEST, Relaxed);
                    shared.number(INSIDE).fetch_add(1, Relaxed);
                    Box::into_raw(guest).cast()
                }
            };
            // Pairs with the one in `barrier`.
            fence(SeqCst);
            // Acquire as in `enter`.
            let led_here = self.room.load(Acquire) == ptr::from_ref(room).cast_mut();
            let inside = Self::inside(room.shared(), stripe);
            if led_here {
                return Some(inside);
            }
            // Another room meanwhile, or none. Dropping `inside` takes the addition back.
        }
    }

    /// As `enter`, to call functions that may close the gate.
    pub fn visit(&self) -> Option<Visit<'_, T>> {
        let inside = self.enter()?;
        let room = inside.usage().block();
        // Whoever waits until nobody is inside sees this afterwards.
        room.visits().fetch_add(1, Relaxed);
        let frame = Frame { room, closed: Cell::new(0), outer: VISITS.get() };
        let frame = Box::into_raw(Box::new(frame));
        VISITS.set(frame);
        Some(Visit { value: inside.value, gate: PhantomData, frame })
    }

    /// The value, which lives on for the caller when the gate is closed.
    pub fn share(&self) -> Option<Arc<T>> {
        let inside = self.enter()?;
        // SAFETY: the room has one count of it, from `Arc::into_raw`, as long as somebody is
        // inside.
        unsafe {
            Arc::increment_strong_count(inside.value);
            Some(Arc::from_raw(inside.value))
        }
    }

    /// Has the gate lead to `value`. Closes it first, if it is open.
    pub fn open(&self, value: Arc<T>) {
        let room = value.usage().block();
        room.set_value(Arc::into_raw(value).cast_mut().cast());
        // Release pairs with the acquire of who enters.
        self.replace(ptr::from_ref(room).cast_mut());
    }
}

impl<T> Gate<T> {
    /// Closes the gate, waits until all others who are inside have left, and lets go of the value.
    /// A thread that is inside itself does not wait: the end of its outermost visit does that.
    pub fn close(&self) {
        self.replace(ptr::null_mut());
    }

    /// As `close`, for somebody who wants the value itself.
    pub fn take(&self) -> Taken<T> {
        let room = self.room.load(Acquire);
        // SAFETY: as in `enter`.
        match unsafe { room.as_ref() } {
            Some(found) if visits(found).next().is_some() => return Taken::Inside,
            Some(_) => {}
            None => return Taken::Closed,
        }
        // Whoever takes the room from the gate meanwhile has the value.
        match self.room.compare_exchange(room, ptr::null_mut(), SeqCst, Relaxed) {
            // SAFETY: as in `replace`.
            Ok(_) => vacate(unsafe { &*room }).map_or(Taken::Closed, Taken::Value),
            Err(_) => Taken::Closed,
        }
    }

    fn replace(&self, next: *mut Block) {
        let room = self.room.swap(next, SeqCst);
        // SAFETY: as in `enter`; who took it from the gate is alone in clearing it.
        let Some(room): Option<&'static Block> = (unsafe { room.as_ref() }) else { return };
        match visits(room).last() {
            Some(outermost) => outermost.closed.set(outermost.closed.get() + 1),
            None => drop(vacate::<T>(room)),
        }
    }

    #[inline(always)]
    fn inside<'g>(of_room: &Stripe, stripe: *const Stripe) -> Inside<'g, T> {
        Inside { value: of_room.value().cast(), gate: PhantomData, stripe, _thread: PhantomData }
    }
}

impl<T> Drop for Gate<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Inside<'_, T> {
    /// Where this thread counts what it does inside.
    #[inline(always)]
    pub fn lane(&self) -> Lane<'_> {
        // SAFETY: a stripe, which is never freed, or a guest, who goes when `self` does.
        Lane(unsafe { &*self.stripe })
    }
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the gate led to the room once this thread was inside, or nobody was given this;
        // so it is the room's value, which `vacate` keeps as long as somebody is inside.
        unsafe { &*self.value }
    }
}

impl<T> Drop for Inside<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        leave(self.stripe);
    }
}

impl<T> Deref for Visit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `vacate` keeps the value of a room as long as somebody visits.
        unsafe { &*self.value }
    }
}

impl<T> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        // SAFETY: from `visit`; visits of a thread end in the reverse order of their beginnings.
        let frame = unsafe { Box::from_raw(self.frame) };
        VISITS.set(frame.outer);
        // Release pairs with the acquire in `vacate`.
        frame.room.visits().fetch_sub(1, Release);
        for _ in 0..frame.closed.get() {
            drop(vacate::<T>(frame.room));
        }
    }
}

#[inline(always)]
fn come_in(stripe: &Stripe) {
    let number = stripe.number(INSIDE);
    number.store(number.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Release pairs with the acquire in `vacate`: what was done inside comes before.
#[inline(always)]
fn leave(stripe: *const Stripe) {
    // SAFETY: a stripe, which is never freed, or a guest, who goes only here.
    let number = unsafe { &*stripe }.number(INSIDE);
    let left = number.load(Relaxed).wrapping_sub(1);
    number.store(left, Release);
    if left.cast_signed() < 0 {
        leave_slowly(stripe, left);
    }
}

#[cold]
#[inline(never)]
fn leave_slowly(stripe: *const Stripe, left: u64) {
    if left == GUEST - 1 {
        // SAFETY: a guest, from `Box::into_raw`, who leaves once.
        let guest = unsafe { Box::from_raw(stripe.cast_mut().cast::<Guest>()) };
        // In a child that was forked meanwhile nobody is inside, and nothing was counted.
        if guest.generation == fork::generation() {
            guest.hand_over();
            guest.room.shared().number(INSIDE).fetch_sub(1, Release);
        }
    } else {
        // Somebody forked in the middle of a call, in a signal handler, and the child goes on with
        // it. SAFETY: a stripe.
        unsafe { &*stripe }.number(INSIDE).store(0, Release);
    }
}

/// Of somebody who closed a gate that led to a room: waits until nobody is inside, and gives the
/// value that the gate had. `None`: somebody may be inside whom nothing tells of, so it stays for
/// ever.
fn vacate<T>(room: &'static Block) -> Option<Arc<T>> {
    let _uncancellable = Uncancellable::new();
    if !barrier() {
        return None;
    }
    let inside = room.stripes().map(|stripe| stripe.number(INSIDE));
    // Visits last: who makes one is inside until it is counted.
    for number in inside.chain([room.visits()]) {
        let (mut looks, mut pause) = (0, PAUSE_MIN);
        while number.load(Acquire) != 0 {
            looks += 1;
            if looks > LOOKS {
                thread::sleep(pause);
                pause = (2 * pause).min(PAUSE_MAX);
            }
        }
    }
    // SAFETY: what `open` had from `Arc::into_raw`, once for each gate; who came through this one
    // is not inside any more.
    Some(unsafe { Arc::from_raw(room.shared().value().cast::<T>()) })
}

/// The visits of this thread to a room, innermost first.
fn visits<'v>(room: &Block) -> impl Iterator<Item = &'v Frame> {
    // SAFETY: null, or a visit of this thread that has not ended, which lies in a box.
    let frame = |address: *const Frame| unsafe { address.as_ref() };
    std::iter::successors(frame(VISITS.get()), move |visit| frame(visit.outer))
        .filter(move |visit| ptr::eq(visit.room, room))
}

/// How many visits this thread makes to a room when it forks. Async-signal-safe.
pub(crate) fn visits_at_fork(room: &Block) -> u64 {
    visits(room).count() as u64
}

/// Whether the kernel executes barriers for those who close gates. Only then do threads get stripes
/// of their own, so that who has one needs no fence.
pub(crate) fn is_ordered_by_kernel() -> bool {
    settle_order();
    ORDER.load(Relaxed) == BY_KERNEL
}

/// Finds out which order the kernel offers, before the first thread gets a stripe.
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
