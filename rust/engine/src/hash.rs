//! The hash of a key and the parts of it that choose shard, directory entry, bucket and tag.
//!
//! ```text
//! bit 63          52            32                 13        7        0
//!     | shard ... | (not used)  | directory bits   | bucket  | tag    |
//! ```
//!
//! The hash is XXH3-64 seeded with the map's secret, by the crate `xxhash-rust`.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Bits of the hash that a shard's directory can use.
pub const DIRECTORY_BITS: u32 = 19;
const TAG_BITS: u32 = 7;
/// The bits of a hash's lower half that are the tag.
pub const TAG_MASK: u32 = (1 << TAG_BITS) - 1;
const BUCKET_BITS: u32 = 6;
const SHARD_SHIFT: u32 = 52;

/// The hash of a key under a map's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub u64);

impl Hash {
    /// Hashes `key` with the map's secret.
    #[inline(always)]
    pub fn of(key: &[u8], secret: u64) -> Hash {
        Hash(xxh3_64_with_seed(key, secret))
    }

    /// Hashes a key that comes in pieces: `feed` hands them over in order.
    pub fn of_pieces(secret: u64, feed: impl FnOnce(&mut Xxh3)) -> Hash {
        let mut hasher = Xxh3::with_seed(secret);
        feed(&mut hasher);
        Hash(hasher.digest())
    }

    /// The shard, among `shards`, a power of two.
    #[inline(always)]
    pub fn shard(self, shards: u32) -> u32 {
        self.shard_bits() & (shards - 1)
    }

    /// The bits that choose the shard, lowest first.
    #[inline(always)]
    pub fn shard_bits(self) -> u32 {
        (self.0 >> SHARD_SHIFT) as u32
    }

    /// All that says where a key lies: tag, bucket and directory bits, and the bits for the shard.
    /// Two hashes with the same parts lead to the same slots.
    #[inline(always)]
    pub fn parts(self) -> (u32, u32) {
        (self.0 as u32 & !TAG_MASK | u32::from(self.tag()), self.shard_bits())
    }

    /// A hash with these parts.
    #[inline(always)]
    pub fn of_parts(low: u32, shard_bits: u32) -> Hash {
        Hash(u64::from(low) | u64::from(shard_bits) << SHARD_SHIFT)
    }

    /// The same in the shard of another one.
    #[inline(always)]
    pub fn in_shard_of(self, other: Hash) -> Hash {
        const IN_SHARD: u64 = (1 << SHARD_SHIFT) - 1;
        Hash(self.0 & IN_SHARD | other.0 & !IN_SHARD)
    }

    /// The directory bits, lowest first.
    #[inline(always)]
    pub fn directory(self) -> u32 {
        ((self.0 >> (TAG_BITS + BUCKET_BITS)) & ((1 << DIRECTORY_BITS) - 1)) as u32
    }

    /// The home bucket in a table, 0 to 63.
    #[inline(always)]
    pub fn bucket(self) -> usize {
        ((self.0 >> TAG_BITS) & ((1 << BUCKET_BITS) - 1)) as usize
    }

    /// The tag, 1 to 127; 0 is an empty slot.
    #[inline(always)]
    pub fn tag(self) -> u8 {
        // A half word, which needs no extension when it is compared in a group.
        let tag = self.0 as u32 & TAG_MASK;
        (if tag == 0 { 0x40 } else { tag }) as u8
    }
}
