//! A map: its file, its shards, and the operations on keys.

use crate::check::{self, Violation};
use crate::decode::{OR_TIMED, PLAIN, WITH_HALF};
use crate::directory;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::locate;
use crate::lock;
use crate::place::Place;
use crate::read::{self, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::take::{Noticing, Take};
use crate::usage::count_get;
use crate::walk;
use shf_base::counts::{Count, Counter, Uncounted, Usage};
use shf_base::error::OpError;
use shf_base::format::FileHeader;
use shf_base::frozen;
use shf_base::geometry::{Geometry, PAGE_BYTES};
use shf_base::open::Temporary;
use shf_base::slot::Presence;
use shf_base::storage::Storage;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// An open map. All methods may be called from any number of threads at once; any number of
/// processes may have the same map open. A map inherited through `fork` works in the child.
pub struct Map {
    pub(crate) storage: Storage,
    pub(crate) facts: FileHeader,
    pub(crate) presence: Option<Presence>,
    /// Sees to the name of a temporary map at the end.
    #[expect(dead_code, reason = "it is only dropped")]
    pub(crate) temporary: Option<Temporary>,
    /// What this process does through this handle.
    pub(crate) usage: Usage,
    /// How long a writing operation waits for a lock, if not for ever.
    pub(crate) patience: Option<Duration>,
    /// Whether the map was created with this handle.
    pub(crate) is_creator: bool,
    /// What recovery found when this handle was opened.
    pub(crate) recovered: Option<Repaired>,
    /// Looks that gets of this handle made again, in this process.
    pub(crate) retries: AtomicU64,
    /// Which bits of a shard's root gets take for its depth at first, `directory::DEPTH_BITS`; or
    /// `NOT_QUICK`, where records have half a header, or gets of this handle, in this process, have
    /// met a key with an age: then they are ready for these from the start. Those that are not are
    /// faster where there are none.
    pub(crate) depth_bits: AtomicU64,
}

/// With these bits the first look of a get finds nothing. (Where it does, that is right as well.)
pub(crate) const NOT_QUICK: u64 = u64::MAX;

/// Takes the lock of a shard and rebuilds it if need be; what was lost then.
type Rebuild =
    fn(Memory<'_>, &Presence, Option<Duration>) -> Result<Option<Vec<Violation>>, OpError>;

/// What `Map::repair`, or recovery, did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Shards that were damaged, or torn by a crash of the machine, and are rebuilt.
    pub shards: u32,
    /// Keys in these shards now.
    pub keys: u64,
    /// What was lost: bytes that are no record any more, where there were some.
    pub lost: Vec<Violation>,
}

impl Map {
    /// What recovery found when this handle opened a durable map after a crash of the machine, or a
    /// copy of one: how many shards were made anew, the keys in them, and the records that were
    /// torn and dropped, which were put after the last `sync`. `None`: there was nothing to
    /// recover. What other processes recovered at the same time, they know.
    pub fn recovered(&self) -> Option<&Repaired> {
        self.recovered.as_ref()
    }

    /// Keys in the map: exact when nobody writes, else off by at most the writes that overlap with
    /// the call. Keys that have expired count until they are reaped. A list is one key.
    pub fn size(&self) -> u64 {
        self.places().map(Place::keys).sum()
    }

    /// Deletes every key that is there from the beginning to the end of the call, a bucket at a
    /// time; keys put meanwhile may stay. Returns how many it deleted, those among them that had
    /// expired. A list is one key, and its elements go after all keys of its shard.
    pub fn clear(&self) -> Result<u64, OpError> {
        if self.is_read_only() {
            return Err(OpError::ReadOnly);
        }
        let mut erased = 0;
        for place in self.places() {
            erased +=
                walk::buckets(place, &|| self.lock(place.shard()), |locked, table, bucket| {
                    locked.clear_bucket(table, bucket, |record| !record.is_element())
                })?;
            self.reap_orphans(place)?;
        }
        self.usage.count_many(Counter::Deletes, erased);
        Ok(erased)
    }

    /// Checks every invariant of every shard and names those that do not hold. Others may use the
    /// map meanwhile; writers wait while the shard of their key is checked. Needs private memory in
    /// proportion to the keys of one shard.
    ///
    /// Of a frozen map, the file is read, and held against its checksum. This works for handles
    /// that may only read.
    pub fn verify(&self) -> Result<Vec<Violation>, OpError> {
        if let Some(expected) = self.facts.frozen {
            let found = frozen::checksum_now(&self.storage)?;
            let what = format!("checksum of the file: expected {expected:#x}, found {found:#x}");
            let wrong = || Violation::new(0, PAGE_BYTES, what);
            return Ok((found != expected).then(wrong).into_iter().collect());
        }
        let mut violations = Vec::new();
        for place in self.places() {
            match self.lock(place.shard()) {
                Ok(locked) => violations.append(&mut check::shard(locked.place())),
                Err(OpError::Corrupt { shard, offset, what }) => {
                    violations.push(Violation::new(shard, offset, what.into()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(violations)
    }

    /// Rebuilds the shards that are damaged: their index from the records, and what describes their
    /// memory; drops what is no record any more, and reports it. Unless the map is durable, values
    /// carry no checksum: one that a stranger overwrote is kept as it is. Others may use the map
    /// meanwhile; of a shard that is being rebuilt they get `Busy`. A process that dies on the
    /// way leaves the rest to the next one that takes the shard's lock. Needs private memory in
    /// proportion to the keys of one shard.
    ///
    /// Of a durable map, what was deleted or replaced since the last `sync` may not survive a crash
    /// of the machine any more once a shard is rebuilt; so it ends with a `sync`.
    ///
    /// Errors: `NoSpace` when the new index does not fit, and `OutOfMemory`; a shard whose index
    /// was given up by then answers the same until it is rebuilt. As `sync`.
    pub fn repair(&self) -> Result<Repaired, OpError> {
        let repaired = self.rebuild(lock::lock_and_rebuild)?;
        if repaired.shards > 0 && self.facts.durable {
            // What had to be kept for a crash of the machine is not known any more.
            self.sync()?;
        }
        Ok(repaired)
    }

    /// Has every shard rebuilt that needs it.
    pub(crate) fn rebuild(&self, shard: Rebuild) -> Result<Repaired, OpError> {
        let presence = self.writer()?;
        let mut repaired = Repaired::default();
        for place in self.places() {
            let rebuilt = shard(self.memory(place), presence, self.patience)?;
            if let Some(mut lost) = rebuilt {
                repaired.shards += 1;
                repaired.keys += place.keys();
                repaired.lost.append(&mut lost);
            }
        }
        Ok(repaired)
    }

    /// Whether this handle may only read.
    pub fn is_read_only(&self) -> bool {
        self.presence.is_none()
    }

    /// The numbers that fix where everything in the file lies.
    pub fn geometry(&self) -> &Geometry {
        &self.facts.geometry
    }

    /// Gets a key, which has this hash, without a lock; against writers that never pause, once more
    /// under the lock if it is free at that moment.
    #[inline(always)]
    pub(crate) fn read<T: Take>(
        &self,
        hash: Hash,
        key: &[u8],
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        self.seek(&self.usage, hash, key, take)
    }

    /// As `read`, counted by `by`.
    #[inline(always)]
    pub(crate) fn seek<T: Take>(
        &self,
        by: impl Count,
        hash: Hash,
        key: &[u8],
        mut take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let (place, depth_bits) = (self.place(hash.shard_bits()), self.depth_bits.load(Relaxed));
        // A plain record has a whole header, and the comparison has to be short.
        let is_it = |record: &Record<'_>| record.whole_key_is(key);
        match read::at_home::<T, PLAIN>(&place, depth_bits, hash, is_it, &mut take, by) {
            Some(answer) => Ok(answer),
            None if self.facts.fixed.is_some() => self.seek_half(by, hash, key, take),
            None => self.read_on(by, hash, |record| record.key_is(key), take),
        }
    }

    /// As `seek`, where records may have half a header.
    #[inline(never)]
    fn seek_half<T: Take>(
        &self,
        by: impl Count,
        hash: Hash,
        key: &[u8],
        mut take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let (place, bits) = (self.place(hash.shard_bits()), directory::DEPTH_BITS);
        let is_it = |record: &Record<'_>| record.half_key_is(key);
        match read::at_home::<T, WITH_HALF>(&place, bits, hash, is_it, &mut take, by) {
            Some(answer) => Ok(answer),
            None => self.read_on(by, hash, |record| record.key_is(key), take),
        }
    }

    /// As `seek`, wherever the key is. In a map that evicts, says of the key that it was used.
    #[inline(never)]
    pub(crate) fn read_on<T: Take>(
        &self,
        by: impl Count,
        hash: Hash,
        is_it: impl Fn(&Record<'_>) -> bool,
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let mut noted = true;
        let found = match self.facts.evicting {
            false => self.look_on(hash, &is_it, take),
            true => self.look_on(hash, &is_it, Noticing(take, &mut noted)),
        };
        if !noted {
            self.note_use(hash, is_it);
        }
        count_get(by, &found);
        found
    }

    /// Says of a key that it was used, unless that would take any waiting.
    #[cold]
    fn note_use(&self, hash: Hash, is_it: impl Fn(&Record<'_>) -> bool) {
        let place = self.place(hash.shard_bits());
        let presence = self.presence.as_ref().filter(|presence| presence.has_slot());
        let Some(presence) = presence else { return };
        if let Ok(Some(locked)) = lock::lock_at_rest(self.memory(place), presence)
            && let Ok(found) = locate::record(place, hash, is_it)
        {
            locked.note_use(&found);
        }
    }

    /// As `read_on`, without that.
    #[inline(always)]
    pub(crate) fn look_on<T: Take>(
        &self,
        hash: Hash,
        is_it: impl Fn(&Record<'_>) -> bool,
        mut take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let place = self.place(hash.shard_bits());
        let has_aged = self.depth_bits.load(Relaxed) == NOT_QUICK;
        if has_aged && self.facts.fixed.is_none() {
            let bits = directory::DEPTH_BITS;
            let look =
                read::at_home::<T, OR_TIMED>(&place, bits, hash, &is_it, &mut take, Uncounted);
            if let Some(answer) = look {
                return Ok(answer);
            }
        }
        let mut found = None;
        let mut keep = |seen: &Seen<'_, '_>, record: &Record<'_>| {
            if record.shape.traits.timed() && !has_aged {
                self.depth_bits.store(NOT_QUICK, Relaxed);
            }
            found = take.take(seen, record);
            found.is_some()
        };
        let mut locked = None;
        loop {
            match read::get(&place, hash, &is_it, &self.retries, &mut keep) {
                Ok(()) => return Ok(found),
                Err(OpError::Busy) if locked.is_none() => locked = Some(self.try_lock(place)?),
                Err(error) => return Err(error),
            }
        }
    }

    /// The lock of a shard if it is free, else `Busy`.
    #[cold]
    pub(crate) fn try_lock<'m>(&'m self, place: Place<'m>) -> Result<Locked<'m>, OpError> {
        let presence = self.presence.as_ref().ok_or(OpError::Busy)?;
        lock::try_lock(self.memory(place), presence)?.ok_or(OpError::Busy)
    }

    #[inline(always)]
    pub(crate) fn hash(&self, key: &[u8]) -> Hash {
        Hash::of(key, self.facts.secret)
    }

    #[inline(always)]
    pub(crate) fn place(&self, shard: u32) -> Place<'_> {
        Place::new(&self.storage, &self.facts, shard)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        (0..self.facts.geometry.shards()).map(|shard| self.place(shard))
    }

    #[inline(always)]
    pub(crate) fn memory<'m>(&'m self, place: Place<'m>) -> Memory<'m> {
        Memory { place, storage: &self.storage, max_bytes: self.facts.max_bytes }
    }

    /// The means to lock.
    #[inline(always)]
    pub(crate) fn writer(&self) -> Result<&Presence, OpError> {
        self.presence.as_ref().ok_or(OpError::ReadOnly)
    }

    pub(crate) fn lock(&self, shard: u32) -> Result<Locked<'_>, OpError> {
        self.lock_place(self.place(shard))
    }

    #[inline(always)]
    pub(crate) fn lock_place<'m>(&'m self, place: Place<'m>) -> Result<Locked<'m>, OpError> {
        lock::lock(self.memory(place), self.writer()?, self.patience)
    }

    /// The place of a hash's shard. Starts to fetch its home bucket and the shard's header, before
    /// it is locked: taking a lock keeps the processor from looking ahead.
    #[inline(always)]
    pub(crate) fn fetch_bucket(&self, hash: Hash) -> Place<'_> {
        let place = self.place(hash.shard_bits());
        place.prefetch_header();
        let root = directory::root(&place);
        if let Some(table) =
            directory::find_quickly(&place, root, directory::DEPTH_BITS, hash.directory())
        {
            place.region().prefetch(table.low_offset(hash.bucket()));
        }
        place
    }
}
