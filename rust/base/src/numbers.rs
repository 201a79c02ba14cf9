//! Numbers that the threads of a process count by, each in a stripe of its own (`per_thread`).
//!
//! Blocks are never freed, only used again, so whoever still has a reference to one does no harm.
//! Of a process that forks, the child has the forking thread alone, and nothing is counted there.
#![allow(unsafe_code)]

use crate::per_thread::{PerThread, Stripe};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

/// Numbers that a thread has.
pub(crate) const NUMBERS: usize = 16;

static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

/// Those of one thread.
#[repr(align(128))]
pub(crate) struct Numbers([AtomicU64; NUMBERS]);

/// Those of all threads.
pub(crate) struct Block {
    numbers: PerThread<Numbers>,
    is_taken: AtomicBool,
    /// How many visits to what is counted there are at the moment (`gate`).
    visits: AtomicU64,
    next: AtomicPtr<Block>,
}

impl Stripe for Numbers {
    const NEW: Numbers = Numbers([const { AtomicU64::new(0) }; NUMBERS]);
    const NOBODYS: Numbers = Numbers::NEW;
}

impl Numbers {
    #[inline(always)]
    pub fn number(&self, at: usize) -> &AtomicU64 {
        &self.0[at]
    }

    pub fn clear(&self) {
        self.0.iter().for_each(|number| number.store(0, Relaxed));
    }
}

impl Block {
    #[inline(always)]
    pub fn numbers(&self) -> &PerThread<Numbers> {
        &self.numbers
    }

    /// How many visits to what is counted there are at the moment.
    pub fn visits(&self) -> &AtomicU64 {
        &self.visits
    }

    /// A block whose numbers are all 0.
    pub fn take() -> &'static Block {
        let free =
            |block: &&Block| block.is_taken.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        blocks().find(free).unwrap_or_else(Block::add)
    }

    /// Gives the block back.
    pub fn give_back(&self) {
        self.numbers.all().for_each(Numbers::clear);
        self.is_taken.store(false, Release);
    }

    fn add() -> &'static Block {
        let block: &'static Block = Box::leak(Box::new(Block {
            numbers: PerThread::new(),
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

/// In a forked child: nothing is counted. `visits` says how many visits its thread makes.
/// Async-signal-safe.
pub(crate) fn in_child(visits: impl Fn(&Block) -> u64) {
    for block in blocks() {
        block.numbers.all().for_each(Numbers::clear);
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
