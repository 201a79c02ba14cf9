//! The map against a plain map: random operations, decoded from a seeded generator.

use shf_engine::{Age, Map, OpError};
use shf_tests::{Random, assert_sound};
use std::collections::HashMap;
use std::time::Duration;

/// An age that no key here reaches.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Values of the model.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bytes(Vec<u8>),
    Integer(i64),
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Bytes(bytes) => bytes.clone(),
            Value::Integer(number) => number.to_le_bytes().to_vec(),
        }
    }
}

struct Pair {
    map: Map,
    model: HashMap<Vec<u8>, Value>,
    random: Random,
    keys: u64,
    value_bytes_max: u64,
}

impl Pair {
    fn new(map: Map, random: Random, keys: u64, value_bytes_max: u64) -> Pair {
        Pair { map, model: HashMap::new(), random, keys, value_bytes_max }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.random.below(self.keys);
        let mut key = number.to_be_bytes().to_vec();
        key.truncate(8 - (number % 5) as usize);
        key.extend_from_slice(&number.to_le_bytes()[..(number % 7) as usize]);
        key.extend(std::iter::repeat_n(0, (number % 23) as usize));
        key.extend_from_slice(&number.to_le_bytes());
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.random.below(20) {
            0 => 0,
            1 => self.random.below(self.value_bytes_max + 1),
            _ => self.random.below(200),
        };
        self.random.bytes(len as usize)
    }

    fn step(&mut self) {
        let key = self.key();
        match self.random.below(100) {
            0..40 => self.put(key),
            40..60 => self.get(&key),
            60..85 => {
                let there = self.model.remove(&key).is_some();
                assert_eq!(self.map.delete(&key), Ok(there));
            }
            85..97 => self.add(key),
            97 => assert_eq!(self.map.contains(&key), Ok(self.model.contains_key(&key))),
            98 => {
                let there = self.model.contains_key(&key);
                assert_eq!(self.map.touch(&key, Age::Of(DAY)), Ok(there));
            }
            // It changes nothing that can be seen, but what memory is used again.
            _ if self.random.below(2) == 0 => {
                assert!(matches!(self.map.sync(), Ok(()) | Err(OpError::NotDurable)));
            }
            _ => assert_eq!(self.map.size(), self.model.len() as u64),
        }
    }

    fn put(&mut self, key: Vec<u8>) {
        let value = self.value();
        let placed = match self.random.below(4) {
            // It changes the record, and nothing that can be seen.
            0 => self.map.put_for(&key, shf_engine::Value::Bytes(&value), Age::Of(DAY)),
            _ => self.map.put(&key, &value),
        };
        let placed = placed.unwrap();
        let old = self.model.insert(key, Value::Bytes(value));
        assert_eq!(placed.replaced, old.is_some());
    }

    fn add(&mut self, key: Vec<u8>) {
        let delta = self.random.next() as i64 >> self.random.below(64);
        let result = self.map.add(&key, delta);
        match self.model.get_mut(&key) {
            None => {
                assert_eq!(result, Ok(delta));
                self.model.insert(key, Value::Integer(delta));
            }
            Some(Value::Bytes(_)) => {
                let expected = OpError::WrongType { expected: "integer", found: "bytes" };
                assert_eq!(result, Err(expected));
            }
            Some(Value::Integer(value)) => match value.checked_add(delta) {
                None => {
                    assert_eq!(result, Err(OpError::Overflow { value: (*value).into(), delta }))
                }
                Some(sum) => {
                    assert_eq!(result, Ok(sum));
                    *value = sum;
                }
            },
        }
    }

    fn get(&mut self, key: &[u8]) {
        let expected = self.model.get(key).map(Value::bytes);
        let mut found = b"left over".to_vec();
        let there = self.map.get(key, &mut found).unwrap();
        assert_eq!(there.then_some(found), expected);
    }

    fn compare_all(&mut self) {
        assert_sound(&self.map);
        let mut seen = HashMap::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            assert!(seen.insert(key.to_vec(), value.to_vec()).is_none(), "seen twice");
            true
        };
        self.map.for_each(&mut visit).unwrap();
        let expected: HashMap<_, _> =
            self.model.iter().map(|(key, value)| (key.clone(), value.bytes())).collect();
        assert_eq!(seen.len(), expected.len());
        assert!(seen == expected);
    }
}

/// Window of a map with small values; Miri is slow in memory that it need not have.
const WINDOW_BYTES: u64 = if cfg!(miri) { 1 << 20 } else { 64 << 20 };
/// The largest value of the test with large ones.
const LARGE_BYTES_MAX: u64 = if cfg!(miri) { 40 << 10 } else { 300 << 10 };
/// Checks in between.
const CHECKS: u64 = if cfg!(miri) { 1 } else { 8 };

fn steps() -> u64 {
    if cfg!(miri) { 35 } else { 60_000 }
}

#[test]
fn random_operations_agree_with_a_plain_map() {
    // Goal: every operation answers as a plain map would. Method: the same random operations on
    // both, with the checker in between; few shards, so that tables split and runs are evacuated.
    let mut random = Random::from_env(1);
    // Miri is slow: one with a shard, and a durable one with several.
    let rounds: &[usize] = if cfg!(miri) { &[0, 5] } else { &[0, 1, 2, 3, 4, 5] };
    for &round in rounds {
        let keys = [10, 300, 4000, 20_000, 300, 4000][round];
        let shards = [1, 2, 1, 4, 1, 2][round];
        let seed = Random::new(random.next());
        let heap = if round < 4 { Map::heap } else { Map::durable_heap };
        let mut pair = Pair::new(heap(shards, WINDOW_BYTES, u64::MAX), seed, keys, 3000);
        for step in 0..steps() {
            pair.step();
            if step % (steps() / CHECKS) == 0 {
                assert_sound(&pair.map);
            }
        }
        pair.compare_all();
        let cleared = pair.map.clear().unwrap();
        assert_eq!(cleared, pair.model.len() as u64);
        pair.model.clear();
        pair.compare_all();
    }
}

#[test]
fn large_values_come_and_go() {
    // Goal: values beyond a size class live in page runs that are used again. Method: random
    // operations with values up to 300 KiB.
    let random = Random::from_env(2);
    let mut pair = Pair::new(Map::heap(1, 4 * WINDOW_BYTES, u64::MAX), random, 60, LARGE_BYTES_MAX);
    for _ in 0..steps() / 20 {
        pair.step();
        if !cfg!(miri) {
            assert_sound(&pair.map);
        }
    }
    pair.compare_all();
    assert!(pair.map.stats().committed_bytes < 64 << 20, "runs are used again");
}

#[test]
fn a_full_map_says_so_and_goes_on() {
    // Goal: at its maximum a map refuses and stays readable, deletable and writable for what fits.
    // Method: fill a small map, read all, delete half, fill again.
    let (max_bytes, len, least): (u64, usize, u64) =
        if cfg!(miri) { (80 << 10, 2000, 10) } else { (1 << 20, 100, 3000) };
    let map = Map::heap(1, 4 * max_bytes.next_power_of_two(), max_bytes);
    let value = vec![7u8; len];
    let mut put = 0u64;
    let full = loop {
        match map.put(&put.to_le_bytes(), &value) {
            Ok(_) => put += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, OpError::NoSpace { .. }), "{full:?}");
    assert!(put > least, "{put}");
    assert!(map.stats().committed_bytes <= max_bytes);
    let mut found = Vec::new();
    for key in 0..put {
        assert_eq!(map.get(&key.to_le_bytes(), &mut found), Ok(true));
        assert_eq!(found, value);
    }
    for key in (0..put).step_by(2) {
        assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
    }
    assert_sound(&map);
    let mut again = 0;
    let full = loop {
        match map.put(&(put + again).to_le_bytes(), &value) {
            Ok(_) => again += 1,
            Err(error) => break error,
        }
    };
    println!("{put} keys, {again} of them again, then {full:?}");
    assert!(matches!(full, OpError::NoSpace { .. }), "{full:?}");
    assert!(again * 2 > put * 8 / 10, "{again} of {put} after deleting half");
    assert_sound(&map);
}

#[test]
#[cfg_attr(miri, ignore = "megabytes of large values take Miri many minutes")]
fn free_runs_are_found_wherever_they_lie() {
    // Goal: memory that was freed is used again, also behind many runs in use. Method: large values
    // fill a map, all but the first are deleted, and as many come again.
    let map = Map::heap(1, 32 << 20, 8 << 20);
    let value = vec![3u8; 20_000];
    let mut put = 0u64;
    while map.put(&put.to_le_bytes(), &value).is_ok() {
        put += 1;
    }
    for key in 100..put {
        assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
    }
    for key in 100..put {
        assert!(map.put(&(put + key).to_le_bytes(), &value).is_ok(), "{key} of {put}");
    }
    assert_sound(&map);
}

#[test]
#[cfg_attr(miri, ignore = "too long there")]
fn an_integer_takes_keys_up_to_the_block_limit_and_refuses_longer_ones() {
    // Goal: add either works or says why, at the edge of what a record's block holds.
    let map = Map::heap(1, 4 << 20, u64::MAX);
    for len in [255, 256, 16_352, 16_359, 16_360, 16_361, 16_400] {
        let key = vec![5u8; len];
        let mut value = Vec::new();
        match map.add(&key, 7) {
            Ok(7) if len <= 16_360 => {
                assert_eq!(map.get(&key, &mut value), Ok(true));
                assert_eq!(value, 7i64.to_le_bytes());
                assert_eq!(map.add(&key, 1), Ok(8));
            }
            Err(OpError::TooLarge { .. }) if len > 16_360 => {
                assert_eq!(map.get(&key, &mut value), Ok(false));
            }
            other => panic!("{len}: {other:?}"),
        }
    }
    assert_sound(&map);
}
