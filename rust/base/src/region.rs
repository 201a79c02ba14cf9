//! A region of shared bytes: owns the mapping, and makes every reference into it, checked.
//!
//! A region is a mapped file, or zeroed private memory on the heap for tests under Miri and loom.
//! Its base never moves and its length never changes for the life of the value.
#![allow(unsafe_code)]

use crate::atomic::{self, Bytes, Half, LINE_BYTES, Line, Word};
use memmap2::MmapRaw;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Alignment of a heap region, that of a page.
const HEAP_ALIGN: usize = 4096;

enum Backing {
    Mapped(#[allow(dead_code)] MmapRaw),
    Heap(Layout),
}

/// A region of shared bytes.
pub struct Region {
    base: *mut u8,
    /// In whole words.
    len: u64,
    writable: bool,
    backing: Backing,
}

// SAFETY: the bytes are only reached through `Word`, `Half` and `Bytes`, which are atomic or
// opaque.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Takes over a shared mapping. `writable` says whether its pages may be stored to.
    pub fn mapped(map: MmapRaw, writable: bool) -> Region {
        Region {
            base: map.as_mut_ptr(),
            len: map.len() as u64 & !7,
            writable,
            backing: Backing::Mapped(map),
        }
    }

    /// Takes over a mapping whose first and last page are guards, and no part of the region.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn between_guards(map: MmapRaw) -> Region {
        let len = map.len().checked_sub(2 * HEAP_ALIGN).expect("room between two pages");
        // SAFETY: the mapping is longer than a page.
        let base = unsafe { map.as_mut_ptr().add(HEAP_ALIGN) };
        Region { base, len: len as u64 & !7, writable: true, backing: Backing::Mapped(map) }
    }

    /// `len` zeroed bytes of private memory. `None` when there is not that much.
    pub fn heap(len: u64) -> Option<Region> {
        let layout = Layout::from_size_align(usize::try_from(len).ok()?, HEAP_ALIGN).ok()?;
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            return None;
        }
        Some(Region { base, len: len & !7, writable: true, backing: Backing::Heap(layout) })
    }

    /// Length in bytes, a multiple of 8.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the region is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether stores are allowed. Storing into a region that is not writable is a fault.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// The bounds check of ranges: the address of `len` bytes at `offset`, or `None` outside.
    #[inline(always)]
    pub(crate) fn resolve(&self, offset: u64, len: u64, align: u64) -> Option<*mut u8> {
        let inside = offset <= self.len && len <= self.len - offset && offset.is_multiple_of(align);
        // SAFETY: inside the region by the check.
        if inside { Some(unsafe { self.base.add(offset as usize) }) } else { None }
    }

    /// The word at `offset` bytes, or `None` when it is outside or not aligned.
    #[inline(always)]
    pub fn word(&self, offset: u64) -> Option<Word<'_>> {
        let inside = offset < self.len && offset.is_multiple_of(8);
        // SAFETY: aligned, and inside because the region consists of whole words; one width per
        // location is the layout's rule.
        inside.then(|| unsafe { Word::new(self.base.add(offset as usize).cast()) })
    }

    /// The half word at `offset` bytes, or `None` when it is outside or not aligned.
    #[inline(always)]
    pub fn half(&self, offset: u64) -> Option<Half<'_>> {
        let inside = offset < self.len && offset.is_multiple_of(4);
        // SAFETY: as in `word`.
        inside.then(|| unsafe { Half::new(self.base.add(offset as usize).cast()) })
    }

    /// The cache line at `offset` bytes, or `None` when it is outside or not aligned.
    #[inline(always)]
    pub fn line(&self, offset: u64) -> Option<Line<'_>> {
        let len = LINE_BYTES as u64;
        // SAFETY: inside and aligned by `resolve`.
        self.resolve(offset, len, len).map(|address| unsafe { Line::new(address.cast()) })
    }

    /// `len` bytes at `offset`, which is 8-byte aligned, or `None` when they are not all inside.
    #[inline(always)]
    pub fn bytes(&self, offset: u64, len: u64) -> Option<Bytes<'_>> {
        let padded = len.checked_add(7)? & !7;
        // SAFETY: whole words inside and aligned by `resolve`.
        self.resolve(offset, padded, 8)
            .map(|address| unsafe { Bytes::new(address.cast(), len as usize) })
    }

    /// The address of a page-aligned range, for the system calls that populate or advise it.
    pub(crate) fn range(&self, offset: u64, len: u64) -> Option<*mut u8> {
        self.resolve(offset, len, 4096)
    }

    /// Starts loading the cache line at `offset`; does nothing outside of the region.
    #[inline(always)]
    pub fn prefetch(&self, offset: u64) {
        if offset < self.len {
            atomic::prefetch(self.base.wrapping_add(offset as usize).cast());
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Backing::Heap(layout) = self.backing {
            // SAFETY: allocated in `heap` with this layout, and freed once.
            unsafe { dealloc(self.base, layout) }
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    #[test]
    fn private_memory_that_cannot_be_had_is_none() {
        for len in [0, 1 << 62, u64::MAX] {
            assert!(Region::heap(len).is_none(), "{len}");
        }
        assert_eq!(Region::heap(4096).map(|region| region.len()), Some(4096));
    }
}
