//! The checker: walks a shard under its lock and names every invariant that does not hold.
//!
//! It ships with the library, and the tests run it after everything they do to a map. It trusts
//! nothing: whatever the bytes say, it ends and stays inside the mapping. A test build can have it
//! run after each repair and split (`shf_base::crash::check_mutations`).

use crate::block;
use crate::class;
use crate::directory::{self, Entry};
use crate::element::ElementKey;
use crate::growth;
use crate::hash::DIRECTORY_BITS;
use crate::intent::Intent;
use crate::kind::Kind;
use crate::list::List;
use crate::place::{Field, LEVEL_ENTRIES, Place, unpair};
use crate::record::Record;
use crate::run::{self, Run};
use crate::seal::State;
use crate::split;
use crate::stacks;
use crate::table::{BUCKETS, REACH, bucket_at};
use crate::walk;
use hashbrown::{HashMap, HashSet};
use shf_base::atomic::Ordering::Acquire;
use shf_base::crash;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_UNITS;
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
struct Walk<'m> {
    place: Place<'m>,
    violations: Vec<Violation>,
    /// Units that the index refers to, by the first page of their log run.
    live: HashMap<u32, u64>,
    /// First pages of large records.
    large: HashSet<u32>,
    /// References in use.
    references: HashSet<u32>,
    /// Blocks that wait in stacks, and the units of their class, until a free block of that size is
    /// found there.
    waiting: HashMap<u32, u32>,
    /// Keys and elements.
    keys: u64,
    /// Keys that have a deadline.
    timed: u64,
    /// Lists by the bits of their UIDs, and how many of their elements were found.
    lists: HashMap<u64, (List, u64)>,
    elements: HashSet<ElementKey>,
    tables: u64,
    /// Index pages that the directory leads to, or consists of.
    pages: HashSet<u32>,
    /// Places of a directory of full depth that tables have.
    places: u64,
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
    fn report(&mut self, offset: u64, what: impl Into<String>) {
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
    fn page(&mut self, page: u32, offset: u64) {
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
        self.timed += u64::from(record.shape.timed);
        if !record.is_live() {
            self.report(offset, format!("unit {reference}: its record is not live"));
        }
        if record.shape.sealed != place.is_durable() {
            self.report(offset, format!("unit {reference}: its record is not of such a map"));
        } else if place.is_durable()
            && !(matches!(record.state(), State::Live { .. }) && record.has_front(place))
        {
            self.report(offset, format!("unit {reference}: its record's seal does not say live"));
        }
        if !self.references.insert(reference) {
            self.report(offset, format!("unit {reference} has two slots"));
        }
        let hashed = if record.shape.sealed { record.shape.bytes() } else { record.shape.key_len };
        let Some(left) = self.bytes_left.checked_sub(hashed) else {
            return self.report(offset, "records that overlap");
        };
        self.bytes_left = left;
        let hash = record.hash(place.secret());
        if hash != record.hash_of_key(place.secret()) {
            self.report(place.unit_offset(reference), "the key's hash in the record is another's");
        }
        if record.shape.sealed && !record.is_whole(place) {
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
        if record.shape.kind == Kind::List {
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

    fn count_memory(&mut self, reference: u32, record: Record<'m>) {
        let place = self.place;
        if record.shape.is_large() {
            let page = place.unit_page(reference).unwrap_or(u32::MAX);
            self.large.insert(page);
            if place.page_unit(page) != reference {
                self.report(place.unit_offset(reference), "large record inside of a page");
            }
            return;
        }
        let units = class::units(class::of_bytes(record.shape.bytes()));
        match run::log_of(&Intent::begin(place), place, reference) {
            Ok((page, Run::Log { used, .. })) => {
                if reference - place.page_unit(page) + units > used {
                    self.report(place.unit_offset(reference), "record beyond the used units");
                }
                *self.live.entry(page).or_default() += u64::from(units);
            }
            _ => self.report(place.unit_offset(reference), "record outside of a log run"),
        }
    }

    fn memory(&mut self) {
        let place = self.place;
        let intent = Intent::begin(place);
        let (top, _) = run::tops(&intent, place);
        let (mut dead, mut free, mut holes, mut page) = (0, 0, 0, 0);
        let mut head = (place.load(Field::Head) as u32).checked_sub(1).filter(|head| *head < top);
        let mut fit = Some(unpair(place.load(Field::Rotors)).0).filter(|fit| *fit != top);
        let mut sweep = Some(place.load(Field::Sweep) as u32).filter(|sweep| *sweep < top);
        self.waiting();
        while page < top {
            let run = run::at(&intent, place, page);
            let offset = place.descriptor_offset(page);
            head = head.filter(|head| *head != page);
            fit = fit.filter(|fit| *fit != page);
            sweep = sweep.filter(|sweep| *sweep != page);
            match run {
                Run::Log { pages, live, used, .. } => {
                    let expected = self.live.remove(&page).unwrap_or(0);
                    if expected != u64::from(live) {
                        let what =
                            format!("page {page}: {live} units live, {expected} referred to");
                        self.report(offset, what);
                    }
                    if live > used || u64::from(used) > u64::from(pages) * PAGE_UNITS {
                        self.report(offset, format!("page {page}: {live} of {used} units"));
                    } else {
                        self.blocks(page, live, used);
                    }
                    let inside = |back: &u32| {
                        run::at(&intent, place, page + back) == Run::Inside { back: *back }
                    };
                    if let Some(back) = (1..pages.min(top - page)).find(|back| !inside(back)) {
                        let what = format!("page {}: not inside of run {page}", page + back);
                        self.report(place.descriptor_offset(page + back), what);
                    }
                    dead += u64::from(used.saturating_sub(live));
                }
                Run::Large { pages } => {
                    let record = Record::at(&place, place.page_unit(page));
                    let expected = record.map_or(0, |record| record.shape.pages());
                    if !self.large.remove(&page) {
                        self.report(offset, format!("page {page}: large run without a key"));
                    } else if expected != u64::from(pages) {
                        let what = format!("page {page}: {pages} pages, its record has {expected}");
                        self.report(offset, what);
                    }
                }
                Run::Free { pages, .. } => free += u64::from(pages),
                Run::Hole { pages, .. } => {
                    free += u64::from(pages);
                    holes += u64::from(pages);
                }
                Run::Inside { .. } => {
                    self.report(offset, format!("page {page}: no run starts here"));
                    return;
                }
            }
            page += run.pages().max(1);
        }
        self.expect("pages of all runs", page.into(), top.into(), Field::Tops);
        self.expect("dead units", dead, place.load(Field::Dead), Field::Dead);
        self.expect("free pages", free, place.load(Field::FreePages), Field::FreePages);
        self.expect("holes", holes, place.load(Field::Holes), Field::Holes);
        // What is no run any more may still be named; but fresh blocks come from any log run there.
        if let Some(page) =
            head.filter(|page| matches!(run::at(&intent, place, *page), Run::Log { .. }))
        {
            let what = format!("fresh blocks come from page {page}, where no run starts");
            self.report(place.field_offset(Field::Head), what);
        }
        // As before, for the search for dead blocks.
        if let Some(page) =
            sweep.filter(|page| matches!(run::at(&intent, place, *page), Run::Log { .. }))
        {
            let what =
                format!("dead blocks are looked for from page {page} on, where no run starts");
            self.report(place.field_offset(Field::Sweep), what);
        }
        // What lies there may be left of a run of long ago.
        if let Some(page) = fit {
            let what = format!("free runs are searched from page {page} on, where no run starts");
            self.report(place.field_offset(Field::Rotors), what);
        }
        // Runs that keys refer to and no other run leads to: it is longer than it should be.
        let first = self.live.keys().chain(&self.large).min().copied();
        if let Some(page) = first {
            self.report(
                place.descriptor_offset(page),
                format!("page {page}: record without its run"),
            );
        }
        self.stacks();
    }

    /// Walks the blocks of a log run: they end where the used units do, and the live ones say so.
    fn blocks(&mut self, page: u32, live: u32, used: u32) {
        let (place, start) = (self.place, self.place.page_unit(page));
        let (mut at, mut found) = (0, 0);
        while at < used {
            let Some(block) = block::at(&place, start + at) else { break };
            at += block.units;
            if !block.is_free() {
                found += block.units;
            } else if self.waiting.get(&block.reference) == Some(&block.units) {
                self.waiting.remove(&block.reference);
            }
        }
        if at != used || found != live {
            let what = format!("page {page}: {found} of {at} units live, not {live} of {used}");
            self.report(place.record_page(page), what);
        }
    }

    /// Collects what waits in stacks, each block once.
    fn waiting(&mut self) {
        let place = self.place;
        let (mut waiting, mut twice, mut wrong) = (HashMap::new(), Vec::new(), Vec::new());
        let block = |class, reference| {
            if waiting.insert(reference, class::units(class)).is_some() {
                twice.push((place.stack_offset(class), format!("unit {reference} waits twice")));
            }
        };
        stacks::check(place, block, |at, what| wrong.push((at, what)));
        self.waiting = waiting;
        for (at, what) in wrong.into_iter().chain(twice) {
            self.report(at, what);
        }
    }

    /// What is left there is no free block of the class that it waits for: who got it would write
    /// over its neighbours, or over the record that it is a part of.
    fn stacks(&mut self) {
        let place = self.place;
        for (reference, units) in std::mem::take(&mut self.waiting) {
            let what = format!("unit {reference} waits for {units} units but is not free");
            self.report(place.stack_offset(class::of_bytes(u64::from(units) * 8)), what);
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

    fn index_pages(&mut self, used: u32) {
        let place = self.place;
        let mut pages = self.tables;
        for level in 0..LEVEL_ENTRIES {
            if let Some(page) = place.level(level).load(Acquire).checked_sub(1) {
                pages += 1;
                self.page(page, place.level_offset(level));
            }
        }
        if let Some(gap) = unpair(place.load(Field::Gap)).0.checked_sub(1) {
            pages += 1;
            if u64::from(gap) + 1 >= used.into() || self.pages.contains(&gap) {
                let what = format!("index page {gap} is no gap below {used}");
                self.report(place.field_offset(Field::Gap), what);
            }
        }
        self.expect("index pages", pages, used.into(), Field::Tops);
        let all = if self.tables == 0 { 0 } else { 1 << DIRECTORY_BITS };
        if self.places != all {
            let what = format!("tables have {} of {all} places of the directory", self.places);
            self.report(place.level_offset(0), what);
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

    fn expect(&mut self, what: &str, counted: u64, said: u64, field: Field) {
        if counted != said {
            let what = format!("{what}: {counted} counted, the header says {said}");
            self.report(self.place.field_offset(field), what);
        }
    }
}
