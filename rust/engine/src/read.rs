//! Gets: no lock, no store, no system call. Begin, copy, validate; again if a writer was there.
//!
//! Why a validated answer is right:
//! - A hit: the slot referred to the record at one moment (its load), and the copied bytes are that
//!   record's. Either the bucket's version and the slot are unchanged after the copy, and memory is
//!   used again only after the version that hides it; or, for large records, no run freed since
//!   before the slot was last seen unchanged has been used again (`retired`, `reused`).
//! - A miss: none of the buckets that could hold the key changed between the first look at them and
//!   the validation, and the directory, walked again, still leads to the same table: a split moves
//!   keys only after the directory leads to their new table.
//! - A writer that died in the middle leaves nothing that makes a reader wait: either the version
//!   is not raised yet, and the reader sees the state before or after the slot's one store.

use crate::directory::{self, Entry};
use crate::hash::Hash;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::table::{REACH, bucket_at};
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::{fence, spin_hint};
use shf_base::error::OpError;

/// Attempts before a reader gives up racing.
pub const ATTEMPTS: u32 = 4096;
/// Attempts that follow each other at once; later ones pause in between.
const EAGER_ATTEMPTS: u32 = 16;
/// The longest pause, in spin hints.
const PAUSE_MAX: u32 = 64;

/// One look at a key.
pub enum Look<T> {
    /// The key was there, and this was made of its record.
    Hit(T),
    /// The key was not there.
    Miss,
    /// A writer interfered.
    Again,
}

/// The slot that a record was found in, and the version that it was found under.
#[derive(Clone, Copy)]
pub struct Seen<'m> {
    place: Place<'m>,
    entry: Entry<'m>,
    bucket: usize,
    slot: usize,
    word: u32,
    version: u64,
}

impl Seen<'_> {
    /// Whether everything read from the record up to now belongs to it.
    #[inline(always)]
    pub fn unchanged(&self) -> bool {
        // Pairs with the release fence of allocations: see `arena::allocate`.
        fence(Acquire);
        self.entry.table.version(self.bucket) == self.version
            && self.entry.table.slot(self.bucket, self.slot) == self.word
    }

    /// Copies with `copy`, then tells whether what was copied is the record. For large records a
    /// change of the bucket meanwhile does no harm as long as nothing freed later is used again.
    #[inline(always)]
    pub fn copied(&self, record: &Record<'_>, copy: impl FnOnce()) -> bool {
        if !record.shape.is_large() {
            copy();
            return self.unchanged();
        }
        let retired = self.place.load(Field::Retired);
        if !self.unchanged() {
            return false;
        }
        copy();
        fence(Acquire);
        self.place.load(Field::Reused) <= retired || self.unchanged()
    }
}

/// Looks for a key until an answer is validated; `Busy` when running writers kept interfering.
/// `take` makes the answer from the record; it returns `None` when its `Seen` did not validate.
#[inline(always)]
pub fn get<T>(
    place: Place<'_>,
    hash: Hash,
    key: &[u8],
    mut take: impl FnMut(&Seen<'_>, &Record<'_>) -> Option<T>,
) -> Result<Option<T>, OpError> {
    for attempt in 0..ATTEMPTS {
        match look(place, hash, key, &mut take)? {
            Look::Hit(value) => return Ok(Some(value)),
            Look::Miss => return Ok(None),
            Look::Again => pause(attempt),
        }
    }
    Err(OpError::Busy)
}

#[cold]
fn pause(attempt: u32) {
    let hints = attempt.saturating_sub(EAGER_ATTEMPTS).min(PAUSE_MAX);
    for _ in 0..hints {
        spin_hint();
    }
}

/// One attempt.
#[inline(always)]
pub fn look<T>(
    place: Place<'_>,
    hash: Hash,
    key: &[u8],
    take: &mut impl FnMut(&Seen<'_>, &Record<'_>) -> Option<T>,
) -> Result<Look<T>, OpError> {
    let Some(entry) = directory::find(place, hash.directory())? else {
        return Ok(Look::Miss);
    };
    let format = place.slot_format();
    let mut versions = [0; REACH];
    let mut visited = 0;
    for distance in 0..REACH {
        let bucket = bucket_at(hash.bucket(), distance);
        let head = entry.table.head(bucket);
        versions[distance] = head.version();
        visited = distance + 1;
        for slot in head.matching(hash.tag()) {
            let word = entry.table.slot(bucket, slot);
            if format.distance(word) != distance {
                continue;
            }
            let version = head.version();
            let seen = Seen { place, entry, bucket, slot, word, version };
            let Some(record) = Record::at(place, format.reference(word)) else {
                if seen.unchanged() {
                    let at = entry.table.slot_offset(bucket, slot);
                    return Err(place.corrupt(at, "slot without a record"));
                }
                return Ok(Look::Again);
            };
            if record.key_is(key) {
                return Ok(take(&seen, &record).map_or(Look::Again, Look::Hit));
            }
        }
        if head.overflow() == 0 {
            break;
        }
    }
    fence(Acquire);
    let same = (0..visited).all(|distance| {
        let bucket = bucket_at(hash.bucket(), distance);
        entry.table.version(bucket) == versions[distance]
    });
    let again = directory::find(place, hash.directory())?;
    let same = same && again.is_some_and(|again| again.table.page == entry.table.page);
    Ok(if same { Look::Miss } else { Look::Again })
}
