//! `Map::repair`: what is damaged is found by the records, and nothing that is whole is lost.
//!
//! Each round restores the file of a live map, damages words of one kind, and repairs. The words
//! that records consist of are left alone but in the last test, so all keys must come back.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::crash;
use shf_base::format::LOCK_OFFSET;
use shf_base::geometry::{CHUNKS, PAGE_BYTES, SHARD_HEADER_BYTES};
use shf_base::grace;
use shf_engine::place::{Field, LEVEL_ENTRIES, unpair};
use shf_engine::{Map, OpError};
use shf_tests::board::Board;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

const KEYS: u64 = 3000;
const MAX_BYTES: u64 = 4 << 20;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

struct Scene {
    file: MapFile,
    map: Map,
    image: Image,
    contents: Contents,
}

fn contents(map: &Map) -> Contents {
    let mut all = Contents::new();
    map.for_each(&mut |key, value| {
        all.insert(key.to_vec(), value.to_vec());
        true
    })
    .unwrap();
    all
}

impl Scene {
    /// One shard with small, large and integer records, some replaced and some deleted, and holes
    /// where others were.
    fn new(what: &str) -> Scene {
        grace::set_rest(0);
        let file = MapFile::new(what);
        let map = file.create_with(1, MAX_BYTES);
        let mut random = Random::from_env(8);
        for key in 0..KEYS {
            map.put(&key.to_le_bytes(), &random.bytes(random_len(key))).unwrap();
        }
        for key in (0..KEYS).step_by(3) {
            map.put(&key.to_le_bytes(), &random.bytes(random_len(key + 7))).unwrap();
        }
        for key in (0..KEYS).step_by(5) {
            map.delete(&key.to_le_bytes()).unwrap();
        }
        for large in 0..10u64 {
            map.put(&[large as u8; 300], &random.bytes(20_000 + 3_000 * large as usize)).unwrap();
            map.add(format!("sum {large}").as_bytes(), large as i64).unwrap();
        }
        map.delete(&[3; 300]).unwrap();
        (0..20u64).for_each(|key| _ = map.put(&[key as u8; 5], &[1; 40_000]).unwrap());
        (0..19u64).for_each(|key| _ = map.delete(&[key as u8; 5]).unwrap());
        map.delete(b"none").unwrap();
        assert_sound(&map);
        let (image, contents) = (Image::of(file.folder(), file.name()), contents(&map));
        assert!(map.stats().splits > 3 && map.stats().dead_bytes > 0);
        assert!(image.word(map.geometry().shard_header(0) + Field::Holes as u64) > 20);
        Scene { file, map, image, contents }
    }

    fn header(&self) -> u64 {
        self.map.geometry().shard_header(0)
    }

    fn window(&self) -> u64 {
        self.map.geometry().window(0)
    }

    fn limits(&self) -> (u64, u64) {
        let (records, index) = unpair(self.image.word(self.header() + Field::Limits as u64));
        (records.into(), index.into())
    }

    fn descriptor(&self, page: u64) -> u64 {
        self.window() + self.map.geometry().descriptor(page as u32)
    }

    fn store(&self, offset: u64, value: u64) {
        self.image.file().write_all_at(&value.to_le_bytes(), offset).unwrap();
    }

    /// Repairs, and checks that all is there again.
    fn assert_repairs(&self, what: &str) {
        let repaired = self.map.repair().unwrap();
        assert_sound(&self.map);
        assert!(contents(&self.map) == self.contents, "{what}: {repaired:?}");
        assert_eq!(self.map.size(), self.contents.len() as u64, "{what}");
        self.map.put(b"one more", &[1; 100]).unwrap();
        assert_sound(&self.map);
    }
}

fn random_len(key: u64) -> usize {
    (key * 37 % 150) as usize
}

/// A value that is wrong in one of several ways.
fn wrong(random: &mut Random, old: u64) -> u64 {
    match random.below(4) {
        0 => 0,
        1 => random.next(),
        2 => old ^ 1 << random.below(64),
        _ => u64::MAX,
    }
}

#[test]
fn a_sound_map_is_left_alone() {
    let scene = Scene::new("rebuild-sound");
    let repaired = scene.map.repair().unwrap();
    assert_eq!((repaired.shards, repaired.lost.len()), (0, 0));
    assert_eq!(scene.map.stats().repairs, 0);
}

#[test]
fn an_index_of_which_anything_is_damaged_is_made_anew() {
    // Goal: the index is needed for nothing. Method: random words of the shard's header, the stacks
    // and the index pages, from one of them to all.
    let _watchdog = Watchdog::new("rebuilding an index");
    let (scene, mut random) = (Scene::new("rebuild-index"), Random::from_env(9));
    let (_, index) = scene.limits();
    let header = |words: std::ops::Range<u64>| words.map(|at| scene.header() + at * 8);
    let mut places: Vec<u64> = Vec::new();
    // The lock's own words, which name living processes, and the suspicion are left alone.
    places.extend(header(0..1));
    places.extend(header(2..2 + u64::from(LEVEL_ENTRIES) / 2));
    places.extend(header(LOCK_OFFSET / 8 + 2..LOCK_OFFSET / 8 + 4));
    places.extend(header(Field::Head as u64 / 8..Field::Chunks as u64 / 8 + 1));
    places.extend(header(PAGE_BYTES / 8..SHARD_HEADER_BYTES / 8));
    let chunks = (0..CHUNKS).map(|chunk| scene.window() + scene.map.geometry().chunk(0, chunk));
    places.extend(chunks.flat_map(|chunk| (chunk..chunk + 32).step_by(8)));
    let end = scene.window() + scene.map.geometry().window_bytes();
    let index_words: Vec<u64> = (1..=index * PAGE_BYTES / 8).map(|at| end - at * 8).collect();
    for round in 0..200 {
        scene.image.restore();
        let places = if random.below(2) == 0 { &places } else { &index_words };
        let damages = 1 << random.below(13);
        for _ in 0..damages {
            let at = places[random.below(places.len() as u64) as usize];
            scene.store(at, wrong(&mut random, scene.image.word(at)));
        }
        scene.assert_repairs(&format!("round {round}"));
    }
    scene.image.restore();
    for &at in &index_words {
        scene.store(at, 0);
    }
    scene.assert_repairs("no index at all");
}

#[test]
fn limits_that_are_wrong_are_taken_from_the_file() {
    let scene = Scene::new("rebuild-limits");
    let (records, index) = scene.limits();
    for (r, i) in [(0, 0), (records - 1, index), (records, index - 1), (records + 9, index + 9)] {
        scene.image.restore();
        scene.store(scene.header() + Field::Limits as u64, r | i << 32);
        // What lies there now makes no difference to a map that looks sound.
        scene.store(scene.header() + Field::Tables as u64, 1 << 40);
        scene.assert_repairs(&format!("limits {r} and {i}"));
    }
}

#[test]
fn descriptors_that_are_wrong_are_made_anew_by_what_the_index_knows() {
    let _watchdog = Watchdog::new("rebuilding descriptors");
    let (scene, mut random) = (Scene::new("rebuild-descriptors"), Random::from_env(10));
    let (pages, _) = scene.limits();
    for round in 0..200 {
        scene.image.restore();
        for _ in 0..1 << random.below(8) {
            let at = scene.descriptor(random.below(pages));
            scene.store(at, wrong(&mut random, scene.image.word(at)));
        }
        scene.assert_repairs(&format!("round {round}"));
    }
}

#[test]
fn descriptors_that_all_claim_each_others_pages_end_a_repair() {
    // Goal: P5, the search for runs is bounded whatever the descriptors say. Method: each page says
    // that it begins a log run of sixteen.
    let _watchdog = Watchdog::new("rebuilding from descriptors that overlap");
    let scene = Scene::new("rebuild-overlap");
    let (pages, _) = scene.limits();
    (0..pages).for_each(|page| scene.store(scene.descriptor(page), 1 | 16 << 2));
    scene.assert_repairs("overlapping runs");
}

#[test]
fn a_rebuild_survives_death_at_every_step() {
    // Goal: P2 for the repair of a damaged shard, and that nobody reads what is half made: a get
    // answers rightly or `Busy`. Method: a child dies at each of many steps; the next owner goes
    // on.
    let _watchdog = Watchdog::new("deaths in a rebuild");
    let scene = Scene::new("rebuild-crash");
    let damage = || {
        scene.image.restore();
        scene.store(scene.header() + Field::Tables as u64, 0);
    };
    damage();
    let board = Board::new();
    let end = process::run(|| {
        crash::arm(0);
        let repaired = scene.map.repair().unwrap();
        board.set(0, crash::taken());
        repaired.shards == 1
    });
    assert_eq!(end, End::Exited(0));
    let steps = board.get(0);
    let (reader, mut value) = (scene.file.open_read_only(), Vec::new());
    let mut random = Random::from_env(11);
    let mut busy = 0;
    for n in (1 + random.below(97)..steps).step_by(97) {
        damage();
        let end = process::run(|| {
            let _ = scene.map.delete(b"not there");
            crash::arm(n);
            scene.map.repair().is_ok()
        });
        assert_eq!(end, End::Killed(libc::SIGKILL), "step {n} of {steps}");
        for (key, expected) in &scene.contents {
            match reader.get(key, &mut value) {
                Err(OpError::Busy) => busy += 1,
                found => assert!(found == Ok(true) && value == *expected, "step {n}: {found:?}"),
            }
        }
        // The next owner of the lock goes on with it, if it had got so far.
        assert_eq!(scene.map.delete(b"not there"), Ok(false), "step {n}");
        scene.assert_repairs(&format!("step {n} of {steps}"));
    }
    println!("{steps} steps, {busy} times busy");
    assert!(busy > 0);
}

#[test]
fn records_that_are_damaged_are_lost_alone() {
    // Goal: whatever happens to some records, all others come back, and the map is sound. Method:
    // random words of record pages.
    let _watchdog = Watchdog::new("rebuilding damaged records");
    let (scene, mut random) = (Scene::new("rebuild-records"), Random::from_env(12));
    let (pages, _) = scene.limits();
    let start = scene.window() + scene.map.geometry().pages_offset();
    for round in 0..200 {
        scene.image.restore();
        let damages = 1 << random.below(5);
        for _ in 0..damages {
            let at = start + random.below(pages * PAGE_BYTES / 8) * 8;
            scene.store(at, wrong(&mut random, scene.image.word(at)));
        }
        let repaired = scene.map.repair().unwrap();
        assert_sound(&scene.map);
        let found = contents(&scene.map);
        let missing = scene.contents.iter().filter(|(key, value)| found.get(*key) != Some(value));
        let missing = missing.count();
        assert!(missing <= damages, "round {round}: {missing} of {damages}: {repaired:?}");
    }
}

#[test]
fn a_lost_record_that_reaches_over_a_whole_one_does_not_make_its_run_too_long() {
    // Goal: what is rebuilt is sound. Method: of two records in a page that nothing describes, the
    // first says that it is so long that it ends in the next run, so it cannot be kept.
    let file = MapFile::new("rebuild-overlap");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"long", b"one of it").unwrap();
    map.put(b"whole", b"value").unwrap();
    map.put(b"large", &[7; 17_000]).unwrap();
    let image = Image::of(file.folder(), file.name());
    let store = |at, word: u64| image.file().write_all_at(&word.to_le_bytes(), at).unwrap();
    let window = map.geometry().window(0);
    let record = window + map.geometry().pages_offset();
    let value_len = 0x3fff << 14;
    store(record, image.word(record) & !value_len | 8000 << 14);
    store(window + map.geometry().descriptor(0), 0);
    map.repair().unwrap();
    assert_sound(&map);
    let mut value = Vec::new();
    assert_eq!(map.get(b"whole", &mut value), Ok(true));
    assert_eq!(value, b"value");
    assert_eq!(map.get(b"large", &mut value), Ok(true));
    assert_eq!(map.get(b"long", &mut value), Ok(false));
}

#[test]
fn a_stack_whose_block_is_a_part_of_a_record_is_found_and_emptied() {
    // Goal: the checker does not call sound what makes the next put write over a record. Method: a
    // stack's only block moves to the middle of a live record.
    let file = MapFile::new("rebuild-part");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"whole", &[1; 200]).unwrap();
    map.put(b"gone", b"value").unwrap();
    map.delete(b"gone").unwrap();
    let image = Image::of(file.folder(), file.name());
    let first = map.geometry().window(0) + map.geometry().chunk(0, 0) + 4;
    let middle = map.geometry().pages_offset() / 8 + 4;
    image.file().write_all_at(&middle.to_le_bytes()[..4], first).unwrap();
    assert_eq!(map.verify().unwrap().len(), 1);
    assert_eq!(map.repair().unwrap().shards, 1);
    assert_sound(&map);
    map.put(b"next", b"value").unwrap();
    let mut value = Vec::new();
    assert_eq!(map.get(b"whole", &mut value), Ok(true));
    assert_eq!(value, [1; 200]);
}

#[test]
fn a_large_run_that_says_it_has_the_pages_of_the_next_one_is_found() {
    // Goal: the checker does not call sound what frees the pages of live records with a large one.
    // Method: the run of a large record takes in the log run behind it, so all runs still tile.
    let file = MapFile::new("rebuild-long-run");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"large", &[7; 17_000]).unwrap();
    map.put(b"small", b"value").unwrap();
    let image = Image::of(file.folder(), file.name());
    let descriptor = map.geometry().window(0) + map.geometry().descriptor(0);
    let (large, log) = (image.word(descriptor), image.word(descriptor + 5 * 8));
    assert_eq!((large, log & 7), (2 | 5 << 2, 1 | 1 << 2), "five pages, then a log run of one");
    image.file().write_all_at(&(large + (1 << 2)).to_le_bytes(), descriptor).unwrap();
    assert!(!map.verify().unwrap().is_empty());
    assert_eq!(map.repair().unwrap().shards, 1);
    assert_sound(&map);
    map.delete(b"large").unwrap();
    map.put(b"other", &[8; 20_000]).unwrap();
    let mut value = Vec::new();
    assert_eq!(map.get(b"small", &mut value), Ok(true));
    assert_eq!(value, b"value");
}

#[test]
fn fresh_blocks_that_would_come_from_the_middle_of_a_record_are_found() {
    // Goal: the checker does not call sound what makes the next put write into a record. Method:
    // the head of the log names a page inside of a large run, whose descriptor otherwise says
    // nothing.
    let file = MapFile::new("rebuild-head");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"large", &[7; 17_000]).unwrap();
    map.put(b"small", b"value").unwrap();
    let image = Image::of(file.folder(), file.name());
    let store = |at, word: u64| image.file().write_all_at(&word.to_le_bytes(), at).unwrap();
    let descriptor = map.geometry().window(0) + map.geometry().descriptor(0);
    store(descriptor + 2 * 8, 1 | 1 << 2);
    store(map.geometry().shard_header(0) + Field::Head as u64, 3);
    assert_eq!(map.verify().unwrap().len(), 1);
    assert_eq!(map.repair().unwrap().shards, 1);
    assert_sound(&map);
    map.put(b"other", b"value").unwrap();
    let mut value = Vec::new();
    assert_eq!(map.get(b"large", &mut value), Ok(true));
    assert!(value == [7; 17_000]);
}

#[test]
fn dead_blocks_that_would_be_found_in_the_middle_of_a_record_are_found() {
    // Goal: as above, for what a full map would take for dead. Method: the search for dead blocks
    // begins inside of a large run, where a descriptor, which says nothing, has a dead log run.
    let file = MapFile::new("rebuild-sweep");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"large", &[7; 40_000]).unwrap();
    map.put(b"small", b"value").unwrap();
    let image = Image::of(file.folder(), file.name());
    let store = |at, word: u64| image.file().write_all_at(&word.to_le_bytes(), at).unwrap();
    store(map.geometry().window(0) + map.geometry().descriptor(1), 1 | 8 << 2 | 4096 << 38);
    assert_sound(&map);
    store(map.geometry().shard_header(0) + Field::Sweep as u64, 1);
    assert_eq!(map.verify().unwrap().len(), 1);
    assert_eq!(map.repair().unwrap().shards, 1);
    assert_sound(&map);
}

#[test]
fn a_page_that_does_not_know_its_run_is_found_before_a_record_lies_there() {
    // Method: four records of 2000 bytes make a log run of two pages, of which the second is
    // unused.
    let file = MapFile::new("rebuild-inside");
    let map = file.create_with(1, MAX_BYTES);
    map.put(b"first", &[1; 2000]).unwrap();
    let image = Image::of(file.folder(), file.name());
    let descriptor = map.geometry().window(0) + map.geometry().descriptor(0);
    assert_eq!(image.word(descriptor) & 0xff, 1 | 2 << 2, "a log run of two pages");
    image.file().write_all_at(&(3u64 | 1 << 2).to_le_bytes(), descriptor + 8).unwrap();
    assert_eq!(map.verify().unwrap().len(), 1);
    map.repair().unwrap();
    assert_sound(&map);
    for number in 0..4u64 {
        map.put(&number.to_le_bytes(), &[2; 2000]).unwrap();
        map.put(&number.to_le_bytes(), &[3; 1000]).unwrap();
    }
    assert_sound(&map);
}
