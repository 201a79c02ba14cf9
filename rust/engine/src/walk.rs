//! Walking all keys while others write: one slot at a time, validated like a get.
//!
//! The directory is walked by rising index. A split moves keys to a higher index, which is still to
//! come, so a key that is there from beginning to end is seen at least once; it is seen
//! once more for each split of its table between its slot's visit and the sibling's.

use crate::directory::{self, Entry};
use crate::place::Place;
use crate::read::{ATTEMPTS, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::table::{BUCKETS, Table};
use bumpalo::Bump;
use shf_base::atomic::spin_hint;
use shf_base::crash;
use shf_base::error::OpError;

/// Calls `visit` for each table of a shard, with its place in the directory; stops on an error.
/// Each table has an index page of its own, so a directory that leads to more tables than pages
/// leads to some of them again and again.
pub fn tables<'m>(
    place: Place<'m>,
    mut visit: impl FnMut(Entry<'m>) -> Result<bool, OpError>,
) -> Result<bool, OpError> {
    let (mut index, mut tables) = (0, 0);
    while index < 1u32 << directory::depth(&place)? {
        if let Some(entry) = directory::entry(&place, index)? {
            tables += 1;
            if tables > place.limits().1 {
                let at = place.level_offset(0);
                return Err(place.corrupt(at, "directory with more tables than index pages"));
            }
            if !visit(entry)? {
                return Ok(false);
            }
        }
        index += 1;
    }
    Ok(true)
}

/// Calls `visit` with copies of every key and value of a shard until it returns false. `calm` locks
/// the shard, or answers `Busy`: it is asked only where running writers interfered for too long.
pub fn pairs<'m>(
    place: Place<'m>,
    scratch: &mut Bump,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<bool, OpError> {
    tables(place, |Entry { table, .. }| {
        for bucket in 0..BUCKETS {
            for slot in table.head(bucket).occupied() {
                if !visit_slot(place, (table, bucket, slot), scratch, calm, visit)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    })
}

/// What a look at a slot gave.
enum Look<'s> {
    Pair(&'s [u8], &'s [u8]),
    Empty,
    /// A writer interfered.
    Again,
}

/// Visits the pair in a slot, as it was at one moment and outside of the lock.
fn visit_slot<'m>(
    place: Place<'m>,
    slot: (Table<'m>, usize, usize),
    scratch: &mut Bump,
    calm: &dyn Fn() -> Result<Locked<'m>, OpError>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<bool, OpError> {
    for _ in 0..ATTEMPTS {
        scratch.reset();
        match look(place, slot, scratch)? {
            Look::Pair(key, value) => return Ok(visit(key, value)),
            Look::Empty => return Ok(true),
            Look::Again => spin_hint(),
        }
    }
    let locked = calm()?;
    scratch.reset();
    let found = look(place, slot, scratch)?;
    drop(locked);
    match found {
        Look::Pair(key, value) => Ok(visit(key, value)),
        Look::Empty => Ok(true),
        Look::Again => Err(OpError::Busy),
    }
}

/// Copies the pair in a slot.
fn look<'s>(
    place: Place<'_>,
    (table, bucket, slot): (Table<'_>, usize, usize),
    scratch: &'s Bump,
) -> Result<Look<'s>, OpError> {
    let head = table.head(bucket);
    if head.tag(slot) == 0 {
        return Ok(Look::Empty);
    }
    let word = table.slot(bucket, slot);
    let seen = Seen::new(&place, table, (bucket, slot), word, head);
    crash::looking();
    let record = Record::at(&place, place.slot_format().reference(word));
    // Lengths are acted upon only once they are known to be the record's.
    if !seen.unchanged() {
        return Ok(Look::Again);
    }
    let Some(record) = record else {
        return Err(place.corrupt(table.slot_offset(bucket, slot), "slot without a record"));
    };
    let key = buffer(scratch, record.shape.key_len)?;
    let value = buffer(scratch, record.shape.value_len)?;
    let good = seen.copied(&record, || {
        record.copy_key(key);
        record.copy_value(value);
    });
    Ok(if good { Look::Pair(key, value) } else { Look::Again })
}

fn buffer(scratch: &Bump, len: u64) -> Result<&mut [u8], OpError> {
    let len_bytes = len as usize;
    scratch.try_alloc_slice_fill_copy(len_bytes, 0).map_err(|_| OpError::OutOfMemory { bytes: len })
}
