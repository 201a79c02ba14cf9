//! Changes that are made only if something is the case, or that depend on what was there.
//!
//! All but `update` look and change under the lock of the key's shard, once. What is looked at
//! first is not needed for a put: an ordinary one follows under the same lock.

use crate::age::Age;
use crate::condition::Condition;
use crate::hash::Hash;
use crate::kind::Kind;
use crate::map::Map;
use crate::shape::Shape;
use crate::shard::Placed;
use crate::sink::{self, Sink};
use crate::take::{ToSink, WithKind, WithStamp};
use crate::token::Token;
use shf_base::atomic::spin_hint;
use shf_base::counts::Counter;
use shf_base::error::OpError;

/// How often `update` begins anew when others were faster, at most.
const UPDATE_ATTEMPTS: u32 = 4096;
/// The longest pause between two attempts, in spin hints.
const UPDATE_PAUSE_MAX: u32 = 1024;

/// What `Map::update` makes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has the new value.
    Put,
    /// It is deleted, if it was there.
    Delete,
    /// Nothing.
    Keep,
}

impl Map {
    /// Puts a value if `condition` holds; `None`: it did not, and nothing has changed. Two of its
    /// forms are what others call compare-and-swap.
    ///
    /// Errors: as `put`; none of them where the condition does not hold.
    pub fn put_if(
        &self,
        key: &[u8],
        value: &[u8],
        condition: Condition<'_>,
    ) -> Result<Option<Placed>, OpError> {
        self.put_kind_if(Kind::Bytes, key, value, condition, Some(Age::Default))
    }

    /// As `put_if`, but a key that is there keeps its age: with a token this is what `update` does,
    /// for those who call no function of Rust in between.
    pub fn put_if_keeping_age(
        &self,
        key: &[u8],
        value: &[u8],
        condition: Condition<'_>,
    ) -> Result<Option<Placed>, OpError> {
        self.put_kind_if(Kind::Bytes, key, value, condition, None)
    }

    /// As `put_if`. Without an age, a key that is there keeps its own.
    pub(crate) fn put_kind_if(
        &self,
        kind: Kind,
        key: &[u8],
        value: &[u8],
        condition: Condition<'_>,
        age: Option<Age>,
    ) -> Result<Option<Placed>, OpError> {
        let hash = self.hash(key);
        let done = self.with_room(hash, || {
            let locked = self.lock_place(self.fetch_bucket(hash))?;
            let record = locked.living(&locked.find(hash, key)?);
            if !condition.holds(record, self.facts.secret)? {
                return Ok(None);
            }
            let deadline = match (age, record) {
                (None, Some(record)) => record.deadline(),
                (age, _) => locked.deadline(self.age_ms(age.unwrap_or_default())?),
            };
            locked.put(self.item(hash, kind, key, value, deadline)?).map(Some)
        });
        self.count_some(&self.usage, Counter::Changes, done)
    }

    /// Deletes the key if it is there and `condition` holds; whether it did.
    pub fn delete_if(&self, key: &[u8], condition: Condition<'_>) -> Result<bool, OpError> {
        let hash = self.hash(key);
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        let found = locked.find(hash, key)?;
        if !condition.holds(locked.living(&found), self.facts.secret)? {
            return Ok(false);
        }
        self.count_delete(&self.usage, locked.delete(hash, found))
    }

    /// Copies the value to where `sink` says, deletes the key, and returns the value's length;
    /// `None`: the key is not there. Of several callers one gets it. The lock is held while the
    /// value is copied.
    ///
    /// Errors: `OutOfMemory` when the sink does not grow; the key is still there then.
    pub fn take(&self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        let hash = self.hash(key);
        let taken = self.lock_place(self.fetch_bucket(hash)).and_then(|locked| {
            let found = locked.find(hash, key)?;
            let Some(record) = locked.living(&found) else { return Ok(None) };
            record.shape.traits.kind().expect_value()?;
            let len = record.shape.value_len as usize;
            record.copy_value(sink::room_for(sink, len)?);
            locked.delete(hash, found)?;
            Ok(Some(len))
        });
        if !matches!(taken, Ok(Some(_))) {
            sink.discard();
        }
        self.count_some(&self.usage, Counter::Deletes, taken)
    }

    /// Appends to the value, which is bytes or text, or puts a key that is not there as bytes;
    /// returns the new length. A key that is there keeps its age. The new value is a copy, made
    /// under the lock, and needs private memory for it.
    ///
    /// Errors: as `put`; `WrongType`, also where what text becomes is no UTF-8; `OutOfMemory`.
    pub fn append(&self, key: &[u8], suffix: &[u8]) -> Result<u64, OpError> {
        let hash = self.hash(key);
        let done = self.with_room(hash, || self.append_hashed(hash, key, suffix));
        self.count_done(&self.usage, Counter::Changes, done)
    }

    fn append_hashed(&self, hash: Hash, key: &[u8], suffix: &[u8]) -> Result<u64, OpError> {
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        let (mut kind, mut value) = (Kind::Bytes, Vec::new());
        let record = locked.living(&locked.find(hash, key)?);
        let deadline = match record {
            Some(record) => record.deadline(),
            None => locked.deadline(self.age_ms(Age::Default)?),
        };
        if let Some(record) = record {
            kind = record.shape.traits.kind();
            if kind != Kind::Text || str::from_utf8(suffix).is_err() {
                kind.expect(Kind::Bytes)?;
            }
            let bytes = record.shape.value_len.saturating_add(suffix.len() as u64);
            Shape::fitting(&self.facts, key.len(), bytes, kind, record.shape.traits.timed())?;
            value = record.stored_value(suffix.len())?;
            value.extend_from_slice(suffix);
        }
        let value = if value.is_empty() { suffix } else { &value };
        locked.put(self.item(hash, kind, key, value, deadline)?)?;
        Ok(value.len() as u64)
    }

    /// As `get`, and the key's token: what `Condition::Token` compares. Hashes the value.
    pub fn get_with_token(&self, key: &[u8], into: &mut Vec<u8>) -> Result<Option<Token>, OpError> {
        into.clear();
        Ok(self.get_to_with_token(key, into)?.map(|(_, token, _)| token))
    }

    /// As `get_to`, with the key's token and its value's type.
    pub fn get_to_with_token(
        &self,
        key: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Option<(usize, Token, Kind)>, OpError> {
        let take = WithStamp(WithKind(ToSink(&mut *sink)));
        let failed = match self.read(self.hash(key), key, take) {
            Ok(Some(((Ok(len), kind), stamp))) => {
                let value = sink.room(len).unwrap_or_default();
                let token = Token::new(stamp, value, self.facts.secret);
                return Ok(Some((len, token, kind)));
            }
            Ok(None) => Ok(None),
            Ok(Some(((Err(error), _), _))) | Err(error) => Err(error),
        };
        sink.discard();
        failed
    }

    /// Changes the key by what `change` makes of its value: it gets the present one, if there is
    /// one, and an empty vector for the new one, and says what to do. It runs on private copies and
    /// outside of any lock, so it may take its time, use the map, or panic. What it says is done if
    /// the key has not changed meanwhile; else it runs again. Returns what was done at last. A key
    /// that is there keeps its age.
    ///
    /// A value of another type than bytes is `WrongType`. Errors: as `put`; `Busy` when others were
    /// faster for thousands of times.
    pub fn update(
        &self,
        key: &[u8],
        mut change: impl FnMut(Option<&[u8]>, &mut Vec<u8>) -> Change,
    ) -> Result<Change, OpError> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for attempt in 0..UPDATE_ATTEMPTS {
            old.clear();
            let found = self.get_to_with_token(key, &mut old)?;
            let token = match found {
                Some((_, token, kind)) => {
                    kind.expect(Kind::Bytes)?;
                    token
                }
                None => Token::ABSENT,
            };
            new.clear();
            let change = change(found.map(|_| &old[..]), &mut new);
            let condition = Condition::Token(token);
            let done = match change {
                Change::Put => self.put_if_keeping_age(key, &new, condition)?.is_some(),
                Change::Delete => found.is_none() || self.delete_if(key, condition)?,
                Change::Keep => true,
            };
            if done {
                return Ok(change);
            }
            for _ in 0..attempt.min(UPDATE_PAUSE_MAX) {
                spin_hint();
            }
        }
        Err(OpError::Busy)
    }
}
