//! A thread that keeps the locks of all shards: nothing is given up but the waiting of others.
#![cfg(not(any(miri, loom)))]

use shf_engine::{Map, OpError};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

fn value(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

#[test]
fn who_keeps_the_locks_writes_alone_and_others_read() {
    // Goal: other handles, threads and children are told Busy and change nothing, readers see every
    // change, and all goes on when the locks are given back.
    let _watchdog = Watchdog::new("kept locks");
    let file = MapFile::new("locking");
    let (map, other) = (file.create(8), file.open_impatient(SHORT));
    map.put(b"old", b"value").unwrap();
    assert!(map.is_lockable());
    map.set_lockable(false).unwrap();
    map.set_lockable(false).unwrap();
    assert!(!map.is_lockable());
    for key in 0..5_000u64 {
        map.put(&key.to_le_bytes(), b"value").unwrap();
        map.add(b"sum", 1).unwrap();
    }
    assert_eq!(map.delete(b"old"), Ok(true));
    map.push(b"list", b"element").unwrap();
    map.append(b"new", b"x").unwrap();
    for key in 0..64u64 {
        assert_eq!(other.put(&key.to_le_bytes(), b"other"), Err(OpError::Busy));
    }
    assert_eq!(value(&other, &7u64.to_le_bytes()), Some(b"value".to_vec()));
    assert_eq!((value(&other, b"old"), other.size()), (None, 5_003));
    assert_eq!(other.set_lockable(false), Err(OpError::Busy));
    assert!(other.is_lockable());
    assert_sound(&map);
    assert_eq!(map.snapshot(file.folder(), "shf-test-kept-copy").unwrap().keys, 5_003);
    Map::remove(file.folder(), "shf-test-kept-copy").unwrap();
    let child = process::spawn(|| {
        assert!(map.is_lockable(), "a child keeps none");
        value(&map, b"new").is_some()
    });
    assert_eq!(process::wait(child), End::Exited(0));
    map.set_lockable(true).unwrap();
    other.put(b"key", b"other").unwrap();
    map.put(b"key", b"again").unwrap();
    assert_sound(&map);
    assert_eq!(map.stats().repairs, 0);
}

#[test]
fn other_threads_of_the_process_wait_as_others_do() {
    let _watchdog = Watchdog::new("kept locks, threads");
    let file = MapFile::new("locking-threads");
    drop(file.create(4));
    let map = file.open_impatient(SHORT);
    map.set_lockable(false).unwrap();
    thread::scope(|scope| {
        let refused = scope.spawn(|| (map.is_lockable(), map.put(b"key", b"value")));
        assert_eq!(refused.join().unwrap(), (true, Err(OpError::Busy)));
    });
    map.set_lockable(true).unwrap();
    thread::scope(|scope| {
        let done = scope.spawn(|| map.set_lockable(false).and(map.put(b"key", b"value")).is_ok());
        assert!(done.join().unwrap());
    });
    assert_eq!(map.put(b"key", b"other"), Err(OpError::Busy), "the thread has ended with them");
    drop(map);
    let map = file.open();
    map.put(b"key", b"value").unwrap();
    assert_eq!(map.stats().repairs, 0, "closing has given them back");
}

#[test]
fn who_dies_with_the_locks_leaves_a_map_that_others_go_on_with() {
    // Goal: P2 for a keeper. Method: children are killed at random moments; what they acknowledged,
    // by a counter, is there.
    let _watchdog = Watchdog::new("a keeper that dies");
    let file = MapFile::new("locking-deaths");
    let map = file.create(4);
    for round in 0..20u64 {
        let child = process::spawn(|| {
            let own = file.open();
            own.set_lockable(false).unwrap();
            for key in 0u64.. {
                own.put(&key.to_le_bytes(), &vec![key as u8; (key % 900) as usize]).unwrap();
                own.add(b"puts", 1).unwrap();
            }
            false
        });
        let before = map.size();
        while map.size() <= before + round {
            thread::yield_now();
        }
        process::signal(child, libc::SIGKILL);
        assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
        assert_sound(&map);
        let puts = value(&map, b"puts").map(|sum| u64::from_le_bytes(sum.try_into().unwrap()));
        let (keys, puts) = (map.size() - u64::from(puts.is_some()), puts.unwrap_or(0));
        assert!(keys == puts || keys == puts + 1, "{keys} {puts}");
        for key in 0..puts {
            assert!(map.contains(&key.to_le_bytes()).unwrap(), "{key}");
        }
        map.put(b"after", b"value").unwrap();
        map.clear().unwrap();
    }
}
