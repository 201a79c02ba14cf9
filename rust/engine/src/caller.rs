//! The operations that are short: puts, gets, deletes, additions. Each is counted, by the handle,
//! which looks for the counters of the thread, or by a lane, which somebody inside of a gate has
//! already.

use crate::age::{Age, Deadline};
use crate::arena;
use crate::hash::Hash;
use crate::item::Item;
use crate::kind::Kind;
use crate::locate::{self, Located};
use crate::map::Map;
use crate::number::Number;
use crate::shape::Shape;
use crate::shard::{Locked, Placed};
use crate::sink::Sink;
use crate::take::{Nothing, ToSink, ToSlice, WithKind};
use shf_base::counts::{Count, Counter};
use shf_base::error::OpError;
use shf_base::format::FileHeader;

/// A map, for one call, counted by `C`. Each method is as that of `Map`.
#[derive(Clone, Copy)]
pub struct Caller<'m, C> {
    map: &'m Map,
    by: C,
}

impl Map {
    /// Inserts the key or replaces its value. It lives for the map's default age from now on.
    // Not in builds for tests, each of which would compile it anew; so are others below.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        self.by(&self.usage).put(key, value)
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
        self.by(&self.usage).get_to(key, sink)
    }

    /// Copies the value to the front of `into` and returns its length; `None`: the key is not
    /// there. `BufferTooSmall` says the length. The rest of `into` stays as it was, and without a
    /// value all of it, unless a writer changed the key during the call: then it may hold a part of
    /// what the key had before.
    #[inline]
    pub fn get_into(&self, key: &[u8], into: &mut [u8]) -> Result<Option<usize>, OpError> {
        self.by(&self.usage).get_into(key, into)
    }

    /// Whether the key is there.
    #[inline]
    pub fn contains(&self, key: &[u8]) -> Result<bool, OpError> {
        self.by(&self.usage).contains(key)
    }

    /// Deletes the key; whether it was there.
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn delete(&self, key: &[u8]) -> Result<bool, OpError> {
        self.by(&self.usage).delete(key)
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
        self.by(&self.usage).add_number(key, delta)
    }

    /// This map for one call, counted by `by`.
    #[inline(always)]
    pub fn by<C: Count>(&self, by: C) -> Caller<'_, C> {
        Caller { map: self, by }
    }
}

impl<C: Count> Caller<'_, C> {
    /// As `Map::put`.
    #[inline(always)]
    pub fn put(self, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        self.put_hashed(self.map.hash(key), key, value)
    }

    /// As `put`, of a key whose hash is known.
    #[inline(always)]
    pub(crate) fn put_hashed(
        self,
        hash: Hash,
        key: &[u8],
        value: &[u8],
    ) -> Result<Placed, OpError> {
        let map = self.map;
        let done = match map.put_once(hash, key, value) {
            Err(full @ OpError::NoSpace { .. }) => {
                map.with_more_room(hash, full, move || map.put_once(hash, key, value))
            }
            done => done,
        };
        map.count_done(self.by, Counter::Puts, done)
    }

    /// As `Map::get_to`.
    #[inline(always)]
    pub fn get_to(self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        self.get_hashed(self.map.hash(key), key, sink)
    }

    /// As `get_to`, of a key whose hash is known.
    #[inline(always)]
    pub(crate) fn get_hashed(
        self,
        hash: Hash,
        key: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, OpError> {
        let take = ToSink(&mut *sink);
        let found = self.map.seek(self.by, hash, key, take);
        let answer = found.and_then(Option::transpose);
        if !matches!(answer, Ok(Some(_))) {
            sink.discard();
        }
        answer
    }

    /// As `Map::get_into`.
    #[inline(always)]
    pub fn get_into(self, key: &[u8], into: &mut [u8]) -> Result<Option<usize>, OpError> {
        let take = WithKind(ToSlice(&mut *into));
        let hash = self.map.hash(key);
        let found = self.map.seek(self.by, hash, key, take)?;
        copied(found, into.len())
    }

    /// As `Map::contains`.
    #[inline(always)]
    pub fn contains(self, key: &[u8]) -> Result<bool, OpError> {
        let hash = self.map.hash(key);
        Ok(self.map.seek(self.by, hash, key, Nothing)?.is_some())
    }

    /// As `Map::delete`.
    #[inline(always)]
    pub fn delete(self, key: &[u8]) -> Result<bool, OpError> {
        let (map, hash) = (self.map, self.map.hash(key));
        let place = map.fetch_bucket(hash);
        let locked = map.lock_place(place)?;
        // As in `add_once`.
        let found = locate::key(place, hash, key)?;
        map.count_delete(self.by, locked.delete(hash, found))
    }

    /// As `Map::add_number`.
    #[inline(always)]
    pub fn add_number<N: Number>(self, key: &[u8], delta: N::Delta) -> Result<N, OpError> {
        let (map, hash) = (self.map, self.map.hash(key));
        let done = match map.add_once(hash, key, delta) {
            Err(full @ OpError::NoSpace { .. }) => {
                map.with_more_room(hash, full, move || map.add_once(hash, key, delta))
            }
            done => done,
        };
        map.count_done(self.by, Counter::Changes, done)
    }
}

impl Map {
    /// Puts with what the key's own shard can do to make room.
    #[inline(always)]
    fn put_once(&self, hash: Hash, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        if self.facts.fixed.is_some() {
            return self.put_fixed(hash, key, value);
        }
        self.put_by(hash, key, value, Shape::fitting_whole)
    }

    /// As `put_once`, in a map with fixed lengths. On its own, so that in all others the compiler
    /// knows that no record has half a header.
    #[inline(never)]
    fn put_fixed(&self, hash: Hash, key: &[u8], value: &[u8]) -> Result<Placed, OpError> {
        self.put_by(hash, key, value, Shape::fitting)
    }

    #[inline(always)]
    fn put_by(
        &self,
        hash: Hash,
        key: &[u8],
        value: &[u8],
        fitting: impl Fn(&FileHeader, usize, u64, Kind, bool) -> Result<Shape, OpError>,
    ) -> Result<Placed, OpError> {
        let age_ms = self.age_ms(Age::Default)?;
        let timed = age_ms.is_some() || self.facts.evicting;
        let shape = fitting(&self.facts, key.len(), value.len() as u64, Kind::Bytes, timed)?;
        let item = Item { hash, shape, deadline: Deadline::NEVER, key, value };
        let place = self.fetch_bucket(hash);
        arena::prefetch(place, item.shape);
        let locked = self.lock_place(place)?;
        locked.put(item.until(locked.deadline(age_ms)))
    }

    /// Adds with what the key's own shard can do to make room.
    #[inline(always)]
    fn add_once<N: Number>(&self, hash: Hash, key: &[u8], delta: N::Delta) -> Result<N, OpError> {
        let place = self.fetch_bucket(hash);
        let locked = self.lock_place(place)?;
        // Not of `locked`, which was stored just now, in smaller parts than it would be loaded in.
        let found = locate::key(place, hash, key)?;
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
