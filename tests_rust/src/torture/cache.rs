//! A small map that evicts, beside the one whose keys are judged: everybody puts into it whatever
//! comes, all the time, and never finds it full; what is there is what was put; and between two
//! rounds it is sound. Each process has its handle from its parent.

use crate::Random;
use crate::map_file::MapFile;
use shf_engine::{Map, OpError};

const SHARDS: u32 = 4;
const MAX_BYTES: u64 = 2 << 20;
const KEYS: u64 = 20_000;
const LISTS: u64 = 10;
/// One value in so many may be as large as any.
const PUTS_PER_LARGE: u64 = 200;
const VALUE_BYTES_MAX: u64 = 2_000;
const LARGE_BYTES_MAX: u64 = MAX_BYTES / 8 - 8;

/// A fresh one.
pub fn create() -> (MapFile, Map) {
    let file = MapFile::new("torture-cache");
    let map = file.create_evicting(SHARDS, MAX_BYTES);
    (file, map)
}

/// Makes a call, and looks at what it gives.
pub fn call(map: &Map, writes: bool, random: &mut Random) -> Result<(), OpError> {
    let number = random.below(KEYS);
    let (key, list) = (number.to_le_bytes(), [b"list ", &random.below(LISTS).to_le_bytes()[..]]);
    let mut found = Vec::new();
    match random.below(if writes { 16 } else { 6 }) {
        0 => map.length(&list.concat()).map(drop),
        1..6 => {
            let there = map.get(&key, &mut found)?;
            assert!(!there || found.iter().all(|byte| *byte == number as u8), "a torn value");
            Ok(())
        }
        6 => map.delete(&key).map(drop),
        7 => map.push(&list.concat(), &[7; 300]).map(drop),
        8 => map.shift(&list.concat(), &mut found).map(drop),
        9 => map.append(&key, &[number as u8; 50]).map(drop),
        _ => {
            let most = match random.below(PUTS_PER_LARGE) {
                0 => LARGE_BYTES_MAX,
                _ => VALUE_BYTES_MAX,
            };
            map.put(&key, &vec![number as u8; random.below(most) as usize]).map(drop)
        }
    }
}
