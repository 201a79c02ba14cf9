//! A map that has used up its maximum: what it says, and what it still takes.
#![cfg(not(any(miri, loom)))]

use shf_base::open::HEAP_SECRET;
use shf_engine::hash::Hash;
use shf_engine::{Map, OpError};
use shf_tests::{Random, assert_sound};
use std::cell::RefCell;
use std::collections::HashMap;

const PAGE: u64 = 4096;

/// Puts numbered keys with values of `len` bytes until one fails; how many, and the failure.
fn fill(map: &Map, from: u64, len: usize) -> (u64, OpError) {
    let value = vec![7; len];
    for key in from.. {
        if let Err(error) = map.put(&key.to_le_bytes(), &value) {
            return (key - from, error);
        }
    }
    unreachable!("a map has a maximum")
}

#[test]
fn no_space_names_what_was_needed_beyond_what_is_there() {
    // Goal: the number in the error is the growth that was refused. Method: a full map, then a
    // small value, which needs one page, and a large one, which needs its own pages at least.
    let map = Map::heap(1, 4 << 20, 1 << 20);
    let (keys, error) = fill(&map, 0, 100);
    assert!(keys > 3000, "{keys}");
    let max_bytes = 1 << 20;
    assert_eq!(error, OpError::NoSpace { needed_bytes: PAGE, max_bytes });
    let error = map.put(b"large", &vec![1; 10 * PAGE as usize]).unwrap_err();
    assert_eq!(error, OpError::NoSpace { needed_bytes: 11 * PAGE, max_bytes });
}

#[test]
fn after_deletes_a_full_map_takes_values_of_any_size() {
    // Goal: P4, writable for what fits. Method: maps full of values of one size or of many, a
    // random half deleted, then values of one other size, as long as they take no more than half of
    // that.
    let filled_with: [fn(&mut Random) -> usize; 4] =
        [|_| 100, |_| 0, |random| 50 + random.below(100) as usize, |random| 1 << random.below(12)];
    for (which, size) in filled_with.into_iter().enumerate() {
        for max_bytes in [512 << 10, 8 << 20] {
            for len in [0, 10, 60, 100, 120, 200, 500, 2_000, 6_000, 15_000, 30_000] {
                let map = Map::heap(1, 32 << 20, max_bytes);
                let mut random = Random::new(len as u64 + 1);
                let value = vec![7; 1 << 16];
                let mut keys = 0u64;
                while map.put(&keys.to_le_bytes(), &value[..size(&mut random)]).is_ok() {
                    keys += 1;
                }
                for key in (0..keys).filter(|_| random.below(2) == 0) {
                    assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
                }
                let dead = map.stats().dead_bytes + map.stats().free_bytes;
                let puts = dead / 2 / (len as u64 + 24).max(24);
                // Each key needs a slot as well, and the index may not grow: three neighbouring
                // buckets must not fill up by chance.
                for put in 0..puts.clamp(1, keys / 6) {
                    let done = map.put(&(keys + put).to_le_bytes(), &value[..len]);
                    let stats = map.stats();
                    assert!(
                        done.is_ok(),
                        "{which}: {put} of {puts}, {len} bytes, {done:?} {stats:?}"
                    );
                }
                assert_sound(&map);
                for put in 0..puts.clamp(1, keys / 6) {
                    let mut found = Vec::new();
                    assert_eq!(map.get(&(keys + put).to_le_bytes(), &mut found), Ok(true));
                    assert_eq!(found.len(), len);
                }
            }
        }
    }
}

#[test]
fn a_put_that_splits_leaves_no_block_in_two_stacks() {
    // Goal: a block that was cut in two for a put which then found its table full, and forgot its
    // intent, is used once. Method: full maps of many sizes, with pages of the index to split
    // into, a few dead blocks of twice the size that is asked for, and more keys of one bucket
    // than it has slots; then puts of both sizes, and all values.
    let one_bucket = |key: &u64| Hash::of(&key.to_le_bytes(), HEAP_SECRET).bucket() == 0;
    const DEAD: usize = 6;
    let keys: Vec<u64> = (0..).filter(one_bucket).take(400).collect();
    let others: Vec<u64> = (0..).filter(|key| !one_bucket(key)).take(5_000).collect();
    for pages in 40..120 {
        let map = Map::heap(1, 1 << 20, pages * PAGE);
        let expected = RefCell::new(HashMap::new());
        let put = |key: &u64, len: usize| {
            let value = vec![(*key % 251) as u8 ^ len as u8; len];
            let done = map.put(&key.to_le_bytes(), &value).is_ok();
            done.then(|| expected.borrow_mut().insert(*key, value)).is_some()
        };
        // Tables that split and merge again leave pages for the index behind.
        let split = keys.iter().take_while(|key| put(key, 20)).count();
        for key in &keys[30..split] {
            assert!(map.delete(&key.to_le_bytes()).unwrap());
            expected.borrow_mut().remove(key);
        }
        for _ in 0..200 {
            put(&keys[0], 20);
        }
        let filled = others.iter().take_while(|key| put(key, 368)).count();
        // So few that they are only looked for when there is nothing else.
        for key in &others[..DEAD] {
            assert!(map.delete(&key.to_le_bytes()).unwrap());
            expected.borrow_mut().remove(key);
        }
        keys[30..].iter().take_while(|key| put(key, 176)).count();
        assert_sound(&map);
        others[filled..].iter().take_while(|key| put(key, 176)).count();
        others[..DEAD].iter().take_while(|key| put(key, 368)).count();
        assert_sound(&map);
        let mut found = Vec::new();
        for (key, value) in expected.borrow().iter() {
            assert_eq!(map.get(&key.to_le_bytes(), &mut found), Ok(true), "{key}");
            assert!(found == *value, "{key}");
        }
    }
}
