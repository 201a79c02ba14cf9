//! Lists among the keys that are judged: their keys are those behind all others, and their elements
//! prove themselves as values do.

use super::judge::Calls;
use super::keys::Key;
use super::log::{Entry, NOTHING, REFUSED, TORN, What};
use super::plan::Report;
use crate::Random;
use crate::clock::now;
use crate::history::{Doubt, Event, ListCall, digest, linearizable_from};
use shf_engine::{Elements, Map, OpError};
use std::collections::VecDeque;

/// How many there are.
pub const LISTS: u64 = 3;

/// A list as the judge read it between two rounds.
#[derive(Clone, Debug, Default)]
pub struct ListReading {
    /// Its elements.
    pub list: VecDeque<i64>,
    /// A time before.
    pub begun: u64,
    /// A time after.
    pub ended: u64,
}

/// The key of a list, in a map with so many other keys.
pub fn key(keys: u64, list: u64) -> Key {
    Key(keys + list)
}

/// Whether a key is that of a list, in a map with so many other keys.
pub fn is_one(keys: u64, bytes: &[u8]) -> bool {
    Key::read(bytes).is_some_and(|key| key.0 >= keys)
}

/// What to do next. More goes than comes, so that lists stay short, and end at times.
pub fn choose(random: &mut Random, writes: bool) -> What {
    match random.below(if writes { 16 } else { 2 }) {
        0 => What::Length,
        1 => What::Range,
        2..6 => What::Push,
        6..8 => What::Unshift,
        8..12 => What::Pop,
        12..15 => What::Shift,
        _ => What::End,
    }
}

/// Makes a call on a list.
pub fn call(map: &Map, key: Key, what: What, number: i64) -> Result<i64, OpError> {
    let (mut bytes, mut element, mut elements) = (Vec::new(), Vec::new(), Elements::new());
    key.write(&mut bytes);
    match what {
        What::Push | What::Unshift => {
            key.write_value(number, &mut element);
            let pushed = match what {
                What::Push => map.push(&bytes, &element),
                _ => map.unshift(&bytes, &element),
            };
            pushed.map(|len| len as i64)
        }
        What::Pop | What::Shift => {
            let popped = match what {
                What::Pop => map.pop(&bytes, &mut element),
                _ => map.shift(&bytes, &mut element),
            };
            Ok(popped?.map_or(NOTHING, |_| key.read_value(&element).unwrap_or(TORN)))
        }
        What::Length => map.length(&bytes).map(|len| len as i64),
        What::Range => {
            map.range(&bytes, 0, i64::MAX, &mut elements)?;
            let numbers = elements.iter().map(|element| key.read_value(element));
            Ok(numbers.collect::<Option<Vec<_>>>().map_or(TORN, |list| digest(list) as i64))
        }
        _ => map.delete(&bytes).map(i64::from),
    }
}

/// Reads all lists.
pub fn read(map: &Map, keys: u64) -> Result<Vec<ListReading>, String> {
    let (mut bytes, mut elements, mut readings) = (Vec::new(), Elements::new(), Vec::new());
    for key in (0..LISTS).map(|list| key(keys, list)) {
        key.write(&mut bytes);
        let begun = now();
        let read = map.range(&bytes, 0, i64::MAX, &mut elements);
        read.map_err(|error| format!("list {key:?}: {error}"))?;
        let list: Option<_> = elements.iter().map(|element| key.read_value(element)).collect();
        let list = list.ok_or(format!("list {key:?}: an element is not what was pushed"))?;
        readings.push(ListReading { list, begun, ended: now() });
    }
    Ok(readings)
}

/// A call on a list; none if it says nothing, or is about something else.
pub fn event(entry: &Entry) -> Option<Event<ListCall>> {
    let Entry { begun, ended, argument, answer, .. } = *entry;
    let done = ended != u64::MAX;
    let found = done.then_some((answer != NOTHING).then_some(answer));
    let count = done.then_some(answer as u64);
    let call = match entry.what {
        _ if answer == REFUSED => return None,
        What::Push => ListCall::Push(argument, count),
        What::Unshift => ListCall::Unshift(argument, count),
        What::Pop => ListCall::Pop(found),
        What::Shift => ListCall::Shift(found),
        What::End => ListCall::Delete(done.then_some(answer == 1)),
        What::Length if done => ListCall::Length(answer as u64),
        What::Range if done => ListCall::Range(answer as u64),
        _ => return None,
    };
    Some(Event { begun, ended, call })
}

impl Calls {
    /// Whether an order explains all calls on lists, from one reading of all to the next.
    pub fn judge_lists(
        &self,
        keys: u64,
        before: &[ListReading],
        after: &[ListReading],
        report: &mut Report,
    ) -> Result<(), String> {
        for (list, (before, after)) in (0..).zip(before.iter().zip(after)) {
            let key = key(keys, list);
            let of_list = self.lists.iter().filter(|(of, _)| *of == key);
            let mut events: Vec<_> = of_list.map(|(_, event)| *event).collect();
            let (begun, ended) = (after.begun, after.ended);
            let call = ListCall::Range(digest(after.list.iter().copied()));
            events.push(Event { begun, ended, call });
            match linearizable_from(before.list.clone(), &events) {
                // All is known of the list before and after them.
                Err(Doubt::TooMany) => report.undecided += events.len() as u64,
                judged => judged.map_err(|why| format!("list {list}: {why}"))?,
            }
        }
        Ok(())
    }
}
