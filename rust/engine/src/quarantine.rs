//! Quarantine: in a durable map, the memory that must not be used again before the next sync is
//! over, because a crash of the machine could still bring back what lies in it.
//!
//! It begins with the first sync: before, no crash leaves anything standing. A record that was born
//! before its shard entered its epoch, and is retired in it, carries the epoch (`seal`); its memory
//! may be used again once a later epoch is known to be durable. One that is retired in the epoch
//! that it was born in carries 0, and is not missed: so values that change again and again take no
//! more memory than one of them.
//!
//! A block in quarantine waits in no stack. Free runs are in quarantine by the number of their
//! freeing, unless they say that nothing in them needs it; in durable maps every freeing has a
//! number of its own. Two numbers say up to which freeing runs may be used again: `Freed`, taken
//! when the epoch of the shard began, once that epoch is durable, and until then `FreedBefore`.
//!
//! Invariant: no byte of a block that was live when the shard entered epoch `durable` is stored to,
//! but for its state, its mark, its deadline, and a number in place with its stamp, unless it was
//! retired before epoch `reusable`.

use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::record::Record;
use shf_base::error::OpError;

/// Whether anything may be in quarantine.
#[inline(always)]
pub fn is_on(place: Place<'_>) -> bool {
    place.is_durable() && place.load(Field::Epoch) != 0
}

/// The epoch that a record carries which is retired now; 0: it need not be kept.
#[inline(always)]
pub fn epoch_of_retirement(place: Place<'_>, born: u64) -> u64 {
    if born > place.load(Field::BornBefore) { 0 } else { place.load(Field::Epoch) }
}

/// Whether the free block at a reference is in quarantine.
pub fn holds_block(place: Place<'_>, reference: u32) -> bool {
    is_on(place)
        && Record::retired_in(&place, reference)
            .is_some_and(|epoch| epoch >= place.epochs().reusable())
}

/// Whether a free run that may have to be kept is in quarantine, by the number of its freeing.
#[inline(always)]
pub fn holds_run(place: Place<'_>, freed: u64) -> bool {
    is_on(place) && freed > freed_reusable(place)
}

fn freed_reusable(place: Place<'_>) -> u64 {
    let over = place.load(Field::Epoch) <= place.epochs().reusable();
    place.load(if over { Field::Freed } else { Field::FreedBefore })
}

/// Dead units, as far as they are not in quarantine.
#[inline(always)]
pub fn dead_units(place: Place<'_>) -> u64 {
    let dead = place.load(Field::Dead);
    if is_on(place) { dead.min(place.load(Field::DeadBefore)) } else { dead }
}

/// Will count `units` more dead ones, `held` in quarantine or not.
#[inline(always)]
pub fn raise_dead(intent: &mut Intent<'_>, place: Place<'_>, units: u32, held: bool) {
    intent.change_field(Field::Dead, |dead| dead.wrapping_add(units.into()));
    if place.is_durable() && !held {
        intent.change_field(Field::DeadBefore, |dead| dead.wrapping_add(units.into()));
    }
}

/// Will count `units` dead ones less, those that are not in quarantine first.
#[inline(always)]
pub fn lower_dead(intent: &mut Intent<'_>, place: Place<'_>, units: u32) {
    let fields = [Field::Dead, Field::DeadBefore];
    for &field in if place.is_durable() { &fields[..] } else { &fields[..1] } {
        intent.change_field(field, |dead| dead.saturating_sub(units.into()));
    }
}

/// Has the shard enter an epoch. The caller holds its lock, and nothing is pending.
pub fn enter_epoch(place: Place<'_>, epoch: u64) -> Result<(), OpError> {
    let before = if is_on(place) { freed_reusable(place) } else { 0 };
    let mut intent = Intent::begin(place);
    intent.set_field(Field::BornBefore, intent.field(Field::Born));
    intent.set_field(Field::FreedBefore, before);
    intent.set_field(Field::Freed, intent.field(Field::Retired));
    intent.set_field(Field::DeadBefore, intent.field(Field::Dead));
    intent.set_field(Field::Epoch, epoch);
    intent.commit()
}
