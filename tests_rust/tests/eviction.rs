//! Maps that evict: there is always room, whatever the sizes and shards are, and what is used
//! stays.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::open::{self, Access};
use shf_base::{clock, crash};
use shf_engine::hash::Hash;
use shf_engine::place::{Field, Place};
use shf_engine::{Age, Condition, Map, OpError, OpenError, Options, Value};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn has(map: &Map, key: &[u8]) -> bool {
    map.contains(key).unwrap()
}

fn shard_of(map: &Map, key: &[u8]) -> u32 {
    Hash::of(key, shf_tests::secret()).shard_bits() & (map.geometry().shards() - 1)
}

#[test]
fn a_churn_of_changing_sizes_never_finds_the_map_full() {
    // Goal: no false NoSpace. Method: a hundred times the capacity, of sizes that change from phase
    // to phase, in maps of few and of many shards, replaced and deleted now and then.
    for (shards, max_bytes) in [(1, 1 << 20), (16, 4 << 20), (64, 8 << 20)] {
        let file = MapFile::new(&format!("churn-{shards}"));
        let map = file.create_evicting(shards, max_bytes);
        let mut random = Random::from_env(20_261_126);
        let largest = max_bytes / 8;
        let value = random.bytes(largest as usize);
        let mut put_bytes = 0;
        let mut phase = 0;
        while put_bytes < 100 * max_bytes {
            let most = [30, 200, 2_000, 20_000, largest - 8, 1, 600][phase % 7];
            phase += 1;
            let end = put_bytes + 3 * max_bytes;
            let mut operations = 0;
            while put_bytes < end && operations < 60_000 {
                let key = random.below(200_000).to_le_bytes();
                let len = random.below(most + 1);
                operations += 1;
                match random.below(20) {
                    0 => drop(map.delete(&key).unwrap()),
                    1 => drop(map.add(&[&key[..], b"n"].concat(), 1).unwrap()),
                    _ => {
                        let put = map.put(&key, &value[..len as usize]);
                        assert!(put.is_ok(), "{put:?} of {len} bytes: {:?}", map.stats());
                        put_bytes += len + 8;
                    }
                }
            }
            // Whatever it is full of, the largest fit.
            map.put(b"the one", &value[..largest as usize - 7]).unwrap();
            assert!(has(&map, b"the one"));
            assert_sound(&map);
            let stats = map.stats();
            assert!(stats.committed_bytes <= max_bytes, "{stats:?}");
        }
        assert!(map.stats().evicted_keys > 0);
    }
}

#[test]
fn one_shard_may_have_all_memory_and_lose_it_again() {
    // Goal: skew between shards does no harm. Method: all keys in one shard until the map is full;
    // then large ones in each of the others.
    let file = MapFile::new("skew");
    let (shards, max_bytes) = (16, 4 << 20);
    let map = file.create_evicting(shards, max_bytes);
    let mut keys: Vec<Vec<Vec<u8>>> = vec![Vec::new(); shards as usize];
    for number in 0..120_000u32 {
        let key = number.to_le_bytes().to_vec();
        keys[shard_of(&map, &key) as usize].push(key);
    }
    for (shard, keys) in keys.iter().enumerate() {
        for (index, key) in keys.iter().enumerate() {
            map.put(key, &[7; 1000][..500 + index % 500]).unwrap();
        }
        let held = keys.iter().filter(|key| has(&map, key)).count();
        // Of 3.9 MiB, with records of 760 bytes on average, the first shard has nearly all; the
        // others have something like half of an equal share.
        let least = if shard == 0 { 3500 } else { 50 };
        assert!(held > least, "shard {shard} has {held} keys: {:?}", map.stats());
        for other in [0, 5, 15] {
            map.put(
                [&b"large"[..], &[other]].concat().as_slice(),
                &vec![1; (max_bytes / 8 - 6) as usize],
            )
            .unwrap();
        }
    }
    assert_sound(&map);
}

#[test]
fn keys_in_use_survive_a_scan_and_read_only_handles_and_walks_protect_none() {
    let file = MapFile::new("scan");
    let map = file.create_evicting(4, 2 << 20);
    let reader = file.open_read_only();
    let value = [1; 100];
    let number = |kind: u8, number: u32| [&[kind][..], &number.to_le_bytes()].concat();
    let used = |n| number(b'u', n);
    let looked_at = |n| number(b'l', n);
    for n in 0..1000 {
        // Not all of the size that is scanned: as runs are emptied, each needs a block.
        let value = &value[n as usize % 30..];
        map.put(&used(n), value).unwrap();
        map.put(&looked_at(n), value).unwrap();
    }
    // Ten times what the map holds, each key put and never used again.
    for n in 0..120_000 {
        map.put(&number(b's', n), &value).unwrap();
        if n % 10 == 0 {
            assert!(has(&map, &used(n / 10 % 1000)), "{n}");
            let _ = has(&reader, &looked_at(n / 10 % 1000));
        }
        if n % 4000 == 0 {
            map.for_each(&mut |_, _| true).unwrap();
        }
    }
    let left = |key: &dyn Fn(u32) -> Vec<u8>| (0..1000).filter(|&n| has(&reader, &key(n))).count();
    assert_eq!((left(&used), left(&looked_at)), (1000, 0));
    assert_sound(&map);
}

#[test]
fn puts_touches_and_additions_are_uses_as_well() {
    let file = MapFile::new("uses");
    let map = file.create_evicting(1, 1 << 20);
    map.put(b"put", b"a value").unwrap();
    map.put(b"touched", b"another").unwrap();
    map.add(b"count", 0).unwrap();
    for n in 0..100_000u32 {
        map.put(&n.to_le_bytes(), &[0; 100]).unwrap();
        if n % 100 == 0 {
            assert!(map.put(b"put", b"a value").unwrap().replaced, "{n}");
            assert!(map.touch(b"touched", Age::Never).unwrap(), "{n}");
            assert_eq!(map.add(b"count", 1), Ok(i64::from(n) / 100 + 1));
        }
    }
    assert!(!has(&map, &0u32.to_le_bytes()));
    assert_sound(&map);
}

#[test]
fn what_has_expired_goes_before_what_lives() {
    let file = MapFile::new("expired-first");
    let map = file.create_evicting(1, 2 << 20);
    let mortal = |n: u32| [&n.to_le_bytes()[..], b"m"].concat();
    for n in 0..4000u32 {
        map.put_for(&mortal(n), Value::Bytes(&[0; 100]), Age::Of(Duration::from_secs(60))).unwrap();
        map.put(&n.to_le_bytes(), &[0; 100]).unwrap();
    }
    assert_eq!(map.stats().evicted_keys, 0);
    clock::shift(61_000);
    let mut new = 0u32;
    while map.stats().expired_keys < 3000 {
        map.put(&[&new.to_le_bytes()[..], b"new"].concat(), &[0; 100]).unwrap();
        new += 1;
    }
    // Where a look met none that had expired, a living one had to go.
    let evicted = map.stats().evicted_keys;
    assert!(evicted < 3000, "{evicted}");
    clock::shift(0);
    assert_sound(&map);
}

#[test]
fn every_operation_that_needs_memory_gets_it() {
    let file = MapFile::new("operations");
    let map = file.create_evicting(8, 1 << 20);
    let value = vec![3; 5000];
    for n in 0..20_000u32 {
        let key = n.to_le_bytes();
        let len = (n % 50) as usize * 100;
        let uid = map.put(&key, b"").unwrap().uid;
        map.put_uid(uid, &value[..len]).unwrap();
        map.append(&key, &value[..len]).unwrap();
        map.put_if(&key, &value[..len / 2], Condition::Present).unwrap();
        map.put_if(&n.to_be_bytes(), &value[..len], Condition::Absent).unwrap();
        map.put_value(b"text", Value::Text("some")).unwrap();
        map.add_number::<f64>(&[&key[..], b"d"].concat(), 0.5).unwrap();
        map.put_for(
            &[&key[..], b"t"].concat(),
            Value::Bytes(&value[..len]),
            Age::Of(Duration::from_secs(9)),
        )
        .unwrap();
    }
    assert!(map.stats().evicted_keys > 10_000);
    assert_sound(&map);
}

#[test]
fn a_list_that_takes_half_of_the_map_gets_the_largest_element() {
    // Goal: a list does not go for what is pushed to it, nor is it in the way of that. Method: maps
    // full of small keys, to which come elements of one size each until the list has a half,
    // then one of an eighth.
    for (len, share) in [(1, 2), (90, 3), (700, 3), (3500, 3), (9000, 3)] {
        let file = MapFile::new(&format!("evict-list-{len}"));
        let (max_bytes, mut pushed) = (1 << 20, 0);
        let map = file.create_evicting(1, max_bytes);
        for key in 0..20_000u64 {
            map.put(&key.to_le_bytes(), &[1; 50]).unwrap();
        }
        while pushed * (len + 50) < max_bytes / 6 * share {
            pushed += 1;
            assert_eq!(map.push(b"list", &vec![2; len as usize]), Ok(pushed));
        }
        let largest = vec![3; max_bytes as usize / 8 - 40];
        assert_eq!(map.push(b"list", &largest), Ok(pushed + 1), "{len}: {:?}", map.stats());
        assert_eq!(map.unshift(b"list", b"first"), Ok(pushed + 2));
        assert_sound(&map);
    }
}

#[test]
fn a_push_to_a_list_that_fills_its_shard_does_not_walk_over_it() {
    // Goal: P3 for a queue in a cache. Method: a list gets more than its shard's share of a full
    // map, so that its shard holds hardly anything else; the hand does not go round for its pushes.
    let file = MapFile::new("evict-queue");
    let map = file.create_evicting(4, 4 << 20);
    for key in 0..80_000u64 {
        map.put(&key.to_le_bytes(), &[1; 50]).unwrap();
    }
    let turns = || {
        let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        let place = Place::new(&peek.storage, &peek.header, shard_of(&map, b"queue"));
        place.load(Field::Turns)
    };
    for _ in 0..40_000 {
        map.push(b"queue", &[2; 16]).unwrap();
    }
    let before = turns();
    for _ in 0..2000 {
        map.push(b"queue", &[2; 16]).unwrap();
    }
    let gone_round = turns() - before;
    assert!(gone_round < 5, "{gone_round} turns");
    assert_sound(&map);
}

#[test]
fn the_hit_rate_is_at_least_that_of_exact_lru() {
    // Goal: the policy is worth its name. Method: the same requests to the map and to a list in the
    // exact order of use, of as many keys as the map holds; zipf, and zipf with scans in between.
    for scans in [false, true] {
        let file = MapFile::new(&format!("hits-{scans}"));
        let map = file.create_evicting(4, 2 << 20);
        let value = [1; 100];
        for n in 0..40_000u64 {
            map.put(&n.to_le_bytes(), &value).unwrap();
        }
        let capacity = map.size() as usize;
        map.clear().unwrap();
        let mut lru = Lru::new(capacity);
        let zipf = Zipf::new(capacity * 10, 0.9);
        let mut random = Random::from_env(7);
        let (mut hits, mut hits_of_lru, mut scanned) = (0, 0, 1u64 << 40);
        let mut request = |key: u64| {
            hits_of_lru += u32::from(lru.request(key));
            match has(&map, &key.to_le_bytes()) {
                true => hits += 1,
                false => drop(map.put(&key.to_le_bytes(), &value).unwrap()),
            }
        };
        for round in 0..300_000usize {
            request(zipf.draw(&mut random));
            if scans && round % 40_000 == 0 {
                for _ in 0..capacity {
                    scanned += 1;
                    request(scanned);
                }
            }
        }
        assert!(hits >= hits_of_lru, "scans {scans}: {hits} hits, LRU {hits_of_lru}");
        assert_sound(&map);
    }
}

#[test]
fn many_writers_of_a_full_map_all_get_on() {
    let file = MapFile::new("writers");
    let map = file.create_evicting(16, 4 << 20);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let (map, end) = (&map, &end);
            scope.spawn(move || {
                let mut random = Random::new(thread + 1);
                let value = vec![1; 512 << 10];
                while !end.load(Ordering::Relaxed) {
                    let most = if random.below(50) == 0 { (512 << 10) - 8 } else { 3000 };
                    let key = random.below(5000).to_le_bytes();
                    map.put(&key, &value[..random.below(most) as usize]).unwrap();
                    let _ = map.contains(&random.below(5000).to_le_bytes()).unwrap();
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
        end.store(true, Ordering::Relaxed);
    });
    assert_sound(&map);
    assert!(map.stats().evicted_keys > 0);
}

#[test]
fn a_large_value_whose_pages_are_lent_while_it_is_copied_is_never_taken() {
    // Goal: P1 where pages go back without rest. Method: a reader stops at each of its looks, also
    // with the value found and not yet copied; meanwhile its key is deleted, and another shard gets
    // the pages, so that the reader would find zeros.
    let value = vec![7; 900_000];
    for n in 1.. {
        let _watchdog = Watchdog::new("a stopped reader");
        let file = MapFile::new("lent");
        let map = file.create_evicting(4, 8 << 20);
        let key_in = |shard: u32, nth: usize| {
            let keys = (0u32..).map(u32::to_le_bytes);
            keys.filter(|key| shard_of(&map, key) == shard).nth(nth).unwrap()
        };
        let key = key_in(0, 0);
        map.put(&key, &value).unwrap();
        let child = process::spawn(|| {
            let reader = file.open_read_only();
            crash::arm_look(n);
            let mut found = Vec::new();
            match reader.get(&key, &mut found) {
                Ok(there) => !there || found == value,
                Err(error) => error == OpError::Busy,
            }
        });
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0));
            assert!(n > 2, "the reader looks {} times", n - 1);
            break;
        }
        let reader = Stopping::new(child);
        for nth in 0..4 {
            map.put(&key_in(2, nth), &value).unwrap();
            map.put(&key_in(3, nth), &value).unwrap();
        }
        map.delete(&key).unwrap();
        for nth in 0..2 {
            map.put(&key_in(1, nth), &value).unwrap();
        }
        reader.go_on();
        assert_eq!(reader.wait(), End::Exited(0), "stopped at look {n}");
    }
}

#[test]
fn wrong_options_and_too_large_values_are_named() {
    let file = MapFile::new("options");
    let create = |options: Options| Map::create(file.folder(), file.name(), &options);
    let options = Options { evict: true, max_bytes: Some(1 << 20), ..Options::default() };
    let wrong = |options: Options| match create(options).map(drop) {
        Err(OpenError::InvalidOption { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(Options { durable: Some(true), ..options.clone() }), "evict");
    assert_eq!(wrong(Options { shards: Some(64), ..options.clone() }), "max_bytes");
    let map = create(options).unwrap();
    let limit_bytes = (1 << 20) / 8;
    let value = vec![0; limit_bytes as usize];
    assert!(map.put(b"", &value).is_ok());
    match map.put(b"k", &value) {
        Err(OpError::TooLarge { needed_bytes, limit_bytes: limit, .. }) => {
            assert_eq!((needed_bytes, limit), (limit_bytes + 1, limit_bytes));
        }
        other => panic!("{other:?}"),
    }
    assert!(has(&map, b""));
}

/// Exact LRU.
struct Lru {
    capacity: usize,
    /// When each key was used, and the key of each moment.
    used: HashMap<u64, u64>,
    keys: BTreeMap<u64, u64>,
    now: u64,
}

impl Lru {
    fn new(capacity: usize) -> Lru {
        Lru { capacity, used: HashMap::new(), keys: BTreeMap::new(), now: 0 }
    }

    /// Whether the key was there; it is then.
    fn request(&mut self, key: u64) -> bool {
        self.now += 1;
        let before = self.used.insert(key, self.now);
        if let Some(before) = before {
            self.keys.remove(&before);
        } else if self.used.len() > self.capacity {
            let (_, oldest) = self.keys.pop_first().unwrap();
            self.used.remove(&oldest);
        }
        self.keys.insert(self.now, key);
        before.is_some()
    }
}

/// Keys by Zipf's law.
struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    fn new(keys: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| (rank as f64).powf(-exponent));
        Zipf {
            sums: weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.below(1 << 52) as f64 / (1u64 << 52) as f64 * self.sums.last().unwrap();
        self.sums.partition_point(|sum| *sum < at) as u64
    }
}
