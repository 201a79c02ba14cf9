//! The keys of a map, and values that prove themselves.
//!
//! Every fourth key is a counter, the others have values. A value is a number that is never used
//! twice, and bytes that follow from it and the key: its length as well. So any mixture of two
//! values is noticed, and a value that was never put.

use crate::Random;

/// Keys that most calls go to, so that processes meet.
pub const HOT: u64 = 16;

/// One of the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub u64);

impl Key {
    /// One of `keys`.
    pub fn choose(keys: u64, random: &mut Random) -> Key {
        let among = if random.below(10) < 6 { HOT } else { keys };
        Key(random.below(among))
    }

    /// Whether it is added to; else it is put.
    pub fn is_counter(self) -> bool {
        self.0 % 4 == 3
    }

    /// Replaces the contents of `into`: the index, and some bytes more.
    pub fn write(self, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.0.to_le_bytes());
        into.resize(8 + (self.0 as usize * 37) % 64, self.0 as u8);
    }

    /// The key with these bytes.
    pub fn read(bytes: &[u8]) -> Option<Key> {
        let key = Key(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?));
        let mut right = Vec::new();
        key.write(&mut right);
        (right == bytes).then_some(key)
    }

    /// Replaces the contents of `into` by the value of a number.
    pub fn write_value(self, number: i64, into: &mut Vec<u8>) {
        into.clear();
        let len = self.value_len(number);
        into.extend_from_slice(&number.to_le_bytes());
        let mut words = self.words(number);
        while into.len() < len {
            into.extend_from_slice(&words.next().unwrap_or(0).to_le_bytes());
        }
        into.truncate(len);
    }

    /// The number that a value is of; `None`: the value is torn, or belongs to another key.
    pub fn read_value(self, value: &[u8]) -> Option<i64> {
        let number = i64::from_le_bytes(value.get(..8)?.try_into().ok()?);
        if self.is_counter() {
            return (value.len() == 8).then_some(number);
        }
        let (words, rest) = value[8..].as_chunks::<8>();
        let mut right = self.words(number);
        let whole = value.len() == self.value_len(number)
            && words.iter().all(|word| Some(u64::from_le_bytes(*word)) == right.next())
            && right.next().is_some_and(|word| word.to_le_bytes().starts_with(rest));
        whole.then_some(number)
    }

    /// Bytes of the key and of the value of a number.
    pub fn payload_bytes(self, number: i64) -> u64 {
        let value = if self.is_counter() { 8 } else { self.value_len(number) };
        (8 + (self.0 * 37) % 64) + value as u64
    }

    fn words(self, number: i64) -> impl Iterator<Item = u64> {
        let mut word = Random::new(number as u64 ^ self.0 << 48).next();
        std::iter::repeat_with(move || {
            word = word.rotate_left(9).wrapping_add(0x9e37_79b9_7f4a_7c15);
            word
        })
    }

    /// Hot keys change between all kinds of records: blocks of many classes, and runs of their own.
    fn value_len(self, number: i64) -> usize {
        let mut random = Random::new(number as u64);
        let most = match (self.0 < HOT, random.below(100)) {
            (true, 0..60) => 64,
            (true, 60..80) => 600,
            (true, 80..92) => 5_000,
            (true, 92..97) => 16_400,
            (true, _) => 70_000,
            (false, 0..80) => 100,
            (false, 80..97) => 600,
            (false, _) => 3_000,
        };
        8 + random.below(most) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_proves_its_key_its_number_and_every_byte() {
        // Goal: no damage passes. Method: values of many lengths; each is changed in one byte, cut
        // short, mixed with another one, and shown to another key.
        let (mut bytes, mut other) = (Vec::new(), Vec::new());
        let mut random = Random::new(5);
        for number in 0..300 {
            let key = Key(random.below(40));
            if key.is_counter() {
                continue;
            }
            key.write_value(number, &mut bytes);
            assert_eq!(key.read_value(&bytes), Some(number));
            let foreign = Key(key.0 + 64).read_value(&bytes);
            assert!(foreign.is_none() || bytes.len() == 8, "the value of another key");
            assert_eq!(key.read_value(&bytes[..bytes.len() - 1]), None);
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            assert_ne!(key.read_value(&bytes), Some(number), "byte {at}");
            bytes[at] ^= 0xff;
            key.write_value(number + 1, &mut other);
            let cut = (bytes.len().min(other.len()) / 2).max(8);
            if other.len() > cut + 1 {
                bytes.truncate(cut);
                bytes.extend_from_slice(&other[cut..]);
                assert_eq!(key.read_value(&bytes), None, "a mixture");
            }
        }
    }

    #[test]
    fn a_key_is_known_by_its_bytes() {
        let mut bytes = Vec::new();
        for index in [0, 3, 15, 16, 1999] {
            Key(index).write(&mut bytes);
            assert_eq!(Key::read(&bytes), Some(Key(index)));
            bytes.push(0);
            assert_eq!(Key::read(&bytes), None);
        }
    }
}
