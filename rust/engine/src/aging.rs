//! Operations on the age of keys. An age is measured with the wall clock (`shf_base::clock`), which
//! is the same in all containers and goes on over a reboot. A clock that is set forward has keys
//! expire at once that would have expired by then, one that is set back has them live longer.
//!
//! A key that has expired is not there, for any operation; `Map::size` counts it until its memory
//! is reaped (`expiry`). A get writes nothing, so it reaps nothing either.

use crate::age::{self, Age, Deadline};
use crate::condition::Condition;
use crate::hash::Hash;
use crate::item::Item;
use crate::kind::Kind;
use crate::map::Map;
use crate::orphans;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::shape::Shape;
use crate::shard::{Locked, Placed};
use crate::sink::{self, Sink};
use crate::take::DeadlineOf;
use crate::typed::Value;
use crate::walk;
use shf_base::clock;
use shf_base::counts::Counter;
use shf_base::default_age;
use shf_base::error::OpError;
use std::time::Duration;

impl Map {
    /// As `put_value`, of a key that lives for an age.
    ///
    /// Errors: as `put`; `InvalidAge`; `NoAges` in a map with fixed lengths.
    pub fn put_for(&self, key: &[u8], value: Value<'_>, age: Age) -> Result<Placed, OpError> {
        value.with_bytes(|bytes| {
            let (hash, age_ms) = (self.hash(key), self.age_ms(age)?);
            let deadline = age_ms.map(|_| Deadline::NEVER);
            let item = self.item(hash, value.kind(), key, bytes, deadline)?;
            let done = self.with_room(hash, || {
                let locked = self.lock_place(self.fetch_bucket(hash))?;
                locked.put(item.until(locked.deadline(age_ms)))
            });
            self.count_done(&self.usage, Counter::Puts, done)
        })
    }

    /// As `put_value_if`, of a key that lives for an age.
    ///
    /// Errors: as `put_for`.
    pub fn put_if_for(
        &self,
        key: &[u8],
        value: Value<'_>,
        condition: Condition<'_>,
        age: Age,
    ) -> Result<Option<Placed>, OpError> {
        value.with_bytes(|bytes| self.put_kind_if(value.kind(), key, bytes, condition, Some(age)))
    }

    /// Has the key live for an age from now on; whether it is there. Its value and its UID stay.
    /// One store where the key has had an age before; else the record is written anew, which needs
    /// room in the map and private memory for the value, and gives it another token.
    ///
    /// A key whose deadline comes while this call goes on lives on, though a get may have missed it
    /// meanwhile. So it is with puts that replace its value.
    ///
    /// Errors: as `put_for`, and `OutOfMemory`.
    pub fn touch(&self, key: &[u8], age: Age) -> Result<bool, OpError> {
        Ok(self.touched(key, age, |_| Ok(()))?.is_some())
    }

    /// As `get_to`, and has the key live for an age from now on, as `touch` does. Unlike a get it
    /// takes the lock, which is held while the value is copied.
    ///
    /// Errors: as `touch`; where the sink does not grow, the age is as it was.
    pub fn get_and_touch(
        &self,
        key: &[u8],
        age: Age,
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, OpError> {
        let copied = self.touched(key, age, |record| {
            record.shape.traits.kind().expect_value()?;
            let len = record.shape.value_len as usize;
            record.copy_value(sink::room_for(sink, len)?);
            Ok(len)
        });
        if !matches!(copied, Ok(Some(_))) {
            sink.discard();
        }
        copied
    }

    /// How long the key has yet to live; the inner `None`: for ever; the outer one: it is not
    /// there.
    pub fn time_left(&self, key: &[u8]) -> Result<Option<Option<Duration>>, OpError> {
        let found = self.read(self.hash(key), key, DeadlineOf)?;
        // It was there when it was looked up, with some time left.
        let left = |deadline: Deadline| deadline.left(clock::wall_ms());
        Ok(found.map(|deadline| Some(left(deadline?)?.max(Duration::from_millis(1)))))
    }

    /// How long keys live that nobody gives an age; `None`: for ever.
    pub fn default_age(&self) -> Option<Duration> {
        default_age::load(self.storage.region()).map(Duration::from_millis)
    }

    /// Sets it, for all processes. Keys that are there keep the age that they were given. In a
    /// durable map it survives a crash of the machine from the next `sync` on.
    ///
    /// Errors: `InvalidAge`, `ReadOnly`; `NoAges` in a map with fixed lengths.
    pub fn set_default_age(&self, age: Option<Duration>) -> Result<(), OpError> {
        self.writer()?;
        let age_ms = age.map(age::milliseconds);
        age_ms.map(age::checked).transpose()?;
        if self.facts.fixed.is_some() && age.is_some() {
            return Err(OpError::NoAges);
        }
        default_age::store(self.storage.region(), age_ms);
        Ok(())
    }

    /// Deletes all keys that have expired, a bucket at a time, and returns how many; then all that
    /// lists have left behind which are gone. They go without this as well, with the puts and
    /// deletes that follow in the same shards. In a durable map their memory may be used again
    /// after the next `sync`, like that of other deleted keys.
    pub fn reap(&self) -> Result<u64, OpError> {
        self.writer()?;
        let mut reaped = 0;
        for place in self.places().filter(|place| place.load(Field::Timed) != 0) {
            reaped +=
                walk::buckets(place, &|| self.lock(place.shard()), |locked, table, bucket| {
                    locked.clear_bucket(table, bucket, |record| locked.has_expired(record))
                })?;
            self.reap_orphans(place)?;
        }
        Ok(reaped)
    }

    /// Deletes all elements of a shard whose list is gone, a bucket at a time.
    pub(crate) fn reap_orphans(&self, place: Place<'_>) -> Result<(), OpError> {
        if orphans::count(place) != 0 {
            let place = self.place(place.shard());
            walk::buckets(place, &|| self.lock(place.shard()), |locked, table, bucket| {
                locked.clear_bucket(table, bucket, |record| locked.is_orphan(record))
            })?;
        }
        Ok(())
    }

    /// An age in milliseconds; `None`: for ever.
    #[inline(always)]
    pub(crate) fn age_ms(&self, age: Age) -> Result<Option<u64>, OpError> {
        match age {
            Age::Default => Ok(default_age::load(self.storage.region())),
            Age::Never => Ok(None),
            Age::Of(duration) => age::checked(age::milliseconds(duration)).map(Some),
        }
    }

    /// An item that a record is made of.
    #[inline(always)]
    pub(crate) fn item<'a>(
        &self,
        hash: Hash,
        kind: Kind,
        key: &'a [u8],
        value: &'a [u8],
        deadline: Option<Deadline>,
    ) -> Result<Item<'a>, OpError> {
        let (key_len, value_len) = (key.len(), value.len() as u64);
        let timed = deadline.is_some() || self.facts.evicting;
        let shape = Shape::fitting(&self.facts, key_len, value_len, kind, timed)?;
        Ok(Item { hash, shape, deadline: deadline.unwrap_or(Deadline::NEVER), key, value })
    }

    /// Gives an age to a key that is there, after `first` did what it does with its record.
    fn touched<A>(
        &self,
        key: &[u8],
        age: Age,
        first: impl FnOnce(&Record<'_>) -> Result<A, OpError>,
    ) -> Result<Option<A>, OpError> {
        let (hash, age_ms) = (self.hash(key), self.age_ms(age)?);
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        let found = locked.find(hash, key)?;
        locked.note_use(&found);
        let Some(record) = locked.living(&found) else { return Ok(None) };
        let answer = first(&record)?;
        self.set_deadline(&locked, (hash, key), record, locked.deadline(age_ms))?;
        self.count_write(&self.usage, Counter::Changes);
        Ok(Some(answer))
    }

    /// Gives a key, whose record this is, a deadline or none.
    fn set_deadline<'m>(
        &'m self,
        locked: &Locked<'m>,
        (hash, key): (Hash, &[u8]),
        record: Record<'m>,
        deadline: Option<Deadline>,
    ) -> Result<(), OpError> {
        if record.shape.traits.timed() {
            locked.announce(|| hash);
            record.set_deadline(deadline.unwrap_or(Deadline::NEVER));
        } else if deadline.is_some() {
            let value = record.stored_value(0)?;
            let item = self.item(hash, record.shape.traits.kind(), key, &value, deadline)?;
            match record.shape.traits.kind() {
                Kind::List => locked.put_list_again(item)?,
                _ => drop(locked.put(item)?),
            }
        }
        Ok(())
    }

    /// Has a key, if it is there, expire at a moment, or never.
    pub(crate) fn expire_at(&self, key: &[u8], deadline: Option<Deadline>) -> Result<(), OpError> {
        let hash = self.hash(key);
        let locked = self.lock_place(self.fetch_bucket(hash))?;
        match locked.living(&locked.find(hash, key)?) {
            Some(record) => self.set_deadline(&locked, (hash, key), record, deadline),
            None => Ok(()),
        }
    }
}
