//! What becomes of the record that a get finds, and how the answer is made.

use crate::age::Deadline;
use crate::kind::Kind;
use crate::list::List;
use crate::read::Seen;
use crate::record::Record;
use crate::sink::Sink;
use crate::stamp::Stamp;
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::fence;
use shf_base::error::OpError;

/// What becomes of the record that a get finds.
pub trait Take {
    /// Made from the record.
    type Answer;

    /// Makes the answer; `None` when what was read did not validate.
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer>;
}

/// The value, to a sink: the length, or that there was no memory, or that it is a list.
pub struct ToSink<'s, S>(pub &'s mut S);

impl<S: Sink> Take for ToSink<'_, S> {
    type Answer = Result<usize, OpError>;

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        if let Err(error) = record.shape.traits.kind().expect_value() {
            return seen.unchanged().then_some(Err(error));
        }
        copy_value(self.0, seen, record)
    }
}

/// The key, to a sink: the length, or that there was no memory.
pub struct KeyToSink<'s, S>(pub &'s mut S);

impl<S: Sink> Take for KeyToSink<'_, S> {
    type Answer = Result<usize, OpError>;

    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let copy = |room: &mut [u8]| record.copy_key(room);
        to_sink(self.0, seen, record, record.shape.key_len as usize, copy)
    }
}

/// Key and value, to two sinks: their lengths, or that there was no memory. The value of a list is
/// its length.
pub struct PairToSinks<'s, K, V>(pub &'s mut K, pub &'s mut V);

impl<K: Sink, V: Sink> Take for PairToSinks<'_, K, V> {
    type Answer = Result<(usize, usize), OpError>;

    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let key = match KeyToSink(&mut *self.0).take(seen, record)? {
            Ok(key) => key,
            Err(error) => return Some(Err(error)),
        };
        Some(copy_value(&mut *self.1, seen, record)?.map(|value| (key, value)))
    }
}

#[inline(always)]
fn copy_value(
    sink: &mut impl Sink,
    seen: &Seen<'_, '_>,
    record: &Record<'_>,
) -> Option<Result<usize, OpError>> {
    let copy = |room: &mut [u8]| record.copy_value(room);
    to_sink(sink, seen, record, record.shape.value_len as usize, copy)
}

#[inline(always)]
fn to_sink(
    sink: &mut impl Sink,
    seen: &Seen<'_, '_>,
    record: &Record<'_>,
    len: usize,
    copy: impl FnOnce(&mut [u8]),
) -> Option<Result<usize, OpError>> {
    let room = match sink.room(len) {
        Some(room) => room,
        // A length is acted upon only once it is known to be the record's.
        None if !seen.unchanged() => return None,
        None => match sink.grow(len) {
            Some(room) => room,
            None => return Some(Err(OpError::OutOfMemory { bytes: len as u64 })),
        },
    };
    let copying = seen.begin_copy(record)?;
    copy(room);
    copying.is_whole().then_some(Ok(len))
}

/// The value, to the front of a slice: the length, as an error where there is less room. Of a list,
/// which has no value, nothing.
pub struct ToSlice<'s>(pub &'s mut [u8]);

impl Take for ToSlice<'_> {
    type Answer = Result<u64, u64>;

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let len = record.shape.value_len;
        if len > self.0.len() as u64 {
            return seen.unchanged().then_some(Err(len));
        }
        if record.shape.traits.kind() == Kind::List {
            return seen.unchanged().then_some(Ok(len));
        }
        let copying = seen.begin_copy(record)?;
        record.copy_value_to_front(self.0);
        copying.is_whole().then_some(Ok(len))
    }
}

/// Only whether the key is there.
pub struct Nothing;

impl Take for Nothing {
    type Answer = ();

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, _: &Record<'_>) -> Option<()> {
        seen.unchanged().then_some(())
    }
}

/// The list that the value is, with the stamp that its life is told by; or its type.
pub struct ListOf;

impl Take for ListOf {
    type Answer = Result<(List, Stamp), OpError>;

    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        // In this order: what the list is said to be is at least as new as the stamp.
        let stamp = record.stamp_now();
        let list = record.shape.traits.kind().expect(Kind::List).map(|()| (record.list(), stamp));
        seen.unchanged().then_some(list)
    }
}

/// When the key expires, if it has a deadline.
pub struct DeadlineOf;

impl Take for DeadlineOf {
    type Answer = Option<Deadline>;

    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let deadline = record.deadline();
        seen.unchanged().then_some(deadline)
    }
}

/// What is wanted of the record, and whether the key was known to be in use before.
pub struct Noticing<'n, T>(pub T, pub &'n mut bool);

impl<T: Take> Take for Noticing<'_, T> {
    type Answer = T::Answer;

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let answer = self.0.take(seen, record);
        *self.1 = answer.is_none() || seen.is_accessed();
        answer
    }
}

/// Which type the value has, and what else is wanted of it.
pub struct WithKind<T>(pub T);

impl<T: Take> Take for WithKind<T> {
    type Answer = (T::Answer, Kind);

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        self.0.take(seen, record).map(|answer| (answer, record.shape.traits.kind()))
    }
}

/// The stamp that the record had all the time, and what else is wanted of it.
pub struct WithStamp<T>(pub T);

impl<T: Take> Take for WithStamp<T> {
    type Answer = (T::Answer, Stamp);

    #[inline(always)]
    fn take(&mut self, seen: &Seen<'_, '_>, record: &Record<'_>) -> Option<Self::Answer> {
        let stamp = record.stamp_now();
        let answer = self.0.take(seen, record)?;
        fence(Acquire);
        (record.stamp_now() == stamp).then_some((answer, stamp))
    }
}
