//! Giving keys their slots, under the shard's lock: finding one, splitting a table that has none,
//! and the stores that make a slot refer to a record.

use crate::check;
use crate::directory;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::locate::{Located, Position};
use crate::place::{Field, Place, pair};
use crate::split;
use crate::table::{BUCKETS, Head, Table, bucket_at};
use shf_base::error::OpError;

/// Splits that one put may make, at most; a first table counts as one. The second is needed once in
/// a blue moon, when all keys of three neighbouring buckets went the same way; more only when
/// hashes collide.
const SPLITS_PER_PUT: usize = 2;

/// Finds a free slot for a key, splitting its table if need be; `None`: the key has one. `locate`
/// looks for it.
pub fn free_slot<'m>(
    memory: Memory<'m>,
    hash: Hash,
    locate: impl Fn() -> Result<Located<'m>, OpError>,
) -> Result<Option<Position<'m>>, OpError> {
    let mut splits = 0;
    loop {
        match locate()? {
            Located::Found(..) => return Ok(None),
            Located::Free(position) => return Ok(Some(position)),
            _ => make_slot(memory, hash, &mut splits)?,
        }
    }
}

/// Makes slots where a search for a key with this hash found none: a first table, or two of one.
/// Nothing may be pending.
#[cold]
pub fn make_slot(memory: Memory<'_>, hash: Hash, splits: &mut usize) -> Result<(), OpError> {
    if *splits == SPLITS_PER_PUT {
        return Err(OpError::HashCollisions { shard: memory.place.shard() });
    }
    *splits += 1;
    if let Some(entry) = directory::find(&memory.place, hash.directory())? {
        split::split(memory, entry)?;
        check::after_split(memory.place);
    } else {
        split::first_table(memory)?;
    }
    Ok(())
}

/// Will make a taken slot refer to another record, which is published by the same intent.
#[inline(always)]
pub fn redirect(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    position: Position<'_>,
    word: u32,
    reference: u32,
) {
    let Position { entry, bucket, slot, .. } = position;
    let word = place.slot_format().with_reference(word, reference);
    intent.set_half(entry.table.slot_offset(bucket, slot), word);
    change_high(intent, entry.table, bucket, |head| head);
}

/// Will make a free slot refer to a record, which is live or published by the same intent.
#[inline(always)]
pub fn enter(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    position: Position<'_>,
    hash: Hash,
    reference: u32,
    timed: bool,
) {
    let Position { entry, bucket, slot, distance, head } = position;
    for passed in 0..distance {
        let bucket = bucket_at(hash.bucket(), passed);
        change_high(intent, entry.table, bucket, |head| head.with_overflow(head.overflow() + 1));
    }
    let word = place.slot_format().pack(reference, distance, hash, entry.depth);
    intent.set_half(entry.table.slot_offset(bucket, slot), word);
    set_head(intent, entry.table, bucket, head.with_tag(slot, hash.tag()).bumped(), head);
    intent.change_field(Field::Keys, |keys| keys.wrapping_add(pair(1, 1)));
    count_timed(intent, false, timed);
}

/// Will take a slot away from the record that it refers to, which the same intent retires or gives
/// another slot. `timed` says whether it has a deadline.
#[inline(always)]
pub fn leave(intent: &mut Intent<'_>, position: Position<'_>, timed: bool) {
    let Position { entry, bucket, slot, distance, head } = position;
    set_head(intent, entry.table, bucket, head.with_tag(slot, 0).bumped(), head);
    for before in 1..=distance {
        let passed = bucket_at(bucket + BUCKETS, BUCKETS - before);
        change_high(intent, entry.table, passed, |head| {
            head.with_overflow(head.overflow().saturating_sub(1))
        });
    }
    intent.change_field(Field::Keys, |keys| keys - u64::from(keys as u32 != 0));
    count_timed(intent, timed, false);
}

/// Will make of the version word of a bucket that keys pass what `change` makes of it, with the
/// next version.
#[inline(always)]
fn change_high(
    intent: &mut Intent<'_>,
    table: Table<'_>,
    bucket: usize,
    change: impl FnOnce(Head) -> Head,
) {
    // Nothing there is about tags.
    intent.change(table.high_offset(bucket), |high| change(Head { low: 0, high }).bumped().high);
}

/// The position as it will be after the commit, where the same intent changes another slot.
pub fn after<'m>(intent: &Intent<'_>, position: Position<'m>) -> Position<'m> {
    let (table, bucket) = (position.entry.table, position.bucket);
    let low = intent.get(table.low_offset(bucket));
    Position { head: Head { low, high: intent.get(table.high_offset(bucket)) }, ..position }
}

/// Will count one key more or less that has a deadline, if a key had none or has none then.
#[inline(always)]
pub fn count_timed(intent: &mut Intent<'_>, had: bool, has: bool) {
    if had != has {
        let change = |timed: u64| match has {
            true => timed.wrapping_add(1),
            false => timed - u64::from(timed as u32 != 0),
        };
        intent.change_field(Field::Timed, change);
    }
}

/// Will store a changed head: the first word if it changed, and the version word, last.
#[inline(always)]
pub fn set_head(intent: &mut Intent<'_>, table: Table<'_>, bucket: usize, new: Head, old: Head) {
    if new.low != old.low {
        intent.set(table.low_offset(bucket), new.low);
    }
    intent.set(table.high_offset(bucket), new.high);
}
