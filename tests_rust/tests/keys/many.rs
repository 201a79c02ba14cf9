//! Batches answer as the single calls that they stand for, in every case.

use shf_engine::{Map, OpError, Placed, PutManyError};
use shf_tests::map_file::MapFile;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Sizes of batches: around that of a group, and many groups.
const SIZES: [usize; 11] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 1000];

fn key(random: &mut Random, keys: u64) -> Vec<u8> {
    let number = random.below(keys);
    let mut key = number.to_le_bytes().to_vec();
    // Some are long enough to be hashed in pieces, one is empty.
    key.resize([8, 8, 8, 20, 300, 8][(number % 6) as usize], 1);
    key.truncate(if number == 0 { 0 } else { key.len() });
    key
}

fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(30) {
        0 => 0,
        1 => random.below(20_000),
        2 => random.below(6_000),
        _ => random.below(150),
    };
    random.bytes(len as usize)
}

fn pairs(random: &mut Random, count: usize, keys: u64) -> Pairs {
    (0..count).map(|_| (key(random, keys), value(random))).collect()
}

/// Single puts up to the first that fails.
fn put_single(map: &Map, pairs: &Pairs) -> (Vec<Placed>, Option<OpError>) {
    let mut placed = Vec::new();
    for (key, value) in pairs {
        match map.put(key, value) {
            Ok(put) => placed.push(put),
            Err(error) => return (placed, Some(error)),
        }
    }
    (placed, None)
}

/// A batch of puts. Of one type, whatever its parts are: each is compiled for seconds.
fn put_slices<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    map: &Map,
    pairs: &[(K, V)],
    placed: &mut dyn FnMut(usize, Placed),
) -> Result<usize, PutManyError> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    map.put_many(&pairs, placed)
}

/// As that, of gets.
fn get_slices<K: AsRef<[u8]>>(
    map: &Map,
    keys: &[K],
    visit: &mut dyn FnMut(usize, &[u8]),
) -> Result<usize, OpError> {
    let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
    map.get_many(&keys, visit)
}

fn put_many(map: &Map, pairs: &Pairs) -> (Vec<Placed>, Option<OpError>) {
    let mut placed = Vec::new();
    let put = put_slices(map, pairs, &mut |index, put| {
        assert_eq!(index, placed.len(), "in order, each once");
        placed.push(put);
    });
    match put {
        Ok(replaced) => {
            assert_eq!(replaced, placed.iter().filter(|put| put.replaced).count());
            assert_eq!(placed.len(), pairs.len());
            (placed, None)
        }
        Err(PutManyError { done, error }) => {
            assert_eq!(done, placed.len());
            (placed, Some(error))
        }
    }
}

fn get_single(map: &Map, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let get = |key: &Vec<u8>| {
        let mut value = Vec::new();
        map.get(key, &mut value).unwrap().then_some(value)
    };
    keys.iter().map(get).collect()
}

fn get_many(map: &Map, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let (mut values, mut last) = (vec![None; keys.len()], None);
    let found = get_slices(map, keys, &mut |index, value| {
        assert!(last < Some(index), "in order, each once");
        last = Some(index);
        values[index] = Some(value.to_vec());
    });
    assert_eq!(found, Ok(values.iter().flatten().count()));
    values
}

/// The same batches on one map and single calls on another, with deletes in between.
fn agree(batched: &Map, single: &Map, reader: &Map, random: &mut Random, keys: u64, rounds: usize) {
    for round in 0..rounds {
        let size = SIZES[round % SIZES.len()];
        let pairs = pairs(random, size, keys);
        assert_eq!(put_many(batched, &pairs), put_single(single, &pairs), "round {round}");
        for _ in 0..size / 3 {
            let key = key(random, keys);
            assert_eq!(batched.delete(&key), single.delete(&key));
        }
        // Half of them never put.
        let wanted: Vec<_> = (0..size).map(|_| key(random, 2 * keys)).collect();
        let right = get_single(single, &wanted);
        assert!(get_many(batched, &wanted) == right, "round {round}");
        assert!(get_many(reader, &wanted) == right, "round {round}, read-only");
    }
    assert_eq!(batched.size(), single.size());
    assert_sound(batched);
}

#[test]
fn batches_agree_with_single_calls() {
    // Goal: equal answers, positions included, for duplicates, keys that are not there, empty
    // batches and values of every kind. Method: two maps of one secret, the one by batches, the
    // other by single calls; few keys, so that most batches have some twice, or many, so that
    // tables split.
    let mut random = Random::from_env(31);
    for (keys, shards) in [(5, 1), (300, 1), (4000, 4)] {
        for durable in [false, true] {
            let make = |what: &str| {
                let file = MapFile::new(&format!("many-{what}-{keys}-{durable}"));
                let bytes = 64 << 20;
                let create = if durable { MapFile::create_durable } else { MapFile::create_with };
                let map = create(&file, shards, bytes);
                (file, map)
            };
            let ((file, batched), (_other, single)) = (make("batched"), make("single"));
            agree(&batched, &single, &file.open_read_only(), &mut random, keys, 64);
        }
    }
}

#[test]
fn a_batch_through_a_read_only_handle_puts_nothing() {
    let file = MapFile::new("many-read-only");
    let map = file.create(1);
    let put = put_slices(&file.open_read_only(), &[(b"key", b"value")], &mut |_, _| panic!("put"));
    assert_eq!(put, Err(PutManyError { done: 0, error: OpError::ReadOnly }));
    assert_eq!(put_slices::<&[u8], &[u8]>(&file.open_read_only(), &[], &mut |_, _| {}), Ok(0));
    assert_eq!(map.size(), 0);
}

#[test]
fn a_batch_that_a_full_map_ends_has_put_what_was_before() {
    // Goal: those before the first failure are done, those after it are not tried, though they
    // would fit. Method: a batch of several groups and too many keys; then one whose large
    // value in the middle finds no space.
    let map = Map::heap(1, 4 << 20, 1 << 20);
    let batch: Vec<_> = (0..20_000u64).map(|key| (key.to_le_bytes(), [7; 100])).collect();
    let failed = put_slices(&map, &batch, &mut |_, _| {}).unwrap_err();
    println!("{failed}");
    assert!(failed.done > 3000, "{failed}");
    assert!(matches!(failed.error, OpError::NoSpace { .. }), "{failed}");
    assert!(failed.to_string().contains(&failed.done.to_string()), "{failed}");
    assert_eq!(map.size(), failed.done as u64);
    for (key, _) in &batch[..failed.done] {
        assert_eq!(map.contains(key), Ok(true));
    }
    for key in 0..100u64 {
        assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
    }
    let large = vec![8; 500_000];
    let middle: Vec<(&[u8], &[u8])> = vec![(b"a", b"1"), (b"b", &large), (b"c", b"3")];
    let failed = put_slices(&map, &middle, &mut |_, _| {}).unwrap_err();
    assert_eq!(failed.done, 1);
    assert!(matches!(failed.error, OpError::NoSpace { .. }), "{failed}");
    let there = ["a", "b", "c"].map(|key| map.contains(key.as_bytes()));
    assert_eq!(there, [Ok(true), Ok(false), Ok(false)]);
    assert_sound(&map);
}

#[test]
fn a_batch_of_gets_ends_where_it_is_told_to() {
    let map = Map::heap(1, 4 << 20, u64::MAX);
    let keys: Vec<_> = (0..100u64).map(u64::to_le_bytes).collect();
    put_slices(&map, &keys.iter().map(|key| (key, key)).collect::<Vec<_>>(), &mut |_, _| {})
        .unwrap();
    for end in [0, 31, 32, 99] {
        let mut seen = Vec::new();
        map.get_many_to(&keys, &mut Vec::new(), |index, value: &mut Vec<u8>, answer| {
            assert_eq!(answer, Ok(Some(8)));
            seen.push(u64::from_le_bytes(value.as_slice().try_into().unwrap()));
            index < end
        });
        assert!(seen.iter().copied().eq(0..=end as u64), "{seen:?}");
    }
}

#[test]
fn a_visitor_may_use_the_map() {
    // Goal: no lock is held while a value is visited. Method: it changes the key that it is told
    // of.
    let map = Map::heap(1, 4 << 20, u64::MAX);
    let keys: Vec<_> = (0..100u64).map(u64::to_le_bytes).collect();
    put_slices(&map, &keys.iter().map(|key| (key, b"old")).collect::<Vec<_>>(), &mut |_, _| {})
        .unwrap();
    let found = get_slices(&map, &keys, &mut |index, value| {
        assert_eq!(value, b"old");
        map.put(&keys[index], b"new").unwrap();
    });
    assert_eq!(found, Ok(100));
    assert_eq!(get_slices(&map, &keys, &mut |_, value| assert_eq!(value, b"new")), Ok(100));
}

#[test]
fn batches_beside_writers_see_whole_values_that_never_go_back() {
    // Goal: P1 and P6 for the gets of a batch. Method: a writer puts rising versions, in values of
    // changing length whose every byte follows from key and version, by batches and one by one; a
    // reader gets all of them by batches, through a handle that cannot write.
    let _watchdog = Watchdog::new("batches beside a writer");
    const KEYS: u64 = 100;
    let value = |key: u64, version: u64| {
        let head = [key.to_le_bytes(), version.to_le_bytes()].concat();
        let len = [10, 100, 700, 20_000][(Random::new(key ^ version).below(97) % 4) as usize];
        [head, vec![(key + version) as u8; len]].concat()
    };
    let file = MapFile::new("many-beside");
    let (map, reader, over) = (file.create(1), file.open_read_only(), AtomicBool::new(false));
    let (mut batches, mut last) = (0, vec![0; KEYS as usize]);
    thread::scope(|scope| {
        scope.spawn(|| {
            for version in 1..2000 {
                let pair = |key: u64| (key.to_le_bytes(), value(key, version));
                let pairs: Vec<_> = (version % 3..KEYS).step_by(3).map(pair).collect();
                if version % 2 == 0 {
                    put_slices(&map, &pairs, &mut |_, _| {}).unwrap();
                } else {
                    pairs.iter().for_each(|(key, value)| _ = map.put(key, value).unwrap());
                }
            }
            over.store(true, Ordering::Release);
        });
        let keys: Vec<_> = (0..KEYS).map(u64::to_le_bytes).collect();
        while !over.load(Ordering::Acquire) {
            let found = get_slices(&reader, &keys, &mut |index, found| {
                let version = u64::from_le_bytes(found[8..16].try_into().unwrap());
                assert!(found == value(index as u64, version), "key {index}: torn");
                assert!(version >= last[index], "key {index}: {version} after {}", last[index]);
                last[index] = version;
            });
            assert!(matches!(found, Ok(_) | Err(OpError::Busy)), "{found:?}");
            batches += 1;
        }
    });
    println!("{batches} batches, {} looks again", reader.stats().retries);
    assert!(batches > 10, "{batches}");
    assert_sound(&map);
}
