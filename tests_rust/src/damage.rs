//! Damage to a map: its places and values, whatever holds the bytes.

use crate::Random;
use shf_base::format::{HEADER_BYTES, IDENTITY_OFFSET, LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::geometry::{CHUNKS, Geometry, PAGE_BYTES, SHARD_HEADER_BYTES, SLOTS_NEAR};
use shf_engine::hash::Hash;
use shf_engine::place::{Field, INTENT_ENTRIES, LEVEL_ENTRIES, pair, unpair};

/// Where decisions come from: a seed, or the input of a fuzzer.
pub trait Choices {
    /// Any 64 bits.
    fn next(&mut self) -> u64;
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64;
}

impl Choices for Random {
    fn next(&mut self) -> u64 {
        Random::next(self)
    }

    fn below(&mut self, limit: u64) -> u64 {
        Random::below(self, limit)
    }
}

/// What can be damaged; docs/format.md says what each is.
#[allow(missing_docs)]
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
    Shrinking,
    Stack,
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
    Shrinking,
    Stack,
    Stack,
    Stack,
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
    /// Bytes from the start of the file.
    pub offset: u64,
    /// 4 or 8.
    pub bytes: usize,
}

/// The word at an offset.
pub fn word(offset: u64) -> Spot {
    Spot { offset, bytes: 8 }
}

/// The half word at an offset.
pub fn half(offset: u64) -> Spot {
    Spot { offset, bytes: 4 }
}

/// The bytes of a map that are damaged. Unlike the map itself, this can store anything anywhere.
pub trait Target {
    /// Where everything lies.
    fn geometry(&self) -> &Geometry;

    /// What is there now.
    fn load(&self, spot: Spot) -> u64;

    /// Damages it.
    fn store(&self, spot: Spot, value: u64);

    /// The word at an offset before all damage.
    fn original(&self, offset: u64) -> u64;

    /// A place of an area in a shard.
    fn spot(&self, random: &mut impl Choices, area: Area, shard: u32) -> Spot {
        let geometry = self.geometry();
        let (header, window) = (geometry.shard_header(shard), geometry.window(shard));
        let field = |field: Field| word(header + field as u64);
        let mut one_of =
            |fields: &[Field]| field(fields[random.below(fields.len() as u64) as usize]);
        match area {
            FileHeader => word(random.below(16) * 8),
            Identity => word(IDENTITY_OFFSET + random.below(4) * 8),
            SlotRecord => {
                word(geometry.slot_record(0) + random.below(u64::from(SLOTS_NEAR) * 16) * 8)
            }
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
                Field::Elements,
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
                Field::Holes,
                Field::Unsettled,
                Field::Rested,
            ]),
            Shrinking => one_of(&[
                Field::Gap,
                Field::Vacated,
                Field::Rest,
                Field::Kept,
                Field::Turn,
                Field::Pause,
                Field::Timed,
                Field::Hand,
            ]),
            Stack if random.below(8) == 0 => field(Field::Chunks),
            Stack if random.below(3) == 0 => {
                let stacks = (SHARD_HEADER_BYTES - PAGE_BYTES) / 4;
                half(header + PAGE_BYTES + random.below(stacks) * 4)
            }
            Stack => {
                // The first ones are those in use.
                let chunks = if random.below(4) == 0 { CHUNKS } else { 8 };
                let chunk = random.below(chunks.into()) as u32;
                half(window + geometry.chunk(shard, chunk) + random.below(8) * 4)
            }
            Descriptor => {
                let page = random.below(self.limits(shard).0.max(1));
                word(window + geometry.descriptor(page as u32))
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
                word(window + geometry.pages_offset() + random.below(words.max(1)) * 8)
            }
        }
    }

    /// Committed record and index pages of a shard, as the undamaged file has it: from the image.
    fn limits(&self, shard: u32) -> (u64, u64) {
        let offset = self.geometry().shard_header(shard) + Field::Limits as u64;
        let (records, index) = unpair(self.original(offset));
        (records.into(), index.into())
    }

    /// Where the large records lie in the undamaged file.
    fn large_records(&self, shard: u32) -> Vec<u64> {
        let window = self.geometry().window(shard);
        let descriptor = |page| window + self.geometry().descriptor(page as u32);
        let pages = (0..self.limits(shard).0)
            .filter(|page| self.original(descriptor(*page)) & 3 == 2)
            .map(|page| window + self.geometry().pages_offset() + page * PAGE_BYTES);
        pages.collect()
    }

    /// A cache line of an index page: a bucket of a table, or directory entries.
    fn bucket(&self, random: &mut impl Choices, shard: u32) -> u64 {
        let page = random.below(self.limits(shard).1.max(1)) + 1;
        let window_end = self.geometry().window(shard) + self.geometry().window_bytes();
        // Of a page of directory entries, the first line is the one in use.
        let line = if random.below(4) == 0 { 0 } else { random.below(64) };
        window_end - page * PAGE_BYTES + line * 64
    }

    /// A value to damage it with, likely to be nearly right.
    fn value(&self, random: &mut impl Choices, spot: Spot) -> u64 {
        let old = self.load(spot);
        match random.below(10) {
            0 | 1 => old ^ 1 << random.below(8 * spot.bytes as u64),
            2 => random.next(),
            3 => 0,
            4 => u64::MAX,
            5 => random.below(64),
            6 => {
                let area = AREAS[random.below(AREAS.len() as u64) as usize];
                let shard = random.below(self.geometry().shards().into()) as u32;
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

    /// Makes what the last mutations left in an intent count again, with some entries of our own.
    fn forge_intent(&self, random: &mut impl Choices) {
        let shard = random.below(self.geometry().shards().into()) as u32;
        let header = self.geometry().shard_header(shard);
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
            // To finish a split, or to merge, of pages that may exist and a depth that may be
            // right.
            let pages = self.limits(shard).1 + 1;
            let (old, new) = (random.below(pages), random.below(pages));
            let merges = random.below(2);
            let at = if merges == 1 { 0 } else { len - 1 };
            let entry = header + Field::Dead as u64 + 8 + at * 16;
            self.store(word(entry), 2 + merges);
            self.store(word(entry + 8), old | new << 22 | random.below(21) << 44);
        }
        self.store(word(header + Field::Pending as u64), len);
        self.store(half(header + SUSPECT_OFFSET), random.below(2));
    }

    /// Gives the file another maximum or secret, and a checksum that fits.
    fn forge_header(&self, random: &mut impl Choices) {
        let spot = word(56 + random.below(2) * 8);
        let value = self.value(random, spot);
        self.store(spot, value);
        let words = (0..HEADER_BYTES as u64).step_by(8);
        let bytes: Vec<u8> =
            words.flat_map(|offset| self.load(word(offset)).to_le_bytes()).collect();
        // With a secret of 0 the hash of keys is that of the checksum.
        let (checked, _) = bytes.split_at(HEADER_BYTES - 8);
        self.store(word(checked.len() as u64), Hash::of(checked, 0).0);
    }
}
