//! No operation pays for the size of the map: every store into shared memory is counted, in maps of
//! rising size.
#![cfg(feature = "crash-points")]

use shf_base::clock;
use shf_base::crash;
use shf_base::grace;
use shf_base::open::HEAP_SECRET;
use shf_engine::class::SMALL_BYTES_MAX;
use shf_engine::hash::Hash;
use shf_engine::table::{BUCKETS, REACH};
use shf_engine::{Age, Elements, Map, OpError, Value};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Steps (stores into shared memory, changes of the file's extent) that one operation may take. A
/// split is the longest: it fills a page, empties another, and may clear a page of directory
/// entries (1024 steps); beside it a put moves up to eight records and frees a run.
const STEPS_MAX: u64 = 3_000;
/// Steps of a put into a map that is full and half dead: it may move the records of 256 pages and a
/// run, 272 pages, down (`squeeze`), each word of them a step, and some 25 more for each record.
/// With 16-byte records, half of them dead, a put that finds no room does most; 100-byte ones take
/// a fifth.
const FULL_STEPS_MAX: u64 = 272 * 4096 / 32 * 32;
/// Steps of a put that finds no memory where keys have expired: it may reap eight tables of them,
/// each by an intent of some 27 steps, four times.
const REAP_STEPS_MAX: u64 = 4 * 8 * 768 * 28;
/// Steps of a put into a full map that evicts: it may evict two records of 80 bytes for each that
/// it moves out of a run of 8 pages, in some 40 steps each.
const CACHE_STEPS_MAX: u64 = 3 * 40 * 8 * 4096 / 80;
/// And for each byte of a large value: as much is evicted, then pages are cleared in the same way.
const CACHE_STEPS_PER_BYTE: u64 = 4 * 40 / 80;
/// Bytes that one small put may make real: a growth step of records and one of the index, of
/// 32 KiB each, with the page descriptors that come with them.
const GROWTH_BYTES_MAX: u64 = 72 << 10;
/// Steps of repairing a shard: making at most 96 stores again, one of which may be a split's end,
/// emptying the stacks, giving back what was not counted yet.
const REPAIR_STEPS_MAX: u64 = 1_500;

/// The counter belongs to the process, so that only one test at a time may store anything.
static COUNTER: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    COUNTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most steps, and the most bytes of growth, that an operation took.
#[derive(Clone, Copy, Debug, Default)]
struct Worst {
    steps: u64,
    growth_bytes: u64,
}

impl Worst {
    /// Runs an operation on the map and counts it.
    fn count<T>(&mut self, map: &Map, operation: impl FnOnce() -> T) -> T {
        let before = map.stats().committed_bytes;
        crash::arm(0);
        let result = operation();
        self.steps = self.steps.max(crash::taken());
        let growth_bytes = map.stats().committed_bytes.saturating_sub(before);
        self.growth_bytes = self.growth_bytes.max(growth_bytes);
        result
    }
}

/// Operations on random keys of a map that grows to `keys` keys, then a change of every value's
/// size.
fn work(map: &Map, random: &mut Random, from: u64, keys: u64) -> Worst {
    let (mut worst, mut buffer) = (Worst::default(), Vec::new());
    let value = vec![7; SMALL_BYTES_MAX as usize / 8];
    for new in from..keys {
        let len = if random.below(50) == 0 { value.len() } else { random.below(150) as usize };
        worst.count(map, || map.put(&new.to_le_bytes(), &value[..len])).unwrap();
        let old = random.below(new + 1).to_le_bytes();
        match random.below(4) {
            0 => drop(worst.count(map, || map.delete(&old)).unwrap()),
            1 => drop(worst.count(map, || map.add(&(!new).to_le_bytes(), 1)).unwrap()),
            _ => drop(worst.count(map, || map.put(&old, &value[..len])).unwrap()),
        }
        crash::arm(0);
        map.get(&old, &mut buffer).unwrap();
        map.get_many(&[old, new.to_le_bytes()], |_, _| {}).unwrap();
        assert_eq!(crash::taken(), 0, "a get stores nothing");
    }
    // Everything gets another size, so that records are moved.
    for key in 0..keys {
        let len = 1 + random.below(149) as usize;
        worst.count(map, || map.put(&key.to_le_bytes(), &value[..len])).unwrap();
    }
    worst
}

/// The steps of the repair by the next owner, when one dies in the middle of a put.
fn repair_steps(map: &Map, random: &mut Random) -> u64 {
    let repairs = map.stats().repairs;
    loop {
        let (key, step) = (random.next().to_le_bytes(), 1 + random.below(12));
        let end = process::run(|| {
            // The child's slot is taken outside of the count.
            let _ = map.delete(b"not there");
            crash::arm(step);
            map.put(&key, b"value").is_ok()
        });
        assert!(matches!(end, End::Exited(0) | End::Killed(libc::SIGKILL)), "{end:?}");
        crash::arm(0);
        map.delete(b"not there").unwrap();
        if map.stats().repairs > repairs {
            return crash::taken();
        }
    }
}

#[test]
fn operations_take_no_more_steps_in_a_large_map_than_their_bound() {
    // Goal: P3. Method: one shard grows from nothing to 100,000 keys, through splits, compaction
    // and growth; the longest operation of each stage, and a repair after it, stay within a
    // constant.
    let _alone = alone();
    let file = MapFile::new("bounded");
    let (map, mut random) = (file.create(1), Random::from_env(11));
    let mut from = 0;
    for keys in [1_000, 10_000, 100_000] {
        let worst = work(&map, &mut random, from, keys);
        let repair = (0..20).map(|_| repair_steps(&map, &mut random)).max().unwrap_or(0);
        println!("{keys} keys: {worst:?}, repair {repair} steps, {:?}", map.stats());
        assert!(worst.steps <= STEPS_MAX, "{keys} keys: {worst:?}");
        assert!(worst.growth_bytes <= GROWTH_BYTES_MAX, "{keys} keys: {worst:?}");
        assert!(repair <= REPAIR_STEPS_MAX, "{keys} keys: {repair}");
        from = keys;
    }
    assert!(map.stats().splits > 100 && map.stats().moved_records > 1_000);
    assert_sound(&map);
}

#[test]
fn operations_on_a_map_that_has_expired_take_no_more_steps_than_their_bound() {
    // Goal: P3 for reaping. Method: maps of two sizes all of whose keys expire at one moment; then
    // puts, touches and deletes until all are gone. Where memory is used up, a put reaps a part.
    let _alone = alone();
    for (keys, max_bytes) in [(1_000, 256 << 20), (100_000, 256 << 20), (u64::MAX, 8 << 20)] {
        let map = Map::heap(1, 256 << 20, max_bytes);
        let mut worst = Worst::default();
        let hour = Age::Of(Duration::from_secs(3600));
        let mut put = |key: u64| {
            let value = Value::Bytes(&[1; 50]);
            worst.count(&map, || map.put_for(&key.to_le_bytes(), value, hour))
        };
        let there = (0..keys).take_while(|&key| put(key).is_ok()).count() as u64;
        clock::shift(2 * 3_600_000);
        let mut steps = 0;
        while map.stats().expired_keys < there && steps < there {
            let key = (!steps).to_le_bytes();
            worst.count(&map, || map.put(&key, &[1; 50])).unwrap();
            worst.count(&map, || map.touch(&key, hour)).unwrap();
            worst.count(&map, || map.delete(&key)).unwrap();
            steps += 1;
        }
        clock::shift(0);
        println!("{there} keys, {steps} rounds: {worst:?}");
        assert_eq!(map.stats().expired_keys, there);
        let most = if keys == u64::MAX { REAP_STEPS_MAX } else { STEPS_MAX };
        assert!(worst.steps <= most, "{there} keys: {worst:?}");
        assert_sound(&map);
    }
}

#[test]
fn operations_on_a_list_of_a_million_take_no_more_steps_than_their_bound() {
    // Goal: P3 for lists: both ends are reached, and the end of the list as well, in as many steps
    // as those of a short one. Method: a list that grows to a million elements in one shard; then
    // pushes and pops, and its delete, after which other operations reap what it left.
    let _alone = alone();
    let file = MapFile::new("bounded-lists");
    let (map, mut worst, mut element) =
        (file.create_with(1, 512 << 20), Worst::default(), Vec::new());
    for n in 0..1_000_000u64 {
        let element = n.to_le_bytes();
        match n % 2 {
            0 => worst.count(&map, || map.push(b"list", &element)).unwrap(),
            _ => worst.count(&map, || map.unshift(b"list", &element)).unwrap(),
        };
        if n % 1000 == 0 {
            crash::arm(0);
            assert_eq!(map.length(b"list"), Ok(n + 1));
            map.range(b"list", -5, i64::MAX, &mut Elements::new()).unwrap();
            assert_eq!(crash::taken(), 0, "a get stores nothing");
        }
    }
    for _ in 0..20_000 {
        worst.count(&map, || map.pop(b"list", &mut element)).unwrap().unwrap();
        worst.count(&map, || map.shift(b"list", &mut element)).unwrap().unwrap();
    }
    println!("grown and used: {worst:?}");
    assert_eq!(map.length(b"list"), Ok(960_000));
    worst.count(&map, || map.delete(b"list")).unwrap();
    assert_eq!(map.size(), 0);
    let mut puts = 0u64;
    while map.stats().elements > 0 {
        worst.count(&map, || map.put(&puts.to_le_bytes(), b"")).unwrap();
        worst.count(&map, || map.delete(&puts.to_le_bytes())).unwrap();
        puts += 1;
    }
    println!("{puts} rounds: {worst:?}");
    assert!(worst.steps <= STEPS_MAX && worst.growth_bytes <= GROWTH_BYTES_MAX, "{worst:?}");
    assert_sound(&map);
}

#[test]
fn a_put_into_a_full_map_takes_no_more_steps_than_its_bound() {
    // Goal: P3 where room has to be made. Method: maps of two sizes, full of small values of which
    // a random half is deleted; then values of growing size, up to one that finds no room.
    let _alone = alone();
    for max_bytes in [1 << 20, 8 << 20] {
        for len in [0, 100] {
            let (map, mut random) = (Map::heap(1, 32 << 20, max_bytes), Random::from_env(12));
            let (mut keys, mut worst) = (0u64, Worst::default());
            while worst.count(&map, || map.put(&keys.to_le_bytes(), &vec![1; len])).is_ok() {
                keys += 1;
            }
            for key in (0..keys).filter(|_| random.below(2) == 0) {
                worst.count(&map, || map.delete(&key.to_le_bytes())).unwrap();
            }
            for put in 0..1000 {
                let value = vec![2; 100 << (put % 14)];
                let _ = worst.count(&map, || map.put(&(keys + put).to_le_bytes(), &value));
            }
            println!("{max_bytes} bytes, {keys} keys of {len}: {worst:?}, {:?}", map.stats());
            assert!(worst.steps <= FULL_STEPS_MAX, "{max_bytes} {len}: {worst:?}");
            assert_sound(&map);
        }
    }
}

/// Has a map give every other run of its pages back.
fn make_holes(map: &Map, max_bytes: u64) {
    grace::set_rest(0);
    let keys = max_bytes / 2 / 20_000;
    for key in 0..keys {
        map.put(&(!key).to_le_bytes(), &[3; 20_000]).unwrap();
    }
    let before = map.stats().committed_bytes;
    for key in (0..keys).step_by(2) {
        assert!(map.delete(&(!key).to_le_bytes()).unwrap());
    }
    for _ in 0..10_000 {
        map.put(b"again", b"").unwrap();
    }
    let after = map.stats().committed_bytes;
    assert!(after < before * 3 / 4, "{after} bytes of {before}");
}

#[test]
fn a_put_into_a_full_cache_takes_no_more_steps_than_its_bound() {
    // Goal: P3 where keys are evicted: what a put does rises with its own size, not with the map's,
    // nor does it evict more than that. Method: maps in one shard and in several, one of them with
    // holes between its pages, to which twice as many small keys come as they hold; then values of
    // other sizes, up to a tenth of the smallest map, of which each finds no block of its size.
    let _alone = alone();
    let maps = [(1 << 20, 1, false), (32 << 20, 1, false), (8 << 20, 1, true), (8 << 20, 8, false)];
    for (max_bytes, shards, holes) in maps {
        let file = MapFile::new("bounded-cache");
        let map = match holes {
            false => Map::evicting_heap(shards, 128 << 20, max_bytes),
            true => file.create_evicting(shards, max_bytes),
        };
        if holes {
            make_holes(&map, max_bytes);
        }
        let (mut random, mut worst) = (Random::from_env(13), [Worst::default(); 12]);
        for key in 0..max_bytes / 50 {
            map.put(&key.to_le_bytes(), &[1; 50]).unwrap();
        }
        let (before, mut put_bytes) = (map.stats(), 0);
        while put_bytes < max_bytes {
            let doubled = random.below(12);
            let (key, value) = (random.next().to_le_bytes(), vec![2; 50 << doubled]);
            worst[doubled as usize].count(&map, || map.put(&key, &value)).unwrap();
            put_bytes += value.len() as u64;
        }
        let evicted = map.stats().evicted_keys - before.evicted_keys;
        println!(
            "{max_bytes} bytes, {shards} shards, {evicted} of {} keys: {worst:?}",
            before.keys
        );
        for (doubled, worst) in worst.iter().enumerate() {
            let most = CACHE_STEPS_MAX + CACHE_STEPS_PER_BYTE * (50 << doubled);
            assert!(worst.steps <= most, "{} bytes: {worst:?}, not {most}", 50 << doubled);
        }
        assert!(evicted * 80 < 2 * put_bytes, "{evicted} keys of 80 bytes, {put_bytes} put");
        assert_sound(&map);
    }
}

#[test]
fn a_put_splits_no_more_than_twice() {
    // Goal: the bound on splits is what it says. Method: keys of one bucket that agree in their
    // first directory bits, so that splits make no room for one more than its neighbourhood holds.
    let _alone = alone();
    const SPLITS_MAX: u64 = 2;
    let same = |key: &[u8; 8]| {
        let hash = Hash::of(key, HEAP_SECRET);
        hash.bucket() == BUCKETS / 2 && hash.directory().is_multiple_of(32)
    };
    let mut keys = (0u64..).map(u64::to_le_bytes).filter(same);
    let map = Map::heap(1, 4 << 20, u64::MAX);
    for key in keys.by_ref().take(REACH * 12) {
        map.put(&key, b"").unwrap();
    }
    assert_eq!(map.stats().splits, 0);
    let last = keys.next().unwrap();
    assert_eq!(map.put(&last, b""), Err(OpError::HashCollisions { shard: 0 }));
    assert_eq!(map.stats().splits, SPLITS_MAX);
    assert_sound(&map);
}
