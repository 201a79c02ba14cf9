//! The place of one shard in the mapped file: its header's words, its window, its index pages.
//!
//! ```text
//! shard header, bytes
//!    0  root: directory depth, moves of tables      read by gets; written by splits and merges
//!    8  limits: record pages | index pages << 32    read by gets; written by growth only
//!   16  directory, first level: 512 half words      read by gets; written by splits only
//! 2112  lock (half), suspect (half), pending intent entries, keys, dead units
//! 2144  intent: 96 entries of address and value
//! 3712  head, tops, free pages, rotors, evacuation, retired, reused, sweep
//! 3776  splits, repairs, moved records, tables, chunks, expired keys, elements
//! 3840  of durable maps: epoch, born, born before, freed, freed before, dead before
//! 3904  index: gap, vacated, rest, kept, turn, pause; expiry: timed, hand
//! 3968  holes, unsettled, rested, resting, rest began, walked
//! 4032  of maps that evict: turns, evicted, credit, hand
//! 4096  stacks: 127 half words (`stacks`)
//! ```
//!
//! What nearly every mutation stores to lies together, in two or three cache lines: between two
//! processes that write, each of them changes hands with the lock.

use crate::class::CLASSES;
use crate::hash::Hash;
use crate::slot_word::SlotFormat;
use crate::stamp::Stamp;
use crate::uid::{self, Uid};
use shf_base::atomic::Ordering::{Acquire, Release};
use shf_base::atomic::{Bytes, Half, Page, PagesFromEnd, Word};
use shf_base::change_log::ChangeLog;
use shf_base::epochs::Epochs;
use shf_base::error::OpError;
use shf_base::format::{FileHeader, LOCK_OFFSET, ROOT_OFFSET, SUSPECT_OFFSET};
use shf_base::geometry::{Geometry, PAGE_BYTES, SHARD_HEADER_BYTES, UNIT_BYTES};
use shf_base::region::Region;
use shf_base::reservation::Reservation;
use shf_base::shards::Window;
use shf_base::storage::Storage;

/// Entries of the first level of a directory.
pub const LEVEL_ENTRIES: u32 = 512;
/// Entries that an intent can hold.
pub const INTENT_ENTRIES: u64 = 96;

/// A word of the shard header, by its offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Field {
    /// Directory depth, how often a table has changed places, and whether the index is being
    /// rebuilt (`directory`).
    Root = ROOT_OFFSET,
    /// Committed record pages, and committed index pages in the upper half.
    Limits = 8,
    /// Committed entries of the intent; 0 when nothing is pending.
    Pending = LOCK_OFFSET + 8,
    /// Keys and elements of lists in the shard, and in the upper half how many were born, which
    /// comes around.
    Keys = LOCK_OFFSET + 16,
    /// Units of records that are deleted or replaced and not used again.
    Dead = LOCK_OFFSET + 24,
    /// Splits since creation.
    Splits = COUNTERS_OFFSET,
    /// Repairs since creation.
    Repairs = COUNTERS_OFFSET + 8,
    /// Records moved by compaction since creation.
    Moved = COUNTERS_OFFSET + 16,
    /// Tables.
    Tables = COUNTERS_OFFSET + 24,
    /// The first chunk that no stack has, plus one, and in the upper half how many were ever taken
    /// (`stacks`).
    Chunks = COUNTERS_OFFSET + 32,
    /// Keys that had expired when they were deleted or replaced, since creation.
    Expired = COUNTERS_OFFSET + 40,
    /// Elements of lists, those among them whose list is gone.
    Elements = COUNTERS_OFFSET + 48,
    /// Page of the run that new records go to, plus one; 0: none yet.
    Head = MEMORY_OFFSET,
    /// Record pages handed out so far, and index pages in the upper half.
    Tops = MEMORY_OFFSET + 8,
    /// Pages in free runs.
    FreePages = MEMORY_OFFSET + 16,
    /// Where the search for free runs goes on, and that for sparse runs in the upper half.
    Rotors = MEMORY_OFFSET + 24,
    /// Page of the run being evacuated plus one, and units done in the upper half; 0: none.
    Evacuation = MEMORY_OFFSET + 32,
    /// Runs freed since creation.
    Retired = MEMORY_OFFSET + 40,
    /// The largest number that a run used again got when it was freed.
    Reused = MEMORY_OFFSET + 48,
    /// Page where the next sweep for dead blocks, or squeeze, begins.
    Sweep = MEMORY_OFFSET + 56,
    /// The epoch of the shard (`shf_base::epochs`).
    Epoch = DURABILITY_OFFSET,
    /// Records that were given a slot, since creation.
    Born = DURABILITY_OFFSET + 8,
    /// `Born` when the epoch began.
    BornBefore = DURABILITY_OFFSET + 16,
    /// `Retired` when the epoch began.
    Freed = DURABILITY_OFFSET + 24,
    /// The last `Freed` that is known to have become durable.
    FreedBefore = DURABILITY_OFFSET + 32,
    /// Dead units that need not be kept for a crash of the machine once the epoch is durable.
    DeadBefore = DURABILITY_OFFSET + 40,
    /// The free index page below the top plus one, 0: none; in the upper half, where the search for
    /// the directory's entry of the last page goes on.
    Gap = INDEX_OFFSET,
    /// Index pages that were given up since creation: by a merge, or to fill a gap.
    Vacated = INDEX_OFFSET + 8,
    /// The moment from which on index pages rest before they are given back; 0: none rest.
    Rest = INDEX_OFFSET + 16,
    /// The most index pages that were handed out at one time since then; in the upper half,
    /// operations until the next look at the clock.
    Kept = INDEX_OFFSET + 24,
    /// Place in the directory where the search for tables to merge goes on; in the upper half, how
    /// many places it has passed since it last found some.
    Turn = INDEX_OFFSET + 32,
    /// Keys when a search of the whole directory found nothing to merge, plus one; 0: it goes on.
    Pause = INDEX_OFFSET + 40,
    /// Keys that have a deadline, and in the upper half elements whose list is gone (`orphans`).
    Timed = INDEX_OFFSET + 48,
    /// Place in the directory of the table in which the search for expired keys goes on, and in the
    /// upper half, the next of its slots (`expiry`).
    Hand = INDEX_OFFSET + 56,
    /// Pages of free runs that are holes.
    Holes = HOLES_OFFSET,
    /// Page plus one, and number, of pages among which holes may be real; 0: none.
    Unsettled = HOLES_OFFSET + 8,
    /// Runs freed with this number or a lower one have rested (`shf_base::grace`).
    Rested = HOLES_OFFSET + 16,
    /// `Retired` when the present rest began.
    Resting = HOLES_OFFSET + 24,
    /// When the present rest began; 0: never.
    RestBegan = HOLES_OFFSET + 32,
    /// Pages that the search for rested runs has passed since the last rest was over.
    Walked = HOLES_OFFSET + 40,
    /// In a map that evicts, how often the eviction hand has gone round.
    Turns = EVICTION_OFFSET,
    /// Keys evicted since creation.
    Evicted = EVICTION_OFFSET + 8,
    /// Bytes that were evicted and not put yet, plus one; 0: there may be memory without that
    /// (`eviction`).
    Credit = EVICTION_OFFSET + 16,
    /// As `Hand`, where the next look for a key to evict begins (`eviction`).
    EvictionHand = EVICTION_OFFSET + 24,
}

const LEVEL_OFFSET: u64 = 16;
const _: () = assert!(LEVEL_OFFSET + LEVEL_ENTRIES as u64 * 4 <= LOCK_OFFSET);
/// Right behind `Dead`.
const INTENT_OFFSET: u64 = LOCK_OFFSET + 32;
/// How new records get their memory.
const MEMORY_OFFSET: u64 = 58 * 64;
const _: () = assert!(INTENT_OFFSET + INTENT_ENTRIES * 16 <= MEMORY_OFFSET);
/// What is counted and seldom changes.
const COUNTERS_OFFSET: u64 = MEMORY_OFFSET + 64;
/// What only durable maps have.
const DURABILITY_OFFSET: u64 = COUNTERS_OFFSET + 64;
/// How the index shrinks.
const INDEX_OFFSET: u64 = DURABILITY_OFFSET + 64;
/// How memory goes back to the file system.
const HOLES_OFFSET: u64 = INDEX_OFFSET + 64;
/// What only maps that evict have.
const EVICTION_OFFSET: u64 = HOLES_OFFSET + 64;
/// A half word for each size class.
const STACKS_OFFSET: u64 = PAGE_BYTES;
const _: () = assert!(EVICTION_OFFSET + 64 <= STACKS_OFFSET);
const _: () = assert!(STACKS_OFFSET + CLASSES as u64 * 4 <= SHARD_HEADER_BYTES);

/// The lines that nearly every mutation touches: the lock, the intent of a put, the allocator's
/// words, and where it looks whether the index or the memory has something to give back.
const TOUCHED_LINES: [u64; 6] = [
    LOCK_OFFSET / 64,
    LOCK_OFFSET / 64 + 1,
    LOCK_OFFSET / 64 + 2,
    MEMORY_OFFSET / 64,
    INDEX_OFFSET / 64,
    HOLES_OFFSET / 64,
];
const _: () = assert!(LOCK_OFFSET.is_multiple_of(64));

/// One shard's part of a region. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Place<'m> {
    region: &'m Region,
    facts: &'m FileHeader,
    shard: u32,
    header_offset: u64,
    window_offset: u64,
    header: Page<'m>,
    window: Window<'m>,
    rebuilder: bool,
}

/// Two 32-bit numbers in one word.
#[inline(always)]
pub fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Where an entry of the directory's first level lies in the shard header, in bytes.
pub(crate) fn level_in_header(entry: u32) -> usize {
    (LEVEL_OFFSET + u64::from(entry) * 4) as usize
}

/// The two numbers of `pair`.
#[inline(always)]
pub fn unpair(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

impl<'m> Place<'m> {
    /// The place of a shard, whose number wraps around, in a map of which these are the facts.
    #[inline(always)]
    pub fn new(storage: &'m Storage, facts: &'m FileHeader, number: u32) -> Place<'m> {
        let geometry = &facts.geometry;
        let shard = number & (geometry.shards() - 1);
        let (header, window) = storage.shard(number);
        Place {
            region: storage.region(),
            facts,
            shard,
            header_offset: geometry.shard_header(shard),
            window_offset: geometry.window(shard),
            header,
            window,
            rebuilder: false,
        }
    }

    /// The same place, for who rebuilds the index and so may use it while others may not.
    pub fn for_rebuild(self) -> Place<'m> {
        Place { rebuilder: true, ..self }
    }

    /// Whether this is the place of who rebuilds the index.
    pub fn is_for_rebuild(&self) -> bool {
        self.rebuilder
    }

    /// The map's secret, the key of its hash.
    #[inline(always)]
    pub fn secret(self) -> u64 {
        self.facts.secret
    }

    /// Whether the map is durable: its records are sealed.
    #[inline(always)]
    pub fn is_durable(&self) -> bool {
        self.facts.durable
    }

    /// The most real bytes that the map may have.
    pub fn max_bytes(&self) -> u64 {
        self.facts.max_bytes
    }

    /// Whether the map evicts keys when it is full.
    #[inline(always)]
    pub fn evicts(&self) -> bool {
        self.facts.evicting
    }

    /// The pages that each shard has from creation on.
    pub fn reservation(&self) -> Reservation {
        self.facts.reservation
    }

    /// What is fixed for the whole map.
    #[inline(always)]
    pub fn facts(self) -> &'m FileHeader {
        self.facts
    }

    /// The epochs of the map.
    #[inline(always)]
    pub fn epochs(self) -> Epochs<'m> {
        Epochs::new(self.region)
    }

    /// The change log of the map.
    pub fn change_log(self) -> ChangeLog<'m> {
        ChangeLog::new(self.region, &self.facts.geometry)
    }

    /// How the slots of this map are packed.
    #[inline(always)]
    pub fn slot_format(&self) -> SlotFormat {
        SlotFormat::new(&self.facts.geometry)
    }

    /// Number of the shard.
    #[inline(always)]
    pub fn shard(self) -> u32 {
        self.shard
    }

    /// Where everything lies.
    #[inline(always)]
    pub fn geometry(self) -> &'m Geometry {
        &self.facts.geometry
    }

    /// The region that holds the map.
    #[inline(always)]
    pub fn region(self) -> &'m Region {
        self.region
    }

    /// File offset of a header word.
    #[inline(always)]
    pub fn field_offset(self, field: Field) -> u64 {
        self.header_offset + field as u64
    }

    /// A header word.
    #[inline(always)]
    pub fn field(&self, field: Field) -> Word<'m> {
        self.header.word(field as usize / 8)
    }

    /// Loads a header word (acquire, with the release of the intent that stored it).
    #[inline(always)]
    pub fn load(&self, field: Field) -> u64 {
        self.field(field).load(Acquire)
    }

    /// Keys and elements of lists in the shard: slots that are in use.
    #[inline(always)]
    pub fn entries(self) -> u64 {
        unpair(self.load(Field::Keys)).0.into()
    }

    /// Keys in the shard; of a moment before or after a change that is under way.
    pub fn keys(self) -> u64 {
        self.entries().saturating_sub(self.load(Field::Elements))
    }

    /// The UID of a key's hash and its record's stamp.
    #[inline(always)]
    pub fn uid(self, hash: Hash, stamp: Stamp) -> Uid {
        Uid::new(hash, stamp, self.geometry().uid_shard_bits())
    }

    /// Whether UIDs have the same of both stamps.
    #[inline(always)]
    pub fn have_one_generation(self, stamp: Stamp, other: Stamp) -> bool {
        let shard_bits = self.geometry().uid_shard_bits();
        uid::generation(stamp, shard_bits) == uid::generation(other, shard_bits)
    }

    /// The stamp of the next key that is born.
    #[inline(always)]
    pub fn next_born(self) -> Stamp {
        Stamp::born(unpair(self.load(Field::Keys)).1)
    }

    /// Committed record and index pages: what the header says, but no more than the window has,
    /// so that no sum of pages or offsets made of them overflows.
    #[inline(always)]
    pub fn limits(&self) -> (u32, u32) {
        let (records, index) = unpair(self.load(Field::Limits));
        let most = self.facts.geometry.pages() as u32;
        (records.min(most), index.min(most))
    }

    /// Bytes of the committed record pages. Records do not overlap, so all of a shard's together
    /// have no more; who reads more than that for one step has met a forged length.
    pub fn records_bytes_max(&self) -> u64 {
        u64::from(self.limits().0) * PAGE_BYTES
    }

    /// Stores a header word that changes on its own, outside of any intent.
    #[inline(always)]
    pub fn store(self, field: Field, value: u64) {
        self.field(field).store(value, Release);
    }

    /// Starts to fetch what a mutation is going to touch of the header.
    #[inline(always)]
    pub fn prefetch_header(self) {
        for line in TOUCHED_LINES {
            self.header.line(line as usize).prefetch();
        }
    }

    /// The lock's half word and the suspicion beside it.
    pub fn lock_words(self) -> (Half<'m>, Half<'m>) {
        let half = |offset| self.header.half(offset as usize / 4);
        (half(LOCK_OFFSET), half(SUSPECT_OFFSET))
    }

    /// File offset of an entry of the directory's first level.
    #[inline(always)]
    pub fn level_offset(self, entry: u32) -> u64 {
        debug_assert!(entry < LEVEL_ENTRIES);
        self.header_offset + LEVEL_OFFSET + u64::from(entry) * 4
    }

    /// An entry of the directory's first level.
    #[inline(always)]
    pub fn level(&self, entry: u32) -> Half<'m> {
        self.header.half((LEVEL_OFFSET / 4) as usize + (entry % LEVEL_ENTRIES) as usize)
    }

    /// The two words of an intent entry.
    #[inline(always)]
    pub fn intent_entry(self, entry: u64) -> (Word<'m>, Word<'m>) {
        debug_assert!(entry < INTENT_ENTRIES);
        let at = (INTENT_OFFSET / 8 + entry * 2) as usize;
        (self.header.word(at), self.header.word(at + 1))
    }

    /// The ledger word of this shard, and of any other.
    #[inline(always)]
    pub fn ledger(self, shard: u32) -> Word<'m> {
        self.region
            .word(self.facts.geometry.ledger(shard))
            .expect("the front of the file is mapped")
    }

    /// File offset of the window.
    #[inline(always)]
    pub fn window(self) -> u64 {
        self.window_offset
    }

    /// File offset of a record page, which MAY be beyond the limit.
    #[inline(always)]
    pub fn record_page(self, page: u32) -> u64 {
        self.window_offset + self.facts.geometry.pages_offset() + u64::from(page) * PAGE_BYTES
    }

    /// File offset of an index page; index pages are counted from the end of the window.
    #[inline(always)]
    pub fn index_page(self, page: u32) -> u64 {
        self.window_offset + self.facts.geometry.window_bytes() - (u64::from(page) + 1) * PAGE_BYTES
    }

    /// Index page `page`, if it is committed.
    #[inline(always)]
    pub fn index(&self, page: u32) -> Option<Page<'m>> {
        self.index_pages().begins(page.wrapping_add(1))
    }

    /// The index pages that are committed now.
    #[inline(always)]
    pub fn index_pages(&self) -> PagesFromEnd<'m> {
        self.window.pages_from_end(unpair(self.load(Field::Limits)).1)
    }

    /// Bytes from `reference` on to the end of the committed record pages, or `None` where no
    /// record can be.
    #[inline(always)]
    pub fn record_bytes(&self, reference: u32) -> Option<Bytes<'m>> {
        let (pages, _) = unpair(self.load(Field::Limits));
        self.window.bytes_from(reference, pages)
    }

    /// File offset of the page descriptor of a record page.
    #[inline(always)]
    pub fn descriptor_offset(self, page: u32) -> u64 {
        self.window_offset + self.facts.geometry.descriptor(page)
    }

    /// File offset of the half word of a class's stack.
    #[inline(always)]
    pub fn stack_offset(self, class: usize) -> u64 {
        self.header_offset + STACKS_OFFSET + class as u64 * 4
    }

    /// File offset of a chunk of stacks, which MAY be beyond the limit.
    #[inline(always)]
    pub fn chunk_offset(self, chunk: u32) -> u64 {
        self.window_offset + self.facts.geometry.chunk(self.shard, chunk)
    }

    /// File offset of a reference, in units from the start of the window.
    #[inline(always)]
    pub fn unit_offset(self, unit: u32) -> u64 {
        self.window_offset + u64::from(unit) * UNIT_BYTES
    }

    /// The reference of the first unit of a record page.
    #[inline(always)]
    pub fn page_unit(self, page: u32) -> u32 {
        ((self.facts.geometry.pages_offset() + u64::from(page) * PAGE_BYTES) / UNIT_BYTES) as u32
    }

    /// The record page that a reference lies in, or `None` before the first.
    #[inline(always)]
    pub fn unit_page(self, unit: u32) -> Option<u32> {
        let at = (u64::from(unit) * UNIT_BYTES).checked_sub(self.facts.geometry.pages_offset())?;
        Some((at / PAGE_BYTES) as u32)
    }

    /// A word inside the window or the front of the file, by its file offset.
    #[inline(always)]
    pub fn word(self, offset: u64) -> Option<Word<'m>> {
        self.region.word(offset)
    }

    /// Whether a file offset belongs to this shard: its header or its window.
    pub fn owns(self, offset: u64, bytes: u64) -> bool {
        let inside = |start: u64, len: u64| {
            offset.checked_sub(start).is_some_and(|at| at <= len && bytes <= len - at)
        };
        inside(self.header_offset, LOCK_OFFSET)
            || inside(self.field_offset(Field::Keys), INTENT_OFFSET - Field::Keys as u64)
            || inside(self.header_offset + MEMORY_OFFSET, SHARD_HEADER_BYTES - MEMORY_OFFSET)
            || inside(self.window_offset, self.facts.geometry.window_bytes())
    }

    /// The error that this shard contradicts itself at a file offset.
    #[cold]
    #[inline(never)]
    pub fn corrupt(self, offset: u64, what: &'static str) -> OpError {
        OpError::Corrupt { shard: self.shard, offset, what }
    }
}
