//! Durable maps: what `sync`, recovery and seals do, seen from outside.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::crash;
use shf_base::epochs::Epochs;
use shf_base::open::{self, Access};
use shf_engine::{Map, OpError, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::mount::without_proc;
use shf_tests::process::{self, End};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const PAGE_BYTES: usize = 4096;

/// A copy of a map's file, which is another file: opening it recovers it.
struct Copy {
    map: MapFile,
}

impl Copy {
    fn of(file: &MapFile, what: &str) -> Copy {
        let map = MapFile::new(what);
        let status = std::process::Command::new("cp")
            .args(["--sparse=always", "--"])
            .args([file.path(), map.path()])
            .status()
            .unwrap();
        assert!(status.success());
        Copy { map }
    }

    /// A copy with the pages of this one where `chosen` says so, else of the other.
    fn mixed(&self, other: &Copy, what: &str, chosen: impl Fn(u64) -> bool) -> Copy {
        let mixture = Copy::of(&other.map, what);
        let ours = File::open(self.map.path()).unwrap();
        let theirs = OpenOptions::new().write(true).open(mixture.map.path()).unwrap();
        let pages = ours.metadata().unwrap().len() / PAGE_BYTES as u64;
        let (mut page, mut at) = ([0; PAGE_BYTES], 0);
        while let Some(next) = next_data(&ours, at).filter(|next| *next < pages) {
            if chosen(next) {
                let offset = next * PAGE_BYTES as u64;
                ours.read_exact_at(&mut page, offset).unwrap();
                theirs.write_all_at(&page, offset).unwrap();
            }
            at = next + 1;
        }
        mixture
    }

    fn open(&self) -> Map {
        let map = self.map.open();
        assert_sound(&map);
        map
    }
}

/// The first page from `page` on that is no hole.
#[allow(unsafe_code)]
fn next_data(file: &File, page: u64) -> Option<u64> {
    let from = (page * PAGE_BYTES as u64) as i64;
    // SAFETY: plain system call on an open file, whose position nobody uses.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    u64::try_from(found).ok().map(|offset| offset / PAGE_BYTES as u64)
}

fn durable(file: &MapFile, shards: u32) -> Map {
    file.create_durable(shards, 64 << 20)
}

fn get(map: &Map, key: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key.as_bytes(), &mut value).unwrap().then_some(value)
}

#[test]
fn a_copy_of_a_durable_map_is_recovered_whole() {
    // Goal: every kind of record comes back by its seal alone. Method: the file is copied after a
    // sync; the copy has another inode, as a map after a crash of the machine has another boot id.
    let file = MapFile::new("durable-whole");
    let map = durable(&file, 4);
    let mut expected = Vec::new();
    for number in 0..3000 {
        let (key, value) = (format!("key {number}"), vec![number as u8; number % 700]);
        map.put(key.as_bytes(), &value).unwrap();
        expected.push((key, value));
    }
    for len in [255, 256, 300, 20_000] {
        let (key, value) = ("k".repeat(len), vec![7; len]);
        map.put(key.as_bytes(), &value).unwrap();
        expected.push((key, value));
    }
    map.put(b"large", &vec![9; 100_000]).unwrap();
    expected.push(("large".into(), vec![9; 100_000]));
    let long = "i".repeat(300);
    for key in ["count", &long] {
        map.add(key.as_bytes(), 41).unwrap();
        assert_eq!(map.add(key.as_bytes(), 1), Ok(42));
        expected.push((key.into(), 42u64.to_le_bytes().to_vec()));
    }
    map.put(b"deleted", b"value").unwrap();
    map.delete(b"deleted").unwrap();
    map.sync().unwrap();
    assert_sound(&map);
    let copy = Copy::of(&file, "durable-whole-copy");
    let path: PathBuf = copy.map.path();
    let read_only = Map::open_read_only(copy.map.folder(), copy.map.name(), &Options::default());
    assert_eq!(read_only.err(), Some(OpenError::NeedsRecovery { path }));
    let found = copy.open();
    let recovered = found.recovered().expect("a recovery").clone();
    assert_eq!((recovered.shards, recovered.keys), (4, expected.len() as u64));
    assert_eq!(recovered.lost, []);
    for (key, value) in expected {
        assert_eq!(get(&found, &key), Some(value), "{key}");
    }
    assert_eq!(get(&found, "deleted"), None);
    assert!(copy.open().recovered().is_none(), "once is enough");
}

#[test]
fn only_a_durable_map_can_be_synced_and_only_by_who_may_write() {
    let file = MapFile::new("durable-not");
    let map = file.create(1);
    assert_eq!(map.sync(), Err(OpError::NotDurable));
    let file = MapFile::new("durable-read-only");
    let _map = durable(&file, 1);
    assert_eq!(file.open_read_only().sync(), Err(OpError::ReadOnly));
}

#[test]
fn between_two_syncs_a_map_grows_by_what_it_had_and_not_by_what_changes() {
    // Goal: quarantine keeps what the disk may need, once, and ends. Method: all values are
    // replaced many times between two syncs, then many times with a sync after each.
    const RECORD_BYTES: u64 = 136;
    let file = MapFile::new("durable-quarantine");
    let map = durable(&file, 1);
    let put_all = |value: u8| {
        for number in 0..500u32 {
            map.put(&number.to_le_bytes(), &[value; 100]).unwrap();
        }
    };
    put_all(0);
    map.sync().unwrap();
    let before = map.stats().committed_bytes;
    put_all(1);
    let grown = map.stats().committed_bytes;
    assert!(grown > before + 500 * RECORD_BYTES * 9 / 10, "{before} {grown}");
    (2..20).for_each(put_all);
    let more = map.stats().committed_bytes;
    assert!(more < grown + 500 * RECORD_BYTES, "{grown} {more}");
    let copy = Copy::of(&file, "durable-quarantine-copy");
    assert_eq!(copy.open().size(), 500);
    for value in 20..100 {
        put_all(value);
        map.sync().unwrap();
    }
    assert_sound(&map);
    let last = map.stats().committed_bytes;
    assert!(last < more + 3 * 500 * RECORD_BYTES, "{more} {last}");
}

#[test]
fn where_a_crash_of_the_machine_cannot_be_noticed_no_map_is_durable() {
    // Goal: nobody goes on with torn pages unawares. Method: a namespace without /proc, which tells
    // the boot id.
    let file = MapFile::new("durable-boot");
    drop(durable(&file, 1));
    without_proc(|| {
        let opened = Map::open(file.folder(), file.name(), &Options::default()).err();
        let refused = matches!(opened, Some(OpenError::Incompatible { field: "boot id", .. }));
        assert!(refused, "{opened:?}");
        let other = MapFile::new("durable-boot-new");
        let options = Options { durable: Some(true), ..Options::default() };
        let created = Map::create(other.folder(), other.name(), &options).err();
        let refused = matches!(created, Some(OpenError::InvalidOption { option: "durable", .. }));
        assert!(refused, "{created:?}");
    });
    assert_sound(&file.open());
}

#[test]
fn what_the_disk_refuses_is_written_again_by_the_next_sync() {
    // Goal: a flush that failed does not count, and the kernel is not trusted to try again what it
    // dropped. Method: the map says that a flush failed; the next sync stores to every page, and
    // changes nothing, the one after that does not.
    let file = MapFile::new("durable-refused");
    let map = durable(&file, 2);
    for number in 0..2000u32 {
        map.put(&number.to_le_bytes(), &[1; 100]).unwrap();
    }
    let peek = open::open(file.folder(), file.name(), Access::ReadWrite, false).unwrap();
    let epochs = Epochs::new(peek.storage.region());
    let pages = map.stats().committed_bytes / 4096;
    // In a child, whose steps are its own.
    let end = process::run(|| {
        let steps = || {
            crash::arm(0);
            map.sync().unwrap();
            crash::taken()
        };
        steps();
        let usual = steps();
        epochs.set_failed(true);
        steps() >= usual + pages && steps() == usual
    });
    assert_eq!(end, End::Exited(0), "one step for each page, once");
    assert!(!epochs.failed());
    assert_eq!((epochs.durable(), epochs.reusable()), (4, 4));
    assert_sound(&map);
    for number in 0..2000u32 {
        let mut value = Vec::new();
        assert_eq!(map.get(&number.to_le_bytes(), &mut value), Ok(true));
        assert_eq!(value, [1; 100]);
    }
}

#[test]
fn who_may_only_read_is_told_that_a_recovery_was_not_finished() {
    // Goal: no reader meets closed shards without knowing why. Method: who recovers a copy dies
    // half way; then somebody opens it for reading, and for writing.
    let file = MapFile::new("durable-half");
    let map = durable(&file, 4);
    for number in 0..100u32 {
        map.put(&number.to_le_bytes(), b"value").unwrap();
    }
    map.sync().unwrap();
    let copy = Copy::of(&file, "durable-half-copy");
    let end = process::run(|| {
        crash::arm(3000);
        drop(copy.map.open());
        true
    });
    assert_eq!(end, End::Killed(libc::SIGKILL));
    let opened = Map::open_read_only(copy.map.folder(), copy.map.name(), &Options::default());
    assert_eq!(opened.err(), Some(OpenError::NeedsRecovery { path: copy.map.path() }));
    let recovered = copy.open().recovered().cloned().expect("the rest of the recovery");
    assert!((1..4).contains(&recovered.shards), "{recovered:?}");
    assert_eq!(copy.map.open_read_only().size(), 100);
}

#[test]
fn nothing_of_an_earlier_life_comes_back_with_a_later_one() {
    // Goal: an integer and the generation, which no checksum covers, belong to the state that says
    // that the record is live, and all of them to the key, wherever a page ends. Method: counters
    // are deleted, that is synced, and the same ones are added again, most of them where another
    // one was; of the pages, every other one gets to the disk.
    const COUNTERS: u32 = 20_000;
    let file = MapFile::new("durable-lives");
    let map = durable(&file, 1);
    let value = |life: u32, number: u32| i64::from(life * COUNTERS + number);
    let add_all = |life| {
        (0..COUNTERS).for_each(|n| _ = map.add(&n.to_le_bytes(), value(life, n)).unwrap());
    };
    // The first time, runs are shorter.
    for life in [1, 2] {
        add_all(life);
        map.clear().unwrap();
        map.sync().unwrap();
        map.sync().unwrap();
    }
    let old = Copy::of(&file, "durable-lives-old");
    add_all(3);
    let new = Copy::of(&file, "durable-lives-new");
    let uid = |map: &Map, number: u32| map.uid(&number.to_le_bytes()).unwrap();
    let mut found = 0;
    for odd in [0, 1] {
        let mixture = new.mixed(&old, "durable-lives-mixed", |page| page % 2 == odd);
        let recovered = mixture.open();
        for number in 0..COUNTERS {
            let mut bytes = Vec::new();
            if recovered.get(&number.to_le_bytes(), &mut bytes).unwrap() {
                assert_eq!(bytes, value(3, number).to_le_bytes(), "{number}");
                assert_eq!(uid(&recovered, number), uid(&map, number), "{number}");
                found += 1;
            }
        }
    }
    assert!(found > 1000, "{found} of the new ones got to the disk whole");
}

#[test]
fn a_full_map_comes_back_though_the_crash_brings_back_more_than_fits() {
    // Goal: what was synced is there, whatever the maximum says. Method: a map is half filled and
    // synced, emptied, and filled with other keys; the crash keeps both.
    const SYNCED: u32 = 6000;
    let file = MapFile::new("durable-full");
    let map = file.create_durable(1, 1 << 20);
    let put = |number: u32| map.put(&number.to_le_bytes(), &[1; 20]);
    (0..SYNCED).for_each(|number| _ = put(number).unwrap());
    map.sync().unwrap();
    map.clear().unwrap();
    let full = (SYNCED..).find(|&number| put(number).is_err()).unwrap();
    let copy = Copy::of(&file, "durable-full-copy");
    let found = copy.open();
    assert_eq!(found.size(), u64::from(full));
    assert!(found.stats().committed_bytes > 1 << 20, "{:?}", found.stats());
}

#[test]
fn what_recovery_dropped_does_not_come_back_after_the_next_sync() {
    // Goal: a torn record is none for good. Method: a value of equal bytes is torn, and dropped;
    // its key is deleted, which is synced; then more such bytes come to lie where its end was.
    let file = MapFile::new("durable-dropped");
    let map = durable(&file, 1);
    map.put(b"key", b"small").unwrap();
    map.sync().unwrap();
    let synced = Copy::of(&file, "durable-dropped-synced");
    // Something before it, which is written over as a whole.
    map.put(b"first", &[3; 6000]).unwrap();
    map.put(b"key", &[3; 6000]).unwrap();
    assert_eq!(map.delete(b"first"), Ok(true));
    let later = Copy::of(&file, "durable-dropped-later");
    // All that changed but the last page of records.
    let middle = map.geometry().window(0) + map.geometry().window_bytes() / 2;
    let records = |page: &u64| page * (PAGE_BYTES as u64) < middle;
    let last = later_pages(&synced, &later).into_iter().rfind(records).unwrap();
    let torn = later.mixed(&synced, "durable-dropped-torn", |page| page != last);
    let map = torn.open();
    let lost = map.recovered().unwrap().lost.clone();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(get(&map, "key"), Some(b"small".to_vec()));
    assert_eq!(map.delete(b"key"), Ok(true));
    map.sync().unwrap();
    let again = Copy::of(&torn.map, "durable-dropped-again");
    for number in 0..8u8 {
        map.put(&[number], &[3; 9000]).unwrap();
    }
    let after = Copy::of(&torn.map, "durable-dropped-after");
    for split in 0..64 {
        let is_later = |page| page > last - split;
        let mixture = after.mixed(&again, "durable-dropped-mixed", is_later);
        assert_eq!(get(&mixture.open(), "key"), None, "{split}");
    }
    assert_eq!(again.open().recovered().unwrap().lost, [], "it is reported once");
}

/// Record pages that differ between two copies.
fn later_pages(old: &Copy, new: &Copy) -> Vec<u64> {
    let [old, new] = [old, new].map(|copy| File::open(copy.map.path()).unwrap());
    let (mut pages, mut at, mut both) = (Vec::new(), 0, [[0; PAGE_BYTES]; 2]);
    while let Some(page) = next_data(&new, at) {
        let offset = page * PAGE_BYTES as u64;
        old.read_exact_at(&mut both[0], offset).unwrap();
        new.read_exact_at(&mut both[1], offset).unwrap();
        if both[0] != both[1] {
            pages.push(page);
        }
        at = page + 1;
    }
    pages
}
