//! The format, held fast: files that earlier builds wrote, byte by byte.
//!
//! `golden/format-N.txt` is a map of format version N, `golden/format-N-durable.txt` a durable one,
//! `golden/format-N-fixed.txt` one with fixed lengths (their notation: `shf_tests::golden`).
//!
//! When the bytes differ after a change, ask whether the committed file is still read:
//! - It is not, or an earlier build would not read the new one: the format changed. Raise
//!   `format::VERSION`, adapt the layout fingerprint and write the golden file of the new version;
//!   the old one stays, to be refused.
//! - Both builds read both: only a choice changed, such as where a record goes. Write it again.
//!
//! `SHF_GOLDEN_WRITE=1 cargo test -p shf-tests --test golden` writes them.
#![cfg(not(any(miri, loom)))]

use shf_base::format::{FileHeader, IDENTITY_OFFSET, VERSION};
use shf_base::geometry::{Geometry, SLOT_RECORD_BYTES, SLOTS};
use shf_base::open::HEAP_SECRET;
use shf_engine::hash::Hash;
use shf_engine::place::{Field, INTENT_ENTRIES};
use shf_engine::{Age, Elements, FixedLengths, Kind, Map, OpError, OpenError, Options, Value};
use shf_tests::assert_sound;
use shf_tests::golden::Golden;
use shf_tests::map_file::MapFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SHARDS: u32 = 2;
const WINDOW_BYTES: u64 = 1 << 20;
const MAX_BYTES: u64 = 2 << 20;
/// Boot id, device and inode, which every machine has its own of.
const IDENTITY_BYTES: u64 = 32;
/// Keys without a value in the first shard, enough to split its table.
const SMALL_KEYS: usize = 760;
/// In a durable map, where each takes more.
const SMALL_KEYS_DURABLE: usize = 200;
/// Where the intent begins in a shard header; what it holds while none is pending says nothing.
const INTENT_OFFSET: u64 = Field::Dead as u64 + 8;
const LARGE_BYTES: usize = 20_000;

/// The maps that there are golden files of.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Any,
    Durable,
    /// With fixed lengths: 8 bytes and 4, so that records end with a word.
    Fixed,
}

const FIXED: FixedLengths = FixedLengths { key_bytes: 8, value_bytes: 4 };

impl Of {
    const ALL: [Of; 3] = [Of::Any, Of::Durable, Of::Fixed];

    fn suffix(self) -> &'static str {
        match self {
            Of::Any => "",
            Of::Durable => "-durable",
            Of::Fixed => "-fixed",
        }
    }

    /// Fills a map.
    fn fill(self, map: &Map) -> BTreeMap<Vec<u8>, Vec<u8>> {
        match self {
            Of::Any => fill(map, SMALL_KEYS),
            Of::Durable => fill(map, SMALL_KEYS_DURABLE),
            Of::Fixed => fill_fixed(map),
        }
    }

    /// What the map holds.
    fn expected(self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        match self {
            Of::Fixed => self.fill(&Map::fixed_heap(SHARDS, WINDOW_BYTES, MAX_BYTES, FIXED)),
            _ => self.fill(&Map::heap(SHARDS, WINDOW_BYTES, MAX_BYTES)),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn golden_path(version: u64, of: Of) -> PathBuf {
    folder().join(format!("format-{version}{}.txt", of.suffix()))
}

/// Fills a map with one of everything. Lengths that may take used memory again are multiples of 8:
/// what the last word of a record holds beyond its bytes is not part of the format.
fn fill(map: &Map, small_keys: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    let mut put = |key: &[u8], value: &[u8]| {
        map.put(key, value).unwrap();
        expected.insert(key.to_vec(), value.to_vec());
    };
    let in_first_shard = |key: &[u8; 4]| Hash::of(key, HEAP_SECRET).shard(SHARDS) == 0;
    for key in (0..).map(u32::to_le_bytes).filter(in_first_shard).take(small_keys) {
        put(&key, b"");
    }
    put(b"", b"the empty key");
    put(b"text", "\u{fc}ber\0".as_bytes());
    for len in [1, 7, 8, 9, 100] {
        put(format!("a value of {len} bytes").as_bytes(), &vec![len as u8; len]);
    }
    // Mostly zeros, so that the golden file stays small.
    let mut large = vec![0; LARGE_BYTES];
    (large[0], large[LARGE_BYTES / 2], large[LARGE_BYTES - 1]) = (1, 2, 3);
    put(b"large", &large);
    // Long keys keep their hash, in small and large records and in integers.
    put(&[b'k'; 256], b"eight...");
    put(&[b'l'; 264], &[0; LARGE_BYTES]);
    // What follows keeps the memory of what was there before in a durable map.
    assert!(matches!(map.sync(), Ok(()) | Err(OpError::NotDurable)));
    put(b"replaced", &[1; 64]);
    put(b"replaced", &[2; 64]);
    put(b"replaced", &[3; 80]);
    put(b"large and gone", &[0; LARGE_BYTES]);
    put(b"deleted!", &[4; 48]);
    put(b"deleted.", &[5; 48]);
    for key in [&b"large and gone"[..], b"deleted!", b"deleted."] {
        assert_eq!(map.delete(key), Ok(true));
        expected.remove(key);
    }
    let long = [b'i'; 256];
    for (key, delta) in [(&b"count"[..], 41), (b"count", 1), (b"negative", -5), (&long, 7)] {
        let sum = map.add(key, delta).unwrap();
        expected.insert(key.to_vec(), sum.to_le_bytes().to_vec());
    }
    let typed = [
        (&b"unsigned"[..], Value::Unsigned(u64::MAX), &u64::MAX.to_le_bytes()[..]),
        (b"double", Value::Double(0.5), &0.5f64.to_le_bytes()),
        (b"a text", Value::Text("\u{fc}ber"), "\u{fc}ber".as_bytes()),
        (b"boolean", Value::Boolean(true), &[1]),
    ];
    for (key, value, bytes) in typed {
        map.put_value(key, value).unwrap();
        expected.insert(key.to_vec(), bytes.to_vec());
    }
    // Of all deadlines this one alone is the same each time.
    for (key, value, bytes) in [typed[0], typed[2], (&[b't'; 256], Value::Bytes(b"x"), b"x")] {
        let key = [b"timed ", key].concat();
        map.put_for(&key, value, Age::Of(Duration::from_secs(1))).unwrap();
        assert_eq!(map.touch(&key, Age::Never), Ok(true));
        expected.insert(key, bytes.to_vec());
    }
    // An element's key has 12 bytes; its own length makes whole words of both.
    for (key, len) in
        [(&b"list"[..], 4), (&[b'L'; 256], 12), (b"list of a large one", LARGE_BYTES + 4)]
    {
        for element in 0..3u8 {
            let mut value = vec![0; if element == 1 { len } else { 4 }];
            value[0] = element;
            map.push(key, &value).unwrap();
        }
        map.unshift(key, &[3; 4]).unwrap();
        assert_eq!(map.pop(key, &mut Vec::new()), Ok(Some(4)));
        expected.insert(key.to_vec(), 3u64.to_le_bytes().to_vec());
    }
    assert_eq!(map.push(b"list gone", &[4; 4]), Ok(1));
    assert_eq!(map.delete(b"list gone"), Ok(true));
    expected
}

/// Fills a map with fixed lengths: new keys, so many that a table splits, and replaced and deleted
/// ones.
fn fill_fixed(map: &Map) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    let in_first_shard = |key: &[u8; 8]| Hash::of(key, HEAP_SECRET).shard(SHARDS) == 0;
    let keys = (0..).map(u64::to_le_bytes).filter(in_first_shard).take(SMALL_KEYS);
    for (number, key) in (0u32..).zip(keys).chain([(1 << 24, *b"the key!")]) {
        map.put(&key, &number.to_le_bytes()).unwrap();
        if number % 10 == 0 {
            map.put(&key, &(number + 1).to_le_bytes()).unwrap();
        }
        match number % 10 {
            0 => drop(expected.insert(key.to_vec(), (number + 1).to_le_bytes().to_vec())),
            9 => assert_eq!(map.delete(&key), Ok(true)),
            _ => drop(expected.insert(key.to_vec(), number.to_le_bytes().to_vec())),
        }
    }
    expected
}

/// Builds the map on an empty file with a fixed header, as creation makes it with a random one.
/// Attaching finds that the file is a stranger's, so each shard is repaired once: that is part of
/// the golden file too.
fn build(file: &MapFile, of: Of) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let geometry = Geometry::new(SHARDS, WINDOW_BYTES).unwrap();
    let plain = FileHeader::plain(geometry, MAX_BYTES, HEAP_SECRET, 0x1234_5678_9abc_def0);
    let (durable, fixed) = (of == Of::Durable, (of == Of::Fixed).then_some(FIXED));
    let header = FileHeader { durable, fixed, ..plain };
    Golden { len: geometry.file_bytes(), words: BTreeMap::new() }.expand(&file.path());
    let bytes = header.encode();
    let raw = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&raw, &bytes, 0).unwrap();
    let map = file.open();
    let expected = of.fill(&map);
    assert!(durable || map.stats().splits > 0, "a table has split");
    assert_sound(&map);
    expected
}

/// Asserts that a map holds exactly these pairs, through `get` and through the walk.
fn assert_holds(map: &Map, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut found = Vec::new();
    for (key, value) in expected {
        if map.kind(key) == Ok(Some(Kind::List)) {
            let mut elements = Elements::new();
            map.range(key, 0, 9, &mut elements).unwrap();
            assert_eq!((elements.len() as u64).to_le_bytes()[..], value[..], "{key:?}");
            assert!(elements.iter().map(|element| element[0]).eq([3, 0, 1]), "{key:?}");
            continue;
        }
        assert_eq!(map.get(key, &mut found), Ok(true), "{key:?}");
        assert_eq!(&found, value, "{key:?}");
    }
    let mut walked = BTreeMap::new();
    map.for_each(&mut |key, value| walked.insert(key.to_vec(), value.to_vec()).is_none()).unwrap();
    assert!(walked == *expected, "the walk sees every key once");
}

#[test]
fn this_build_writes_the_bytes_of_the_golden_file() {
    compare(Of::Any);
}

#[test]
fn this_build_writes_the_bytes_of_the_golden_file_of_a_durable_map() {
    compare(Of::Durable);
}

#[test]
fn this_build_writes_the_bytes_of_the_golden_file_of_a_map_with_fixed_lengths() {
    compare(Of::Fixed);
}

fn compare(of: Of) {
    let file = MapFile::new(&format!("golden-write{}", of.suffix()));
    build(&file, of);
    let mut written = Golden::of(&file.path());
    written.forget(IDENTITY_OFFSET, IDENTITY_BYTES);
    let geometry = Geometry::new(SHARDS, WINDOW_BYTES).unwrap();
    // Who attached, and when.
    written.forget(geometry.slot_record(0), u64::from(SLOTS) * SLOT_RECORD_BYTES);
    for header in (0..SHARDS).map(|shard| geometry.shard_header(shard)) {
        written.forget(header + INTENT_OFFSET, INTENT_ENTRIES * 16);
    }
    let path = golden_path(VERSION, of);
    if std::env::var_os("SHF_GOLDEN_WRITE").is_some() {
        let comment = format!("A map of format version {VERSION}, written by tests/golden.rs.");
        std::fs::write(&path, written.text(&comment)).unwrap();
        println!("wrote {}", path.display());
    }
    let text = std::fs::read_to_string(&path).expect("a golden file for this version");
    assert!(text.len() < 64 << 10, "a golden file stays small: {} bytes", text.len());
    let golden = Golden::parse(&text);
    assert_eq!(written.len, golden.len, "length of the file");
    let offsets: BTreeSet<&u64> = golden.words.keys().chain(written.words.keys()).collect();
    for at in &offsets {
        let word = |from: &Golden| from.words.get(at).copied().unwrap_or(0);
        let (expected, found) = (word(&golden), word(&written));
        assert_eq!(found, expected, "at {at:#x}: {found:#018x} written, {expected:#018x} expected");
    }
}

#[test]
fn the_golden_file_of_this_version_is_read_written_and_sound() {
    take_over(Of::Any);
}

#[test]
fn the_golden_file_of_a_durable_map_is_recovered_written_and_sound() {
    take_over(Of::Durable);
}

#[test]
fn the_golden_file_of_a_map_with_fixed_lengths_is_read_written_and_sound() {
    take_over(Of::Fixed);
}

/// Goal: later builds of the same version take over earlier maps. Method: expand the golden file,
/// read all, through a handle that cannot write first; then change it.
fn take_over(of: Of) {
    let golden = Golden::parse(&std::fs::read_to_string(golden_path(VERSION, of)).unwrap());
    let expected = of.expected();
    let file = MapFile::new(&format!("golden-read{}", of.suffix()));
    golden.expand(&file.path());
    if of != Of::Durable {
        assert_holds(&file.open_read_only(), &expected);
    }
    let map = file.open();
    assert_holds(&map, &expected);
    assert_sound(&map);
    let changed: &[u8] = if of == Of::Fixed { b"lost" } else { b"changed" };
    assert!(of == Of::Fixed || map.add(b"count", 1) == Ok(43));
    for key in expected.keys() {
        map.put(key, changed).unwrap();
        assert_eq!(map.contains(key), Ok(true));
    }
    assert_sound(&map);
    assert_eq!(map.clear(), Ok(expected.len() as u64));
    assert_sound(&map);
}

#[test]
fn golden_files_of_other_versions_are_refused_by_their_version() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if Of::ALL.map(|of| golden_path(VERSION, of)).contains(&path) {
            continue;
        }
        let file = MapFile::new("golden-other");
        Golden::parse(&std::fs::read_to_string(&path).unwrap()).expand(&file.path());
        let opened = Map::open(file.folder(), file.name(), &Options::default());
        let error = opened.err();
        let refused = matches!(error, Some(OpenError::Incompatible { field: "version", .. }));
        assert!(refused, "{}: {error:?}", path.display());
    }
}

#[test]
fn the_text_of_a_golden_file_says_all_that_the_file_says() {
    let file = MapFile::new("golden-text");
    build(&file, Of::Any);
    let golden = Golden::of(&file.path());
    assert_eq!(Golden::parse(&golden.text("a comment")), golden);
    let copy = MapFile::new("golden-copy");
    golden.expand(&copy.path());
    assert_eq!(Golden::of(&copy.path()), golden);
}
