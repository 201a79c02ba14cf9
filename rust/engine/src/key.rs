//! Keys that are numbers.

/// The key of a number: its 8 bytes, little-endian, as any other key of 8 bytes.
pub fn key_of(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// The number of a key that `key_of` made, or any other of 8 bytes; `None`: it has another length.
pub fn number_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_le_bytes)
}
