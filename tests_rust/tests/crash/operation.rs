//! The operations that somebody dies in.

use crate::KEY;
use shf_base::clock;
use shf_base::geometry::UNIT_BYTES;
use shf_engine::seal::SEAL_BYTES;
use shf_engine::{Age, Condition, Map, OpError};
use shf_tests::Random;
use std::time::Duration;

/// The age of keys that expire.
pub const HOUR: Duration = Duration::from_secs(3600);

/// One call.
#[derive(Clone, Debug)]
pub enum Operation {
    Put(Vec<u8>, Vec<u8>),
    PutMany(Vec<(Vec<u8>, Vec<u8>)>),
    Delete(Vec<u8>),
    Add(Vec<u8>, i64),
    /// Puts, if the key has this value.
    Swap(Vec<u8>, Vec<u8>, Vec<u8>),
    /// Deletes, if the key has this value.
    DeleteIf(Vec<u8>, Vec<u8>),
    Take(Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    /// Puts and deletes by UIDs.
    PutNamed(Vec<u8>, Vec<u8>),
    DeleteNamed(Vec<u8>),
    /// Has the key live for an hour.
    Touch(Vec<u8>),
    Push(Vec<u8>, Vec<u8>),
    Unshift(Vec<u8>, Vec<u8>),
    Pop(Vec<u8>),
    Shift(Vec<u8>),
    Clear,
    Reap,
    Sync,
    /// An operation two hours later.
    Later(Box<Operation>),
    /// An operation, and then what it has taken ahead is given back.
    Trimmed(Box<Operation>),
}

impl Operation {
    /// A put of `KEY` with a value of `len` bytes.
    pub fn put(len: usize) -> Operation {
        Operation::Put(KEY.to_vec(), vec![len as u8; len])
    }

    /// A delete of `KEY`.
    pub fn delete() -> Operation {
        Operation::Delete(KEY.to_vec())
    }

    /// Units that the records of a put take, sealed or not, at most.
    pub fn units(&self) -> u64 {
        let record = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            (8 + SEAL_BYTES + 8 + (key.len() + value.len()) as u64).div_ceil(UNIT_BYTES)
        };
        match self {
            Operation::Put(key, value) | Operation::PutNamed(key, value) => record((key, value)),
            Operation::Swap(key, _, value) => record((key, value)),
            // The element, whose key has 12 bytes, and the list's own.
            Operation::Push(key, value) | Operation::Unshift(key, value) => {
                record((&vec![0; 12], value)) + record((key, &vec![0; 8]))
            }
            Operation::Later(operation) | Operation::Trimmed(operation) => operation.units(),
            Operation::PutMany(pairs) => {
                pairs.iter().map(|(key, value)| record((key, value))).sum()
            }
            _ => 0,
        }
    }

    pub fn run(&self, map: &Map) -> Result<(), OpError> {
        match self {
            Operation::Put(key, value) => map.put(key, value).map(drop),
            Operation::PutMany(pairs) => {
                map.put_many(pairs, |_, _| {}).map(drop).map_err(|failed| failed.error)
            }
            Operation::Delete(key) => map.delete(key).map(drop),
            Operation::Add(key, delta) => map.add(key, *delta).map(drop),
            Operation::Swap(key, old, new) => map.put_if(key, new, Condition::Value(old)).map(drop),
            Operation::DeleteIf(key, old) => map.delete_if(key, Condition::Value(old)).map(drop),
            Operation::Take(key) => map.take(key, &mut Vec::new()).map(drop),
            Operation::Append(key, suffix) => map.append(key, suffix).map(drop),
            Operation::PutNamed(key, value) => {
                map.uid(key)?.map_or(Ok(()), |uid| map.put_uid(uid, value).map(drop))
            }
            Operation::DeleteNamed(key) => {
                map.uid(key)?.map_or(Ok(()), |uid| map.delete_uid(uid).map(drop))
            }
            Operation::Push(key, value) => map.push(key, value).map(drop),
            Operation::Unshift(key, value) => map.unshift(key, value).map(drop),
            Operation::Pop(key) => map.pop(key, &mut Vec::new()).map(drop),
            Operation::Shift(key) => map.shift(key, &mut Vec::new()).map(drop),
            Operation::Touch(key) => map.touch(key, Age::Of(HOUR)).map(drop),
            Operation::Reap => map.reap().map(drop),
            Operation::Trimmed(operation) => operation.run(map).and(map.trim().map(drop)),
            Operation::Later(operation) => {
                clock::shift(2 * HOUR.as_millis() as i64);
                let done = operation.run(map);
                clock::shift(0);
                done
            }
            Operation::Clear => map.clear().map(drop),
            Operation::Sync => map.sync(),
        }
    }
}

/// A put of one of `keys` keys, with a value of a size that keeps changing.
pub fn churn(random: &mut Random, keys: u64, len_max: u64) -> Operation {
    let (key, len) = (random.below(keys), random.below(len_max));
    Operation::Put(key.to_le_bytes().to_vec(), random.bytes(len as usize))
}

/// Keys that most experiments have beside `KEY`.
pub fn fill(map: &Map) {
    for key in 0..100u64 {
        map.put(&key.to_le_bytes(), &[key as u8; 20]).unwrap();
    }
}

/// As `fill`, and `KEY` with `len` bytes.
pub fn fill_with_key(len: usize) -> impl FnOnce(&Map) {
    move |map| {
        fill(map);
        map.put(KEY, &vec![1; len]).unwrap();
    }
}

/// What makes the next locker repair, and changes nothing else.
pub fn repair(map: &Map) -> bool {
    map.delete(b"not there").is_ok()
}
