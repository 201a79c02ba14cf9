//! Changes under a condition, and those that depend on what was there.

use shf_engine::{Change, Condition, Map, OpError, Token};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

fn token(map: &Map, key: &[u8]) -> Token {
    map.get_with_token(key, &mut Vec::new()).unwrap().unwrap_or(Token::ABSENT)
}

#[test]
fn each_condition_decides_as_a_model_says() {
    // Goal: conditional puts and deletes, take and append, are what they say, whatever the key has.
    // Method: seeded calls against a plain map.
    let file = MapFile::new("conditions");
    let map = file.create(1);
    let mut random = Random::from_env(43);
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut held = [0; 2];
    for _ in 0..30_000 {
        let key = random.below(20).to_le_bytes().to_vec();
        let len = [0, 5, 300, 9000][random.below(4) as usize];
        let value = vec![random.below(3) as u8; len];
        let old = model.get(&key).cloned();
        let guess = if random.below(2) == 0 { old.clone() } else { Some(value.clone()) };
        let guess = guess.unwrap_or_default();
        let token =
            if random.below(2) == 0 { token(&map, &key) } else { Token::from_bits(random.next()) };
        let (condition, holds) = match random.below(4) {
            0 => (Condition::Absent, old.is_none()),
            1 => (Condition::Present, old.is_some()),
            2 => (Condition::Value(&guess), old.as_ref() == Some(&guess)),
            _ => (Condition::Token(token), token == self::token(&map, &key)),
        };
        match random.below(4) {
            0 => {
                let put = map.put_if(&key, &value, condition).unwrap();
                assert_eq!(put.map(|put| put.replaced), holds.then_some(old.is_some()));
                held[usize::from(holds)] += 1;
                if holds {
                    model.insert(key.clone(), value);
                }
            }
            1 => {
                let deleted = map.delete_if(&key, condition).unwrap();
                assert_eq!(deleted, holds && old.is_some());
                if deleted {
                    model.remove(&key);
                }
            }
            2 => {
                let mut taken = vec![7; random.below(400) as usize];
                let len = map.take(&key, &mut taken).unwrap();
                assert_eq!(len, old.as_ref().map(Vec::len));
                assert_eq!(taken, model.remove(&key).unwrap_or_default());
            }
            _ => {
                let whole = [old.unwrap_or_default(), value.clone()].concat();
                if whole.len() < 30_000 {
                    assert_eq!(map.append(&key, &value), Ok(whole.len() as u64));
                    model.insert(key.clone(), whole);
                }
            }
        }
        assert_eq!(get(&map, &key).as_ref(), model.get(&key));
    }
    assert!(held[0] > 1000 && held[1] > 1000, "{held:?}");
    assert_sound(&map);
}

#[test]
fn a_token_is_spent_by_every_change() {
    let file = MapFile::new("tokens");
    let map = file.create(1);
    let key = b"key";
    map.put(key, b"a").unwrap();
    let first = token(&map, key);
    assert_eq!(token(&map, key), first, "a get changes nothing");
    map.put(b"other", b"x").unwrap();
    assert_eq!(token(&map, key), first, "nor does another key");
    map.put(key, b"b").unwrap();
    map.put(key, b"a").unwrap();
    assert_ne!(token(&map, key), first, "the same value again");
    assert_eq!(map.put_if(key, b"c", Condition::Token(first)), Ok(None));
    let second = token(&map, key);
    map.delete(key).unwrap();
    map.put(key, b"a").unwrap();
    assert_ne!(token(&map, key), second, "another life");
    map.add(b"n", 5).unwrap();
    let five = token(&map, b"n");
    map.add(b"n", 1).unwrap();
    map.add(b"n", -1).unwrap();
    assert_ne!(token(&map, b"n"), five, "the same sum again");
    assert_eq!(map.put_if(b"n", b"c", Condition::Token(five)), Ok(None));
    assert!(map.put_if(b"n", b"c", Condition::Token(token(&map, b"n"))).unwrap().is_some());
    assert!(map.put_if(b"new", b"c", Condition::Token(Token::ABSENT)).unwrap().is_some());
    assert_eq!(map.put_if(b"new", b"c", Condition::Token(Token::ABSENT)), Ok(None));
}

#[test]
fn a_token_outlives_what_moves_the_record() {
    // Goal: compaction, splits and merges are no change of a key.
    let file = MapFile::new("tokens-moved");
    let map = file.create(1);
    let mut random = Random::from_env(44);
    for key in 0..3000u64 {
        map.put(&key.to_le_bytes(), &random.bytes(40)).unwrap();
    }
    let tokens: Vec<Token> = (0..100u64).map(|key| token(&map, &key.to_le_bytes())).collect();
    let moved = map.stats().moved_records;
    for _ in 0..60_000 {
        let len = 10 + random.below(150) as usize;
        map.put(&(100 + random.below(2900)).to_le_bytes(), &random.bytes(len)).unwrap();
    }
    for key in 100..3000u64 {
        map.delete(&key.to_le_bytes()).unwrap();
    }
    assert!(map.stats().moved_records > moved + 1000);
    for (key, before) in (0..100u64).zip(tokens) {
        assert_eq!(token(&map, &key.to_le_bytes()), before);
    }
}

#[test]
fn what_fails_its_condition_in_a_full_map_is_no_lack_of_space() {
    let file = MapFile::new("conditions-full");
    let map = file.create_with(1, 256 << 10);
    let keys = (0..).take_while(|key: &u64| map.put(&key.to_le_bytes(), &[1; 200]).is_ok()).count();
    assert!(keys > 100);
    let key = 3u64.to_le_bytes();
    assert_eq!(map.put_if(&key, &[2; 100_000], Condition::Absent), Ok(None));
    assert!(matches!(
        map.put_if(b"new", &[2; 100_000], Condition::Absent),
        Err(OpError::NoSpace { .. })
    ));
    let mut value = Vec::new();
    assert_eq!(map.take(&key, &mut value), Ok(Some(200)), "a take frees");
}

#[test]
fn an_append_to_another_type_is_refused() {
    let file = MapFile::new("append-types");
    let map = file.create(1);
    map.add_number::<u64>(b"n", 5).unwrap();
    let expected = OpError::WrongType { expected: "bytes", found: "unsigned integer" };
    assert_eq!(map.append(b"n", b"x"), Err(expected));
    map.put_value(b"t", shf_engine::Value::Text("ä")).unwrap();
    let expected = OpError::WrongType { expected: "bytes", found: "text" };
    assert_eq!(map.append(b"t", b"\xff"), Err(expected));
    assert_eq!(map.append(b"t", "ö".as_bytes()), Ok(4));
    let mut text = String::new();
    assert_eq!((map.text(b"t", &mut text), &text[..]), (Ok(true), "äö"));
}

#[test]
fn updates_of_many_processes_lose_nothing() {
    // Goal: P6 for `update`, which works outside of any lock. Method: processes count in decimal,
    // in values of changing length, beside ones that put other keys of the shard.
    let file = MapFile::new("updates");
    let map = file.create(1);
    const EACH: u64 = 3000;
    let count = |map: &Map| {
        map.update(b"count", |old, new| {
            let old: u64 =
                old.map_or(0, |old| str::from_utf8(old).unwrap().trim().parse().unwrap());
            new.extend_from_slice((old + 1).to_string().as_bytes());
            new.resize(new.len() + old as usize % 50, b' ');
            Change::Put
        })
    };
    let children: Vec<_> = (0..4)
        .map(|_| {
            process::spawn(|| {
                let map = file.open();
                (0..EACH).all(|_| count(&map).is_ok())
            })
        })
        .collect();
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    let total = String::from_utf8(get(&map, b"count").unwrap()).unwrap();
    assert_eq!(total.trim(), (4 * EACH).to_string());
}

#[test]
fn an_update_runs_again_when_the_key_changed_and_may_use_the_map_or_panic() {
    let file = MapFile::new("update");
    let map = file.create(1);
    map.put(b"key", b"1").unwrap();
    let mut runs = Vec::new();
    let done = map.update(b"key", |old, new| {
        runs.push(old.map(<[u8]>::to_vec));
        if runs.len() == 1 {
            map.put(b"key", b"2").unwrap();
        }
        new.extend_from_slice(b"3");
        Change::Put
    });
    assert_eq!(done, Ok(Change::Put));
    assert_eq!(runs, [Some(b"1".to_vec()), Some(b"2".to_vec())]);
    assert_eq!(get(&map, b"key"), Some(b"3".to_vec()));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        map.update(b"key", |_, _| panic!("in the middle"))
    }));
    assert!(panicked.is_err());
    assert_eq!(get(&map, b"key"), Some(b"3".to_vec()));
    assert_eq!(map.update(b"key", |_, _| Change::Keep), Ok(Change::Keep));
    assert_eq!(map.update(b"key", |_, _| Change::Delete), Ok(Change::Delete));
    assert_eq!(get(&map, b"key"), None);
    map.add(b"n", 1).unwrap();
    let expected = OpError::WrongType { expected: "bytes", found: "integer" };
    assert_eq!(map.update(b"n", |_, _| Change::Delete), Err(expected));
}

#[test]
fn of_many_takers_one_gets_each_value() {
    let file = MapFile::new("takers");
    let map = file.create(2);
    const KEYS: u64 = 20_000;
    (0..KEYS).for_each(|key| _ = map.put(&key.to_le_bytes(), &[1; 20]).unwrap());
    let board = shf_tests::board::Board::new();
    let children: Vec<_> = (0..3)
        .map(|number| {
            let (file, board) = (&file, &board);
            process::spawn(move || {
                let (map, mut value) = (file.open(), Vec::new());
                let mine = (0..KEYS)
                    .filter(|key| map.take(&key.to_le_bytes(), &mut value).unwrap().is_some());
                board.set(number, mine.count() as u64);
                true
            })
        })
        .collect();
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    assert_eq!((0..3).map(|number| board.get(number)).sum::<u64>(), KEYS);
    assert_eq!(map.size(), 0);
}
