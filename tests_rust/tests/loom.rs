//! The model checker on the engine's own reads and writes: every order of two threads' accesses,
//! and every value that the memory model lets a load return, up to a number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p shf-tests --test loom --release`. Each model
//! prepares a small map outside of loom; its two threads then call `Map` as a program would.
#![cfg(loom)]

use loom::thread::JoinHandle;
use shf_base::atomic::model;
use shf_base::open::HEAP_SECRET;
use shf_engine::group::SLOTS;
use shf_engine::hash::Hash;
use shf_engine::{Elements, Map};
use std::sync::Arc;

const KEY: &[u8] = b"the key!";
const OTHER: &[u8] = b"another!";
/// Bytes of a value: two words, so that it can tear.
const VALUE_BYTES: usize = 16;
/// The stack of a model's thread; loom's default is too small for a panic's message.
const STACK_BYTES: usize = 256 << 10;

/// Bytes of a value that gets pages of its own (under loom these begin at 64 bytes).
const LARGE_BYTES: usize = 64;

type Value = [u8; VALUE_BYTES];

/// A map with one shard and the smallest window.
fn prepared(prepare: impl FnOnce(&Map)) -> Arc<Map> {
    let map = Map::heap(1, 256 << 10, 1 << 20);
    prepare(&map);
    Arc::new(map)
}

fn value(number: u8) -> Value {
    [number; VALUE_BYTES]
}

fn put(map: &Map, key: &[u8], number: u8) -> bool {
    map.put(key, &value(number)).unwrap().replaced
}

/// The number in the value, which must be whole.
fn get(map: &Map, key: &[u8]) -> Option<u8> {
    let mut found = value(0xee);
    let len = map.get_into(key, &mut found).unwrap()?;
    assert_eq!(len, VALUE_BYTES);
    assert_eq!(found, value(found[0]), "a torn value");
    Some(found[0])
}

fn spawn<T: Send + 'static>(
    map: &Arc<Map>,
    work: impl FnOnce(&Map) -> T + Send + 'static,
) -> JoinHandle<T> {
    let map = map.clone();
    let builder = loom::thread::Builder::new().stack_size(STACK_BYTES);
    builder.spawn(move || work(&map)).unwrap()
}

/// Explores `reader` against `writer`, and hands what both returned to `judge`.
fn explore<R: Send + 'static, W: Send + 'static>(
    preemptions: usize,
    map: Arc<Map>,
    reader: fn(&Map) -> R,
    writer: fn(&Map) -> W,
    judge: impl Fn(&Map, R, W) + Send + Sync + 'static,
) {
    let executions = model::check(preemptions, move || {
        let (reader, writer) = (spawn(&map, reader), spawn(&map, writer));
        let (read, written) = (reader.join().unwrap(), writer.join().unwrap());
        judge(&map, read, written);
    });
    println!("{executions} executions");
    assert!(executions > 1, "the threads met");
}

#[test]
fn a_get_beside_a_replace_sees_the_old_or_the_new_value_whole() {
    let map = prepared(|map| _ = put(map, KEY, 1));
    explore(
        3,
        map,
        |map| get(map, KEY),
        |map| put(map, KEY, 2),
        |map, read, replaced| {
            assert!(replaced && matches!(read, Some(1 | 2)), "{read:?}");
            assert_eq!(get(map, KEY), Some(2));
        },
    );
}

#[test]
fn a_get_beside_two_replaces_is_not_fooled_by_a_slot_that_looks_as_before() {
    // Goal: A, B, A. Method: the second replace uses the memory of the first value again, so that
    // the slot's word is what it was and the bytes are others.
    let map = prepared(|map| _ = put(map, KEY, 1));
    explore(
        3,
        map,
        |map| get(map, KEY),
        |map| (put(map, KEY, 2), put(map, KEY, 3)),
        |_, read, _| assert!(matches!(read, Some(1..=3)), "{read:?}"),
    );
}

#[test]
fn a_get_of_a_deleted_key_never_sees_the_key_that_took_its_memory() {
    let map = prepared(|map| _ = put(map, KEY, 1));
    explore(
        3,
        map,
        |map| get(map, KEY),
        |map| (map.delete(KEY).unwrap(), put(map, OTHER, 2)),
        |map, read, written| {
            assert!(matches!(read, None | Some(1)), "{read:?}");
            assert_eq!(written, (true, false));
            assert_eq!((get(map, KEY), get(map, OTHER)), (None, Some(2)));
        },
    );
}

fn put_large(map: &Map, key: &[u8], number: u8) {
    map.put(key, &[number; LARGE_BYTES]).unwrap();
}

fn get_large(map: &Map, key: &[u8]) -> Option<u8> {
    let mut found = Vec::new();
    if !map.get(key, &mut found).unwrap() {
        return None;
    }
    assert_eq!(found, [found[0]; LARGE_BYTES], "a torn value");
    Some(found[0])
}

#[test]
fn a_long_copy_never_mixes_a_freed_record_with_the_one_that_took_its_pages() {
    // Goal: the counts of freed and used runs validate a copy that the slot no longer does.
    // Method: the pages of the first value are free after the replace and taken by the next put.
    let map = prepared(|map| put_large(map, KEY, 1));
    explore(
        2,
        map,
        |map| get_large(map, KEY),
        |map| {
            put_large(map, KEY, 2);
            put_large(map, OTHER, 3);
        },
        |map, read, ()| {
            assert!(matches!(read, Some(1 | 2)), "{read:?}");
            assert_eq!((get_large(map, KEY), get_large(map, OTHER)), (Some(2), Some(3)));
        },
    );
}

#[test]
fn a_long_copy_beside_its_delete_and_new_pages_is_whole_or_absent() {
    let map = prepared(|map| put_large(map, KEY, 1));
    explore(
        2,
        map,
        |map| get_large(map, KEY),
        |map| {
            map.delete(KEY).unwrap();
            put_large(map, KEY, 2);
        },
        |_, read, ()| assert!(matches!(read, None | Some(1 | 2)), "{read:?}"),
    );
}

#[test]
fn two_gets_in_a_row_never_go_back_in_time() {
    let map = prepared(|map| _ = put(map, KEY, 1));
    explore(
        3,
        map,
        |map| (get(map, KEY), get(map, KEY)),
        |map| put(map, KEY, 2),
        |_, (first, second), _| assert!(first <= second && first >= Some(1)),
    );
}

#[test]
fn a_get_beside_the_first_put_of_a_map_sees_nothing_or_the_value() {
    // Goal: the first table and the first record memory appear in the right order.
    explore(
        3,
        prepared(|_| {}),
        |map| get(map, KEY),
        |map| put(map, KEY, 1),
        |_, read, _| assert!(matches!(read, None | Some(1)), "{read:?}"),
    );
}

#[test]
fn a_key_next_to_one_that_comes_and_goes_is_always_there() {
    // Goal: a neighbour in the bucket makes a get try again at most. Method: another key with the
    // same home bucket and tag is put and deleted.
    let map = prepared(|map| _ = put(map, &twin(), 1));
    explore(
        3,
        map,
        |map| get(map, &twin()),
        |map| (put(map, KEY, 2), map.delete(KEY).unwrap()),
        |_, read, _| assert_eq!(read, Some(1)),
    );
}

/// Keys with the home bucket of `KEY`.
fn neighbours() -> impl Iterator<Item = [u8; 8]> {
    let bucket = |key: &[u8]| Hash::of(key, HEAP_SECRET).bucket();
    (0u64..).map(u64::to_le_bytes).filter(move |key| bucket(key) == bucket(KEY))
}

/// A key with the home bucket and the tag of `KEY`.
fn twin() -> [u8; 8] {
    let tag = |key: &[u8]| Hash::of(key, HEAP_SECRET).tag();
    neighbours().find(|key| tag(key) == tag(KEY)).unwrap()
}

#[test]
fn a_key_that_passed_a_full_bucket_is_there_while_others_pass_it_too() {
    // Goal: overflow counts never say too little. Method: `KEY` and another key find their home
    // bucket full; the other one comes and goes.
    let map = prepared(|map| {
        neighbours().take(SLOTS).for_each(|key| _ = put(map, &key, 9));
        put(map, KEY, 1);
    });
    explore(
        3,
        map,
        |map| get(map, KEY),
        |map| {
            let other = neighbours().nth(SLOTS).unwrap();
            (put(map, &other, 2), map.delete(&other).unwrap())
        },
        |_, read, _| assert_eq!(read, Some(1)),
    );
}

#[test]
fn a_key_whose_old_memory_goes_to_another_key_is_never_missed() {
    // Goal: a get that finds another key's bytes behind its slot looks again.
    let map = prepared(|map| _ = put(map, KEY, 1));
    explore(
        2,
        map,
        |map| get(map, KEY),
        |map| (put(map, KEY, 2), put(map, OTHER, 3)),
        |_, read, _| assert!(matches!(read, Some(1 | 2)), "{read:?}"),
    );
}

#[test]
fn a_get_beside_an_add_sees_the_sum_before_or_after() {
    let map = prepared(|map| _ = map.add(KEY, 1).unwrap());
    let read = |map: &Map| {
        let mut found = [0; 8];
        assert_eq!(map.get_into(KEY, &mut found), Ok(Some(8)));
        i64::from_le_bytes(found)
    };
    explore(
        3,
        map,
        read,
        |map| map.add(KEY, 0x1_0000_0001).unwrap(),
        |_, read, sum| assert!(sum == 0x1_0000_0002 && (read == 1 || read == sum), "{read:#x}"),
    );
}

/// Keys 0..n, of which the last has not been put: its put splits the table.
fn about_to_split() -> (Arc<Map>, u64) {
    let put_until_split = |limit: u64| {
        let map = Map::heap(1, 256 << 10, 1 << 20);
        let keys = (0..limit).take_while(|key| {
            put(&map, &key.to_le_bytes(), *key as u8);
            map.stats().splits == 0
        });
        (keys.count() as u64, map)
    };
    let (last, _) = put_until_split(u64::MAX);
    (Arc::new(put_until_split(last).1), last)
}

/// The first key below `last` whose next directory bit is `bit`: 1 moves in the split.
fn key_with_bit(last: u64, bit: u32) -> u64 {
    let directory = |key: &u64| Hash::of(&key.to_le_bytes(), HEAP_SECRET).directory();
    (0..last).find(|key| directory(key) & 1 == bit).unwrap()
}

fn a_split_hides_nothing(preemptions: usize, key: impl Fn(u64) -> u64) {
    let (map, last) = about_to_split();
    let key = key(last);
    let executions = model::check(preemptions, move || {
        let reader = spawn(&map, move |map| get(map, &key.to_le_bytes()));
        let writer = spawn(&map, move |map| put(map, &last.to_le_bytes(), last as u8));
        let (read, replaced) = (reader.join().unwrap(), writer.join().unwrap());
        assert!(!replaced && map.stats().splits == 1, "the put split the table");
        assert!(read == Some(key as u8) || key >= last && read.is_none(), "{read:?}");
        assert_eq!(get(&map, &last.to_le_bytes()), Some(last as u8));
    });
    println!("{executions} executions");
}

#[test]
fn a_key_that_a_split_moves_is_never_reported_absent() {
    a_split_hides_nothing(3, |last| key_with_bit(last, 1));
}

#[test]
fn a_key_that_a_split_leaves_in_place_is_never_reported_absent() {
    a_split_hides_nothing(3, |last| key_with_bit(last, 0));
}

#[test]
fn the_key_whose_put_splits_a_table_is_absent_or_whole() {
    a_split_hides_nothing(2, |last| last);
}

/// Keys 0..n in two tables: the delete of the last one has them merge.
fn about_to_merge() -> (Arc<Map>, u64) {
    let (grown, last) = about_to_split();
    put(&grown, &last.to_le_bytes(), last as u8);
    let deletes_until_merge = |map: &Map, least: u64| {
        let deleted = (least..=last).rev().take_while(|key| {
            assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
            map.stats().tables == 2
        });
        last - deleted.count() as u64
    };
    let key = deletes_until_merge(&grown, 0);
    let (map, _) = about_to_split();
    put(&map, &last.to_le_bytes(), last as u8);
    assert_eq!(deletes_until_merge(&map, key + 1), key);
    (map, key)
}

fn a_merge_hides_nothing(preemptions: usize, key: impl Fn(u64) -> u64) {
    let (map, last) = about_to_merge();
    let key = key(last);
    let executions = model::check(preemptions, move || {
        let reader = spawn(&map, move |map| get(map, &key.to_le_bytes()));
        let writer = spawn(&map, move |map| map.delete(&last.to_le_bytes()).unwrap());
        let (read, deleted) = (reader.join().unwrap(), writer.join().unwrap());
        assert!(deleted && map.stats().tables == 1, "the delete merged the tables");
        assert!(read == Some(key as u8) || key >= last && read.is_none(), "{read:?}");
        assert_eq!(get(&map, &last.to_le_bytes()), None);
    });
    println!("{executions} executions");
}

#[test]
fn a_key_that_a_merge_moves_is_never_reported_absent() {
    a_merge_hides_nothing(2, |last| key_with_bit(last, 1));
}

#[test]
fn a_key_that_a_merge_leaves_in_place_is_never_reported_absent() {
    a_merge_hides_nothing(2, |last| key_with_bit(last, 0));
}

/// Keys in four tables, and a key whose delete has the two merge that split first: the lower half
/// has fewer keys, and the page of the upper one is not the last, so that the lower half moves
/// there.
fn about_to_merge_upwards() -> (Arc<Map>, u64, [u64; 2]) {
    let bits = |key: u64| u64::from(Hash::of(&key.to_le_bytes(), HEAP_SECRET).directory());
    let grown = || {
        let map = Map::heap(1, 256 << 10, 1 << 20);
        let mut first = None;
        let keys: Vec<u64> = (0u64..)
            .take_while(|key| {
                put(&map, &key.to_le_bytes(), *key as u8);
                let splits = map.stats().splits;
                if splits == 2 && first.is_none() {
                    first = Some(bits(*key) & 1);
                }
                splits < 3
            })
            .collect();
        (map, keys, first.unwrap())
    };
    let (map, keys, low) = grown();
    let of = |table: u64| keys.iter().copied().filter(move |key| bits(*key) & 3 == table);
    // What stays keeps the other two from merging, and lets these.
    let deletes: Vec<u64> =
        of(low).skip(20).chain(of(low ^ 1).skip(200)).chain(of(low ^ 3).skip(200)).collect();
    let merges = |map: &Map, key: &u64| {
        assert_eq!(map.delete(&key.to_le_bytes()), Ok(true));
        map.stats().tables < 4
    };
    let last = deletes.iter().position(|key| merges(&map, key)).expect("a merge");
    let (map, ..) = grown();
    assert!(!deletes[..last].iter().any(|key| merges(&map, key)));
    let stay = [of(low).next().unwrap(), of(low | 2).next().unwrap()];
    (Arc::new(map), deletes[last], stay)
}

fn a_merge_upwards_hides_nothing(half: usize) {
    let (map, last, stay) = about_to_merge_upwards();
    let key = stay[half];
    let executions = model::check(3, move || {
        let reader = spawn(&map, move |map| get(map, &key.to_le_bytes()));
        let writer = spawn(&map, move |map| map.delete(&last.to_le_bytes()).unwrap());
        let (read, deleted) = (reader.join().unwrap(), writer.join().unwrap());
        assert!(deleted && map.stats().tables == 3, "the delete merged the tables");
        assert_eq!(read, Some(key as u8));
    });
    println!("{executions} executions");
}

#[test]
fn a_key_that_a_merge_moves_upwards_is_never_reported_absent() {
    a_merge_upwards_hides_nothing(0);
}

#[test]
fn a_key_that_a_merge_finds_above_is_never_reported_absent() {
    a_merge_upwards_hides_nothing(1);
}

#[test]
fn a_key_that_is_not_there_is_not_found_beside_a_merge() {
    let (map, last) = about_to_merge();
    let executions = model::check(2, move || {
        let reader = spawn(&map, move |map| get(map, KEY));
        let writer = spawn(&map, move |map| map.delete(&last.to_le_bytes()).unwrap());
        let (read, deleted) = (reader.join().unwrap(), writer.join().unwrap());
        assert!(deleted && read.is_none(), "{read:?}");
    });
    println!("{executions} executions");
}

#[test]
fn two_puts_of_one_new_key_insert_once_and_replace_once() {
    explore(
        3,
        prepared(|map| _ = put(map, OTHER, 9)),
        |map| put(map, KEY, 1),
        |map| put(map, KEY, 2),
        |map, first_replaced, second_replaced| {
            assert_ne!(first_replaced, second_replaced);
            let later = if first_replaced { 1 } else { 2 };
            assert_eq!(get(map, KEY), Some(later));
            assert_eq!(map.size(), 2);
        },
    );
}

#[test]
fn a_put_and_a_delete_of_one_key_happen_one_after_the_other() {
    explore(
        3,
        prepared(|map| _ = put(map, OTHER, 9)),
        |map| put(map, KEY, 1),
        |map| map.delete(KEY).unwrap(),
        |map, replaced, deleted| {
            assert!(!replaced);
            assert_eq!(get(map, KEY), if deleted { None } else { Some(1) });
        },
    );
}

#[test]
fn two_adds_of_one_key_both_count() {
    explore(
        3,
        prepared(|map| _ = map.add(OTHER, 9).unwrap()),
        |map| map.add(KEY, 1).unwrap(),
        |map| map.add(KEY, 10).unwrap(),
        |map, one, ten| {
            assert!((one, ten) == (1, 11) || (one, ten) == (11, 10), "{one} {ten}");
            assert_eq!(map.add(KEY, 0), Ok(11));
        },
    );
}

/// All elements of the list under `KEY`, each of which must be whole.
fn range(map: &Map) -> Vec<u8> {
    let mut elements = Elements::new();
    map.range(KEY, 0, i64::MAX, &mut elements).unwrap();
    let number = |element: &[u8]| {
        assert_eq!(element, value(element[0]), "a torn element");
        element[0]
    };
    elements.iter().map(number).collect()
}

fn with_a_list() -> Arc<Map> {
    prepared(|map| {
        map.push(KEY, &value(1)).unwrap();
        map.push(KEY, &value(2)).unwrap();
    })
}

#[test]
fn a_range_beside_a_pop_and_a_push_is_of_one_moment() {
    // Goal: an element under the index of another, in its memory, is not taken for it.
    explore(
        2,
        with_a_list(),
        range,
        |map| {
            map.pop(KEY, &mut Vec::new()).unwrap();
            map.push(KEY, &value(3)).unwrap();
        },
        |map, read, ()| {
            assert!(matches!(&read[..], [1, 2] | [1] | [1, 3]), "{read:?}");
            assert_eq!(range(map), [1, 3]);
        },
    );
}

#[test]
fn two_pops_of_one_list_take_one_element_each() {
    let pop = |map: &Map| {
        let mut found = Vec::new();
        map.pop(KEY, &mut found).unwrap();
        found[0]
    };
    explore(3, with_a_list(), pop, pop, |map, one, other| {
        assert!(matches!((one, other), (1, 2) | (2, 1)), "{one} {other}");
        assert_eq!(map.length(KEY), Ok(0));
    });
}
