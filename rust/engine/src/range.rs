//! Ranges: some elements of a list, as they were at one moment, without a lock.
//!
//! The moment is that of the load of the list's word, which says which indices there are. Then each
//! element is looked up as a get would. All of them were there at that moment, and an element does
//! not change; so those that are found are the right ones, if none has come since under an index
//! that another one had then. Each push is a birth in the shard, and an element's stamp tells its
//! number (`stamp`): one that came since has a number from the one on that was next before the word
//! was loaded. So pushes and pops elsewhere in the list do not make a range start anew.
//!
//! Births come around, so the stamp of an old element may be one of those. Then the list is looked
//! at once more: where its word and its stamp are the same, and there were few births since,
//! nothing has changed. (The stamp changes with each push and pop, and comes around after 256 of
//! them; if the count is the same again, half of them were pushes. It is stored after the word and
//! read before it, so the word is at least as new.) An element that is not found was taken away,
//! and the range is read anew; where nothing has changed, it is damage.

use crate::element::ElementKey;
use crate::hash::Hash;
use crate::list::List;
use crate::map::Map;
use crate::place::{Field, Place, unpair};
use crate::read::{self, ATTEMPTS, Seen};
use crate::record::Record;
use crate::shard::Locked;
use crate::stamp::{GENERATION_BITS, Stamp};
use crate::take::ListOf;
use shf_base::counts::{Count, Counter, Uncounted};
use shf_base::error::OpError;
use std::ops::Range;

/// Elements that one range looks at, for each that it is to have, before it gives up racing; and no
/// fewer than `ATTEMPTS`.
const LOOKS_PER_ELEMENT: u64 = 16;
/// Births in a shard without which no list in it has come around to the same word and stamp.
const BIRTHS_TO_COME_AROUND: u32 = 128;

/// Elements of a list, one behind the other in private memory, which is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Elements {
    /// None yet.
    pub fn new() -> Elements {
        Elements::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number `at`, from 0 on, if there are so many.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// The bytes of all of them, without anything in between.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Has none any more.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Makes room for one more of a length, at the end.
    fn room(&mut self, len: usize) -> Result<&mut [u8], OpError> {
        let (start, bytes) = (self.bytes.len(), len as u64);
        let reserved = self.bytes.try_reserve(len).and(self.ends.try_reserve(1));
        reserved.map_err(|_| OpError::OutOfMemory { bytes })?;
        self.bytes.resize(start + len, 0);
        Ok(&mut self.bytes[start..])
    }

    /// What lies in that room is one, or nothing.
    fn keep(&mut self, whole: bool) {
        match whole {
            true => self.ends.push(self.bytes.len()),
            false => self.bytes.truncate(self.ends.last().copied().unwrap_or(0)),
        }
    }
}

/// What was read of a range.
enum Reading {
    /// All of it; the stamps say whether it was there at one moment.
    All(Stamps),
    /// An element was not there, or more than there can be.
    Some,
}

/// What became of the reading of one element.
enum Found {
    Whole(Stamp),
    TooMany,
    NoMemory(OpError),
}

impl Map {
    /// Replaces the contents of `into` with the elements of the list under `key` from position
    /// `start` on and before `end`. Positions count from 0 on, and negative ones from the end: `-2`
    /// and `i64::MAX` are the last two. What is beyond an end is passed over; nothing at all: the
    /// key is not there, or there is nothing between the two positions. All are those of one moment
    /// of the call. Unless the answer is `Ok`, `into` is empty.
    ///
    /// A get: it takes no lock. Where writers keep taking away what it reads, once more under the
    /// lock, if that is free at that moment. Needs private memory for all of it.
    ///
    /// Errors: as `get`; `WrongType` when the key's value is no list; `OutOfMemory`.
    pub fn range(
        &self,
        key: &[u8],
        start: i64,
        end: i64,
        into: &mut Elements,
    ) -> Result<(), OpError> {
        let read = self.range_of(self.hash(key), key, (start, end), into);
        if read.is_err() {
            into.clear();
        }
        read
    }

    fn range_of(
        &self,
        hash: Hash,
        key: &[u8],
        positions: (i64, i64),
        into: &mut Elements,
    ) -> Result<(), OpError> {
        let place = self.place(hash.shard_bits());
        let read_list = || self.seek(Uncounted, hash, key, ListOf)?.transpose();
        let (mut looks, mut locked): (u64, Option<Locked<'_>>) = (0, None);
        loop {
            let births_before = births(place);
            into.clear();
            let Some((list, stamp)) = read_list()? else {
                self.usage.count(Counter::Misses);
                return Ok(());
            };
            let places = places(list, positions);
            let wanted = u64::from(places.end - places.start);
            let uid = place.uid(hash, stamp).bits();
            let read = self.read_elements(place, births_before, (uid, list), places, into);
            let births_since = births(place).wrapping_sub(births_before);
            let is_unchanged = || -> Result<bool, OpError> {
                Ok(births_since < BIRTHS_TO_COME_AROUND && read_list()? == Some((list, stamp)))
            };
            match read {
                Ok(Reading::All(stamps)) => {
                    if stamps.are_before(births_since) || is_unchanged()? {
                        self.usage.count(Counter::Hits);
                        return Ok(());
                    }
                }
                Ok(Reading::Some) => {
                    if is_unchanged()? {
                        let at = place.field_offset(Field::Elements);
                        return Err(place.corrupt(at, "list that lacks an element"));
                    }
                }
                Err(OpError::Busy) if locked.is_none() => looks = u64::MAX,
                Err(error) => return Err(error),
            }
            looks = looks.saturating_add(into.len() as u64 + 1);
            if looks > (wanted * LOOKS_PER_ELEMENT).max(ATTEMPTS.into()) {
                if locked.is_some() {
                    return Err(OpError::Busy);
                }
                (locked, looks) = (Some(self.try_lock(place)?), 0);
            }
        }
    }

    /// Copies the elements of a list that lie at some places in it.
    fn read_elements(
        &self,
        place: Place<'_>,
        births_before: u32,
        (uid, list): (u64, List),
        places: Range<u32>,
        into: &mut Elements,
    ) -> Result<Reading, OpError> {
        let mut stamps = Stamps::of_none(births_before);
        // Records do not overlap, and a forged list must not lead to one again and again.
        let mut bytes_left = place.records_bytes_max();
        for at in places {
            let key = ElementKey { list: uid, index: list.index_of(at) };
            match self.read_element(place, key, &mut bytes_left, into)? {
                Some(Found::Whole(stamp)) => stamps.add(stamp),
                Some(Found::NoMemory(error)) => return Err(error),
                Some(Found::TooMany) | None => return Ok(Reading::Some),
            }
        }
        Ok(Reading::All(stamps))
    }

    /// Copies an element; `None`: it is not there.
    fn read_element(
        &self,
        place: Place<'_>,
        key: ElementKey,
        bytes_left: &mut u64,
        into: &mut Elements,
    ) -> Result<Option<Found>, OpError> {
        let mut found = None;
        let mut take = |seen: &Seen<'_, '_>, record: &Record<'_>| {
            found = take(seen, record, bytes_left, into);
            found.is_some()
        };
        let is_it = |record: &Record<'_>| record.is_element_of(key);
        read::get(&place, key.hash(place.secret()), &is_it, &self.retries, &mut take)?;
        Ok(found)
    }
}

/// Copies an element that was found; `None`: a writer interfered.
fn take(
    seen: &Seen<'_, '_>,
    record: &Record<'_>,
    bytes_left: &mut u64,
    into: &mut Elements,
) -> Option<Found> {
    let (len, bytes) = (record.shape.value_len as usize, record.shape.bytes());
    // A length is acted upon only once it is known to be the record's.
    if !seen.unchanged() {
        return None;
    }
    if bytes > *bytes_left {
        return Some(Found::TooMany);
    }
    let room = match into.room(len) {
        Ok(room) => room,
        Err(error) => return Some(Found::NoMemory(error)),
    };
    let copying = seen.begin_copy(record);
    if copying.is_some() {
        record.copy_value(room);
    }
    let whole = copying.is_some_and(|copying| copying.is_whole());
    into.keep(whole);
    if !whole {
        return None;
    }
    *bytes_left -= bytes;
    Some(Found::Whole(record.stamp))
}

/// When elements came, by their stamps.
struct Stamps {
    births_before: u32,
    /// The least that any of them is ahead of the birth that was next at some moment.
    ahead_min: u32,
}

impl Stamps {
    fn of_none(births_before: u32) -> Stamps {
        Stamps { births_before, ahead_min: u32::MAX }
    }

    fn add(&mut self, stamp: Stamp) {
        let ahead = stamp.births_since(Stamp::born(self.births_before));
        self.ahead_min = self.ahead_min.min(ahead);
    }

    /// Whether all of them were there at that moment, by so many births since. Of what has come
    /// since, the births are counted by now, but for one, whose writer is about to do it.
    fn are_before(&self, births_since: u32) -> bool {
        births_since < 1 << GENERATION_BITS && self.ahead_min > births_since
    }
}

/// Births in a shard up to now.
fn births(place: Place<'_>) -> u32 {
    unpair(place.load(Field::Keys)).1
}

/// The places in a list that positions mean.
fn places(list: List, (start, end): (i64, i64)) -> Range<u32> {
    let count = i64::from(list.count);
    let place = |position: i64| {
        let position = if position < 0 { position.saturating_add(count) } else { position };
        position.clamp(0, count) as u32
    };
    let (start, end) = (place(start), place(end));
    start..end.max(start)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_from_either_end_and_end_with_the_list() {
        let of = |count, start, end| places(List { first: u32::MAX, count }, (start, end));
        assert_eq!(of(5, 1, 3), 1..3);
        assert_eq!(of(5, -2, i64::MAX), 3..5);
        assert_eq!(of(5, -9, -1), 0..4);
        let ends = [(3, 1), (5, 9), (-1, -2), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)];
        assert!(ends.into_iter().all(|(start, end)| of(5, start, end).is_empty()));
        assert_eq!(of(u32::MAX, i64::MIN, i64::MAX), 0..u32::MAX);
    }

    #[test]
    fn an_element_that_may_have_come_since_is_told_by_its_stamp() {
        let before = |births: u32, stamps: &[u32], since| {
            let mut noted = Stamps::of_none(births);
            stamps.iter().for_each(|&birth| noted.add(Stamp::born(birth)));
            noted.are_before(since)
        };
        assert!(before(100, &[], 1000) && before(100, &[99, 5], 50));
        // The one whose birth is not stored yet.
        assert!(!before(100, &[99, 100], 0) && !before(100, &[99, 103], 3));
        assert!(before(100, &[103], 2));
        assert!(!before(100, &[99], (1 << GENERATION_BITS) - 1));
        assert!(before(0x10_0005, &[0x10_0004, 0x10_0006], 0));
    }
}
