//! A UID: a name for one life of a key, by which it is found without the key.
//!
//! ```text
//! bit 0     7        13          32      32 + s       60        s = log2 of the shards
//!     | tag | bucket | directory | shard | generation | 0
//! ```
//!
//! It is all of the hash that says where a key lies (`hash`), and the generation of its record
//! (`stamp`), 20 bits of it or as many as there is room for. So it holds through whatever moves
//! the key or its record: changes of the value, splits, merges, compaction, repair.
//!
//! As long as the births of a shard have not come around, no two lives in it have the same
//! generation, and a record is the one that a UID names if that agrees. From then on, which the
//! root says (`directory`), the hash of its key has to agree as well: its lowest 32 bits, and the
//! shard's. So a UID of a key that is gone names nothing, whoever has its slot by now, but for a
//! life of the same key, or of one with the same of these bits, that begins a multiple of so many
//! births in the shard later as there are generations: 2^28 divided by the number of shards, and
//! 2^20 at most. No two keys that are there have the same UID (`locate::free_stamp`).
//!
//! Who makes the index anew goes on counting behind all births that records tell of. After a crash
//! of the machine there were more than these; then it goes on 2^18 births later, so that a UID of a
//! life that the disk never got names nothing either, if there were no more births than that.

use crate::directory;
use crate::hash::{DIRECTORY_BITS, Hash, TAG_MASK};
use crate::place::Place;
use crate::record::Record;
use crate::stamp::{GENERATION_BITS, Stamp};

const SHARD_SHIFT: u32 = 32;
/// Of all shards together.
const GENERATIONS: u32 = 1 << (60 - SHARD_SHIFT);

/// A name for one life of a key. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uid(u64);

impl Uid {
    /// The UID of a key's hash and its record's stamp, in a map whose shards need so many bits.
    #[inline(always)]
    pub(crate) fn new(hash: Hash, stamp: Stamp, shard_bits: u32) -> Uid {
        let (low, shard) = hash.parts();
        let shard = u64::from(shard & ((1 << shard_bits) - 1));
        let generation = generation(stamp, shard_bits) << shard_bits;
        Uid(u64::from(low) | (shard | generation) << SHARD_SHIFT)
    }

    /// The UID with these bits, which `bits` gave; what others name, if anything, is not said.
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
            u32::MAX => !TAG_MASK,
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

    /// Whether a record of its shard is of the life that this names, and not an element of a list.
    /// Whoever reads without the lock has loaded the root before, and it has to be the same
    /// afterwards.
    #[inline(always)]
    pub(crate) fn names(self, record: &Record<'_>, place: &Place<'_>) -> bool {
        self.names_quickly(record, place)
            && (!directory::births_came_around(place)
                || self == place.uid(record.hash(place.secret()), record.stamp))
    }

    /// As `names`, where births have not come around.
    #[inline(always)]
    pub(crate) fn names_quickly(self, record: &Record<'_>, place: &Place<'_>) -> bool {
        let shard_bits = place.geometry().uid_shard_bits();
        generation(record.stamp, shard_bits) == self.0 >> SHARD_SHIFT >> shard_bits
            && !record.is_element()
    }
}

/// What a UID has of a generation.
#[inline(always)]
pub fn generation(stamp: Stamp, shard_bits: u32) -> u64 {
    u64::from(stamp.generation() & ((GENERATIONS - 1) >> shard_bits))
}

/// Births in a shard after which UIDs come around.
#[inline(always)]
pub fn births(shard_bits: u32) -> u32 {
    (GENERATIONS >> shard_bits).min(1 << GENERATION_BITS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn uids_of_equal_hashes_differ_as_their_generations_do() {
        let hash = Hash::of(b"key", 7);
        for shard_bits in 0..=12 {
            for birth in [5, 5 + births(shard_bits) - 1, 5 + births(shard_bits), 70_000, 1 << 20] {
                let (one, other) = (Stamp::born(5), Stamp::born(birth));
                let same = Uid::new(hash, one, shard_bits) == Uid::new(hash, other, shard_bits);
                assert_eq!(same, (birth - 5) % births(shard_bits) == 0, "{shard_bits} {birth}");
                let generations = generation(one, shard_bits) == generation(other, shard_bits);
                assert_eq!(same, generations, "{shard_bits} {birth}");
                assert!(Uid::new(hash, other, shard_bits).bits() < 1 << 60);
            }
        }
    }
}
