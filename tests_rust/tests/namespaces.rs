//! P7: a take-over between two containers whose processes have the same PIDs.
//!
//! The owner and the waiter are each PID 2 of a PID namespace of their own. The owner stops in the
//! middle of a put, with the shard's lock; its PID 1 then kills it or lets it go on.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]
#![allow(unsafe_code)]

use shf_base::crash;
use shf_engine::Map;
use shf_tests::assert_sound;
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::thread::sleep;
use std::time::Duration;

/// Keys that are there before.
const KEYS: u64 = 300;
/// Several times what a waiter sleeps before it asks whether the owner lives.
const PATIENCE: Duration = Duration::from_millis(200);

// Numbers on the board.
const SKIPPED: usize = 0;
const OWNER_PID: usize = 1;
const WAITER_PID: usize = 2;
const STOPPED: usize = 3;
const ORDER: usize = 4;
const OWNER_ENDED: usize = 5;
const ATTACH: usize = 6;
const WAITING: usize = 7;
const DONE: usize = 8;

// Orders to the owner's PID 1.
const KILL: u64 = 1;
const GO_ON: u64 = 2;

/// Runs `first` as PID 1 of a new PID namespace; returns the child that waits for it.
fn namespace(board: Board, first: impl FnOnce() -> bool) -> i32 {
    process::spawn(move || {
        // SAFETY: the next child of this child gets a namespace; nothing else changes.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            board.set(SKIPPED, 1);
            return true;
        }
        let end = process::run(|| {
            // SAFETY: plain system calls. PID 1 ignores the alarm; it ends with its parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            assert_eq!(std::process::id(), 1);
            first()
        });
        if end != End::Exited(0) {
            board.give_up();
        }
        end == End::Exited(0)
    })
}

fn may_make_namespaces() -> bool {
    let board = Board::new();
    let end = process::wait(namespace(board, || true));
    if board.get(SKIPPED) != 0 {
        println!("skipped: this process may not make PID namespaces");
        return false;
    }
    assert_eq!(end, End::Exited(0));
    true
}

/// PID 1 beside the owner: sees it stop at step `n` of its put, and does as ordered.
fn owner(board: Board, file: &MapFile, n: u64) -> bool {
    let owner = process::spawn(|| {
        let map = file.open();
        map.put(b"owner's first", b"value").unwrap();
        board.set(OWNER_PID, std::process::id().into());
        crash::arm_stop(n);
        map.put(b"contended", b"by the owner").is_ok()
    });
    assert_eq!(process::wait_for_stop(owner), None, "the put has {n} steps");
    board.set(STOPPED, 1);
    let expected = if board.wait(ORDER) == KILL {
        process::signal(owner, libc::SIGKILL);
        End::Killed(libc::SIGKILL)
    } else {
        process::signal(owner, libc::SIGCONT);
        End::Exited(0)
    };
    let end = process::wait(owner);
    board.set(OWNER_ENDED, 1);
    end == expected
}

/// PID 1 beside the waiter, which attaches when told to and writes as soon as it can.
fn waiter(board: Board, file: &MapFile) -> bool {
    let end = process::run(|| {
        board.wait(ATTACH);
        let map = file.open();
        board.set(WAITER_PID, std::process::id().into());
        board.set(WAITING, 1);
        map.put(b"contended", b"by the waiter").unwrap();
        board.set(DONE, 1);
        map.add(b"waiter's sum", 7) == Ok(7)
    });
    end == End::Exited(0)
}

/// A map with two namespaces beside each other, in which `direct` says what happens when.
fn contend(what: &str, n: u64, direct: impl FnOnce(Board)) -> (MapFile, Map) {
    let (file, board) = (MapFile::new(what), Board::new());
    let map = file.create(1);
    for key in 0..KEYS {
        map.put(&key.to_le_bytes(), &[key as u8; 20]).unwrap();
    }
    let owner = namespace(board, || owner(board, &file, n));
    board.wait(STOPPED);
    let waiter = namespace(board, || waiter(board, &file));
    direct(board);
    board.wait(DONE);
    assert_eq!(process::wait(owner), End::Exited(0));
    assert_eq!(process::wait(waiter), End::Exited(0));
    assert_eq!((board.get(OWNER_PID), board.get(WAITER_PID)), (2, 2), "equal PIDs");
    (file, map)
}

fn assert_holds(map: &Map, contended: &[u8]) {
    let mut value = Vec::new();
    for key in 0..KEYS {
        assert_eq!(map.get(&key.to_le_bytes(), &mut value), Ok(true), "{key}");
        assert_eq!(value, [key as u8; 20]);
    }
    assert_eq!(map.get(b"contended", &mut value), Ok(true));
    assert_eq!(value, contended);
    assert_eq!(map.add(b"waiter's sum", 0), Ok(7));
    assert_eq!(map.contains(b"owner's first"), Ok(true));
    assert_sound(map);
}

#[test]
fn a_waiter_takes_over_from_a_killed_owner_with_its_own_pid() {
    // Goal: the death is noticed, the shard repaired, and nobody stuck. Method: the waiter already
    // waits when the owner is killed, in its put's beginning, middle and end.
    let _watchdog = Watchdog::new("a take-over");
    if !may_make_namespaces() {
        return;
    }
    for n in [3, 12, 20] {
        let (_file, map) = contend("takeover", n, |board| {
            board.set(ATTACH, 1);
            board.wait(WAITING);
            sleep(PATIENCE);
            assert_eq!(board.get(DONE), 0, "the owner was alive");
            board.set(ORDER, KILL);
        });
        assert_eq!(map.stats().repairs, 1, "step {n}");
        assert_holds(&map, b"by the waiter");
    }
}

#[test]
fn who_attaches_after_a_death_is_not_stopped_by_a_lock_of_its_own_pid() {
    // Goal: the dead owner's slot, which the newcomer with the same PID takes first, is swept.
    let _watchdog = Watchdog::new("attaching after a death");
    if !may_make_namespaces() {
        return;
    }
    for n in [3, 12, 20] {
        let (_file, map) = contend("newcomer", n, |board| {
            board.set(ORDER, KILL);
            board.wait(OWNER_ENDED);
            board.set(ATTACH, 1);
        });
        assert_eq!(map.stats().repairs, 1, "step {n}");
        assert_holds(&map, b"by the waiter");
    }
}

#[test]
fn a_living_owner_with_the_same_pid_is_not_robbed() {
    // Goal: stopped is not dead. Method: the waiter waits, many times its probe's interval, for an
    // owner that is stopped; then the owner goes on, and both have written.
    let _watchdog = Watchdog::new("waiting for a stopped owner");
    if !may_make_namespaces() {
        return;
    }
    let (_file, map) = contend("alive", 12, |board| {
        board.set(ATTACH, 1);
        board.wait(WAITING);
        sleep(2 * PATIENCE);
        assert_eq!(board.get(DONE), 0, "robbed");
        board.set(ORDER, GO_ON);
    });
    assert_eq!(map.stats().repairs, 0, "nobody was taken for dead");
    assert_holds(&map, b"by the waiter");
}
