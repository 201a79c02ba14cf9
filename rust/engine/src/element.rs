//! What an element of a list has for a key: the UID of its list, and its index in it.
//!
//! ```text
//! byte 0      8       12
//!     | list  | index |      little-endian
//! ```
//!
//! Its hash is one of all of this, but for the bits that choose the shard, which are those of its
//! list: so one lock, and one intent, cover both. It is seeded otherwise than those of keys; and a
//! key that has the same bytes is told apart by its record's type (`kind`).

use crate::hash::Hash;

/// Bytes of an element's key.
pub const KEY_BYTES: usize = 12;
const LIST_BYTES: usize = 8;

/// The key of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    /// The bits of the UID that its list's key has.
    pub list: u64,
    /// Its index (`list`).
    pub index: u32,
}

impl ElementKey {
    /// The bytes that a record has for a key.
    #[inline(always)]
    pub fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..LIST_BYTES].copy_from_slice(&self.list.to_le_bytes());
        bytes[LIST_BYTES..].copy_from_slice(&self.index.to_le_bytes());
        bytes
    }

    /// The key with these bytes.
    #[inline(always)]
    pub fn of_bytes(bytes: [u8; KEY_BYTES]) -> ElementKey {
        let (mut list, mut index) = ([0; LIST_BYTES], [0; KEY_BYTES - LIST_BYTES]);
        list.copy_from_slice(&bytes[..LIST_BYTES]);
        index.copy_from_slice(&bytes[LIST_BYTES..]);
        ElementKey { list: u64::from_le_bytes(list), index: u32::from_le_bytes(index) }
    }

    /// Its hash under the map's secret, in its list's shard.
    #[inline(always)]
    pub fn hash(self, secret: u64) -> Hash {
        let list = Hash::of_parts(self.list as u32, (self.list >> 32) as u32);
        Hash::of(&self.bytes(), !secret).in_shard_of(list)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_lead_back_to_the_key() {
        let key = ElementKey { list: 0x0123_4567_89ab_cdef, index: 0xfedc_ba98 };
        assert_eq!(ElementKey::of_bytes(key.bytes()), key);
    }

    #[test]
    fn elements_lie_in_the_shard_of_their_list_and_scattered_in_it() {
        for shards in [1, 4, 4096] {
            let mut places = std::collections::HashSet::new();
            for index in 0..1000 {
                let hash = ElementKey { list: 0xabc_0000_1234, index }.hash(7);
                assert_eq!(hash.shard(shards), 0xabc & (shards - 1));
                places.insert((hash.directory(), hash.bucket()));
            }
            assert!(places.len() > 990);
        }
    }

    #[test]
    fn a_key_of_the_same_bytes_lies_elsewhere() {
        let key = ElementKey { list: 5, index: 6 };
        assert_ne!(key.hash(7).parts().0, Hash::of(&key.bytes(), 7).parts().0);
    }
}
