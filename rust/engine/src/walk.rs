//! Walking all keys while others write: one bucket at a time, validated like a get.
//!
//! The directory is walked by rising index. A split moves keys to a higher index, which is still to
//! come, so a key that is there from beginning to end is seen at least once; it is seen twice when
//! its table splits between its bucket's visit and the sibling's.

use crate::directory::{self, Entry};
use crate::place::Place;
use crate::read::ATTEMPTS;
use crate::record::Record;
use crate::table::BUCKETS;
use bumpalo::Bump;
use bumpalo::collections::Vec;
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::{fence, spin_hint};
use shf_base::error::OpError;

/// A key and its value, copied.
pub type Pair<'s> = (&'s [u8], &'s [u8]);

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

/// Calls `visit` with copies of every key and value of a shard until it returns false.
pub fn pairs(
    place: Place<'_>,
    scratch: &mut Bump,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<bool, OpError> {
    tables(place, |entry| {
        for bucket in 0..BUCKETS {
            if !visit_bucket(place, entry, bucket, scratch, visit)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Visits the pairs of a bucket as they were at one moment.
fn visit_bucket(
    place: Place<'_>,
    entry: Entry<'_>,
    bucket: usize,
    scratch: &mut Bump,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<bool, OpError> {
    for _ in 0..ATTEMPTS {
        scratch.reset();
        if let Some(pairs) = copy_bucket(place, entry, bucket, scratch)? {
            return Ok(pairs.into_iter().all(|(key, value)| visit(key, value)));
        }
        spin_hint();
    }
    Err(OpError::Busy)
}

/// Copies the pairs of a bucket; `None` when a writer interfered.
fn copy_bucket<'s>(
    place: Place<'_>,
    entry: Entry<'_>,
    bucket: usize,
    scratch: &'s Bump,
) -> Result<Option<Vec<'s, Pair<'s>>>, OpError> {
    let head = entry.table.head(bucket);
    let unchanged = || {
        fence(Acquire);
        entry.table.version(bucket) == head.version()
    };
    let (mut pairs, mut bytes) = (Vec::new_in(scratch), 0);
    for slot in head.occupied() {
        let reference = place.slot_format().reference(entry.table.slot(bucket, slot));
        let record = Record::at(&place, reference);
        // The lengths are good only if nothing changed up to here.
        if !unchanged() {
            return Ok(None);
        }
        let Some(record) = record else {
            let at = entry.table.slot_offset(bucket, slot);
            return Err(place.corrupt(at, "slot without a record"));
        };
        // Those of one moment do not overlap. The limit is that of now: the record may be new.
        bytes += record.shape.bytes();
        if bytes > place.records_bytes_max() {
            let at = entry.table.low_offset(bucket);
            return Err(place.corrupt(at, "bucket of records that overlap"));
        }
        pairs.push(copy_record(record, scratch)?);
    }
    Ok(unchanged().then_some(pairs))
}

fn copy_record<'s>(record: Record<'_>, scratch: &'s Bump) -> Result<Pair<'s>, OpError> {
    let key = buffer(scratch, record.shape.key_len)?;
    record.copy_key(key);
    let value = buffer(scratch, record.shape.value_len)?;
    record.copy_value(value);
    Ok((key, value))
}

fn buffer(scratch: &Bump, len: u64) -> Result<&mut [u8], OpError> {
    let len_bytes = len as usize;
    scratch.try_alloc_slice_fill_copy(len_bytes, 0).map_err(|_| OpError::OutOfMemory { bytes: len })
}
