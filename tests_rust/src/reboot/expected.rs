//! What each key may have after a crash.

use crate::reboot::desk::{Answer, Desks, MEMBERS};
use crate::reboot::list::ListTrack;
use crate::reboot::script::{Call, Script};
use crate::reboot::state::State;
use std::collections::BTreeMap;

/// Of each key, the states that it may have; a key that is not named is not there.
#[derive(Clone, Debug, Default)]
pub struct Expected(pub BTreeMap<Vec<u8>, Possible>);

/// The states that a key may have, and how it came to that.
#[derive(Clone, Debug, Default)]
pub struct Possible {
    /// At least one, unless it is a list.
    pub states: Vec<State>,
    /// Of a list.
    pub list: Option<ListTrack>,
    /// What it had at first, then what was called about it; for messages.
    pub story: Vec<String>,
}

/// How far all children had come at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Calls begun.
    pub begun: [usize; MEMBERS],
    /// Calls answered.
    pub acknowledged: [usize; MEMBERS],
    /// Calls that survive.
    pub promised: [usize; MEMBERS],
}

impl Cut {
    /// Now.
    pub fn now(desks: &Desks) -> Cut {
        // In this order, so that what is promised was acknowledged, and that was begun.
        let promised = desks.promised();
        let acknowledged = desks.acknowledged();
        Cut { begun: desks.begun(), acknowledged, promised }
    }
}

/// The states of a key now, and those that it had since the promise.
struct Track {
    now: Vec<State>,
    since: Possible,
}

impl Track {
    fn new(states: &[State]) -> Track {
        let (story, list) = (vec![format!("{states:?}")], None);
        let since = Possible { states: states.to_vec(), list, story };
        Track { now: states.to_vec(), since }
    }

    fn apply(&mut self, call: &Call, before: usize, answer: Answer, promised: bool) {
        let after = self.now.iter().filter_map(|state| call.apply(*state));
        self.now = match answer {
            Answer::Done => distinct(after),
            Answer::Refused => self.now.clone(),
            Answer::Unknown => distinct(self.now.iter().copied().chain(after)),
        };
        self.since.states = match promised {
            true => self.now.clone(),
            false => distinct(self.since.states.iter().chain(&self.now).copied()),
        };
        let survives = if promised { ", promised" } else { "" };
        self.since.story.push(format!("{before}: {call:?}: {answer:?}{survives}"));
    }
}

fn distinct(states: impl Iterator<Item = State>) -> Vec<State> {
    let mut kept = Vec::new();
    for state in states {
        if !kept.contains(&state) {
            kept.push(state);
        }
    }
    kept
}

impl Expected {
    /// What may be found after a crash at a cut of these scripts, which began with `self` in the
    /// map, all of it promised.
    pub fn after(&self, scripts: &[Script], cut: &Cut, desks: &Desks) -> Expected {
        let tracks =
            self.0.iter().map(|(key, possible)| (key.clone(), Track::new(&possible.states)));
        let mut tracks: BTreeMap<_, _> = tracks.collect();
        let mut lists = BTreeMap::new();
        for (key, possible) in &self.0 {
            if let Some(list) = &possible.list {
                tracks.remove(key);
                lists.insert(key.clone(), (list.clone(), vec![format!("{list:?}")]));
            }
        }
        for script in scripts {
            let member = script.member;
            let desk = desks.of(member);
            for (before, call) in script.calls[..cut.begun[member]].iter().enumerate() {
                let known = before < cut.acknowledged[member];
                let answer = if known { desk.answer(before) } else { Answer::Unknown };
                let promised = before < cut.promised[member];
                let of_list = call.list().map(|list| script.list_key(list));
                let touched: Vec<_> = match (of_list, call) {
                    (Some(key), _) => vec![lists.entry(key).or_default()],
                    (None, Call::Clear) => lists.values_mut().collect(),
                    _ => Vec::new(),
                };
                for (list, story) in touched {
                    list.apply(call, answer, promised);
                    let survives = if promised { ", promised" } else { "" };
                    story.push(format!("{before}: {call:?}: {answer:?}{survives}"));
                }
                match (call, call.key()) {
                    (_, Some(key)) => tracks
                        .entry(script.key(key))
                        .or_insert_with(|| Track::new(&[State::Absent]))
                        .apply(call, before, answer, promised),
                    (Call::Clear, None) => {
                        assert_eq!(scripts.len(), 1, "the order of others' calls is not known");
                        let all = tracks.values_mut();
                        all.for_each(|track| track.apply(call, before, answer, promised));
                    }
                    (_, None) => {}
                }
            }
        }
        let lists = lists.into_iter().map(|(key, (list, story))| {
            (key, Possible { states: Vec::new(), list: Some(list), story })
        });
        Expected(tracks.into_iter().map(|(key, track)| (key, track.since)).chain(lists).collect())
    }

    /// The states that a key may have.
    pub fn states(&self, key: &[u8]) -> &[State] {
        self.0.get(key).map_or(&[State::Absent], |possible| &possible.states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reboot::state::Value;
    use State::{Absent, Bytes, Integer};

    const A: Value = Value { stamp: 1, len: 1 };
    const B: Value = Value { stamp: 2, len: 2 };

    /// What is expected of key 1 after these calls; the last one is under way.
    fn expected(calls: &[(Call, Answer)], promised: usize) -> Vec<State> {
        let desks = Desks::new();
        let pause = std::time::Duration::ZERO;
        let (member, of) = (0, calls);
        let script = Script { member, calls: of.iter().map(|call| call.0).collect(), pause };
        for (before, (_, answer)) in calls.iter().enumerate() {
            desks.of(0).begin(before + 1);
            if before + 1 < calls.len() {
                desks.of(0).acknowledge(before + 1, *answer);
            }
        }
        desks.of(0).promise([promised, 0, 0, 0]);
        let key = script.key(1);
        let expected = Expected::default().after(&[script], &Cut::now(&desks), &desks);
        expected.states(&key).to_vec()
    }

    #[test]
    fn a_key_has_what_was_promised_or_what_came_later() {
        use Answer::{Done, Refused, Unknown};
        let put = |value| (Call::Put(1, value), Done);
        let (add, delete) = ((Call::Add(1, 5), Done), (Call::Delete(1), Done));
        let other = (Call::Delete(9), Done);
        assert_eq!(expected(&[put(A), put(B), other], 2), [Bytes(B)]);
        assert_eq!(expected(&[put(A), put(B), other], 1), [Bytes(A), Bytes(B)]);
        assert_eq!(expected(&[put(A), other], 0), [Absent, Bytes(A)]);
        assert_eq!(expected(&[put(A), delete, other], 2), [Absent]);
        assert_eq!(expected(&[put(A), put(B)], 1), [Bytes(A), Bytes(B)]);
        assert_eq!(expected(&[put(A), (Call::Put(1, B), Refused), other], 1), [Bytes(A)]);
        assert_eq!(expected(&[add, add, add], 1), [Integer(5), Integer(10), Integer(15)]);
        assert_eq!(expected(&[put(A), (Call::Clear, Done), other], 1), [Bytes(A), Absent]);
        let dead = (Call::Delete(1), Unknown);
        assert_eq!(expected(&[put(A), dead, other], 2), [Bytes(A), Absent]);
        assert_eq!(expected(&[put(A), dead, add, other], 3), [Integer(5)]);
    }
}
