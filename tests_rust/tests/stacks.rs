//! Free blocks in their stacks: each is given out once, whatever their number.
#![cfg(not(any(miri, loom)))]

use shf_base::geometry::{CHUNK_BYTES, CHUNKS, PAGE_BYTES};
use shf_engine::place::Field;
use shf_engine::{Map, class};
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::os::unix::fs::FileExt;

const MAX_BYTES: u64 = 16 << 20;
/// Keys of which one lives on in each run, so that none becomes free as a whole.
const STEP: u64 = 16;

fn put(map: &Map, keys: impl Iterator<Item = u64>, len: usize) {
    for key in keys {
        map.put(&key.to_le_bytes(), &vec![key as u8; len]).unwrap();
    }
}

fn delete(map: &Map, keys: impl Iterator<Item = u64>) {
    for key in keys {
        assert_eq!(map.delete(&key.to_le_bytes()), Ok(true), "{key}");
    }
}

fn in_between(keys: u64) -> impl Iterator<Item = u64> {
    (0..keys).filter(|key| key % STEP != 0)
}

fn assert_values(map: &Map, keys: u64, len: usize) {
    let mut value = Vec::new();
    for key in 0..keys {
        assert_eq!(map.get(&key.to_le_bytes(), &mut value), Ok(true), "{key}");
        assert_eq!(value, vec![key as u8; len], "{key}");
    }
}

#[test]
fn blocks_are_given_out_once_and_all_of_them() {
    // Goal: what was deleted is used again to the last block, over many chunks. Method: deletes and
    // puts of the same size, in numbers around those of one chunk and of two.
    let map = Map::heap(1, 16 << 20, MAX_BYTES);
    const KEYS: u64 = 400;
    put(&map, 0..KEYS, 100);
    let bytes = map.stats().committed_bytes;
    for some in [1, 6, 7, 8, 13, 14, 15, 16, 300, 7, 375] {
        delete(&map, in_between(KEYS).take(some));
        assert_sound(&map);
        put(&map, in_between(KEYS).take(some / 2), 100);
        assert_sound(&map);
        put(&map, in_between(KEYS).take(some), 100);
        assert_sound(&map);
        assert_values(&map, KEYS, 100);
        assert_eq!((map.stats().dead_bytes, map.stats().committed_bytes), (0, bytes), "{some}");
    }
}

#[test]
fn more_blocks_than_the_chunks_hold_are_found_when_memory_is_needed() {
    // Goal: where blocks are so small that most of them are in no stack, they are not lost. Method:
    // a full map of empty values, a third of them deleted, is filled again.
    const LEN: usize = 0;
    let map = Map::heap(1, 1 << 20, 512 << 10);
    let full = (0u64..).take_while(|key| map.put(&key.to_le_bytes(), &[]).is_ok()).count() as u64;
    let room = u64::from(CHUNKS) * (CHUNK_BYTES / 4 - 1);
    assert!(full > 4 * room, "{full} keys");
    let gone = || (0..full).filter(|key| key % 3 == 0);
    delete(&map, gone());
    assert_sound(&map);
    put(&map, gone(), LEN);
    assert_sound(&map);
    assert_values(&map, full, LEN);
}

#[test]
fn the_stacks_of_a_large_shard_end_at_their_bound() {
    // Goal: as above, where there is room for more chunks than a shard may have. Method: a shard of
    // more than 4096 pages, a sixth of whose records are deleted and put again.
    const KEYS: u64 = 140_000;
    let map = Map::heap(1, 64 << 20, 64 << 20);
    put(&map, 0..KEYS, 100);
    let some = || in_between(KEYS / 6);
    delete(&map, some());
    assert_sound(&map);
    put(&map, some(), 100);
    assert_sound(&map);
    assert_values(&map, KEYS, 100);
}

#[test]
fn sizes_that_change_settle_without_moving_records() {
    // Goal: in a steady state each retired block waits for the next record of its size. Method:
    // values of 13 sizes, until each was replaced several times; then the records that move are
    // counted.
    let map = Map::heap(1, 64 << 20, 64 << 20);
    const KEYS: u64 = 20_000;
    let mut state = 1u64;
    let mut churn = |puts: u64| {
        let before = map.stats().moved_records;
        for _ in 0..puts {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (key, len) = ((state >> 33) % KEYS, 50 + (state >> 17) as usize % 101);
            map.put(&key.to_le_bytes(), &[7; 151][..len]).unwrap();
        }
        map.stats().moved_records - before
    };
    churn(8 * KEYS);
    let (moved, dead) = (churn(4 * KEYS), map.stats().dead_bytes);
    assert!(moved < KEYS / 5, "{moved} records moved by {} puts", 4 * KEYS);
    assert!(dead < KEYS * 120 / 8, "{dead} bytes dead");
    assert_sound(&map);
}

#[test]
fn stacks_of_sizes_that_are_over_leave_their_chunks_to_others() {
    // Goal: a small shard, which has fewer chunks than there are classes, is not slower for ever
    // because of what it once held. Method: one key goes through nearly all sizes; then the values
    // of others change, of sizes that were not among them.
    const KEYS: u64 = 5_000;
    let moved = |sizes_before: std::ops::Range<usize>| {
        let map = Map::heap(1, 16 << 20, 16 << 20);
        put(&map, 0..KEYS, 100);
        for class in sizes_before {
            let bytes = class::units(class) as usize * 8 - 16;
            map.put(b"the key!", &vec![1; bytes]).unwrap();
        }
        let _ = map.delete(b"the key!");
        let mut random = Random::new(3);
        let before = map.stats().moved_records;
        for _ in 0..20 * KEYS {
            let (key, len) = (random.below(KEYS), 50 + random.below(101) as usize);
            map.put(&key.to_le_bytes(), &[7; 151][..len]).unwrap();
        }
        assert_sound(&map);
        map.stats().moved_records - before
    };
    let (fresh, after_sizes) = (moved(0..0), moved(25..class::CLASSES));
    assert!(after_sizes < 3 * fresh + KEYS, "{after_sizes} records moved, {fresh} without");
}

#[test]
fn a_chunk_below_itself_holds_nobody_up() {
    // Goal: P5, taking the blocks of a freed run out of the stacks ends. Method: a full chunk that
    // is below itself, and the first of those that no stack has; all blocks are the same one.
    let _watchdog = Watchdog::new("deleting beside a forged chunk");
    let file = MapFile::new("stacks-cycle");
    let map = file.create_with(1, MAX_BYTES);
    put(&map, 0..400, 100);
    delete(&map, 0..20);
    let image = Image::of(file.folder(), file.name());
    let (geometry, header) = (map.geometry(), map.geometry().shard_header(0));
    let half = |at: u64| (image.word(at & !7) >> (at % 8 * 8)) as u32;
    let store = |at, half: u32| image.file().write_all_at(&half.to_le_bytes(), at).unwrap();
    let stack = |class: u64| header + PAGE_BYTES + class * 4;
    let class = (0..127).find(|class| half(stack(*class)) != 0).unwrap();
    let chunk = |chunk: u32| geometry.window(0) + geometry.chunk(0, chunk);
    let block = half(chunk(0) + 4);
    let taken = half(header + Field::Chunks as u64 + 4);
    for number in 0..taken {
        store(chunk(number), 1 | (class as u32) << 25);
        (1..8).for_each(|entry| store(chunk(number) + entry * 4, block));
    }
    store(stack(class), 1 << 3 | 7);
    store(header + Field::Chunks as u64, 1);
    assert!(taken > 1 && !map.verify().unwrap().is_empty());
    for key in 20..400u64 {
        let _ = map.delete(&key.to_le_bytes());
    }
    map.repair().unwrap();
    assert_sound(&map);
}

#[test]
fn a_chunk_that_is_in_two_stacks_or_in_none_is_found() {
    // Goal: the checker does not call sound what gives a block out twice. Method: one stack takes
    // over the chunk of another; chunks are forgotten, or never were.
    let file = MapFile::new("stacks-chunks");
    let map = file.create_with(1, MAX_BYTES);
    put(&map, 0..40, 100);
    put(&map, 40..60, 200);
    delete(&map, 1..5);
    delete(&map, 41..45);
    assert_sound(&map);
    let image = Image::of(file.folder(), file.name());
    let header = map.geometry().shard_header(0);
    let half = |at: u64| (image.word(at & !7) >> (at % 8 * 8)) as u32;
    let stacks: Vec<u64> =
        (0..127).map(|class| header + PAGE_BYTES + class * 4).filter(|at| half(*at) != 0).collect();
    let [small, large] = stacks[..] else { panic!("{stacks:?}") };
    let store = |at, half: u32| image.file().write_all_at(&half.to_le_bytes(), at).unwrap();
    let chunks = header + Field::Chunks as u64;
    for (at, word) in [(small, half(large)), (small, 0), (chunks + 4, 7), (chunks, 1)] {
        store(at, word);
        assert!(!map.verify().unwrap().is_empty(), "{word} at {at:#x}");
        assert_eq!(map.repair().unwrap().shards, 1);
        assert_sound(&map);
        image.restore();
        assert_sound(&map);
    }
}
