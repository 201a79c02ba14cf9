//! A few numbers that a test and its forked children share, to take turns by.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Numbers of a board, where nothing else is asked for.
const NUMBERS: usize = 16;
/// How long a number is waited for.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Shared numbers, zero at the beginning, and a flag that somebody failed. Children inherit them
/// through `fork`; they are never unmapped, so that no child loses them.
#[derive(Clone, Copy)]
pub struct Board {
    numbers: &'static [AtomicU64],
}

impl Board {
    /// A new board.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Board {
        Board::of(NUMBERS)
    }

    /// A new board of so many numbers.
    pub fn of(numbers: usize) -> Board {
        let numbers = numbers + 1;
        let (len, protection) = (numbers * 8, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, zeroed, page-aligned, never unmapped, used as atomics only.
        let numbers = unsafe {
            let address = libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0);
            assert_ne!(address, libc::MAP_FAILED, "mmap failed");
            std::slice::from_raw_parts(address.cast(), numbers)
        };
        Board { numbers }
    }

    /// Sets a number.
    pub fn set(&self, index: usize, value: u64) {
        self.numbers[index].store(value, Ordering::SeqCst);
    }

    /// A number as it is now.
    pub fn get(&self, index: usize) -> u64 {
        self.numbers[index].load(Ordering::SeqCst)
    }

    /// Says that nothing more will come: who waits, panics.
    pub fn give_up(&self) {
        self.set(self.numbers.len() - 1, 1);
    }

    /// Waits until a number is not 0 and returns it. Panics when that takes too long, or when
    /// somebody gave up.
    pub fn wait(&self, index: usize) -> u64 {
        let begun = Instant::now();
        while self.get(index) == 0 {
            assert_eq!(self.get(self.numbers.len() - 1), 0, "waiting for {index}: a child failed");
            assert!(begun.elapsed() < WATCHDOG, "watchdog: number {index} stays 0");
            sleep(Duration::from_millis(1));
        }
        self.get(index)
    }
}
