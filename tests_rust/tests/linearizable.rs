//! P6 across processes: what each process saw, in time, and whether one order explains it.
#![cfg(not(any(miri, loom)))]

use shf_engine::{Condition, Elements, Map, Token};
use shf_tests::board::Board;
use shf_tests::clock::now;
use shf_tests::history::{Call, Event, ListCall, digest, linearizable, linearizable_from};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::VecDeque;
use std::time::Duration;

/// Keys that are put, got and deleted; as many others are counters.
const KEYS: u64 = 3;
/// Processes at a time; the first goes to the end, the others are killed and replaced.
const PROCESSES: usize = 3;
/// Kills, one after the other.
const KILLS: usize = 15;
/// How long a process lives that is killed, at most.
const LIFE_MS: u64 = 8;
/// Calls that a process makes at most.
const CALLS: usize = 60_000;
/// Of lists, whose states are many: where calls that were cut short may belong is a long search.
const LIST_CALLS: usize = 10_000;
const LIST_KILLS: usize = 3;
/// Numbers on the board for one call: begun, ended, kind and key, argument, answer, expected.
const NUMBERS: usize = 6;

const PUT: u64 = 0;
const GET: u64 = 1;
const DELETE: u64 = 2;
const ADD: u64 = 3;
const INSERT: u64 = 4;
const SWAP: u64 = 5;
const TAKE: u64 = 6;
/// Bits of the kind.
const KIND_BITS: u32 = 3;
/// The answer of a get that finds nothing.
const NOTHING: i64 = i64::MIN;

/// Where a call is written down, before and after it.
struct Log {
    board: Board,
    first: usize,
}

impl Log {
    /// That of the `index`-th call of a process.
    fn of(board: Board, process: usize, index: usize) -> Log {
        Log { board, first: (process * CALLS + index) * NUMBERS }
    }

    fn set(&self, number: usize, value: u64) {
        self.board.set(self.first + number, value);
    }

    fn get(&self, number: usize) -> u64 {
        self.board.get(self.first + number)
    }

    /// The event and its key; `None` when the call was not begun.
    fn event(&self) -> Option<(u64, Event)> {
        let (begun, ended, what) = (self.get(0), self.get(1), self.get(2));
        if begun == 0 {
            return None;
        }
        let (argument, answer) = (self.get(3) as i64, self.get(4) as i64);
        let done = ended != 0;
        let found = |number: i64| (number != NOTHING).then_some(number);
        let call = match what & ((1 << KIND_BITS) - 1) {
            PUT => Call::Put(argument, done.then_some(answer == 1)),
            DELETE => Call::Delete(done.then_some(answer == 1)),
            ADD => Call::Add(argument, done.then_some(answer)),
            INSERT => Call::Insert(argument, done.then_some(answer == 1)),
            SWAP => Call::Swap(found(self.get(5) as i64), argument, done.then_some(answer == 1)),
            TAKE => Call::Take(done.then_some(found(answer))),
            _ => Call::Get(if done { found(answer) } else { None }),
        };
        let ended = if done { ended } else { u64::MAX };
        Some((what >> KIND_BITS, Event { begun, ended, call }))
    }
}

/// Values of changing length, so that memory is used again and moved; the first 8 bytes count.
fn value(number: i64, len: u64) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(8 + len as usize, number as u8);
    value
}

/// Makes one random call and writes it down.
fn call(map: &Map, log: &Log, process: usize, index: usize, random: &mut Random) {
    let key = random.below(2 * KEYS);
    let kind = match random.below(10) {
        0..5 => GET,
        5 => [DELETE, TAKE][random.below(2) as usize],
        _ if key < KEYS => [PUT, PUT, INSERT, SWAP][random.below(4) as usize],
        _ => ADD,
    };
    let argument = match kind {
        PUT | INSERT | SWAP => (process * CALLS + index) as i64,
        _ => 1 + random.below(100) as i64,
    };
    let len = random.below(120) * random.below(2);
    let (bytes, put, mut found) = (key.to_le_bytes(), value(argument, len), Vec::new());
    log.set(2, key << KIND_BITS | kind);
    log.set(3, argument as u64);
    let number = |found: &[u8]| i64::from_le_bytes(found[..8].try_into().unwrap());
    let mut token = Token::ABSENT;
    if kind == SWAP {
        let before = map.get_with_token(&bytes, &mut found).unwrap();
        token = before.unwrap_or(token);
        log.set(5, before.map_or(NOTHING, |_| number(&found)) as u64);
    }
    log.set(0, now());
    let answer = match kind {
        PUT => map.put(&bytes, &put).unwrap().replaced.into(),
        DELETE => map.delete(&bytes).unwrap().into(),
        ADD => map.add(&bytes, argument).unwrap(),
        INSERT => map.put_if(&bytes, &put, Condition::Absent).unwrap().is_some().into(),
        SWAP => map.put_if(&bytes, &put, Condition::Token(token)).unwrap().is_some().into(),
        TAKE => map.take(&bytes, &mut found).unwrap().map_or(NOTHING, |_| number(&found)),
        _ => match map.get(&bytes, &mut found).unwrap() {
            true => number(&found),
            false => NOTHING,
        },
    };
    let ended = now();
    log.set(4, answer as u64);
    log.set(1, ended);
}

fn work(map: &Map, board: Board, process: usize, seed: u64, calls: usize) -> bool {
    let mut random = Random::new(seed);
    for index in 0..calls {
        call(map, &Log::of(board, process, index), process, index, &mut random);
    }
    true
}

/// What all processes did to a key.
fn history(board: Board, processes: usize, key: u64) -> Vec<Vec<Event>> {
    let events = |process| {
        let logs = (0..CALLS).map(move |index| Log::of(board, process, index));
        // A get that was cut short says nothing.
        let says = |event: &Event| event.ended != u64::MAX || !matches!(event.call, Call::Get(_));
        let events = logs.map_while(|log| log.event()).filter(|(_, event)| says(event));
        events.filter(|(of, _)| *of == key).map(|(_, event)| event).collect()
    };
    (0..processes).map(events).collect()
}

/// Judges all keys; returns the number of calls.
fn judge(board: Board, processes: usize) -> usize {
    let mut calls = 0;
    for key in 0..2 * KEYS {
        let history = history(board, processes, key);
        calls += history.iter().map(Vec::len).sum::<usize>();
        linearizable(&history).unwrap_or_else(|why| panic!("key {key}: {why}"));
    }
    calls
}

#[test]
fn calls_of_several_processes_on_a_key_have_an_order() {
    // Goal: P6 across processes. Method: processes make random calls on a few keys, written down
    // with the times before and after; a search looks for an order of each key's calls.
    let _watchdog = Watchdog::new("calls of several processes");
    let mut random = Random::from_env(7);
    let file = MapFile::new("linearizable");
    let (map, board) = (file.create(1), Board::of(PROCESSES * CALLS * NUMBERS));
    let children: Vec<i32> = (0..PROCESSES)
        .map(|process| {
            let seed = random.next();
            // Half use the inherited handle, half one of their own.
            process::spawn(|| match process % 2 {
                0 => work(&map, board, process, seed, CALLS),
                _ => work(&file.open(), board, process, seed, CALLS),
            })
        })
        .collect();
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    println!("{} calls", judge(board, PROCESSES));
    assert_sound(&map);
}

#[test]
fn calls_of_processes_that_are_killed_have_an_order() {
    // Goal: P6 and P2 together: what was acknowledged or seen stays, and a call cut short happened
    // or not. Method: as before, while processes are killed and replaced at random times.
    let _watchdog = Watchdog::new("calls of killed processes");
    let mut random = Random::from_env(8);
    let file = MapFile::new("linearizable-killed");
    let processes = PROCESSES + KILLS;
    let (map, board) = (file.create(1), Board::of(processes * CALLS * NUMBERS));
    let mut seed = Random::new(random.next());
    let mut start = |process: usize| {
        let seed = seed.next();
        process::spawn(|| work(&file.open(), board, process, seed, CALLS))
    };
    let steady = start(0);
    let mut others: Vec<i32> = (1..PROCESSES).map(&mut start).collect();
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_micros(random.below(LIFE_MS * 1000)));
        let victim = others.remove(0);
        process::signal(victim, libc::SIGKILL);
        process::wait(victim);
        others.push(start(PROCESSES + kill));
    }
    for child in others.into_iter().chain([steady]) {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    println!("{} calls, {} repairs", judge(board, processes), map.stats().repairs);
    assert_sound(&map);
}

/// Lists that are pushed to and popped.
const LISTS: u64 = 2;
/// Kinds of calls on them.
const PUSH: u64 = 0;
const UNSHIFT: u64 = 1;
const POP: u64 = 2;
const SHIFT: u64 = 3;
const LENGTH: u64 = 4;
const RANGE: u64 = 5;
const DELETE_LIST: u64 = 6;

/// Makes one random call on a list and writes it down.
fn call_list(map: &Map, log: &Log, process: usize, index: usize, random: &mut Random) {
    let list = random.below(LISTS);
    // More go than come, so that lists stay short, and are gone at times.
    let kind = match random.below(16) {
        0..3 => PUSH,
        3..5 => UNSHIFT,
        5..8 => POP,
        8..11 => SHIFT,
        11 => LENGTH,
        12..15 => RANGE,
        _ => DELETE_LIST,
    };
    let argument = (process * CALLS + index) as i64;
    let (key, element) = (list.to_le_bytes(), value(argument, random.below(100)));
    let (mut found, mut elements) = (Vec::new(), Elements::new());
    let number = |found: &[u8]| i64::from_le_bytes(found[..8].try_into().unwrap());
    log.set(2, list << KIND_BITS | kind);
    log.set(3, argument as u64);
    log.set(0, now());
    let answer = match kind {
        PUSH => map.push(&key, &element).unwrap() as i64,
        UNSHIFT => map.unshift(&key, &element).unwrap() as i64,
        POP => map.pop(&key, &mut found).unwrap().map_or(NOTHING, |_| number(&found)),
        SHIFT => map.shift(&key, &mut found).unwrap().map_or(NOTHING, |_| number(&found)),
        LENGTH => map.length(&key).unwrap() as i64,
        RANGE => {
            map.range(&key, 0, i64::MAX, &mut elements).unwrap();
            digest(elements.iter().map(number)) as i64
        }
        _ => map.delete(&key).unwrap().into(),
    };
    let ended = now();
    log.set(4, answer as u64);
    log.set(1, ended);
}

/// The call on a list and its number; `None` when it was not begun.
fn list_event(log: &Log) -> Option<(u64, Event<ListCall>)> {
    let (begun, ended, what) = (log.get(0), log.get(1), log.get(2));
    if begun == 0 {
        return None;
    }
    let (argument, answer, done) = (log.get(3) as i64, log.get(4), ended != 0);
    let found = done.then_some((answer as i64 != NOTHING).then_some(answer as i64));
    let call = match what & ((1 << KIND_BITS) - 1) {
        PUSH => ListCall::Push(argument, done.then_some(answer)),
        UNSHIFT => ListCall::Unshift(argument, done.then_some(answer)),
        POP => ListCall::Pop(found),
        SHIFT => ListCall::Shift(found),
        LENGTH => ListCall::Length(answer),
        RANGE => ListCall::Range(answer),
        _ => ListCall::Delete(done.then_some(answer == 1)),
    };
    let ended = if done { ended } else { u64::MAX };
    Some((what >> KIND_BITS, Event { begun, ended, call }))
}

/// Judges all lists; returns the number of calls.
fn judge_lists(board: Board, processes: usize) -> usize {
    let mut calls = 0;
    for list in 0..LISTS {
        let logs = |process| (0..LIST_CALLS).map(move |index| Log::of(board, process, index));
        // What looks and was cut short says nothing.
        let says = |event: &Event<ListCall>| {
            event.ended != u64::MAX
                || !matches!(event.call, ListCall::Length(_) | ListCall::Range(_))
        };
        let events: Vec<_> = (0..processes)
            .flat_map(|process| logs(process).map_while(|log| list_event(&log)))
            .filter(|(of, event)| *of == list && says(event))
            .map(|(_, event)| event)
            .collect();
        calls += events.len();
        linearizable_from(VecDeque::new(), &events)
            .unwrap_or_else(|why| panic!("list {list}: {why}"));
    }
    calls
}

fn work_on_lists(map: &Map, board: Board, process: usize, seed: u64, calls: usize) -> bool {
    let mut random = Random::new(seed);
    for index in 0..calls {
        call_list(map, &Log::of(board, process, index), process, index, &mut random);
    }
    true
}

#[test]
fn calls_of_several_processes_on_a_list_have_an_order() {
    // Goal: P6 for lists, across processes, some of which are killed. Method: as for keys: calls at
    // both ends, lengths, ranges and deletes, of which an order is looked for.
    let _watchdog = Watchdog::new("calls on lists");
    let mut random = Random::from_env(9);
    let file = MapFile::new("linearizable-lists");
    let processes = PROCESSES + LIST_KILLS;
    let (map, board) = (file.create(1), Board::of(processes * CALLS * NUMBERS));
    let mut seed = Random::new(random.next());
    let mut start = |process: usize| {
        let seed = seed.next();
        process::spawn(|| work_on_lists(&file.open(), board, process, seed, LIST_CALLS))
    };
    let steady = start(0);
    let mut others: Vec<i32> = (1..PROCESSES).map(&mut start).collect();
    for kill in 0..LIST_KILLS {
        std::thread::sleep(Duration::from_micros(random.below(LIFE_MS * 1000)));
        let victim = others.remove(0);
        process::signal(victim, libc::SIGKILL);
        process::wait(victim);
        others.push(start(PROCESSES + kill));
    }
    for child in others.into_iter().chain([steady]) {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    println!("{} calls, {} repairs", judge_lists(board, processes), map.stats().repairs);
    assert_sound(&map);
}
