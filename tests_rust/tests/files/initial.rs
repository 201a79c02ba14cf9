//! Maps that have real memory from their creation on: it is there, it is kept, and what does not
//! fit is refused.
#![cfg(feature = "crash-points")]

use shf_base::grace;
use shf_engine::{Map, OpError, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::mount::over_maps;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const FOLDER: &str = "/dev/shm";
const MIB: u64 = 1 << 20;

fn options(shards: u32, max_bytes: u64, initial_bytes: u64) -> Options {
    let (shards, max_bytes, secret) = (Some(shards), Some(max_bytes), Some(shf_tests::secret()));
    let initial_bytes = Some(initial_bytes);
    Options { shards, max_bytes, initial_bytes, secret, ..Options::default() }
}

fn create(file: &MapFile, options: &Options) -> Map {
    Map::create(file.folder(), file.name(), options).unwrap()
}

/// Takes all that the file system has left, to the last page.
fn fill_file_system() -> u64 {
    let mut other = File::create(Path::new(FOLDER).join("somebody-elses")).unwrap();
    let mut bytes = 0;
    while let Ok(()) = other.write_all(&[1; 4096]) {
        bytes += 4096;
    }
    bytes
}

/// Puts numbered keys until one is refused; how many went in.
fn fill(map: &Map, value_bytes: usize) -> u64 {
    let value = vec![7; value_bytes];
    for key in 0u64.. {
        match map.put(&key.to_le_bytes(), &value) {
            Ok(_) => {}
            Err(OpError::NoSpace { .. }) => return key,
            Err(error) => panic!("key {key}: {error}"),
        }
    }
    unreachable!()
}

#[test]
fn what_was_asked_for_is_real_from_the_beginning() {
    // Goal: as much as was asked for, to the page, and no shard without. Method: the blocks of the
    // file, with few and many shards, less than the headers and all that the maximum leaves.
    let front = |shards| shf_base::geometry::Geometry::new(shards, MIB).unwrap().front_real_bytes();
    for (shards, max_bytes, initial_bytes) in [
        (1, 16 * MIB, 1),
        (1, 16 * MIB, front(1) + 1),
        (1, 16 * MIB, 3 * MIB + 5),
        (4, 16 * MIB, 16 * MIB),
        (8, 16 * MIB + 4097, 16 * MIB + 4097),
        (64, 64 * MIB, 20 * MIB),
        (256, 3 * MIB, 2 * MIB),
    ] {
        let what = format!("{shards} shards, {initial_bytes} of {max_bytes} bytes");
        let file = MapFile::new("initial");
        let map = create(&file, &options(shards, max_bytes, initial_bytes));
        let stats = map.stats();
        assert_eq!(file.real_bytes(), stats.committed_bytes, "{what}");
        let rounded = u64::from(shards) * 4096;
        let wanted = initial_bytes.max(front(shards));
        let least = if wanted + rounded <= max_bytes { wanted } else { max_bytes - rounded };
        let committed = least..=(wanted + rounded).min(max_bytes);
        assert!(committed.contains(&stats.committed_bytes), "{what}: {stats:?}");
        assert_sound(&map);
        drop(map);
        let again = file.open();
        assert_eq!(again.stats().unused_bytes, stats.unused_bytes, "{what}");
        assert_sound(&again);
    }
}

#[test]
fn a_map_goes_on_with_what_it_has_when_somebody_else_has_filled_the_file_system() {
    // Goal: puts up to the initial size succeed. Method: a small tmpfs that is full, to the last
    // page, right after the creation; records of several sizes until one is refused. Shards do not
    // fill up alike, so a little less than all of it. Small records need a larger index, which the
    // number of keys asks for.
    for (value_bytes, expected_keys) in [(92, None), (200, None), (2000, None), (12, Some(150_000))]
    {
        over_maps(24 * MIB, || {
            let initial_bytes = 12 * MIB;
            let options = Options { expected_keys, ..options(4, 20 * MIB, initial_bytes) };
            let map = Map::create(Path::new(FOLDER), "map", &options).unwrap();
            let before = map.stats();
            assert!(before.committed_bytes >= initial_bytes, "{before:?}");
            assert!(fill_file_system() > 8 * MIB);
            let keys = fill(&map, value_bytes);
            let stats = map.stats();
            println!("{value_bytes} bytes: {keys} keys, {stats:?}");
            assert_eq!(stats.committed_bytes, before.committed_bytes, "nothing came in addition");
            let used = stats.live_bytes + stats.index_bytes;
            let enough = match expected_keys {
                Some(expected_keys) => keys >= expected_keys,
                None => used > initial_bytes * 8 / 10,
            };
            assert!(enough, "{value_bytes} bytes: {keys} keys, {stats:?}");
            assert_sound(&map);
            let mut value = Vec::new();
            assert!((0..keys).all(|key| map.get(&key.to_le_bytes(), &mut value) == Ok(true)));
        });
    }
}

#[test]
fn without_it_a_map_on_a_full_file_system_takes_nothing() {
    // That the test above sees what it should: the same without initial bytes.
    over_maps(24 * MIB, || {
        let options = Options { initial_bytes: None, ..options(4, 20 * MIB, 0) };
        let map = Map::create(Path::new(FOLDER), "map", &options).unwrap();
        fill_file_system();
        assert_eq!(fill(&map, 200), 0);
    });
}

#[test]
fn more_than_there_is_or_may_be_is_refused_and_leaves_nothing_behind() {
    let file = MapFile::new("initial-refused");
    let refused = |options| Map::create(file.folder(), file.name(), &options).err();
    assert_eq!(
        refused(options(4, MIB, MIB + 1)),
        Some(OpenError::InvalidOption {
            option: "initial_bytes",
            expected: "at most max_bytes, 1048576".into(),
            found: "1048577".into(),
        })
    );
    over_maps(8 * MIB, || {
        let free_bytes = || {
            let found = free_bytes_of(FOLDER);
            assert_eq!(fs::read_dir(FOLDER).unwrap().count(), 0);
            found
        };
        let before = free_bytes();
        let path = Path::new(FOLDER).join("map.shf");
        let no_space = |needed_bytes| Some(OpenError::NoSpace { path: path.clone(), needed_bytes });
        for (max_bytes, initial_bytes) in
            [(Some(64 * MIB), 9 * MIB), (Some(64 * MIB), 60 * MIB), (None, 9 * MIB)]
        {
            let options = Options { max_bytes, ..options(4, 0, initial_bytes) };
            let error = Map::create(Path::new(FOLDER), "map", &options).err();
            assert_eq!(error, no_space(initial_bytes));
            assert_eq!(free_bytes(), before);
        }
        let options = options(4, 64 * MIB, 6 * MIB);
        Map::create(Path::new(FOLDER), "map", &options).unwrap().put(b"key", b"value").unwrap();
    });
}

/// Bytes that a file system has left.
fn free_bytes_of(folder: &str) -> u64 {
    let folder = std::ffi::CString::new(folder).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: a string and a structure that outlive the call.
    unsafe {
        let mut found = std::mem::zeroed::<libc::statvfs>();
        assert_eq!(libc::statvfs(folder.as_ptr(), &mut found), 0);
        found.f_bavail * found.f_frsize
    }
}

#[test]
fn what_a_map_has_from_the_beginning_it_keeps() {
    // Goal: neither records nor index fall below it, however the map shrinks, and what came in
    // addition goes back. Method: a map that grows to more, and is emptied with no rest for what is
    // free, again and again; and one that is never more than almost empty.
    grace::set_rest(0);
    let file = MapFile::new("initial-kept");
    let initial_bytes = 8 * MIB;
    let map = create(&file, &options(2, 64 * MIB, initial_bytes));
    let initial = map.stats();
    for round in 0..3u64 {
        for _ in 0..5000 {
            map.put(b"one", b"more").unwrap();
            map.delete(b"one").unwrap();
        }
        let (now, all) = (map.stats(), initial.committed_bytes + (64 << 10));
        let kept = initial.committed_bytes..=if round == 0 { initial.committed_bytes } else { all };
        assert!(kept.contains(&now.committed_bytes), "round {round}: {now:?}");
        assert_eq!(file.real_bytes(), now.committed_bytes);
        for key in 0..100_000u64 {
            map.put(&key.to_le_bytes(), &[1; 150]).unwrap();
        }
        let grown = map.stats();
        assert!(grown.committed_bytes > 2 * initial_bytes, "{grown:?}");
        for key in 0..100_000u64 {
            map.delete(&key.to_le_bytes()).unwrap();
        }
        for key in 0..20_000u64 {
            map.put(&key.to_le_bytes(), b"").unwrap();
            map.delete(&key.to_le_bytes()).unwrap();
        }
        let emptied = map.stats();
        let committed = initial.committed_bytes..grown.committed_bytes / 2;
        assert!(committed.contains(&emptied.committed_bytes), "round {round}: {emptied:?}");
        assert_eq!(file.real_bytes(), emptied.committed_bytes);
        assert_sound(&map);
        map.clear().unwrap();
    }
    // Another process, which did not create it, keeps it as well: it stands in the file.
    drop(map);
    let opened = file.open();
    for _ in 0..5000 {
        opened.put(b"one", b"more").unwrap();
        opened.delete(b"one").unwrap();
    }
    assert!(opened.stats().committed_bytes >= initial.committed_bytes);
    assert_eq!(fs::metadata(file.path()).unwrap().blocks() * 512, opened.stats().committed_bytes);
}

#[test]
fn a_cache_uses_all_that_it_has_from_the_beginning() {
    // Goal: a map that evicts and whose maximum is all real from the start goes on for ever.
    let file = MapFile::new("initial-cache");
    let options = Options { evict: true, ..options(2, 8 * MIB, 8 * MIB) };
    let map = create(&file, &options);
    for key in 0..200_000u64 {
        map.put(&key.to_le_bytes(), &[3; 100]).unwrap();
    }
    let stats = map.stats();
    assert!(stats.evicted_keys > 100_000 && stats.keys > 30_000, "{stats:?}");
    assert_eq!(file.real_bytes(), stats.committed_bytes);
    assert_sound(&map);
}

#[test]
fn expected_keys_choose_the_shards_and_take_no_memory() {
    // Goal: the documentation of the option. Method: few keys, many, and more than go in.
    let shards = |expected_keys: u64, shards: Option<u32>| {
        let file = MapFile::new("expected");
        let (max_bytes, expected_keys) = (Some(1 << 30), Some(expected_keys));
        let map =
            create(&file, &Options { shards, max_bytes, expected_keys, ..Options::default() });
        assert_eq!(map.stats().committed_bytes, map.stats().front_bytes);
        map.put(b"key", b"value").unwrap();
        map.geometry().shards()
    };
    assert_eq!(shards(100, None), 1);
    assert_eq!(shards(100_000, None), 128);
    assert_eq!(shards(10_000_000, None), 256);
    assert_eq!(shards(4 << 30, None), 1024);
    assert_eq!(shards(4 << 30, Some(8)), 8, "shards that are asked for");
    let file = MapFile::new("expected-few");
    let map = create(&file, &Options { expected_keys: Some(10), ..options(1, 4 * MIB, MIB) });
    assert!(fill(&map, 10) > 50_000, "it is no limit");
}
