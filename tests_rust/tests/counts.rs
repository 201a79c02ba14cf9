//! What processes count of their operations: exact, whatever threads come and go, and published as
//! far as it is promised.
#![cfg(not(any(miri, loom)))]

use shf_engine::{Age, Change, Condition, Counts, Elements, Map, Process, Value};
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::thread;
use std::time::Duration;

/// What another process says that it has done.
fn published_by(map: &Map, pid: u32) -> Counts {
    let of = |process: &Process| (process.pid == pid).then_some(process.counts);
    map.processes().unwrap().iter().find_map(of).unwrap()
}

#[test]
fn every_operation_counts_as_one_of_its_kind() {
    let map = Map::heap(2, 1 << 20, u64::MAX);
    let mut expected = Counts::default();
    let mut value = Vec::new();
    let check = |expected: &Counts| assert_eq!(map.counts(), *expected);
    map.put(b"key", b"value").unwrap();
    map.put_value(b"text", Value::Text("text")).unwrap();
    let uid = map.put_for(b"key", Value::Bytes(b"v"), Age::Never).unwrap().uid;
    map.put_uid(uid, b"value").unwrap();
    map.put_many(&[(b"a", b"1"), (b"b", b"2")], |_, _| ()).unwrap();
    expected.puts += 6;
    check(&expected);
    map.get(b"key", &mut value).unwrap();
    map.get_into(b"key", &mut [0; 9]).unwrap();
    assert!(map.get_into(b"key", &mut [0; 1]).is_err(), "found, and too long");
    map.contains(b"key").unwrap();
    map.kind(b"key").unwrap();
    map.time_left(b"key").unwrap();
    map.uid(b"key").unwrap();
    map.get_uid_into(uid, &mut [0; 9]).unwrap();
    assert!(map.number::<i64>(b"key").is_err(), "found, and no number");
    expected.hits += 9;
    map.get(b"absent", &mut value).unwrap();
    map.get_into(b"absent", &mut [0; 9]).unwrap();
    map.contains(b"absent").unwrap();
    expected.misses += 3;
    map.get_many(&[&b"a"[..], b"b", b"absent"], |_, _| ()).unwrap();
    (expected.hits, expected.misses) = (expected.hits + 2, expected.misses + 1);
    check(&expected);
    map.add(b"n", 1).unwrap();
    map.append(b"key", b"!").unwrap();
    map.touch(b"key", Age::Never).unwrap();
    map.touch(b"absent", Age::Never).unwrap();
    map.put_if(b"key", b"value", Condition::Present).unwrap();
    map.put_if(b"key", b"value", Condition::Absent).unwrap();
    expected.changes += 4;
    check(&expected);
    let put = |_: Option<&[u8]>, new: &mut Vec<u8>| {
        new.push(1);
        Change::Put
    };
    map.update(b"key", put).unwrap();
    (expected.hits, expected.changes) = (expected.hits + 1, expected.changes + 1);
    map.push(b"list", b"1").unwrap();
    map.unshift(b"list", b"0").unwrap();
    map.pop(b"list", &mut value).unwrap();
    map.pop(b"absent", &mut value).unwrap();
    expected.lists += 3;
    check(&expected);
    map.length(b"list").unwrap();
    map.range(b"list", 0, 9, &mut Elements::new()).unwrap();
    map.range(b"absent", 0, 9, &mut Elements::new()).unwrap();
    (expected.hits, expected.misses) = (expected.hits + 2, expected.misses + 1);
    check(&expected);
    map.for_each(&mut |_, _| true).unwrap();
    map.view(0, &mut |_| true).unwrap();
    map.scan(shf_engine::Cursor::START, b"", &mut |_| true).unwrap();
    expected.walks += 3;
    check(&expected);
    map.delete(b"key").unwrap();
    map.delete(b"key").unwrap();
    map.delete_if(b"a", Condition::Value(b"1")).unwrap();
    map.delete_if(b"b", Condition::Value(b"1")).unwrap();
    map.take(b"b", &mut value).unwrap();
    expected.deletes += 3;
    check(&expected);
    expected.deletes += map.clear().unwrap();
    check(&expected);
    assert_eq!(expected.waits, 0);
}

#[test]
fn sums_are_exact_however_many_threads_there_were() {
    // Goal: no count is lost or made twice. Method: more threads than lie side by side, which
    // read and write at once, three times; others publish meanwhile.
    let _watchdog = Watchdog::new("counting threads");
    let file = MapFile::new("sums");
    let map = file.create(4);
    map.put(b"key", b"value").unwrap();
    const THREADS: u64 = 90;
    const ROUNDS: u64 = 100;
    for round in 1..=3 {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        assert_eq!(map.get_into(b"key", &mut [0; 9]), Ok(Some(5)));
                        assert_eq!(map.get_into(b"absent", &mut [0; 9]), Ok(None));
                        map.put(b"other", b"value").unwrap();
                    }
                });
            }
            for _ in 0..100 {
                map.publish_counts();
            }
        });
        let own = map.counts();
        let expected = round * THREADS * ROUNDS;
        assert_eq!((own.hits, own.misses, own.puts), (expected, expected, expected + 1));
        // Publishes the rest.
        assert_eq!(published_by(&map, std::process::id()), own);
    }
}

#[test]
fn others_see_all_but_the_last_63_writes_of_a_kind_and_all_that_is_published() {
    let _watchdog = Watchdog::new("published counts");
    let file = MapFile::new("published");
    let map = file.create(1);
    let board = Board::new();
    let child = process::spawn(|| {
        process::end_with_parent();
        let own = file.open();
        for _ in 0..127 {
            own.put(b"key", b"value").unwrap();
            own.get_into(b"key", &mut [0; 9]).unwrap();
        }
        board.set(0, 1);
        board.wait(1);
        own.publish_counts();
        board.set(2, 1);
        thread::sleep(Duration::from_secs(3600));
        true
    });
    board.wait(0);
    let seen = published_by(&map, child as u32);
    assert_eq!((seen.puts, seen.hits), (64, 63), "with the 64th put, what was there by then");
    board.set(1, 1);
    board.wait(2);
    let seen = published_by(&map, child as u32);
    assert_eq!((seen.puts, seen.hits), (127, 127));
    process::signal(child, libc::SIGKILL);
    process::wait(child);
}

#[test]
fn a_forked_child_counts_from_0_and_its_parent_goes_on() {
    // Goal: nothing is counted twice. Method: a process with threads that count forks; the child's
    // counts are its own, also those of its gets before it has a slot.
    let _watchdog = Watchdog::new("counts of a child");
    let file = MapFile::new("fork-counts");
    let map = file.create(1);
    map.put(b"key", b"value").unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    map.get_into(b"key", &mut [0; 9]).unwrap();
                }
            });
        }
        for _ in 0..20 {
            let end = process::run(|| {
                assert_eq!(map.counts(), Counts::default());
                for _ in 0..5 {
                    map.get_into(b"key", &mut [0; 9]).unwrap();
                }
                map.publish_counts();
                for _ in 0..4 {
                    process::run_in_thread(|| _ = map.add(b"n", 1).unwrap());
                }
                let seen = published_by(&map, std::process::id());
                (seen.hits, seen.changes, seen.puts) == (5, 4, 0) && seen == map.counts()
            });
            assert_eq!(end, End::Exited(0));
        }
    });
    let own = map.counts();
    assert_eq!((own.hits, own.puts, own.changes), (60_000, 1, 0));
    assert_eq!(published_by(&map, std::process::id()), own);
}

#[test]
fn handles_count_for_themselves_and_those_that_only_read_too() {
    let file = MapFile::new("handles-counts");
    let map = file.create(1);
    let (reader, second) = (file.open_read_only(), file.open());
    second.put(b"key", b"value").unwrap();
    for _ in 0..40 {
        reader.get_into(b"key", &mut [0; 9]).unwrap();
    }
    reader.publish_counts();
    assert_eq!((reader.counts().hits, map.counts()), (40, Counts::default()));
    drop(reader);
    assert_eq!(file.open_read_only().counts(), Counts::default(), "what is used again is 0");
    assert_eq!(map.processes().unwrap().len(), 2);
}

#[test]
fn waiting_for_a_lock_is_counted() {
    let _watchdog = Watchdog::new("waits");
    let map = Map::heap(1, 1 << 20, u64::MAX);
    thread::scope(|scope| {
        for thread in 0u64..2 {
            let map = &map;
            scope.spawn(move || {
                while map.counts().waits == 0 {
                    map.put(&thread.to_le_bytes(), &[1; 1000]).unwrap();
                }
            });
        }
    });
}
