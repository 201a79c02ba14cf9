//! Deaths of who repairs a damaged map.

use crate::account::{Account, Live, place};
use crate::deaths::{self, Scene};
use crate::lists::contents;
use crate::operation::fill;
use crate::{Contents, KEY};
use shf_base::geometry::PAGE_BYTES;
use shf_base::open::{self, Access, Opened};
use shf_engine::element::ElementKey;
use shf_engine::hash::Hash;
use shf_engine::locate::{self, Located};
use shf_engine::place::{Field, unpair};
use shf_engine::{Elements, Map, OpError};
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use std::os::unix::fs::FileExt;

const LAST_KEY: &[u8] = b"number";

/// What is damaged.
#[derive(Clone, Copy, PartialEq)]
enum Damage {
    /// A counter: readers do not mind.
    Counter,
    /// The whole index, and one record: the last, since without an index its length leads to the
    /// next.
    IndexAndRecord,
    /// Some elements of a list: those behind them get other indices.
    Elements,
}

/// The elements of the list, and the indices of those that are damaged.
const ELEMENTS: u32 = 12;
const DAMAGED: [u32; 3] = [0, 4, 5];
const LIST: &[u8] = b"list";

/// A damaged map of one shard.
struct Damaged {
    file: MapFile,
    map: Map,
    reader: Map,
    peek: Opened,
    image: Image,
    damage: Damage,
    /// Where the header of the last record lies.
    last_record: u64,
    /// And those of the elements that are damaged.
    elements: Vec<u64>,
    /// What is in it, and what is when it is repaired.
    before: Contents,
    after: Contents,
    committed_bytes: u64,
}

impl Damaged {
    fn new(what: &str, damage: Damage) -> Damaged {
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_with(1, 512 << 10);
        fill(&map);
        map.put(KEY, &[6; 20_000]).unwrap();
        for n in 0..ELEMENTS {
            map.push(LIST, &[n as u8; 9]).unwrap();
        }
        map.add(LAST_KEY, 5).unwrap();
        for key in 20..100u64 {
            map.delete(&key.to_le_bytes()).unwrap();
        }
        assert_sound(&map);
        let image = Image::of(file.folder(), file.name());
        let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        let (before, reader) = (contents(&map), file.open_read_only());
        let (after, committed_bytes) = (Contents::new(), 0);
        let last_record = offset_of(&peek, LAST_KEY);
        let elements = DAMAGED.map(|index| offset_of_element(&peek, &map, index)).to_vec();
        let mut damaged = Damaged {
            file,
            map,
            reader,
            peek,
            image,
            damage,
            last_record,
            elements,
            before,
            after,
            committed_bytes,
        };
        damaged.restore();
        let repaired = damaged.map.repair().unwrap();
        assert_eq!(repaired.lost.is_empty(), damage == Damage::Counter, "{repaired:?}");
        damaged.judge_list();
        assert_sound(&damaged.map);
        damaged.after = contents(&damaged.map);
        damaged.committed_bytes = damaged.map.stats().committed_bytes;
        let lost = damaged.before.len() - damaged.after.len();
        assert_eq!(lost, usize::from(damage == Damage::IndexAndRecord));
        damaged
    }

    fn store(&self, offset: u64, word: u64) {
        self.image.file().write_all_at(&word.to_le_bytes(), offset).unwrap();
    }

    /// What is left of the list is there in order.
    fn judge_list(&self) {
        let mut elements = Elements::new();
        self.map.range(LIST, 0, i64::MAX, &mut elements).unwrap();
        let gone = |n: &u32| self.damage == Damage::Elements && DAMAGED.contains(n);
        let left = (0..ELEMENTS).filter(|n| !gone(n)).map(|n| [n as u8; 9]);
        assert!(elements.iter().eq(left), "{elements:?}");
    }

    /// Readers get the right answer, or `Busy` while the index is not there.
    fn judge_reads(&self, step: &str) {
        let mut value = Vec::new();
        for (key, expected) in self.before.iter().filter(|(key, _)| *key != LIST) {
            match self.reader.get(key, &mut value) {
                Err(OpError::Busy) => {}
                found => assert!(found == Ok(true) && value == *expected, "{step}: {found:?}"),
            }
        }
    }
}

/// Where the header of a key's record lies.
fn offset_of(peek: &Opened, key: &[u8]) -> u64 {
    let place = place(peek);
    match locate::key(place, Hash::of(key, peek.header.secret), key).unwrap() {
        Located::Found(_, word, _) => place.unit_offset(place.slot_format().reference(word)),
        _ => panic!("the key is there"),
    }
}

/// Where the header of an element's record lies.
fn offset_of_element(peek: &Opened, map: &Map, index: u32) -> u64 {
    let (place, list) = (place(peek), map.uid(LIST).unwrap().unwrap().bits());
    let key = ElementKey { list, index };
    match locate::element(place, key.hash(peek.header.secret), key).unwrap() {
        Located::Found(_, word, _) => place.unit_offset(place.slot_format().reference(word)),
        _ => panic!("the element is there"),
    }
}

impl Scene for Damaged {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn restore(&self) {
        self.image.restore();
        let geometry = self.map.geometry();
        let (header, window) = (geometry.shard_header(0), geometry.window(0));
        match self.damage {
            Damage::Counter => self.store(header + Field::Tables as u64, 7),
            Damage::IndexAndRecord => {
                let (_, index) = unpair(self.image.word(header + Field::Limits as u64));
                let end = window + geometry.window_bytes();
                let start = end - u64::from(index) * PAGE_BYTES;
                (start..end).step_by(8).for_each(|at| self.store(at, 0));
                self.store(self.last_record, u64::MAX);
            }
            Damage::Elements => self.elements.iter().for_each(|at| self.store(*at, u64::MAX)),
        }
    }

    fn ready(&self) {
        // Takes the child's slot.
        let _ = self.map.delete(b"not there");
    }

    fn operate(&self) -> bool {
        self.map.repair().is_ok()
    }

    fn recover(&self) -> bool {
        self.operate()
    }

    fn keep(&self) -> Box<dyn Fn() + '_> {
        self.file.keep()
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.file.name());
        if self.damage == Damage::Counter {
            self.judge_reads(step);
            // Whoever comes next goes on with it, if it had got so far.
            assert_eq!(self.map.delete(b"not there"), Ok(false), "{step}");
            self.judge_reads(step);
        }
        self.map.repair().unwrap();
        assert_sound(&self.map);
        assert!(contents(&self.map) == self.after, "{step}: a key is lost");
        self.judge_list();
        assert_eq!(
            Account::of(&self.peek).live,
            Live::of(&self.after, &self.peek.header, |_| false),
            "{step}"
        );
        let committed_bytes = self.map.stats().committed_bytes;
        let real_bytes = self.file.real_bytes();
        assert_eq!(real_bytes, committed_bytes, "{step}");
        assert!(committed_bytes <= self.committed_bytes, "{step}: {committed_bytes} bytes");
        self.map.put(b"one more", &[1; 100]).unwrap();
        assert_sound(&self.map);
    }
}

#[test]
fn a_rebuild_survives_death_at_every_step() {
    // Goal: P2 for the repair of a damaged map: whoever goes on with it saves the same records.
    deaths::run(&Damaged::new("rebuild", Damage::Counter), 1000);
}

#[test]
fn a_rebuild_of_an_index_that_is_gone_survives_death_at_every_step() {
    // Goal: as above, where nothing but the records is left.
    deaths::run(&Damaged::new("rebuild-all", Damage::IndexAndRecord), 1000);
}

#[test]
fn closing_the_gaps_of_a_list_survives_death_at_every_step() {
    // Goal: as above, where elements of a list are lost: those that are left are in order, each of
    // them once.
    deaths::run(&Damaged::new("rebuild-list", Damage::Elements), 1000);
}
