//! A real map's bytes, to be damaged and made whole again.

use super::run::{
    FIXED_BYTES, INTEGERS, KEYS, LARGE, LISTS, integer_key, key, large_key, list_key,
};
use crate::damage::{Spot, Target};
use crate::{Random, assert_sound};
use shf_base::fixed_lengths::FixedLengths;
use shf_base::format::FileHeader;
use shf_base::geometry::{Geometry, WINDOW_BYTES_MIN};
use shf_base::guarded::{self, Stores};
use shf_base::open::{Access, HEAP_SECRET};
use shf_base::region::Region;
use shf_engine::{Map, OpError, Options};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the map holds before it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing.
    Fresh,
    /// Split tables; small, large and integer records, some replaced and some deleted.
    Mixed,
    /// The same, and as many more records as fit.
    Full,
    /// As mixed, in a durable map, some of it changed since a sync.
    Durable,
    /// Small records, some replaced and some deleted, in a map with fixed lengths.
    Fixed,
}

/// A map in a file without a name, and a private copy of it between two guards.
pub struct Bed {
    geometry: Geometry,
    original: Region,
    region: Arc<Region>,
}

impl Bed {
    /// Makes a map of the smallest windows.
    pub fn new(shards: u32, contents: Contents) -> Bed {
        let geometry = Geometry::new(shards, WINDOW_BYTES_MIN).expect("a valid geometry");
        let file = nameless_file(geometry.file_bytes());
        let map = |stores| guarded::map(&file, stores).expect("memory for a map");
        let shared = Arc::new(map(Stores::Shared));
        // So little that one shard reaches the end of its window, and many the maximum.
        let max_bytes = geometry.front_real_bytes() + u64::from(shards).min(32) * WINDOW_BYTES_MIN;
        let durable = contents == Contents::Durable;
        let plain = FileHeader::plain(geometry, max_bytes, HEAP_SECRET, 0);
        let lengths = FixedLengths { key_bytes: 8, value_bytes: FIXED_BYTES };
        let fixed = (contents == Contents::Fixed).then_some(lengths);
        FileHeader { durable, fixed, ..plain }.store(&shared);
        let made = Map::of_region(&shared, Access::ReadWrite, &Options::default());
        fill(&made.expect("a right header"), contents);
        let (original, region) = (map(Stores::Shared), Arc::new(map(Stores::Private)));
        Bed { geometry, original, region }
    }

    /// Takes all damage back.
    pub fn restore(&self) {
        guarded::restore(&self.region).expect("advice about a mapping");
    }

    /// The bytes that are damaged.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

impl Target for Bed {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn load(&self, spot: Spot) -> u64 {
        match spot.bytes {
            4 => self.region.half(spot.offset).map_or(0, |half| half.load(Relaxed).into()),
            _ => self.region.word(spot.offset).map_or(0, |word| word.load(Relaxed)),
        }
    }

    fn store(&self, spot: Spot, value: u64) {
        match spot.bytes {
            4 => self.region.half(spot.offset).expect("inside").store(value as u32, Relaxed),
            _ => self.region.word(spot.offset).expect("inside").store(value, Relaxed),
        }
    }

    fn original(&self, offset: u64) -> u64 {
        self.original.word(offset).map_or(0, |word| word.load(Relaxed))
    }
}

#[allow(unsafe_code)]
fn nameless_file(len: u64) -> File {
    // SAFETY: plain system call, whose descriptor nobody else owns.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"shf-fuzz".as_ptr(), libc::MFD_CLOEXEC);
        assert!(descriptor >= 0, "memfd_create");
        File::from_raw_fd(descriptor)
    };
    file.set_len(len).expect("a sparse file");
    file
}

fn fill(map: &Map, contents: Contents) {
    if contents == Contents::Fresh {
        return;
    }
    let mut random = Random::new(5);
    if contents == Contents::Fixed {
        let mut put = |n: u64| {
            map.put(&key(n), &random.bytes(FIXED_BYTES as usize)).expect("there is room");
        };
        (0..KEYS).for_each(&mut put);
        (0..KEYS).step_by(5).for_each(&mut put);
        (0..KEYS).step_by(3).for_each(|n| assert_eq!(map.delete(&key(n)), Ok(true)));
        return assert_sound(map);
    }
    let mut put = |key: &[u8], len: u64| {
        map.put(key, &random.bytes(len as usize)).expect("there is room");
    };
    let keys = KEYS * u64::from(map.geometry().shards()).min(8);
    (0..keys).for_each(|n| put(&key(n), n % 60));
    (0..LARGE).for_each(|n| put(&large_key(n), (16 << 10) + n * 500));
    if contents == Contents::Durable {
        map.sync().expect("a durable map");
    }
    (0..keys).step_by(5).for_each(|n| put(&key(n), n % 90));
    for number in 0..INTEGERS {
        map.add(&integer_key(number), number as i64).expect("there is room");
    }
    (0..keys).step_by(3).for_each(|n| assert_eq!(map.delete(&key(n)), Ok(true)));
    assert_eq!(map.delete(&large_key(1)), Ok(true));
    for list in 0..LISTS {
        for n in 0..10 * list {
            map.push(&list_key(list), &vec![4; n as usize * 7]).expect("there is room");
        }
    }
    // What it leaves behind waits for the hand.
    assert_eq!(map.delete(&list_key(2)), Ok(true));
    if contents == Contents::Full {
        let mut more = KEYS..;
        let put = |n: u64| map.put(&key(n), &[6; 200][..n as usize % 200]);
        let full = more.find_map(|n| put(n).err());
        assert!(matches!(full, Some(OpError::NoSpace { .. })), "{full:?}");
    }
    assert_sound(map);
    let stats = map.stats();
    assert!(stats.dead_bytes > 0, "{stats:?}");
    assert!(stats.splits > 0 || map.geometry().shards() > 1, "{stats:?}");
}
