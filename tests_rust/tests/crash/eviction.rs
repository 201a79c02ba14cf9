//! Deaths at random steps of operations that evict.

use shf_base::crash;
use shf_engine::Map;
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
    // Goal: P2 while keys are evicted, runs emptied, regions cleared and pages lent. Method: children
    // die at random steps of puts of all sizes into full maps, and of gets that note a use; each key
    // that is there keeps its value, the checker agrees, everything that fits can be put, and at the
    // end the map holds as many small values as one in which nobody died.
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
        let left = (0..25).map(|_| refill(&map, &mut random)).max().unwrap();
        println!("{killed} killed, {keys} keys, {left} left, {:?}", map.stats());
        assert!(killed > KILLS / 4, "{killed}");
        assert!(left > keys * 8 / 10, "{left} of {keys}");
        assert_sound(&map);
    }
}
