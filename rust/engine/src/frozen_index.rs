//! The index of a frozen shard: as few tables as its keys fit into.
//!
//! The keys are put into the order of their directory bits read backwards, in which those of a
//! table are neighbours (`walk`). Those that fit into one table get one, others are parted at their
//! next bit. In a table, first each key gets its home bucket, then those that found it full one of
//! the next two, so that most are found at once.

use crate::directory;
use crate::frozen_records::Entry;
use crate::group::SLOTS;
use crate::hash::DIRECTORY_BITS;
use crate::slot_word::SlotFormat;
use crate::table::{BUCKETS, Head, REACH, bucket_at};
use shf_base::error::{OpError, OpenError};
use shf_base::frozen::FrozenFile;
use shf_base::geometry::PAGE_BYTES;
use std::collections::BTreeMap;
use std::ops::Range;

type PageBytes = [u8; PAGE_BYTES as usize];

/// A table that is to be made.
struct Plan {
    /// Its keys.
    keys: Range<usize>,
    /// Directory bits that they share.
    depth: u32,
    /// These bits: its place in the directory.
    index: u32,
}

/// The index of a frozen shard, planned.
pub(crate) struct FrozenIndex {
    entries: Vec<Entry>,
    plans: Vec<Plan>,
    /// Pages of the directory.
    directory_pages: u32,
}

impl FrozenIndex {
    /// For these keys. `HashCollisions` where too many have all bits of their hash in common.
    pub fn new(shard: u32, mut entries: Vec<Entry>) -> Result<FrozenIndex, OpError> {
        entries.sort_unstable_by_key(|entry| (order(entry), entry.hash.0));
        let (mut plans, mut parts) = (Vec::new(), Vec::new());
        if !entries.is_empty() {
            parts.push(Plan { keys: 0..entries.len(), depth: 0, index: 0 });
        }
        while let Some(part) = parts.pop() {
            if fill(&entries[part.keys.clone()], |_, _, _| {}).is_some() {
                plans.push(part);
                continue;
            }
            if part.depth == DIRECTORY_BITS {
                return Err(OpError::HashCollisions { shard });
            }
            let Plan { keys, depth, index } = part;
            let is_low = |entry: &Entry| entry.hash.directory() >> depth & 1 == 0;
            let middle = keys.start + entries[keys.clone()].partition_point(is_low);
            // Also one without keys: lookups for some would find another table else.
            let (low, high) = (keys.start..middle, middle..keys.end);
            parts.push(Plan { keys: high, depth: depth + 1, index: index | 1 << depth });
            parts.push(Plan { keys: low, depth: depth + 1, index });
        }
        let mut index = FrozenIndex { entries, plans, directory_pages: 0 };
        index.directory_pages = index.directory().len() as u32;
        Ok(index)
    }

    /// Pages that it takes.
    pub fn pages(&self) -> u32 {
        self.tables() + self.directory_pages
    }

    /// Tables.
    pub fn tables(&self) -> u32 {
        self.plans.len() as u32
    }

    /// The directory bits that lookups start with.
    pub fn depth(&self) -> u32 {
        self.plans.iter().map(|plan| plan.depth).max().unwrap_or(0)
    }

    /// Its keys and elements.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes it, to the end of a window that ends at `end` in the file; the directory's first
    /// level.
    pub fn write(
        &self,
        file: &FrozenFile<'_>,
        format: SlotFormat,
        end: u64,
    ) -> Result<Vec<(u32, u32)>, OpenError> {
        let write = |page: u32, bytes: &PageBytes| {
            file.write_at(bytes, end - (u64::from(page) + 1) * PAGE_BYTES)
        };
        for (page, plan) in (0..).zip(&self.plans) {
            write(page, &self.table(plan, format))?;
        }
        let mut levels = Vec::new();
        for (page, (level, bytes)) in (self.tables()..).zip(self.directory()) {
            write(page, &bytes)?;
            levels.push((level, page + 1));
        }
        Ok(levels)
    }

    fn table(&self, plan: &Plan, format: SlotFormat) -> PageBytes {
        let mut page = [0; PAGE_BYTES as usize];
        let keys = &self.entries[plan.keys.clone()];
        let mut heads = [Head { low: 0, high: 0 }; BUCKETS];
        let filled = fill(keys, |entry, (bucket, slot), distance| {
            let word = format.pack(entry.reference, distance, entry.hash, plan.depth);
            let at = bucket * 64 + 16 + slot * 4;
            page[at..at + 4].copy_from_slice(&word.to_le_bytes());
            heads[bucket] = heads[bucket].with_tag(slot, entry.hash.tag());
        });
        let passed = filled.unwrap_or([0; BUCKETS]);
        for (bucket, (head, passed)) in heads.into_iter().zip(passed).enumerate() {
            let head = head.with_overflow(passed.into());
            page[bucket * 64..][..8].copy_from_slice(&head.low.to_le_bytes());
            page[bucket * 64 + 8..][..8].copy_from_slice(&head.high.to_le_bytes());
        }
        page
    }

    /// The pages of the directory, by their entry in its first level.
    fn directory(&self) -> BTreeMap<u32, PageBytes> {
        let mut pages = BTreeMap::new();
        for (table, plan) in (0..).zip(&self.plans) {
            let (level, at) = directory::level(plan.index);
            let page: &mut PageBytes = pages.entry(level).or_insert([0; PAGE_BYTES as usize]);
            let word = directory::word(table, plan.depth);
            page[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        pages
    }
}

/// The place of a key in the order in which those of a table are neighbours.
fn order(entry: &Entry) -> u32 {
    entry.hash.directory().reverse_bits()
}

/// Gives each key a slot of a table, which `place` gets with bucket, slot and distance from home;
/// how many passed each bucket by, or `None`: they do not fit.
fn fill(
    keys: &[Entry],
    mut place: impl FnMut(&Entry, (usize, usize), usize),
) -> Option<[u8; BUCKETS]> {
    if keys.len() > BUCKETS * SLOTS {
        return None;
    }
    let (mut taken, mut passed) = ([0; BUCKETS], [0u8; BUCKETS]);
    let mut away = Vec::new();
    for key in keys {
        let home = key.hash.bucket();
        if taken[home] < SLOTS {
            place(key, (home, taken[home]), 0);
            taken[home] += 1;
        } else {
            away.push(key);
        }
    }
    for key in away {
        let home = key.hash.bucket();
        let has_room = |distance: &usize| taken[bucket_at(home, *distance)] < SLOTS;
        let distance = (1..REACH).find(has_room)?;
        let bucket = bucket_at(home, distance);
        place(key, (bucket, taken[bucket]), distance);
        taken[bucket] += 1;
        for before in 0..distance {
            passed[bucket_at(home, before)] += 1;
        }
    }
    Some(passed)
}
