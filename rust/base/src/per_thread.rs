//! Something in private memory that each thread has for itself, by its number (`thread_number`), so
//! that threads share no cache line, and change theirs by plain loads and stores.
//!
//! The *stripes* of the first 64 threads lie side by side, where calls find them by one addition;
//! those of others are added when they come. They are never freed: the next thread that has the
//! number goes on where the last one was.
#![allow(unsafe_code)]

use crate::gate;
use crate::thread_number::{self, NUMBERS};
use std::cell::Cell;
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

/// Stripes that lie side by side.
const STRIPES: usize = 64;
/// Bytes of a stripe: a pair of cache lines, which processors fetch as one.
const STRIPE_BYTES: usize = 128;
const OWN_BYTES: usize = STRIPES * STRIPE_BYTES;
/// Groups of further stripes, each twice as many as the one before.
const GROUPS: usize = (NUMBERS / STRIPES).ilog2() as usize;

thread_local! {
    /// Where the stripe of this thread lies, in bytes: one of those side by side, or nobody's if the
    /// thread has not asked for its stripe yet, or has to ask each time.
    static OWN: Cell<usize> = const { Cell::new(OWN_BYTES) };
}

/// What a thread has, 128 bytes, aligned as that.
pub(crate) trait Stripe: Sized + 'static {
    /// That of a thread that has not used it yet.
    const NEW: Self;
    /// What those find at their place who have to ask. Nobody changes it.
    const NOBODYS: Self;
}

/// One for each thread.
#[repr(C)]
pub(crate) struct PerThread<S> {
    own: [S; STRIPES],
    nobodys: S,
    /// Null, or the first stripe of a group; group `g` is that of the threads `64 << g` and on.
    groups: [AtomicPtr<S>; GROUPS],
}

impl<S: Stripe> PerThread<S> {
    pub const fn new() -> PerThread<S> {
        const { assert!(size_of::<S>() == STRIPE_BYTES && align_of::<S>() == STRIPE_BYTES) };
        PerThread {
            own: [const { S::NEW }; STRIPES],
            nobodys: S::NOBODYS,
            groups: [const { AtomicPtr::new(ptr::null_mut()) }; GROUPS],
        }
    }

    /// The stripe of this thread, if it is known by its place, or else nobody's.
    #[inline(always)]
    pub fn own_or_nobodys(&self) -> &S {
        // SAFETY: where one of the stripes begins that are the front of this.
        unsafe { &*ptr::from_ref(self).byte_add(OWN.get()).cast() }
    }

    /// The stripe of this thread, if it is known by its place.
    #[inline(always)]
    pub fn own(&self) -> Option<&S> {
        (OWN.get() < OWN_BYTES).then(|| self.own_or_nobodys())
    }

    /// The stripe of this thread.
    #[cold]
    pub fn mine(&self) -> &S {
        let number = thread_number::get();
        if number < STRIPES && gate::is_ordered_by_kernel() {
            OWN.set(number * STRIPE_BYTES);
        }
        self.of(number).unwrap_or_else(|| {
            self.add_group(group_of(number));
            self.of(number).unwrap()
        })
    }

    /// The stripe of the thread with a number, if it is there.
    pub fn of(&self, number: usize) -> Option<&S> {
        if number < STRIPES {
            return Some(&self.own[number]);
        }
        let group = group_of(number);
        Some(&self.group(group)?[number - first_of(group)])
    }

    /// The stripes of all threads.
    pub fn all(&self) -> impl Iterator<Item = &S> {
        self.own.iter().chain((0..GROUPS).filter_map(|group| self.group(group)).flatten())
    }

    /// Those of all threads but the one with this number.
    pub fn others(&self, number: Option<usize>) -> impl Iterator<Item = &S> {
        let mine = number.and_then(|number| self.of(number)).map(ptr::from_ref);
        self.all().filter(move |stripe| mine != Some(ptr::from_ref(*stripe)))
    }

    fn group(&self, group: usize) -> Option<&'static [S]> {
        // Acquire pairs with the release of `add_group`.
        let first = self.groups[group].load(Acquire);
        // SAFETY: null, or the first of so many, which are never freed.
        (!first.is_null()).then(|| unsafe { slice::from_raw_parts(first, first_of(group)) })
    }

    fn add_group(&self, group: usize) {
        let stripes: Box<[S]> = (0..first_of(group)).map(|_| S::NEW).collect();
        let stripes = Box::into_raw(stripes);
        let (none, first) = (ptr::null_mut(), stripes.cast());
        if self.groups[group].compare_exchange(none, first, AcqRel, Acquire).is_err() {
            // SAFETY: another thread was faster, and nobody else knows these.
            drop(unsafe { Box::from_raw(stripes) });
        }
    }
}

/// The group with the stripe of a thread that is not among the first ones.
fn group_of(number: usize) -> usize {
    (number / STRIPES).ilog2() as usize
}

/// Which thread has the first stripe of a group; as many are in it.
fn first_of(group: usize) -> usize {
    STRIPES << group
}

/// This thread's number is not its own any more.
pub(crate) fn disown() {
    OWN.set(OWN_BYTES);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;

    #[repr(align(128))]
    struct Mark(AtomicU64);

    impl Stripe for Mark {
        const NEW: Mark = Mark(AtomicU64::new(0));
        const NOBODYS: Mark = Mark(AtomicU64::new(0));
    }

    #[test]
    fn threads_that_live_at_once_have_stripes_of_their_own_and_all_are_found() {
        // Method: so many threads at once that they fill groups, each of which leaves a mark; twice.
        let marks = PerThread::<Mark>::new();
        let threads = if cfg!(miri) { 70 } else { 300 };
        for round in 1..=2 {
            let barrier = Barrier::new(threads);
            let stripes: HashSet<usize> = thread::scope(|scope| {
                let one = || {
                    let mine = marks.mine();
                    barrier.wait();
                    assert!(ptr::eq(mine, marks.mine()));
                    assert!(marks.own().is_none_or(|own| ptr::eq(own, mine)));
                    mine.0.store(mine.0.load(Relaxed) + 1, Relaxed);
                    ptr::from_ref(mine) as usize
                };
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(stripes.len(), threads);
            let sum: u64 = marks.all().map(|mark| mark.0.load(Relaxed)).sum();
            assert_eq!(sum, round * threads as u64);
        }
    }
}
