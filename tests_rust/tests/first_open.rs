//! P2: a fork that is under way while its process opens a map for the first time.
//!
//! Alone in its file: the process of the test must not have opened a map before.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]
#![allow(unsafe_code)]

use shf_base::crash;
use shf_engine::Map;
use shf_tests::assert_sound;
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::sync::OnceLock;

const OPENED: usize = 0;
const DONE: usize = 1;
const OUTLIVED: usize = 2;

static FILE: OnceLock<MapFile> = OnceLock::new();
static MAP: OnceLock<Map> = OnceLock::new();

/// Runs in the parent, at the beginning of its fork, as another thread's call could.
extern "C" fn open_in_the_middle_of_a_fork() {
    MAP.get_or_init(|| FILE.get().unwrap().open());
}

#[test]
fn a_child_forked_during_the_first_open_does_not_keep_its_dead_parent_alive() {
    // Goal: the child's handlers run, though its fork began before the map was opened. Method: the
    // parent opens the map inside of its fork and dies holding a lock; the child lives on.
    let _watchdog = Watchdog::new("a child of the first open");
    let board = Board::new();
    let file = FILE.get_or_init(|| MapFile::new("first-open"));
    assert_eq!(process::run(|| file.create(1).put(b"key", b"old").is_ok()), End::Exited(0));
    let parent = process::spawn(|| {
        // SAFETY: the handler runs before the fork, in the only thread of this process.
        let errno = unsafe { libc::pthread_atfork(Some(open_in_the_middle_of_a_fork), None, None) };
        assert_eq!(errno, 0);
        process::spawn(|| {
            board.set(OPENED, 1);
            board.wait(DONE);
            board.set(OUTLIVED, 1);
            true
        });
        board.wait(OPENED);
        crash::arm(12);
        MAP.get().unwrap().put(b"key", b"new").is_ok()
    });
    assert_eq!(process::wait(parent), End::Killed(libc::SIGKILL));
    let map = file.open();
    map.put(b"key", b"newer").unwrap();
    assert_eq!(map.stats().repairs, 1);
    assert_sound(&map);
    board.set(DONE, 1);
    // A put that had waited for the child would have waited until the child had given up.
    board.wait(OUTLIVED);
    drop(map);
    std::fs::remove_file(file.path()).unwrap();
}
