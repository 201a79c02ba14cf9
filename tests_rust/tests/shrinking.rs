//! A map that shrinks gives its memory back while it lives, and takes it again when it grows.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::grace;
use shf_engine::hash::Hash;
use shf_engine::place::Field;
use shf_engine::{Map, OpError};
use shf_tests::map_file::MapFile;
use shf_tests::mount::over_maps;
use shf_tests::{Random, assert_sound, secret};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;

const KEYS: u64 = 20_000;
const MAX_BYTES: u64 = 64 << 20;

fn value(key: u64, round: u64) -> Vec<u8> {
    let len = (key * 37 + round * 11) % 200;
    // Some large ones among them, of up to 20 pages.
    let len = if key.is_multiple_of(500) { len * 400 } else { len };
    vec![(key + round) as u8; len as usize]
}

fn put(map: &Map, keys: impl Iterator<Item = u64>, round: u64) {
    keys.for_each(|key| _ = map.put(&key.to_le_bytes(), &value(key, round)).unwrap());
}

fn is_kept(key: &u64) -> bool {
    key.is_multiple_of(10) && !key.is_multiple_of(500)
}

/// Deletes all keys but a tenth, and puts these again as often as it takes to give memory back.
fn shrink(map: &Map, round: u64) {
    (0..KEYS).filter(|key| !is_kept(key)).for_each(|key| {
        map.delete(&key.to_le_bytes()).unwrap();
    });
    (0..3).for_each(|_| put(map, (0..KEYS).filter(is_kept), round));
}

fn assert_holds(map: &Map, keys: impl Iterator<Item = u64>, round: u64) {
    let (mut found, mut count) = (Vec::new(), 0);
    for key in keys {
        assert_eq!(map.get(&key.to_le_bytes(), &mut found), Ok(true), "{key}");
        assert!(found == value(key, round), "{key}");
        count += 1;
    }
    assert_eq!(map.size(), count);
}

/// Fills and shrinks a map several times.
fn breathe(file: &MapFile, map: &Map, sync: impl Fn(&Map)) {
    let mut full_bytes = 0;
    for round in 0..4 {
        put(map, 0..KEYS, round);
        sync(map);
        full_bytes = full_bytes.max(map.stats().committed_bytes);
        assert_holds(map, 0..KEYS, round);
        shrink(map, round);
        sync(map);
        shrink(map, round);
        sync(map);
        shrink(map, round);
        let stats = map.stats();
        assert_holds(map, (0..KEYS).filter(is_kept), round);
        assert_sound(map);
        assert_eq!(stats.committed_bytes, file.real_bytes());
        assert!(stats.committed_bytes < full_bytes / 2, "{full_bytes} {stats:?}");
    }
    // What was given back and taken again does not add up.
    let most = full_bytes + full_bytes / 8;
    assert!(map.stats().committed_bytes < most);
}

#[test]
fn memory_goes_back_and_comes_again() {
    // Goal: what the file system has of a map that shrinks falls with it, to the byte that the map
    // knows, and growth takes it again. Method: fill and shrink, four times, without rest.
    grace::set_rest(0);
    let file = MapFile::new("shrinking");
    let map = file.create_with(4, MAX_BYTES);
    breathe(&file, &map, |_| {});
}

#[test]
fn memory_of_a_durable_map_goes_back_after_a_sync() {
    // Goal: as above; what the last sync needs is not given back before the next one.
    grace::set_rest(0);
    let file = MapFile::new("shrinking-durable");
    let map = file.create_durable(4, MAX_BYTES);
    breathe(&file, &map, |map| map.sync().unwrap());
    let before = map.stats().committed_bytes;
    put(&map, 0..KEYS, 9);
    map.sync().unwrap();
    let full = map.stats().committed_bytes;
    shrink(&map, 9);
    shrink(&map, 9);
    let held = map.stats().committed_bytes;
    assert!(held > full - full / 8 && full > 2 * before, "{before} {full} {held}");
}

#[test]
fn memory_rests_before_it_goes_back() {
    // Goal: no reader of the last second meets a hole. Method: with a rest of an hour, nothing goes
    // back; with the usual one, all of it, but a second later.
    grace::set_rest(3_600_000);
    let file = MapFile::new("shrinking-rest");
    let map = file.create_with(1, MAX_BYTES);
    put(&map, 0..KEYS, 0);
    let full = map.stats().committed_bytes;
    shrink(&map, 0);
    assert!(map.stats().committed_bytes >= full);
    grace::set_rest(200);
    let begun = std::time::Instant::now();
    while map.stats().committed_bytes > full / 2 {
        put(&map, (0..KEYS).filter(is_kept), 0);
    }
    assert!(begun.elapsed().as_millis() >= 150, "{:?}", begun.elapsed());
    assert_sound(&map);
}

#[test]
fn holes_that_cannot_become_real_are_left_alone() {
    // Goal: P4 where others have taken what a map gave back: `NoSpace`, never SIGBUS, and what is
    // there stays and is told to the byte. Method: a tmpfs that is filled while the map is small.
    grace::set_rest(0);
    over_maps(24 << 20, || {
        let file = MapFile::new("shrinking-full");
        let map = file.create_with(2, MAX_BYTES);
        put(&map, 0..KEYS, 0);
        shrink(&map, 0);
        shrink(&map, 0);
        let mut filler = File::create("/dev/shm/filler").unwrap();
        while filler.write_all(&[0xdd; 4096]).is_ok() {}
        let mut random = Random::new(1);
        let mut refused = 0;
        for key in 0..2000 {
            let len = [100, 3000, 60_000, 20][random.below(4) as usize];
            match map.put(&(KEYS + key).to_be_bytes(), &vec![1; len]) {
                Ok(_) => _ = map.delete(&(KEYS + key).to_be_bytes()).unwrap(),
                Err(error) => {
                    assert!(matches!(error, OpError::NoSpace { .. }), "{error:?}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{refused}");
        assert_holds(&map, (0..KEYS).filter(is_kept), 0);
        assert_sound(&map);
        assert_eq!(map.stats().committed_bytes, file.real_bytes());
        drop(filler);
        fs::remove_file("/dev/shm/filler").unwrap();
        put(&map, 0..KEYS, 5);
        assert_holds(&map, 0..KEYS, 5);
        assert_sound(&map);
    });
}

#[test]
fn a_repair_leaves_holes_what_they_are() {
    // Goal: neither a damaged index nor damaged descriptors make a repair fill the holes of a map,
    // or believe in memory that is not there. Method: a forged number of free pages, and
    // descriptors of 0 among the holes; what is real afterwards is what is known.
    grace::set_rest(0);
    let file = MapFile::new("shrinking-repair");
    let map = file.create_with(1, MAX_BYTES);
    put(&map, 0..KEYS, 0);
    shrink(&map, 0);
    shrink(&map, 0);
    let geometry = map.geometry();
    let header = geometry.shard_header(0);
    let descriptor = |page| geometry.window(0) + geometry.descriptor(page);
    let raw = fs::OpenOptions::new().read(true).write(true).open(file.path()).unwrap();
    let word = |offset: u64| {
        let mut bytes = [0; 8];
        raw.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_le_bytes(bytes)
    };
    let pages = word(header + Field::Limits as u64) as u32;
    for damage in 0..20 {
        let before = file.real_bytes();
        match damage {
            0 => raw.write_all_at(&u64::MAX.to_le_bytes(), header + Field::FreePages as u64),
            1 => raw.write_all_at(&0u64.to_le_bytes(), header + Field::Holes as u64),
            _ => {
                let is_hole = |page: &u32| word(descriptor(*page)) >> 63 == 1;
                let holes: Vec<u32> = (0..pages).filter(is_hole).collect();
                assert!(!holes.is_empty());
                let at = descriptor(holes[damage * 7 % holes.len()]);
                raw.write_all_at(&0u64.to_le_bytes(), at)
            }
        }
        .unwrap();
        assert_eq!(map.repair().unwrap().shards, 1, "{damage}");
        assert_sound(&map);
        assert_holds(&map, (0..KEYS).filter(is_kept), 0);
        assert_eq!(map.stats().committed_bytes, file.real_bytes(), "{damage}");
        assert!(file.real_bytes() <= before + (1 << 20), "{damage}");
    }
}

#[test]
fn recovery_leaves_holes_what_they_are() {
    // Goal: a durable map with holes is recovered without filling them. Method: a copy of its file,
    // made as anybody would.
    grace::set_rest(0);
    let (file, copy) = (MapFile::new("shrinking-crash"), MapFile::new("shrinking-crash-copy"));
    let map = file.create_durable(2, MAX_BYTES);
    breathe(&file, &map, |map| map.sync().unwrap());
    map.sync().unwrap();
    let paths = [file.path(), copy.path()];
    let copied = Command::new("cp").arg("--sparse=always").args(paths).status().unwrap();
    assert!(copied.success());
    let recovered = copy.open();
    assert_eq!(recovered.recovered().unwrap().lost, []);
    assert_sound(&recovered);
    assert_holds(&recovered, (0..KEYS).filter(is_kept), 3);
    assert_eq!(recovered.stats().committed_bytes, copy.real_bytes());
    assert!(copy.real_bytes() <= file.real_bytes() + (256 << 10));
    put(&recovered, 0..KEYS, 6);
    assert_holds(&recovered, 0..KEYS, 6);
    assert_sound(&recovered);
}

#[test]
fn a_put_that_finds_no_slot_gives_back_the_holes_that_it_took() {
    // Goal: what the map counts is what the file system has, after a put that made the last holes
    // real for its record and then found its table full, and no page for another one. Method:
    // maps of many sizes are filled, emptied, and filled again by keys of one bucket, to the
    // first that has no space.
    grace::set_rest(0);
    let one_bucket = |key: &u64| Hash::of(&key.to_le_bytes(), secret()).bucket() == 0;
    let keys: Vec<u64> = (0..).filter(one_bucket).take(300).collect();
    for (pages, len) in
        (60..160).flat_map(|pages| [3000, 5000, 7000, 15000].map(|len| (pages, len)))
    {
        let file = MapFile::new("shrinking-no-slot");
        let map = file.create_with(1, pages << 12);
        let put = |key: &u64, len: usize| map.put(&key.to_le_bytes(), &vec![7; len]);
        let fill = |len| keys.iter().take_while(|key| put(key, len).is_ok()).count();
        for key in &keys[1..fill(4000)] {
            map.delete(&key.to_le_bytes()).unwrap();
        }
        for _ in 0..100 {
            put(&keys[0], 1000).unwrap();
        }
        fill(len);
        assert_sound(&map);
        assert_eq!(map.stats().committed_bytes, file.real_bytes());
    }
}

#[test]
fn closing_a_map_that_was_built_gives_back_what_was_taken_ahead_and_nobody_elses_closing_does() {
    // Goal: a map that was built is no larger than what it holds, and goes on growing. Method: real
    // bytes of the file before and after the creator's handle is closed, and another one.
    let file = MapFile::new("built");
    let map = file.create_with(4, 256 << 20);
    for key in 0..60_000u64 {
        map.put(&key.to_le_bytes(), &[7; 100]).unwrap();
    }
    let before = (map.stats().committed_bytes, file.real_bytes());
    drop(file.open());
    assert_eq!((map.stats().committed_bytes, file.real_bytes()), before);
    drop(map);
    let map = file.open();
    let after = (map.stats().committed_bytes, file.real_bytes());
    println!("before {before:?}, after {after:?}");
    assert!(after.0 < before.0 && after.1 <= before.1 - (before.0 - after.0));
    assert_eq!(map.trim(), Ok(0));
    assert_sound(&map);
    for key in 60_000..70_000u64 {
        map.put(&key.to_le_bytes(), &[7; 100]).unwrap();
    }
    assert_eq!(map.size(), 70_000);
    assert_sound(&map);
}
