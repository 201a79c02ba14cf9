//! Histories of one key, and whether they are linearizable: of values, or of lists.
//!
//! A history is what each process did, one call after the other, with the time before and after. It
//! is linearizable when every call can be given a moment between its two times such that, made in
//! the order of these moments, each call answers what it did answer. (Herlihy and Wing, 1990; the
//! search is that of Wing and Gong, 1993, with the memory of Lowe, 2017.)
//!
//! The search goes through the times in order and keeps all *configurations*: which of the calls
//! that have begun and not ended have been given their moment, and the value that the key has then.
//! Moments are given as late as possible: when a call ends without having one (Lowe's just-in-time
//! linearization). A call whose caller was killed never ends, so it may happen at any later time or
//! not at all; a configuration that differs from another only in having used up such calls is
//! dropped, for what can follow from it follows from the other as well.

use std::collections::VecDeque;
use std::fmt::{self, Debug};

/// A call and its answer, and what it does to a key.
pub trait Step: Copy + PartialEq + Debug {
    /// What a key has.
    type State: Clone + Ord + Debug;
    /// What it has after the call; `None`: the call would not have answered so.
    fn apply(self, state: &Self::State) -> Option<Self::State>;
}

/// A call and its answer; no answer where the caller was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Puts a value; whether it replaced one.
    Put(i64, Option<bool>),
    /// Gets the value, if there is one.
    Get(Option<i64>),
    /// Looks whether the key is there.
    Contains(bool),
    /// Deletes; whether the key was there.
    Delete(Option<bool>),
    /// Adds; the sum.
    Add(i64, Option<i64>),
    /// Puts if the key is not there; whether it did.
    Insert(i64, Option<bool>),
    /// Puts the second value if the key has the first, or none; whether it did.
    Swap(Option<i64>, i64, Option<bool>),
    /// Deletes; the value that the key had.
    Take(Option<Option<i64>>),
}

/// A call on a list and its answer; no answer where the caller was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListCall {
    /// Adds an element behind the last one; how many there are then.
    Push(i64, Option<u64>),
    /// Adds one before the first one.
    Unshift(i64, Option<u64>),
    /// Takes the last one away.
    Pop(Option<Option<i64>>),
    /// Takes the first one away.
    Shift(Option<Option<i64>>),
    /// How many there are.
    Length(u64),
    /// The `digest` of all.
    Range(u64),
    /// Deletes the key; whether it was there.
    Delete(Option<bool>),
}

/// A number that tells lists apart.
pub fn digest(elements: impl IntoIterator<Item = i64>) -> u64 {
    let add = |sum: u64, element: i64| {
        (sum ^ element as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ 1
    };
    elements.into_iter().fold(7, add) >> 1
}

impl Step for ListCall {
    type State = VecDeque<i64>;

    fn apply(self, list: &VecDeque<i64>) -> Option<VecDeque<i64>> {
        let (mut after, len) = (list.clone(), list.len() as u64);
        let right = match self {
            ListCall::Push(element, answer) => {
                after.push_back(element);
                answer.is_none_or(|answer| answer == len + 1)
            }
            ListCall::Unshift(element, answer) => {
                after.push_front(element);
                answer.is_none_or(|answer| answer == len + 1)
            }
            ListCall::Pop(answer) => {
                let gone = after.pop_back();
                answer.is_none_or(|answer| answer == gone)
            }
            ListCall::Shift(answer) => {
                let gone = after.pop_front();
                answer.is_none_or(|answer| answer == gone)
            }
            ListCall::Length(answer) => answer == len,
            ListCall::Range(answer) => answer == digest(list.iter().copied()),
            ListCall::Delete(answer) => {
                after.clear();
                answer.is_none_or(|answer| answer == (len > 0))
            }
        };
        right.then_some(after)
    }
}

/// A call with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<C = Call> {
    /// Some time before the call.
    pub begun: u64,
    /// Some time after it; the last of all times where the caller was killed.
    pub ended: u64,
    /// What was called.
    pub call: C,
}

/// Why a history is not known to be linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No order explains it: which call cannot be explained, and what was before it.
    Unexplained(String),
    /// There are too many orders to look at: the calls of many dead overlap.
    TooMany,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Unexplained(why) => f.write_str(why),
            Doubt::TooMany => f.write_str("too many orders of the calls to be looked at"),
        }
    }
}

/// Calls that may overlap with another one, those of the dead included.
const OPEN_MAX: usize = 128;
/// Pairs of configurations that are compared: some seconds.
const PAIRS_MAX: u64 = 1_000_000_000;
/// Calls that a complaint shows.
const SHOWN: usize = 24;

/// Calls that have been given their moment, as bits by their place in `Search::open`, and the value
/// of the key after them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Configuration<S> {
    done: u128,
    value: S,
}

impl Step for Call {
    type State = Option<i64>;

    fn apply(self, value: &Option<i64>) -> Option<Option<i64>> {
        let value = *value;
        let answers = |right: bool, after| right.then_some(after);
        let there = value.is_some();
        match self {
            Call::Put(new, replaced) => answers(replaced.is_none_or(|r| r == there), Some(new)),
            Call::Get(found) => answers(found == value, value),
            Call::Contains(found) => answers(found == there, value),
            Call::Delete(found) => answers(found.is_none_or(|found| found == there), None),
            Call::Add(delta, sum) => {
                let right = value.unwrap_or(0) + delta;
                answers(sum.is_none_or(|sum| sum == right), Some(right))
            }
            Call::Insert(new, done) => Call::Swap(None, new, done).apply(&value),
            Call::Swap(old, new, done) => {
                let right = value == old;
                answers(
                    done.is_none_or(|done| done == right),
                    if right { Some(new) } else { value },
                )
            }
            Call::Take(taken) => answers(taken.is_none_or(|taken| taken == value), None),
        }
    }
}

/// Whether the history of a key that is not there at first is linearizable: one list of events per
/// process.
pub fn linearizable(processes: &[Vec<Event>]) -> Result<(), Doubt> {
    linearizable_from(None, &processes.concat())
}

/// The same for a key that has the value `start` before the first call; events in any order.
pub fn linearizable_from<C: Step>(start: C::State, events: &[Event<C>]) -> Result<(), Doubt> {
    // At the same time, beginnings come first: such calls may overlap.
    let begun = events.iter().enumerate().map(|(index, event)| (event.begun, false, index));
    let ended = events.iter().enumerate().map(|(index, event)| (event.ended, true, index));
    let mut steps: Vec<_> = begun.chain(ended).filter(|step| step.0 != u64::MAX).collect();
    steps.sort_unstable();
    let mut search = Search::new(start);
    for (_, ends, index) in steps {
        let event = events[index];
        if !ends {
            search.begin(event)?;
        } else if !search.end(event)? {
            return Err(Doubt::Unexplained(complaint(event, &search, events)));
        }
    }
    Ok(())
}

/// What is known at a time.
struct Search<C: Step> {
    /// Calls that have begun and not ended.
    open: Vec<Option<Event<C>>>,
    /// The open calls without an end.
    endless: u128,
    /// Never empty; of those that no order led to the end of a call, the ones before it.
    reached: Vec<Configuration<C::State>>,
    /// Pairs of configurations that may still be compared.
    pairs_left: u64,
}

impl<C: Step> Search<C> {
    fn new(start: C::State) -> Search<C> {
        let reached = vec![Configuration { done: 0, value: start }];
        Search { open: Vec::new(), endless: 0, reached, pairs_left: PAIRS_MAX }
    }

    fn begin(&mut self, event: Event<C>) -> Result<(), Doubt> {
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(event);
        self.endless |= u128::from(event.ended == u64::MAX) << (free % OPEN_MAX);
        if free < OPEN_MAX { Ok(()) } else { Err(Doubt::TooMany) }
    }

    /// Keeps the configurations in which the call has its moment; whether there is one.
    fn end(&mut self, event: Event<C>) -> Result<bool, Doubt> {
        let place = self.open.iter().position(|open| *open == Some(event)).expect("it has begun");
        let bit = 1 << place;
        let mut seen = self.reached.clone();
        let mut ended: Vec<Configuration<C::State>> = Vec::new();
        let mut next = 0;
        while let Some(from) = seen.get(next).cloned() {
            next += 1;
            if from.done & bit != 0 {
                let done = from.done & !bit;
                self.keep(&mut ended, Configuration { done, ..from });
                continue;
            }
            for (other, call) in self.open.iter().enumerate() {
                let Some(call) = call.filter(|_| from.done & 1 << other == 0) else { continue };
                let Some(value) = call.call.apply(&from.value) else { continue };
                let to = Configuration { done: from.done | 1 << other, value };
                let pairs = seen.len() as u64;
                self.pairs_left = self.pairs_left.checked_sub(pairs).ok_or(Doubt::TooMany)?;
                if !seen.iter().any(|old| self.covers(old, &to)) {
                    seen.push(to);
                }
            }
        }
        if ended.is_empty() {
            return Ok(false);
        }
        self.open[place] = None;
        self.reached = ended;
        Ok(true)
    }

    /// Adds a configuration, unless another one can do all that it can.
    fn keep(&self, kept: &mut Vec<Configuration<C::State>>, new: Configuration<C::State>) {
        if !kept.iter().any(|old| self.covers(old, &new)) {
            kept.retain(|old| !self.covers(&new, old));
            kept.push(new);
        }
    }

    /// Whether `one` is as `other` but for endless calls that only `other` has used up.
    fn covers(&self, one: &Configuration<C::State>, other: &Configuration<C::State>) -> bool {
        let (differing, missing) = (one.done ^ other.done, one.done & !other.done);
        differing & !self.endless == 0 && missing == 0 && one.value == other.value
    }
}

fn complaint<C: Step>(event: Event<C>, search: &Search<C>, events: &[Event<C>]) -> String {
    let mut values: Vec<_> = search.reached.iter().map(|reached| &reached.value).collect();
    values.sort_unstable();
    values.dedup();
    let mut before: Vec<_> = events.iter().filter(|other| other.begun <= event.ended).collect();
    before.sort_by_key(|event| (event.ended, event.begun));
    let dead = before.iter().filter(|event| event.ended == u64::MAX).count();
    let mut text = format!("no order explains {event:?}; before it the value may be {values:?}");
    for (place, event) in before.iter().enumerate().rev().take(SHOWN + dead) {
        text += &format!("\n  call {place}: {event:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(begun: u64, ended: u64, call: Call) -> Event {
        Event { begun, ended, call }
    }

    #[test]
    fn histories_that_some_order_explains_are_taken() {
        // Goal: overlapping calls may be ordered either way, and calls of the dead may have
        // happened or not. Method: small histories with a known order.
        let put = event(0, 10, Call::Put(1, Some(false)));
        let hit = event(2, 4, Call::Get(Some(1)));
        let miss = event(2, 4, Call::Get(None));
        let late = event(5, 20, Call::Delete(Some(true)));
        assert_eq!(linearizable(&[vec![put], vec![hit]]), Ok(()));
        assert_eq!(linearizable(&[vec![put], vec![miss, late]]), Ok(()));
        let killed = event(0, u64::MAX, Call::Put(1, None));
        for call in [Call::Get(None), Call::Get(Some(1))] {
            assert_eq!(linearizable(&[vec![killed], vec![event(50, 60, call)]]), Ok(()));
        }
        let add = |begun, sum| event(begun, begun + 10, Call::Add(2, Some(sum)));
        assert_eq!(linearizable(&[vec![add(0, 4)], vec![add(5, 2)]]), Ok(()));
        assert_eq!(linearizable(&[]), Ok(()));
    }

    #[test]
    fn the_order_of_calls_on_a_list_is_told_by_both_of_its_ends() {
        // Goal: the checker sees what it is there for, of lists. Method: small histories, right and
        // wrong ones.
        use ListCall::{Delete, Length, Pop, Push, Range, Shift, Unshift};
        let judge = |calls: &[ListCall]| {
            let event = |(at, call): (usize, &ListCall)| {
                let begun = at as u64 * 10;
                Event { begun, ended: begun + 5, call: *call }
            };
            let events: Vec<_> = calls.iter().enumerate().map(event).collect();
            linearizable_from(VecDeque::from([1]), &events).is_ok()
        };
        let (push, unshift) = (Push(2, Some(2)), Unshift(3, Some(3)));
        let range = Range(digest([3, 1, 2]));
        assert!(judge(&[push, unshift, range, Length(3), Shift(Some(Some(3)))]));
        assert!(judge(&[push, Pop(Some(Some(2))), Pop(Some(Some(1))), Pop(Some(None))]));
        assert!(judge(&[push, Delete(Some(true)), Length(0), Delete(Some(false))]));
        assert!(!judge(&[push, Range(digest([2, 1]))]));
        assert!(!judge(&[push, Shift(Some(Some(2)))]), "the other end");
        assert!(!judge(&[push, Pop(Some(Some(2))), Pop(Some(Some(2)))]), "twice");
        assert!(!judge(&[push, push]) && !judge(&[Length(2)]));
        let dead = Event { begun: 0, ended: u64::MAX, call: Pop(None) };
        let length = |begun, len| Event { begun, ended: begun + 1, call: Length(len) };
        let from = |events: &[_]| linearizable_from(VecDeque::from([1]), events).is_ok();
        assert!(
            from(&[dead, length(5, 1), length(9, 0)]) && !from(&[dead, length(5, 0), length(9, 1)])
        );
    }

    #[test]
    fn a_search_without_an_end_is_given_up() {
        // Goal: it ends, and says so. Method: thirty dead who may have pushed, in any order.
        let dead = (0..30).map(|n| Event {
            begun: n,
            ended: u64::MAX,
            call: ListCall::Push(n as i64, None),
        });
        let pop = Event { begun: 90, ended: 99, call: ListCall::Pop(Some(Some(7))) };
        let events: Vec<_> = dead.chain([pop]).collect();
        assert_eq!(linearizable_from(VecDeque::new(), &events), Err(Doubt::TooMany));
    }

    #[test]
    fn calls_of_the_dead_happen_at_any_later_time_and_once_at_most() {
        // Goal: many calls without an end are neither too strict nor too slow. Method: adds of
        // dead processes, of which the gets afterwards show some; and far more than show up.
        let dead = |delta| event(0, u64::MAX, Call::Add(delta, None));
        let get = |begun, value| event(begun, begun + 2, Call::Get(Some(value)));
        let from = |events: &[Event]| linearizable_from(Some(1), events);
        assert_eq!(from(&[dead(10), dead(100), get(5, 1), get(10, 101), get(20, 111)]), Ok(()));
        assert!(from(&[dead(10), dead(100), get(5, 11), get(10, 101)]).is_err());
        assert!(from(&[dead(10), get(5, 11), get(10, 21)]).is_err());
        let mut many: Vec<_> =
            (2..60).map(|i| event(i, u64::MAX, Call::Put(i as i64, None))).collect();
        many.extend((0..1000).map(|i| event(100 + i, 101 + i, Call::Put(i as i64, Some(true)))));
        many.push(get(2000, 7));
        assert_eq!(from(&many), Ok(()));
        many.push(get(2010, 999));
        assert!(from(&many).is_err(), "999 was replaced by 7, which came once");
    }

    #[test]
    fn a_key_begins_with_the_value_that_it_had() {
        // Goal and method: a history is continued from a known value.
        let contains = |begun, found| event(begun, begun + 2, Call::Contains(found));
        let delete = event(10, 12, Call::Delete(None));
        assert_eq!(
            linearizable_from(Some(3), &[contains(0, true), delete, contains(20, false)]),
            Ok(())
        );
        assert!(linearizable_from(Some(3), &[contains(0, false)]).is_err());
        assert!(linearizable_from(Some(3), &[delete, contains(20, true)]).is_err());
        assert!(linearizable_from(None, &[contains(0, true)]).is_err());
    }

    #[test]
    fn histories_that_no_order_explains_are_refused() {
        // Goal: the checker sees what it is there for. Method: one small history for each fault.
        let put = |begun, value, replaced| event(begun, begun + 2, Call::Put(value, replaced));
        let get = |begun, found| event(begun, begun + 2, Call::Get(found));
        let add = |begun, sum| event(begun, begun + 2, Call::Add(1, Some(sum)));
        let (first, second) = (put(0, 1, Some(false)), put(10, 2, Some(true)));
        let bad: [(&str, Vec<Vec<Event>>); 8] = [
            ("stale read", vec![vec![first, second], vec![get(20, Some(1))]]),
            ("lost put", vec![vec![first], vec![get(20, None)]]),
            ("read from the future", vec![vec![put(20, 1, Some(false))], vec![get(0, Some(1))]]),
            ("lost update", vec![vec![add(0, 1)], vec![add(1, 1)]]),
            (
                "back and forth",
                vec![
                    vec![event(0, 50, Call::Put(1, Some(false)))],
                    vec![get(10, Some(1)), get(20, None)],
                ],
            ),
            (
                "deleted twice",
                vec![
                    vec![first, event(10, 12, Call::Delete(Some(true)))],
                    vec![event(10, 12, Call::Delete(Some(true)))],
                ],
            ),
            ("two inserts", vec![vec![first], vec![put(0, 2, Some(false))]]),
            (
                "put by a dead process taken back",
                vec![
                    vec![event(0, u64::MAX, Call::Put(1, None))],
                    vec![get(10, Some(1)), get(20, None)],
                ],
            ),
        ];
        for (fault, history) in bad {
            assert!(linearizable(&history).is_err(), "{fault}");
        }
    }
}
