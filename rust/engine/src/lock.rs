//! Taking the lock of a shard: what its last owner left is settled before anything else is done.

use crate::check::{self, Violation};
use crate::growth::Memory;
use crate::place::{Field, Place};
use crate::rebuild;
use crate::repair;
use crate::shard::Locked;
use shf_base::atomic::Ordering::Relaxed;
use shf_base::error::OpError;
use shf_base::format::NOTE_SUSPECT;
use shf_base::robust_mutex::{Guard, RobustMutex};
use shf_base::slot::Presence;
use std::time::Duration;

/// Takes the lock of a shard, and repairs it when its last owner left work behind. `Busy` when a
/// living owner keeps it for longer than `patience`.
#[inline(always)]
pub fn lock<'m>(
    memory: Memory<'m>,
    who: &'m Presence,
    patience: Option<Duration>,
) -> Result<Locked<'m>, OpError> {
    settled(memory, guard(memory.place, who, patience)?)
}

/// Takes the lock only if it is free at once, or its owner is dead.
pub fn try_lock<'m>(memory: Memory<'m>, who: &'m Presence) -> Result<Option<Locked<'m>>, OpError> {
    let guard = match who.keeps_locks() {
        true => Some(mutex(memory.place).kept()),
        false => mutex(memory.place).try_lock(who)?,
    };
    guard.map(|guard| settled(memory, guard)).transpose()
}

/// Takes the lock only if it is free at once and its last owner left nothing to do.
pub fn lock_at_rest<'m>(
    memory: Memory<'m>,
    who: &'m Presence,
) -> Result<Option<Locked<'m>>, OpError> {
    let place = memory.place;
    let (lock, notes) = place.lock_words();
    let is_free = lock.load(Relaxed) == 0 || who.keeps_locks();
    let is_whole = notes.load(Relaxed) & NOTE_SUSPECT == 0 && place.load(Field::Pending) == 0;
    if is_free && is_whole { try_lock(memory, who) } else { Ok(None) }
}

/// Takes the lock of a shard and, when anything is wrong with it, rebuilds it; what was lost, or
/// `None` when it was sound.
pub fn lock_and_rebuild(
    memory: Memory<'_>,
    who: &Presence,
    patience: Option<Duration>,
) -> Result<Option<Vec<Violation>>, OpError> {
    let guard = guard(memory.place, who, patience)?;
    let unfinished = rebuild::is_unfinished(memory.place);
    if !unfinished && settle(memory, &guard).is_ok() && check::shard(memory.place).is_empty() {
        return Ok(None);
    }
    rebuild::shard(memory, &guard).map(Some)
}

/// Takes the lock of a shard and, when it was left closed, rebuilds it; what was lost, or `None`
/// when it was open.
pub fn lock_and_reopen(
    memory: Memory<'_>,
    who: &Presence,
    patience: Option<Duration>,
) -> Result<Option<Vec<Violation>>, OpError> {
    let guard = guard(memory.place, who, patience)?;
    let closed = rebuild::is_unfinished(memory.place);
    closed.then(|| rebuild::shard(memory, &guard)).transpose()
}

/// Takes the lock of a shard, unless this thread keeps it.
#[inline(always)]
fn guard<'m>(
    place: Place<'m>,
    who: &'m Presence,
    patience: Option<Duration>,
) -> Result<Guard<'m>, OpError> {
    if who.keeps_locks() { Ok(mutex(place).kept()) } else { mutex(place).lock(who, patience) }
}

/// The lock itself.
pub(crate) fn mutex(place: Place<'_>) -> RobustMutex<'_> {
    let (lock, notes) = place.lock_words();
    RobustMutex::new(lock, notes)
}

#[inline(always)]
fn settled<'m>(memory: Memory<'m>, guard: Guard<'m>) -> Result<Locked<'m>, OpError> {
    settle(memory, &guard)?;
    Ok(Locked::new(memory, guard))
}

#[inline(always)]
fn settle(memory: Memory<'_>, guard: &Guard<'_>) -> Result<(), OpError> {
    if !guard.has_no_notes() || memory.place.load(Field::Pending) != 0 {
        return settle_noted(memory, guard);
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn settle_noted(memory: Memory<'_>, guard: &Guard<'_>) -> Result<(), OpError> {
    if guard.suspect() || memory.place.load(Field::Pending) != 0 {
        repair::repair(memory, guard)?;
        check::after_repair(memory.place);
    }
    Ok(())
}
