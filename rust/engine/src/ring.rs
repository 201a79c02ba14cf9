//! Rings: for each size class the last few retired blocks, to be used again first in, first out.
//!
//! ```text
//! ring, bytes   0       1      8                    64
//!               | first | len  | 14 x reference      |      one cache line a class
//! ```
//!
//! A ring is a cache of free memory, not the truth about it: what does not fit in stays dead in
//! its run until the run is empty or evacuated. So an entry may be dropped at any time by storing
//! 0, alone and outside of any intent.

use crate::class::{self, CLASSES};
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::quarantine;
use crate::record::Record;
use crate::run::{self, Run};
use shf_base::atomic::Ordering::{Relaxed, Release};

const ENTRIES: u32 = 14;
/// Larger classes that a block to split is looked for in.
const LARGER_CLASSES: usize = 16;

/// What the control word of a ring says; anything out of range reads as empty.
fn unpack(word: u64) -> (u32, u32) {
    let (first, len) = (word as u8 as u32, (word >> 8) as u8 as u32);
    if first < ENTRIES && len <= ENTRIES { (first, len) } else { (0, 0) }
}

fn pack(first: u32, len: u32) -> u64 {
    u64::from(first) | u64::from(len) << 8
}

fn entry_offset(ring: u64, entry: u32) -> u64 {
    ring + 8 + u64::from(entry % ENTRIES) * 4
}

/// Starts to fetch the block that `pop` will probably take, and what describes its run; whether
/// there is one. A guess, made without the lock.
#[inline(always)]
pub fn prefetch(place: Place<'_>, class: usize) -> bool {
    if !are_real(place) {
        return false;
    }
    let ring = place.ring_offset(class);
    let (first, len) = unpack(place.word(ring).map_or(0, |word| word.load(Relaxed)));
    if len == 0 {
        return false;
    }
    if let Some(entry) = place.region().half(entry_offset(ring, first)) {
        let reference = entry.load(Relaxed);
        if let Some(page) = place.unit_page(reference) {
            Record::prefetch(&place, reference);
            place.region().prefetch(place.descriptor_offset(page));
        }
    }
    true
}

/// Takes the block that waited longest, if there is one, and counts it live.
#[inline(always)]
pub fn pop(intent: &mut Intent<'_>, place: Place<'_>, class: usize) -> Option<u32> {
    let units = class::units(class);
    let (reference, page, run) = take(intent, place, class)?;
    count_live(intent, place, page, run, units);
    Some(reference)
}

/// Takes a block of a larger class and splits it: the front for `class`, counted live, and the
/// rest as a dead block of its own. Good for a shard whose sizes change.
#[cold]
pub fn pop_larger(intent: &mut Intent<'_>, place: Place<'_>, class: usize) -> Option<u32> {
    let units = class::units(class);
    for larger in class + 2..(class + 1 + LARGER_CLASSES).min(CLASSES) {
        let rest = class::units(larger) - units;
        let rest_class = class::of_bytes(u64::from(rest) * 8);
        if class::units(rest_class) != rest {
            continue;
        }
        if let Some((reference, page, run)) = take(intent, place, larger) {
            // At once, because its size changes at once: the intent may be forgotten.
            forget(place, larger, reference);
            // The rest is a block before the front changes its size: runs can always be walked.
            Record::write_free(place, reference + units, rest_class);
            count_live(intent, place, page, run, units);
            push(intent, place, rest_class, reference + units);
            return Some(reference);
        }
    }
    None
}

/// Takes the first good entry of a ring: the block, and the log run that it lies in.
#[inline(always)]
fn take(intent: &mut Intent<'_>, place: Place<'_>, class: usize) -> Option<(u32, u32, Run)> {
    if !are_real(place) {
        return None;
    }
    let ring = place.ring_offset(class);
    let (mut first, mut len) = unpack(intent.get(ring));
    let units = class::units(class);
    while len > 0 {
        let reference = place.region().half(entry_offset(ring, first))?.load(Relaxed);
        (first, len) = ((first + 1) % ENTRIES, len - 1);
        if reference != 0
            && let Ok((page, run)) = run::log_of(intent, place, reference)
            && let Run::Log { live, used, .. } = run
            && reference - place.page_unit(page) + units <= used
            && live + units <= used
        {
            intent.set(ring, pack(first, len));
            return Some((reference, page, run));
        }
        if len == 0 {
            // Only dropped entries were left: make room for a refill, at once.
            place.word(ring)?.store(pack(first, 0), Release);
        }
    }
    None
}

#[inline(always)]
fn count_live(intent: &mut Intent<'_>, place: Place<'_>, page: u32, run: Run, units: u32) {
    if let Run::Log { pages, live, used, kept } = run {
        run::set(intent, place, page, Run::Log { pages, live: live + units, used, kept });
    }
    quarantine::lower_dead(intent, place, units);
}

/// Whether the pages of the rings are real: the first growth of the record pages makes them so.
#[inline(always)]
pub fn are_real(place: Place<'_>) -> bool {
    place.load(Field::Limits) as u32 != 0
}

/// Empties all rings, at once: after a death their blocks may be half written.
pub fn clear(place: Place<'_>) {
    if !are_real(place) {
        return;
    }
    for class in 0..CLASSES {
        if let Some(control) = place.word(place.ring_offset(class)) {
            control.store(0, Release);
        }
    }
}

/// Keeps a retired block for its class, if the ring has room.
#[inline(always)]
pub fn push(intent: &mut Intent<'_>, place: Place<'_>, class: usize, reference: u32) {
    let ring = place.ring_offset(class);
    let (first, len) = unpack(intent.get(ring));
    if len < ENTRIES {
        intent.set_half(entry_offset(ring, first + len), reference);
        intent.set(ring, pack(first, len + 1));
    }
}

/// Keeps a dead block that is in no ring, at once: the entry first, then the control word that
/// makes it count. False when the ring is full.
pub fn refill(place: Place<'_>, class: usize, reference: u32) -> bool {
    let ring = place.ring_offset(class);
    let Some(control) = place.word(ring) else { return false };
    let (first, len) = unpack(control.load(Relaxed));
    let Some(half) = place.region().half(entry_offset(ring, first + len)) else { return false };
    if len == ENTRIES || holds(place, class, reference) {
        return len < ENTRIES;
    }
    half.store(reference, Release);
    control.store(pack(first, len + 1), Release);
    true
}

fn holds(place: Place<'_>, class: usize, reference: u32) -> bool {
    waiting_in(place, class).any(|waiting| waiting == reference)
}

/// Drops a block from the ring of a class, at once.
fn forget(place: Place<'_>, class: usize, reference: u32) {
    let ring = place.ring_offset(class);
    for entry in 0..ENTRIES {
        let Some(half) = place.region().half(entry_offset(ring, entry)) else { continue };
        if half.load(Relaxed) == reference {
            half.store(0, Release);
        }
    }
}

/// Drops all blocks that lie in `units` units from `start` on, from all rings, at once.
pub fn purge(place: Place<'_>, start: u32, units: u32) {
    for class in 0..CLASSES {
        let ring = place.ring_offset(class);
        for entry in 0..ENTRIES {
            let Some(half) = place.region().half(entry_offset(ring, entry)) else { continue };
            let reference = half.load(Relaxed);
            if reference != 0 && reference.wrapping_sub(start) < units {
                half.store(0, Release);
            }
        }
    }
}

/// The blocks that wait in all rings, with their class.
pub fn waiting(place: Place<'_>) -> impl Iterator<Item = (usize, u32)> {
    (0..CLASSES).flat_map(move |class| waiting_in(place, class).map(move |block| (class, block)))
}

fn waiting_in(place: Place<'_>, class: usize) -> impl Iterator<Item = u32> {
    let ring = place.ring_offset(class);
    let (first, len) = unpack(place.word(ring).map_or(0, |word| word.load(Relaxed)));
    (first..first + len).filter_map(move |entry| {
        let reference = place.region().half(entry_offset(ring, entry))?.load(Relaxed);
        (reference != 0).then_some(reference)
    })
}
