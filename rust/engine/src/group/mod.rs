//! Comparing the twelve tags of a bucket at once; one implementation per processor, one for all.
//!
//! The tags arrive as the two words that were loaded, so that every implementation works on
//! private values and the comparison cannot race. An access bit, the highest of a tag, is ignored.

pub mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub mod sse2;
#[cfg(target_arch = "aarch64")]
pub mod neon;

#[cfg(target_arch = "aarch64")]
pub use neon as fastest;
#[cfg(not(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    target_arch = "aarch64"
)))]
pub use portable as fastest;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub use sse2 as fastest;

/// Slots of a bucket.
pub const SLOTS: usize = 12;

/// A set of slots, one bit each, iterated from the lowest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSet(pub u16);

impl SlotSet {
    /// The lowest slot in the set.
    #[inline(always)]
    pub fn first(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
    }
}

impl Iterator for SlotSet {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let slot = self.first()?;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}
