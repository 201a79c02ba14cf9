//! What others do while a map is copied or frozen, and what a dead one leaves them.

use crate::contents::{End as EndOfWriters, beside, contents};
use shf_base::crash;
use shf_base::format::SUSPECT_OFFSET;
use shf_engine::{Map, OpError, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(5);
/// Entries of the change log, and some.
const LAP: u64 = 40_000;
/// The note of a follower (docs/format.md).
const FOLLOWED: u32 = 2;

/// Whether the lock of a map's first shard has the note of a follower.
fn is_followed(file: &MapFile, map: &Map) -> bool {
    let mut bytes = [0; 4];
    let at = map.geometry().shard_header(0) + SUSPECT_OFFSET;
    File::open(file.path()).unwrap().read_exact_at(&mut bytes, at).unwrap();
    u32::from_le_bytes(bytes) & FOLLOWED != 0
}

fn fill(map: &Map, keys: u64, value_bytes: usize) {
    let value = vec![7; value_bytes];
    (0..keys).for_each(|key| _ = map.put(&key.to_le_bytes(), &value).unwrap());
}

#[test]
fn the_note_of_a_killed_follower_is_taken_away_by_who_writes() {
    // Goal: writers do not enter for ever what nobody reads; what a living one needs stays. Method:
    // a child that is killed, or stopped without the lock, where it has set the note.
    let _watchdog = Watchdog::new("followers");
    let (file, copy) = (MapFile::new("followed"), MapFile::new("followed-copy"));
    let map = file.create(1);
    fill(&map, 3000, 100);
    let impatient = file.open_impatient(SHORT);
    let change =
        || (0..3 * 1024).for_each(|key: u64| _ = map.put(&key.to_le_bytes(), b"new").unwrap());
    let (mut killed, mut stopped) = (0, 0);
    for n in (1..).step_by(5) {
        let follower = |arm: fn(u64)| {
            process::spawn(|| {
                arm(n);
                map.snapshot(copy.folder(), copy.name()).is_ok()
            })
        };
        let end = process::wait(follower(crash::arm));
        assert!(end == End::Killed(libc::SIGKILL) || end == End::Exited(0), "{end:?}");
        if end == End::Killed(libc::SIGKILL) && is_followed(&file, &map) {
            killed += 1;
            change();
            assert!(!is_followed(&file, &map), "step {n}");
        }
        let child = follower(crash::arm_stop);
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0));
            break;
        }
        let child = Stopping::new(child);
        let is_free = impatient.put(b"free", b"") != Err(OpError::Busy);
        if is_free && is_followed(&file, &map) {
            stopped += 1;
            change();
            assert!(is_followed(&file, &map), "step {n}");
        }
        child.go_on();
        assert_eq!(child.wait(), End::Exited(0));
    }
    assert!(killed > 3 && stopped > 0, "{killed} {stopped}");
    assert_sound(&map);
}

#[test]
fn a_snapshot_ends_however_often_its_log_is_lapped() {
    // Goal: writers that are too fast for it do not keep a snapshot from its end. Method: whenever
    // it can be, the one who takes it is stopped without the lock until the log is lapped.
    let _watchdog = Watchdog::new("laps");
    let (file, copy) = (MapFile::new("lapped"), MapFile::new("lapped-copy"));
    let map = file.create_with(1, 256 << 20);
    fill(&map, 5000, 15_000);
    let impatient = file.open_impatient(SHORT);
    let child = process::spawn(|| map.snapshot(copy.folder(), copy.name()).is_ok());
    let (mut laps, mut number) = (0, 0u64);
    let end = loop {
        thread::sleep(Duration::from_millis(2));
        process::signal(child, libc::SIGSTOP);
        if let Some(end) = process::wait_for_stop(child) {
            break end;
        }
        if impatient.add(b"sum", 1) != Err(OpError::Busy) {
            for _ in 0..LAP {
                map.add(b"sum", 1).unwrap();
                number += 1;
            }
            laps += 1;
        }
        process::signal(child, libc::SIGCONT);
    };
    assert_eq!(end, End::Exited(0));
    assert!(laps > 3, "{laps} laps, {number} changes");
    let frozen = copy.open_read_only();
    assert_eq!(frozen.verify(), Ok(vec![]));
    assert_eq!(frozen.size(), 5001);
    assert!(!is_followed(&file, &map));
    assert_sound(&map);
}

#[test]
fn a_map_that_grows_while_it_is_copied_to_several_shards_fits() {
    // Goal: no `NoSpace` for windows that were too small, while there are larger ones. Method: more
    // keys than one frozen shard gets in a test build, and a writer that multiplies the map's
    // bytes.
    let _watchdog = Watchdog::new("growing maps");
    let file = MapFile::new("growing");
    let map = file.create_with(4, 1 << 30);
    fill(&map, 20_000, 8);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = EndOfWriters(&over);
        scope.spawn(|| {
            let mut key = 0u64;
            while key < 6000 && !over.load(Ordering::Relaxed) {
                map.put(&[&b"large"[..], &key.to_le_bytes()].concat(), &[7; 50_000]).unwrap();
                key += 1;
            }
        });
        for round in 0..3 {
            let copy = beside(&file, &format!("grown{round}"));
            map.snapshot(copy.folder(), copy.name()).unwrap();
            let frozen = copy.open_read_only();
            assert!(frozen.geometry().shards() > 1);
            assert_eq!(frozen.verify(), Ok(vec![]));
            for key in 0..20_000u64 {
                assert_eq!(frozen.contains(&key.to_le_bytes()), Ok(true), "{key}");
            }
        }
    });
}

#[test]
fn who_attaches_while_a_map_is_frozen_gets_no_handle_that_writes_behind_it() {
    // Goal: no write is lost to the file that is replaced. Method: who freezes is stopped at each
    // step; others open the map meanwhile, to read and to write.
    let watchdog = Watchdog::new("attaching while a map is frozen");
    let (mut refused, mut opened) = (0, 0);
    for n in 1.. {
        watchdog.feed();
        let file = MapFile::new("attach-meanwhile");
        file.create(1).put(b"key", b"value").unwrap();
        let child = process::spawn(|| {
            crash::arm_stop(n);
            match file.open().freeze() {
                Ok(()) | Err(OpenError::InUse { .. }) => true,
                Err(error) => panic!("{error}"),
            }
        });
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0));
            break;
        }
        let child = Stopping::new(child);
        assert_eq!(file.open_read_only().contains(b"key"), Ok(true), "step {n}");
        let options = Options { patience: Some(SHORT), ..Options::default() };
        match Map::open(file.folder(), file.name(), &options) {
            Err(OpenError::BeingFrozen { .. } | OpenError::Frozen { .. }) => refused += 1,
            Err(error) => panic!("step {n}: {error}"),
            Ok(map) => {
                opened += 1;
                let put = map.put(b"more", b"value").is_ok();
                child.go_on();
                assert_eq!(child.wait(), End::Exited(0), "step {n}");
                drop(map);
                assert_eq!(file.open_read_only().contains(b"more"), Ok(put), "step {n}");
                continue;
            }
        }
        child.go_on();
        assert_eq!(child.wait(), End::Exited(0), "step {n}");
        assert!(file.open_read_only().is_frozen(), "step {n}");
        assert_eq!(contents(&file.open_read_only()).len(), 1, "step {n}");
    }
    assert!(refused > 10 && opened > 1, "{refused} {opened}");
}

/// A folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Folder {
        let path = PathBuf::from(format!("/dev/shm/shf-test-{what}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Files that are being made, or were when somebody died.
    fn drafts(&self) -> usize {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with(".shf-")).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create(folder: &Path, name: &str) -> Map {
    let options = Options { shards: Some(1), max_bytes: Some(1 << 20), ..Options::default() };
    Map::create(folder, name, &options).unwrap()
}

#[test]
fn what_somebody_left_who_died_is_deleted_and_what_a_living_one_makes_is_not() {
    // Goal: no file is left for good, none is taken from who makes it. Method: a snapshot that
    // replaces one is killed, or stopped, where its file has a name of its own; then another map's
    // is taken.
    let _watchdog = Watchdog::new("files left behind");
    let folder = Folder::new("left");
    let (map, other) = (create(&folder.0, "map"), create(&folder.0, "other"));
    map.put(b"key", b"value").unwrap();
    map.snapshot(&folder.0, "copy").unwrap();
    let others = [".shf-0123456789abcdef.tmp.shf", ".shf-0123.tmp", ".shf-0123456789abcdeg.tmp"];
    for name in others {
        fs::write(folder.0.join(name), b"not ours").unwrap();
    }
    let before = folder.drafts();
    let snapshot = |arm: fn(u64), n| {
        process::spawn(|| {
            arm(n);
            map.snapshot(&folder.0, "copy").is_ok()
        })
    };
    let (mut killed, mut stopped) = (0, 0);
    for n in 1.. {
        let end = process::wait(snapshot(crash::arm, n));
        killed += folder.drafts() - before;
        other.snapshot(&folder.0, "another").unwrap();
        assert_eq!(folder.drafts(), before, "step {n}");
        if end == End::Exited(0) {
            break;
        }
        // Locks of dead ones are taken over in more steps, or fewer.
        map.snapshot(&folder.0, "copy").unwrap();
    }
    for n in 1.. {
        let child = snapshot(crash::arm_stop, n);
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0));
            break;
        }
        let child = Stopping::new(child);
        let drafts = folder.drafts();
        stopped += drafts - before;
        other.snapshot(&folder.0, "another").unwrap();
        assert_eq!(folder.drafts(), drafts, "step {n}");
        child.go_on();
        assert_eq!(child.wait(), End::Exited(0), "step {n}");
    }
    assert!(killed > 0 && stopped > 0, "{killed} {stopped}");
    assert!(others.iter().all(|name| folder.0.join(name).exists()));
    let copy = Map::open_read_only(&folder.0, "copy", &Options::default()).unwrap();
    assert_eq!(copy.contains(b"key"), Ok(true));
}
