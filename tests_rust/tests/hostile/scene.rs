//! The map that is damaged, and the places and values of damage.

use crate::operations::operate;
use shf_base::format::{HEADER_BYTES, IDENTITY_OFFSET, LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::geometry::{Geometry, PAGE_BYTES, RINGS_BYTES, SLOTS};
use shf_engine::hash::Hash;
use shf_engine::place::{Field, INTENT_ENTRIES, LEVEL_ENTRIES, pair, unpair};
use shf_engine::{Map, Options};
use shf_tests::Random;
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

/// What can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    FileHeader,
    Identity,
    SlotRecord,
    Ledger,
    Root,
    Limits,
    Level,
    Lock,
    Suspect,
    Pending,
    Intent,
    Counter,
    Memory,
    Ring,
    Descriptor,
    Head,
    Slot,
    IndexWord,
    RecordHeader,
    RecordWord,
}

pub use Area::*;

/// Often damaged areas are named more often.
pub const AREAS: &[Area] = &[
    FileHeader,
    Identity,
    SlotRecord,
    Ledger,
    Root,
    Limits,
    Limits,
    Level,
    Level,
    Lock,
    Suspect,
    Pending,
    Intent,
    Intent,
    Counter,
    Memory,
    Memory,
    Memory,
    Ring,
    Ring,
    Ring,
    Descriptor,
    Descriptor,
    Descriptor,
    Head,
    Head,
    Slot,
    Slot,
    Slot,
    IndexWord,
    IndexWord,
    RecordHeader,
    RecordHeader,
    RecordHeader,
    RecordWord,
];

/// A word or half word of the file.
#[derive(Clone, Copy)]
pub struct Spot {
    pub offset: u64,
    pub bytes: usize,
}

pub fn word(offset: u64) -> Spot {
    Spot { offset, bytes: 8 }
}

pub fn half(offset: u64) -> Spot {
    Spot { offset, bytes: 4 }
}

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
        (0..KEYS).step_by(3).for_each(|n| assert_eq!(writer.delete(&key(n)), Ok(true)));
        (0..LARGE).step_by(4).for_each(|n| assert_eq!(writer.delete(&large_key(n)), Ok(true)));
        shf_tests::assert_sound(&writer);
        let stats = writer.stats();
        assert!(stats.splits > 1 && stats.dead_bytes > 0 && stats.free_bytes > 0, "{stats:?}");
        let (image, reader) = (Image::of(file.folder(), file.name()), file.open_read_only());
        let geometry = *writer.geometry();
        Scene { file, writer, reader, image, geometry }
    }

    pub fn load(&self, spot: Spot) -> u64 {
        let mut bytes = [0; 8];
        self.image.file().read_exact_at(&mut bytes[..spot.bytes], spot.offset).unwrap();
        u64::from_le_bytes(bytes)
    }

    pub fn store(&self, spot: Spot, value: u64) {
        let bytes = &value.to_le_bytes()[..spot.bytes];
        self.image.file().write_all_at(bytes, spot.offset).unwrap();
    }

    /// A place of an area in a shard.
    pub fn spot(&self, random: &mut Random, area: Area, shard: u32) -> Spot {
        let geometry = &self.geometry;
        let (header, window) = (geometry.shard_header(shard), geometry.window(shard));
        let field = |field: Field| word(header + field as u64);
        let mut one_of =
            |fields: &[Field]| field(fields[random.below(fields.len() as u64) as usize]);
        match area {
            FileHeader => word(random.below(16) * 8),
            Identity => word(IDENTITY_OFFSET + random.below(4) * 8),
            SlotRecord => word(geometry.slot_record(0) + random.below(u64::from(SLOTS) * 8) * 8),
            Ledger => word(geometry.ledger(shard)),
            Root => field(Field::Root),
            Limits => field(Field::Limits),
            Level => {
                let entries = if random.below(4) == 0 { LEVEL_ENTRIES.into() } else { 2 };
                half(header + 16 + random.below(entries) * 4)
            }
            Lock => half(header + LOCK_OFFSET),
            Suspect => half(header + SUSPECT_OFFSET),
            Pending => field(Field::Pending),
            Intent => word(header + Field::Dead as u64 + 8 + random.below(INTENT_ENTRIES * 2) * 8),
            Counter => one_of(&[
                Field::Keys,
                Field::Dead,
                Field::Splits,
                Field::Repairs,
                Field::Moved,
                Field::Tables,
            ]),
            Memory => one_of(&[
                Field::Head,
                Field::Tops,
                Field::FreePages,
                Field::Rotors,
                Field::Evacuation,
                Field::Retired,
                Field::Reused,
                Field::Sweep,
            ]),
            Ring if random.below(3) == 0 => word(window + random.below(RINGS_BYTES / 64) * 64),
            Ring => half(window + random.below(RINGS_BYTES / 4) * 4),
            Descriptor => {
                let page = random.below(self.limits(shard).0);
                word(window + geometry.descriptors_offset() + page * 8)
            }
            Head => word(self.bucket(random, shard) + random.below(2) * 8),
            Slot => half(self.bucket(random, shard) + 16 + random.below(12) * 4),
            IndexWord if random.below(2) == 0 => half(self.bucket(random, shard)),
            IndexWord => half(self.bucket(random, shard) + random.below(16) * 4),
            RecordHeader if random.below(3) == 0 => {
                let large = self.large_records(shard);
                let chosen = random.below(large.len().max(1) as u64) as usize;
                // All of them may lie in another shard.
                let record = large.get(chosen).copied();
                let record = record.unwrap_or(window + geometry.pages_offset());
                word(record + random.below(3) * 8)
            }
            RecordHeader => {
                let slot = half(self.bucket(random, shard) + 16 + random.below(12) * 4);
                let mask = (1 << geometry.reference_bits()) - 1;
                let unit = (self.load(slot) & mask).min(geometry.window_bytes() / 8 - 3);
                word(window + (unit + random.below(4) / 2) * 8)
            }
            RecordWord => {
                let words = self.limits(shard).0 * PAGE_BYTES / 8;
                word(window + geometry.pages_offset() + random.below(words) * 8)
            }
        }
    }

    /// Committed record and index pages of a shard, as the undamaged file has it: from the image.
    pub fn limits(&self, shard: u32) -> (u64, u64) {
        let offset = self.geometry.shard_header(shard) + Field::Limits as u64;
        let (records, index) = unpair(self.image.word(offset));
        (records.into(), index.into())
    }

    /// Where the large records lie in the undamaged file.
    pub fn large_records(&self, shard: u32) -> Vec<u64> {
        let window = self.geometry.window(shard);
        let descriptors = window + self.geometry.descriptors_offset();
        let pages = (0..self.limits(shard).0)
            .filter(|page| self.image.word(descriptors + page * 8) & 3 == 2)
            .map(|page| window + self.geometry.pages_offset() + page * PAGE_BYTES);
        pages.collect()
    }

    /// A cache line of an index page: a bucket of a table, or directory entries.
    pub fn bucket(&self, random: &mut Random, shard: u32) -> u64 {
        let page = random.below(self.limits(shard).1) + 1;
        let window_end = self.geometry.window(shard) + self.geometry.window_bytes();
        // Of a page of directory entries, the first line is the one in use.
        let line = if random.below(4) == 0 { 0 } else { random.below(64) };
        window_end - page * PAGE_BYTES + line * 64
    }

    pub fn value(&self, random: &mut Random, spot: Spot) -> u64 {
        let old = self.load(spot);
        match random.below(10) {
            0 | 1 => old ^ 1 << random.below(8 * spot.bytes as u64),
            2 => random.next(),
            3 => 0,
            4 => u64::MAX,
            5 => random.below(64),
            6 => {
                let area = AREAS[random.below(AREAS.len() as u64) as usize];
                let shard = random.below(self.geometry.shards().into()) as u32;
                let other = self.spot(random, area, shard);
                self.load(word(other.offset & !7))
            }
            7 => old.wrapping_add(1),
            8 => old.wrapping_sub(1),
            _ => {
                let (low, high) = (random.below(33), random.below(33));
                let below = |limit: u64, value: u64| (value & ((1 << limit) - 1)) as u32;
                pair(below(low, random.next()), below(high, random.next()))
            }
        }
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

    /// Makes what the last mutations left in an intent count again, with some entries of our own.
    pub fn forge_intent(&self, random: &mut Random) {
        let shard = random.below(self.geometry.shards().into()) as u32;
        let header = self.geometry.shard_header(shard);
        let entries = if random.below(3) == 0 { INTENT_ENTRIES } else { 8 };
        let len = 1 + random.below(entries);
        for _ in 0..random.below(6) {
            let entry = header + Field::Dead as u64 + 8 + random.below(len) * 16;
            let area = AREAS[random.below(AREAS.len() as u64) as usize];
            let target = self.spot(random, area, shard);
            let kind = if target.bytes == 4 { 1 } else { 0 };
            let kind = if random.below(8) == 0 { random.below(4) } else { kind };
            self.store(word(entry), target.offset | kind);
            let value = self.value(random, target);
            self.store(word(entry + 8), value);
        }
        if random.below(2) == 0 {
            // To finish a split, of pages that may exist and a depth that may be right.
            let pages = self.limits(shard).1 + 1;
            let (old, new) = (random.below(pages), random.below(pages));
            let entry = header + Field::Dead as u64 + 8 + (len - 1) * 16;
            self.store(word(entry), 2);
            self.store(word(entry + 8), old | new << 22 | random.below(21) << 44);
        }
        self.store(word(header + Field::Pending as u64), len);
        self.store(half(header + SUSPECT_OFFSET), random.below(2));
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

    /// Gives the file another maximum or secret, and a checksum that fits.
    pub fn forge_header(&self, random: &mut Random) {
        let spot = word(56 + random.below(2) * 8);
        let value = self.value(random, spot);
        self.store(spot, value);
        let mut bytes = [0; HEADER_BYTES];
        self.image.file().read_exact_at(&mut bytes, 0).unwrap();
        // With a secret of 0 the hash of keys is that of the checksum.
        let (checked, _) = bytes.split_at(HEADER_BYTES - 8);
        self.store(word(checked.len() as u64), Hash::of(checked, 0).0);
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
