//! Whether a map has what it must have.

use crate::Random;
use crate::map_file::MapFile;
use crate::reboot::engine;
use crate::reboot::expected::{Expected, Possible};
use crate::reboot::list::ListTrack;
use crate::reboot::state::State;
use shf_engine::{Elements, Kind, Map, OpError};
use std::collections::BTreeMap;

/// Keys that are put into a map to see whether it works.
const KEYS: u64 = 60;

/// Keys and values of a map.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// All keys and values, by a walk.
pub fn contents(map: &Map) -> Result<Contents, String> {
    let (mut all, mut twice) = (Contents::new(), None);
    let walked = map.for_each_with(b"", &mut |pair| {
        let mut value = pair.value.to_vec();
        if pair.kind == Kind::List {
            value.extend(elements(map, pair.key).unwrap_or_default().concat());
        }
        let other = all.insert(pair.key.to_vec(), value);
        twice = twice.take().or(other.map(|_| pair.key.to_vec()));
        true
    });
    walked.map_err(|error| format!("walking: {error}"))?;
    match twice {
        Some(key) => Err(format!("{}: is there twice", short(&key))),
        None => Ok(all),
    }
}

/// The elements of a list.
fn elements(map: &Map, key: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut elements = Elements::new();
    let read = map.range(key, 0, i64::MAX, &mut elements);
    read.map_err(|error| format!("{}: a range: {error}", short(key)))?;
    let length = map.length(key).map_err(|error| error.to_string())?;
    match elements.len() as u64 == length {
        true => Ok(elements.iter().map(<[u8]>::to_vec).collect()),
        false => Err(format!("{}: {} elements, not {length}", short(key), elements.len())),
    }
}

/// What a map has that nobody writes to, or what is wrong with it.
pub fn settle(map: &Map, expected: &Expected) -> Result<Expected, String> {
    let found = contents(map)?;
    for key in found.keys() {
        if !expected.0.contains_key(key) {
            return Err(format!("{}: nobody put it", short(key)));
        }
    }
    if map.size() != found.len() as u64 {
        return Err(format!("{} keys counted, {} found", map.size(), found.len()));
    }
    let (mut settled, mut value) = (Expected::default(), Vec::new());
    for (key, possible) in &expected.0 {
        if let Some(list) = &possible.list {
            let there = list.settle(&elements(map, key)?).map_err(|what| {
                format!(
                    "{}: {what}; what was called:\n  {}",
                    short(key),
                    possible.story.join("\n  ")
                )
            })?;
            let list = Some(ListTrack::of(there));
            settled.0.insert(key.clone(), Possible { list, ..Possible::default() });
            continue;
        }
        let walked = found.get(key).map(|value| &value[..]);
        let there = map.get(key, &mut value).map_err(|error| format!("getting: {error}"))?;
        if there.then_some(&value[..]) != walked {
            return Err(format!("{}: a get and a walk differ ({there})", short(key)));
        }
        let mut fitting = possible.states.clone();
        fitting.retain(|state| state.is(walked));
        if fitting.is_empty() {
            let found = walked.map_or("nothing".into(), short);
            let (states, story) = (&possible.states, possible.story.join("\n  "));
            let what = format!("found {found}, expected {states:?}; what was called:\n  {story}");
            return Err(format!("{}: {what}", short(key)));
        }
        let story = Vec::new();
        settled.0.insert(key.clone(), Possible { states: fitting, list: None, story });
    }
    Ok(settled)
}

/// The same, with checks that need to write.
pub fn judge(map: &Map, expected: &Expected) -> Result<Expected, String> {
    verify(map)?;
    let settled = settle(map, expected)?;
    for (key, Possible { states, .. }) in &settled.0 {
        let integer = states.iter().any(|state| matches!(state, State::Integer(_)));
        let bytes = states.iter().any(|state| matches!(state, State::Bytes(_)));
        if integer == bytes {
            continue;
        }
        match map.add(key, 0) {
            Ok(_) if integer => {}
            Err(OpError::WrongType { .. }) if bytes => {}
            Err(OpError::TooLarge { .. }) if key.len() > 16_000 => {}
            other => return Err(format!("{}: {states:?}, added to: {other:?}", short(key))),
        }
    }
    Ok(settled)
}

/// Whether the map goes on to work: puts, deletes, a sync.
pub fn exercise(map: &Map, file: &MapFile, random: &mut Random) -> Result<(), String> {
    let mut ours = Contents::new();
    let mut value = Vec::new();
    for _ in 0..KEYS * 3 {
        let key = format!("exercise {}", random.below(KEYS)).into_bytes();
        let len = [0, 30, 500, 5000, 20_000][random.below(5) as usize];
        let new = vec![random.next() as u8; len];
        match random.below(4) {
            0 => {
                let there = map.delete(&key).map_err(|error| format!("a delete: {error}"))?;
                if ours.remove(&key).is_some() != there {
                    return Err(format!("{}: wrongly deleted: {there}", short(&key)));
                }
            }
            _ => match map.put(&key, &new) {
                Ok(_) => _ = ours.insert(key, new),
                Err(OpError::NoSpace { .. }) => {}
                Err(error) => return Err(format!("a put: {error}")),
            },
        }
    }
    engine::sync(map, &file.path()).map_err(|error| format!("a sync: {error}"))?;
    verify(map)?;
    for (key, expected) in ours {
        let found = map.get(&key, &mut value).map_err(|error| error.to_string())?;
        if !found || value != expected {
            return Err(format!("{}: put after the recovery, and lost", short(&key)));
        }
    }
    Ok(())
}

fn verify(map: &Map) -> Result<(), String> {
    let violations = map.verify().map_err(|error| format!("verifying: {error}"))?;
    let shown: Vec<_> = violations.iter().take(8).map(ToString::to_string).collect();
    if violations.is_empty() { Ok(()) } else { Err(shown.join("\n")) }
}

/// The beginning of some bytes, and how many there are.
fn short(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(24)].escape_ascii();
    format!("\"{shown}\" ({} bytes)", bytes.len())
}
