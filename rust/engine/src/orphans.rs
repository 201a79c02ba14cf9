//! Orphans: elements whose list is gone.
//!
//! A list goes by one step, however long it is: the record of its key is deleted, replaced, or has
//! expired and is reaped. Its elements stay where they are, and nobody finds them any more. The
//! same step counts them; while that count is not 0, the hand of the shard goes round as it does
//! for keys with a deadline (`expiry`), and deletes each orphan that it meets.
//!
//! An element is an orphan unless the key with its list's UID is there, is a list, and has its
//! index (`list`). It does not count whether that key has expired: its elements are orphans from
//! when its own record goes.
//!
//! Invariant, whenever no intent is pending: the count is the number of orphans. A new list begins
//! with an orphan: its first element is there before its key is (`list_ends`).
//!
//! Births come around, so a list may get the UID that another one had of which there are orphans
//! yet, and one of them may have the index of an element that is pushed. Then it is replaced, so
//! that there is one element for each index; all others have indices that the list does not have.

use crate::intent::Intent;
use crate::kind::Kind;
use crate::locate::{self, Located, Position};
use crate::place::{Field, Place, pair, unpair};
use crate::record::Record;
use crate::uid::Uid;
use shf_base::error::OpError;

/// Orphans in a shard.
#[inline(always)]
pub fn count(place: Place<'_>) -> u32 {
    unpair(place.load(Field::Timed)).1
}

/// Whether a record is an orphan. The caller holds the lock.
pub fn is_one(place: Place<'_>, record: &Record<'_>) -> Result<bool, OpError> {
    Ok(record.is_element() && list_of(place, record)?.is_none())
}

/// The list of an element, and its slot; `None`: it is an orphan, or no element. The caller holds
/// the lock.
pub fn list_of<'m>(
    place: Place<'m>,
    record: &Record<'_>,
) -> Result<Option<(Position<'m>, Record<'m>)>, OpError> {
    let Some(key) = record.element_key() else { return Ok(None) };
    Ok(match locate::uid(place, Uid::from_bits(key.list))? {
        Located::Found(position, _, list)
            if list.shape.traits.kind() == Kind::List && list.list().covers(key.index) =>
        {
            Some((position, list))
        }
        _ => None,
    })
}

/// Will count more of them.
pub fn raise(intent: &mut Intent<'_>, more: u32) {
    intent.change_field(Field::Timed, |word| {
        let (timed, orphans) = unpair(word);
        pair(timed, orphans.saturating_add(more))
    });
}

/// Will count one less.
pub fn lower(intent: &mut Intent<'_>) {
    intent.change_field(Field::Timed, |word| {
        let (timed, orphans) = unpair(word);
        pair(timed, orphans.saturating_sub(1))
    });
}

/// Will count one element less.
pub fn count_element_gone(intent: &mut Intent<'_>) {
    intent.change_field(Field::Elements, |elements| elements.saturating_sub(1));
}

/// Will count what the end of a record means that is deleted: a list leaves orphans, and an element
/// was one.
#[cold]
#[inline(never)]
pub fn count_deleted(intent: &mut Intent<'_>, record: Record<'_>) {
    match record.shape.traits.kind() {
        Kind::List => raise(intent, record.list().count),
        Kind::Element => {
            lower(intent);
            count_element_gone(intent);
        }
        _ => {}
    }
}

/// Will count what it means that a key gets a value of a type, and loses a record: the list that it
/// was leaves orphans, the one that it becomes has one to begin with. A list that stays one keeps
/// its elements.
#[cold]
#[inline(never)]
pub fn count_put(intent: &mut Intent<'_>, kind: Kind, lost: Option<Record<'_>>, lives_on: bool) {
    let lost = lost.filter(|record| record.shape.traits.kind() == Kind::List);
    if lives_on && lost.is_some() && kind == Kind::List {
        return;
    }
    if let Some(record) = lost {
        raise(intent, record.list().count);
    }
    if kind == Kind::List {
        lower(intent);
    }
}
