//! The calls of one child, as a seed has them.

use crate::Random;
use crate::reboot::desk::CALLS_MAX;
use crate::reboot::state::{State, Value};
use std::time::Duration;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Puts a value under a key of this number.
    Put(u64, Value),
    /// Adds to an integer.
    Add(u64, i64),
    /// Deletes a key.
    Delete(u64),
    /// Adds an element to the list of this number, behind the last one.
    Push(u64, Value),
    /// Before the first one.
    Unshift(u64, Value),
    /// Takes the last one away.
    Pop(u64),
    /// Takes the first one away.
    Shift(u64),
    /// Deletes the list.
    End(u64),
    /// Deletes all keys, those of others as well.
    Clear,
    /// Makes all that was acknowledged survive.
    Sync,
}

impl Call {
    /// What the call makes of a key's state, if it works; `None`: it does not work on this state.
    pub fn apply(&self, before: State) -> Option<State> {
        match (self, before) {
            (Call::Put(_, value), _) => Some(State::Bytes(*value)),
            (Call::Add(_, delta), State::Absent) => Some(State::Integer(*delta)),
            (Call::Add(_, delta), State::Integer(sum)) => Some(State::Integer(sum + delta)),
            (Call::Add(..), State::Bytes(_)) => None,
            (Call::Delete(_) | Call::Clear, _) => Some(State::Absent),
            (_, before) => Some(before),
        }
    }

    /// The number of the key that it is about, if it is about one.
    pub fn key(&self) -> Option<u64> {
        match self {
            Call::Put(key, _) | Call::Add(key, _) | Call::Delete(key) => Some(*key),
            _ => None,
        }
    }

    /// The number of the list that it is about, if it is about one.
    pub fn list(&self) -> Option<u64> {
        match self {
            Call::Push(list, _) | Call::Unshift(list, _) => Some(*list),
            Call::Pop(list) | Call::Shift(list) | Call::End(list) => Some(*list),
            _ => None,
        }
    }
}

/// How often what is called, of so many calls; how many keys, and how long values are.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Numbers of keys.
    pub keys: u64,
    /// Shares of calls.
    pub puts: u64,
    /// As well.
    pub adds: u64,
    /// As well.
    pub deletes: u64,
    /// As well, of calls on lists.
    pub lists: u64,
    /// As well.
    pub clears: u64,
    /// As well.
    pub syncs: u64,
    /// Of sixteen values, how many are larger than 16 KiB.
    pub large: u64,
}

impl Habits {
    /// Those of a child that is alone.
    pub fn any(random: &mut Random) -> Habits {
        let mut pick = |of: &[u64]| of[random.below(of.len() as u64) as usize];
        Habits {
            keys: pick(&[20, 80, 200, 400, 1500]),
            puts: pick(&[40, 80, 120]),
            adds: pick(&[0, 5, 20]),
            deletes: pick(&[5, 20, 60]),
            lists: pick(&[20, 60, 120]),
            clears: pick(&[0, 0, 1]),
            syncs: pick(&[1, 3, 10]),
            large: pick(&[0, 1, 1, 6]),
        }
    }

    /// Those of one of several writers, who must not clear, and who leave syncs to others.
    pub fn of_writer(random: &mut Random) -> Habits {
        Habits { clears: 0, syncs: 0, ..Habits::any(random) }
    }

    /// Those of a child that does nothing but sync.
    pub const SYNCS: Habits =
        Habits { keys: 1, puts: 0, adds: 0, deletes: 0, lists: 0, clears: 0, syncs: 1, large: 0 };
}

/// All calls of a child, and the keys they are about.
#[derive(Clone, Debug)]
pub struct Script {
    /// Distinguishes the keys of children.
    pub member: usize,
    /// In order.
    pub calls: Vec<Call>,
    /// Time before each call, so that others come to something.
    pub pause: Duration,
}

impl Script {
    /// So many calls.
    pub fn new(member: usize, habits: &Habits, calls: usize, random: &mut Random) -> Script {
        assert!(calls <= CALLS_MAX);
        let calls = (0..calls).map(|_| call(habits, random)).collect();
        Script { member, calls, pause: Duration::ZERO }
    }

    /// The same with a pause before each call.
    pub fn with_pauses(self, pause: Duration) -> Script {
        Script { pause, ..self }
    }

    /// The key of a number: mostly short, some longer than what is hashed at once, a few so long
    /// that their records are large.
    pub fn key(&self, number: u64) -> Vec<u8> {
        let len = match number {
            n if n % 64 == 21 => 17_000,
            n if n % 16 == 5 => 1000 + n % 700,
            n if n % 8 == 2 => 256 + n % 20,
            n => n % 30,
        };
        let mut key = format!("{}:{number}:", self.member).into_bytes();
        key.resize(key.len() + len as usize, number as u8);
        key
    }

    /// The key of the list of a number.
    pub fn list_key(&self, number: u64) -> Vec<u8> {
        format!("{}:list {number}", self.member).into_bytes()
    }
}

fn call(habits: &Habits, random: &mut Random) -> Call {
    let Habits { keys, puts, adds, deletes, lists, clears, syncs, .. } = *habits;
    let key = random.below(keys);
    let mut left = random.below(puts + adds + deletes + lists + clears + syncs);
    let mut is = |share: u64| {
        let hit = left < share;
        left = left.wrapping_sub(share);
        hit
    };
    if is(puts) {
        return Call::Put(key, value(habits, random));
    }
    if is(adds) {
        // Mostly to keys that nobody puts, so that there are integers.
        return Call::Add(
            key % 7 + habits.keys * random.below(4).min(1),
            random.below(1000) as i64,
        );
    }
    if is(deletes) {
        return Call::Delete(if random.below(8) == 0 { keys + key % 7 } else { key });
    }
    if is(lists) {
        return call_of_list(habits, random);
    }
    if is(clears) { Call::Clear } else { Call::Sync }
}

/// A few lists, of which some grow, some are short and end often.
fn call_of_list(habits: &Habits, random: &mut Random) -> Call {
    let list = random.below(5);
    match random.below(20 + list * 2) {
        0..5 => Call::Pop(list),
        5..9 => Call::Shift(list),
        9 if list.is_multiple_of(2) => Call::End(list),
        draw if draw % 3 == 0 => Call::Unshift(list, value(habits, random)),
        _ => Call::Push(list, value(habits, random)),
    }
}

/// Lengths are often the same, so that memory is used again as it is.
fn value(habits: &Habits, random: &mut Random) -> Value {
    let stamp = random.next();
    if random.below(16) < habits.large {
        let len = [16_384, 20_000, 30_000, 60_000][random.below(4) as usize];
        return Value { stamp, len: len + random.below(2) as u32 * random.below(3000) as u32 };
    }
    let len = match random.below(8) {
        0 => 0,
        1 | 2 => 40,
        3 => 3000,
        4 => random.below(16_000),
        5 => random.below(1000),
        _ => random.below(200),
    };
    Value { stamp, len: len as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_script_and_scripts_have_all_kinds_of_calls() {
        let habits = Habits {
            keys: 100,
            puts: 5,
            adds: 5,
            deletes: 5,
            lists: 5,
            clears: 5,
            syncs: 5,
            large: 2,
        };
        let of = |seed| Script::new(0, &habits, 500, &mut Random::new(seed)).calls;
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let calls = of(3);
        let count = |is: fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
        assert!(count(|call| matches!(call, Call::Put(_, value) if value.len > 16_000)) > 3);
        assert!(count(|call| matches!(call, Call::Put(_, value) if value.len == 0)) > 3);
        assert!(count(|call| matches!(call, Call::Add(key, _) if *key >= 100)) > 30);
        assert!(count(|call| matches!(call, Call::Delete(_))) > 50);
        assert!(count(|call| matches!(call, Call::Clear)) > 50);
        assert!(count(|call| matches!(call, Call::Sync)) > 50);
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let scripts =
            [0, 1].map(|member| Script::new(member, &Habits::SYNCS, 0, &mut Random::new(0)));
        let keys = scripts.iter().flat_map(|script| (0..1507).map(|number| script.key(number)));
        let keys: std::collections::BTreeSet<_> = keys.collect();
        assert_eq!(keys.len(), 2 * 1507);
    }
}
