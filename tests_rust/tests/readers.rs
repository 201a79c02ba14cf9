//! P1: a writer that is stopped or dead at any step delays no reader and shows none a wrong value;
//! another writer that does not want to wait is told so.
//!
//! A child stops itself (SIGSTOP) before its n-th store into shared memory, for every n. While it
//! is stopped, and again when it has been killed there, this process reads every key through a
//! handle that cannot write, so that nothing is repaired, waited for or locked on the way.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::crash;
use shf_engine::{Map, OpError};
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::time::Duration;

const KEY: &[u8] = b"the key";
/// Keys beside `KEY`: enough for several in each bucket of the one table.
const NEIGHBOURS: u64 = 300;
/// Longer than a writer that runs keeps the lock.
const PATIENCE: Duration = Duration::from_millis(1);
/// Keys that are not there.
const STRANGERS: u64 = 100;

type Mutation = fn(&Map) -> bool;

/// What readers must find: the neighbours, and `KEY` as it was before or is after the mutation.
struct Scene {
    file: MapFile,
    writer: Map,
    reader: Map,
    impatient: Map,
    image: Image,
    neighbours: u64,
    key: Vec<u8>,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).expect("a get never waits and never fails").then_some(value)
}

fn neighbour(key: u64) -> Vec<u8> {
    vec![key as u8; (key % 40) as usize]
}

impl Scene {
    /// A map of one shard with its neighbours, prepared further by `prepare`.
    fn new(what: &str, prepare: fn(&Map), mutation: Mutation) -> Scene {
        let file = MapFile::new(what);
        let writer = file.create(1);
        for key in 0..NEIGHBOURS {
            writer.put(&key.to_le_bytes(), &neighbour(key)).unwrap();
        }
        prepare(&writer);
        let image = Image::of(file.folder(), file.name());
        let before = get(&writer, KEY);
        assert!(mutation(&writer), "the mutation works when nobody stops");
        let after = get(&writer, KEY);
        let (reader, impatient) = (file.open_read_only(), file.open_impatient(PATIENCE));
        let (neighbours, key) = (NEIGHBOURS, KEY.to_vec());
        Scene { file, writer, reader, impatient, image, neighbours, key, before, after }
    }

    /// Reads everything; returns what the key's value is.
    fn read(&self, when: &str) -> Option<Vec<u8>> {
        for key in 0..self.neighbours {
            let found = get(&self.reader, &key.to_le_bytes());
            assert_eq!(found, Some(neighbour(key)), "{when}: neighbour {key}");
        }
        let keys: Vec<_> = (0..self.neighbours + STRANGERS)
            .map(|key| if key < self.neighbours { key } else { key + (1 << 40) }.to_le_bytes())
            .collect();
        let found = self.reader.get_many(&keys, |index, value| {
            assert_eq!(value, neighbour(index as u64), "{when}: neighbour {index}, by a batch");
        });
        assert_eq!(found, Ok(self.neighbours as usize), "{when}: by a batch");
        for key in 0..STRANGERS {
            let found = self.reader.contains(&(key + (1 << 40)).to_le_bytes());
            assert_eq!(found, Ok(false), "{when}: stranger {key}");
        }
        let found = get(&self.reader, &self.key);
        assert!(found == self.before || found == self.after, "{when}: {found:?}");
        found
    }

    /// Stops a child before step `n`, and kills it there. False: the mutation has fewer steps.
    fn stop_at(&self, n: u64, mutation: impl FnOnce(&Map) -> bool) -> bool {
        self.image.restore();
        let child = process::spawn(|| {
            // The child takes its slot outside of the count.
            let _ = self.writer.delete(b"not there");
            crash::arm_stop(n);
            mutation(&self.writer)
        });
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0), "step {n}");
            return false;
        }
        let stopped = self.read(&format!("stopped at step {n}"));
        // The first step takes the lock, the last one gives it back.
        let answer = if n == 1 { Ok(false) } else { Err(OpError::Busy) };
        assert_eq!(self.impatient.delete(b"not there"), answer, "stopped at step {n}");
        process::signal(child, libc::SIGKILL);
        assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
        let killed = self.read(&format!("killed at step {n}"));
        assert_eq!(stopped, killed, "step {n}: a death changes nothing");
        assert_eq!(self.impatient.delete(b"not there"), Ok(false), "killed at step {n}");
        assert_sound(&self.writer);
        let repaired = self.read(&format!("repaired after step {n}"));
        if killed == self.after {
            assert_eq!(repaired, self.after, "step {n}: taken back after a reader saw it");
        }
        true
    }

    /// Every step of the mutation, of which there are more than `least`.
    fn run(self, least: u64, mutation: impl Fn(&Map) -> bool + Copy) {
        let _watchdog = Watchdog::new("a reader beside a stopped writer");
        let mut n = 1;
        while self.stop_at(n, mutation) {
            n += 1;
        }
        println!("{}: read at {} steps, stopped and killed", self.file.name(), n - 1);
        assert!(n > least, "{}: only {} steps", self.file.name(), n - 1);
    }
}

fn put(map: &Map) -> bool {
    map.put(KEY, &[2; 30]).is_ok()
}

fn put_large(map: &Map) -> bool {
    map.put(KEY, &[3; 30_000]).is_ok()
}

fn delete(map: &Map) -> bool {
    map.delete(KEY) == Ok(true)
}

#[test]
fn readers_go_on_beside_a_put_that_stops_at_any_step() {
    Scene::new("readers-put", |_| {}, put).run(5, put);
}

#[test]
fn readers_go_on_beside_a_replace_that_stops_at_any_step() {
    let small = |map: &Map| _ = map.put(KEY, &[1; 30]).unwrap();
    Scene::new("readers-replace", small, put).run(5, put);
    Scene::new("readers-to-large", small, put_large).run(5, put_large);
    let large = |map: &Map| _ = map.put(KEY, &[1; 40_000]).unwrap();
    Scene::new("readers-from-large", large, put).run(5, put);
}

#[test]
fn readers_go_on_beside_a_delete_that_stops_at_any_step() {
    let there = |map: &Map| _ = map.put(KEY, &[1; 30]).unwrap();
    Scene::new("readers-delete", there, delete).run(5, delete);
}

#[test]
fn readers_go_on_beside_a_split_that_stops_at_any_step() {
    // Method: a map whose next put splits its only table; that put's key is the one that may or may
    // not be there yet.
    let file = MapFile::new("readers-split");
    let writer = file.create(1);
    let mut image = Image::of(file.folder(), file.name());
    let mut keys = 0u64;
    while writer.stats().splits == 0 {
        image = Image::of(file.folder(), file.name());
        writer.put(&keys.to_le_bytes(), &neighbour(keys)).unwrap();
        keys += 1;
    }
    let last = keys - 1;
    let (key, after) = (last.to_le_bytes().to_vec(), Some(neighbour(last)));
    let (reader, impatient) = (file.open_read_only(), file.open_impatient(PATIENCE));
    let (neighbours, before) = (last, None);
    let scene = Scene { file, writer, reader, impatient, image, neighbours, key, before, after };
    scene.run(200, move |map: &Map| map.put(&last.to_le_bytes(), &neighbour(last)).is_ok());
}

#[test]
fn readers_go_on_beside_a_merge_that_stops_at_any_step() {
    // Method: a map of some tables loses keys until a delete has two of them merge; that delete's
    // key is the one that may or may not be there any more. So for the first merges, some of which
    // the lower half absorbs and some the upper one, and some leave a gap, which the last page
    // fills.
    for merges in 1..=4 {
        beside_a_merge(merges);
    }
}

/// Stops at all steps of the delete that makes the merge of this number.
fn beside_a_merge(merges: u64) {
    let file = MapFile::new("readers-merge");
    let writer = file.create(1);
    let mut keys = 10 * NEIGHBOURS;
    for key in 0..keys {
        writer.put(&key.to_le_bytes(), &neighbour(key)).unwrap();
    }
    let mut image = Image::of(file.folder(), file.name());
    let grown = writer.stats().tables;
    while writer.stats().tables > grown - merges {
        keys -= 1;
        image = Image::of(file.folder(), file.name());
        assert_eq!(writer.delete(&keys.to_le_bytes()), Ok(true));
    }
    let (key, before) = (keys.to_le_bytes().to_vec(), Some(neighbour(keys)));
    let (reader, impatient) = (file.open_read_only(), file.open_impatient(PATIENCE));
    let (neighbours, after) = (keys, None);
    let scene = Scene { file, writer, reader, impatient, image, neighbours, key, before, after };
    scene.run(60, move |map: &Map| map.delete(&keys.to_le_bytes()) == Ok(true));
}
