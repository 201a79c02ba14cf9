//! The index shrinks with its map: tables merge, index pages go back to the file system.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::{crash, grace};
use shf_engine::{Map, OpError};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End, Stopping};
use shf_tests::{Random, assert_sound};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Has index pages rest for so long, for as long as the guard lives: all tests of a process have
/// the same rest.
fn rest(milliseconds: u32) -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    grace::set_rest(milliseconds);
    guard
}

/// Longer than any test.
const LONG: u32 = u32::MAX / 4;

/// A map of its own.
fn create(what: &str, shards: u32, max_bytes: u64) -> (MapFile, Map) {
    let file = MapFile::new(&format!("shrink-{what}"));
    let map = file.create_with(shards, max_bytes);
    (file, map)
}

fn assert_real_is_known(file: &MapFile, map: &Map) {
    let real_bytes = file.real_bytes();
    assert_eq!(real_bytes, map.stats().committed_bytes);
}

#[test]
fn a_map_that_grows_and_shrinks_again_and_again_is_the_model() {
    // Goal: the map against a plain map while tables split and merge. Method: waves of puts and
    // deletes of small keys, in windows whose slots have many bits to spare, few, and none.
    let _guard = rest(0);
    for (what, max_bytes) in [("small", 4 << 20), ("large", 24 << 20), ("largest", 200 << 20)] {
        let (file, map) = create(what, 1, max_bytes);
        let mut random = Random::from_env(21);
        let mut model: HashMap<u64, u64> = HashMap::new();
        let mut most_tables = 0;
        for wave in 0..6u64 {
            let keys = 4000 + random.below(26_000);
            for number in 0..keys {
                let value = random.next();
                map.put(&key(number), &value.to_le_bytes()).unwrap();
                model.insert(number, value);
            }
            assert_sound(&map);
            most_tables = most_tables.max(map.stats().tables);
            let kept = 1 + random.below(60);
            for number in (0..30_000).filter(|number| number % kept != wave % kept) {
                let there = model.remove(&number).is_some();
                assert_eq!(map.delete(&key(number)), Ok(there), "{number}");
            }
            assert_sound(&map);
            assert_real_is_known(&file, &map);
            let mut seen = HashMap::new();
            map.for_each(&mut |key, value| {
                let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
                seen.insert(word(key), word(value)).is_none()
            })
            .unwrap();
            assert_eq!(seen, model);
            let mut found = Vec::new();
            for number in 0..30_000 {
                let there = map.get(&key(number), &mut found).unwrap();
                let expected = model.get(&number).map(|value| value.to_le_bytes().to_vec());
                assert_eq!(there.then_some(&found), expected.as_ref(), "{number}");
            }
            let tables = map.stats().tables;
            // As sparse as the least that is kept, and some tables whose neighbours are not split
            // alike.
            let least = model.len() as u64 / 150 + 4;
            assert!(tables <= least, "{what}: {tables} tables for {} keys", model.len());
        }
        assert!(most_tables > 30);
    }
}

#[test]
fn the_index_of_an_emptied_map_is_a_few_pages() {
    // Goal: nothing is left of a large index, after deletes and after a clear.
    let _guard = rest(0);
    for clears in [false, true] {
        let (file, map) = create("emptied", 4, 64 << 20);
        for number in 0..200_000 {
            map.put(&key(number), b"").unwrap();
        }
        assert!(map.stats().tables > 400);
        let grown = map.stats().committed_bytes;
        if clears {
            assert_eq!(map.clear(), Ok(200_000));
        } else {
            (0..200_000).for_each(|number| assert_eq!(map.delete(&key(number)), Ok(true)));
        }
        // What deletes have left, later operations do.
        for number in 0..2000 {
            map.put(&key(number % 16), b"").unwrap();
        }
        assert_sound(&map);
        assert_real_is_known(&file, &map);
        let stats = map.stats();
        assert!(stats.tables <= 4, "{} tables", stats.tables);
        let index_bytes = (grown - stats.committed_bytes) / 4096;
        assert!(index_bytes > 380, "only {index_bytes} pages given back");
    }
}

#[test]
fn a_map_that_only_gets_puts_after_a_mass_deletion_shrinks() {
    // Goal: what is left over when the deletes end is done by overwrites of a few keys. Method: a
    // rest that does not end before the deletes do.
    let _guard = rest(LONG);
    let (file, map) = create("puts", 1, 16 << 20);
    (0..50_000).for_each(|number| _ = map.put(&key(number), b"").unwrap());
    (0..49_000).for_each(|number| assert_eq!(map.delete(&key(number)), Ok(true)));
    let before = map.stats().committed_bytes;
    grace::set_rest(0);
    for number in 0..200 {
        map.put(&key(49_000 + number % 4), b"").unwrap();
    }
    let given_back = (before - map.stats().committed_bytes) / 4096;
    assert!(given_back > 80, "{given_back} pages");
    assert_sound(&map);
    assert_real_is_known(&file, &map);
}

#[test]
fn index_pages_rest_before_they_are_given_back() {
    let _guard = rest(LONG);
    let (_file, map) = create("rest", 1, 16 << 20);
    (0..30_000).for_each(|number| _ = map.put(&key(number), b"").unwrap());
    let before = map.stats();
    (0..30_000).for_each(|number| assert_eq!(map.delete(&key(number)), Ok(true)));
    assert!(map.stats().tables < before.tables / 20);
    assert_eq!(map.stats().committed_bytes, before.committed_bytes);
    grace::set_rest(0);
    (0..100).for_each(|_| _ = map.put(b"", b"").unwrap());
    assert!(map.stats().committed_bytes < before.committed_bytes);
}

#[test]
fn tables_merge_in_a_full_map() {
    // Goal: deletes need no memory, so the index of a full map shrinks, and what it gave back is of
    // use to others.
    let _guard = rest(0);
    let (file, map) = create("full", 1, 2 << 20);
    let mut keys = 0;
    loop {
        match map.put(&key(keys), b"") {
            Ok(_) => keys += 1,
            Err(OpError::NoSpace { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let full = map.stats();
    (0..keys).for_each(|number| assert_eq!(map.delete(&key(number)), Ok(true)));
    let emptied = map.stats();
    assert!(emptied.tables <= 2 && full.tables > 40, "{emptied:?}");
    assert!(emptied.committed_bytes < full.committed_bytes - 40 * 4096);
    assert_sound(&map);
    assert_real_is_known(&file, &map);
    let again = (0..).take_while(|number| map.put(&key(*number), b"").is_ok()).count() as u64;
    assert!(again >= keys - keys / 50, "{again} of {keys}");
}

#[test]
fn a_walk_beside_merges_and_splits_sees_what_is_there_all_the_time() {
    // Goal: what `for_each` promises, while tables merge under its cursor, and split. Method:
    // whoever is visited deletes or puts many other keys of the map.
    let _guard = rest(0);
    let (_file, map) = create("walk", 1, 16 << 20);
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let (stay, all) = (600, 24_000u64);
        (0..all).for_each(|number| _ = map.put(&key(number), b"").unwrap());
        let (mut next, mut begin) = (stay, random.below(stay));
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        let before = map.stats();
        let mut least = before.tables;
        map.for_each(&mut |bytes, _| {
            let number = u64::from_le_bytes(bytes.try_into().unwrap());
            *seen.entry(number).or_default() += 1;
            begin = begin.saturating_sub(1);
            // Down, and up again.
            for _ in 0..if begin == 0 { 120 } else { 0 } {
                if next < all {
                    map.delete(&key(next)).unwrap();
                } else if next < 2 * all {
                    map.put(&key(next), b"").unwrap();
                }
                next += 1;
            }
            least = least.min(map.stats().tables);
            true
        })
        .unwrap();
        for number in 0..stay {
            assert!(seen.contains_key(&number), "seed {seed}: {number} was not seen");
        }
        assert!(least < before.tables / 8, "{least} of {}", before.tables);
        assert_sound(&map);
        map.clear().unwrap();
    }
}

#[test]
fn a_clear_beside_its_own_merges_deletes_every_key() {
    let _guard = rest(0);
    let (_file, map) = create("clear", 2, 16 << 20);
    for round in 1..5u64 {
        let keys = 9000 * round;
        (0..keys).for_each(|number| _ = map.put(&key(number), b"").unwrap());
        assert_eq!(map.clear(), Ok(keys));
        assert_eq!(map.size(), 0);
        assert_sound(&map);
    }
}

#[test]
fn keys_that_collide_do_not_make_tables_split_and_merge_in_turns() {
    // Goal: hysteresis where only three buckets are in use. Method: keys of one bucket split
    // tables; then one after the other goes and comes back.
    let _guard = rest(0);
    let (_file, map) = create("collide", 1, 4 << 20);
    let secret = shf_tests::secret();
    let home = |key: &[u8; 8]| shf_engine::hash::Hash::of(key, secret).bucket() == 9;
    let keys: Vec<_> = (0u64..).map(u64::to_le_bytes).filter(home).take(400).collect();
    for key in &keys {
        map.put(key, b"").unwrap();
    }
    let splits = map.stats().splits;
    for key in &keys {
        map.delete(key).unwrap();
        // Each looks at two tables that could merge.
        (0..60).for_each(|_| _ = map.put(b"another", b"").unwrap());
        map.put(key, b"").unwrap();
    }
    let more = map.stats().splits - splits;
    assert!(more <= 2, "{more} splits");
    assert_sound(&map);
}

/// A value that tells its length: any mixture of two is noticed.
fn whole(number: u8) -> Vec<u8> {
    vec![number; 24 + number as usize % 6]
}

#[test]
fn a_reader_whose_table_is_merged_before_its_copy_is_not_fooled() {
    // Goal: a page that was vacated says what it said before, but nobody believes it. Method: a
    // child stops between two entries of the directory, with a reference, or with a record in its
    // hand; its table merges, the record's memory is used again.
    let _guard = rest(LONG);
    for (sample, look) in (0..3000).step_by(125).zip((1..=3).cycle()) {
        let (file, map) = create("reader", 1, 16 << 20);
        (0..3000).for_each(|number| _ = map.put(&key(number), &whole(1)).unwrap());
        let child = process::spawn(|| {
            let reader = file.open_read_only();
            crash::arm_look(look);
            let mut found = Vec::new();
            assert_eq!(reader.get(&key(sample), &mut found), Ok(true));
            assert_eq!(found, whole(found[0]), "a torn value");
            true
        });
        assert_eq!(process::wait_for_stop(child), None);
        let reader = Stopping::new(child);
        for number in (0..3000).filter(|number| *number != sample) {
            assert_eq!(map.delete(&key(number)), Ok(true));
        }
        assert_eq!(map.stats().tables, 1);
        for number in 2..200u8 {
            map.put(&key(sample), &whole(number)).unwrap();
            map.put(&key(5000 + u64::from(number)), &whole(1)).unwrap();
        }
        reader.go_on();
        assert_eq!(reader.wait(), End::Exited(0), "key {sample}, look {look}");
    }
}
