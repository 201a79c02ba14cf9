//! Frozen maps: freezing, snapshots beside writers, verifying and restoring.

use shf_engine::range::Elements;
use shf_engine::{Age, Map, OpError, OpenError, Options, Uid, Value};
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::mount::{over_maps, over_read_only_maps};
use shf_tests::process;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub type Contents = BTreeMap<Vec<u8>, (Vec<Vec<u8>>, u32, Option<Duration>)>;

/// All that a map has: of each key its value, or the elements of its list, its type, and how long
/// it lives, in whole hours.
pub fn contents(map: &Map) -> Contents {
    let (mut contents, mut elements) = (Contents::new(), Elements::new());
    map.for_each_with(b"", &mut |pair| {
        let left = map.time_left(pair.key).unwrap().unwrap();
        let left = left.map(|left| Duration::from_secs((left.as_secs() + 1800) / 3600));
        let mut values = vec![pair.value.to_vec()];
        if map.range(pair.key, 0, i64::MAX, &mut elements).is_ok() {
            values = elements.iter().map(<[u8]>::to_vec).collect();
        }
        let kind = pair.kind as u32;
        assert!(contents.insert(pair.key.to_vec(), (values, kind, left)).is_none());
        true
    })
    .unwrap();
    contents
}

/// A file of a map that is made by the name of another one.
pub fn beside(file: &MapFile, what: &str) -> MapFile {
    MapFile::new(&format!("{what}-of-{}", file.name()))
}

/// Fills a map with all kinds of keys and values, and replaces and deletes some.
fn fill(map: &Map, random: &mut Random, keys: u64) {
    for number in 0..keys {
        let key = match number % 7 {
            0 => [&number.to_le_bytes()[..], &random.bytes(300)].concat(),
            _ => number.to_le_bytes().to_vec(),
        };
        let len = random.below(200) as usize;
        match random.below(12) {
            0 => drop(map.add(&key, number as i64).unwrap()),
            1 => drop(map.put_value(&key, Value::Text("text")).unwrap()),
            2 => {
                drop(map.put_for(&key, Value::Bytes(b"aged"), Age::Of(Duration::from_secs(36_000))))
            }
            3 => {
                for _ in 0..random.below(5) + 1 {
                    map.push(&key, &random.bytes(len)).unwrap();
                }
                map.unshift(&key, b"first").unwrap();
            }
            4 => drop(map.put(&key, &random.bytes(20_000)).unwrap()),
            5 => {
                map.put(&key, b"short-lived").unwrap();
                map.delete(&key).unwrap();
            }
            _ => drop(map.put(&key, &random.bytes(len)).unwrap()),
        }
        if random.below(4) == 0 {
            map.put(&key, &random.bytes(len)).unwrap();
        }
    }
}

#[test]
fn a_frozen_map_has_all_that_was_there_under_the_same_names_and_nobody_writes_to_it() {
    // Goal: gets, walks, lists, ages, types and UIDs are as before, with one frozen shard and with
    // several. Method: a map of all kinds, compared before and after; every way to write.
    let _watchdog = Watchdog::new("freezing");
    let mut random = Random::from_env(1);
    for (shards, keys) in [(1, 0), (1, 500), (256, 700), (64, 30_000)] {
        let file = MapFile::new("frozen");
        let mut map = file.create_with(shards, 1 << 30);
        fill(&map, &mut random, keys);
        let before = contents(&map);
        let uids: Vec<(Vec<u8>, Uid)> =
            before.keys().map(|key| (key.clone(), map.uid(key).unwrap().unwrap())).collect();
        let size = map.size();
        map.freeze().unwrap();
        assert!(map.is_frozen() && map.is_read_only());
        assert_eq!(contents(&map), before, "{shards} {keys}");
        assert_eq!(map.size(), size);
        assert_eq!(map.verify(), Ok(vec![]));
        for (key, uid) in uids {
            assert_eq!(map.uid(&key), Ok(Some(uid)));
            let mut found = Vec::new();
            assert!(map.key_of_uid(uid, &mut found).unwrap().is_some());
            assert_eq!(found, key);
        }
        assert_eq!(map.contains(b"never put"), Ok(false));
        assert_eq!(map.put(b"key", b"value"), Err(OpError::ReadOnly));
        assert_eq!(map.delete(b"key"), Err(OpError::ReadOnly));
        let path = file.path();
        let opened = Map::open(file.folder(), file.name(), &Options::default());
        assert_eq!(opened.err(), Some(OpenError::Frozen { path: path.clone() }));
        let created = Map::create(file.folder(), file.name(), &Options::default());
        assert_eq!(created.err(), Some(OpenError::AlreadyExists { path }));
        assert_eq!(contents(&file.open_read_only()), before);
        assert_eq!(file.real_bytes() % 4096, 0);
    }
}

#[test]
fn a_frozen_file_takes_little_more_than_its_records() {
    // Goal: the smallest file, also of a map of many shards. Method: sizes of the file against the
    // bytes of the records, which are multiples of 8.
    let file = MapFile::new("small");
    let mut map = file.create_with(256, 1 << 30);
    for key in 0..3u64 {
        map.put(&key.to_le_bytes(), b"value").unwrap();
    }
    map.freeze().unwrap();
    let bytes = std::fs::metadata(file.path()).unwrap().len();
    assert!(bytes <= 7 * 4096, "{bytes}");
    drop(map);
    std::fs::remove_file(file.path()).unwrap();
    let mut map = file.create_with(256, 1 << 30);
    let keys = 8_000u64;
    for round in 0..3u64 {
        for key in 0..keys {
            map.put(&key.to_le_bytes(), &[round as u8; 24][..(key % 8 + 8 + round) as usize])
                .unwrap();
        }
    }
    let before = file.real_bytes();
    map.freeze().unwrap();
    let (bytes, real) = (std::fs::metadata(file.path()).unwrap().len(), file.real_bytes());
    let records: u64 = (0..keys).map(|key| 8 + 8 + (key % 8 + 10).next_multiple_of(8)).sum();
    println!("{keys} keys: {before} bytes before, {bytes} frozen ({real} real), records {records}");
    assert!(real <= records + records / 2, "{real} {records}");
}

/// The version that each of some numbered keys has: text and number say the same.
fn versions(map: &Map, keys: u64) -> Vec<i64> {
    (0..keys)
        .map(|key| {
            let mut value = Vec::new();
            assert!(map.get(&key.to_le_bytes(), &mut value).unwrap(), "{key}");
            i64::from_le_bytes(value[..8].try_into().unwrap())
        })
        .collect()
}

/// Ends the writers, also of a test that fails.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_snapshot_has_of_a_shard_what_was_there_at_one_moment() {
    // Goal: consistency beside writers that never pause. Method: a writer gives all keys of a shard
    // the next version, one after the other, by puts of changing sizes, by additions in place, or
    // by a put and a delete in turn; another one keeps a queue of consecutive numbers. In a
    // snapshot the versions fall once, by one, on the way from the first key to the last.
    const KEYS: u64 = 3000;
    let _watchdog = Watchdog::new("snapshots");
    let file = MapFile::new("moment");
    let map = file.create_with(1, 256 << 20);
    for key in 0..KEYS {
        match key % 3 {
            0 => drop(map.add(&key.to_le_bytes(), 0).unwrap()),
            _ => drop(map.put(&key.to_le_bytes(), &0u64.to_le_bytes()).unwrap()),
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&over);
        scope.spawn(|| {
            let mut version = 1u64;
            while !over.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let name = key.to_le_bytes();
                    let more = vec![7; (version * 13 + key) as usize % 60 + 8];
                    let large = vec![7; 18_000];
                    let value = if key % 500 == 1 { &large } else { &more };
                    match key % 3 {
                        0 => drop(map.add(&name, 1).unwrap()),
                        _ => drop(
                            map.put(&name, &[&version.to_le_bytes()[..], value].concat()).unwrap(),
                        ),
                    }
                }
                version += 1;
            }
        });
        scope.spawn(|| {
            let mut number = 0u64;
            while !over.load(Ordering::Relaxed) {
                map.push(b"queue", &number.to_le_bytes()).unwrap();
                number += 1;
                if !number.is_multiple_of(50) {
                    map.shift(b"queue", &mut Vec::new()).unwrap();
                }
            }
        });
        for round in 0..12 {
            let copy = beside(&file, &format!("copy{round}"));
            let snapshot = map.snapshot(copy.folder(), copy.name()).unwrap();
            let frozen = copy.open_read_only();
            assert_eq!(frozen.verify(), Ok(vec![]));
            assert_eq!(snapshot.keys, frozen.size());
            let found = versions(&frozen, KEYS);
            let falls = found.windows(2).filter(|pair| pair[0] != pair[1]).count();
            let (first, last) = (found[0], found[KEYS as usize - 1]);
            assert!(falls <= 1 && (first == last || first == last + 1), "{falls} {first} {last}");
            let mut queue = Elements::new();
            frozen.range(b"queue", 0, i64::MAX, &mut queue).unwrap();
            let numbers: Vec<u64> =
                queue.iter().map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
        }
    });
    assert_sound(&map);
}

#[test]
fn what_is_restored_is_what_was_frozen_whatever_the_options_are() {
    // Goal: values, types, lists and ages come back, in maps of other shards, durable, evicting,
    // and with an age of its own for new keys. Method: contents before and after.
    let _watchdog = Watchdog::new("restoring");
    let mut random = Random::from_env(2);
    let (file, copy) = (MapFile::new("origin"), MapFile::new("copy"));
    let map = file.create_with(16, 1 << 30);
    fill(&map, &mut random, 5_000);
    let before = contents(&map);
    map.snapshot(copy.folder(), copy.name()).unwrap();
    map.clear().unwrap();
    for options in [
        Options { shards: Some(1), ..Options::default() },
        Options { durable: Some(true), ..Options::default() },
        Options { evict: true, ..Options::default() },
        Options { default_age: Some(Duration::from_millis(1)), ..Options::default() },
    ] {
        let back = MapFile::new("back");
        let options = Options { max_bytes: Some(1 << 30), ..options };
        let from = (copy.folder(), copy.name());
        let restored = Map::restore(from, back.folder(), back.name(), &options).unwrap();
        assert_eq!(contents(&restored), before, "{options:?}");
        assert_sound(&restored);
        assert_eq!(restored.default_age(), options.default_age);
        assert!(!restored.put(b"new", b"value").unwrap().replaced);
        let again = Map::restore(from, back.folder(), back.name(), &options);
        assert_eq!(again.err(), Some(OpenError::AlreadyExists { path: back.path() }));
    }
    let from = (file.folder(), file.name());
    let live = Map::restore(from, file.folder(), "shf-test-nothing", &Options::default());
    assert_eq!(live.err(), Some(OpenError::NotFrozen { path: file.path() }));
}

#[test]
fn a_snapshot_replaces_an_older_one_and_nothing_else() {
    // Goal: nothing is lost to a name. Method: snapshots over a frozen map, whose readers keep it,
    // over a live map, over a file that is no map, and over the map itself.
    let (file, copy) = (MapFile::new("source"), MapFile::new("target"));
    let map = file.create(4);
    map.put(b"key", b"old").unwrap();
    map.snapshot(copy.folder(), copy.name()).unwrap();
    let old = copy.open_read_only();
    map.put(b"key", b"new").unwrap();
    map.snapshot(copy.folder(), copy.name()).unwrap();
    let value = |map: &Map| {
        let mut value = Vec::new();
        map.get(b"key", &mut value).unwrap();
        value
    };
    assert_eq!((value(&old), value(&copy.open_read_only())), (b"old".into(), b"new".into()));
    for taken in [&file, &MapFile::new("taken")] {
        if !taken.path().exists() {
            std::fs::write(taken.path(), b"precious").unwrap();
        }
        let refused = map.snapshot(taken.folder(), taken.name());
        assert_eq!(refused, Err(OpenError::AlreadyExists { path: taken.path() }));
    }
    assert_eq!(value(&map), b"new");
    let other = file.open();
    let mut map = map;
    assert_eq!(map.freeze(), Err(OpenError::InUse { path: file.path() }));
    map.put(b"key", b"later").unwrap();
    drop(other);
    map.freeze().unwrap();
    assert_eq!(value(&map), b"later");
}

#[test]
fn large_values_are_copied_while_small_ones_of_their_shard_change_and_none_is_lost() {
    // Goal: a key that nobody changes is in every snapshot, once, whatever writers do beside it.
    // Method: large values in the one shard where a writer replaces large and small ones, so that
    // memory is reused and records move.
    let _watchdog = Watchdog::new("snapshots of large values");
    let file = MapFile::new("large-beside");
    let map = file.create_with(1, 256 << 20);
    let still: Vec<Vec<u8>> = (0..20u8).map(|key| vec![key; 200_000 + key as usize]).collect();
    for (key, value) in still.iter().enumerate() {
        map.put(&[key as u8; 40], value).unwrap();
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&over);
        scope.spawn(|| {
            let mut random = Random::new(5);
            while !over.load(Ordering::Relaxed) {
                let (key, len) = (random.below(300), random.below(60_000) as usize);
                map.put(&key.to_le_bytes(), &vec![7; len]).unwrap();
                map.delete(&random.below(300).to_le_bytes()).unwrap();
            }
        });
        for round in 0..20 {
            let copy = beside(&file, &format!("large{round}"));
            map.snapshot(copy.folder(), copy.name()).unwrap();
            let frozen = copy.open_read_only();
            let mut seen = std::collections::BTreeSet::new();
            frozen.for_each(&mut |key, _| seen.insert(key.to_vec())).unwrap();
            assert_eq!(seen.len() as u64, frozen.size());
            for (key, value) in still.iter().enumerate() {
                let mut found = Vec::new();
                assert!(frozen.get(&[key as u8; 40], &mut found).unwrap(), "{key}");
                assert!(found == *value, "{key}");
            }
        }
    });
}

#[test]
fn nobody_writes_to_a_map_behind_its_freezing() {
    // Goal: no acknowledged write is lost to a file that nobody can open any more. Method: a child
    // that inherited a handle and has not written yet; another one that died with a lock.
    let file = MapFile::new("behind");
    let mut map = file.create(2);
    map.put(b"key", b"value").unwrap();
    let board = Board::new();
    let child = process::spawn(|| {
        board.wait(0);
        map.put(b"key", b"lost") == Err(OpError::ReadOnly)
    });
    let dead = process::spawn(|| {
        let own = file.open();
        own.set_lockable(false).unwrap();
        process::signal(std::process::id() as i32, libc::SIGKILL);
        false
    });
    process::wait(dead);
    map.freeze().unwrap();
    board.set(0, 1);
    assert_eq!(process::wait(child), process::End::Exited(0));
    let opened = Map::open(file.folder(), file.name(), &Options::default());
    assert!(matches!(opened, Err(OpenError::Frozen { .. })));
    assert_eq!(map.contains(b"key"), Ok(true));
}

#[test]
fn a_full_file_system_is_an_error_and_the_map_and_the_older_snapshot_are_as_before() {
    // Goal: P4 for snapshots. Method: a tmpfs with room for a map and one copy of it.
    over_maps(3 << 20, || {
        let (file, copy) = (MapFile::new("full"), MapFile::new("full-copy"));
        let map = file.create_with(2, 64 << 20);
        let value = vec![7; 10_000];
        for key in 0..100u64 {
            map.put(&key.to_le_bytes(), &value).unwrap();
        }
        map.snapshot(copy.folder(), copy.name()).unwrap();
        let before = contents(&map);
        for name in [copy.name(), "another"] {
            let refused = map.snapshot(copy.folder(), name);
            assert!(matches!(refused, Err(OpenError::NoSpace { .. })), "{refused:?}");
        }
        assert_eq!(contents(&copy.open_read_only()), before);
        assert_eq!(std::fs::read_dir(file.folder()).unwrap().count(), 2);
        std::fs::remove_file(copy.path()).unwrap();
        assert!(map.put(b"key", b"value").is_ok());
        assert_sound(&map);
        map.snapshot(copy.folder(), copy.name()).unwrap();
    });
}

#[test]
fn frozen_maps_are_read_from_a_read_only_file_system() {
    // Goal: readers need no permission to write anything. Method: a mount that nobody can write to.
    let file = MapFile::new("read-only");
    let mut map = file.create(4);
    map.put(b"key", b"value").unwrap();
    map.freeze().unwrap();
    over_read_only_maps(|| {
        let frozen = file.open_read_only();
        let mut value = Vec::new();
        assert_eq!(frozen.get(b"key", &mut value), Ok(true));
        assert_eq!((&value[..], frozen.verify()), (&b"value"[..], Ok(vec![])));
        let opened = Map::open(file.folder(), file.name(), &Options::default());
        assert!(matches!(opened, Err(OpenError::PermissionDenied { .. })));
    });
}

/// Reads whatever there is, in every way, whatever that answers.
fn use_all(map: &Map, keys: &[Vec<u8>]) {
    let mut value = Vec::new();
    for key in keys {
        let _ = map.get(key, &mut value);
        let _ = map.range(key, 0, i64::MAX, &mut Elements::new());
        if let Ok(Some(uid)) = map.uid(key) {
            let _ = map.key_of_uid(uid, &mut value);
        }
    }
    let _ = map.for_each(&mut |_, _| true);
    let _ = (map.probe_lengths(), map.stats(), map.size());
}

#[test]
fn forged_frozen_maps_do_no_harm() {
    // Goal: P5 beyond single bits, also where the checksum is not asked for. Method: random words
    // in the headers of shards, in the index and in records.
    let _watchdog = Watchdog::new("forged frozen maps");
    let mut random = Random::from_env(4);
    let file = MapFile::new("forged-frozen");
    let mut map = file.create(64);
    fill(&map, &mut random, 100);
    for key in 100..20_000u64 {
        map.put(&key.to_le_bytes(), b"value").unwrap();
    }
    let keys: Vec<Vec<u8>> = (0..300u64).map(|key| key.to_le_bytes().to_vec()).collect();
    map.freeze().unwrap();
    assert!(map.geometry().shards() > 1);
    let whole = std::fs::read(file.path()).unwrap();
    let header = map.geometry().shard_header(0);
    for round in 0..60u64 {
        let mut bytes = whole.clone();
        for _ in 0..random.below(40) + 1 {
            let at = match random.below(3) {
                0 => header + random.below(3000),
                1 => bytes.len() as u64 - random.below(20 * 4096) - 8,
                _ => header + random.below(bytes.len() as u64 - header - 8),
            } as usize;
            let word = if round % 2 == 0 { random.next() } else { random.below(1 << 16) };
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        std::fs::write(file.path(), &bytes).unwrap();
        use_all(&file.open_read_only(), &keys);
    }
}

#[test]
fn every_damaged_byte_is_named_and_nothing_is_restored_from_it() {
    // Goal: P5 for frozen maps. Method: single bytes changed all over the file.
    let _watchdog = Watchdog::new("damage");
    let mut random = Random::from_env(3);
    let file = MapFile::new("damaged");
    let mut map = file.create(2);
    fill(&map, &mut random, 300);
    let keys: Vec<Vec<u8>> = contents(&map).into_keys().collect();
    map.freeze().unwrap();
    let whole = std::fs::read(file.path()).unwrap();
    for _ in 0..200 {
        let at = random.below(whole.len() as u64) as usize;
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(file.path(), &bytes).unwrap();
        let opened = Map::open_read_only(file.folder(), file.name(), &Options::default());
        let Ok(map) = opened else {
            assert!(at < 128, "{at}");
            continue;
        };
        let wrong = map.verify().unwrap();
        assert_eq!(wrong.is_empty(), at < 4096, "{at}");
        use_all(&map, &keys);
        if at >= 4096 {
            let from = (file.folder(), file.name());
            let restored = Map::restore(from, file.folder(), "shf-test-none", &Options::default());
            assert!(matches!(restored, Err(OpenError::Failed { .. })), "{at}");
        }
    }
}
