//! Maps with fixed lengths: what they refuse, that everything else works as in any map, with half a
//! header and with a whole one, and that they take less memory.

#![cfg(not(loom))]

#[cfg(not(miri))]
mod files;

use shf_engine::{Age, Change, Condition, Cursor, FixedLengths, Kind, Map, Names, OpError, Value};
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;
use std::time::Duration;

/// Lengths of keys and values. With those of the first line records have half a header.
const LENGTHS: [(u32, u32); 18] = [
    (8, 4),
    (4, 8),
    (16, 4),
    (16, 100),
    (20, 8),
    (12, 24),
    (9, 0),
    (0, 9),
    (1, 10),
    (3, 9),
    (255, 1),
    (8, 8),
    (4, 4),
    (1, 0),
    (0, 1),
    (16, 16),
    (256, 4),
    (2, 20_000),
];

fn lengths((key_bytes, value_bytes): (u32, u32)) -> FixedLengths {
    FixedLengths { key_bytes, value_bytes }
}

fn heap(of: (u32, u32)) -> Map {
    Map::fixed_heap(1, if cfg!(miri) { 1 << 20 } else { 64 << 20 }, u64::MAX, lengths(of))
}

/// A key of a length, one of as many as it can tell apart.
fn key(number: u64, len: u32) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    (0..len as usize).map(|at| bytes[at % 8] ^ (at / 8) as u8).collect()
}

fn wrong(of: &'static str, expected_bytes: u64, found_bytes: u64) -> OpError {
    OpError::WrongLength { of, expected_bytes, found_bytes }
}

/// All pairs of a map.
fn contents(map: &Map) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut contents = BTreeMap::new();
    map.for_each(&mut |key, value| contents.insert(key.into(), value.into()).is_none()).unwrap();
    contents
}

#[test]
fn puts_of_other_lengths_are_refused_and_other_keys_are_not_there() {
    // Goal: the rules for lengths, for each operation that could break them.
    for of in LENGTHS {
        let (map, key_bytes, value_bytes) = (heap(of), u64::from(of.0), u64::from(of.1));
        let (key, value) = (key(7, of.0), vec![5; of.1 as usize]);
        let (longer_key, longer) = ([&key[..], b"k"].concat(), [&value[..], b"v"].concat());
        let wrong_key = wrong("key", key_bytes, key_bytes + 1);
        let wrong_value = wrong("value", value_bytes, value_bytes + 1);
        for there in [false, true] {
            assert_eq!(map.put(&longer_key, &value).err(), Some(wrong_key.clone()), "{of:?}");
            assert_eq!(map.put(&key, &longer).err(), Some(wrong_value.clone()));
            if !value.is_empty() {
                let error = wrong("value", value_bytes, value_bytes - 1);
                assert_eq!(map.put(&key, &value[1..]).err(), Some(error));
            }
            if !key.is_empty() {
                let error = wrong("key", key_bytes, key_bytes - 1);
                assert_eq!(map.put(&key[1..], &value).err(), Some(error));
            }
            let pairs = [(&longer_key, &value)];
            let failed = map.put_many(&pairs, |_, _| {}).unwrap_err();
            assert_eq!((failed.done, failed.error), (0, wrong_key.clone()));
            let condition = if there { Condition::Present } else { Condition::Absent };
            assert_eq!(map.put_if(&key, &longer, condition).err(), Some(wrong_value.clone()));
            let changed = map.update(&key, |_, new| {
                new.extend_from_slice(&longer);
                Change::Put
            });
            assert_eq!(changed.err(), Some(wrong_value.clone()));
            let appended = if there { b"v" } else { &longer[..] };
            assert_eq!(map.append(&key, appended).err(), Some(wrong_value.clone()));
            if let Some(uid) = map.uid(&key).unwrap() {
                assert_eq!(map.put_uid(uid, &longer).err(), Some(wrong_value.clone()));
            }

            assert_eq!(map.get(&longer_key, &mut Vec::new()), Ok(false));
            assert_eq!(map.contains(&longer_key), Ok(false));
            assert_eq!(map.delete(&longer_key), Ok(false));
            assert_eq!(map.take(&longer_key, &mut Vec::new()), Ok(None));
            assert_eq!(map.uid(&longer_key), Ok(None));
            assert_eq!(map.touch(&longer_key, Age::Of(Duration::from_secs(9))), Ok(false));
            assert_eq!(map.delete_if(&key, Condition::Value(&longer)), Ok(false));
            assert_eq!(map.append(&key, if there { b"" } else { &value }), Ok(value_bytes));
            assert_eq!(map.size(), 1);
        }
        assert_sound(&map);
    }
}

#[test]
fn values_with_a_type_lists_and_ages_are_refused() {
    // Goal: what a record of fixed lengths has no room for is a typed error, also where the lengths
    // would be right.
    for of in [(8, 8), (4, 8), (8, 1), (8, 5)] {
        let map = heap(of);
        let key = key(1, of.0);
        let is_no = |found| OpError::WrongType { expected: "bytes", found };
        for there in [false, true] {
            for (value, name) in [
                (Value::Integer(1), "integer"),
                (Value::Unsigned(1), "unsigned integer"),
                (Value::Double(1.0), "double"),
                (Value::Text("text "), "text"),
                (Value::Boolean(true), "boolean"),
            ] {
                assert_eq!(map.put_value(&key, value).err(), Some(is_no(name)));
                let put = map.put_value_if(&key, value, Condition::Token(token(&map, &key)));
                assert_eq!(put.err(), Some(is_no(name)));
            }
            let found = OpError::WrongType { expected: "integer", found: "bytes" };
            assert_eq!(map.add(&key, 1).err(), Some(if there { found } else { is_no("integer") }));
            assert_eq!(map.push(&key, b"element").err(), Some(is_no("element of a list")));
            let popped = map.pop(&key, &mut Vec::new());
            let no_list = OpError::WrongType { expected: "list", found: "bytes" };
            assert_eq!(popped, if there { Err(no_list) } else { Ok(None) });
            let age = Age::Of(Duration::from_secs(9));
            let bytes = vec![1; of.1 as usize];
            let put = map.put_for(&key, Value::Bytes(&bytes), age);
            assert_eq!(put.err(), Some(OpError::NoAges));
            let touched = map.touch(&key, age);
            assert_eq!(touched, if there { Err(OpError::NoAges) } else { Ok(false) });
            assert_eq!(map.touch(&key, Age::Never), Ok(there));
            let set = map.set_default_age(Some(Duration::from_secs(9)));
            assert_eq!(set, Err(OpError::NoAges));
            assert_eq!(map.set_default_age(None), Ok(()));
            assert_eq!(map.time_left(&key), Ok(there.then_some(None)));
            assert_eq!(map.sync(), Err(OpError::NotDurable));
            map.put_for(&key, Value::Bytes(&bytes), Age::Never).unwrap();
            assert_eq!(map.kind(&key), Ok(Some(Kind::Bytes)));
        }
        assert_sound(&map);
    }
}

fn token(map: &Map, key: &[u8]) -> shf_engine::Token {
    map.get_with_token(key, &mut Vec::new()).unwrap().unwrap_or(shf_engine::Token::ABSENT)
}

#[test]
fn random_operations_agree_with_a_plain_map() {
    // Goal: within its lengths such a map is as any other. Method: random operations on it and on a
    // plain map, for lengths of each kind; few shards, so that tables split and merge; phases that
    // delete more than they put, so that runs are evacuated.
    let mut random = Random::from_env(71);
    let (steps, keys) = if cfg!(miri) { (60, 40) } else { (20_000, 2000) };
    for of in LENGTHS {
        let (map, mut model) = (heap(of), BTreeMap::new());
        let steps = if of.1 > 16_384 { steps / 50 } else { steps };
        let mut found = Vec::new();
        for step in 0..steps {
            let key = key(random.below(keys), of.0);
            let value = random.bytes(of.1 as usize);
            let expected = model.get(&key).cloned();
            let there = expected.is_some();
            let shrinks = step % (steps / 2) > steps / 3;
            match random.below(if shrinks { 20 } else { 14 }) {
                0..4 => assert_eq!(map.put(&key, &value).unwrap().replaced, there),
                4 => {
                    let token = token(&map, &key);
                    let put = map.put_if(&key, &value, Condition::Token(token)).unwrap();
                    assert!(put.is_some());
                }
                5 => {
                    let change = |old: Option<&[u8]>, new: &mut Vec<u8>| {
                        assert_eq!(old, expected.as_deref());
                        new.extend_from_slice(&value);
                        Change::Put
                    };
                    assert_eq!(map.update(&key, change), Ok(Change::Put));
                }
                6 => {
                    let Some(uid) = map.uid(&key).unwrap() else { continue };
                    assert!(map.put_uid(uid, &value).unwrap().unwrap().replaced);
                }
                7 => {
                    let taken = map.take(&key, &mut found).unwrap();
                    assert_eq!(taken.map(|_| found.clone()), model.remove(&key));
                    continue;
                }
                8 => {
                    assert_eq!(map.get(&key, &mut found), Ok(there));
                    assert!(!there || Some(&found) == expected.as_ref());
                    continue;
                }
                9 => {
                    let mut room = vec![0; of.1 as usize + 1];
                    let got = map.get_into(&key, &mut room).unwrap();
                    assert_eq!(got.map(|len| room[..len].to_vec()), expected);
                    continue;
                }
                10 => {
                    let uid = map.uid(&key).unwrap();
                    assert_eq!(uid.is_some(), there);
                    let Some(uid) = uid else { continue };
                    assert_eq!(map.key_of_uid(uid, &mut found).unwrap(), Some(of.0 as usize));
                    assert_eq!(found, key);
                    continue;
                }
                11 => {
                    let value = expected.as_deref().unwrap_or(&value);
                    let condition = Condition::Value(value);
                    assert_eq!(map.delete_if(&key, condition), Ok(there));
                    model.remove(&key);
                    continue;
                }
                _ => {
                    assert_eq!(map.delete(&key), Ok(there));
                    model.remove(&key);
                    continue;
                }
            }
            model.insert(key, value);
        }
        assert_sound(&map);
        assert!(contents(&map) == model, "{of:?}");
        let (mut names, mut cursor, mut seen) = (Names::new(), Some(Cursor::START), 0);
        while let Some(from) = cursor {
            cursor = map.scan_next_names(from, b"", &mut names).unwrap();
            seen += names.len();
        }
        assert_eq!(seen, model.len(), "{of:?}");
        let keys: Vec<_> = model.keys().collect();
        let got = map.get_many(&keys, |index, value| assert!(model[keys[index]] == value));
        assert_eq!(got, Ok(model.len()));
        assert_eq!(map.clear(), Ok(model.len() as u64));
        assert_sound(&map);
    }
}

#[test]
fn a_prefix_finds_keys_that_begin_in_the_header() {
    let map = heap((6, 5));
    for number in 0..200u64 {
        map.put(&[b"ab", &number.to_be_bytes()[4..]].concat(), b"value").unwrap();
        map.put(&[b"abc", &number.to_be_bytes()[5..]].concat(), b"other").unwrap();
    }
    let mut found = 0;
    let mut count = |pair: shf_engine::Pair<'_>| {
        assert_eq!((pair.key.starts_with(b"abc"), pair.value), (true, &b"other"[..]));
        found += 1;
        true
    };
    map.for_each_with(b"abc", &mut count).unwrap();
    assert_eq!(found, 200);
}

#[test]
fn tokens_and_uids_tell_changes_and_lives_apart() {
    // Goal: half a header has all of the stamp.
    let map = heap((8, 4));
    let key = key(1, 8);
    let first = map.put(&key, b"same").unwrap();
    let token = |map: &Map| token(map, &key);
    let before = token(&map);
    assert_eq!(map.put(&key, b"same").unwrap().uid, first.uid);
    assert_ne!(token(&map), before);
    assert_eq!(map.put_if(&key, b"lost", Condition::Token(before)), Ok(None));
    assert_eq!(map.delete(&key), Ok(true));
    assert_ne!(map.put(&key, b"same").unwrap().uid, first.uid);
    assert_eq!(map.put_uid(first.uid, b"lost"), Ok(None));
    assert_eq!(map.get_uid_to(first.uid, &mut Vec::new()), Ok(None));
    assert_sound(&map);
}
