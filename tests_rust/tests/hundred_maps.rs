//! A hundred maps at once in one process, as large as they may be by default.
#![cfg(not(any(miri, loom)))]

use shf_engine::{Map, Options};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use std::fs;

const MAPS: u64 = 100;

/// Bytes of address space that this process has, and descriptors.
fn held() -> (u64, usize) {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    (pages * 4096, fs::read_dir("/proc/self/fd").unwrap().count())
}

fn use_all(maps: &[Map]) {
    for round in 0..20u64 {
        for (number, map) in (0..).zip(maps) {
            let value = (number * 1000 + round).to_le_bytes();
            assert!(!map.put(&round.to_le_bytes(), &value).unwrap().replaced);
            map.add(b"rounds", 1).unwrap();
        }
    }
    for (number, map) in (0..).zip(maps) {
        let mut value = Vec::new();
        for round in 0..20u64 {
            assert_eq!(map.get(&round.to_le_bytes(), &mut value), Ok(true));
            assert_eq!(value, (number * 1000 + round).to_le_bytes());
        }
        assert_eq!((map.size(), map.add(b"rounds", 0)), (21, Ok(20)));
        assert_sound(map);
    }
}

/// Opens a hundred maps, uses them and closes them: in a process of its own, so that nobody else
/// takes or gives back addresses meanwhile.
fn alone(what: &str, options: &Options, apparent_bytes_min: u64) {
    let end = process::run_for(process::LONG_SECONDS, || {
        // What the first map makes the process allocate for all times.
        let file = MapFile::new(&format!("{what}-first"));
        drop(Map::create(file.folder(), file.name(), options).unwrap());
        let (space, descriptors) = held();
        let names = (0..MAPS).map(|number| MapFile::new(&format!("{what}-{number}")));
        let files: Vec<MapFile> = names.collect();
        let create = |file: &MapFile| Map::create(file.folder(), file.name(), options).unwrap();
        let maps: Vec<Map> = files.iter().map(create).collect();
        let apparent: u64 = maps.iter().map(|map| map.stats().apparent_bytes).sum();
        let (space_with, descriptors_with) = held();
        println!("{what}: {apparent} bytes, {} descriptors", descriptors_with - descriptors);
        assert!(apparent >= apparent_bytes_min, "{apparent}");
        assert!(space_with >= space + apparent, "all are mapped, whole, at once");
        use_all(&maps);
        drop(maps);
        // Others open and read what these have written, then it is all closed as well.
        let open = |file: &MapFile| file.open_read_only();
        let maps: Vec<Map> = files.iter().map(open).collect();
        assert!(maps.iter().all(|map| map.size() == 21));
        drop(maps);
        let (space_after, descriptors_after) = held();
        assert_eq!(descriptors_after, descriptors);
        // The allocator may keep some of what was used meanwhile.
        assert!(space_after < space + (64 << 20), "{space} before, {space_after} after");
        drop(files);
        true
    });
    assert_eq!(end, End::Exited(0));
}

#[test]
fn a_hundred_maps_with_default_options_fit_into_one_process() {
    // Goal: what the design promises of apparent sizes. Method: as many maps as that, with nothing
    // chosen but the secret; each has 64 times its maximum of address space, up to 128 GiB.
    let options = Options { secret: Some(shf_tests::secret()), ..Options::default() };
    alone("hundred", &options, MAPS << 30);
}

#[test]
fn a_hundred_small_maps_fit_into_one_process() {
    let (shards, max_bytes) = (Some(4), Some(1 << 20));
    let options = Options { shards, max_bytes, ..Options::default() };
    alone("hundred-small", &options, MAPS << 20);
}
