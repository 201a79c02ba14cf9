//! The header and the window of each shard in a mapped file: checked once, when it is mapped.
#![allow(unsafe_code)]

use crate::atomic::{self, Bytes, Page, PagesFromEnd};
use crate::geometry::{Geometry, PAGE_BYTES, SHARD_HEADER_BYTES, SHARD_HEADER_STRIDE, UNIT_BYTES};
use crate::region::Region;
use crate::veil::veiled;
use std::sync::Arc;

/// The shards of a region that they keep.
pub struct Shards {
    /// Keeps the bytes mapped.
    _region: Arc<Region>,
    headers: *mut u8,
    /// Where the first window begins.
    windows: *mut u8,
    /// Where it ends.
    first_end: *mut u8,
    window_stride: u64,
    /// Where the pages begin in a window, in bytes; from there on there are only pages.
    pages_offset: u64,
    pages_bytes: u64,
    pages: usize,
    /// The number of the last shard, all of whose bits are set.
    last: u32,
}

// SAFETY: as for `Region`, which it keeps.
unsafe impl Send for Shards {}
// SAFETY: as above.
unsafe impl Sync for Shards {}

impl Shards {
    /// The shards of a geometry; `None` when they are not all inside the region.
    pub fn new(region: Arc<Region>, geometry: &Geometry) -> Option<Shards> {
        const _: () = assert!(SHARD_HEADER_BYTES >= PAGE_BYTES);
        atomic::ask_processor();
        let last = geometry.shards() - 1;
        let all = |first: u64, distance: u64, len: u64| {
            let start = u64::from(last).checked_mul(distance)?.checked_add(first)?;
            region.resolve(start, len, UNIT_BYTES)?;
            region.resolve(first, len, UNIT_BYTES)
        };
        let (window_bytes, window_stride) = (geometry.window_bytes(), geometry.window_stride());
        let windows = all(geometry.window(0), window_stride, window_bytes)?;
        Some(Shards {
            headers: all(geometry.shard_header(0), SHARD_HEADER_STRIDE, SHARD_HEADER_BYTES)?,
            windows,
            // SAFETY: inside the region, or its end, by the check before.
            first_end: unsafe { windows.add(window_bytes as usize) },
            window_stride,
            pages_offset: geometry.pages_offset(),
            pages_bytes: geometry.pages() * PAGE_BYTES,
            pages: geometry.pages() as usize,
            last,
            _region: region,
        })
    }

    /// The first page of a shard's header, and its window. Numbers wrap around.
    #[inline(always)]
    pub fn shard(&self, number: u32) -> (Page<'_>, Window<'_>) {
        let number = (number & self.last) as usize;
        // SAFETY: those of all shards up to the last are inside and aligned by the checks in `new`.
        unsafe {
            let header = self.headers.add(number * SHARD_HEADER_STRIDE as usize);
            let from_first = number * self.window_stride as usize;
            (Page::new(header.cast()), Window { shards: self, from_first })
        }
    }
}

/// The window of a shard.
#[derive(Clone, Copy)]
pub struct Window<'r> {
    shards: &'r Shards,
    /// Bytes from the first window to this one. Not an address: lookups need that of the end, and
    /// many that of the start not at all.
    from_first: usize,
}

impl<'r> Window<'r> {
    /// Bytes from a unit of the window on to the end of its first `most` pages, or `None` where it
    /// lies in none of them.
    #[inline(always)]
    pub fn bytes_from(self, unit: u32, most: u32) -> Option<Bytes<'r>> {
        let start = u64::from(unit) * UNIT_BYTES;
        let end = at_most(u64::from(most) * PAGE_BYTES, self.shards.pages_bytes);
        let at = start.wrapping_sub(self.shards.pages_offset);
        if at >= end {
            return None;
        }
        // SAFETY: `at` lies before the end of the window's pages, and so did not wrap: from `start`
        // on there are as many bytes of the window, which is aligned as units are.
        unsafe {
            let window = self.shards.windows.add(self.from_first).cast::<u64>();
            Some(Bytes::new(window.add(unit as usize), (end - at) as usize))
        }
    }

    /// The pages of the window, `most` of them at most, counted from its end.
    #[inline(always)]
    pub fn pages_from_end(self, most: u32) -> PagesFromEnd<'r> {
        // SAFETY: the window ends there, and has that many pages at its end.
        unsafe {
            let end = self.shards.first_end.add(self.from_first);
            PagesFromEnd::new(end.cast(), at_most(most.into(), self.shards.pages as u64) as usize)
        }
    }
}

/// The lesser of the two, which nearly always is the first. By a branch, which the processor
/// predicts: what follows a choice would wait for both.
#[inline(always)]
fn at_most(usual: u64, most: u64) -> u64 {
    if usual <= most { usual } else { veiled(most) }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::atomic::Ordering::Relaxed;
    use crate::geometry::{PAGE_UNITS, WINDOW_BYTES_MIN};

    #[test]
    fn shards_lie_inside_or_are_refused() {
        // Goal: what is stored to a shard is where the geometry says. Method: stores to all of
        // them, looked for by their offsets; and a region that is a word too short.
        let geometry = Geometry::new(4, WINDOW_BYTES_MIN).unwrap();
        let region = |bytes| Arc::new(Region::heap(bytes).unwrap());
        let whole = region(geometry.file_bytes());
        let shards = Shards::new(whole.clone(), &geometry).unwrap();
        for shard in 0..4 {
            let (header, window) = shards.shard(shard + 4);
            header.word(1).store(7, Relaxed);
            assert_eq!(whole.word(geometry.shard_header(shard) + 8).unwrap().load(Relaxed), 7);
            let unit = (geometry.pages_offset() / UNIT_BYTES) as u32 + 5;
            window.bytes_from(unit, 1).unwrap().word(0).store(8, Relaxed);
            let offset = geometry.window(shard) + u64::from(unit) * UNIT_BYTES;
            assert_eq!(whole.word(offset).unwrap().load(Relaxed), 8);
            window.pages_from_end(3).begins(3).unwrap().word(0).store(9, Relaxed);
            let offset = geometry.window(shard) + geometry.window_bytes() - 3 * PAGE_BYTES;
            assert_eq!(whole.word(offset).unwrap().load(Relaxed), 9);
        }
        assert!(Shards::new(region(geometry.file_bytes() - 8), &geometry).is_none());
    }

    #[test]
    fn a_window_has_its_pages_and_no_more() {
        // Goal: no unit and no limit, also forged ones, leads out of the pages. Method: both sides
        // of each edge.
        let geometry = Geometry::new(2, WINDOW_BYTES_MIN).unwrap();
        let region = Arc::new(Region::heap(geometry.file_bytes()).unwrap());
        let shards = Shards::new(region, &geometry).unwrap();
        let (_, window) = shards.shard(1);
        let pages = geometry.pages() as u32;
        let first = (geometry.pages_offset() / UNIT_BYTES) as u32;
        for (unit, most, len) in [
            (0, u32::MAX, None),
            (first - 1, u32::MAX, None),
            (first, 0, None),
            (first, 1, Some(PAGE_BYTES)),
            (first + PAGE_UNITS as u32 - 1, 1, Some(UNIT_BYTES)),
            (first + PAGE_UNITS as u32, 1, None),
            (first, pages + 1, Some(geometry.window_bytes() - geometry.pages_offset())),
            (first, u32::MAX, Some(geometry.window_bytes() - geometry.pages_offset())),
            ((geometry.window_bytes() / UNIT_BYTES) as u32 - 1, u32::MAX, Some(UNIT_BYTES)),
            ((geometry.window_bytes() / UNIT_BYTES) as u32, u32::MAX, None),
            (u32::MAX, u32::MAX, None),
        ] {
            let found = window.bytes_from(unit, most).map(|bytes| bytes.len() as u64);
            assert_eq!(found, len, "{unit} {most}");
        }
        for (back, most, there) in [
            (0, 1, false),
            (1, 0, false),
            (1, 1, true),
            (2, 1, false),
            (pages, u32::MAX, true),
            (pages + 1, u32::MAX, false),
            (u32::MAX, u32::MAX, false),
        ] {
            assert_eq!(window.pages_from_end(most).begins(back).is_some(), there, "{back} {most}");
        }
    }
}
