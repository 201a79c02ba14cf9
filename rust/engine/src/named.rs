//! Operations on keys that are named by UIDs, without hashing or comparing keys.
//!
//! A UID names one life of a key (`uid`): while the key lives, each of these is the operation on
//! the key itself; from its deletion on, the key is not there for them, also when it was put again.

use crate::age::Age;
use crate::caller::copied;
use crate::decode::PLAIN;
use crate::directory;
use crate::kind::Kind;
use crate::map::Map;
use crate::read;
use crate::record::Record;
use crate::shard::Placed;
use crate::short;
use crate::sink::Sink;
use crate::take::{KeyToSink, Nothing, Take, ToSink, ToSlice, WithKind, WithStamp};
use crate::uid::Uid;
use shf_base::atomic::spin_hint;
use shf_base::counts::{Count, Counter, Uncounted};
use shf_base::error::OpError;
use std::sync::atomic::Ordering::Relaxed;

impl Map {
    /// The UID of the key's present life; `None`: the key is not there. A put tells it as well.
    pub fn uid(&self, key: &[u8]) -> Result<Option<Uid>, OpError> {
        let hash = self.hash(key);
        let found = self.read(hash, key, WithStamp(Nothing))?;
        Ok(found.map(|((), stamp)| self.place(hash.shard_bits()).uid(hash, stamp)))
    }

    /// As `get_to`.
    #[inline]
    pub fn get_uid_to(&self, uid: Uid, sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        let answer = self.read_uid(uid, ToSink(&mut *sink)).and_then(Option::transpose);
        if !matches!(answer, Ok(Some(_))) {
            sink.discard();
        }
        answer
    }

    /// As `get_into`.
    #[inline]
    pub fn get_uid_into(&self, uid: Uid, into: &mut [u8]) -> Result<Option<usize>, OpError> {
        let found = self.read_uid(uid, WithKind(ToSlice(&mut *into)))?;
        copied(found, into.len())
    }

    /// Copies the key to where `sink` says and returns its length; `None`: it is not there.
    pub fn key_of_uid(&self, uid: Uid, sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        let answer = self.read_uid(uid, KeyToSink(&mut *sink)).and_then(Option::transpose);
        if !matches!(answer, Ok(Some(_))) {
            sink.discard();
        }
        answer
    }

    /// Whether the key is there.
    pub fn contains_uid(&self, uid: Uid) -> Result<bool, OpError> {
        Ok(self.read_uid(uid, Nothing)?.is_some())
    }

    /// Replaces the value; `None`: the key is not there, and nothing has changed. Needs private
    /// memory for the key.
    ///
    /// Errors: as `put`, and `OutOfMemory`.
    pub fn put_uid(&self, uid: Uid, value: &[u8]) -> Result<Option<Placed>, OpError> {
        let done = self.with_room(uid.hash(), || self.put_uid_once(uid, value));
        self.count_some(&self.usage, Counter::Puts, done)
    }

    fn put_uid_once(&self, uid: Uid, value: &[u8]) -> Result<Option<Placed>, OpError> {
        let locked = self.lock_place(self.fetch_bucket(uid.hash()))?;
        let Some(record) = locked.living(&locked.find_uid(uid)?) else { return Ok(None) };
        let (mut key, len) = (Vec::new(), record.shape.key_len as usize);
        let reserved = key.try_reserve_exact(len);
        reserved.map_err(|_| OpError::OutOfMemory { bytes: len as u64 })?;
        key.resize(len, 0);
        record.copy_key(&mut key);
        let hash = self.hash(&key);
        if locked.place().uid(hash, record.stamp) != uid {
            let (place, reference) = (locked.place(), record.reference());
            return Err(place.corrupt(place.unit_offset(reference), "record with a wrong hash"));
        }
        let deadline = locked.deadline(self.age_ms(Age::Default)?);
        locked.put(self.item(hash, Kind::Bytes, &key, value, deadline)?).map(Some)
    }

    /// Deletes the key; whether it was there.
    pub fn delete_uid(&self, uid: Uid) -> Result<bool, OpError> {
        let locked = self.lock_place(self.fetch_bucket(uid.hash()))?;
        let found = locked.find_uid(uid)?;
        self.count_delete(&self.usage, locked.delete(uid.hash(), found))
    }

    /// The UID whose `short` bits these are, if one key that is there has it, and no other; `None`
    /// also where the shard's index is too large for so few bits to lead to the key. Short bits
    /// know no lives, and of N keys in a map one in 2^32 / N has those of a given other one.
    pub fn uid_of_short(&self, short: u32) -> Result<Option<Uid>, OpError> {
        let (hash, bits) = Uid::hash_of_short(short, self.facts.geometry.uid_shards());
        let place = self.place(hash.shard_bits());
        let (mut looks_left, mut locked) = (read::ATTEMPTS, None);
        loop {
            match short::find(&place, hash, bits, short) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if looks_left > 0 => looks_left -= 1,
                Ok(None) | Err(OpError::Busy) if locked.is_none() => {
                    locked = Some(self.try_lock(place)?);
                }
                Ok(None) => return Err(OpError::Busy),
                Err(error) => return Err(error),
            }
            spin_hint();
        }
    }

    #[inline(always)]
    fn read_uid<T: Take>(&self, uid: Uid, take: T) -> Result<Option<T::Answer>, OpError> {
        self.seek_uid(&self.usage, uid, take)
    }

    /// As `read_uid`, counted by `by`.
    #[inline(always)]
    fn seek_uid<T: Take>(
        &self,
        by: impl Count,
        uid: Uid,
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let (hash, mut take) = (uid.hash(), take);
        let place = self.place(hash.shard_bits());
        let is_it = |record: &Record<'_>| uid.names_quickly(record, &place);
        let depth_bits = self.depth_bits.load(Relaxed) | directory::DEPTH_BITS_OF_UIDS;
        match read::at_home::<T, PLAIN>(&place, depth_bits, hash, is_it, &mut take, by) {
            Some(answer) => Ok(answer),
            None => self.read_uid_on(by, uid, take),
        }
    }

    /// As `read_uid`, but no use of the key.
    #[inline(always)]
    pub(crate) fn look_at_uid<T: Take>(
        &self,
        uid: Uid,
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        if !self.facts.evicting {
            return self.seek_uid(Uncounted, uid, take);
        }
        let place = self.place(uid.hash().shard_bits());
        self.look_on(uid.hash(), |record| uid.names(record, &place), take)
    }

    /// As `read_uid`, wherever the key is.
    #[inline(never)]
    fn read_uid_on<T: Take>(
        &self,
        by: impl Count,
        uid: Uid,
        take: T,
    ) -> Result<Option<T::Answer>, OpError> {
        let place = self.place(uid.hash().shard_bits());
        self.read_on(by, uid.hash(), |record| uid.names(record, &place), take)
    }
}
