//! What a list may have after a crash: of what was pushed since the promise, each element or not;
//! what was there at the promise and was not taken away since, in any case; all of it in order.

use crate::reboot::desk::Answer;
use crate::reboot::script::Call;
use crate::reboot::state::Value;
use std::collections::{BTreeMap, VecDeque};

/// A list that begins, and goes on until it is empty, gives each element a place: those behind it
/// have higher ones.
#[derive(Clone, Debug, Default)]
pub struct ListTrack {
    /// What it has now, if all calls were made.
    now: VecDeque<Value>,
    /// The place of the first of these.
    first: i64,
    /// How often it was empty.
    life: u64,
    /// Whether a call before the last one may have been made or not, so that places are not sure.
    is_unsure: bool,
    /// Whether the last call may have been made or not.
    is_open: bool,
    /// What it had since the promise: life and place of each element, by its stamp.
    known: BTreeMap<u64, (u64, i64, Value)>,
    /// What was there at the promise and was not taken away since.
    kept: Vec<u64>,
}

impl ListTrack {
    /// A list with these elements, all of them promised.
    pub fn of(elements: impl IntoIterator<Item = Value>) -> ListTrack {
        let now = elements.into_iter().collect();
        let mut track = ListTrack { now, ..ListTrack::default() };
        track.promise();
        track
    }

    /// Makes a call.
    pub fn apply(&mut self, call: &Call, answer: Answer, promised: bool) {
        if answer != Answer::Refused {
            self.is_unsure |= self.is_open;
            self.is_open = answer == Answer::Unknown;
            self.make(call);
            if self.is_unsure && matches!(call, Call::Pop(_) | Call::Shift(_)) {
                // Which element that took depends on what is not known.
                self.kept.clear();
            }
        }
        let stamps = |list: &VecDeque<Value>, stamp: &u64| list.iter().any(|v| v.stamp == *stamp);
        self.kept.retain(|stamp| stamps(&self.now, stamp));
        if promised && !self.is_unsure && !self.is_open {
            self.promise();
        }
        self.note();
    }

    fn make(&mut self, call: &Call) {
        match call {
            Call::Push(_, value) => self.now.push_back(*value),
            Call::Unshift(_, value) => {
                self.now.push_front(*value);
                self.first -= 1;
            }
            Call::Pop(_) => _ = self.now.pop_back(),
            Call::Shift(_) => self.first += i64::from(self.now.pop_front().is_some()),
            Call::End(_) | Call::Clear => self.now.clear(),
            _ => return,
        }
        if self.now.is_empty() {
            (self.first, self.life) = (0, self.life + 1);
        }
    }

    fn promise(&mut self) {
        self.known.clear();
        self.kept = self.now.iter().map(|value| value.stamp).collect();
        self.note();
    }

    fn note(&mut self) {
        for (place, value) in (self.first..).zip(&self.now) {
            self.known.insert(value.stamp, (self.life, place, *value));
        }
    }

    /// Whether the list may have these elements; they are what they are, or what is wrong.
    pub fn settle(&self, found: &[Vec<u8>]) -> Result<Vec<Value>, String> {
        let mut elements = Vec::new();
        let mut before = None;
        for element in found {
            let stamp = element.first_chunk().map(|stamp| u64::from_le_bytes(*stamp));
            let Some(&(life, place, value)) = stamp.and_then(|stamp| self.known.get(&stamp)) else {
                return Err(format!("an element that was not there: {:?}", &element[..8]));
            };
            if *element != bytes(&value) {
                return Err(format!("a torn element: {value:?}"));
            }
            let in_order =
                before.is_none_or(|before: (u64, i64)| before.0 == life && before.1 < place);
            if !self.is_unsure && !in_order {
                return Err(format!("{value:?} of {life} at {place} is behind {before:?}"));
            }
            if elements.contains(&value) {
                return Err(format!("{value:?} is there twice"));
            }
            before = Some((life, place));
            elements.push(value);
        }
        let lost = |stamp: &&u64| !elements.iter().any(|value| value.stamp == **stamp);
        match self.kept.iter().find(lost) {
            Some(stamp) => Err(format!("{:?} is lost: {elements:?}", self.known.get(stamp))),
            None => Ok(elements),
        }
    }
}

/// The bytes of an element: its stamp, and those of the value.
pub fn bytes(value: &Value) -> Vec<u8> {
    [&value.stamp.to_le_bytes()[..], &value.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Done, Unknown};

    const fn value(stamp: u64) -> Value {
        Value { stamp, len: 3 }
    }

    /// Whether a list of 1, 2, 3 may have these elements after some calls.
    fn may_be(calls: &[(Call, Answer)], promised: usize, found: &[u64]) -> bool {
        let mut track = ListTrack::of([1, 2, 3].map(value));
        for (before, (call, answer)) in calls.iter().enumerate() {
            track.apply(call, *answer, before < promised);
        }
        let found: Vec<_> = found.iter().map(|stamp| bytes(&value(*stamp))).collect();
        track.settle(&found).is_ok()
    }

    #[test]
    fn what_was_promised_and_not_taken_is_there_and_the_rest_may_be() {
        let (push, unshift) = (Call::Push(0, value(4)), Call::Unshift(0, value(5)));
        let calls = [(push, Done), (unshift, Done), (Call::Pop(0), Done), (Call::Pop(0), Done)];
        for found in [&[5, 1, 2][..], &[1, 2], &[1, 2, 3], &[1, 2, 3, 4], &[5, 1, 2, 3]] {
            assert!(may_be(&calls, 0, found), "{found:?}");
        }
        for found in [&[1][..], &[2, 1], &[1, 2, 5], &[1, 1, 2], &[1, 2, 6], &[1, 2, 4, 3], &[]] {
            assert!(!may_be(&calls, 0, found), "{found:?}");
        }
        assert!(may_be(&calls, 4, &[5, 1, 2]) && !may_be(&calls, 4, &[1, 2]));
        assert!(!may_be(&calls, 4, &[5, 1, 2, 3]));
        let end = [(Call::End(0), Done), (push, Done)];
        assert!(may_be(&end, 0, &[4]) && may_be(&end, 0, &[1, 2, 3]) && may_be(&end, 0, &[]));
        assert!(!may_be(&end, 0, &[1, 2, 3, 4]) && !may_be(&end, 2, &[]));
        let open = [(Call::Shift(0), Unknown)];
        assert!(may_be(&open, 0, &[1, 2, 3]) && may_be(&open, 0, &[2, 3]));
        let unsure = [(push, Unknown), (Call::Pop(0), Done)];
        assert!(may_be(&unsure, 0, &[1, 2]) && may_be(&unsure, 0, &[1, 2, 3]));
    }
}
