//! P5: whatever a file contains, at attach or later, nothing panics, hangs or leaves the mapping.
//!
//! Each round restores the file of a live map, damages some places of it, and runs every operation
//! through handles that were open before and through fresh ones, in a forked child. Answers may be
//! any value or typed error; the child must come back. `SHF_SEED` and `SHF_ROUNDS` choose other and
//! more rounds, `SHF_ROUND` a single one.
#![cfg(not(any(miri, loom)))]

use shf_base::format::{HEADER_BYTES, IDENTITY_OFFSET, LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::geometry::{Geometry, PAGE_BYTES, RINGS_BYTES, SLOTS};
use shf_engine::hash::Hash;
use shf_engine::place::{Field, INTENT_ENTRIES, LEVEL_ENTRIES, pair, unpair};
use shf_engine::{Map, OpError, Options};
use shf_tests::Random;
use shf_tests::board::Board;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Most real bytes of the map: small, so that the operations run into it, and so that the holes of
/// the windows, which damaged limits make real, are not many either.
const MAX_BYTES: u64 = 768 << 10;
const KEYS: u64 = 2400;
const LARGE: u64 = 12;
const INTEGERS: u64 = 20;
/// Seconds that one round may take.
const WATCHDOG_SECONDS: u32 = 10;
/// Rounds of one child.
const BATCH: u64 = 50;
/// What a child may take beside what its parent has: a length from the file must not lead to more.
const PRIVATE_BYTES_MAX: u64 = 512 << 20;

/// What can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
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

use Area::*;

/// Often damaged areas are named more often.
const AREAS: &[Area] = &[
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
struct Spot {
    offset: u64,
    bytes: usize,
}

fn word(offset: u64) -> Spot {
    Spot { offset, bytes: 8 }
}

fn half(offset: u64) -> Spot {
    Spot { offset, bytes: 4 }
}

/// A map with everything in it that damage can hit, and the handles that were open before it.
struct Scene {
    file: MapFile,
    writer: Map,
    reader: Map,
    image: Image,
    geometry: Geometry,
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn large_key(number: u64) -> Vec<u8> {
    // One key in three is long enough to be hashed in pieces, one in twelve large by itself.
    let len = if number.is_multiple_of(12) { 20_000 } else { 200 * (number % 3 + 1) };
    format!("large {number} ").into_bytes().into_iter().cycle().take(len as usize).collect()
}

fn integer_key(number: u64) -> Vec<u8> {
    format!("integer {number}").into_bytes()
}

impl Scene {
    /// Tables that split, small, large and integer records, some replaced and some deleted.
    fn new(what: &str, shards: u32) -> Scene {
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

    fn load(&self, spot: Spot) -> u64 {
        let mut bytes = [0; 8];
        self.image.file().read_exact_at(&mut bytes[..spot.bytes], spot.offset).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn store(&self, spot: Spot, value: u64) {
        let bytes = &value.to_le_bytes()[..spot.bytes];
        self.image.file().write_all_at(bytes, spot.offset).unwrap();
    }

    /// A place of an area in a shard.
    fn spot(&self, random: &mut Random, area: Area, shard: u32) -> Spot {
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
                word(large[random.below(large.len() as u64) as usize] + random.below(3) * 8)
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
    fn limits(&self, shard: u32) -> (u64, u64) {
        let offset = self.geometry.shard_header(shard) + Field::Limits as u64;
        let (records, index) = unpair(self.image.word(offset));
        (records.into(), index.into())
    }

    /// Where the large records lie in the undamaged file.
    fn large_records(&self, shard: u32) -> Vec<u64> {
        let window = self.geometry.window(shard);
        let descriptors = window + self.geometry.descriptors_offset();
        let pages = (0..self.limits(shard).0)
            .filter(|page| self.image.word(descriptors + page * 8) & 3 == 2)
            .map(|page| window + self.geometry.pages_offset() + page * PAGE_BYTES);
        pages.collect()
    }

    /// A cache line of an index page: a bucket of a table, or directory entries.
    fn bucket(&self, random: &mut Random, shard: u32) -> u64 {
        let page = random.below(self.limits(shard).1) + 1;
        let window_end = self.geometry.window(shard) + self.geometry.window_bytes();
        // Of a page of directory entries, the first line is the one in use.
        let line = if random.below(4) == 0 { 0 } else { random.below(64) };
        window_end - page * PAGE_BYTES + line * 64
    }

    fn value(&self, random: &mut Random, spot: Spot) -> u64 {
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
    fn choose(&self, random: &mut Random, areas: &[Area]) -> (Spot, u64) {
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
    fn is_alive(&self, slot: u32) -> bool {
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
    fn forge_intent(&self, random: &mut Random) {
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
    fn restore_and_damage(&self, random: &mut Random, areas: &[Area]) {
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
    fn forge_header(&self, random: &mut Random) {
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
    fn operate_all(&self, random: &mut Random) {
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

type Operation = fn(&Map, &mut Random);

const READS: &[Operation] = &[get, get_into, contains, look_at_all];
const OPERATIONS: &[Operation] = &[
    get,
    put,
    get_into,
    delete,
    contains,
    put_large,
    look_at_all,
    add,
    put,
    check,
    delete_large,
    put_large,
];

/// All operations, beginning with a random one, so that each is at times the first to meet the
/// damage.
fn operate(map: &Map, random: &mut Random) {
    let first = random.below(OPERATIONS.len() as u64) as usize;
    for operation in OPERATIONS.iter().cycle().skip(first).take(OPERATIONS.len()) {
        operation(map, random);
    }
}

fn any_key(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => integer_key(random.below(INTEGERS)),
        1 => large_key(random.below(LARGE)),
        _ => key(random.below(KEYS + 100)).to_vec(),
    }
}

fn get(map: &Map, random: &mut Random) {
    let mut value = Vec::new();
    for _ in 0..30 {
        let _ = map.get(&any_key(random), &mut value);
    }
}

fn get_into(map: &Map, random: &mut Random) {
    let mut buffer = [0; 64];
    for _ in 0..10 {
        let _ = map.get_into(&any_key(random), &mut buffer);
    }
}

fn contains(map: &Map, random: &mut Random) {
    for _ in 0..10 {
        let _ = map.contains(&any_key(random));
    }
}

fn look_at_all(map: &Map, _: &mut Random) {
    let (_, _) = (map.size(), map.stats());
    let mut bytes = 0;
    let _ = map.for_each(&mut |key, value| {
        bytes += key.len() + value.len();
        true
    });
}

fn put(map: &Map, random: &mut Random) {
    for _ in 0..30 {
        let _ = map.put(&any_key(random), &[7; 300][..random.below(300) as usize]);
    }
}

fn put_large(map: &Map, random: &mut Random) {
    for _ in 0..2 {
        let len = (16 << 10) + random.below(30_000) as usize;
        let _ = map.put(&large_key(random.below(LARGE)), &vec![8; len]);
    }
}

fn add(map: &Map, random: &mut Random) {
    for _ in 0..10 {
        let _ = map.add(&integer_key(random.below(INTEGERS + 5)), random.next() as i64 >> 20);
    }
    let _ = map.add(&any_key(random), 1);
}

fn delete(map: &Map, random: &mut Random) {
    for _ in 0..20 {
        let _ = map.delete(&any_key(random));
    }
}

fn delete_large(map: &Map, random: &mut Random) {
    let _ = map.delete(&large_key(random.below(LARGE)));
}

fn check(map: &Map, _: &mut Random) {
    let _ = map.check();
}

/// Rounds of a test: which ones, and the seed that each one's follows from.
struct Rounds {
    seed: u64,
    first: u64,
    end: u64,
}

impl Rounds {
    fn from_env(seed: u64, default: u64) -> Rounds {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seed = Random::from_env(seed).next();
        match number("SHF_ROUND") {
            Some(round) => Rounds { seed, first: round, end: round + 1 },
            None => Rounds { seed, first: 0, end: number("SHF_ROUNDS").unwrap_or(default) },
        }
    }

    /// Runs each round in a forked child, some rounds in each, which all must come back.
    #[allow(unsafe_code)]
    fn run(&self, what: &str, round: impl Fn(&mut Random)) {
        let board = Board::new();
        for first in (self.first..self.end).step_by(BATCH as usize) {
            let end = process::run(|| {
                limit_private_memory();
                for number in first..(first + BATCH).min(self.end) {
                    board.set(0, number);
                    // SAFETY: plain system call.
                    unsafe { libc::alarm(WATCHDOG_SECONDS) };
                    round(&mut Random::new(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                }
                true
            });
            let number = board.get(0);
            assert_eq!(
                end,
                End::Exited(0),
                "{what}: round {number} (SHF_ROUND={number} repeats it)"
            );
        }
        println!("{what}: rounds {} to {}", self.first, self.end);
    }
}

/// Address space, because mapped files count as such; the first number of the file is pages.
#[allow(unsafe_code)]
fn limit_private_memory() {
    let taken = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = taken.split(' ').next().unwrap().parse().unwrap();
    let bytes = pages * PAGE_BYTES + PRIVATE_BYTES_MAX;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: sets a limit of this child.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

fn survive(what: &str, shards: u32, seed: u64) {
    let scene = Scene::new(what, shards);
    Rounds::from_env(seed, 500).run(what, |random| {
        // The inherited handle takes a slot of its own before anything is damaged.
        scene.image.restore();
        let _ = scene.writer.delete(b"not there");
        scene.restore_and_damage(random, AREAS);
        scene.operate_all(random);
    });
}

#[test]
fn a_damaged_map_of_one_shard_is_survived_by_every_operation() {
    survive("hostile-one", 1, 101);
}

#[test]
fn a_damaged_map_of_two_shards_is_survived_by_every_operation() {
    survive("hostile-two", 2, 102);
}

#[test]
fn damage_that_happens_meanwhile_is_survived_by_every_operation() {
    // Goal: what was checked is not loaded again. Method: a child damages words and puts them
    // back, some of them not, without pause, while two others operate. It leaves the lock word alone: put back,
    // that might name a living process.
    let scene = Scene::new("hostile-race", 1);
    let areas: Vec<Area> = AREAS.iter().copied().filter(|area| *area != Lock).collect();
    let vandal = process::spawn(|| {
        end_with_parent();
        let mut random = Random::new(6);
        loop {
            let (spot, value) = scene.choose(&mut random, &areas);
            let old = scene.load(spot);
            for _ in 0..random.below(64) {
                scene.store(spot, value);
                scene.store(spot, old);
            }
            if random.below(16) == 0 {
                scene.store(spot, value);
            }
        }
    });
    Rounds::from_env(103, 200).run("hostile-race", |random| {
        scene.image.restore();
        let other = process::spawn(|| {
            end_with_parent();
            let mut random = Random::new(random.next());
            operate(&scene.writer, &mut random);
            operate(&scene.reader, &mut random);
            true
        });
        scene.operate_all(random);
        assert_eq!(process::wait(other), End::Exited(0), "the other process");
    });
    process::signal(vandal, libc::SIGKILL);
    assert_eq!(process::wait(vandal), End::Killed(libc::SIGKILL));
}

/// Has the kernel end this child together with its parent, however that ends; the watchdog of
/// children is for those that should come back by themselves.
#[allow(unsafe_code)]
fn end_with_parent() {
    // SAFETY: plain system calls on this child.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::alarm(0);
    }
}

#[test]
fn reads_of_a_damaged_map_make_no_hole_real() {
    // Goal: a reference that leads outside of the committed pages is not followed, not even into
    // the window's holes, which the mapping spans. Method: the file takes no more blocks after all
    // reads than before them. Damaged limits themselves are not part of it.
    let scene = Scene::new("hostile-holes", 1);
    let areas: Vec<Area> = AREAS.iter().copied().filter(|area| *area != Limits).collect();
    let blocks = || scene.image.file().metadata().unwrap().blocks();
    Rounds::from_env(104, 400).run("hostile-holes", |random| {
        scene.restore_and_damage(random, &areas);
        let before = blocks();
        for read in READS {
            read(&scene.reader, random);
        }
        assert_eq!(blocks(), before, "blocks of the file");
    });
}

/// Runs `work` in a child that must come back in time and with little memory.
#[allow(unsafe_code)]
fn in_child(what: &str, work: impl FnOnce()) {
    let end = process::run(|| {
        limit_private_memory();
        // SAFETY: plain system call.
        unsafe { libc::alarm(WATCHDOG_SECONDS) };
        work();
        true
    });
    assert_eq!(end, End::Exited(0), "{what}");
}

fn is_corrupt<T>(result: &Result<T, OpError>) -> bool {
    matches!(result, Err(OpError::Corrupt { .. }))
}

#[test]
fn a_directory_that_leads_to_one_table_again_and_again_ends_a_walk() {
    // Goal: a walk is bounded by the pages of the map, not by what its directory says. Method: each
    // of the 2^19 entries names the same table.
    let scene = Scene::new("hostile-directory", 1);
    let header = scene.geometry.shard_header(0);
    let window_end = scene.geometry.window(0) + scene.geometry.window_bytes();
    let directory_page = scene.image.word(header + 16) as u32;
    let table_entry = scene.image.word(window_end - u64::from(directory_page) * PAGE_BYTES);
    for entry in 0..LEVEL_ENTRIES.into() {
        scene.store(half(header + 16 + entry * 4), directory_page.into());
    }
    for entry in 0..PAGE_BYTES / 4 {
        let page = window_end - u64::from(directory_page) * PAGE_BYTES;
        scene.store(half(page + entry * 4), table_entry);
    }
    scene.store(word(header + Field::Root as u64), 19);
    in_child("walks", || {
        assert!(is_corrupt(&scene.reader.for_each(&mut |_, _| true)));
        assert!(!scene.writer.check().unwrap().is_empty());
        assert!(is_corrupt(&scene.writer.clear()));
    });
}

#[test]
fn records_that_overlap_take_no_more_time_and_memory_than_the_map() {
    // Goal: lengths that fit one by one, but not together, cost no more than the map. Method: every
    // slot of the only table leads to the same huge record, whose key is long as well.
    let file = MapFile::new("hostile-overlap");
    let map = file.create_with(1, 64 << 20);
    let huge = vec![1; 24 << 20];
    map.put(&huge, &huge).unwrap();
    let image = Image::of(file.folder(), file.name());
    let store = |offset, bytes: &[u8]| image.file().write_all_at(bytes, offset).unwrap();
    let geometry = *map.geometry();
    let (table, window) =
        (geometry.window(0) + geometry.window_bytes() - PAGE_BYTES, geometry.window(0));
    let reference = (geometry.pages_offset() / 8) as u32;
    for bucket in (table..table + PAGE_BYTES).step_by(64) {
        store(bucket, &[0x11; 12]);
        (0..12).for_each(|slot| store(bucket + 16 + slot * 4, &reference.to_le_bytes()));
    }
    assert_eq!(image.word(window + u64::from(reference) * 8) >> 33 & 1, 1, "a large record");
    in_child("overlap", || {
        let mut visits = 0;
        let stop = &mut |_: &[u8], _: &[u8]| {
            visits += 1;
            visits < 24
        };
        assert_eq!(map.for_each(stop), Ok(()), "memory for one record at a time");
        assert!(!map.check().unwrap().is_empty());
        // Each of them finds its bucket full and splits the table, at depths with and without hash
        // bits in the slots.
        for number in 0..50u64 {
            let _ = map.put(&key(number), b"value");
        }
    });
}

#[test]
fn an_intent_that_finishes_many_splits_is_refused() {
    let scene = Scene::new("hostile-splits", 1);
    let header = scene.geometry.shard_header(0);
    for entry in 0..INTENT_ENTRIES {
        scene.store(word(header + Field::Dead as u64 + 8 + entry * 16), 2);
        scene.store(word(header + Field::Dead as u64 + 16 + entry * 16), 0);
    }
    scene.store(word(header + Field::Pending as u64), INTENT_ENTRIES);
    in_child("splits", || assert!(is_corrupt(&scene.writer.put(b"key", b"value"))));
}
