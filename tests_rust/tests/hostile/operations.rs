//! Every operation on a map that may be damaged: any answer is good.

use crate::scene::*;
use shf_engine::{Age, Elements, Map, Value};
use shf_tests::Random;
use std::time::Duration;

pub type Operation = fn(&Map, &mut Random);

pub const READS: &[Operation] = &[get, get_into, contains, look_at_all, range];
pub const OPERATIONS: &[Operation] = &[
    get,
    put,
    get_into,
    delete,
    contains,
    put_large,
    look_at_all,
    add,
    put,
    verify,
    delete_large,
    repair,
    put_large,
    put_aged,
    touch,
    reap,
    push,
    pop,
    range,
];

/// All operations, beginning with a random one, so that each is at times the first to meet the
/// damage.
pub fn operate(map: &Map, random: &mut Random) {
    let first = random.below(OPERATIONS.len() as u64) as usize;
    for operation in OPERATIONS.iter().cycle().skip(first).take(OPERATIONS.len()) {
        operation(map, random);
    }
}

pub fn any_key(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => integer_key(random.below(INTEGERS)),
        1 => large_key(random.below(LARGE)),
        _ => key(random.below(KEYS + 100)).to_vec(),
    }
}

pub fn get(map: &Map, random: &mut Random) {
    let mut value = Vec::new();
    for _ in 0..30 {
        let _ = map.get(&any_key(random), &mut value);
    }
}

pub fn get_into(map: &Map, random: &mut Random) {
    let mut buffer = [0; 64];
    for _ in 0..10 {
        let _ = map.get_into(&any_key(random), &mut buffer);
    }
}

pub fn contains(map: &Map, random: &mut Random) {
    for _ in 0..10 {
        let _ = map.contains(&any_key(random));
    }
}

pub fn look_at_all(map: &Map, _: &mut Random) {
    let (_, stats, _) = (map.size(), map.stats(), map.probe_lengths());
    let _ = (stats.to_json(), stats.to_prometheus("damaged"));
    let mut bytes = 0;
    let _ = map.for_each(&mut |key, value| {
        bytes += key.len() + value.len();
        true
    });
}

pub fn put(map: &Map, random: &mut Random) {
    for _ in 0..30 {
        let len = if random.below(2) == 0 { FIXED_BYTES.into() } else { random.below(300) };
        let _ = map.put(&any_key(random), &[7; 300][..len as usize]);
    }
}

pub fn put_large(map: &Map, random: &mut Random) {
    for _ in 0..2 {
        let len = (16 << 10) + random.below(30_000) as usize;
        let _ = map.put(&large_key(random.below(LARGE)), &vec![8; len]);
    }
}

pub fn put_aged(map: &Map, random: &mut Random) {
    for _ in 0..30 {
        let age = Age::Of(Duration::from_millis(1 + random.below(3)));
        let _ = map.put_for(&any_key(random), Value::Bytes(b"for a moment"), age);
    }
}

pub fn touch(map: &Map, random: &mut Random) {
    for _ in 0..10 {
        let age = Age::Of(Duration::from_millis(1 + random.below(3)));
        let _ = map.touch(&any_key(random), age);
        let _ = map.time_left(&any_key(random));
    }
}

fn any_list(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => any_key(random),
        _ => list_key(random.below(LISTS + 1)),
    }
}

pub fn push(map: &Map, random: &mut Random) {
    for _ in 0..20 {
        let most = 1 << random.below(16);
        let element = vec![6; random.below(most) as usize];
        let _ = map.push(&any_list(random), &element);
        let _ = map.unshift(&any_list(random), &element[..element.len() / 2]);
    }
}

pub fn pop(map: &Map, random: &mut Random) {
    let mut element = Vec::new();
    for _ in 0..15 {
        let _ = map.pop(&any_list(random), &mut element);
        let _ = map.shift(&any_list(random), &mut element);
    }
    let _ = map.delete(&any_list(random));
}

pub fn range(map: &Map, random: &mut Random) {
    let mut elements = Elements::new();
    for _ in 0..5 {
        let _ = map.length(&any_list(random));
        let _ = map.range(&any_list(random), 0, i64::MAX, &mut elements);
        let _ = map.range(&any_list(random), -3, -1, &mut elements);
    }
}

pub fn reap(map: &Map, _: &mut Random) {
    let _ = map.reap();
}

pub fn add(map: &Map, random: &mut Random) {
    for _ in 0..10 {
        let _ = map.add(&integer_key(random.below(INTEGERS + 5)), random.next() as i64 >> 20);
    }
    let _ = map.add(&any_key(random), 1);
}

pub fn delete(map: &Map, random: &mut Random) {
    for _ in 0..20 {
        let _ = map.delete(&any_key(random));
    }
}

pub fn delete_large(map: &Map, random: &mut Random) {
    let _ = map.delete(&large_key(random.below(LARGE)));
}

pub fn repair(map: &Map, random: &mut Random) {
    if random.below(4) == 0 {
        let _ = map.repair();
    }
}

pub fn verify(map: &Map, _: &mut Random) {
    let _ = map.verify();
}
