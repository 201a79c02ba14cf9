//! A UID: a name for one life of a key, by which it is found without the key.
//!
//! ```text
//! bit 0     7        13          32      44           60
//!     | tag | bucket | directory | shard | generation | 0
//! ```
//!
//! It is all of the hash that says where a key lies (`hash`), and the generation of its record
//! (`stamp`). So it holds through whatever moves the key or its record: changes of the value,
//! splits, merges, compaction, repair. A record is the one that a UID names if both agree, so a
//! UID of a key that is gone names nothing, whoever has its slot by now. What it could be
//! mistaken for is a key with the same 44 bits of hash, which is nearly always the same key, put
//! again when a multiple of 65,536 other keys had been born in its shard since its last birth.

use crate::hash::{DIRECTORY_BITS, Hash, TAG_MASK};
use crate::record::Record;
use crate::stamp::Stamp;

const SHARD_SHIFT: u32 = 32;
const GENERATION_SHIFT: u32 = 44;

/// A name for one life of a key. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uid(u64);

impl Uid {
    /// The UID of a key's hash and its record's stamp.
    #[inline(always)]
    pub(crate) fn new(hash: Hash, stamp: Stamp) -> Uid {
        Uid(place_bits(hash) | u64::from(stamp.generation()) << GENERATION_SHIFT)
    }

    /// The UID with these bits, which `bits` gave; others name nothing.
    #[inline(always)]
    pub fn from_bits(bits: u64) -> Uid {
        Uid(bits)
    }

    /// 60 bits that say it all, to be kept where one likes.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// 32 bits of it, for a map with so many shards: tag, bucket, shard, and as many directory bits
    /// as there is room for; never all ones. `Map::uid_of_short` finds the rest.
    pub fn short(self, shards: u32) -> u32 {
        let (low, shard) = self.hash().parts();
        let shard_bits = shards.ilog2();
        let shard = (shard & (shards - 1)).checked_shl(32 - shard_bits).unwrap_or(0);
        // All ones are kept free; no tag is 0.
        match low & !0 >> shard_bits | shard {
            u32::MAX => u32::MAX & !TAG_MASK,
            short => short,
        }
    }

    /// A hash that leads where the key's leads whose UID has these short bits, and how many of its
    /// directory bits are right.
    pub(crate) fn hash_of_short(short: u32, shards: u32) -> (Hash, u32) {
        let short = if short & TAG_MASK == 0 { short | TAG_MASK } else { short };
        let shard_bits = shards.ilog2();
        let shard = short.checked_shr(32 - shard_bits).unwrap_or(0);
        let hash = Hash::of_parts(short & !0 >> shard_bits, shard);
        (hash, DIRECTORY_BITS - shard_bits)
    }

    /// A hash that leads where the key's leads.
    #[inline(always)]
    pub(crate) fn hash(self) -> Hash {
        Hash::of_parts(self.0 as u32, (self.0 >> SHARD_SHIFT) as u32)
    }

    /// Whether a record is of the life that this names.
    #[inline(always)]
    pub(crate) fn names(self, record: &Record<'_>, secret: u64) -> bool {
        u64::from(record.stamp.generation()) == self.0 >> GENERATION_SHIFT
            && place_bits(record.hash(secret)) == self.0 & ((1 << GENERATION_SHIFT) - 1)
    }
}

/// What of a hash says where a key lies, 44 bits. Not 0, because no tag is.
#[inline(always)]
fn place_bits(hash: Hash) -> u64 {
    let (low, shard) = hash.parts();
    u64::from(low) | u64::from(shard) << SHARD_SHIFT
}
