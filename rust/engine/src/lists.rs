//! Operations on lists: double-ended, under a key, of elements that are any bytes.
//!
//! A list begins with its first element and ends with its last one: there is no empty list. Its key
//! is one as any other, with an age and a UID; a put of another value, or a delete, ends the list
//! in one step, however long it is (`orphans`).

use crate::age::{Age, Deadline};
use crate::element;
use crate::kind::Kind;
use crate::list::End;
use crate::map::Map;
use crate::shape::Shape;
use crate::sink::Sink;
use crate::take::ListOf;
use shf_base::counts::Counter;
use shf_base::error::OpError;

impl Map {
    /// Adds an element behind the last one of the list under `key`, and returns how many it has
    /// then. A key that is not there becomes a list, which lives for the map's default age from
    /// then on; one that is there keeps its age.
    ///
    /// Errors: as `put`; `WrongType` when the key's value is no list. `TooLarge` also for a key
    /// that is too long for a list: it shares a block of 16 KiB with the list's own word.
    pub fn push(&self, key: &[u8], value: &[u8]) -> Result<u64, OpError> {
        self.push_at(End::Back, key, value)
    }

    /// As `push`, before the first one.
    pub fn unshift(&self, key: &[u8], value: &[u8]) -> Result<u64, OpError> {
        self.push_at(End::Front, key, value)
    }

    /// Copies the last element of the list under `key` to where `sink` says, takes it away, and
    /// returns its length; `None`: the key is not there. Of several callers one gets it. The key
    /// goes with the last element. The lock is held while the element is copied.
    ///
    /// Errors: as `delete`; `WrongType` when the key's value is no list; `OutOfMemory` when the
    /// sink does not grow: the element is still there then.
    pub fn pop(&self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        self.pop_at(End::Back, key, sink)
    }

    /// As `pop`, of the first one.
    pub fn shift(&self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        self.pop_at(End::Front, key, sink)
    }

    /// How many elements the list under `key` has; 0: the key is not there. A get: it takes no lock
    /// and looks at no element.
    ///
    /// Errors: as `get`; `WrongType` when the key's value is no list.
    pub fn length(&self, key: &[u8]) -> Result<u64, OpError> {
        match self.read(self.hash(key), key, ListOf)? {
            Some(list) => list.map(|(list, _)| list.count.into()),
            None => Ok(0),
        }
    }

    fn push_at(&self, end: End, key: &[u8], value: &[u8]) -> Result<u64, OpError> {
        let (hash, age_ms) = (self.hash(key), self.age_ms(Age::Default)?);
        let len = value.len() as u64;
        let shape = Shape::fitting(&self.facts, element::KEY_BYTES, len, Kind::Element, false)?;
        let deadline = age_ms.map(|_| Deadline::NEVER);
        let list = self.item(hash, Kind::List, key, &[0; 8], deadline)?;
        let done = self.with_room(hash, || {
            let locked = self.lock_place(self.fetch_bucket(hash))?;
            locked.push(list.until(locked.deadline(age_ms)), end, value, shape)
        });
        self.count_done(&self.usage, Counter::Lists, done)
    }

    fn pop_at(&self, end: End, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        let hash = self.hash(key);
        let locked = self.lock_place(self.fetch_bucket(hash));
        let popped = locked.and_then(|locked| locked.pop(hash, key, end, sink));
        if !matches!(popped, Ok(Some(_))) {
            sink.discard();
        }
        self.count_some(&self.usage, Counter::Lists, popped)
    }
}
