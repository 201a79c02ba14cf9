//! Gets: no lock, no store, no system call. Begin, copy, validate; again if a writer was there.
//! (Of a key with an age they look at the clock, which is a system call where the kernel cannot let
//! processes read its source themselves.)
//!
//! Why a validated answer is right:
//! - A hit: the slot referred to the record at one moment (its load), and the copied bytes are that
//!   record's. Either the bucket's version and the slot are unchanged after the copy, and memory is
//!   used again only after the version that hides it; or, for large records, no run freed since
//!   before the slot was last seen unchanged has been used again (`retired`, `reused`).
//! - A hit of a key with a deadline: the clock was looked at after the slot was loaded, and the
//!   deadline was not over.
//! - A miss: none of the buckets that could hold the key changed between the first look at them and
//!   the validation.
//! - Either: the root is what it was before the walk. So the table was the key's all the time, and
//!   no page that was looked at had become another one (`directory`).
//! - A writer that died in the middle leaves nothing that makes a reader wait: the versions stand
//!   still, and the bucket reads as before or as after the store that decides.

use crate::age::Deadline;
use crate::directory::{self, Entry};
use crate::hash::Hash;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::table::{Bucket, Head, REACH, bucket_at};
use crate::take::Take;
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::{fence, spin_hint};
use shf_base::clock;
use shf_base::counts::{Count, Counter};
use shf_base::crash;
use shf_base::error::OpError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Attempts before a reader gives up racing.
pub const ATTEMPTS: u32 = 4096;
/// Attempts that follow each other at once; later ones pause in between.
const EAGER_ATTEMPTS: u32 = 16;
/// The longest pause, in spin hints.
const PAUSE_MAX: u32 = 64;

/// One look at a key.
enum Look {
    /// An answer: `take` had its record, or the key was not there.
    Done,
    /// A writer interfered.
    Again,
    /// This slot leads to no record.
    Damaged(u64),
}

/// The slot that a record was found in, and the root and the version that it was found under.
pub struct Seen<'p, 'm> {
    place: &'p Place<'m>,
    root: u64,
    bucket: Bucket<'m>,
    slot: usize,
    word: u32,
    head: Head,
}

impl<'p, 'm> Seen<'p, 'm> {
    /// The slot of a bucket that held `word` when the bucket's head was `head`, in a table that a
    /// walk from `root` led to.
    #[inline(always)]
    pub fn new(
        place: &'p Place<'m>,
        root: u64,
        bucket: Bucket<'m>,
        slot: usize,
        word: u32,
        head: Head,
    ) -> Seen<'p, 'm> {
        Seen { place, root, bucket, slot, word, head }
    }

    /// Whether the key had its access bit.
    #[inline(always)]
    pub fn is_accessed(&self) -> bool {
        self.head.is_accessed(self.slot)
    }

    /// Whether everything read from the record up to now belongs to it.
    #[inline(always)]
    pub fn unchanged(&self) -> bool {
        // Pairs with the release fence of allocations: see `arena::allocate`.
        fence(Acquire);
        self.bucket.is_as(self.head)
            && self.bucket.slot(self.slot) == self.word
            && directory::root(self.place) == self.root
    }

    /// To be called before the record is copied; `None` when it is too late. For large records a
    /// change of the bucket meanwhile does no harm as long as nothing freed later is used
    /// again.
    #[inline(always)]
    pub fn begin_copy(&self, record: &Record<'_>) -> Option<Copying<'_, 'p, 'm>> {
        let mut retired = None;
        if record.shape.is_large() {
            retired = Some(self.place.load(Field::Retired));
            if !self.unchanged() {
                return None;
            }
        }
        crash::looking();
        Some(Copying { seen: self, retired })
    }
}

/// A record is being copied.
pub struct Copying<'s, 'p, 'm> {
    seen: &'s Seen<'p, 'm>,
    /// Of a large record: the runs freed when it was there.
    retired: Option<u64>,
}

impl Copying<'_, '_, '_> {
    /// Whether what was copied is the record.
    #[inline(always)]
    pub fn is_whole(&self) -> bool {
        self.seen.unchanged() || self.retired.is_some_and(|retired| self.is_kept_since(retired))
    }

    #[cold]
    fn is_kept_since(&self, retired: u64) -> bool {
        self.seen.place.load(Field::Reused) <= retired
    }
}

/// One look for a key, which `is_it` knows by its record, where nearly all are: in its home bucket,
/// in the first slot with its tag, in a plain record. The validated answer, or `None`: let `get`
/// see why. `depth_bits`: as in `directory::find_quickly`; `WHICH`: as in `Record::plain_at`. An
/// answer is counted by `by`. Kept apart, and small, because the processor fetches the memory of
/// the next get while this one waits for its own only as far as it sees ahead
/// (docs/decisions/0016-short-gets.md).
#[inline(always)]
pub fn at_home<T: Take, const WHICH: u8>(
    place: &Place<'_>,
    depth_bits: u64,
    hash: Hash,
    is_it: impl Fn(&Record<'_>) -> bool,
    take: &mut T,
    by: impl Count,
) -> Option<Option<T::Answer>> {
    let root = directory::root(place);
    let table = directory::find_quickly(place, root, depth_bits, hash.directory())?;
    let (format, bucket) = (place.slot_format(), table.bucket(hash.bucket()));
    let head = bucket.head();
    if let Some(slot) = head.matching(hash.tag()).first() {
        let word = bucket.slot(slot);
        crash::looking();
        let record = Record::plain_at::<WHICH>(place, format.reference_at_home(word))?;
        let over = |deadline: Deadline| deadline.is_over(clock::wall_ms());
        if !is_it(&record) || record.deadline().is_some_and(over) {
            return None;
        }
        let seen = Seen::new(place, root, bucket, slot, word, head);
        let answer = take.take(&seen, &record)?;
        by.count(Counter::Hits);
        return Some(Some(answer));
    }
    fence(Acquire);
    let missed = head.overflow() == 0 && bucket.is_as(head) && directory::root(place) == root;
    if !missed {
        return None;
    }
    by.count(Counter::Misses);
    Some(None)
}

/// Looks for a key until an answer is validated; `Busy` when running writers kept interfering.
/// `take` makes the answer from the record; false when its `Seen` did not validate. Each further
/// look is counted in `retries`, which is private memory.
#[inline(always)]
pub fn get(
    place: &Place<'_>,
    hash: Hash,
    is_it: &impl Fn(&Record<'_>) -> bool,
    retries: &AtomicU64,
    take: &mut impl FnMut(&Seen<'_, '_>, &Record<'_>) -> bool,
) -> Result<(), OpError> {
    let mut attempt = 0;
    loop {
        match look(place, hash, is_it, take)? {
            Look::Done => return Ok(()),
            Look::Damaged(offset) => return Err(place.corrupt(offset, "slot without a record")),
            Look::Again if attempt < ATTEMPTS => pause(attempt, retries),
            Look::Again => return Err(OpError::Busy),
        }
        attempt += 1;
    }
}

#[cold]
fn pause(attempt: u32, retries: &AtomicU64) {
    retries.fetch_add(1, Relaxed);
    let hints = attempt.saturating_sub(EAGER_ATTEMPTS).min(PAUSE_MAX);
    for _ in 0..hints {
        spin_hint();
    }
}

/// One attempt.
#[inline(always)]
fn look(
    place: &Place<'_>,
    hash: Hash,
    is_it: &impl Fn(&Record<'_>) -> bool,
    take: &mut impl FnMut(&Seen<'_, '_>, &Record<'_>) -> bool,
) -> Result<Look, OpError> {
    let root = directory::root(place);
    let table = match directory::find_from(place, root, hash.directory()) {
        Ok(Some(Entry { table, .. })) => table,
        other => return no_table(place, root, other.map(drop)),
    };
    let format = place.slot_format();
    let mut heads = [Head { low: 0, high: 0 }; REACH];
    let mut distance = 0;
    loop {
        let number = bucket_at(hash.bucket(), distance);
        let bucket = table.bucket(number);
        let head = bucket.head();
        for slot in head.matching(hash.tag()) {
            let word = bucket.slot(slot);
            if format.distance(word) != distance {
                continue;
            }
            let seen = Seen::new(place, root, bucket, slot, word, head);
            crash::looking();
            let Some(record) = Record::at(place, format.reference(word)) else {
                let damage = Look::Damaged(table.slot_offset(number, slot));
                return Ok(if seen.unchanged() { damage } else { Look::Again });
            };
            if !is_it(&record) {
                continue;
            }
            return Ok(match has_expired(&seen, &record) {
                Some(true) => Look::Done,
                Some(false) if take(&seen, &record) => Look::Done,
                _ => Look::Again,
            });
        }
        heads[distance] = head;
        distance += 1;
        if head.overflow() == 0 || distance == REACH {
            break;
        }
    }
    fence(Acquire);
    for (distance, head) in heads.into_iter().enumerate().take(distance) {
        if !table.bucket(bucket_at(hash.bucket(), distance)).is_as(head) {
            return Ok(Look::Again);
        }
    }
    Ok(if directory::root(place) == root { Look::Done } else { Look::Again })
}

/// Whether the key of a record has expired; `None`: a writer interfered.
#[inline(always)]
fn has_expired(seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<bool> {
    let deadline = record.deadline();
    if !deadline.is_some_and(|deadline| deadline.is_over(clock::wall_ms())) {
        return Some(false);
    }
    // It is gone only if nobody gave it another deadline before this one was over.
    let unchanged = record.deadline() == deadline && seen.unchanged();
    unchanged.then_some(true)
}

/// The walk led to no table, or failed: so it is, unless the directory changed on the way.
#[cold]
fn no_table(place: &Place<'_>, root: u64, walked: Result<(), OpError>) -> Result<Look, OpError> {
    fence(Acquire);
    if directory::root(place) == root { walked.map(|()| Look::Done) } else { Ok(Look::Again) }
}
