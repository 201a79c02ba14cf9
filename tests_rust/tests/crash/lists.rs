//! Deaths in the operations on lists, and in what becomes of their elements when they are gone.

use crate::experiment::Experiment;
use crate::operation::{HOUR, Operation, fill};
use crate::{Contents, KEY};
use shf_engine::{Age, Elements, Kind, Map, OpError};

/// What the contents of a map have for the value of a list: this, then each element with its length
/// before it.
const LIST: &[u8] = b"a list of these:";

/// The value of a key for the contents of a map, `None` when it is not there.
pub fn value_of(map: &Map, key: &[u8]) -> Result<Option<Vec<u8>>, OpError> {
    let mut value = Vec::new();
    if map.kind(key)? != Some(Kind::List) {
        return Ok(map.get(key, &mut value)?.then_some(value));
    }
    let mut elements = Elements::new();
    map.range(key, 0, i64::MAX, &mut elements)?;
    let mut value = LIST.to_vec();
    for element in elements.iter() {
        value.extend((element.len() as u64).to_le_bytes());
        value.extend(element);
    }
    Ok(Some(value))
}

/// The lengths of the elements, if a value in the contents of a map is that of a list.
pub fn lengths_of(value: &[u8]) -> Option<Vec<u64>> {
    let mut rest = value.strip_prefix(LIST)?;
    let mut lengths = Vec::new();
    while let Some((len, elements)) = rest.split_first_chunk() {
        lengths.push(u64::from_le_bytes(*len));
        rest = &elements[u64::from_le_bytes(*len) as usize..];
    }
    Some(lengths)
}

/// The contents of a map, by a walk.
pub fn contents(map: &Map) -> Contents {
    let mut all = Contents::new();
    map.for_each_with(b"", &mut |pair| {
        let value = match pair.kind {
            Kind::List => value_of(map, pair.key).unwrap().expect("nobody deletes it"),
            _ => pair.value.to_vec(),
        };
        let twice = all.insert(pair.key.to_vec(), value.clone());
        assert!(twice.is_none_or(|twice| twice == value), "{:?} has two values", pair.key);
        true
    })
    .unwrap();
    all
}

/// `fill`, and a list of so many elements under `KEY`.
fn fill_with_list(count: usize) -> impl FnOnce(&Map) {
    move |map| {
        fill(map);
        for n in 0..count {
            map.push(KEY, &vec![n as u8; n % 40]).unwrap();
        }
    }
}

fn element(len: usize) -> Vec<u8> {
    vec![3; len]
}

fn push(len: usize) -> Operation {
    Operation::Push(KEY.to_vec(), element(len))
}

fn unshift(len: usize) -> Operation {
    Operation::Unshift(KEY.to_vec(), element(len))
}

fn pop() -> Operation {
    Operation::Pop(KEY.to_vec())
}

fn shift() -> Operation {
    Operation::Shift(KEY.to_vec())
}

#[test]
fn pushes_and_pops_survive_death_at_every_step() {
    // Goal: P2 for both ends of a list, of elements of all sizes, its first and its last element
    // among them.
    let new = |name: &str, count, operation| {
        Experiment::new(name, fill_with_list(count), operation).run(12);
    };
    new("push", 20, push(30));
    new("unshift", 20, unshift(30));
    new("push-large", 20, push(20_000));
    new("pop", 20, pop());
    new("shift", 20, shift());
    new("push-first", 0, push(30));
    new("unshift-first", 0, unshift(0));
    new("pop-last", 1, pop());
    new("shift-last", 1, shift());
}

#[test]
fn pushes_and_pops_of_a_durable_map_survive_death_at_every_step() {
    // Goal: as above where records are sealed: a push puts the record again that was there at the
    // last sync.
    let new = |name: &str, count, operation| {
        Experiment::durable(name, fill_with_list(count), operation).run(12);
    };
    new("sealed-push", 20, push(30));
    new("sealed-unshift", 20, unshift(20_000));
    new("sealed-push-first", 0, push(30));
    new("sealed-pop", 20, pop());
    new("sealed-shift-last", 1, shift());
}

#[test]
fn a_push_that_splits_a_table_survives_death_at_every_step() {
    // Goal: as above for a push, and the first of a list, that finds no slot. Method: pushes until
    // one of them splits.
    for first in [false, true] {
        let next = |_: &_, step: u64| {
            let key = if first { step.to_le_bytes().to_vec() } else { KEY.to_vec() };
            Operation::Push(key, element(4))
        };
        let name = if first { "split-first-push" } else { "split-push" };
        let hit = |before: &crate::account::Counters, after: &crate::account::Counters| {
            after.splits > before.splits
        };
        Experiment::search(name, crate::experiment::MAX_BYTES, |_| {}, next, hit).run(200);
    }
}

#[test]
fn the_end_of_a_list_survives_death_at_every_step() {
    // Goal: P2 where a list goes by one step, and its elements after it: it is there as a whole, or
    // not at all. Method: all ways to end one, and operations that meet what it left.
    let new = |name: &str, operation| {
        Experiment::new(name, fill_with_list(30), operation).run(12);
    };
    new("list-delete", Operation::delete());
    new("list-replaced", Operation::put(30));
    new("list-clear", Operation::Clear);
    new("list-touch", Operation::Touch(KEY.to_vec()));
    let delete = Operation::delete();
    Experiment::durable("sealed-list-delete", fill_with_list(30), delete).run(12);
    let ended = |map: &Map| {
        fill_with_list(30)(map);
        map.delete(KEY).unwrap();
    };
    Experiment::new("orphans-reap", ended, Operation::Reap).run(200);
    Experiment::new("orphans-put", ended, Operation::put(30)).run(20);
    Experiment::new("orphans-push", ended, push(30)).run(20);
    let mortal = |map: &Map| {
        fill_with_list(30)(map);
        assert_eq!(map.touch(KEY, Age::Of(HOUR)), Ok(true));
    };
    let later = |operation| Operation::Later(Box::new(operation));
    let timed = |name: &str, operation| {
        Experiment::new(name, mortal, later(operation)).run(12);
    };
    timed("list-expired-push", push(30));
    timed("list-expired-reap", Operation::Reap);
}
