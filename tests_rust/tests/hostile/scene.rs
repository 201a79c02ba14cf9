//! The map that is damaged, in a file.

use crate::operations::operate;
use shf_base::geometry::{Geometry, SLOTS};
use shf_engine::{Map, Options};
use shf_tests::Random;
use shf_tests::damage::*;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Most real bytes of the map: small, so that the operations run into it, and so that the holes of
/// the windows, which damaged limits make real, are not many either.
pub const MAX_BYTES: u64 = 768 << 10;
pub const KEYS: u64 = 2400;
pub const LARGE: u64 = 12;
pub const INTEGERS: u64 = 20;
pub const LISTS: u64 = 4;
/// Length of values in a map with fixed lengths: records have half a header then.
pub const FIXED_BYTES: u32 = 12;

/// A map with everything in it that damage can hit, and the handles that were open before it.
pub struct Scene {
    pub file: MapFile,
    pub writer: Map,
    pub reader: Map,
    pub image: Image,
    pub geometry: Geometry,
}

pub fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

pub fn large_key(number: u64) -> Vec<u8> {
    // One key in three is long enough to be hashed in pieces, one in twelve large by itself.
    let len = if number.is_multiple_of(12) { 20_000 } else { 200 * (number % 3 + 1) };
    format!("large {number} ").into_bytes().into_iter().cycle().take(len as usize).collect()
}

pub fn integer_key(number: u64) -> Vec<u8> {
    format!("integer {number}").into_bytes()
}

pub fn list_key(number: u64) -> Vec<u8> {
    format!("list {number}").into_bytes()
}

impl Target for Scene {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn load(&self, spot: Spot) -> u64 {
        let mut bytes = [0; 8];
        self.image.file().read_exact_at(&mut bytes[..spot.bytes], spot.offset).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn store(&self, spot: Spot, value: u64) {
        let bytes = &value.to_le_bytes()[..spot.bytes];
        self.image.file().write_all_at(bytes, spot.offset).unwrap();
    }

    fn original(&self, offset: u64) -> u64 {
        self.image.word(offset)
    }
}

impl Scene {
    /// Tables that split, small, large and integer records, some replaced and some deleted.
    pub fn new(what: &str, shards: u32) -> Scene {
        let file = MapFile::new(what);
        let writer = file.create_with(shards, MAX_BYTES);
        let mut random = Random::new(5);
        let mut put = |key: &[u8], len: u64| {
            writer.put(key, &random.bytes(len as usize)).expect("there is room");
        };
        (0..KEYS).for_each(|n| put(&key(n), n % 60));
        (0..LARGE).for_each(|n| put(&large_key(n), (16 << 10) + n * 500));
        (0..KEYS).step_by(5).for_each(|n| put(&key(n), n % 90));
        (0..LARGE).step_by(3).for_each(|n| put(&large_key(n), 17 << 10));
        for number in 0..INTEGERS {
            writer.add(&integer_key(number), number as i64).unwrap();
        }
        for list in 0..LISTS {
            for n in 0..20 * list {
                writer.push(&list_key(list), &vec![4; n as usize * 5]).unwrap();
            }
        }
        // What it leaves behind waits for the hand.
        assert_eq!(writer.delete(&list_key(2)), Ok(true));
        (0..KEYS).step_by(3).for_each(|n| assert_eq!(writer.delete(&key(n)), Ok(true)));
        (0..LARGE).step_by(4).for_each(|n| assert_eq!(writer.delete(&large_key(n)), Ok(true)));
        assert!(writer.stats().free_bytes > 0, "{:?}", writer.stats());
        Scene::of(file, writer)
    }

    /// A map with fixed lengths, of small records with half a header, some replaced and some
    /// deleted.
    pub fn fixed(what: &str) -> Scene {
        let file = MapFile::new(what);
        let writer = file.create_fixed(1, MAX_BYTES, (8, FIXED_BYTES));
        let mut random = Random::new(5);
        let mut put = |number: u64| {
            writer.put(&key(number), &random.bytes(FIXED_BYTES as usize)).expect("there is room");
        };
        (0..KEYS).for_each(&mut put);
        (0..KEYS).step_by(5).for_each(&mut put);
        (0..KEYS).step_by(3).for_each(|n| assert_eq!(writer.delete(&key(n)), Ok(true)));
        Scene::of(file, writer)
    }

    fn of(file: MapFile, writer: Map) -> Scene {
        shf_tests::assert_sound(&writer);
        let stats = writer.stats();
        assert!(stats.splits > 1 && stats.dead_bytes > 0, "{stats:?}");
        let (image, reader) = (Image::of(file.folder(), file.name()), file.open_read_only());
        let geometry = *writer.geometry();
        Scene { file, writer, reader, image, geometry }
    }

    /// A place, and a value to damage it with. The lock word never names a living process, which
    /// would be waited for.
    pub fn choose(&self, random: &mut Random, areas: &[Area]) -> (Spot, u64) {
        let area = areas[random.below(areas.len() as u64) as usize];
        let shard = random.below(self.geometry.shards().into()) as u32;
        let spot = self.spot(random, area, shard);
        let value = self.value(random, spot);
        if area == Lock && self.is_alive((value as u32 & !(1 << 31)).wrapping_sub(1)) {
            return (spot, 1 << 31);
        }
        (spot, value)
    }

    /// Whether a process holds the byte of a slot.
    #[allow(unsafe_code)]
    pub fn is_alive(&self, slot: u32) -> bool {
        let mut lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: (1 << 62) + i64::from(slot),
            l_len: 1,
            l_pid: 0,
        };
        let file = self.image.file().as_raw_fd();
        // SAFETY: plain system call on an open file.
        assert_eq!(unsafe { libc::fcntl(file, libc::F_OFD_GETLK, &mut lock) }, 0);
        slot < SLOTS && lock.l_type != libc::F_UNLCK as libc::c_short
    }

    /// The file as it was, but for the damage of a round.
    pub fn restore_and_damage(&self, random: &mut Random, areas: &[Area]) {
        self.image.restore();
        if random.below(3) == 0 {
            self.forge_intent(random);
        }
        let most = 1 << random.below(6);
        for _ in 0..1 + random.below(most) {
            let (spot, value) = self.choose(random, areas);
            self.store(spot, value);
        }
        if random.below(4) == 0 {
            self.forge_header(random);
        }
    }

    /// Every operation, through every kind of handle.
    pub fn operate_all(&self, random: &mut Random) {
        operate(&self.writer, random);
        operate(&self.reader, random);
        let (folder, name, options) = (self.file.folder(), self.file.name(), Options::default());
        if let Ok(map) = Map::open(folder, name, &options) {
            operate(&map, random);
            let _ = map.clear();
            operate(&map, random);
        }
        if let Ok(map) = Map::open_read_only(folder, name, &options) {
            operate(&map, random);
        }
    }
}
