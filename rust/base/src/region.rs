//! A region of shared bytes: owns the mapping, and makes every reference into it, checked.
//!
//! A region is a mapped file, or zeroed private memory on the heap for tests under Miri and loom.
//! Its base never moves and its length never changes for the life of the value.
#![allow(unsafe_code)]

use crate::atomic::{self, Bytes, Half, LINE_BYTES, Line, PAGE_BYTES, Page, Word};
use memmap2::MmapRaw;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;

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
    fn resolve(&self, offset: u64, len: u64, align: u64) -> Option<*mut u8> {
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

/// Ranges of one length, at one distance from each other, in a region that they keep: checked once,
/// when they are made.
pub struct Rows {
    /// Keeps the bytes mapped.
    _region: Arc<Region>,
    first: *mut u8,
    distance: u64,
    /// One less than there are.
    last: u32,
    len: u64,
}

// SAFETY: as for `Region`, which it keeps.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

impl Rows {
    /// `count` ranges, a power of two, of `len` bytes, at least a page, the first one at `first`,
    /// the next one `distance` bytes later; all of them multiples of 8. `None` when they are
    /// not, or not all inside.
    pub fn new(
        region: Arc<Region>,
        first: u64,
        distance: u64,
        count: u32,
        len: u64,
    ) -> Option<Rows> {
        let whole = |bytes: u64| bytes.is_multiple_of(8);
        let last = count.checked_sub(1).filter(|_| count.is_power_of_two())?;
        if len < PAGE_BYTES as u64 || !whole(len) || !whole(distance) {
            return None;
        }
        let start = first.checked_add(u64::from(last).checked_mul(distance)?)?;
        region.resolve(start, len, 8)?;
        let first = region.resolve(first, len, 8)?;
        Some(Rows { _region: region, first, distance, last, len })
    }

    /// The address of a range, whose number wraps around.
    #[inline(always)]
    fn address(&self, index: u32) -> *mut u64 {
        let offset = u64::from(index & self.last) * self.distance;
        // SAFETY: inside the region, as all ranges up to the last by the check in `new`.
        unsafe { self.first.add(offset as usize).cast() }
    }

    /// The range of a number, which wraps around.
    #[inline(always)]
    pub fn bytes(&self, index: u32) -> Bytes<'_> {
        // SAFETY: whole words inside and aligned by the check in `new`.
        unsafe { Bytes::new(self.address(index), self.len as usize) }
    }

    /// The first page of the range of a number, which wraps around.
    #[inline(always)]
    pub fn page(&self, index: u32) -> Page<'_> {
        // SAFETY: a range is at least a page, inside and aligned by the check in `new`.
        unsafe { Page::new(self.address(index)) }
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

    #[test]
    fn rows_lie_inside_or_are_refused() {
        use std::sync::atomic::Ordering::Relaxed;
        let region = Arc::new(Region::heap(5 * 4096).unwrap());
        let rows =
            |first, distance, count, len| Rows::new(region.clone(), first, distance, count, len);
        let good = rows(8, 4096 + 64, 4, 4096).unwrap();
        good.page(3).word(1).store(7, Relaxed);
        assert_eq!(region.word(8 + 3 * (4096 + 64) + 8).unwrap().load(Relaxed), 7);
        assert_eq!(good.bytes(3 + 4).word(1).load(Relaxed), 7, "numbers wrap around");
        for (first, distance, count, len) in [
            (4, 4096, 4, 4096),
            (8, 4100, 4, 4096),
            (0, 4096, 3, 4096),
            (0, 4096, 0, 4096),
            (0, 4096, 4, 4088),
            (0, 4096, 8, 4096),
            (16, 4096 + 64, 4, 8192),
            (8, !7, 4, 4096),
            (!7, 8, 4, 4096),
        ] {
            assert!(
                rows(first, distance, count, len).is_none(),
                "{first} {distance} {count} {len}"
            );
        }
    }
}
