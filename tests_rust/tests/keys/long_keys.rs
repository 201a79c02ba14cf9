//! Keys so long that their records keep their hash: no split and no move reads them again.

use shf_engine::Map;
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

const SMALL_BYTES: usize = 300;
const LARGE_BYTES: usize = 20_000;
/// The front of the record pages, where the first records lie.
const FRONT_BYTES: usize = 64 << 10;

/// A key of `len` bytes; its number is in front, and all that follows is the same byte.
fn key(number: u32, len: usize) -> Vec<u8> {
    let mut key = vec![0xa5; len];
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

/// Changes one byte of the file; `at` says which, from where the key is.
fn damage(file: &MapFile, map: &Map, key: &[u8], at: impl Fn(usize) -> usize) {
    let front = map.geometry().window(0) + map.geometry().pages_offset();
    let mut bytes = vec![0; FRONT_BYTES];
    File::open(file.path()).unwrap().read_exact_at(&mut bytes, front).unwrap();
    let mut words = (0..bytes.len()).step_by(8);
    let found = words.find(|&at| bytes[at..].starts_with(key)).unwrap();
    let raw = OpenOptions::new().write(true).open(file.path()).unwrap();
    let at = at(found);
    raw.write_all_at(&[!bytes[at]], front + at as u64).unwrap();
}

fn violations(map: &Map) -> Vec<String> {
    map.verify().unwrap().into_iter().map(|violation| violation.what).collect()
}

#[test]
fn long_keys_are_found_after_splits_and_changes() {
    // Goal: keys around the limit behave as others do, small, large, and as integers. Method:
    // enough of them for splits of several depths.
    let map = Map::heap(1, 256 << 20, u64::MAX);
    let values = |number: u32, round: u8| ((number + u32::from(round)) % 9) as usize * 100;
    let mut value = Vec::new();
    for round in 0..2u8 {
        for number in 0..6000 {
            let len = [255, 256, 257, SMALL_BYTES, 4000][number as usize % 5];
            map.put(&key(number, len), &vec![round; values(number, round)]).unwrap();
        }
        for number in 0..1000 {
            assert!(map.add(&key(number, 260 + number as usize % 3), 1).is_ok());
        }
        for number in 0..100 {
            map.put(&key(number, LARGE_BYTES), &[round; 5]).unwrap();
        }
        assert_sound(&map);
    }
    assert!(map.stats().splits > 8, "{:?}", map.stats());
    for number in 0..6000 {
        let len = [255, 256, 257, SMALL_BYTES, 4000][number as usize % 5];
        assert_eq!(map.get(&key(number, len), &mut value), Ok(true), "{number}");
        assert_eq!(value, vec![1; values(number, 1)]);
    }
    assert_eq!(map.delete(&key(7, LARGE_BYTES)), Ok(true));
    assert_eq!(map.contains(&key(7, LARGE_BYTES)), Ok(false));
    assert_sound(&map);
}

#[test]
fn a_split_places_a_long_key_by_the_hash_that_its_record_keeps() {
    // Goal: P3, a split does not read keys of any length. Method: the last byte of a key is changed
    // in the file behind the map's back; the splits that follow still put its slot where the hash
    // before the key says, and only the checker, which reads the key, notices.
    for len in [SMALL_BYTES, LARGE_BYTES] {
        let file = MapFile::new(&format!("long-{len}"));
        let map = file.create(1);
        map.put(&key(0, len), b"value").unwrap();
        damage(&file, &map, &key(0, len), |found| found + len - 1);
        let mut number = 0u32;
        while map.stats().splits < 64 {
            map.put(&number.to_le_bytes(), b"").unwrap();
            number += 1;
        }
        assert_eq!(violations(&map), ["the key's hash in the record is another's"], "{len}");
    }
}

#[test]
fn the_checker_finds_a_wrong_hash_in_a_record() {
    for len in [SMALL_BYTES, LARGE_BYTES] {
        let file = MapFile::new(&format!("wrong-hash-{len}"));
        let map = file.create(1);
        map.put(&key(0, len), b"value").unwrap();
        assert_sound(&map);
        damage(&file, &map, &key(0, len), |found| found - 1);
        let found = violations(&map);
        assert!(found.contains(&"the key's hash in the record is another's".into()), "{found:?}");
    }
}
