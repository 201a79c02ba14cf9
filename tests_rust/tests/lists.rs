//! Lists: what they are, against plain ones; what of them nobody sees; and what becomes of their
//! memory.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::clock;
use shf_base::open::{self, Access};
use shf_engine::hash::Hash;
use shf_engine::locate::{self, Located};
use shf_engine::place::{Field, Place};
use shf_engine::{Age, Condition, Cursor, Elements, Kind, Map, OpError, Options, Value};
use shf_tests::map_file::MapFile;
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::{HashMap, VecDeque};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;
const END: i64 = i64::MAX;

fn all_of(map: &Map, key: &[u8]) -> Vec<Vec<u8>> {
    elements(map, key, 0, END)
}

fn elements(map: &Map, key: &[u8], start: i64, end: i64) -> Vec<Vec<u8>> {
    let mut elements = Elements::new();
    map.range(key, start, end, &mut elements).unwrap();
    elements.iter().map(<[u8]>::to_vec).collect()
}

fn popped(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut element = b"left over".to_vec();
    map.pop(key, &mut element).unwrap().map(|len| (assert_eq!(len, element.len()), element).1)
}

fn shifted(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut element = b"left over".to_vec();
    map.shift(key, &mut element).unwrap().map(|len| (assert_eq!(len, element.len()), element).1)
}

/// A list of so many elements, each its number.
fn push_numbers(map: &Map, key: &[u8], count: u64) {
    for n in 0..count {
        assert_eq!(map.push(key, &n.to_le_bytes()), Ok(n + 1));
    }
}

/// A map of each kind.
fn maps(name: &str) -> [(MapFile, Map); 2] {
    [false, true].map(|durable| {
        let file = MapFile::new(&format!("{name}-{durable}"));
        let map = if durable { file.create_durable(2, 16 << 20) } else { file.create(2) };
        (file, map)
    })
}

#[test]
fn a_list_gives_what_was_put_into_it_from_either_end() {
    for (_file, map) in maps("lists-ends") {
        assert_eq!(map.push(b"list", b"b"), Ok(1));
        assert_eq!(map.push(b"list", b""), Ok(2));
        assert_eq!(map.unshift(b"list", b"a"), Ok(3));
        let long = vec![7; 100_000];
        assert_eq!(map.unshift(b"list", &long), Ok(4));
        assert_eq!((map.length(b"list"), map.length(b"none")), (Ok(4), Ok(0)));
        assert_eq!(all_of(&map, b"list"), [&long[..], b"a", b"b", b""]);
        assert_eq!(elements(&map, b"list", 1, -1), [b"a", b"b"]);
        assert_eq!(elements(&map, b"list", -2, 9), [&b"b"[..], b""]);
        assert_eq!(map.kind(b"list"), Ok(Some(Kind::List)));
        assert_sound(&map);
        assert_eq!(shifted(&map, b"list"), Some(long));
        assert_eq!(popped(&map, b"list"), Some(vec![]));
        assert_eq!(popped(&map, b"list"), Some(b"b".to_vec()));
        assert_eq!((map.size(), map.stats().elements), (1, 1));
        assert_eq!(shifted(&map, b"list"), Some(b"a".to_vec()));
        // The last one takes the key with it.
        assert_eq!((shifted(&map, b"list"), popped(&map, b"list")), (None, None));
        assert_eq!((map.contains(b"list"), map.length(b"list")), (Ok(false), Ok(0)));
        assert_eq!((map.size(), map.stats().elements), (0, 0));
        assert!(all_of(&map, b"list").is_empty());
        assert_sound(&map);
    }
}

/// What a key of the plain map holds.
#[derive(Clone, Debug)]
enum Held {
    Bytes(Vec<u8>),
    List(VecDeque<Vec<u8>>),
}

/// A map and what it should hold.
struct Pair {
    map: Map,
    model: HashMap<Vec<u8>, Held>,
    random: Random,
}

impl Pair {
    fn element(&mut self) -> Vec<u8> {
        let len = if self.random.below(100) == 0 { 20_000 } else { self.random.below(120) };
        self.random.bytes(len as usize)
    }

    fn step(&mut self) {
        let key = vec![b'k'; 1 + self.random.below(8) as usize * 40];
        let element = self.element();
        let held = self.model.get_mut(&key);
        let is_list = !matches!(held, Some(Held::Bytes(_)));
        let wrong = OpError::WrongType { expected: "list", found: "bytes" };
        let mut out = Vec::new();
        match self.random.below(100) {
            choice @ 0..40 => {
                let answer = match choice {
                    0..22 => self.map.push(&key, &element),
                    _ => self.map.unshift(&key, &element),
                };
                if !is_list {
                    assert_eq!(answer, Err(wrong));
                    return;
                }
                let list = self.model.entry(key).or_insert(Held::List(VecDeque::new()));
                let Held::List(list) = list else { unreachable!() };
                match choice {
                    0..22 => list.push_back(element),
                    _ => list.push_front(element),
                }
                assert_eq!(answer, Ok(list.len() as u64));
            }
            choice @ 40..75 => {
                let answer = match choice {
                    40..58 => self.map.pop(&key, &mut out),
                    _ => self.map.shift(&key, &mut out),
                };
                if !is_list {
                    assert_eq!(answer, Err(wrong));
                    return;
                }
                let expected = match held {
                    Some(Held::List(list)) if choice < 58 => list.pop_back(),
                    Some(Held::List(list)) => list.pop_front(),
                    _ => None,
                };
                assert_eq!(answer, Ok(expected.as_ref().map(Vec::len)));
                assert_eq!(out, expected.unwrap_or_default());
                if matches!(held, Some(Held::List(list)) if list.is_empty()) {
                    self.model.remove(&key);
                }
            }
            75..90 => {
                let (start, end) = (self.random.below(30) as i64, self.random.below(30) as i64);
                let mut found = Elements::new();
                let answer = self.map.range(&key, start - 15, end - 15, &mut found);
                match held {
                    Some(Held::Bytes(_)) => assert_eq!(answer, Err(wrong)),
                    held => {
                        answer.unwrap();
                        let list = match held {
                            Some(Held::List(list)) => list.clone(),
                            _ => VecDeque::new(),
                        };
                        let place = |at: i64| {
                            let len = list.len() as i64;
                            (if at < 0 { at + len } else { at }).clamp(0, len) as usize
                        };
                        let (start, end) = (place(start - 15), place(end - 15));
                        let expected: Vec<_> = list.range(start..end.max(start)).collect();
                        assert!(found.iter().eq(expected), "{start}..{end} of {}", list.len());
                    }
                }
            }
            90..94 => {
                let replaced = self.map.put(&key, &element).unwrap().replaced;
                let before = self.model.insert(key, Held::Bytes(element));
                assert_eq!(replaced, before.is_some());
            }
            94..98 => {
                assert_eq!(self.map.delete(&key), Ok(self.model.remove(&key).is_some()));
            }
            98 => {
                let age = Age::Of(HOUR);
                assert_eq!(self.map.touch(&key, age), Ok(held.is_some()));
            }
            _ => match self.random.below(4) {
                0 => {
                    assert_eq!(self.map.clear(), Ok(self.model.len() as u64));
                    assert_eq!(self.map.stats().elements, 0);
                    self.model.clear();
                }
                1 => assert_eq!(self.map.reap(), Ok(0)),
                _ => _ = self.map.sync(),
            },
        }
    }

    fn check(&self) {
        assert_sound(&self.map);
        assert_eq!(self.map.size(), self.model.len() as u64);
        let mut visited = 0;
        self.map
            .for_each_with(b"", &mut |pair| {
                visited += 1;
                match &self.model[pair.key] {
                    Held::Bytes(bytes) => {
                        assert!(pair.kind == Kind::Bytes && pair.value == &bytes[..]);
                    }
                    Held::List(list) => {
                        let len = (list.len() as u64).to_le_bytes();
                        assert_eq!((pair.kind, pair.value), (Kind::List, &len[..]));
                        assert_eq!(self.map.length(pair.key), Ok(list.len() as u64));
                        assert!(*list == all_of(&self.map, pair.key));
                    }
                }
                true
            })
            .unwrap();
        assert_eq!(visited, self.model.len());
    }
}

#[test]
fn lists_do_what_plain_ones_do() {
    // Goal: every operation, in any order, with values of all sizes, on keys that are lists at
    // times and at others not. Method: random operations on a map and on a plain one.
    for (_file, map) in maps("lists-model") {
        let mut pair = Pair { map, model: HashMap::new(), random: Random::from_env(31) };
        for step in 0..20_000 {
            pair.step();
            if step % 500 == 0 {
                pair.check();
            }
        }
        pair.check();
    }
}

#[test]
fn what_is_no_list_is_told_from_one_by_every_operation() {
    for (_file, map) in maps("lists-types") {
        push_numbers(&map, b"list", 8);
        map.put(b"bytes", b"some").unwrap();
        map.add(b"number", 1).unwrap();
        let wrong = |expected, found| OpError::WrongType { expected, found };
        let (list, mut sink, mut found) = (b"list", Vec::new(), Elements::new());
        let uid = map.uid(list).unwrap().unwrap();
        let bytes = wrong("bytes", "list");
        assert_eq!(map.get(list, &mut sink), Err(bytes.clone()));
        assert_eq!(map.get_into(list, &mut [0; 8]), Err(bytes.clone()));
        assert_eq!(map.get_into(list, &mut []), Err(bytes.clone()));
        assert_eq!(map.get_uid_to(uid, &mut sink), Err(bytes.clone()));
        assert_eq!(map.get_uid_into(uid, &mut [0; 8]), Err(bytes.clone()));
        assert_eq!(map.get_with_token(list, &mut sink).err(), Some(bytes.clone()));
        assert_eq!(map.get_many(&[list], |_, _| {}), Err(bytes.clone()));
        assert_eq!(map.get_and_touch(list, Age::Of(HOUR), &mut sink), Err(bytes.clone()));
        assert_eq!(map.take(list, &mut sink), Err(bytes.clone()));
        assert_eq!(map.append(list, b"x"), Err(bytes.clone()));
        let eight = 8u64.to_le_bytes();
        let value = Condition::Value(&eight);
        assert_eq!(map.put_if(list, b"x", value), Err(bytes.clone()));
        assert_eq!(map.delete_if(list, value), Err(bytes.clone()));
        let update = map.update(list, |_, _| panic!("it has no value"));
        assert_eq!(update, Err(bytes));
        assert_eq!(map.text(list, &mut String::new()), Err(wrong("text", "list")));
        assert_eq!(map.boolean(list), Err(wrong("boolean", "list")));
        assert_eq!(map.add(list, 1), Err(wrong("integer", "list")));
        assert_eq!(map.number::<u64>(list), Err(wrong("unsigned integer", "list")));
        for (key, name) in [(&b"bytes"[..], "bytes"), (b"number", "integer")] {
            let error = wrong("list", name);
            assert_eq!(map.push(key, b"x"), Err(error.clone()));
            assert_eq!(map.unshift(key, b"x"), Err(error.clone()));
            assert_eq!(map.pop(key, &mut sink), Err(error.clone()));
            assert_eq!(map.shift(key, &mut sink), Err(error.clone()));
            assert_eq!(map.length(key), Err(error.clone()));
            assert_eq!(map.range(key, 0, END, &mut found), Err(error));
            assert!(sink.is_empty() && found.is_empty());
        }
        // Nothing has changed, and what is not about the value goes on.
        assert_eq!((map.length(list), map.time_left(list)), (Ok(8), Ok(Some(None))));
        assert_eq!(map.put_if(list, b"x", Condition::Absent), Ok(None));
        assert_sound(&map);
        assert!(map.put_if(list, b"x", Condition::Present).unwrap().is_some());
        assert_eq!((map.get(list, &mut sink), &sink[..]), (Ok(true), &b"x"[..]));
        assert_eq!(map.reap(), Ok(0));
        assert_eq!(map.stats().elements, 0);
        assert_sound(&map);
    }
}

/// A sink that never has room.
struct Full;

impl shf_engine::Sink for Full {
    fn room(&mut self, _: usize) -> Option<&mut [u8]> {
        None
    }

    fn grow(&mut self, _: usize) -> Option<&mut [u8]> {
        None
    }

    fn discard(&mut self) {}
}

#[test]
fn an_element_stays_where_it_finds_no_room() {
    for (_file, map) in maps("lists-room") {
        for count in [2, 1] {
            map.clear().unwrap();
            push_numbers(&map, b"list", count);
            assert_eq!(map.pop(b"list", &mut Full), Err(OpError::OutOfMemory { bytes: 8 }));
            assert_eq!(map.shift(b"list", &mut Full), Err(OpError::OutOfMemory { bytes: 8 }));
            assert_eq!(map.length(b"list"), Ok(count));
            assert_sound(&map);
        }
    }
}

#[test]
fn lists_have_the_ages_that_keys_have() {
    for (_file, map) in maps("lists-ages") {
        clock::shift(0);
        push_numbers(&map, b"touched", 5);
        push_numbers(&map, b"immortal", 5);
        let uid = map.uid(b"touched").unwrap();
        // The record is written anew, with a word for the deadline, and then changed in place.
        for hours in [1, 2] {
            assert_eq!(map.touch(b"touched", Age::Of(hours * HOUR)), Ok(true));
            assert_eq!((map.uid(b"touched").unwrap(), map.length(b"touched")), (uid, Ok(5)));
            assert_eq!(all_of(&map, b"touched").len(), 5);
            assert_sound(&map);
        }
        map.set_default_age(Some(HOUR)).unwrap();
        push_numbers(&map, b"mortal", 5);
        assert_eq!(map.push(b"immortal", b"more"), Ok(6));
        assert_eq!(map.time_left(b"immortal"), Ok(Some(None)));
        clock::shift(HOUR_MS / 2);
        assert_eq!(map.push(b"mortal", b"more"), Ok(6));
        clock::shift(HOUR_MS + 1000);
        assert_eq!((map.length(b"mortal"), map.contains(b"mortal")), (Ok(0), Ok(false)));
        assert!(all_of(&map, b"mortal").is_empty() && popped(&map, b"mortal").is_none());
        assert_eq!(map.length(b"touched"), Ok(5));
        assert_sound(&map);
        // Another life of the key, of which nothing is left.
        assert_eq!(map.unshift(b"mortal", b"new"), Ok(1));
        assert_eq!(all_of(&map, b"mortal"), [b"new"]);
        assert_sound(&map);
        clock::shift(3 * HOUR_MS);
        assert_eq!(map.reap(), Ok(2));
        assert_eq!((map.size(), map.stats().elements), (1, 6));
        assert_sound(&map);
        clock::shift(0);
    }
}

#[test]
fn nobody_sees_the_elements_but_through_their_list() {
    // Goal: a key that has the bytes of an element's key is another one, and no walk, size, UID or
    // short UID leads to an element. Method: keys of all these bytes beside a list, and walks.
    for (_file, map) in maps("lists-hidden") {
        push_numbers(&map, b"list", 1000);
        let uid = map.uid(b"list").unwrap().unwrap();
        let keys = (0..1000u32).map(|n| [&uid.bits().to_le_bytes()[..], &n.to_le_bytes()].concat());
        for key in keys.clone() {
            assert_eq!((map.contains(&key), map.delete(&key)), (Ok(false), Ok(false)));
            assert_eq!(map.uid(&key), Ok(None));
        }
        assert_eq!((map.size(), map.stats().keys, map.stats().elements), (1, 1, 1000));
        let seen = |prefix: &[u8]| {
            let (mut walked, mut scanned, mut viewed) = (0, 0, 0);
            map.for_each_with(prefix, &mut |_| (walked += 1, true).1).unwrap();
            let mut cursor = Some(Cursor::START);
            while let Some(at) = cursor {
                cursor = map.scan(at, prefix, &mut |_| (scanned += 1, true).1).unwrap();
            }
            for shard in 0..2 {
                map.view(shard, &mut |_| (viewed += 1, true).1).unwrap();
            }
            (walked, scanned, viewed)
        };
        assert_eq!((seen(b""), seen(&uid.bits().to_le_bytes())), ((1, 1, 1), (0, 0, 1)));
        assert_eq!(map.uid_of_short(uid.short(2)), Ok(Some(uid)));
        // UIDs of which all but the generation may be that of an element.
        let mut out = Vec::new();
        for bits in 0..2000u64 {
            let generation = 1 << 33;
            let other = shf_engine::Uid::from_bits(uid.bits() + bits * generation);
            let found = map.key_of_uid(other, &mut out).unwrap();
            assert!(found.is_none() || out == b"list");
        }
        for key in keys.clone() {
            map.put(&key, &key).unwrap();
        }
        assert_eq!(
            (map.size(), seen(b"").0, seen(&uid.bits().to_le_bytes()).0),
            (1001, 1001, 1000)
        );
        assert_sound(&map);
        for key in keys {
            assert_eq!((map.get(&key, &mut out), &out), (Ok(true), &key));
            assert_eq!(map.delete(&key), Ok(true));
        }
        assert!(
            all_of(&map, b"list")
                .iter()
                .map(|n| u64::from_le_bytes(n[..].try_into().unwrap()))
                .eq(0..1000)
        );
        assert_sound(&map);
    }
}

#[test]
fn uids_lead_to_lists_as_to_other_keys() {
    for (_file, map) in maps("lists-uids") {
        push_numbers(&map, b"list", 3);
        let uid = map.uid(b"list").unwrap().unwrap();
        assert!(map.push(b"list", b"x").is_ok() && map.contains_uid(uid).unwrap());
        let mut key = Vec::new();
        assert_eq!((map.key_of_uid(uid, &mut key), &key[..]), (Ok(Some(4)), &b"list"[..]));
        assert_eq!(map.delete_uid(uid), Ok(true));
        assert_eq!((map.contains_uid(uid), map.stats().elements > 0), (Ok(false), true));
        push_numbers(&map, b"list", 3);
        assert_eq!(map.contains_uid(uid), Ok(false));
        let uid = map.uid(b"list").unwrap().unwrap();
        assert!(map.put_uid(uid, b"bytes").unwrap().unwrap().replaced);
        assert_eq!(map.get_uid_to(uid, &mut key), Ok(Some(5)));
        map.reap().unwrap();
        assert_eq!(map.stats().elements, 0);
        assert_sound(&map);
    }
}

#[test]
fn what_a_list_leaves_behind_goes_with_the_puts_that_follow() {
    // Goal: the elements of a list that is gone go, without anyone asking for it, whatever ended
    // it; and their memory is used again. Method: each way to end one, then puts and deletes.
    type End = (&'static str, fn(&Map));
    let ends: [End; 5] = [
        ("delete", |map| assert_eq!(map.delete(b"list"), Ok(true))),
        ("put", |map| assert!(map.put(b"list", b"x").unwrap().replaced)),
        ("number", |map| _ = map.put_value(b"list", Value::Integer(1)).unwrap()),
        ("condition", |map| assert_eq!(map.delete_if(b"list", Condition::Present), Ok(true))),
        ("age", |map| {
            assert_eq!(map.touch(b"list", Age::Of(HOUR)), Ok(true));
            clock::shift(2 * HOUR_MS);
        }),
    ];
    for (_file, map) in maps("lists-orphans") {
        for (name, end) in ends {
            push_numbers(&map, b"list", 3000);
            push_numbers(&map, b"another", 100);
            let before = map.stats().committed_bytes;
            end(&map);
            assert_sound(&map);
            for n in 0..1200u64 {
                map.put(&n.to_le_bytes(), &n.to_le_bytes()).unwrap();
                map.delete(&n.to_le_bytes()).unwrap();
            }
            assert_eq!(map.stats().elements, 100, "{name}");
            assert_eq!(all_of(&map, b"another").len(), 100);
            assert_sound(&map);
            assert!(map.stats().committed_bytes <= before + (64 << 10), "{name}");
            clock::shift(0);
            map.clear().unwrap();
            assert_eq!((map.size(), map.stats().elements), (0, 0));
            assert_sound(&map);
        }
    }
}

#[test]
fn a_full_map_takes_new_values_where_a_list_was() {
    // Goal: no false "no space" while there are orphans. Method: a full map of one list, which is
    // deleted, and puts of other sizes.
    let file = MapFile::new("lists-full");
    let map = file.create_with(1, 2 << 20);
    let mut count = 0;
    while map.push(b"list", &[1; 100]).is_ok() {
        count += 1;
    }
    assert_sound(&map);
    assert!(matches!(map.push(b"new", &[1; 100]), Err(OpError::NoSpace { .. })));
    assert!(matches!(map.push(b"list", &[1; 100]), Err(OpError::NoSpace { .. })));
    assert_eq!((map.length(b"list"), map.stats().elements), (Ok(count), count));
    assert_sound(&map);
    assert_eq!(map.delete(b"list"), Ok(true));
    for n in 0..count / 2 {
        map.put(&n.to_le_bytes(), &[2; 150]).unwrap();
    }
    assert_sound(&map);
    map.clear().unwrap();
    let again = (0..).take_while(|_| map.push(b"list", &[1; 100]).is_ok()).count() as u64;
    assert!(again >= count - count / 16, "{again} elements, {count} before");
    assert_sound(&map);
    // And a full one lets its elements go.
    for left in (0..again).rev() {
        assert!(shifted(&map, b"list").is_some());
        assert_eq!(map.length(b"list"), Ok(left));
    }
    assert_sound(&map);
}

#[test]
fn a_queue_that_goes_on_and_on_keeps_its_size() {
    // Goal: a list through which many elements pass takes the memory of those that are in it, and
    // their indices come around. Method: a queue of 1000, from near the end of the indices on.
    let file = MapFile::new("lists-queue");
    let map = file.create(1);
    push_numbers(&map, b"queue", 1000);
    let before = map.stats().committed_bytes;
    for n in 1000..100_000u64 {
        assert_eq!(shifted(&map, b"queue"), Some((n - 1000).to_le_bytes().to_vec()));
        assert_eq!(map.push(b"queue", &n.to_le_bytes()), Ok(1000));
    }
    assert!(map.stats().committed_bytes <= before + (64 << 10));
    for n in 0..3000u64 {
        map.unshift(b"queue", &n.to_le_bytes()).unwrap();
    }
    for n in 0..3000u64 {
        assert_eq!(shifted(&map, b"queue"), Some((2999 - n).to_le_bytes().to_vec()));
    }
    assert_sound(&map);
}

#[test]
fn ranges_are_of_one_moment_beside_pushes_and_pops() {
    // Goal: a range is a snapshot. Method: a queue of consecutive numbers, whose writer pushes one
    // behind and shifts one, or the other way round; whatever a reader sees is consecutive, and no
    // shorter than the queue ever is.
    let _watchdog = Watchdog::new("ranges beside pushes and pops");
    let file = MapFile::new("lists-ranges");
    let map = file.create(1);
    const LEN: u64 = 50;
    push_numbers(&map, b"queue", LEN);
    let over = AtomicBool::new(false);
    let numbers = |elements: &Elements| -> Vec<u64> {
        elements.iter().map(|n| u64::from_le_bytes(n.try_into().unwrap())).collect()
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (over, reading) = (&over, file.open());
                scope.spawn(move || {
                    let (mut elements, mut ranges, mut busy, mut latest) =
                        (Elements::new(), 0u64, 0u64, 0);
                    while !over.load(Ordering::Relaxed) {
                        let start = if reader == 0 { 0 } else { -5 };
                        match reading.range(b"queue", start, END, &mut elements) {
                            Ok(()) => {}
                            Err(OpError::Busy) => {
                                busy += 1;
                                continue;
                            }
                            Err(error) => panic!("{error}"),
                        }
                        let numbers = numbers(&elements);
                        let len = numbers.len() as u64;
                        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{numbers:?}");
                        let right = if reader == 0 { LEN - 1..=LEN + 1 } else { 5..=5 };
                        assert!(right.contains(&len), "{len}");
                        assert!(numbers[len as usize - 1] >= latest, "back in time");
                        latest = numbers[len as usize - 1];
                        ranges += 1;
                    }
                    println!("reader {reader}: {ranges} ranges, {busy} busy");
                    ranges
                })
            })
            .collect();
        let mut random = Random::from_env(32);
        let mut other = 0u64;
        for n in LEN..LEN + 100_000 {
            if random.below(2) == 0 {
                map.push(b"queue", &n.to_le_bytes()).unwrap();
                shifted(&map, b"queue").unwrap();
            } else {
                shifted(&map, b"queue").unwrap();
                map.push(b"queue", &n.to_le_bytes()).unwrap();
            }
            // Others are born and go in between, so that blocks are used for something else.
            other += 1;
            map.put(&(other % 100).to_le_bytes(), &vec![9; (other % 200) as usize]).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_sound(&map);
}

#[test]
fn a_range_sees_no_element_that_came_under_the_index_of_another() {
    // Goal: as above, where indices are used again and again: a stack that is popped and pushed,
    // each element with the number of its push. Whatever is seen was there at one moment: the
    // numbers rise.
    let _watchdog = Watchdog::new("ranges of a stack");
    let file = MapFile::new("lists-stack");
    let map = file.create(1);
    push_numbers(&map, b"stack", 20);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (reading, mut elements, mut ranges) = (file.open_read_only(), Elements::new(), 0);
            while !over.load(Ordering::Relaxed) {
                if reading.range(b"stack", 0, END, &mut elements) == Err(OpError::Busy) {
                    continue;
                }
                let numbers: Vec<_> =
                    elements.iter().map(|n| u64::from_le_bytes(n.try_into().unwrap())).collect();
                assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
                assert!(!numbers.is_empty());
                ranges += 1;
            }
            ranges
        });
        let (mut random, mut next, mut len) = (Random::from_env(33), 20u64, 20);
        for _ in 0..200_000 {
            if len > 2 && random.below(20) < len {
                popped(&map, b"stack").unwrap();
                len -= 1;
            } else {
                map.push(b"stack", &next.to_le_bytes()).unwrap();
                (next, len) = (next + 1, len + 1);
            }
        }
        over.store(true, Ordering::Relaxed);
        let ranges = reader.join().unwrap();
        println!("{ranges} ranges");
        assert!(ranges > 0);
    });
    assert_sound(&map);
}

#[test]
fn a_range_of_old_elements_needs_no_lock_when_births_have_come_around() {
    // Goal: stamps that come around do not keep a range from being read, by who cannot lock.
    // Method: births are set so that the next one has the number of an element of the list.
    let file = MapFile::new("lists-old");
    let map = file.create(1);
    push_numbers(&map, b"list", 10);
    map.delete(b"not there").unwrap();
    let keys = map.geometry().shard_header(0) + Field::Keys as u64 + 4;
    let raw = OpenOptions::new().write(true).open(file.path()).unwrap();
    for births in (1 << 20) - 3..(1 << 20) + 15u32 {
        raw.write_all_at(&births.to_le_bytes(), keys).unwrap();
        let (reading, mut elements) = (file.open_read_only(), Elements::new());
        reading.range(b"list", 0, END, &mut elements).unwrap();
        assert_eq!(elements.len(), 10);
    }
}

/// Where the header of an element's record lies.
fn offset_of(file: &MapFile, map: &Map, key: &[u8], index: u32) -> u64 {
    let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
    let uid = map.uid(key).unwrap().unwrap();
    let element = shf_engine::element::ElementKey { list: uid.bits(), index };
    let shard = Hash::of(key, peek.header.secret).shard(peek.header.geometry.shards());
    let place = Place::new(&peek.storage, &peek.header, shard);
    match locate::element(place, element.hash(peek.header.secret), element).unwrap() {
        Located::Found(_, word, _) => place.unit_offset(place.slot_format().reference(word)),
        _ => panic!("the element is there"),
    }
}

#[test]
fn a_rebuild_closes_the_gaps_that_damage_has_made() {
    // Goal: what is left of a list is there in order, at its beginning, without a gap. Method:
    // records of some elements are overwritten, also those at the ends and all of one list; repair.
    for (file, map) in maps("lists-gaps") {
        push_numbers(&map, b"list", 500);
        for n in 500..520u64 {
            map.unshift(b"list", &n.to_le_bytes()).unwrap();
        }
        map.push(b"single", b"one").unwrap();
        push_numbers(&map, b"whole", 100);
        push_numbers(&map, b"gone", 100);
        map.delete(b"gone").unwrap();
        let mut expected = all_of(&map, b"list");
        let raw = OpenOptions::new().write(true).open(file.path()).unwrap();
        let damage = |key: &[u8], index: u32| {
            let offset = offset_of(&file, &map, key, index);
            raw.write_all_at(&[0xff; 8], offset).unwrap();
        };
        let first = 0u32.wrapping_sub(20);
        for place in [0, 1, 7, 100, 101, 102, 300, 519u32] {
            damage(b"list", first.wrapping_add(place));
            expected[place as usize].clear();
        }
        damage(b"single", 0);
        expected.retain(|element| !element.is_empty());
        assert!(!map.verify().unwrap().is_empty());
        let repaired = map.repair().unwrap();
        assert!(repaired.shards > 0 && !repaired.lost.is_empty());
        assert_sound(&map);
        assert!(all_of(&map, b"list") == expected);
        assert_eq!(map.length(b"list"), Ok(512));
        assert_eq!((map.contains(b"single"), map.length(b"whole")), (Ok(false), Ok(100)));
        assert_eq!(map.size(), 2);
        // It goes on as a list.
        assert_eq!(map.push(b"list", b"last"), Ok(513));
        assert_eq!(shifted(&map, b"list"), Some(expected[0].clone()));
        map.reap().unwrap();
        assert_eq!(map.stats().elements, 512 + 100);
        assert_sound(&map);
    }
}

#[test]
fn a_map_that_is_closed_and_opened_has_its_lists() {
    for (file, map) in maps("lists-again") {
        push_numbers(&map, b"list", 100);
        drop(map);
        let map = file.open();
        assert_eq!(
            (map.length(b"list"), all_of(&file.open_read_only(), b"list").len()),
            (Ok(100), 100)
        );
        assert_eq!(map.push(b"list", b"more"), Ok(101));
        assert_sound(&map);
    }
}

#[test]
fn keys_and_elements_that_are_too_long_are_refused() {
    let map = Map::heap(1, 1 << 20, u64::MAX);
    let long = vec![1; 17_000];
    let error = map.push(&long, b"x").unwrap_err();
    assert!(matches!(error, OpError::TooLarge { limit_bytes: 16384, .. }), "{error:?}");
    let error = map.push(b"list", &vec![0; 2 << 20]).unwrap_err();
    assert!(matches!(error, OpError::TooLarge { option: "max_bytes", .. }), "{error:?}");
    assert_eq!(map.push(&long[..16_000], b"x"), Ok(1));
    let options = Options::default();
    assert!(options.durable.is_none());
    assert_sound(&map);
}
