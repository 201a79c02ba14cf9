//! Threads on one map in private memory: what Miri, and a machine, make of racing reads and writes.

use shf_base::open::HEAP_SECRET;
use shf_engine::Map;
use shf_engine::hash::Hash;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const KEYS: u64 = if cfg!(miri) { 6 } else { 200 };
const WRITERS: u64 = 2;
const STEPS: u64 = if cfg!(miri) { 25 } else { 100_000 };
/// Bytes of a value's head: key and version.
const HEAD_BYTES: usize = 16;

/// A value that says whose it is and which one, and whose every byte follows from that.
fn value(key: u64, version: u64) -> Vec<u8> {
    let mut random = Random::new(key << 32 | version);
    let len = random.below(if cfg!(miri) { 24 } else { 300 }) as usize;
    [&key.to_le_bytes()[..], &version.to_le_bytes()[..], &random.bytes(len)].concat()
}

/// The version of a value of `key`; panics when it is another key's or torn.
fn version_of(key: u64, found: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(found[at..at + 8].try_into().unwrap());
    assert!(found.len() >= HEAD_BYTES, "key {key}: {} bytes", found.len());
    assert_eq!(word(0), key, "another key's value");
    assert_eq!(found, value(key, word(8)), "key {key}: torn");
    word(8)
}

/// Puts and deletes its own keys, with rising versions.
fn write(map: &Map, writer: u64, mut random: Random) {
    for version in 1..=STEPS {
        let key = random.below(KEYS / WRITERS) * WRITERS + writer;
        if random.below(4) == 0 {
            map.delete(&key.to_le_bytes()).unwrap();
        } else {
            map.put(&key.to_le_bytes(), &value(key, version)).unwrap();
        }
    }
}

/// Gets all keys again and again: whole, its own, and never older than what it saw before.
fn read(map: &Map, mut random: Random, over: &AtomicBool) -> u64 {
    let (mut last, mut found, mut hits) = (vec![0; KEYS as usize], Vec::new(), 0);
    loop {
        let done = over.load(Ordering::Acquire);
        for _ in 0..KEYS {
            let key = random.below(KEYS);
            if map.get(&key.to_le_bytes(), &mut found).unwrap() {
                let version = version_of(key, &found);
                let seen = &mut last[key as usize];
                assert!(version >= *seen, "key {key}: {version} after {seen}");
                *seen = version;
                hits += 1;
            }
        }
        if done {
            return hits;
        }
    }
}

#[test]
fn readers_beside_writers_see_whole_values_that_never_go_back() {
    // Goal: P1 and P6 for threads. Method: two writers, each with keys of its own and rising
    // versions in values that encode key and version; a reader checks every byte.
    let _watchdog = Watchdog::new("readers beside writers");
    let mut random = Random::from_env(6);
    let map = Map::heap(1, if cfg!(miri) { 256 << 10 } else { 64 << 20 }, u64::MAX);
    let over = AtomicBool::new(false);
    let hits = thread::scope(|scope| {
        let seed = Random::new(random.next());
        let reader = scope.spawn(|| read(&map, seed, &over));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (map, random) = (&map, Random::new(random.next()));
                scope.spawn(move || write(map, writer, random))
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    println!("{hits} hits");
    assert_sound(&map);
}

#[test]
fn adds_of_many_threads_all_count() {
    // Goal: P6 for add, the insert of a new counter included. Method: three threads add to the same
    // keys; the sums are known.
    let _watchdog = Watchdog::new("adds of many threads");
    let map = Map::heap(1, if cfg!(miri) { 256 << 10 } else { 64 << 20 }, u64::MAX);
    let (threads, rounds) = (3, if cfg!(miri) { 10 } else { 20_000 });
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for round in 0..rounds {
                    map.add(&(round % 3i64).to_le_bytes(), round).unwrap();
                }
            });
        }
    });
    for key in 0..3i64 {
        let expected: i64 = (0..rounds).filter(|round| round % 3 == key).sum();
        assert_eq!(map.add(&key.to_le_bytes(), 0), Ok(expected * threads));
    }
    assert_sound(&map);
}

#[test]
fn large_values_are_whole_beside_writers_that_use_their_pages_again() {
    // Goal: the reader's protocol for page runs. Method: one key whose large values are one byte
    // repeated, replaced and deleted while another thread reads.
    let _watchdog = Watchdog::new("large values");
    let map = Map::heap(1, if cfg!(miri) { 1 << 20 } else { 64 << 20 }, u64::MAX);
    let rounds: u64 = if cfg!(miri) { 4 } else { 20_000 };
    let len = 17 << 10;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                let pages = if cfg!(miri) { 0 } else { round as usize % 5 * 4096 };
                map.put(b"large", &vec![round as u8; len + pages]).unwrap();
                if round % 7 == 3 {
                    map.delete(b"large").unwrap();
                }
            }
            over.store(true, Ordering::Release);
        });
        let mut found = Vec::new();
        while !over.load(Ordering::Acquire) {
            if map.get(b"large", &mut found).unwrap() {
                assert!(found.len() >= len, "{} bytes", found.len());
                assert!(found == vec![found[0]; found.len()], "torn");
            }
        }
    });
    assert_sound(&map);
}

#[test]
fn a_key_that_was_put_stays_there_while_its_table_splits() {
    // Goal: no reader loses a key on the move. Method: keys that all have one home bucket, so that
    // a few dozen of them split its table again and again; a reader looks for those already put.
    let _watchdog = Watchdog::new("a reader beside splits");
    let count = if cfg!(miri) { 42 } else { 500 };
    let home = |key: &[u8; 8]| Hash::of(key, HEAP_SECRET).bucket() == 0;
    let keys: Vec<[u8; 8]> = (0u64..).map(u64::to_le_bytes).filter(home).take(count).collect();
    for _ in 0..if cfg!(miri) { 1 } else { 50 } {
        let map = Map::heap(1, if cfg!(miri) { 256 << 10 } else { 64 << 20 }, u64::MAX);
        let there = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for (index, key) in keys.iter().enumerate() {
                    map.put(key, key).unwrap();
                    there.store(index + 1, Ordering::Release);
                }
            });
            let mut found = Vec::new();
            loop {
                let put = there.load(Ordering::Acquire);
                // All of them natively; under Miri those that just came and may be about to move.
                for key in &keys[if cfg!(miri) { put.saturating_sub(3) } else { 0 }..put] {
                    assert_eq!(map.get(key, &mut found), Ok(true));
                    assert_eq!(found, key);
                }
                if put == keys.len() {
                    break;
                }
                thread::yield_now();
            }
        });
        assert!(map.stats().splits > 0);
        assert_sound(&map);
    }
}
