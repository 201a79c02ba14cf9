//! Copying a shard as it is at one moment, while others go on writing to it.
//!
//! 1. The shard's lock gets the note that somebody follows (`shf_base::change_log`).
//! 2. All records are copied, those of some buckets at a time, under the lock; large ones are noted.
//! 3. What was noted, and what the log says has changed since, is copied again, without the lock,
//!    as gets do; and again what has changed meanwhile.
//! 4. At a moment when the lock is held, and all that the log says has been copied, the note goes:
//!    that is the moment.
//!
//! Right by this: a key that changes after it was copied is announced before the change, under the
//! lock, and so is in the log when the lock is next held; and at the end nothing is in the log that
//! was not copied since. Where writers are as fast as the copying, the last ones are copied under
//! the lock, the more of them the more rounds it took. Where the log was lapped, it begins anew.

use crate::element::ElementKey;
use crate::frozen_records::{Entry, FrozenRecords};
use crate::group::SLOTS;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::locate;
use crate::lock;
use crate::read::{self, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::table::REACH;
use crate::walk::Buckets;
use hashbrown::HashSet;
use shf_base::change_log::Lapped;
use shf_base::error::{OpError, OpenError};
use shf_base::frozen::FrozenFile;
use shf_base::slot::Presence;
use std::mem;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Buckets that are copied under one lock, at most.
const BUCKETS_PER_LOCK: usize = 8;
/// Keys that are copied under the lock in the first of the last rounds; twice as many in the next.
const LAST_KEYS: usize = 16;
/// Records that are copied without a look at the log, in bytes.
const BYTES_PER_READ: u64 = 256 << 10;
/// Records that are copied under one lock in the first pass, in bytes, but for the last bucket's.
const BYTES_PER_LOCK: u64 = 64 << 10;
/// How often a key is copied in vain, because a writer interferes, before it is left to the last
/// round.
const COPIES_MAX: u32 = 16;
/// Keys that can have one hash.
const SAME_HASH_MAX: usize = REACH * SLOTS;
/// How often a shard is begun anew before it is copied under its lock as a whole.
const LAPS_MAX: u32 = 3;

/// A shard that is being copied.
pub(crate) struct Follower<'m> {
    memory: Memory<'m>,
    presence: &'m Presence,
    patience: Option<Duration>,
    /// The next entry of the log to be read.
    next: u64,
    /// Hashes of keys that have to be copied, or copied again.
    changed: HashSet<Hash>,
    retries: AtomicU64,
}

/// Why a pass over a shard ended.
enum Stop {
    Lapped,
    /// The map failed.
    Map(OpError),
    /// The file that is written failed.
    File(OpenError),
}

impl From<OpError> for Stop {
    fn from(error: OpError) -> Stop {
        Stop::Map(error)
    }
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Stop {
        Stop::File(error)
    }
}

/// Copies a shard. The caller holds the mutex of the change log, whose ring is real.
pub(crate) fn copy<'m>(
    (memory, presence, patience): (Memory<'m>, &'m Presence, Option<Duration>),
    file: &FrozenFile<'_>,
    records: &mut FrozenRecords<'_>,
) -> Result<(), OpenError> {
    let (changed, retries) = (HashSet::new(), AtomicU64::new(0));
    let mut follower = Follower { memory, presence, patience, next: 0, changed, retries };
    // Not under the lock, where it would take time in proportion to the shard.
    records.reserve(memory.place.entries()).map_err(|error| file.failed(error))?;
    let begin = records.mark();
    let mut laps = 0;
    let copied = loop {
        match follower.pass(records, laps == LAPS_MAX) {
            Ok(()) => break Ok(()),
            Err(Stop::Map(error)) => break Err(file.failed(error)),
            Err(Stop::File(error)) => break Err(error),
            Err(Stop::Lapped) => {
                laps = (laps + 1).min(LAPS_MAX);
                records.rewind(begin);
            }
        }
    };
    if copied.is_err() {
        // Without the lock the note stays, for the next follower.
        let _ = follower.lock().map(|locked| locked.guard().set_followed(false));
    }
    copied
}

/// Takes the note of a follower away who died.
pub(crate) fn forget(
    memory: Memory<'_>,
    presence: &Presence,
    patience: Option<Duration>,
) -> Result<(), OpError> {
    let locked = lock::lock(memory, presence, patience)?;
    locked.guard().set_followed(false);
    Ok(())
}

impl<'m> Follower<'m> {
    /// Copies all of the shard. `in_one`: under one lock from beginning to end.
    fn pass(&mut self, records: &mut FrozenRecords<'_>, in_one: bool) -> Result<(), Stop> {
        let mut locked = self.lock()?;
        locked.guard().set_followed(true);
        self.next = locked.place().change_log().written();
        self.changed.clear();
        let mut buckets = Buckets::new(self.memory.place);
        while self.copy_some(&locked, &mut buckets, in_one, records)? {
            self.read_log(&locked)?;
            if in_one {
                records.flush_some()?;
            } else {
                drop(locked);
                records.flush_some()?;
                locked = self.lock()?;
            }
        }
        self.catch_up(locked, records)
    }

    /// Copies the records of the next buckets, and notes those that are large; whether there were
    /// some.
    fn copy_some(
        &mut self,
        locked: &Locked<'m>,
        buckets: &mut Buckets<'m>,
        large_too: bool,
        records: &mut FrozenRecords<'_>,
    ) -> Result<bool, Stop> {
        let begin = records.bytes();
        for _ in 0..BUCKETS_PER_LOCK {
            if records.bytes() - begin > BYTES_PER_LOCK {
                break;
            }
            let Some((table, bucket)) = buckets.next_bucket()? else { return Ok(false) };
            for slot in table.head(bucket).occupied() {
                let record = locked.record_in(table, bucket, slot)?;
                if locked.has_expired(&record) || record.is_element() && locked.is_orphan(&record) {
                    continue;
                }
                let hash = record.hash(self.memory.place.secret());
                if record.shape.is_large() && !large_too {
                    note(&mut self.changed, hash)?;
                } else if records.has(hash) {
                    // The table was begun anew, or another key has the same hash.
                    records.forget(hash);
                    self.copy_under(locked, hash, records)?;
                } else {
                    let entry = records.append(hash, &record)?;
                    records.enter(entry)?;
                }
            }
        }
        Ok(true)
    }

    /// Copies what has to be copied yet, until nothing is left.
    fn catch_up(
        &mut self,
        mut locked: Locked<'m>,
        records: &mut FrozenRecords<'_>,
    ) -> Result<(), Stop> {
        // In the first round at least, nothing is copied under the lock: large records come then.
        let mut last = 0;
        loop {
            self.read_log(&locked)?;
            let changed = mem::take(&mut self.changed);
            if changed.len() <= last {
                for hash in changed {
                    records.forget(hash);
                    self.copy_under(&locked, hash, records)?;
                }
                locked.guard().set_followed(false);
                return Ok(());
            }
            drop(locked);
            let mut read_at = records.bytes();
            for hash in changed {
                records.forget(hash);
                self.copy_alone(hash, records)?;
                records.flush_some()?;
                if records.bytes() - read_at > BYTES_PER_READ {
                    // Before the log is lapped.
                    let locked = self.lock()?;
                    self.read_log(&locked)?;
                    read_at = records.bytes();
                }
            }
            last = (2 * last).max(LAST_KEYS);
            locked = self.lock()?;
        }
    }

    /// Copies all keys that have a hash, under the lock.
    fn copy_under(
        &self,
        locked: &Locked<'m>,
        hash: Hash,
        records: &mut FrozenRecords<'_>,
    ) -> Result<(), OpError> {
        let mut copied = Vec::new();
        while copied.len() < SAME_HASH_MAX {
            let is_it = |record: &Record<'_>| self.is_next(record, hash, &copied);
            let found = locate::record(locked.place(), hash, is_it)?;
            let Some(record) = found.record() else { break };
            copied.push(Life::of(&record));
            if !locked.has_expired(&record) {
                let entry = records.append(hash, &record)?;
                records.enter(entry)?;
            }
        }
        Ok(())
    }

    /// As `copy_under`, without the lock. Where writers interfere too often, it is noted once more.
    fn copy_alone(&mut self, hash: Hash, records: &mut FrozenRecords<'_>) -> Result<(), OpError> {
        let (mut copied, mut copies) = (Vec::new(), 0);
        while copied.len() < SAME_HASH_MAX {
            let mut appended = Ok(None);
            let is_it = |record: &Record<'_>| self.is_next(record, hash, &copied);
            let mut take = |seen: &Seen<'_, '_>, record: &Record<'_>| {
                appended = append(seen, record, hash, records);
                copies += 1;
                !matches!(appended, Ok(None)) || copies > COPIES_MAX
            };
            let got = read::get(&self.memory.place, hash, &is_it, &self.retries, &mut take);
            if got == Err(OpError::Busy) || copies > COPIES_MAX {
                return note(&mut self.changed, hash);
            }
            got?;
            let Some((entry, life)) = appended? else { break };
            records.enter(entry)?;
            copied.push(life);
            copies = 0;
        }
        Ok(())
    }

    /// Whether a record's key has a hash, and it was not copied yet.
    fn is_next(&self, record: &Record<'_>, hash: Hash, copied: &[Life]) -> bool {
        record.hash(self.memory.place.secret()) == hash && !copied.contains(&Life::of(record))
    }

    fn read_log(&mut self, locked: &Locked<'m>) -> Result<(), Stop> {
        let (mut noted, changed) = (Ok(()), &mut self.changed);
        let read = locked.place().change_log().read(self.next, |hash| {
            if noted.is_ok() {
                noted = note(changed, Hash(hash));
            }
        });
        self.next = read.map_err(|Lapped| Stop::Lapped)?;
        Ok(noted?)
    }

    fn lock(&self) -> Result<Locked<'m>, OpError> {
        lock::lock(self.memory, self.presence, self.patience)
    }
}

/// What tells a key from others with the same hash, wherever its record lies: compaction moves it.
#[derive(PartialEq, Eq)]
struct Life {
    generation: u32,
    element: Option<ElementKey>,
}

impl Life {
    fn of(record: &Record<'_>) -> Life {
        Life { generation: record.stamp.generation(), element: record.element_key() }
    }
}

/// Copies a record that was found without the lock; `None`: a writer interfered.
fn append(
    seen: &Seen<'_, '_>,
    record: &Record<'_>,
    hash: Hash,
    records: &mut FrozenRecords<'_>,
) -> Result<Option<(Entry, Life)>, OpError> {
    // A length is acted upon only once it is known to be the record's.
    if !seen.unchanged() {
        return Ok(None);
    }
    let Some(copying) = seen.begin_copy(record) else { return Ok(None) };
    let mark = records.mark();
    let entry = records.append(hash, record)?;
    if copying.is_whole() {
        return Ok(Some((entry, Life::of(record))));
    }
    records.take_back(mark);
    Ok(None)
}

fn note(changed: &mut HashSet<Hash>, hash: Hash) -> Result<(), OpError> {
    let bytes = size_of::<Hash>() as u64;
    changed.try_reserve(1).map_err(|_| OpError::OutOfMemory { bytes })?;
    changed.insert(hash);
    Ok(())
}
