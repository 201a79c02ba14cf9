//! A map: its file, its shards, and the operations on keys.

use crate::age::{Age, Deadline};
use crate::arena;
use crate::check::{self, Violation};
use crate::directory;
use crate::growth::Memory;
use crate::hash::Hash;
use crate::kind::Kind;
use crate::locate::{self, Located};
use crate::lock;
use crate::number::Number;
use crate::place::Place;
use crate::read::{self, Seen};
use crate::record::Record;
use crate::shard::{Locked, Placed};
use crate::sink::Sink;
use crate::take::{Nothing, Noticing, Take, ToSink, ToSlice, WithKind};
use crate::walk;
use shf_base::error::OpError;
use shf_base::format::FileHeader;
use shf_base::frozen;
use shf_base::geometry::{Geometry, PAGE_BYTES};
use shf_base::open::Temporary;
use shf_base::slot::Presence;
use shf_base::storage::Storage;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
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
    /// How long a writing operation waits for a lock, if not for ever.
    pub(crate) patience: Option<Duration>,
    /// Whether the map was created with this handle.
    pub(crate) is_creator: bool,
    /// What recovery found when this handle was opened.
    pub(crate) recovered: Option<Repaired>,
    /// Looks that gets of this handle made again, in this process.
    pub(crate) retries: AtomicU64,
    /// Whether gets of this handle, in this process, have met a key with an age: then they are
    /// ready for it from the start. Those that are not are faster where keys have none.
    pub(crate) has_aged: AtomicBool,
}

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

    /// Inserts the key or replaces its value. It lives for the map's default age from now on.
    // Not in builds for tests, each of which would compile it anew; so are others below.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        self.put_hashed(self.hash(key), key, value)
    }

    /// As `put`, of a key whose hash is known.
    #[inline(always)]
    pub(crate) fn put_hashed(
        &self,
        hash: Hash,
        key: &[u8],
        value: &[u8],
    ) -> Result<Placed, OpError> {
        match self.put_once(hash, key, value) {
            Err(full @ OpError::NoSpace { .. }) => {
                self.with_more_room(hash, full, move || self.put_once(hash, key, value))
            }
            done => done,
        }
    }

    /// As `put_hashed`, with what its own shard can do to make room.
    #[inline(always)]
    fn put_once(&self, hash: Hash, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        let age_ms = self.age_ms(Age::Default)?;
        let item = self.item(hash, Kind::Bytes, key, value, age_ms.map(|_| Deadline::NEVER))?;
        let place = self.fetch_bucket(hash);
        arena::prefetch(place, item.shape);
        let locked = self.lock_place(place)?;
        locked.put(item.until(locked.deadline(age_ms)))
    }

    /// Replaces the contents of `into` with the value, reusing its memory. False: the key is not
    /// there. Unless the answer is true, `into` is empty.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, OpError> {
        into.clear();
        Ok(self.get_to(key, into)?.is_some())
    }

    /// Copies the value to where `sink` says and returns its length, in one lookup whatever the
    /// length is; `None`: the key is not there.
    #[inline]
    pub fn get_to(&self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        self.get_hashed(self.hash(key), key, sink)
    }

    /// As `get_to`, of a key whose hash is known.
    #[inline(always)]
    pub(crate) fn get_hashed(
        &self,
        hash: Hash,
        key: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, OpError> {
        let found = self.read(hash, |record| record.key_is(key), ToSink(&mut *sink));
        let answer = found.and_then(Option::transpose);
        if !matches!(answer, Ok(Some(_))) {
            sink.discard();
        }
        answer
    }

    /// Copies the value to the front of `into` and returns its length; `None`: the key is not
    /// there. `BufferTooSmall` says the length. Without a value `into` is as it was, unless a
    /// writer changed the key during the call: then it may hold a part of what the key had before.
    #[inline]
    pub fn get_into(&self, key: &[u8], into: &mut [u8]) -> Result<Option<usize>, OpError> {
        let take = WithKind(ToSlice(&mut *into));
        let found = self.read(self.hash(key), |record| record.key_is(key), take)?;
        copied(found, into.len())
    }

    /// Whether the key is there.
    #[inline]
    pub fn contains(&self, key: &[u8]) -> Result<bool, OpError> {
        Ok(self.read(self.hash(key), |record| record.key_is(key), Nothing)?.is_some())
    }

    /// Deletes the key; whether it was there.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn delete(&self, key: &[u8]) -> Result<bool, OpError> {
        let hash = self.hash(key);
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        locked.delete(hash, locked.find(hash, key)?)
    }

    /// Adds to the signed 64-bit integer under `key`, which starts at 0 when absent, in place;
    /// returns the sum. A key that is there keeps its age. A value of another type is `WrongType`;
    /// a sum out of range is `Overflow` and changes nothing. A get of such a key gives its 8 bytes,
    /// little-endian.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn add(&self, key: &[u8], delta: i64) -> Result<i64, OpError> {
        self.add_number(key, delta)
    }

    /// As `add`, of any type of number. Doubles are added by the rules of IEEE 754, which know no
    /// overflow.
    #[inline]
    pub fn add_number<N: Number>(&self, key: &[u8], delta: N::Delta) -> Result<N, OpError> {
        let hash = self.hash(key);
        match self.add_once(hash, key, delta) {
            Err(full @ OpError::NoSpace { .. }) => {
                self.with_more_room(hash, full, move || self.add_once(hash, key, delta))
            }
            done => done,
        }
    }

    /// As `add_number`, with what its own shard can do to make room.
    #[inline(always)]
    fn add_once<N: Number>(&self, hash: Hash, key: &[u8], delta: N::Delta) -> Result<N, OpError> {
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        let found = locked.find(hash, key)?;
        locked.note_use(&found);
        match found {
            Located::Found(_, _, record) if !locked.has_expired(&record) => {
                locked.add(hash, record, delta)
            }
            _ => self.put_sum(locked, hash, key, delta),
        }
    }

    /// Puts what a key that is not there becomes by an addition. Takes the lock itself: what others
    /// may point to is not kept in registers.
    #[cold]
    #[inline(never)]
    fn put_sum<N: Number>(
        &self,
        locked: Locked<'_>,
        hash: Hash,
        key: &[u8],
        delta: N::Delta,
    ) -> Result<N, OpError> {
        let (sum, age_ms) = (N::ZERO.plus(delta)?, self.age_ms(Age::Default)?);
        let value = sum.bits().to_le_bytes();
        locked.put(self.item(hash, N::KIND, key, &value, locked.deadline(age_ms))?)?;
        Ok(sum)
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
        Ok(erased)
    }

    /// Checks every invariant of every shard and names those that do not hold. Others may use the
    /// map meanwhile; writers wait while the shard of their key is checked. Needs private memory in
    /// proportion to the keys of one shard.
    ///
    /// Of a frozen map, the file is read, and held against its checksum. This works for handles that
    /// may only read.
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

    /// Gets without a lock; against writers that never pause, once more under the lock if it is
    /// free at that moment.
    #[inline(always)]
    pub(crate) fn read<T: Take>(
        &self,
        hash: Hash,
        is_it: impl Fn(&Record<'_>) -> bool,
        mut take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let place = self.place(hash.shard_bits());
        if !self.has_aged.load(Relaxed) {
            let no_depth = directory::NO_DEPTH;
            let look = read::at_home::<T, false>(&place, no_depth, hash, &is_it, &mut take);
            if let Some(answer) = look {
                return Ok(answer);
            }
        }
        self.read_on(hash, is_it, take)
    }

    /// As `read`, wherever the key is. In a map that evicts, says of the key that it was used.
    #[inline(never)]
    pub(crate) fn read_on<T: Take>(
        &self,
        hash: Hash,
        is_it: impl Fn(&Record<'_>) -> bool,
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        if !self.facts.evicting {
            return self.look_on(hash, is_it, take);
        }
        let mut noted = true;
        let found = self.look_on(hash, &is_it, Noticing(take, &mut noted));
        if !noted {
            self.note_use(hash, is_it);
        }
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
        let has_aged = self.has_aged.load(Relaxed);
        if has_aged {
            let no_depth = directory::NO_DEPTH;
            let look = read::at_home::<T, true>(&place, no_depth, hash, &is_it, &mut take);
            if let Some(answer) = look {
                return Ok(answer);
            }
        }
        let mut found = None;
        let mut keep = |seen: &Seen<'_, '_>, record: &Record<'_>| {
            if record.shape.timed && !has_aged {
                self.has_aged.store(true, Relaxed);
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
            directory::find_quickly(&place, root, directory::NO_DEPTH, hash.directory())
        {
            place.region().prefetch(table.low_offset(hash.bucket()));
        }
        place
    }
}

/// The answer of a get to the front of a slice of `found_bytes`.
#[inline(always)]
pub(crate) fn copied(
    found: Option<(Result<u64, u64>, Kind)>,
    found_bytes: usize,
) -> Result<Option<usize>, OpError> {
    let Some((copied, kind)) = found else { return Ok(None) };
    kind.expect_value()?;
    match copied {
        Ok(len) => Ok(Some(len as usize)),
        Err(needed_bytes) => {
            Err(OpError::BufferTooSmall { needed_bytes, found_bytes: found_bytes as u64 })
        }
    }
}
