//! A stranger cuts the file short while it is mapped: who would have to grow it is told so.
//!
//! What was cut off is SIGBUS to touch, for everybody who has it mapped, and no check before can
//! rule that out. So these tests cut off what no record and no table lies in: the window of a shard
//! that holds no key.
#![cfg(not(any(miri, loom)))]

use shf_engine::hash::Hash;
use shf_engine::{Map, OpError, OpenError, Options, Status};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;

const SHARDS: u32 = 4;
const EMPTY: u32 = SHARDS - 1;

/// Keys of a shard.
fn keys_of(shard: u32) -> impl Iterator<Item = [u8; 8]> {
    let secret = shf_tests::secret();
    let home = move |key: &[u8; 8]| Hash::of(key, secret).shard(SHARDS) == shard;
    (0u64..).map(u64::to_le_bytes).filter(home)
}

/// A map whose last shard is empty, and whose file ends where that shard's window begins.
struct CutShort {
    file: MapFile,
    map: Map,
    whole: File,
    truncated: OpError,
}

impl CutShort {
    fn new(what: &str) -> CutShort {
        let file = MapFile::new(what);
        let map = file.create(SHARDS);
        for shard in 0..EMPTY {
            keys_of(shard).take(100).for_each(|key| _ = map.put(&key, &[shard as u8; 50]).unwrap());
        }
        let whole = OpenOptions::new().write(true).open(file.path()).unwrap();
        let expected_bytes = whole.metadata().unwrap().len();
        let found_bytes = map.geometry().window(EMPTY);
        whole.set_len(found_bytes).unwrap();
        let truncated = OpError::Truncated { expected_bytes, found_bytes };
        CutShort { file, map, whole, truncated }
    }

    fn lengths(&self) -> (u64, u64) {
        match self.truncated {
            OpError::Truncated { expected_bytes, found_bytes } => (expected_bytes, found_bytes),
            _ => unreachable!("by construction"),
        }
    }

    /// The file is as short as it was cut, and no page of it was made real since.
    fn assert_not_grown(&self, blocks: u64) {
        let found = self.whole.metadata().unwrap();
        assert_eq!((found.len(), found.blocks()), (self.lengths().1, blocks));
    }

    fn assert_readable(&self) {
        for shard in 0..EMPTY {
            for key in keys_of(shard).take(100) {
                let mut value = Vec::new();
                assert_eq!(self.map.get(&key, &mut value), Ok(true));
                assert_eq!(value, [shard as u8; 50]);
            }
        }
    }
}

#[test]
fn every_growth_of_a_file_that_was_cut_short_says_both_lengths_and_grows_nothing() {
    // Goal: a typed error in place of a map that goes on in a file without its end. Method: the
    // first growth of a shard; that of records, for a large value and for many small ones; that
    // of the index, for keys whose records fit into what is there.
    let cut = CutShort::new("truncated-growth");
    let blocks = cut.whole.metadata().unwrap().blocks();
    let put = |key: &[u8], len: usize| cut.map.put(key, &vec![9; len]).map(drop);
    assert_eq!(put(&keys_of(EMPTY).next().unwrap(), 1), Err(cut.truncated.clone()));
    assert_eq!(put(&keys_of(0).next().unwrap(), 100_000), Err(cut.truncated.clone()));
    for (shard, len) in [(0, 200), (1, 0)] {
        let refused = keys_of(shard).skip(100).find_map(|key| put(&key, len).err());
        assert_eq!(refused, Some(cut.truncated.clone()), "shard {shard}");
    }
    cut.assert_not_grown(blocks);
    let (expected_bytes, found_bytes) = cut.lengths();
    assert_eq!(cut.truncated.status(), Status::Incompatible);
    let text = cut.truncated.to_string();
    let says = |number: u64| text.contains(&number.to_string());
    assert!(says(expected_bytes) && says(found_bytes), "{text}");
    cut.assert_readable();
}

#[test]
fn what_needs_no_growth_goes_on_and_a_file_of_the_right_length_again_serves_again() {
    let cut = CutShort::new("truncated-goes-on");
    cut.assert_readable();
    let first = keys_of(0).next().unwrap();
    assert!(cut.map.put(&first, &[1; 50]).unwrap().replaced);
    assert_eq!(cut.map.delete(&first), Ok(true));
    cut.map.put(&first, &[0; 50]).unwrap();
    assert_eq!(cut.map.contains(&keys_of(EMPTY).next().unwrap()), Ok(false));
    cut.whole.set_len(cut.lengths().0).unwrap();
    cut.map.put(&keys_of(EMPTY).next().unwrap(), &[1; 50]).unwrap();
    cut.map.put(&keys_of(0).nth(100).unwrap(), &[1; 100_000]).unwrap();
    cut.assert_readable();
    assert_eq!(cut.map.stats().repairs, 0);
    assert_sound(&cut.map);
}

#[test]
fn attaching_to_a_file_that_was_cut_short_is_refused() {
    let cut = CutShort::new("truncated-attach");
    let (expected_bytes, found_bytes) = cut.lengths();
    for open in [Map::open, Map::open_read_only, Map::open_or_create] {
        match open(cut.file.folder(), cut.file.name(), &Options::default()).err() {
            Some(OpenError::Incompatible {
                field: "length of the file", expected, found, ..
            }) => {
                assert_eq!(
                    (expected, found),
                    (expected_bytes.to_string(), found_bytes.to_string())
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
