//! A map's file that somebody copied, or put back, while processes were attached: its lock words
//! and intents name slots of others. Whoever opens it is not kept waiting, and finds a whole map.
//!
//! A writer is stopped (SIGSTOP) before its n-th step, for every n, so that the copy is made with
//! its slot taken and, from its first step on, with the shard's lock in its hand.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::crash;
use shf_engine::{Map, OpError};
use shf_tests::assert_sound;
use shf_tests::board::Board;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const KEY: &[u8] = b"the key";
const OLD: [u8; 30] = [1; 30];
const NEW: [u8; 50] = [2; 50];
const NEIGHBOURS: u64 = 100;
const PATIENCE: Duration = Duration::from_millis(20);

/// Copies a file as anybody would, into a new one or into what an old one holds.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

/// A new map with `KEY` and its neighbours.
fn filled(file: &MapFile) -> Map {
    let map = file.create_with(1, 1 << 20);
    (0..NEIGHBOURS).for_each(|key| _ = map.put(&key.to_le_bytes(), &OLD).unwrap());
    map.put(KEY, &OLD).unwrap();
    map
}

/// A writer stopped before step `n` of a replace of `KEY`; `None`: that has fewer steps.
fn stop_writer(open: impl FnOnce() -> Map, n: u64) -> Option<Stopping> {
    let child = process::spawn(|| {
        let map = open();
        // Its slot, if it is an inherited handle.
        let _ = map.delete(b"not there");
        crash::arm_stop(n);
        map.put(KEY, &NEW).is_ok()
    });
    match process::wait_for_stop(child) {
        None => Some(Stopping::new(child)),
        Some(end) => {
            assert_eq!(end, End::Exited(0));
            None
        }
    }
}

/// A map, and a file for its copies.
struct Scene {
    file: MapFile,
    copy: MapFile,
    map: Map,
}

impl Scene {
    fn new(what: &str) -> Scene {
        let file = MapFile::new(what);
        let map = filled(&file);
        Scene { copy: MapFile::new(&format!("{what}-copy")), file, map }
    }

    /// Calls `then` with a writer stopped at each step.
    fn at_every_step(&self, then: impl Fn(u64, Stopping)) {
        let watchdog = Watchdog::new("a map that was copied");
        let mut n = 1;
        while let Some(writer) = stop_writer(|| self.file.open(), n) {
            then(n, writer);
            self.map.put(KEY, &OLD).unwrap();
            watchdog.feed();
            n += 1;
        }
        println!("copied at {} steps", n - 1);
        assert!(n > 30, "{n}");
    }
}

/// A map that was opened from a copy is whole, and takes writes at once.
fn assert_whole(map: &Map, n: u64) {
    assert_eq!(map.delete(b"not there"), Ok(false), "step {n}");
    assert_sound(map);
    let found = get(map, KEY).expect("the key was there before, and is after");
    assert!(found == OLD || found == NEW, "step {n}: {found:?}");
    for key in 0..NEIGHBOURS {
        assert_eq!(get(map, &key.to_le_bytes()).as_deref(), Some(&OLD[..]), "step {n}: {key}");
    }
    assert!(map.put(KEY, b"the copy's").unwrap().replaced, "step {n}");
    assert_sound(map);
}

#[test]
fn a_copy_made_while_slots_are_taken_is_a_map_of_its_own() {
    // Goal: nobody waits for a writer of the original, which lives all the while; and neither map
    // sees what happens to the other.
    let scene = Scene::new("copied");
    scene.at_every_step(|n, writer| {
        copy(&scene.file.path(), &scene.copy.path());
        let copied = scene.copy.open_impatient(PATIENCE);
        assert_whole(&copied, n);
        assert_ne!(get(&scene.map, KEY).as_deref(), Some(&b"the copy's"[..]));
        writer.go_on();
        assert_eq!(writer.wait(), End::Exited(0));
        assert_eq!(get(&scene.map, KEY).as_deref(), Some(&NEW[..]));
        assert_eq!(get(&copied, KEY).as_deref(), Some(&b"the copy's"[..]));
        fs::remove_file(scene.copy.path()).unwrap();
    });
    assert_eq!(scene.map.stats().repairs, 0);
    assert_sound(&scene.map);
}

#[test]
fn a_map_put_back_in_another_files_place_is_whole_and_leaves_the_attached_alone() {
    // Goal: as above for a file that is restored under the map's own name, while others still have
    // the one that was there before.
    let scene = Scene::new("put-back");
    let aside = MapFile::new("put-back-aside");
    scene.at_every_step(|n, writer| {
        copy(&scene.file.path(), &scene.copy.path());
        fs::rename(scene.file.path(), aside.path()).unwrap();
        fs::rename(scene.copy.path(), scene.file.path()).unwrap();
        let restored = scene.file.open_impatient(PATIENCE);
        assert_whole(&restored, n);
        writer.go_on();
        assert_eq!(writer.wait(), End::Exited(0));
        assert_eq!(get(&scene.map, KEY).as_deref(), Some(&NEW[..]));
        assert_eq!(get(&restored, KEY).as_deref(), Some(&b"the copy's"[..]));
        fs::rename(aside.path(), scene.file.path()).unwrap();
    });
    assert_sound(&scene.map);
}

#[test]
fn a_map_put_back_into_its_own_file_when_all_are_gone_is_whole() {
    // Goal: same file, same boot, so nothing tells that the locks are an earlier time's; but the
    // kernel is asked for their owners, who are dead. Method: a writer is killed where it was
    // copied, others write, all leave; then the file is overwritten with the copy.
    let watchdog = Watchdog::new("a map that was put back");
    let (file, copied) = (MapFile::new("put-back-into"), MapFile::new("put-back-into-copy"));
    drop(filled(&file));
    let inode = fs::metadata(file.path()).unwrap().ino();
    let mut n = 1;
    while let Some(writer) = stop_writer(|| file.open(), n) {
        copy(&file.path(), &copied.path());
        drop(writer);
        assert!(file.open().put(KEY, b"later").unwrap().replaced);
        copy(&copied.path(), &file.path());
        assert_eq!(fs::metadata(file.path()).unwrap().ino(), inode);
        let map = file.open_impatient(PATIENCE);
        assert_whole(&map, n);
        map.put(KEY, &OLD).unwrap();
        watchdog.feed();
        n += 1;
    }
    assert!(n > 30, "{n}");
}

#[test]
fn who_is_named_by_a_lock_that_was_put_back_is_waited_for_as_long_as_asked() {
    // Goal: nobody can tell such a lock from one that is held; but patience ends, for the one that
    // is named as well, gets go on, and with the named one's end all is as usual. Method: the
    // bytes of the file are put back under a process that had the lock when they were read, and
    // lives.
    let _watchdog = Watchdog::new("a lock that was put back");
    let file = MapFile::new("put-back-under");
    let (map, board) = (filled(&file), Board::new());
    let child = process::spawn(|| {
        let own = file.open_impatient(PATIENCE);
        let _ = own.delete(b"not there");
        crash::arm_stop(20);
        let put = own.put(KEY, &NEW);
        board.set(0, 1);
        board.wait(1);
        let again = own.put(KEY, &NEW);
        board.set(2, 1 + u64::from(put.is_ok() && again == Err(OpError::Busy)));
        board.wait(3);
        false
    });
    assert_eq!(process::wait_for_stop(child), None);
    let named = Stopping::new(child);
    let image = Image::of(file.folder(), file.name());
    named.go_on();
    board.wait(0);
    assert_eq!(get(&map, KEY).as_deref(), Some(&NEW[..]));
    image.restore();
    let impatient = file.open_impatient(PATIENCE);
    assert_eq!(impatient.put(KEY, &OLD), Err(OpError::Busy));
    assert_eq!(get(&map, KEY).as_deref(), Some(&OLD[..]));
    board.set(1, 1);
    assert_eq!(board.wait(2), 2, "the named one was to be told as well");
    drop(named);
    assert_whole(&impatient, 20);
    map.put(KEY, &OLD).unwrap();
    assert_whole(&map, 20);
}
