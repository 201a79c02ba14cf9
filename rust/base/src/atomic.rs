//! The only door to shared memory: words, half words, and byte ranges that others may be writing.
//!
//! Every access to mapped bytes in this project goes through `Word`, `Half` and `Bytes`, so that
//! the model checker (`cfg(loom)`), Miri and the crash points see each of them.
//!
//! Rules:
//! - A location has one access width for its whole life: 8 bytes (`Word`) or 4 bytes (`Half`). An
//!   index page may become one of the other kind; who still reads it as what it was is told so
//!   afterwards. Record bytes are accessed as 8-byte words, or by opaque instructions that the
//!   language does not see (`Bytes`), never through `&[u8]`.
//! - Every store ends with a compiler fence, so the order in which a killed process leaves its
//!   stores behind is the order in the source. (The processor needs nothing: a kill does not lose
//!   retired stores.)
//! - Orderings stronger than relaxed name their partner where they are used.
#![allow(unsafe_code)]

use crate::crash;
use std::marker::PhantomData;
pub use std::sync::atomic::Ordering;
use std::sync::atomic::compiler_fence;

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes in a `Word`.
pub const WORD_BYTES: u64 = 8;

/// An 8-byte aligned word of shared memory, valid for `'r`.
#[derive(Clone, Copy)]
pub struct Word<'r> {
    address: *mut u64,
    lifetime: PhantomData<&'r ()>,
}

/// A 4-byte aligned half word of shared memory, valid for `'r`.
#[derive(Clone, Copy)]
pub struct Half<'r> {
    address: *mut u32,
    lifetime: PhantomData<&'r ()>,
}

/// A range of shared memory that starts on an 8-byte boundary, valid for `'r`.
#[derive(Clone, Copy)]
pub struct Bytes<'r> {
    address: *mut u64,
    len: usize,
    lifetime: PhantomData<&'r ()>,
}

macro_rules! atomic_location {
    ($name:ident, $int:ty, $atomic:ident) => {
        impl<'r> $name<'r> {
            /// # Safety
            /// `address` is aligned, inside a live mapping for `'r`, and never accessed at another
            /// width. For the storing methods the mapping is writable.
            #[inline(always)]
            pub(crate) unsafe fn new(address: *mut $int) -> Self {
                debug_assert!((address as usize).is_multiple_of(size_of::<$int>()));
                $name { address, lifetime: PhantomData }
            }

            #[cfg(not(loom))]
            #[inline(always)]
            fn cell(self) -> &'r $atomic {
                // SAFETY: by the contract of `new`.
                unsafe { $atomic::from_ptr(self.address) }
            }

            #[cfg(loom)]
            fn cell(self) -> model::Cell {
                model::cell(self.address as usize, size_of::<$int>())
            }

            /// Loads the value.
            #[inline(always)]
            pub fn load(self, order: Ordering) -> $int {
                self.cell().load(order) as $int
            }

            /// Stores the value. One crash point.
            #[inline(always)]
            pub fn store(self, value: $int, order: Ordering) {
                crash::step();
                self.cell().store(value as _, order);
                compiler_fence(Ordering::SeqCst);
            }

            /// Compare and exchange; `Err` holds what was found. One crash point.
            #[inline(always)]
            pub fn compare_exchange(
                self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                crash::step();
                let found = self.cell().compare_exchange(current as _, new as _, success, failure);
                compiler_fence(Ordering::SeqCst);
                match found {
                    Ok(value) => Ok(value as $int),
                    Err(value) => Err(value as $int),
                }
            }

            /// Adds to the value, which wraps around. One crash point.
            pub fn add(self, value: $int) {
                crash::step();
                #[cfg(not(loom))]
                self.cell().fetch_add(value, Ordering::Relaxed);
                #[cfg(loom)]
                {
                    let mut found = self.load(Ordering::Relaxed);
                    while let Err(other) = self.cell().compare_exchange(
                        found as _,
                        found.wrapping_add(value) as _,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    ) {
                        found = other as $int;
                    }
                }
                compiler_fence(Ordering::SeqCst);
            }

            /// Stores `value` and returns what was there. One crash point.
            #[inline(always)]
            pub fn swap(self, value: $int, order: Ordering) -> $int {
                crash::step();
                let found = self.cell().swap(value as _, order) as $int;
                compiler_fence(Ordering::SeqCst);
                found
            }
        }
    };
}

atomic_location!(Word, u64, AtomicU64);
atomic_location!(Half, u32, AtomicU32);

/// One 4 KiB page of shared memory, valid for `'r`.
#[derive(Clone, Copy)]
pub struct Page<'r> {
    address: *mut u64,
    lifetime: PhantomData<&'r ()>,
}

/// Bytes of a `Page`.
pub const PAGE_BYTES: usize = 4096;

/// 64 bytes of a page, from a multiple of as many on, valid for `'r`: a cache line, where the page
/// begins with one.
#[derive(Clone, Copy)]
pub struct Line<'r> {
    address: *mut u64,
    lifetime: PhantomData<&'r ()>,
}

/// Bytes of a `Line`.
pub const LINE_BYTES: usize = 64;

impl<'r> Page<'r> {
    /// # Safety
    /// `address` is 8-byte aligned and a page from there on lies inside a live mapping for `'r`.
    #[inline(always)]
    pub(crate) unsafe fn new(address: *mut u64) -> Self {
        debug_assert!((address as usize).is_multiple_of(8));
        Page { address, lifetime: PhantomData }
    }

    /// The word at `index`, which wraps around at the end of the page.
    #[inline(always)]
    pub fn word(self, index: usize) -> Word<'r> {
        // SAFETY: inside the page by the remainder, aligned because the page is.
        unsafe { Word::new(self.address.add(index % (PAGE_BYTES / 8))) }
    }

    /// The half word at `index`, in half words, which wraps around at the end of the page.
    #[inline(always)]
    pub fn half(self, index: usize) -> Half<'r> {
        // SAFETY: inside the page by the remainder, aligned because the page is.
        unsafe { Half::new(self.address.cast::<u32>().add(index % (PAGE_BYTES / 4))) }
    }

    /// The line at `index`, in lines, which wraps around at the end of the page.
    #[inline(always)]
    pub fn line(self, index: usize) -> Line<'r> {
        let word = index % (PAGE_BYTES / LINE_BYTES) * (LINE_BYTES / 8);
        // SAFETY: inside the page by the remainder.
        Line { address: unsafe { self.address.add(word) }, lifetime: PhantomData }
    }
}

impl<'r> Line<'r> {
    /// # Safety
    /// `address` is 8-byte aligned and a line from there on lies inside a live mapping for `'r`.
    #[inline(always)]
    pub(crate) unsafe fn new(address: *mut u64) -> Self {
        debug_assert!((address as usize).is_multiple_of(8));
        Line { address, lifetime: PhantomData }
    }

    /// The word at `index`, which wraps around at the end of the line.
    #[inline(always)]
    pub fn word(self, index: usize) -> Word<'r> {
        // SAFETY: inside the line by the remainder, aligned because the page is.
        unsafe { Word::new(self.address.add(index % (LINE_BYTES / 8))) }
    }

    /// The half word at `index`, in half words, which wraps around at the end of the line.
    #[inline(always)]
    pub fn half(self, index: usize) -> Half<'r> {
        // SAFETY: inside the line by the remainder, aligned because the page is.
        unsafe { Half::new(self.address.cast::<u32>().add(index % (LINE_BYTES / 4))) }
    }

    /// Starts to fetch the line.
    #[inline(always)]
    pub fn prefetch(self) {
        prefetch(self.address);
    }
}

/// Pages of shared memory that end where those before them begin, valid for `'r`.
#[derive(Clone, Copy)]
pub struct PagesFromEnd<'r> {
    /// Where the first one ends.
    end: *mut u64,
    count: usize,
    lifetime: PhantomData<&'r ()>,
}

impl<'r> PagesFromEnd<'r> {
    /// # Safety
    /// `end` is 8-byte aligned, and `count` pages end there, inside a live mapping for `'r`.
    #[inline(always)]
    pub(crate) unsafe fn new(end: *mut u64, count: usize) -> Self {
        PagesFromEnd { end, count, lifetime: PhantomData }
    }

    /// The page that begins `back` pages before the end, or `None` when there is none.
    #[inline(always)]
    pub fn begins(self, back: u32) -> Option<Page<'r>> {
        if back.wrapping_sub(1) as usize >= self.count {
            return None;
        }
        // SAFETY: inside the range by the check.
        Some(unsafe { Page::new(self.end.sub(back as usize * (PAGE_BYTES / 8))) })
    }
}

impl Half<'_> {
    /// The address, for the futex calls of the lock.
    pub(crate) fn as_ptr(self) -> *mut u32 {
        self.address
    }
}

/// Bytes at the beginning of each of three parts that are stored as one: a header's first word.
const WHOLE: [usize; 3] = [WORD_BYTES as usize, 0, 0];

/// A fence between threads and processes; pairs as named where it is used.
#[inline(always)]
pub fn fence(order: Ordering) {
    #[cfg(not(loom))]
    std::sync::atomic::fence(order);
    #[cfg(loom)]
    if model::running() {
        loom::sync::atomic::fence(order);
    }
}

/// Starts to fetch the cache line of an address inside a mapping.
#[inline(always)]
pub(crate) fn prefetch(address: *const u64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect on memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Tells the processor, or the model checker, that this thread waits for another.
#[inline(always)]
pub fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    if model::running() {
        loom::thread::yield_now();
    }
}

impl<'r> Bytes<'r> {
    /// # Safety
    /// `address` is 8-byte aligned and `len` bytes rounded up to whole words lie inside a live
    /// mapping for `'r`, accessed by `Word` and `Bytes` only.
    #[inline(always)]
    pub(crate) unsafe fn new(address: *mut u64, len: usize) -> Self {
        debug_assert!((address as usize).is_multiple_of(8));
        Bytes { address, len, lifetime: PhantomData }
    }

    /// Length in bytes.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The word at `index`. Panics when it lies outside of the range.
    #[inline(always)]
    pub fn word(self, index: usize) -> Word<'r> {
        assert!(index < self.len.div_ceil(8));
        // SAFETY: inside the range by the assertion, aligned because the range is.
        unsafe { Word::new(self.address.add(index)) }
    }

    /// `len` bytes from `from` bytes on, a multiple of 8, or `None` when they are not all inside.
    #[inline(always)]
    pub fn part(self, from: u64, len: u64) -> Option<Bytes<'r>> {
        let inside =
            from <= self.len as u64 && len <= self.len as u64 - from && from.is_multiple_of(8);
        // SAFETY: whole words inside the range, whose length was rounded up to them.
        let part = || unsafe { Bytes::new(self.address.add((from / 8) as usize), len as usize) };
        inside.then(part)
    }

    /// Copies `into.len()` bytes from `from` bytes into the range; racing stores may tear them.
    /// Panics when the range is shorter.
    #[inline(always)]
    pub fn copy_out(self, from: usize, into: &mut [u8]) {
        let end = from.checked_add(into.len()).expect("range");
        assert!(end <= self.len);
        #[cfg(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy))))]
        // SAFETY: the range has as many bytes as `into`, by the assertion. `into` is ours.
        unsafe {
            opaque::copy((self.address as *const u8).add(from), into.as_mut_ptr(), into.len())
        }
        #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
        self.copy_out_words(from, into);
        compiler_fence(Ordering::SeqCst);
    }

    /// As `copy_out`, of `len` bytes to the front of `into`; what lies behind them there stays as it
    /// is. Mostly, what follows need not wait until the length is known. Panics when either is
    /// shorter.
    #[inline(always)]
    pub fn copy_out_to_front(self, from: usize, len: usize, into: &mut [u8]) {
        let end = from.checked_add(len).expect("range");
        assert!(end <= self.len && len <= into.len());
        #[cfg(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy))))]
        // SAFETY: both have so many bytes, by the assertion. `into` is ours. (Bytes behind the
        // range, in a page of it, may be loaded as well, and become nothing.)
        unsafe {
            let from = (self.address as *const u8).add(from);
            opaque::copy_to_front(from, len, into.as_mut_ptr(), into.len());
        }
        #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
        self.copy_out_words(from, &mut into[..len]);
        compiler_fence(Ordering::SeqCst);
    }

    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
    fn copy_out_words(self, from: usize, into: &mut [u8]) {
        let (len, mut done) = (into.len(), 0);
        while done < len {
            let (index, skip) = ((from + done) / 8, (from + done) % 8);
            let bytes = self.word(index).load(Ordering::Relaxed).to_ne_bytes();
            let take = (len - done).min(8 - skip);
            into[done..done + take].copy_from_slice(&bytes[skip..skip + take]);
            done += take;
        }
    }

    /// Whether the first `key.len()` bytes from word `first` on equal `key`. Loads whole words.
    #[inline(always)]
    pub fn equals(self, first: usize, key: &[u8]) -> bool {
        assert!(first * 8 + key.len() <= self.len);
        // SAFETY: whole words up to the end of the range, by the assertion.
        let word = |index: usize| unsafe { Word::new(self.address.add(first + index)) };
        let same = |index: usize, bytes: &[u8]| {
            let ours = u64::from_ne_bytes(bytes.try_into().expect("8 bytes"));
            word(index).load(Ordering::Relaxed) == ours
        };
        // The length of so many keys that it has a way of its own.
        if key.len() == 16 {
            return same(0, &key[..8]) && same(1, &key[8..]);
        }
        let mut chunks = key.chunks_exact(8);
        let mut index = 0;
        for chunk in &mut chunks {
            if !same(index, chunk) {
                return false;
            }
            index += 1;
        }
        let rest = chunks.remainder();
        if rest.is_empty() {
            return true;
        }
        let theirs = word(index).load(Ordering::Relaxed).to_ne_bytes();
        theirs.iter().zip(rest).all(|(theirs, ours)| theirs == ours)
    }

    /// Whether the first `key.len()` bytes from the upper half of the first word on equal `key`.
    /// Loads whole words.
    #[inline(always)]
    pub fn equals_behind_half(self, key: &[u8]) -> bool {
        assert!(WORD_BYTES as usize / 2 + key.len() <= self.len);
        // SAFETY: whole words up to the end of the range, by the assertion.
        let word = |index: usize| unsafe { Word::new(self.address.add(index)) };
        let load = |index: usize| word(index).load(Ordering::Relaxed);
        // Of the eight bytes that are compared, the first four.
        let mut low = load(0) >> 32;
        let mut chunks = key.chunks_exact(8);
        let mut index = 1;
        for chunk in &mut chunks {
            let next = load(index);
            if low | next << 32 != u64::from_le_bytes(chunk.try_into().expect("8 bytes")) {
                return false;
            }
            (low, index) = (next >> 32, index + 1);
        }
        let rest = chunks.remainder();
        if rest.len() > 4 {
            low |= load(index) << 32;
        }
        low.to_le_bytes().iter().zip(rest).all(|(theirs, ours)| theirs == ours)
    }

    /// Stores `parts` one after the other from the start of the range on; what is left of the last
    /// word may change. Crash points: before, between the pieces that `crash` cuts the parts into,
    /// and after.
    ///
    /// The first word is stored whole, before all others: `rep movsb`, which an end of the process
    /// may interrupt at any byte, begins where a first part is longer than any header.
    ///
    /// The range is not published, but readers that lost a race may still be looking at it.
    #[inline(always)]
    pub fn store_parts(self, parts: [&[u8]; 3]) {
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        assert!(total <= self.len);
        crash::step();
        // Where this process meets a page that another one made, a load has the kernel map the
        // pages around it as well, a store that one page only.
        std::hint::black_box(self.word(0).load(Ordering::Relaxed));
        #[cfg(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy))))]
        {
            let mut at = 0;
            for (part, whole) in parts.into_iter().zip(WHOLE) {
                for piece in crash::pieces(part, whole) {
                    crash::step();
                    // SAFETY: source is ours; target inside the range by the assertion.
                    unsafe {
                        let target = self.address.cast::<u8>().add(at);
                        opaque::copy(piece.as_ptr(), target, piece.len());
                    }
                    at += piece.len();
                }
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
        self.store_words(parts);
        crash::step();
        compiler_fence(Ordering::SeqCst);
    }

    /// As `store_parts`, whole words, the last padded with zero bytes.
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
    fn store_words(self, parts: [&[u8]; 3]) {
        let (mut word, mut filled, mut index) = ([0u8; 8], 0, 0);
        let pieces = parts.into_iter().zip(WHOLE);
        for mut rest in pieces.flat_map(|(part, whole)| crash::pieces(part, whole)) {
            crash::step();
            while !rest.is_empty() {
                let take = rest.len().min(8 - filled);
                word[filled..filled + take].copy_from_slice(&rest[..take]);
                (filled, rest) = (filled + take, &rest[take..]);
                if filled == 8 {
                    self.put(index, u64::from_ne_bytes(word));
                    (filled, index) = (0, index + 1);
                }
            }
        }
        if filled != 0 {
            word[filled..].fill(0);
            self.put(index, u64::from_ne_bytes(word));
        }
    }

    /// Stores one word of a range that is not published. Not a crash point of its own.
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy)))))]
    fn put(self, index: usize, value: u64) {
        self.word(index).cell().store(value, Ordering::Relaxed);
    }
}

#[cfg(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy))))]
mod opaque;

/// Has copies out of shared memory be as quick as this processor can make them; before, they are
/// slower.
pub(crate) fn ask_processor() {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom, shf_portable_copy))))]
    opaque::ask_processor();
}

#[cfg(loom)]
pub mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::region::Region;
    use std::panic;

    #[test]
    fn what_was_stored_comes_back_to_the_front_of_a_slice_and_no_byte_too_many() {
        // Also where copies are made word by word; those in blocks have a test of their own.
        let region = Region::heap(4096).unwrap();
        let stored: Vec<u8> = (0..1200).map(|at| (at % 199) as u8).collect();
        let bytes = region.bytes(0, 1200).unwrap();
        bytes.store_parts([&stored, &[], &[]]);
        for (from, len) in [(8, 0), (8, 1), (9, 7), (16, 8), (31, 33), (8, 100), (8, 1024)] {
            for room in [len, len + 1, len + 100] {
                let mut into: Vec<u8> = (0..room).map(|at| 200 + (at % 53) as u8).collect();
                let rest = into[len..].to_vec();
                bytes.copy_out_to_front(from, len, &mut into);
                assert_eq!(into[..len], stored[from..from + len], "{len} of {room}");
                assert_eq!(into[len..], rest, "{len} of {room}");
            }
        }
        let panics = |len, room| {
            let copy = || bytes.copy_out_to_front(8, len, &mut vec![0; room]);
            panic::catch_unwind(panic::AssertUnwindSafe(copy)).is_err()
        };
        assert!(panics(101, 100), "no room");
        assert!(panics(1193, 2000), "no such bytes");
        assert!(!panics(1192, 2000));
    }
}
