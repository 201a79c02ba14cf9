//! Lengths that all keys and all values of a map have, if its creator says so.

use std::fmt;

/// The lengths of every key and of every value of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedLengths {
    /// Of a key, in bytes.
    pub key_bytes: u32,
    /// Of a value, in bytes.
    pub value_bytes: u32,
}

impl FixedLengths {
    /// Key and value together, at most, as of any record.
    pub const BYTES_MAX: u64 = 1 << 32;

    /// Key and value together.
    #[inline(always)]
    pub fn bytes(self) -> u64 {
        u64::from(self.key_bytes) + u64::from(self.value_bytes)
    }

    /// Whether a map can have these lengths: from 1 to `BYTES_MAX` bytes together. With none there
    /// would be one key, of which nothing could be told but that it is there.
    pub fn are_possible(self) -> bool {
        (1..=Self::BYTES_MAX).contains(&self.bytes())
    }

    /// In one word.
    pub fn encode(self) -> u64 {
        u64::from(self.key_bytes) | u64::from(self.value_bytes) << 32
    }

    /// From such a word; `None` where no map can have these lengths.
    pub fn decode(word: u64) -> Option<FixedLengths> {
        let found = FixedLengths { key_bytes: word as u32, value_bytes: (word >> 32) as u32 };
        found.are_possible().then_some(found)
    }
}

impl fmt::Display for FixedLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys of {} and values of {} bytes", self.key_bytes, self.value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_survive_packing_unless_no_map_can_have_them() {
        let word = |(key_bytes, value_bytes)| FixedLengths { key_bytes, value_bytes }.encode();
        for lengths in [(1, 0), (0, 1), (16, 100), (u32::MAX, 1), (1, u32::MAX)] {
            let found = FixedLengths::decode(word(lengths)).unwrap();
            assert_eq!((found.key_bytes, found.value_bytes), lengths);
        }
        for lengths in [(0, 0), (u32::MAX, 2), (2, u32::MAX), (u32::MAX, u32::MAX)] {
            assert_eq!(FixedLengths::decode(word(lengths)), None, "{lengths:?}");
        }
    }
}
