//! Ages: when keys are gone, what a key is that has expired, and what becomes of its memory.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::clock;
use shf_base::default_age::AGE_MS_MAX;
use shf_base::open::{self, Access};
use shf_engine::place::{Field, Place};
use shf_engine::{Age, Change, Condition, Map, OpError, Options, Token, Value};
use shf_tests::map_file::MapFile;
use shf_tests::{Random, assert_sound};
use std::collections::HashMap;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;

/// Sets the clock of this thread so far forward from what it is outside of the test.
fn set_clock(milliseconds: i64) {
    clock::shift(milliseconds);
}

fn value_of(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = b"left over".to_vec();
    map.get(key, &mut value).unwrap().then_some(value)
}

/// Puts a key that lives for an hour.
fn put_mortal(map: &Map, key: &[u8], value: Value<'_>) {
    map.put_for(key, value, Age::Of(HOUR)).unwrap();
}

/// A map of each kind.
fn maps(name: &str) -> [(MapFile, Map); 2] {
    [false, true].map(|durable| {
        let file = MapFile::new(&format!("{name}-{durable}"));
        let map = if durable { file.create_durable(2, 16 << 20) } else { file.create(2) };
        (file, map)
    })
}

#[test]
fn a_key_that_has_expired_is_not_there_for_any_operation() {
    // Goal: nothing gives what has expired, whatever the value is. Method: every reading operation
    // before the deadline and after it.
    for (_file, map) in maps("expired") {
        let long = vec![7; 100_000];
        let values: [(&[u8], Value<'_>); 5] = [
            (b"bytes", Value::Bytes(b"some")),
            (b"number", Value::Integer(41)),
            (b"text", Value::Text("words")),
            (b"large", Value::Bytes(&long)),
            (&[9; 300], Value::Bytes(b"of a long key")),
        ];
        for (key, value) in values {
            set_clock(0);
            put_mortal(&map, key, value);
            let uid = map.uid(key).unwrap().unwrap();
            let short = uid.short(2);
            let seen = |there: bool| {
                let mut text = String::new();
                let mut seen = Vec::new();
                let mut sink = Vec::new();
                assert_eq!(value_of(&map, key).is_some(), there);
                assert_eq!(map.contains(key), Ok(there));
                assert_eq!(map.kind(key), Ok(there.then_some(value.kind())));
                assert_eq!(map.uid(key).unwrap().is_some(), there);
                assert_eq!(map.contains_uid(uid), Ok(there));
                assert_eq!(map.get_uid_to(uid, &mut sink).unwrap().is_some(), there);
                assert_eq!(map.key_of_uid(uid, &mut sink).unwrap().is_some(), there);
                assert_eq!(map.uid_of_short(short), Ok(there.then_some(uid)));
                assert_eq!(map.get_with_token(key, &mut sink).unwrap().is_some(), there);
                assert_eq!(map.time_left(key).unwrap().is_some(), there);
                if let Value::Text(_) = value {
                    assert_eq!(map.text(key, &mut text), Ok(there));
                }
                if let Value::Integer(_) = value {
                    assert_eq!(map.number::<i64>(key).unwrap().is_some(), there);
                }
                assert_eq!(map.get_many(&[key], |_, _| {}), Ok(usize::from(there)));
                let mut visit = |found: &[u8], _: &[u8]| {
                    seen.push(found.to_vec());
                    true
                };
                map.for_each(&mut visit).unwrap();
                for shard in 0..2 {
                    map.view(shard, &mut |pair| visit(pair.key, pair.value)).unwrap();
                }
                assert_eq!(seen, vec![key.to_vec(); if there { 2 } else { 0 }]);
            };
            seen(true);
            set_clock(HOUR_MS - 1_000);
            seen(true);
            set_clock(HOUR_MS + 1);
            seen(false);
            assert_sound(&map);
            assert_eq!(map.delete(key), Ok(false));
            assert_eq!(map.size(), 0);
        }
        set_clock(0);
    }
}

#[test]
fn changes_find_an_expired_key_gone_and_begin_a_new_life() {
    // Goal: what looks at a key before it changes it does not see what has expired, and no UID or
    // token of before is good. Method: each on a key of its own that has expired.
    for (_file, map) in maps("new-life") {
        let expire = |key: &[u8], value: Value<'_>| {
            set_clock(0);
            put_mortal(&map, key, value);
            let names = (map.uid(key).unwrap().unwrap(), token_of(&map, key));
            set_clock(2 * HOUR_MS);
            names
        };
        let bytes = Value::Bytes(b"old");
        let (uid, token) = expire(b"put", bytes);
        let placed = map.put(b"put", b"new").unwrap();
        assert!(!placed.replaced && placed.uid != uid);
        assert_eq!(map.put_if(b"put", b"", Condition::Token(token)), Ok(None));
        assert_eq!(map.put_uid(uid, b""), Ok(None));
        assert_eq!(map.delete_uid(uid), Ok(false));
        assert_eq!(value_of(&map, b"put"), Some(b"new".to_vec()));

        expire(b"if", bytes);
        for missed in [Condition::Present, Condition::Value(b"old"), Condition::Token(token)] {
            assert_eq!(map.put_if(b"if", b"new", missed), Ok(None));
            assert_eq!(map.delete_if(b"if", missed), Ok(false));
        }
        let token = Condition::Token(Token::ABSENT);
        assert!(!map.put_if(b"if", b"new", token).unwrap().unwrap().replaced);
        expire(b"absent", bytes);
        assert!(map.put_if(b"absent", b"new", Condition::Absent).unwrap().is_some());

        expire(b"number", Value::Integer(40));
        assert_eq!(map.add(b"number", 2), Ok(2));
        // Of another type than it was.
        expire(b"double", Value::Text("forty"));
        assert_eq!(map.add_number::<f64>(b"double", 0.5), Ok(0.5));
        expire(b"append", bytes);
        assert_eq!(map.append(b"append", b"new"), Ok(3));
        expire(b"take", bytes);
        assert_eq!(map.take(b"take", &mut Vec::new()), Ok(None));
        expire(b"touch", bytes);
        assert_eq!(map.touch(b"touch", Age::Never), Ok(false));
        assert_eq!(map.get_and_touch(b"touch", Age::Never, &mut Vec::new()), Ok(None));
        expire(b"update", bytes);
        let change = map.update(b"update", |old, new| {
            assert_eq!(old, None);
            new.extend_from_slice(b"new");
            Change::Put
        });
        assert_eq!(change, Ok(Change::Put));
        for key in [&b"if"[..], b"absent", b"append", b"update"] {
            assert_eq!(value_of(&map, key), Some(b"new".to_vec()));
            assert_eq!(map.time_left(key), Ok(Some(None)));
        }
        let stats = map.stats();
        // Those that nothing was put in place of are there yet.
        assert_eq!((stats.timed_keys, stats.expired_keys), (2, 7));
        assert_sound(&map);
        set_clock(0);
    }
}

fn token_of(map: &Map, key: &[u8]) -> Token {
    map.get_with_token(key, &mut Vec::new()).unwrap().unwrap()
}

#[test]
fn each_change_gives_the_age_that_it_says() {
    // Goal: a put gives the age that it is told, or the map's; changes of a value keep the key's.
    for (_file, map) in maps("ages") {
        set_clock(0);
        let left = |key: &[u8]| map.time_left(key).unwrap().unwrap();
        // To the minute, rounded up.
        let minutes = |key: &[u8]| left(key).map(|left| left.as_secs().div_ceil(60));
        map.put(b"key", b"value").unwrap();
        assert_eq!((left(b"key"), map.default_age()), (None, None));
        let token = token_of(&map, b"key");
        assert_eq!(map.touch(b"key", Age::Never), Ok(true));
        assert_eq!(token_of(&map, b"key"), token);
        let uid = map.uid(b"key").unwrap();
        assert_eq!(map.touch(b"key", Age::Of(HOUR)), Ok(true));
        assert_eq!((minutes(b"key"), map.uid(b"key").unwrap()), (Some(60), uid));
        assert_eq!(value_of(&map, b"key"), Some(b"value".to_vec()));
        let token = token_of(&map, b"key");
        let mut value = Vec::new();
        assert_eq!(map.get_and_touch(b"key", Age::Of(2 * HOUR), &mut value), Ok(Some(5)));
        assert_eq!((minutes(b"key"), &value[..]), (Some(120), &b"value"[..]));
        assert_eq!((token_of(&map, b"key"), map.uid(b"key").unwrap()), (token, uid));

        map.append(b"key", b" more").unwrap();
        assert_eq!(minutes(b"key"), Some(120));
        map.update(b"key", |_, new| {
            new.push(1);
            Change::Put
        })
        .unwrap();
        assert_eq!((minutes(b"key"), value_of(&map, b"key")), (Some(120), Some(vec![1])));
        put_mortal(&map, b"number", Value::Unsigned(1));
        assert_eq!(map.add_number::<u64>(b"number", 1), Ok(2));
        assert_eq!(minutes(b"number"), Some(60));
        assert_eq!(map.touch(b"number", Age::Never), Ok(true));
        assert_eq!((left(b"number"), map.number::<u64>(b"number")), (None, Ok(Some(2))));

        map.put(b"key", b"for ever").unwrap();
        assert_eq!(left(b"key"), None);
        map.set_default_age(Some(3 * HOUR)).unwrap();
        assert_eq!(map.default_age(), Some(3 * HOUR));
        map.put_if(b"key", b"again", Condition::Present).unwrap();
        map.add(b"counter", 1).unwrap();
        map.append(b"appended", b"x").unwrap();
        for key in [&b"key"[..], b"counter", b"appended"] {
            assert_eq!(minutes(key), Some(180));
        }
        map.put_for(b"key", Value::Boolean(true), Age::Never).unwrap();
        assert_eq!(left(b"key"), None);
        let placed = map
            .put_if_for(b"lock", Value::Bytes(b"mine"), Condition::Absent, Age::Of(HOUR))
            .unwrap();
        assert!(placed.is_some());
        assert_eq!(minutes(b"lock"), Some(60));
        map.set_default_age(None).unwrap();
        map.put(b"key", b"for ever").unwrap();
        assert_eq!(left(b"key"), None);
        assert_sound(&map);
    }
}

#[test]
fn ages_out_of_range_are_refused_and_named() {
    let file = MapFile::new("bad-ages");
    let map = file.create(1);
    map.put(b"key", b"value").unwrap();
    for (age, found_ms) in [
        (Duration::ZERO, 0),
        (Duration::from_millis(AGE_MS_MAX + 1), AGE_MS_MAX + 1),
        (Duration::MAX, u64::MAX),
    ] {
        let error = OpError::InvalidAge { found_ms, max_ms: AGE_MS_MAX };
        assert_eq!(map.put_for(b"key", Value::Bytes(b"new"), Age::Of(age)), Err(error.clone()));
        assert_eq!(map.touch(b"key", Age::Of(age)), Err(error.clone()));
        assert_eq!(map.set_default_age(Some(age)), Err(error.clone()));
        let text = error.to_string();
        assert!(text.contains(&found_ms.to_string()) && text.contains("1 to"), "{text}");
        let options = Options { default_age: Some(age), ..Options::default() };
        let made = Map::create(file.folder(), "other", &options).err().unwrap().to_string();
        assert!(made.contains("default_age") && made.contains(&found_ms.to_string()), "{made}");
    }
    assert_eq!(value_of(&map, b"key"), Some(b"value".to_vec()));
    assert_eq!(map.touch(b"key", Age::Of(Duration::from_millis(AGE_MS_MAX))), Ok(true));
    assert!(map.contains(b"key").unwrap());
    let reader = Map::open_read_only(file.folder(), file.name(), &Options::default()).unwrap();
    assert_eq!(reader.set_default_age(None), Err(OpError::ReadOnly));
    assert_eq!(reader.reap(), Err(OpError::ReadOnly));
    assert_eq!(reader.touch(b"key", Age::Never), Err(OpError::ReadOnly));
}

#[test]
fn a_clock_that_is_set_moves_what_is_not_reaped() {
    // Goal: what the documentation says of a clock that jumps.
    let file = MapFile::new("jumps");
    let map = file.create(1);
    put_mortal(&map, b"key", Value::Bytes(b"value"));
    set_clock(2 * HOUR_MS);
    assert_eq!(value_of(&map, b"key"), None);
    set_clock(-HOUR_MS);
    assert_eq!(value_of(&map, b"key"), Some(b"value".to_vec()));
    assert_eq!(map.time_left(b"key").unwrap().unwrap().unwrap().as_secs().div_ceil(3600), 2);
    set_clock(2 * HOUR_MS);
    assert_eq!(map.reap(), Ok(1));
    set_clock(0);
    assert_eq!(value_of(&map, b"key"), None);
}

#[test]
fn real_time_passes() {
    // Goal: it is the clock of the machine, and other handles agree. Method: the shortest age.
    let file = MapFile::new("real-time");
    let options = Options { default_age: Some(Duration::from_millis(1)), ..Options::default() };
    let map = Map::create(file.folder(), "aging", &options).unwrap();
    let reader = Map::open_read_only(file.folder(), "aging", &Options::default()).unwrap();
    map.put(b"key", b"value").unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!((value_of(&map, b"key"), value_of(&reader, b"key")), (None, None));
    assert_eq!(reader.default_age(), Some(Duration::from_millis(1)));
    Map::remove(file.folder(), "aging").unwrap();
}

#[test]
fn reap_deletes_what_has_expired_and_nothing_else() {
    // Goal: `reap` gives back all at once what has expired, in tables that split and with keys that
    // collide; the books agree.
    for (_file, map) in maps("reap") {
        set_clock(0);
        let key = |n: u64| n.to_le_bytes();
        for n in 0..20_000 {
            let age = [Age::Of(HOUR), Age::Of(3 * HOUR), Age::Never][n as usize % 3];
            map.put_for(&key(n), Value::Bytes(&[1; 50]), age).unwrap();
        }
        assert_eq!(map.reap(), Ok(0));
        set_clock(2 * HOUR_MS);
        assert_eq!(map.reap(), Ok(6_667));
        assert_sound(&map);
        let stats = map.stats();
        assert_eq!((map.size(), stats.timed_keys, stats.expired_keys), (13_333, 6_667, 6_667));
        for n in 0..20_000 {
            assert_eq!(map.contains(&key(n)), Ok(n % 3 != 0), "{n}");
        }
        set_clock(4 * HOUR_MS);
        assert_eq!(map.reap(), Ok(6_667));
        assert_eq!((map.size(), map.stats().timed_keys), (6_666, 0));
        assert_sound(&map);
        set_clock(0);
    }
}

#[test]
fn memory_of_expired_keys_comes_back_with_the_operations_of_others() {
    // Goal: without anyone asking, expired keys go and their memory is used again: a map whose keys
    // live for some time stays at the size of what lives. Method: a day in miniature, each key for
    // an hour of a clock that goes on with each put, values of changing sizes.
    let file = MapFile::new("day");
    let map = file.create_with(4, 64 << 20);
    map.set_default_age(Some(HOUR)).unwrap();
    let (hour_of_puts, mut most) = (20_000, 0);
    for n in 0..12 * hour_of_puts {
        set_clock((n * HOUR_MS) / hour_of_puts);
        let key = (n as u64).to_le_bytes();
        map.put(&key, &vec![n as u8; 20 + (n * 37 % 160) as usize]).unwrap();
        if n >= 3 * hour_of_puts && n % 1000 == 0 {
            most = most.max(map.size());
        }
    }
    assert!(map.size() >= hour_of_puts as u64);
    // One seventh more than what lives, by the argument of `expiry`; splits and chance add some.
    assert!(most < hour_of_puts as u64 * 5 / 4, "{most} keys");
    let (live, committed) = (hour_of_puts as u64 * (16 + 100), map.stats().committed_bytes);
    assert!(committed < live * 2, "{committed} bytes for {live}");
    assert_sound(&map);
    // And all of it, when somebody works on.
    set_clock(14 * HOUR_MS);
    map.set_default_age(None).unwrap();
    for n in 0..hour_of_puts as u64 {
        let key = (n % 100).to_be_bytes();
        map.put(&key, &n.to_le_bytes()).unwrap();
        assert_eq!(map.delete(&key), Ok(true));
    }
    assert!(map.stats().timed_keys == 0, "{:?}", map.stats());
    assert_eq!(map.size(), 0);
    assert_sound(&map);
    set_clock(0);
}

#[test]
fn a_full_map_of_expired_keys_takes_new_ones() {
    // Goal: no false "no space" while there are expired keys in the shard. Method: a full map whose
    // keys expire all at once, and as many puts of other sizes as there were.
    let file = MapFile::new("full");
    let map = file.create_with(1, 2 << 20);
    let mut keys = 0u64;
    while map.put_for(&keys.to_le_bytes(), Value::Bytes(&[1; 100]), Age::Of(HOUR)).is_ok() {
        keys += 1;
    }
    set_clock(2 * HOUR_MS);
    for n in 0..keys / 2 {
        map.put(&(n + keys).to_le_bytes(), &[2; 150]).unwrap();
    }
    assert_sound(&map);
    set_clock(0);
}

#[test]
fn deadlines_survive_a_rebuild_and_attaching_again() {
    // Goal: an age is kept with the record, so whoever makes the index anew keeps it.
    for (file, map) in maps("rebuilt") {
        set_clock(0);
        put_mortal(&map, b"mortal", Value::Bytes(b"value"));
        put_mortal(&map, b"number", Value::Double(0.5));
        map.put(b"immortal", b"value").unwrap();
        drop(map);
        let map = file.open();
        let peek = open::open(file.folder(), file.name(), Access::ReadWrite, false).unwrap();
        for shard in 0..2 {
            Place::new(&peek.storage, &peek.header, shard).store(Field::Timed, 77);
        }
        assert!(!map.verify().unwrap().is_empty());
        assert_eq!(map.repair().unwrap().lost, []);
        assert_sound(&map);
        assert_eq!((map.size(), map.stats().timed_keys), (3, 2));
        set_clock(2 * HOUR_MS);
        assert_eq!((value_of(&map, b"mortal"), map.number::<f64>(b"number")), (None, Ok(None)));
        assert_eq!(value_of(&map, b"immortal"), Some(b"value".to_vec()));
        set_clock(0);
    }
}

/// What a plain map with a clock holds.
#[derive(Clone)]
struct Held {
    value: Vec<u8>,
    is_number: bool,
    /// `None`: for ever.
    deadline: Option<i64>,
}

/// A map beside a plain one, and the time, in milliseconds after the test began.
struct Pair {
    map: Map,
    model: HashMap<Vec<u8>, Held>,
    random: Random,
    time: i64,
}

impl Pair {
    fn living(&self, key: &[u8]) -> Option<Held> {
        let living = |held: &&Held| held.deadline.is_none_or(|deadline| deadline > self.time);
        self.model.get(key).filter(living).cloned()
    }

    /// An age, and the deadline that follows from it.
    fn age(&mut self) -> (Age, Option<i64>) {
        let hours = self.random.below(100) as u32;
        match hours {
            0 => (Age::Never, None),
            _ => (Age::Of(hours * HOUR), Some(self.time + i64::from(hours) * HOUR_MS)),
        }
    }

    fn step(&mut self) {
        let number = self.random.below(300);
        let key = vec![number as u8; 1 + (number % 40) as usize * 8];
        let living = self.living(&key);
        let len = [20, 200, 5_000, 30_000][self.random.below(4) as usize];
        let len = self.random.below(len) as usize;
        let value = self.random.bytes(len);
        let (age, deadline) = self.age();
        let held = |deadline| Held { value: value.clone(), is_number: false, deadline };
        match self.random.below(12) {
            0..3 => {
                let placed = self.map.put_for(&key, Value::Bytes(&value), age).unwrap();
                assert_eq!(placed.replaced, living.is_some());
                self.model.insert(key, held(deadline));
            }
            3 => {
                assert_eq!(self.map.put(&key, &value).unwrap().replaced, living.is_some());
                self.model.insert(key, held(None));
            }
            4 => {
                let put = self.map.put_if_for(&key, Value::Bytes(&value), Condition::Absent, age);
                assert_eq!(put.unwrap().is_some(), living.is_none());
                if living.is_none() {
                    self.model.insert(key, held(deadline));
                }
            }
            5 => {
                assert_eq!(self.map.delete(&key), Ok(living.is_some()));
                self.model.remove(&key);
            }
            6 => {
                assert_eq!(self.map.touch(&key, age), Ok(living.is_some()));
                if let Some(living) = living {
                    self.model.insert(key, Held { deadline, ..living });
                }
            }
            7 if living.as_ref().is_none_or(|living| !living.is_number) => {
                let mut whole = living.as_ref().map(|held| held.value.clone()).unwrap_or_default();
                whole.extend_from_slice(&value);
                assert_eq!(self.map.append(&key, &value), Ok(whole.len() as u64));
                let deadline = living.and_then(|held| held.deadline);
                self.model.insert(key, Held { value: whole, is_number: false, deadline });
            }
            8 if living.as_ref().is_none_or(|living| living.is_number) => {
                let (old, deadline) = living.map_or((0, None), |held| {
                    (i64::from_le_bytes(held.value.try_into().unwrap()), held.deadline)
                });
                assert_eq!(self.map.add(&key, 7), Ok(old + 7));
                let value = (old + 7).to_le_bytes().to_vec();
                self.model.insert(key, Held { value, is_number: true, deadline });
            }
            9 => self.time += HOUR_MS * self.random.below(5) as i64,
            _ => {
                assert_eq!(value_of(&self.map, &key), living.as_ref().map(|it| it.value.clone()));
                let uid = self.map.uid(&key).unwrap();
                assert_eq!(uid.is_some(), living.is_some());
            }
        }
    }
}

#[test]
fn random_operations_agree_with_a_plain_map_that_has_a_clock() {
    // Goal: each operation answers as a plain map would, in which keys are gone when their time has
    // come. Method: ages are hours, and it is the test that has hours pass; so how long it takes
    // itself does not matter.
    for (_file, map) in maps("clock-model") {
        let mut pair = Pair { map, model: HashMap::new(), random: Random::from_env(31), time: 0 };
        for step in 0..20_000 {
            set_clock(pair.time);
            pair.step();
            if step % 4_000 == 0 {
                assert_sound(&pair.map);
            }
        }
        for key in pair.model.keys() {
            assert_eq!(value_of(&pair.map, key), pair.living(key).map(|held| held.value));
        }
        pair.map.reap().unwrap();
        let living = pair.model.keys().filter(|key| pair.living(key).is_some()).count();
        assert_eq!(pair.map.size(), living as u64);
        assert_sound(&pair.map);
        set_clock(0);
    }
}
