//! Tables that split and merge all the time, under processes that put, delete and read.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::grace;
use shf_engine::Map;
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::time::{Duration, Instant};

const SHARDS: u32 = 2;
/// Keys that are always there, and that come and go.
const STAY: u64 = 300;
const WAVE: u64 = 12_000;
/// Processes live no longer than this.
const ROUND: Duration = Duration::from_secs(15);
const WRITERS: u64 = 2;
const READERS: u64 = 2;
/// Numbers on the board.
const OVER: usize = 0;
const WAVES: usize = 1;

fn seconds() -> u64 {
    std::env::var("SHF_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn a_key_that_is_always_there_is_always_found_while_tables_split_and_merge() {
    // Goal: P1, P6 under constant merges, moves and pages given back. Method: writers put and
    // delete in waves; readers get keys that stay, and keys that never were, and walk.
    // `SHF_SECONDS=60` for longer.
    grace::set_rest(20);
    let file = MapFile::new("waves");
    let map = file.create_with(SHARDS, 64 << 20);
    (0..STAY).for_each(|key| _ = map.put(&key.to_le_bytes(), &key.to_le_bytes()).unwrap());
    let seed = Random::from_env(31).next();
    let begun = Instant::now();
    let whole = Duration::from_secs(seconds());
    while begun.elapsed() < whole {
        let time = ROUND.min(whole.saturating_sub(begun.elapsed()));
        round(&file, &map, seed ^ begun.elapsed().as_nanos() as u64, time);
    }
}

/// Puts, deletes and reads for some time.
fn round(file: &MapFile, map: &Map, seed: u64, time: Duration) {
    let (board, watchdog) = (Board::new(), Watchdog::new("a wave"));
    let mut children = Vec::new();
    for number in 0..WRITERS {
        let board = &board;
        children.push(process::spawn(move || {
            let (map, mut random) = (file.open(), Random::new(seed ^ number));
            let first = STAY + number * WAVE;
            let mut waves = 0;
            while board.get(OVER) == 0 {
                let (end, start) = (first + WAVE, first + random.below(WAVE / 4));
                (start..end).for_each(|key| _ = map.put(&key.to_le_bytes(), &[7; 20]).unwrap());
                let start = first + random.below(WAVE / 16);
                (start..end).for_each(|key| _ = map.delete(&key.to_le_bytes()).unwrap());
                waves += 1;
                board.set(WAVES + number as usize, waves);
            }
            true
        }));
    }
    for number in 0..READERS {
        let board = &board;
        children.push(process::spawn(move || {
            let (map, mut random) = (file.open_read_only(), Random::new(seed ^ (number + 64)));
            let mut value = Vec::new();
            while board.get(OVER) == 0 {
                for _ in 0..2000 {
                    let key = random.below(STAY);
                    assert_eq!(map.get(&key.to_le_bytes(), &mut value), Ok(true), "{key}");
                    assert_eq!(value, key.to_le_bytes());
                    let stranger = (1 << 40) + random.below(1000);
                    assert_eq!(map.contains(&stranger.to_le_bytes()), Ok(false), "{stranger}");
                }
                let mut seen = [0; STAY as usize];
                map.for_each(&mut |key, _| {
                    let key = u64::from_le_bytes(key.try_into().unwrap());
                    if let Some(seen) = seen.get_mut(key as usize) {
                        *seen += 1;
                    }
                    true
                })
                .unwrap();
                let missed = seen.iter().position(|seen| *seen != 1);
                assert_eq!(missed, None, "a walk sees each key once: {seen:?}");
            }
            true
        }));
    }
    let begun = Instant::now();
    let mut tables = (u64::MAX, 0);
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(1));
        let now = map.stats().tables;
        tables = (tables.0.min(now), tables.1.max(now));
        watchdog.feed();
    }
    board.set(OVER, 1);
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    assert_sound(map);
    let waves: u64 = (0..WRITERS as usize).map(|number| board.get(WAVES + number)).sum();
    println!("{waves} waves, {} to {} tables, {} splits", tables.0, tables.1, map.stats().splits);
    assert!(waves > 0 && map.stats().splits > 10);
}
