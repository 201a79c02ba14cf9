//! A small number for each thread of this process, as long as it lives.
//!
//! A thread claims the lowest number that is free, and another one gets it when that thread has
//! ended. It is given back by the destructor of a key of POSIX threads. In the C library those run
//! after all variables of the thread are gone, so also after the destructors of such variables used
//! a map. A thread that asks later than that, in the destructor of another key, gets a number again,
//! and its destructor another turn, of which there are four; what it claims in the last one, and
//! what anybody claims while all keys of the process are in use, stays claimed.
//!
//! All of it may be interrupted by a signal handler that uses a map, or forks.
//!
//! Of a process that forks, the child has the forking thread alone: only its claim stands there.
#![allow(unsafe_code)]

use crate::per_thread;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize, compiler_fence};

/// As many as Linux has threads, whatever its settings are (`PID_MAX_LIMIT`).
pub(crate) const NUMBERS: usize = 1 << 22;
const WORD_BITS: usize = u64::BITS as usize;
/// Of a thread that has none.
const NONE: usize = usize::MAX;

/// One bit for each number that a thread of this process has. Pages of it that nobody needed yet
/// take no memory.
static CLAIMED: [AtomicU64; NUMBERS / WORD_BITS] =
    [const { AtomicU64::new(0) }; NUMBERS / WORD_BITS];
/// How many words of it were ever looked at.
static WORDS_USED: AtomicUsize = AtomicUsize::new(0);
/// The key whose destructor gives numbers back, plus 1; `NO_KEY`: there is none yet.
static KEY: AtomicU64 = AtomicU64::new(NO_KEY);
const NO_KEY: u64 = 0;
/// There is none any more.
const UNLOADED: u64 = u64::MAX;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
}

/// That of this thread, below `NUMBERS`. Its last owner's stores are seen.
#[inline]
pub(crate) fn get() -> usize {
    match NUMBER.get() {
        NONE => claim(),
        number => number,
    }
}

#[cold]
fn claim() -> usize {
    let number = CLAIMED.iter().enumerate().find_map(|(at, word)| {
        // Before the claim: a child that is forked in between takes it back.
        WORDS_USED.fetch_max(at + 1, Relaxed);
        claim_in(word).map(|bit| at * WORD_BITS + bit)
    });
    let number = number.expect("no process has more threads than there are numbers");
    if NUMBER.get() != NONE {
        // A signal handler asked meanwhile.
        unclaim(number);
        return NUMBER.get();
    }
    NUMBER.set(number);
    // Once more, in the child of a signal handler that forked meanwhile.
    CLAIMED[number / WORD_BITS].fetch_or(1 << (number % WORD_BITS), Acquire);
    if let Some(key) = key() {
        // SAFETY: a key; any address but null has its destructor called.
        unsafe { libc::pthread_setspecific(key, ptr::from_ref(&KEY).cast()) };
    }
    number
}

fn claim_in(word: &AtomicU64) -> Option<usize> {
    let mut claimed = word.load(Relaxed);
    while claimed != u64::MAX {
        let bit = claimed.trailing_ones();
        match word.compare_exchange_weak(claimed, claimed | 1 << bit, Acquire, Relaxed) {
            Ok(_) => return Some(bit as usize),
            Err(found) => claimed = found,
        }
    }
    None
}

/// Release pairs with the acquire of the next owner, who goes on with what the number stands for.
fn unclaim(number: usize) {
    CLAIMED[number / WORD_BITS].fetch_and(!(1 << (number % WORD_BITS)), Release);
}

extern "C" fn give_back(_: *mut c_void) {
    let number = NUMBER.replace(NONE);
    // In this order: a signal handler in between may have the number still, but nobody is taken for
    // its owner afterwards.
    compiler_fence(SeqCst);
    per_thread::disown();
    if number != NONE {
        unclaim(number);
    }
}

/// The key, without a lock: a child might be forked while another thread holds it.
fn key() -> Option<libc::pthread_key_t> {
    let mut known = KEY.load(Acquire);
    if known == NO_KEY {
        let mut key = 0;
        // SAFETY: the destructor may be called at the end of any thread, until `AT_UNLOAD`.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(give_back)) } != 0 {
            return None;
        }
        let new = u64::from(key) + 1;
        known = match KEY.compare_exchange(NO_KEY, new, AcqRel, Acquire) {
            Ok(_) => new,
            Err(found) => {
                // SAFETY: nobody else knows this key.
                unsafe { libc::pthread_key_delete(key) };
                found
            }
        };
    }
    (known != UNLOADED).then(|| (known - 1) as libc::pthread_key_t)
}

/// A library that is unloaded takes the destructor away from threads that live on, before its own
/// static objects are gone, which may use maps.
#[cfg(not(any(loom, miri)))]
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_UNLOAD: extern "C" fn() = {
    extern "C" fn at_unload() {
        let known = KEY.swap(UNLOADED, AcqRel);
        if known != NO_KEY && known != UNLOADED {
            // SAFETY: a key that nobody deletes but who took it.
            unsafe { libc::pthread_key_delete((known - 1) as libc::pthread_key_t) };
        }
    }
    at_unload
};

/// In a forked child: no other thread has a number. That of this one, if it has asked for one.
/// Async-signal-safe.
pub(crate) fn in_child() -> Option<usize> {
    CLAIMED[..WORDS_USED.load(SeqCst)].iter().for_each(|word| word.store(0, SeqCst));
    let own = NUMBER.get();
    if own == NONE {
        return None;
    }
    CLAIMED[own / WORD_BITS].store(1 << (own % WORD_BITS), SeqCst);
    Some(own)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn threads_that_live_at_once_have_different_numbers_and_give_them_back() {
        // Goal: no two threads that live at once have one number; ended ones leave theirs to
        // others. Method: many threads, all alive at once, again and again.
        let threads = if cfg!(miri) { 5 } else { 150 };
        for _ in 0..20 {
            let barrier = Barrier::new(threads);
            let numbers: HashSet<usize> = thread::scope(|scope| {
                let one = || {
                    let number = get();
                    barrier.wait();
                    assert_eq!(get(), number);
                    number
                };
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(numbers.len(), threads);
            // Tests beside this one have some, and threads of the last round may be ending.
            assert!(numbers.iter().all(|&number| number < 4 * threads + 64), "{numbers:?}");
        }
    }

    #[test]
    fn a_thread_whose_last_variables_use_a_map_gives_its_number_back_as_well() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                get();
            }
        }
        thread_local! { static LATE: Late = const { Late } };
        let rounds = if cfg!(miri) { 3 } else { 300 };
        let late = |_| {
            let variable = || LATE.with(|_| get());
            thread::spawn(variable).join().unwrap()
        };
        let highest = (0..rounds).map(late).max().unwrap();
        assert!(highest < 200.max(rounds / 2), "{highest}");
    }
}
