//! The checker: walks a shard under its lock and names every invariant that does not hold.
//!
//! It ships with the library, and the tests run it after everything they do to a map. It trusts
//! nothing: whatever the bytes say, it ends and stays inside the mapping. A test build can have it
//! run after each repair and split (`shf_base::crash::check_mutations`).

use crate::directory::{self, Entry};
use crate::element::ElementKey;
use crate::growth;
use crate::hash::DIRECTORY_BITS;
use crate::kind::Kind;
use crate::list::List;
use crate::place::{Field, Place, unpair};
use crate::record::Record;
use crate::seal::State;
use crate::split;
use crate::table::{BUCKETS, REACH, bucket_at};
use crate::walk;
use hashbrown::{HashMap, HashSet};
use shf_base::atomic::Ordering::Acquire;
use shf_base::crash;
use shf_base::error::OpError;
use std::fmt;

/// One invariant that does not hold, or something that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The shard.
    pub shard: u32,
    /// Table (index page of the shard), bucket and slot, where that is what is wrong.
    pub slot: Option<SlotNumber>,
    /// Bytes into the file, where something was found that contradicts `what`.
    pub offset: u64,
    /// The invariant, and what was found.
    pub what: String,
}

/// The place of a slot in the index of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotNumber {
    /// The table's index page.
    pub table: u32,
    /// The bucket of the table.
    pub bucket: u32,
    /// The slot of the bucket.
    pub slot: u32,
}

impl Violation {
    /// One that concerns no slot.
    pub fn new(shard: u32, offset: u64, what: String) -> Violation {
        Violation { shard, slot: None, offset, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}, ", self.shard)?;
        if let Some(SlotNumber { table, bucket, slot }) = self.slot {
            write!(f, "table {table}, bucket {bucket}, slot {slot}, ")?;
        }
        write!(f, "offset {:#x}: {}", self.offset, self.what)
    }
}

/// Violations that one shard's check names; who has so many need not know the rest, and a damaged
/// map could have more than there is memory.
const VIOLATIONS_MAX: usize = 1000;

/// What the walk over the index collects.
pub(crate) struct Walk<'m> {
    pub(crate) place: Place<'m>,
    violations: Vec<Violation>,
    /// Units that the index refers to, by the first page of their log run.
    pub(crate) live: HashMap<u32, u64>,
    /// First pages of large records.
    pub(crate) large: HashSet<u32>,
    /// References in use.
    references: HashSet<u32>,
    /// Blocks that wait in stacks, and the units of their class, until a free block of that size is
    /// found there.
    pub(crate) waiting: HashMap<u32, u32>,
    /// Keys and elements.
    keys: u64,
    /// Keys that have a deadline.
    timed: u64,
    /// Lists by the bits of their UIDs, and how many of their elements were found.
    lists: HashMap<u64, (List, u64)>,
    elements: HashSet<ElementKey>,
    pub(crate) tables: u64,
    /// Index pages that the directory leads to, or consists of.
    pub(crate) pages: HashSet<u32>,
    /// Places of a directory of full depth that tables have.
    pub(crate) places: u64,
    /// The slot that is being looked at.
    slot: Option<SlotNumber>,
    /// Bytes of keys that may still be hashed before records must overlap.
    bytes_left: u64,
}

/// Checks a shard. The caller holds its lock and nothing is pending.
pub fn shard(place: Place<'_>) -> Vec<Violation> {
    let mut walk = Walk {
        place,
        violations: Vec::new(),
        live: HashMap::new(),
        large: HashSet::new(),
        references: HashSet::new(),
        waiting: HashMap::new(),
        keys: 0,
        timed: 0,
        lists: HashMap::new(),
        elements: HashSet::new(),
        tables: 0,
        pages: HashSet::new(),
        places: 0,
        slot: None,
        bytes_left: place.records_bytes_max(),
    };
    if let Err(error) = walk.index() {
        walk.report(place.field_offset(Field::Root), error.to_string());
    }
    walk.memory();
    walk.counters();
    walk.violations
}

/// Tables of a shard that is checked after a split.
const SMALL_TABLES: u64 = 16;

/// In a test build that asked for it: panics when a shard that was just repaired is not sound.
#[inline(always)]
pub fn after_repair(place: Place<'_>) {
    if crash::checks() {
        assert_sound(place);
    }
}

/// As `after_repair`, after a split or a merge; not for large shards, which would be walked too
/// often.
#[inline(always)]
pub fn after_split(place: Place<'_>) {
    if crash::checks() && place.load(Field::Tables) <= SMALL_TABLES && !place.is_for_rebuild() {
        assert_sound(place);
    }
}

#[cold]
fn assert_sound(place: Place<'_>) {
    let violations = shard(place);
    assert!(violations.is_empty(), "{violations:#?}");
}

impl<'m> Walk<'m> {
    pub(crate) fn report(&mut self, offset: u64, what: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            let shard = self.place.shard();
            self.violations.push(Violation { shard, slot: self.slot, offset, what: what.into() });
        }
    }

    fn index(&mut self) -> Result<(), OpError> {
        let depth = directory::depth(&self.place)?;
        walk::tables(self.place, |entry| {
            let offset = entry.table.low_offset(0);
            if entry.index >> entry.depth != 0 || entry.depth > depth {
                let what = format!("table of depth {} at index {}", entry.depth, entry.index);
                self.report(offset, what);
            }
            self.tables += 1;
            self.places += (1 << DIRECTORY_BITS) >> entry.depth.min(DIRECTORY_BITS);
            self.page(entry.table.page, offset);
            self.table(entry);
            Ok(self.violations.len() < VIOLATIONS_MAX)
        })?;
        Ok(())
    }

    /// An index page is used for one thing.
    pub(crate) fn page(&mut self, page: u32, offset: u64) {
        if !self.pages.insert(page) {
            self.report(offset, format!("index page {page} is used twice"));
        }
    }

    fn table(&mut self, entry: Entry<'m>) {
        let mut overflow = [0u8; BUCKETS];
        for bucket in 0..BUCKETS {
            let occupied = entry.table.head(bucket).occupied();
            let word = |slot| entry.table.slot(bucket, slot);
            split::count_overflow(self.place, (bucket, occupied), word, &mut overflow);
            for slot in occupied {
                let (table, bucket_number) = (entry.table.page, bucket as u32);
                let number = SlotNumber { table, bucket: bucket_number, slot: slot as u32 };
                self.slot = Some(number);
                self.slot(entry, bucket, slot);
                self.slot = None;
            }
        }
        for (bucket, expected) in overflow.into_iter().enumerate() {
            let found = entry.table.head(bucket).overflow();
            if found != u64::from(expected) {
                let what = format!("bucket {bucket}: overflow {found}, {expected} keys passed it");
                self.report(entry.table.low_offset(bucket), what);
            }
        }
    }

    fn slot(&mut self, entry: Entry<'m>, bucket: usize, slot: usize) {
        self.keys += 1;
        let (place, format) = (self.place, self.place.slot_format());
        let offset = entry.table.slot_offset(bucket, slot);
        let word = entry.table.slot(bucket, slot);
        let reference = format.reference(word);
        let Some(record) = Record::at(&place, reference) else {
            return self.report(offset, format!("slot without a record at unit {reference}"));
        };
        self.timed += u64::from(record.shape.traits.timed());
        if !record.is_live() {
            self.report(offset, format!("unit {reference}: its record is not live"));
        }
        if !record.shape.is_possible(place.facts()) {
            self.report(offset, format!("unit {reference}: its record is not of such a map"));
        } else if place.is_durable()
            && !(matches!(record.state(), State::Live { .. }) && record.has_front(place))
        {
            self.report(offset, format!("unit {reference}: its record's seal does not say live"));
        }
        if !self.references.insert(reference) {
            self.report(offset, format!("unit {reference} has two slots"));
        }
        let hashed =
            if record.shape.traits.sealed() { record.shape.bytes() } else { record.shape.key_len };
        let Some(left) = self.bytes_left.checked_sub(hashed) else {
            return self.report(offset, "records that overlap");
        };
        self.bytes_left = left;
        let hash = record.hash(place.secret());
        if hash != record.hash_of_key(place.secret()) {
            self.report(place.unit_offset(reference), "the key's hash in the record is another's");
        }
        if record.shape.traits.sealed() && !record.is_whole(place) {
            self.report(place.unit_offset(reference), "the record is not what its checksum says");
        }
        let distance = format.distance(word);
        let right = hash.shard(place.geometry().shards()) == place.shard()
            && hash.directory() & ((1 << entry.depth) - 1) == entry.index
            && distance < REACH
            && bucket_at(hash.bucket(), distance) == bucket
            && entry.table.head(bucket).tag(slot) == hash.tag()
            && format.pack(reference, distance, hash, entry.depth) == word;
        if !right {
            self.report(offset, "not where its key's hash belongs");
        }
        if record.shape.traits.kind() == Kind::List {
            let uid = place.uid(hash, record.stamp).bits();
            if self.lists.insert(uid, (record.list(), 0)).is_some() {
                self.report(offset, "two lists with one UID");
            }
        }
        if let Some(key) = record.element_key()
            && !self.elements.insert(key)
        {
            self.report(offset, "two elements with one index");
        }
        self.count_memory(reference, record);
    }

    /// Lists have all of their elements; what other elements there are is counted as orphans.
    fn lists(&mut self, orphans_said: u32) {
        let place = self.place;
        self.expect(
            "elements",
            self.elements.len() as u64,
            place.load(Field::Elements),
            Field::Elements,
        );
        let mut orphans = 0;
        for key in std::mem::take(&mut self.elements) {
            match self.lists.get_mut(&key.list) {
                Some((list, found)) if list.covers(key.index) => *found += 1,
                _ => orphans += 1,
            }
        }
        self.expect("orphans", orphans, orphans_said.into(), Field::Timed);
        for (uid, (List { first, count }, found)) in std::mem::take(&mut self.lists) {
            if found != u64::from(count) || count == 0 {
                let what = format!("list {uid:#x}: {found} of {count} elements from {first} on");
                self.report(place.field_offset(Field::Elements), what);
            }
        }
    }

    fn counters(&mut self) {
        let place = self.place;
        self.expect("keys and elements", self.keys, place.entries(), Field::Keys);
        let (timed, orphans) = unpair(place.load(Field::Timed));
        self.expect("timed keys", self.timed, timed.into(), Field::Timed);
        self.lists(orphans);
        self.expect("tables", self.tables, place.load(Field::Tables), Field::Tables);
        let (records, index) = unpair(place.load(Field::Limits));
        let ledger = place.ledger(place.shard()).load(Acquire);
        self.expect(
            "ledger",
            growth::ledger(records, index, place.load(Field::Holes)),
            ledger,
            Field::Limits,
        );
        if place.is_durable() {
            self.epochs();
        }
        let (top, used) = unpair(place.load(Field::Tops));
        self.index_pages(used);
        if top > records || used > index {
            let what = format!("tops {top}, {used} beyond the limits {records}, {index}");
            self.report(place.field_offset(Field::Tops), what);
        }
    }

    fn epochs(&mut self) {
        let (place, epochs) = (self.place, self.place.epochs());
        let field = |field| place.load(field);
        // No map comes near these numbers; beyond them, others would begin anew.
        let most = 1 << 45;
        let rising = [
            ("births", field(Field::Born), Field::Born, most),
            ("freed runs", field(Field::Retired), Field::Retired, most),
            ("epoch", epochs.durable(), Field::Epoch, field(Field::Epoch)),
            ("epoch", field(Field::Epoch), Field::Epoch, epochs.begun().max(epochs.durable())),
            ("born", field(Field::BornBefore), Field::Born, field(Field::Born)),
            ("freed", field(Field::Freed), Field::Freed, field(Field::Retired)),
            ("freed", field(Field::FreedBefore), Field::FreedBefore, field(Field::Retired)),
        ];
        for (what, low, at, high) in rising {
            if low > high {
                self.report(place.field_offset(at), format!("{what}: {low} is after {high}"));
            }
        }
    }

    pub(crate) fn expect(&mut self, what: &str, counted: u64, said: u64, field: Field) {
        if counted != said {
            let what = format!("{what}: {counted} counted, the header says {said}");
            self.report(self.place.field_offset(field), what);
        }
    }
}
