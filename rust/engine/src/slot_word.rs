//! The 32-bit slot of a bucket: the record's reference, how far from home it lies, hash bits.
//!
//! ```text
//! bit 31             r+2       r        0        r = bits that a reference needs: 9 to 30
//!     | cached bits  | distance | reference |
//! ```
//!
//! What the window does not need of the 30 bits caches hash bits that splits ask for, so that a
//! split does not touch its records. With s spare bits, a table of local depth d keeps directory
//! bits e*s .. (e+1)*s in them, where e = d / s; when a split enters the next group, the bits are
//! computed anew from the keys. When a merge goes back to the group before, they are those of the
//! table's place in the directory. Readers ignore the cached bits.

use crate::hash::{DIRECTORY_BITS, Hash};
use shf_base::geometry::Geometry;

/// How slots are packed in maps of one window size.
#[derive(Clone, Copy)]
pub struct SlotFormat {
    reference_bits: u32,
    /// The largest reference.
    reference_mask: u32,
}

impl SlotFormat {
    /// The format for the references of a geometry.
    #[inline(always)]
    pub fn new(geometry: &Geometry) -> SlotFormat {
        SlotFormat {
            reference_bits: geometry.reference_bits(),
            reference_mask: geometry.reference_mask(),
        }
    }

    /// Packs a slot for a table of local depth `depth`.
    #[inline(always)]
    pub fn pack(self, reference: u32, distance: usize, hash: Hash, depth: u32) -> u32 {
        debug_assert!(u64::from(reference) < 1 << self.reference_bits && distance < 4);
        let low = u64::from(reference) | (distance as u64) << self.reference_bits;
        self.with_cached(low as u32, hash.directory(), depth)
    }

    /// The same slot for a table of local depth `depth` and a key with these directory bits, of
    /// which those that such a table caches must be right.
    #[inline(always)]
    pub fn with_cached(self, slot: u32, directory: u32, depth: u32) -> u32 {
        let cached = match self.spare() {
            0 => 0,
            spare => (directory >> (depth / spare * spare)) & ((1 << spare) - 1),
        };
        let shift = self.reference_bits + 2;
        let low = u64::from(slot) & ((1 << shift) - 1);
        (low | u64::from(cached) << shift) as u32
    }

    /// The same slot with another reference.
    #[inline(always)]
    pub fn with_reference(self, slot: u32, reference: u32) -> u32 {
        slot & !self.reference_mask | reference
    }

    /// The same slot at another distance from home.
    #[inline(always)]
    pub fn with_distance(self, slot: u32, distance: usize) -> u32 {
        let shift = self.reference_bits;
        slot & !(3 << shift) | (distance as u32 & 3) << shift
    }

    /// The record, in units from the start of the window.
    #[inline(always)]
    pub fn reference(self, slot: u32) -> u32 {
        slot & self.reference_mask
    }

    /// Buckets between the home bucket and the one that the slot lies in, 0 to 3.
    #[inline(always)]
    pub fn distance(self, slot: u32) -> usize {
        (slot >> self.reference_bits) as usize & 3
    }

    /// The record, if the distance is 0; else a reference that no record can have.
    #[inline(always)]
    pub fn reference_at_home(self, slot: u32) -> u32 {
        slot & (self.reference_mask * 4 + 3)
    }

    /// The bit of a slot that is directory bit `depth` of the key, if a table of local depth
    /// `depth` caches it.
    pub fn cached(self, depth: u32) -> Option<u32> {
        let spare = self.spare();
        (spare != 0).then(|| 1 << (self.reference_bits + 2 + depth % spare))
    }

    /// Whether slots of a table of local depth `depth` stay good at depth + 1.
    #[inline(always)]
    pub fn keeps_cache(self, depth: u32) -> bool {
        let spare = self.spare();
        spare == 0 || (depth + 1) / spare == depth / spare
    }

    fn spare(self) -> u32 {
        (30 - self.reference_bits).min(DIRECTORY_BITS)
    }
}
