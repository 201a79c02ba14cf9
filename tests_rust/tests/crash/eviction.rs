//! Deaths in operations that evict: at every step of some, and at random steps of many.

use crate::deaths::{self, Scene};
use crate::operation::repair;
use shf_base::crash;
use shf_base::grace;
use shf_engine::{Map, Stats};
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};

const KILLS: u64 = 300;

/// The value of a key, whose length the key says.
fn value(key: u64) -> Vec<u8> {
    vec![key as u8; (key >> 32) as usize]
}

fn key(random: &mut Random, len: u64) -> u64 {
    random.below(1 << 32) | len << 32
}

/// Puts small values until some are evicted; how many there are then.
fn refill(map: &Map, random: &mut Random) -> u64 {
    let evicted = map.stats().evicted_keys;
    while map.stats().evicted_keys < evicted + 3000 {
        let key = key(random, 100);
        map.put(&key.to_le_bytes(), &value(key)).unwrap();
    }
    map.size()
}

#[test]
fn an_operation_that_evicts_survives_death_at_many_steps() {
    // Goal: P2 while keys are evicted, runs emptied, regions cleared and pages lent. Method:
    // children die at random steps of puts of all sizes into full maps, and of gets that note a
    // use; each key that is there keeps its value, the checker agrees, everything that fits can be
    // put, and at the end the map holds as many small values as one in which nobody died.
    for (shards, max_bytes) in [(1, 1 << 20), (4, 2 << 20)] {
        let file = MapFile::new(&format!("crash-evict-{shards}"));
        let map = file.create_evicting(shards, max_bytes);
        let (mut random, mut killed) = (Random::from_env(8), 0);
        let keys = refill(&map, &mut random);
        for round in 0..KILLS {
            let lens = [0, 90, 700, 5000, 17_000, 60_000, max_bytes / 8 - 8];
            let len = lens[random.below(7) as usize];
            let key = key(&mut random, len);
            let longest = 1 << (3 + random.below(10));
            let n = 1 + random.below(longest);
            let end = process::run(|| {
                let _ = map.delete(b"not there");
                crash::arm(n);
                match round % 8 {
                    0 => map.contains(&key.to_le_bytes()).is_ok(),
                    _ => map.put(&key.to_le_bytes(), &value(key)).is_ok(),
                }
            });
            killed += u64::from(end == End::Killed(libc::SIGKILL));
            assert_sound(&map);
            let judge = &mut |key: &[u8], found: &[u8]| {
                let key = u64::from_le_bytes(key.try_into().unwrap());
                assert!(found == value(key), "key {key:#x} has another value");
                true
            };
            map.for_each(judge).unwrap();
            map.put(&key.to_le_bytes(), &value(key)).unwrap();
            if round % 16 == 0 {
                refill(&map, &mut random);
            }
        }
        // What was put twice counts as used, and stays until all keys were replaced eight times.
        let left = (0..25 * shards).map(|_| refill(&map, &mut random)).max().unwrap();
        println!("{killed} killed, {keys} keys, {left} left, {:?}", map.stats());
        assert!(killed > KILLS / 4, "{killed}");
        assert!(left > keys * 8 / 10, "{left} of {keys}");
        assert_sound(&map);
    }
}

/// A full map, and a put that evicts others for its key.
struct Eviction {
    file: MapFile,
    map: Map,
    image: Image,
    key: u64,
    /// Keys that the put evicts.
    evicts: u64,
    size: u64,
}

impl Eviction {
    /// The first put of a value of a length that makes a `hit` of the counters before and after it,
    /// into a map of so many bytes that is full of values of some `lens`.
    fn of(
        what: &str,
        (max_bytes, lens): (u64, &[u64]),
        len: u64,
        hit: impl Fn(&Stats, &Stats) -> bool,
    ) -> Eviction {
        grace::set_rest(0);
        let file = MapFile::new(&format!("crash-{what}"));
        let (map, mut random) = (file.create_evicting(1, max_bytes), Random::from_env(9));
        while map.stats().evicted_keys < 1000 {
            let len = lens[random.below(lens.len() as u64) as usize];
            let key = key(&mut random, len);
            map.put(&key.to_le_bytes(), &value(key)).unwrap();
        }
        for _ in 0..1000 {
            let image = Image::of(file.folder(), file.name());
            let (before, key) = (map.stats(), key(&mut random, len));
            map.put(&key.to_le_bytes(), &value(key)).unwrap();
            let after = map.stats();
            if hit(&before, &after) {
                let evicts = after.evicted_keys - before.evicted_keys;
                return Eviction { file, map, image, key, evicts, size: before.keys };
            }
        }
        panic!("{what}: not found");
    }

    /// Dies at all steps, of which there are at least `least`.
    fn run(self, least: u64) {
        deaths::run(&self, least);
    }

    fn put(&self) -> bool {
        self.map.put(&self.key.to_le_bytes(), &value(self.key)).is_ok()
    }
}

impl Scene for Eviction {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn restore(&self) {
        self.image.restore();
    }

    fn ready(&self) {
        // Takes the child's slot.
        assert!(repair(&self.map));
    }

    fn operate(&self) -> bool {
        crash::check_mutations();
        self.put()
    }

    fn recover(&self) -> bool {
        crash::check_mutations();
        repair(&self.map)
    }

    fn keep(&self) -> Box<dyn Fn() + '_> {
        self.file.keep()
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.file.name());
        assert_sound(&self.map);
        let mut is_there = false;
        let judge = &mut |found_key: &[u8], found: &[u8]| {
            let key = u64::from_le_bytes(found_key.try_into().unwrap());
            assert!(found == value(key), "{step}: key {key:#x} has another value");
            is_there |= key == self.key;
            true
        };
        self.map.for_each(judge).unwrap();
        let others = self.map.size() - u64::from(is_there);
        assert!(others <= self.size && others + self.evicts >= self.size, "{step}: {others} keys");
        let committed_bytes = self.map.stats().committed_bytes;
        let real_bytes = self.file.real_bytes();
        assert_eq!(real_bytes, committed_bytes, "{step}");
        assert!(self.put(), "{step}: no room");
        assert_sound(&self.map);
    }
}

/// Few keys, so that not too many steps are tried.
const FEW: (u64, &[u64]) = (512 << 10, &[600]);

#[test]
fn an_eviction_survives_death_at_every_step() {
    // Goal: P2 while a put evicts one key. No other is lost.
    let one = |before: &Stats, after: &Stats| after.evicted_keys == before.evicted_keys + 1;
    Eviction::of("evict-one", FEW, 600, one).run(20);
}

#[test]
fn emptying_a_run_survives_death_at_every_step() {
    // Goal: P2 while the records of a run are moved to where others are evicted.
    let moves = |before: &Stats, after: &Stats| after.moved_records > before.moved_records + 3;
    Eviction::of("evict-run", FEW, 1500, moves).run(200);
}

#[test]
fn emptying_a_run_into_larger_blocks_survives_death_at_every_step() {
    // Goal: P2 while blocks are split of which one unit is left, which is a gap. Method: all but a
    // few records are one unit larger than the others.
    let lens = [100, 100, 100, 100, 100, 100, 100, 92];
    let moves = |before: &Stats, after: &Stats| after.moved_records > before.moved_records + 3;
    Eviction::of("evict-gap", (144 << 10, &lens), 1500, moves).run(200);
}

#[test]
fn clearing_pages_for_a_large_value_survives_death_at_every_step() {
    // Goal: P2 while keys are evicted, runs emptied and large values evicted for pages in a row.
    let moves = |before: &Stats, after: &Stats| after.moved_records > before.moved_records + 3;
    Eviction::of("evict-region", FEW, 8_200, moves).run(200);
}
