//! Numbers in private memory that each thread changes without sharing a cache line with others.
//!
//! A process has 64 *stripes*. A thread claims one at its first use and gives it back at its end;
//! the next owner goes on where it was. While it has one, it changes its part of each *block* by
//! plain loads and stores, which no processor has to wait for. Threads for which none is left share
//! one more stripe, by atomic additions; so do all where the kernel has no barrier for the threads
//! of a process (`gate`), so that who has a stripe need not ask.
//!
//! A stripe also says where gates lead whose calls are counted there, since each call looks at both.
//!
//! Blocks are never freed, only used again, so whoever still has a reference to one does no harm.
//! Of a process that forks, the child has the forking thread alone: all other claims are given up
//! there, and what they had counted is forgotten (`fork`).

#![allow(unsafe_code)]

use crate::gate;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

/// Stripes that threads have for themselves.
pub(crate) const STRIPES: usize = 64;
/// Numbers of a stripe. What each call uses lies in the first half, a pair of cache lines, which
/// processors fetch as one.
pub(crate) const NUMBERS: usize = 31;

/// Bytes of a stripe, and of those that threads have.
const STRIPE_BYTES: usize = size_of::<Stripe>();
const _: () = assert!(STRIPE_BYTES == 2 * 128);
const OWN_BYTES: usize = STRIPES * STRIPE_BYTES;
/// The stripe of a thread that has not asked for one, or got none.
const UNCLAIMED: usize = usize::MAX;
/// Of a thread that is ending.
const ENDED: usize = usize::MAX - 1;

/// One bit for each stripe that a thread of this process has.
static CLAIMED: AtomicU64 = AtomicU64::new(0);
static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// Where the stripe of this thread lies in each block, in bytes, or one of the numbers above.
    static OWN: Cell<usize> = const { Cell::new(UNCLAIMED) };
    static GIVE_BACK: GiveBack = const { GiveBack };
}

/// Gives the stripe of a thread back when it ends.
struct GiveBack;

/// The part of a block that one thread has.
#[repr(C, align(128))]
pub(crate) struct Stripe {
    /// Where gates lead whose calls are counted here (`gate`): the same in all stripes of a block.
    value: AtomicPtr<()>,
    numbers: [AtomicU64; NUMBERS],
}

/// The numbers of all threads.
#[repr(C)]
pub(crate) struct Block {
    own: [Stripe; STRIPES],
    shared: Stripe,
    is_taken: AtomicBool,
    /// How many visits to it there are at the moment.
    visits: AtomicU64,
    next: AtomicPtr<Block>,
}

/// A stripe for this thread to change.
pub(crate) enum Mine {
    /// Nobody else changes it.
    Own(&'static Stripe),
    /// Others may.
    Shared(&'static Stripe),
}

impl Stripe {
    /// One whose numbers are all 0.
    pub const fn new() -> Stripe {
        let numbers = [const { AtomicU64::new(0) }; NUMBERS];
        Stripe { value: AtomicPtr::new(ptr::null_mut()), numbers }
    }

    #[inline(always)]
    pub fn number(&self, at: usize) -> &AtomicU64 {
        &self.numbers[at]
    }

    /// Where gates lead whose calls are counted here.
    #[inline(always)]
    pub fn value(&self) -> *mut () {
        self.value.load(Relaxed)
    }
}

impl Block {
    /// The stripe that this thread has for itself, if it has asked for one before and got it.
    #[inline(always)]
    pub fn own(&self) -> Option<&Stripe> {
        let own = OWN.get();
        if own >= OWN_BYTES {
            return None;
        }
        // SAFETY: where one of the stripes begins, with which the block begins.
        Some(unsafe { &*ptr::from_ref(self).byte_add(own).cast() })
    }

    /// The stripe that this thread is to use.
    #[cold]
    pub fn mine(&'static self) -> Mine {
        claim();
        self.own().map_or(Mine::Shared(&self.shared), Mine::Own)
    }

    /// The stripe of all who have none.
    pub fn shared(&self) -> &Stripe {
        &self.shared
    }

    /// Says where gates lead whose calls are counted here.
    pub fn set_value(&self, value: *mut ()) {
        // Another gate may lead here, whose threads use these lines.
        let others = self.stripes().filter(|stripe| stripe.value() != value);
        others.for_each(|stripe| stripe.value.store(value, Relaxed));
    }

    /// How many visits to it there are at the moment.
    pub fn visits(&self) -> &AtomicU64 {
        &self.visits
    }

    /// All stripes, the shared one last.
    pub fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.own.iter().chain([&self.shared])
    }

    /// A block whose numbers are all 0, except where somebody who used it before is just about to
    /// take back what he has added.
    pub fn take() -> &'static Block {
        let free =
            |block: &&Block| block.is_taken.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        blocks().find(free).unwrap_or_else(Block::add)
    }

    /// Gives the block back, whose numbers MUST be 0, with that exception.
    pub fn give_back(&self) {
        self.is_taken.store(false, Release);
    }

    fn add() -> &'static Block {
        let block: &'static Block = Box::leak(Box::new(Block {
            own: [const { Stripe::new() }; STRIPES],
            shared: Stripe::new(),
            is_taken: AtomicBool::new(true),
            visits: AtomicU64::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut head = BLOCKS.load(Acquire);
        loop {
            block.next.store(head, Relaxed);
            let new = ptr::from_ref(block).cast_mut();
            match BLOCKS.compare_exchange(head, new, AcqRel, Acquire) {
                Ok(_) => return block,
                Err(found) => head = found,
            }
        }
    }
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        let own = OWN.replace(ENDED);
        if own < OWN_BYTES {
            // Release pairs with the acquire of the next owner, who goes on with the numbers.
            CLAIMED.fetch_and(!(1 << (own / STRIPE_BYTES)), Release);
        }
    }
}

/// Has this thread own a stripe, if it has none and one is left.
fn claim() {
    if OWN.get() != UNCLAIMED || !gate::is_ordered_by_kernel() {
        return;
    }
    let mut claimed = CLAIMED.load(Relaxed);
    while claimed != u64::MAX {
        let stripe = claimed.trailing_ones();
        match CLAIMED.compare_exchange(claimed, claimed | 1 << stripe, Acquire, Relaxed) {
            Ok(_) => {
                OWN.set(stripe as usize * STRIPE_BYTES);
                // Where that is not possible any more, the thread ends, and nobody gets the stripe.
                let _ = GIVE_BACK.try_with(|_| ());
                return;
            }
            Err(found) => claimed = found,
        }
    }
}

/// In a forked child: no other thread has a stripe, and none has counted anything. `visits` says
/// how many visits this thread makes. Async-signal-safe.
pub(crate) fn in_child(visits: impl Fn(&Block) -> u64) {
    let own = OWN.get();
    let mine = (own < OWN_BYTES).then_some(own / STRIPE_BYTES);
    CLAIMED.store(mine.map_or(0, |stripe| 1 << stripe), SeqCst);
    for block in blocks() {
        for stripe in block.stripes() {
            stripe.numbers.iter().for_each(|number| number.store(0, Relaxed));
        }
        block.visits.store(visits(block), Relaxed);
    }
}

/// All blocks.
fn blocks() -> impl Iterator<Item = &'static Block> {
    let block = |address: *mut Block| {
        // SAFETY: null, or a block, which is never freed. Acquire pairs with its publication.
        unsafe { address.as_ref::<'static>() }
    };
    std::iter::successors(block(BLOCKS.load(Acquire)), move |it| block(it.next.load(Acquire)))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    #[test]
    fn threads_have_stripes_of_their_own_as_long_as_there_are_some_and_give_them_back() {
        // Goal: no two threads that live at once own one stripe; ended ones leave theirs to others.
        // Method: more threads than stripes, all alive at once, three times.
        let block = Block::take();
        for _ in 0..3 {
            let barrier = Barrier::new(STRIPES + 6);
            let owned: Vec<_> = std::thread::scope(|scope| {
                let one = || {
                    let mine = block.mine();
                    barrier.wait();
                    match mine {
                        Mine::Own(stripe) => Some(ptr::from_ref(stripe) as usize),
                        Mine::Shared(_) => None,
                    }
                };
                let threads: Vec<_> = (0..STRIPES + 6).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let own: Vec<usize> = owned.into_iter().flatten().collect();
            // Tests beside this one have some.
            assert!(own.len() <= STRIPES && own.len() > STRIPES / 2, "{}", own.len());
            assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len());
        }
        block.give_back();
    }
}
