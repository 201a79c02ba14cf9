//! P4 and P1 for a reader that is stopped with a reference in its hand: its page may be freed and
//! used again, and the file system filled to the last byte, before it goes on.
//!
//! A child stops itself (SIGSTOP) at its n-th look, for every n: between two entries of the
//! directory, with a reference whose record it has not touched, or with a record that it has not
//! copied. Meanwhile this process frees the record and everything around it, and fills the file
//! system, so that touching a page that is a hole by then would be SIGBUS. Then the child goes on,
//! and must end with the old value or the new one, whole, or with an answer that asks to try again.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::crash;
use shf_engine::{Map, OpError};
use shf_tests::Random;
use shf_tests::map_file::MapFile;
use shf_tests::mount::over_maps;
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

const KEY: &[u8] = b"the key";
const FOLDER_BYTES: u64 = 12 << 20;
/// More than the file system has: it is what ends growth.
const MAX_BYTES: u64 = 64 << 20;
/// Small records beside `KEY`, and the bytes of their values: they need several runs.
const OTHERS: u64 = 9;
const OTHER: usize = 1900;
/// Bytes of a large value: a run of 769 pages.
const LARGE: usize = 3 << 20;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// A value of `len` bytes in which a piece of another one shows.
fn value(seed: u64, len: usize) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

/// A map, what is in it, and what becomes of that while a reader is stopped.
struct Scene {
    what: &'static str,
    before: Contents,
    /// Deletes and puts; `None` is a delete.
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Whether the map itself takes what is left of the file system, and so the freed pages.
    refill: bool,
}

/// What the reader does: whether its answers were right.
type Read = fn(&Scene, &Map) -> bool;

impl Scene {
    /// All values that a key may have for a reader that overlaps with the changes.
    fn is_right(&self, key: &[u8], found: Option<&[u8]>) -> bool {
        let changes = self.changes.iter().filter(|(changed, _)| changed == key);
        let mut right = changes.map(|(_, value)| value.as_deref());
        found == self.before.get(key).map(Vec::as_slice) || right.any(|value| value == found)
    }

    fn get(&self, reader: &Map) -> bool {
        let mut found = Vec::new();
        match reader.get(KEY, &mut found) {
            Ok(there) => self.is_right(KEY, there.then_some(&found[..])),
            Err(error) => error == OpError::Busy,
        }
    }

    fn get_into(&self, reader: &Map) -> bool {
        let mut buffer = vec![0; LARGE + 1];
        match reader.get_into(KEY, &mut buffer) {
            Ok(len) => self.is_right(KEY, len.map(|len| &buffer[..len])),
            Err(error) => error == OpError::Busy,
        }
    }

    fn walk(&self, reader: &Map) -> bool {
        let mut right = true;
        let walked = reader.for_each(&mut |key, found| {
            // What the refill put is of no interest here.
            right &= key.len() == 9 || self.is_right(key, Some(found));
            true
        });
        right && matches!(walked, Ok(()) | Err(OpError::Busy))
    }

    /// Stops a reader at look `n`, frees, fills, lets it go on. How it ended, and whether it
    /// stopped.
    fn stop_at(&self, n: u64, read: Read, meanwhile: impl Fn(&Map, &MapFile)) -> (End, bool) {
        let file = MapFile::new(self.what);
        let map = file.create_with(1, MAX_BYTES);
        // First, so that its run is not the one that fresh blocks come from.
        map.put(KEY, &self.before[KEY]).unwrap();
        for (key, value) in &self.before {
            map.put(key, value).unwrap();
        }
        let child = process::spawn(|| {
            let reader = file.open_read_only();
            crash::arm_look(n);
            read(self, &reader)
        });
        if let Some(end) = process::wait_for_stop(child) {
            return (end, false);
        }
        let reader = Stopping::new(child);
        for (key, change) in &self.changes {
            match change {
                Some(value) => _ = map.put(key, value).unwrap(),
                None => assert_eq!(map.delete(key), Ok(true)),
            }
        }
        meanwhile(&map, &file);
        let filler = self.fill(&map);
        reader.go_on();
        let end = reader.wait();
        fs::remove_file(filler).unwrap();
        (end, true)
    }

    /// Leaves not one free byte, of the file system nor, if it refills, of the map.
    fn fill(&self, map: &Map) -> PathBuf {
        let path = PathBuf::from("/dev/shm/filler");
        let mut filler = File::create(&path).unwrap();
        if self.refill {
            // Keys of nine bytes, which no other key has.
            let mut keys = (0u64..).map(|key| format!("{key:09}"));
            for len in [LARGE, 100_000, 2000, 100, 0] {
                while map.put(keys.next().unwrap().as_bytes(), &vec![0xee; len]).is_ok() {}
            }
        }
        while filler.write_all(&[0xdd; 4096]).is_ok() {}
        path
    }

    /// At every look, of which there are more than `least`.
    fn run(&self, least: u64, read: Read) {
        let watchdog = Watchdog::new("a reader that goes on");
        let mut n = 1;
        loop {
            let (end, stopped) = self.stop_at(n, read, |map, _| {
                // Else there would be nothing to fear.
                assert!(map.stats().free_bytes > 0, "{}: no run was freed", self.what);
                die_and_repair(map);
            });
            assert_eq!(end, End::Exited(0), "{}, stopped at look {n}: {stopped}", self.what);
            if !stopped {
                break;
            }
            watchdog.feed();
            n += 1;
        }
        println!("{}: stopped at {} looks", self.what, n - 1);
        assert!(n > least, "{}: only {} looks", self.what, n - 1);
    }
}

/// Somebody dies in a growth step; whoever repairs gives back all pages beyond the limits.
fn die_and_repair(map: &Map) {
    let end = process::run(|| {
        // Takes the child's slot.
        let _ = map.delete(b"not there");
        crash::arm(10);
        map.put(b"one more", &[1; 400_000]).is_ok()
    });
    assert_eq!(end, End::Killed(libc::SIGKILL));
    let repairs = map.stats().repairs;
    assert_eq!(map.delete(b"not there"), Ok(false));
    assert_eq!(map.stats().repairs, repairs + 1);
}

/// `KEY` with `len` bytes, and small records in the runs behind it.
fn contents(len: usize) -> Contents {
    let others = (0..OTHERS).map(|key| (key.to_le_bytes().to_vec(), value(key, OTHER)));
    others.chain([(KEY.to_vec(), value(1000, len))]).collect()
}

/// What is done to the keys: `KEY` gets values of these lengths, after all others are deleted, or
/// is deleted as well.
fn changes(before: &Contents, lengths: &[usize]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let gone = before.keys().filter(|key| lengths.is_empty() || *key != KEY);
    let gone = gone.map(|key| (key.clone(), None));
    let put = |(at, len): (usize, &usize)| (KEY.to_vec(), Some(value(2000 + at as u64, *len)));
    gone.chain(lengths.iter().enumerate().map(put)).collect()
}

/// `KEY` is small or large, is deleted or replaced, and what it leaves stays free or is used again.
fn scenes() -> Vec<Scene> {
    let scene = |what, len, lengths: &[usize], refill| {
        let before = contents(len);
        let changes = changes(&before, lengths);
        Scene { what, before, changes, refill }
    };
    vec![
        scene("stopped-deleted", 90, &[], false),
        scene("stopped-reused", 90, &[], true),
        scene("stopped-replaced", 90, &[90, 100, 90], true),
        scene("stopped-grown", 90, &[LARGE], true),
        scene("stopped-large-deleted", LARGE, &[], false),
        scene("stopped-large-reused", LARGE, &[], true),
        // More than once, so that the first run is used again by the key itself.
        scene("stopped-large-replaced", LARGE, &[LARGE - 5000, LARGE - 100], true),
    ]
}

#[test]
fn a_get_that_stops_while_its_page_is_freed_and_the_file_system_filled_goes_on() {
    over_maps(FOLDER_BYTES, || {
        for scene in scenes() {
            scene.run(2, Scene::get);
            scene.run(2, Scene::get_into);
        }
    });
}

#[test]
fn a_walk_that_stops_while_its_page_is_freed_and_the_file_system_filled_goes_on() {
    over_maps(FOLDER_BYTES, || {
        scenes().iter().for_each(|scene| scene.run(2 * OTHERS, Scene::walk))
    });
}

#[test]
fn a_page_made_a_hole_while_the_reader_is_stopped_is_seen() {
    // Goal: the tests above can fail. Method: as they do, but the pages of all records are made
    // holes behind the engine's back.
    over_maps(FOLDER_BYTES, || {
        for scene in scenes().iter().filter(|scene| !scene.refill) {
            // The first look is at the directory, and has no reference yet.
            for n in [2, 3] {
                let (end, stopped) = scene.stop_at(n, Scene::get, |map, file| {
                    let geometry = map.geometry();
                    punch(file, geometry.window(0) + geometry.pages_offset(), FOLDER_BYTES);
                });
                assert!(stopped);
                assert_eq!(end, End::Killed(libc::SIGBUS), "{}, look {n}", scene.what);
            }
        }
    });
}

/// Makes bytes of a map's file a hole.
#[allow(unsafe_code)]
fn punch(file: &MapFile, offset: u64, len: u64) {
    let file = OpenOptions::new().write(true).open(file.path()).unwrap();
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain system call on an open file.
    let punched = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, len as i64) };
    assert_eq!(punched, 0);
}
