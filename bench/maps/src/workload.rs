//! The keys and values of `peers/workload.hpp`, made on the fly from an index.

use shf_bench_random::{GOLDEN, mix};

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;
/// Where the keys begin that are never put.
const MISSING: u64 = 1 << 39;

/// A key; any bytes to the store.
pub type Key = [u8; KEY_BYTES];

/// What the options decide about the work.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How many keys.
    pub keys: u64,
    /// Bytes of a value that nothing resized.
    pub value_bytes: u64,
    /// Decides keys and orders.
    pub seed: u64,
}

impl Workload {
    /// The least bytes that a value gets.
    pub fn bytes_least(&self) -> u64 {
        self.value_bytes / 2
    }

    /// The most bytes that a value gets.
    pub fn bytes_most(&self) -> u64 {
        self.value_bytes + self.value_bytes / 2
    }

    /// How many sizes there are.
    pub fn sizes(&self) -> u64 {
        self.bytes_most() - self.bytes_least() + 1
    }

    /// Different for every index, because `mix` is a bijection.
    #[inline]
    pub fn key(&self, index: u64) -> Key {
        let first = mix(index ^ (self.seed << 40));
        let second = mix(first.wrapping_add(GOLDEN));
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&first.to_ne_bytes());
        key[8..].copy_from_slice(&second.to_ne_bytes());
        key
    }

    /// A key that no index below 2^39 has.
    #[inline]
    pub fn missing_key(&self, index: u64) -> Key {
        self.key(index | MISSING)
    }

    /// Bytes of the value that this round of replacing gives to the key.
    pub fn size_of(&self, index: u64, round: u64) -> u64 {
        self.bytes_least() + mix(index * 8 + round) % self.sizes()
    }
}

/// Values of any size up to the workload's largest, in one buffer. Each begins with the index of
/// its key, or as much of that as it is long.
pub struct Values {
    buffer: Vec<u8>,
}

impl Values {
    /// Those of this workload.
    pub fn new(work: &Workload) -> Values {
        let letters = (b'a'..=b'z').cycle();
        Values { buffer: letters.take(work.bytes_most().max(8) as usize).collect() }
    }

    /// The value of a key in so many bytes.
    #[inline]
    pub fn at(&mut self, index: u64, bytes: u64) -> &[u8] {
        self.buffer[..8].copy_from_slice(&index.to_ne_bytes());
        &self.buffer[..bytes as usize]
    }
}

/// Whether the value is one of this key, in a size that the workload has.
#[inline]
pub fn is_value(work: &Workload, index: u64, value: &[u8]) -> bool {
    let stamp = index.to_ne_bytes();
    let long = match value.first_chunk::<8>() {
        Some(first) => *first == stamp,
        None => value == &stamp[..value.len()],
    };
    long && value.len() as u64 >= work.bytes_least()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Workload = Workload { keys: 1000, value_bytes: 100, seed: 7 };

    fn words(key: Key) -> [u64; 2] {
        [0, 8].map(|at| u64::from_ne_bytes(*key[at..].first_chunk().expect("16 bytes")))
    }

    /// What is expected was printed by a program that includes `peers/workload.hpp`.
    #[test]
    fn keys_and_sizes_are_the_same_as_in_cpp() {
        assert_eq!(words(WORK.key(5)), [0xa229_daae_df0a_f345, 0xc0b8_257c_9801_3631]);
        assert_eq!(words(WORK.missing_key(5)), [0x9e37_d68e_f475_d384, 0x7fbc_18e1_80c8_6cde]);
        let work = Workload { seed: 1, ..WORK };
        assert_eq!([work.size_of(3, 0), work.size_of(3, 4), work.size_of(999, 1)], [56, 71, 114]);
        assert_eq!(Values::new(&WORK).at(77, 12), b"M\0\0\0\0\0\0\0ijkl");
    }

    #[test]
    fn a_value_of_another_key_or_too_short_is_no_value() {
        let mut values = Values::new(&WORK);
        assert!(is_value(&WORK, 77, values.at(77, 50)));
        assert!(!is_value(&WORK, 78, values.at(77, 50)));
        assert!(!is_value(&WORK, 77, values.at(77, 49)));
        let short = Workload { value_bytes: 8, ..WORK };
        assert!(is_value(&short, 77, values.at(77, 4)) && !is_value(&short, 78, values.at(77, 4)));
    }
}
