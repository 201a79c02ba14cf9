//! The numbers of a map: what its memory is used for, how full its index is, what has happened.
//!
//! All of them are loaded without locks, some twenty words of each shard's header. Where one
//! shard's words do not fit together, because a writer is under way or somebody has damaged them,
//! each part is held within what is left of the whole; so nothing overflows, and the parts still
//! add up.

use crate::arena;
use crate::group::SLOTS;
use crate::growth;
use crate::hash::DIRECTORY_BITS;
use crate::map::Map;
use crate::place::{Field, Place, unpair};
use crate::table::BUCKETS;
use shf_base::format::FileHeader;
use shf_base::geometry::{PAGE_BYTES, UNIT_BYTES};
use std::sync::atomic::Ordering::Relaxed;

/// Index pages of which one holds the entries of the directory for the others.
const INDEX_PAGES: u64 = 1025;

/// The numbers of a map, summed over its shards without locks: each shard's part is one that it had
/// at some time during the call, not all at the same time. Bytes are real ones unless it says
/// otherwise; counters of events begin at the map's creation.
///
/// `committed_bytes` is the sum of `front_bytes`, `descriptor_bytes`, `live_bytes`, `dead_bytes`,
/// `free_bytes`, `unused_bytes` and `index_bytes`, exactly when nobody writes and no shard waits
/// for its repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys in the map, expired ones that are not reaped included. A list is one key.
    pub keys: u64,
    /// Elements of lists, and what lists that are gone have left behind.
    pub elements: u64,
    /// Keys that have an age, or had one before they were given one of for ever; in a map that
    /// evicts, all.
    pub timed_keys: u64,
    /// Real bytes that the map has taken from its file system, headers included.
    pub committed_bytes: u64,
    /// The most that `committed_bytes` may become.
    pub max_bytes: u64,
    /// What `committed_bytes` may still grow by up to `max_bytes`, if the file system has it.
    pub free_bytes_left: u64,
    /// Apparent length of the file, most of which is holes.
    pub apparent_bytes: u64,
    /// Headers of the map and of its shards.
    pub front_bytes: u64,
    /// Descriptions of the pages that are for records.
    pub descriptor_bytes: u64,
    /// Records of keys and elements, with what rounds them up: to their size class, to the pages of
    /// a large record, and what no record of the size that was asked for fitted in at the end of a
    /// run of pages.
    pub live_bytes: u64,
    /// Deleted and replaced records whose memory has not been used again; in a map that evicts,
    /// also what was left at the ends of runs.
    pub dead_bytes: u64,
    /// Record memory in free runs, ready to be used again.
    pub free_bytes: u64,
    /// What nothing has been written to yet, or any more, at the end of each area: of the run that
    /// new records go to, of the record pages, of the index.
    pub unused_bytes: u64,
    /// The index: tables, pages of the directory, and gaps between them.
    pub index_bytes: u64,
    /// Shards, each with a lock and memory of its own.
    pub shards: u64,
    /// One-page tables in the index.
    pub tables: u64,
    /// Buckets now: 64 in a table.
    pub bucket_count: u64,
    /// The most buckets there could be, by the windows of the shards, their directories and
    /// `max_bytes`, if all of that were index.
    pub max_bucket_count: u64,
    /// Slots of the buckets, 12 in each. Each key and each element has one.
    pub slots: u64,
    /// Table splits.
    pub splits: u64,
    /// Index pages given up: by a merge of two tables, or to fill the gap that one has left.
    pub vacated_pages: u64,
    /// Records moved by compaction.
    pub moved_records: u64,
    /// Shards repaired after the death of a process.
    pub repairs: u64,
    /// Keys that had expired when they were deleted or replaced.
    pub expired_keys: u64,
    /// Keys that were evicted because the map was full.
    pub evicted_keys: u64,
    /// Looks that gets through this handle had to make again because a writer was there, in this
    /// process; a forked child goes on from its parent's number.
    pub retries: u64,
    /// When the map was created, in nanoseconds since 1970.
    pub created_ns: u64,
    /// The length of all keys, if it is fixed; else 0.
    pub fixed_key_bytes: u64,
    /// The length of all values, if it is fixed; else 0. Both are 0 where no lengths are fixed, and
    /// only there.
    pub fixed_value_bytes: u64,
}

impl Stats {
    /// The part of all slots that is in use, 0 to 1; 0 of a map without tables. A new table is half
    /// full or less, and splits when three buckets next to each other have no room for a key.
    pub fn load_factor(&self) -> f64 {
        match self.slots {
            0 => 0.0,
            slots => self.keys.saturating_add(self.elements) as f64 / slots as f64,
        }
    }

    /// The load factor beyond which none is ever allowed. Nothing happens when it is near; tables
    /// split long before, one by one.
    pub fn max_load_factor(&self) -> f64 {
        1.0
    }

    /// All numbers with their names, which stay what they are from version to version. One that is
    /// added above and not here does not compile.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        macro_rules! named {
            ($($name:ident)*) => {{
                let Stats { $($name),* } = *self;
                [$((stringify!($name), $name)),*]
            }};
        }
        let numbers = named!(
            keys elements timed_keys committed_bytes max_bytes free_bytes_left apparent_bytes
            front_bytes descriptor_bytes live_bytes dead_bytes free_bytes unused_bytes index_bytes
            shards tables bucket_count max_bucket_count slots splits vacated_pages moved_records
            repairs expired_keys evicted_keys retries created_ns fixed_key_bytes
            fixed_value_bytes
        );
        numbers.into_iter()
    }

    /// Adds what one shard has.
    fn add(&mut self, place: Place<'_>) {
        let add = |sum: &mut u64, more: u64| *sum = sum.wrapping_add(more);
        add(&mut self.keys, place.keys());
        add(&mut self.timed_keys, unpair(place.load(Field::Timed)).0.into());
        for (sum, field) in [
            (&mut self.elements, Field::Elements),
            (&mut self.tables, Field::Tables),
            (&mut self.splits, Field::Splits),
            (&mut self.vacated_pages, Field::Vacated),
            (&mut self.moved_records, Field::Moved),
            (&mut self.repairs, Field::Repairs),
            (&mut self.expired_keys, Field::Expired),
        ] {
            add(sum, place.load(field));
        }
        if place.evicts() {
            add(&mut self.evicted_keys, place.load(Field::Evicted));
        }
        self.add_memory(place);
    }

    /// Divides the committed pages of one shard.
    fn add_memory(&mut self, place: Place<'_>) {
        let (records, index) = place.limits();
        let (top, used_index) = unpair(place.load(Field::Tops));
        let (top, used_index) = (top.min(records), used_index.min(index));
        let free = place.load(Field::FreePages).min(top.into());
        let holes = place.load(Field::Holes).min(free);
        let used_bytes = (u64::from(top) - free) * PAGE_BYTES;
        let rest_bytes = (arena::unused_units(place) * UNIT_BYTES).min(used_bytes);
        let dead_bytes = place.load(Field::Dead).saturating_mul(UNIT_BYTES);
        let dead_bytes = dead_bytes.min(used_bytes - rest_bytes);
        let behind = u64::from(records - top) + u64::from(index - used_index);
        // A frozen map has none.
        if place.geometry().pages_offset() > 0 {
            self.descriptor_bytes += u64::from(growth::descriptor_pages(records)) * PAGE_BYTES;
        }
        self.live_bytes += used_bytes - rest_bytes - dead_bytes;
        self.dead_bytes += dead_bytes;
        self.free_bytes += (free - holes) * PAGE_BYTES;
        self.unused_bytes += rest_bytes + behind * PAGE_BYTES;
        self.index_bytes += u64::from(used_index) * PAGE_BYTES;
    }
}

impl Map {
    /// The numbers of the map. Publishes what this process has done, see `publish_counts`.
    pub fn stats(&self) -> Stats {
        self.publish_counts();
        let (facts, geometry) = (&self.facts, &self.facts.geometry);
        let mut stats = Stats {
            committed_bytes: growth::committed_bytes(self.place(0)),
            max_bytes: facts.max_bytes,
            apparent_bytes: geometry.file_bytes(),
            front_bytes: geometry.front_real_bytes(),
            shards: geometry.shards().into(),
            max_bucket_count: tables_max(facts) * BUCKETS as u64,
            retries: self.retries.load(Relaxed),
            created_ns: facts.created_ns,
            fixed_key_bytes: facts.fixed.map_or(0, |fixed| fixed.key_bytes.into()),
            fixed_value_bytes: facts.fixed.map_or(0, |fixed| fixed.value_bytes.into()),
            ..Stats::default()
        };
        self.places().for_each(|place| stats.add(place));
        stats.free_bytes_left = stats.max_bytes.saturating_sub(stats.committed_bytes);
        stats.bucket_count = stats.tables.saturating_mul(BUCKETS as u64);
        stats.slots = stats.bucket_count.saturating_mul(SLOTS as u64);
        stats
    }
}

/// The most tables that a map can have.
fn tables_max(facts: &FileHeader) -> u64 {
    let tables = |pages: u64| pages - pages.div_ceil(INDEX_PAGES);
    let geometry = &facts.geometry;
    let of_shard = tables(geometry.pages()).min(1 << DIRECTORY_BITS);
    let affordable = facts.max_bytes.saturating_sub(geometry.front_real_bytes()) / PAGE_BYTES;
    tables(affordable).min(of_shard * u64::from(geometry.shards()))
}
