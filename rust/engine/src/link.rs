//! Giving keys their slots, under the shard's lock: finding one, splitting a table that has none, and
//! the stores that make a slot refer to a record.

use crate::check;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::locate::{Located, Position};
use crate::place::{Field, Place};
use crate::record::{Record, Shape};
use crate::split;
use crate::table::{Head, Table, bucket_at};
use shf_base::error::OpError;

/// Splits that one put may make, at most; a first table counts as one. The second is needed once in
/// a blue moon, when all keys of three neighbouring buckets went the same way; more only when
/// hashes collide.
const SPLITS_PER_PUT: usize = 2;

/// Where a key goes.
pub enum Slot<'m> {
    /// The key has this slot, which holds this and leads to that record.
    Taken(Position<'m>, u32, Record<'m>),
    /// The key is not there; this slot is free for it.
    Free(Position<'m>),
}

/// Finds the slot of a key, or one for it, splitting its table if need be. `locate` looks for it.
#[inline(always)]
pub fn find_slot<'m>(
    memory: Memory<'m>,
    locate: impl Fn() -> Result<Located<'m>, OpError>,
) -> Result<Slot<'m>, OpError> {
    let mut splits = 0;
    loop {
        match locate()? {
            Located::Found(position, word, record) => {
                return Ok(Slot::Taken(position, word, record));
            }
            Located::Free(position) => return Ok(Slot::Free(position)),
            _ if splits == SPLITS_PER_PUT => {
                return Err(OpError::HashCollisions { shard: memory.place.shard() });
            }
            Located::Full(entry) => {
                split::split(memory, entry)?;
                check::after_split(memory.place);
            }
            Located::NoTable => split::first_table(memory)?,
        }
        splits += 1;
    }
}

/// Will make a taken slot refer to another record, which is written, and make that one live.
#[inline(always)]
pub fn redirect(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    position: Position<'_>,
    word: u32,
    reference: u32,
    shape: Shape,
) {
    let Position { entry, bucket, slot, head, .. } = position;
    Record::publish(intent, place, reference, shape);
    let word = place.slot_format().with_reference(word, reference);
    intent.set_half(entry.table.slot_offset(bucket, slot), word);
    intent.set(entry.table.high_offset(bucket), head.bumped().high);
}

/// Will make a free slot refer to a live record.
#[inline(always)]
pub fn enter(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    position: Position<'_>,
    hash: Hash,
    reference: u32,
) {
    let Position { entry, bucket, slot, distance, head } = position;
    for passed in 0..distance {
        let bucket = bucket_at(hash.bucket(), passed);
        let head = entry.table.head(bucket);
        let raised = head.with_overflow(head.overflow() + 1).bumped();
        intent.set(entry.table.high_offset(bucket), raised.high);
    }
    let word = place.slot_format().pack(reference, distance, hash, entry.depth);
    intent.set_half(entry.table.slot_offset(bucket, slot), word);
    set_head(intent, entry.table, bucket, head.with_tag(slot, hash.tag()).bumped(), head);
    intent.set_field(Field::Keys, intent.field(Field::Keys).wrapping_add(1));
}

/// Will store a changed head: the first word if it changed, and the version word, last.
#[inline(always)]
pub fn set_head(intent: &mut Intent<'_>, table: Table<'_>, bucket: usize, new: Head, old: Head) {
    if new.low != old.low {
        intent.set(table.low_offset(bucket), new.low);
    }
    intent.set(table.high_offset(bucket), new.high);
}
