//! Keys that live for some milliseconds, among those that are judged one by one: they have every
//! process reap while others die, and between two rounds all of them are gone.

use crate::Random;
use shf_engine::{Age, Map, OpError, Value};
use std::time::Duration;

/// How many there are.
const MORTALS: u64 = 200;
/// The longest age.
pub const AGE_MAX: Duration = Duration::from_millis(20);
const VALUE_BYTES_MAX: u64 = 2_000;
/// What no other key begins with.
const PREFIX: [u8; 8] = [0xff; 8];

/// Whether a key is one of them.
pub fn is_one(key: &[u8]) -> bool {
    key.starts_with(&PREFIX)
}

/// Puts one of them, deletes it, or has it live on.
pub fn put(map: &Map, random: &mut Random) -> Result<(), OpError> {
    let key = [PREFIX, random.below(MORTALS).to_le_bytes()].concat();
    let age = Age::Of(Duration::from_millis(1 + random.below(AGE_MAX.as_millis() as u64)));
    let value = vec![1; random.below(VALUE_BYTES_MAX) as usize];
    match random.below(8) {
        0 => map.touch(&key, age).map(drop),
        1 => map.get_and_touch(&key, age, &mut Vec::new()).map(drop),
        2 => map.delete(&key).map(drop),
        3 => map.put_for(&key, Value::Unsigned(1), age).map(drop),
        _ => map.put_for(&key, Value::Bytes(&value), age).map(drop),
    }
}
