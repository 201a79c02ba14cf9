//! How far keys lie from home, and how full tables are: told by a walk over the index.
//!
//! The walk is that of `walk`, a table at a time and without a lock; it looks at buckets only, not
//! at records. A bucket counts if its version is the same before and after.

use crate::directory;
use crate::group::SLOTS;
use crate::hash::DIRECTORY_BITS;
use crate::map::Map;
use crate::place::Place;
use crate::table::{BUCKETS, REACH, Table};
use crate::walk::{self, Bound, END};
use shf_base::atomic::{Ordering::Acquire, fence};
use shf_base::error::OpError;

/// Classes of tables by how full they are.
pub const FILLS: usize = 10;
/// Local depths that a table can have.
pub const DEPTHS: usize = DIRECTORY_BITS as usize + 1;

/// Where the keys of a map lie in its index. Exact when nobody writes; else what is put, deleted,
/// split or merged during the call may be counted, or not, or twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeLengths {
    /// Keys and elements of lists by how many buckets after their home they lie. A get looks at so
    /// many buckets before that one.
    pub keys: [u64; REACH],
    /// Tables by local depth: one of depth d holds the keys of its shard that agree in d bits of
    /// their hash.
    pub tables_by_depth: [u64; DEPTHS],
    /// Tables by the tenth of their slots that is in use: the first has less than a tenth.
    pub tables_by_fill: [u64; FILLS],
}

impl ProbeLengths {
    /// Buckets that a get of a key looks at, on the average; 0: there are no keys.
    pub fn mean(&self) -> f64 {
        let keys: u64 = self.keys.iter().sum();
        let looks: u64 = (1..).zip(self.keys).map(|(looks, keys)| looks * keys).sum();
        if keys == 0 { 0.0 } else { looks as f64 / keys as f64 }
    }

    fn add(&mut self, table: &Count, depth: u32) {
        for (sum, keys) in self.keys.iter_mut().zip(table.keys) {
            *sum += keys;
        }
        let keys = table.keys.iter().sum::<u64>() as usize;
        self.tables_by_depth[(depth as usize).min(DEPTHS - 1)] += 1;
        self.tables_by_fill[(keys * FILLS / (BUCKETS * SLOTS)).min(FILLS - 1)] += 1;
    }
}

impl Map {
    /// Walks the index and counts how far keys lie from their home buckets, and tables by depth and
    /// fill. Takes no lock, but where running writers interfere for too long, if it is free at that
    /// moment; works through handles that may only read. Takes time in proportion to the index: a
    /// page for some 500 keys.
    ///
    /// Errors: `Busy`, when a shard is being rebuilt, or writers never pause; `Corrupt`.
    pub fn probe_lengths(&self) -> Result<ProbeLengths, OpError> {
        let mut lengths = ProbeLengths::default();
        for place in self.places() {
            let (mut cursor, mut bound) = (0, Bound::new(place));
            while cursor < END {
                let (mut count, mut depth) = (Count::default(), None);
                let calm = || self.try_lock(self.place(place.shard()));
                cursor = walk::at_rest(place, cursor, &calm, |view, looks_left| {
                    (count, depth) = (Count::default(), Some(view.entry.depth));
                    count.table(place, view.entry.table, view.root, looks_left)
                })?;
                if let Some(depth) = depth {
                    bound.visit()?;
                    lengths.add(&count, depth);
                }
            }
        }
        Ok(lengths)
    }
}

/// What one table has.
#[derive(Default)]
struct Count {
    keys: [u64; REACH],
}

impl Count {
    /// False: a writer interfered for too long, or moved a table.
    fn table(
        &mut self,
        place: Place<'_>,
        table: Table<'_>,
        root: u64,
        looks_left: &mut u32,
    ) -> Result<bool, OpError> {
        for number in 0..BUCKETS {
            while !self.bucket(place, table, number, root)? {
                if *looks_left == 0 || directory::root(&place) != root {
                    return Ok(false);
                }
                *looks_left -= 1;
                shf_base::atomic::spin_hint();
            }
        }
        Ok(true)
    }

    /// False: a writer interfered.
    fn bucket(
        &mut self,
        place: Place<'_>,
        table: Table<'_>,
        number: usize,
        root: u64,
    ) -> Result<bool, OpError> {
        let bucket = table.bucket(number);
        let (head, mut keys, mut wrong) = (bucket.head(), [0; REACH], None);
        for slot in head.occupied() {
            let distance = place.slot_format().distance(bucket.slot(slot));
            match keys.get_mut(distance) {
                Some(count) => *count += 1,
                None => wrong = Some(slot),
            }
        }
        // Pairs with the release of the version, which a writer stores last.
        fence(Acquire);
        if !bucket.is_as(head) || directory::root(&place) != root {
            return Ok(false);
        }
        if let Some(slot) = wrong {
            let at = table.slot_offset(number, slot);
            return Err(place.corrupt(at, "slot of a key that is too far from home"));
        }
        for (sum, keys) in self.keys.iter_mut().zip(keys) {
            *sum += keys;
        }
        Ok(true)
    }
}
