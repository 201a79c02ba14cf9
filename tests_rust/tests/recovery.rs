//! What recovery must not bring back, and what it must find: single cases, each composed by hand.
//!
//! `reboot.rs` looks for such cases at random; what it found stands here.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::geometry::PAGE_BYTES;
use shf_engine::Map;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::reboot::crash::new_file;
use shf_tests::reboot::disk::{Disk, Moment};
use shf_tests::reboot::engine;
use shf_tests::reboot::judge::contents;
use shf_tests::reboot::mixture::Mixture;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::os::unix::fs::FileExt;

const MAX_BYTES: u64 = 4 << 20;

/// A durable map of one shard, and the versions of its pages.
struct Scene {
    file: MapFile,
    map: Map,
    disk: Disk,
}

impl Scene {
    fn new() -> Scene {
        let file = new_file();
        let options = engine::options(1, MAX_BYTES, 7);
        let map = Map::create(file.folder(), file.name(), &options).unwrap();
        let disk = Disk::of(&file.path());
        Scene { file, map, disk }
    }

    /// Syncs; what a disk has then.
    fn sync(&mut self) -> Moment {
        engine::sync(&self.map, &self.file.path()).unwrap();
        self.disk.snapshot()
    }

    /// The map that is found after a crash that left each page as it was at a moment.
    fn crash(&self, moment: impl Fn(u64) -> Moment) -> Scene {
        let pages = self.disk.pages().map(|page| (page, self.disk.at(page, moment(page))));
        let file = new_file();
        Mixture::new(self.disk.bytes(), pages.collect()).write(&file.path());
        let map = engine::open(&file).unwrap();
        assert!(map.recovered().is_some());
        assert_sound(&map);
        let disk = Disk::of(&file.path());
        Scene { file, map, disk }
    }

    /// The page of the shard's header.
    fn header_page(&self) -> u64 {
        self.map.geometry().shard_header(0) / PAGE_BYTES
    }
}

fn put(map: &Map, keys: std::ops::Range<u64>, len: usize) {
    keys.for_each(|key| _ = map.put(&key.to_le_bytes(), &vec![key as u8; len]).unwrap());
}

fn present(map: &Map, keys: std::ops::Range<u64>) -> Vec<u64> {
    keys.filter(|key| map.contains(&key.to_le_bytes()).unwrap()).collect()
}

#[test]
fn what_lies_behind_limits_that_are_older_does_not_come_back_when_the_map_grows() {
    // Goal: a key that was not there after a recovery, and that nobody put since, is not there
    // after the next one. Method: the disk gets the records of a growth step, but not the header
    // that tells of it; later the shard grows over the same pages, with records of another size.
    let mut scene = Scene::new();
    put(&scene.map, 0..10, 100);
    let old = scene.sync();
    put(&scene.map, 1000..4000, 100);
    let new = scene.disk.snapshot();
    let header = scene.header_page();
    let mut scene = scene.crash(|page| if page == header { old } else { new });
    assert_eq!(present(&scene.map, 0..10).len(), 10);
    let there = present(&scene.map, 1000..4000);
    put(&scene.map, 5000..5030, 2500);
    let last = scene.sync();
    let scene = scene.crash(|_| last);
    assert_eq!(present(&scene.map, 1000..4000), there);
    assert_eq!(present(&scene.map, 5000..5030).len(), 30);
}

/// Where a value lies in a file.
fn offset_of(disk: &Disk, moment: Moment, value: &[u8]) -> u64 {
    let begins = &value[..24];
    let found = disk.pages().find_map(|number| {
        let page = disk.at(number, moment)?;
        let at = page.windows(begins.len()).position(|bytes| bytes == begins)?;
        Some(number * PAGE_BYTES + at as u64)
    });
    found.expect("the first bytes of the value lie in one page")
}

#[test]
fn a_value_that_a_stranger_changed_is_named_and_dropped_alone() {
    // Goal: a durable map knows that a value is not the one that was put. Method: one bit of a
    // value of some length is turned, again and again.
    let _watchdog = Watchdog::new("a damaged value");
    let (mut scene, mut random) = (Scene::new(), Random::from_env(305));
    put(&scene.map, 0..500, 60);
    let values: Vec<_> = [24, 25, 100, 3000, 16_000, 20_000, 70_000]
        .map(|len| (format!("key {len}").into_bytes(), random.bytes(len)))
        .into();
    values.iter().for_each(|(key, value)| _ = scene.map.put(key, value).unwrap());
    let moment = scene.sync();
    let (image, all) = (Image::of(scene.file.folder(), scene.file.name()), contents(&scene.map));
    for round in 0..200 {
        image.restore();
        let (key, value) = &values[random.below(values.len() as u64) as usize];
        let at = random.below(value.len() as u64);
        let offset = offset_of(&scene.disk, moment, value) + at;
        let turned = value[at as usize] ^ 1 << random.below(8);
        image.file().write_all_at(&[turned], offset).unwrap();
        let what = format!("round {round}, byte {at} of {}", value.len());
        let violations = scene.map.verify().unwrap();
        assert_eq!(violations.len(), 1, "{what}: {violations:?}");
        assert!(violations[0].slot.is_some() && violations[0].offset <= offset, "{what}");
        let repaired = scene.map.repair().unwrap();
        assert_eq!((repaired.shards, repaired.lost.len()), (1, 1), "{what}: {repaired:?}");
        assert_sound(&scene.map);
        let mut expected = all.clone().unwrap();
        expected.remove(key);
        assert!(contents(&scene.map).unwrap() == expected, "{what}");
    }
}

#[test]
fn what_was_deleted_in_an_epoch_that_never_became_durable_does_not_come_back_in_the_next_one() {
    // Goal: a key that was not there after a recovery is not there after the next one. Method: the
    // first sync of a map is cut off before its number is on the disk, while others delete.
    let mut scene = Scene::new();
    put(&scene.map, 0..10, 100);
    let old = scene.disk.snapshot();
    scene.sync();
    (3..6).for_each(|key| _ = scene.map.delete(&u64::to_le_bytes(key)).unwrap());
    let new = scene.disk.snapshot();
    let mut scene = scene.crash(|page| if page == 0 { old } else { new });
    assert_eq!(present(&scene.map, 3..6), [] as [u64; 0]);
    let last = scene.sync();
    let scene = scene.crash(|_| last);
    assert_eq!(present(&scene.map, 3..6), [] as [u64; 0]);
}
