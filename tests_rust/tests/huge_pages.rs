//! Goal: a map takes no more memory on a mount with huge pages than on any other. Method: a mount
//! that has room for the map's pages, but not for a huge one in each shard.
#![cfg(not(any(miri, loom)))]

use shf_engine::{Map, Options};
use shf_tests::map_file::MapFile;
use shf_tests::mount::over_huge_maps;

const FOLDER_BYTES: u64 = 64 << 20;
const KEYS: u64 = 100_000;

#[test]
fn a_mount_with_huge_pages_gives_a_map_small_ones() {
    over_huge_maps(FOLDER_BYTES, || {
        let file = MapFile::new("huge-pages");
        // As many shards as a large map has: each of them has some areas that grow by themselves.
        let options = Options { shards: Some(256), ..Options::default() };
        let map = Map::create(file.folder(), file.name(), &options).unwrap();
        let is_real = || {
            let real_bytes = file.real_bytes();
            assert_eq!(real_bytes, map.stats().committed_bytes);
        };
        is_real();
        for key in 0..KEYS {
            map.put(&key.to_le_bytes(), &[7; 100]).unwrap();
        }
        is_real();
        for key in 0..KEYS {
            assert!(map.delete(&key.to_le_bytes()).unwrap());
        }
        is_real();
    });
}
