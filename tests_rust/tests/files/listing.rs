//! The list of the maps in a folder: what it says of each, and what does not disturb it.
#![allow(unsafe_code)]

use shf_engine::{Facts, Listed, Map, OpenError, Options};
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A folder in `/dev/shm` for one test, removed at its end.
struct Folder(PathBuf, u32);

impl Folder {
    fn new(what: &str) -> Folder {
        let owner = std::process::id();
        let path = PathBuf::from(format!("/dev/shm/shf-test-list-{what}-{owner}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path, owner)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn create(&self, name: &str, options: Options) -> Map {
        Map::create(&self.0, name, &options).unwrap()
    }

    fn open(&self, name: &str) -> Map {
        Map::open(&self.0, name, &Options::default()).unwrap()
    }

    fn list(&self) -> Vec<Listed> {
        Map::list(&self.0).unwrap()
    }

    fn facts(&self, name: &str) -> Facts {
        let found = self.list().into_iter().find(|listed| listed.name == name);
        found.unwrap_or_else(|| panic!("{name} is missing")).facts.unwrap()
    }

    fn users(&self, name: &str) -> u32 {
        self.facts(name).users
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.1 == std::process::id() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn small() -> Options {
    Options { shards: Some(4), max_bytes: Some(4 << 20), ..Options::default() }
}

#[test]
fn every_map_is_listed_with_what_is_true_of_it() {
    let folder = Folder::new("facts");
    assert_eq!(folder.list(), []);
    let before = SystemTime::now() - Duration::from_secs(1);
    let plain = folder.create("plain", small());
    let cache = folder.create("a cache", Options { evict: true, ..small() });
    let durable = folder.create("durable", Options { durable: Some(true), ..small() });
    let temporary = folder.create("temporary", Options { temporary: true, ..small() });
    for number in 0..3000u32 {
        plain.put(&number.to_le_bytes(), &[1; 100]).unwrap();
    }
    // Elements of a list are no keys.
    for _ in 0..100 {
        plain.push(b"list", b"element").unwrap();
    }
    let files = ["notes.txt", "shf", "plain.shf.bak"];
    files.iter().for_each(|name| fs::write(folder.path().join(name), b"no map").unwrap());

    let listed = folder.list();
    let names: Vec<&str> = listed.iter().map(|listed| &listed.name[..]).collect();
    assert_eq!(names, ["a cache", "durable", "plain", "temporary"]);
    for (map, listed) in [&cache, &durable, &plain, &temporary].into_iter().zip(&listed) {
        let (facts, stats) = (listed.facts.clone().unwrap(), map.stats());
        let found = fs::metadata(folder.path().join(format!("{}.shf", listed.name))).unwrap();
        assert_eq!(facts.keys, map.size());
        assert_eq!(facts.committed_bytes, stats.committed_bytes);
        assert_eq!(facts.real_bytes, found.blocks() * 512);
        assert_eq!(facts.real_bytes, facts.committed_bytes, "on tmpfs");
        assert_eq!(facts.apparent_bytes, found.len());
        assert_eq!(facts.max_bytes, 4 << 20);
        assert!(facts.created > before && facts.created <= SystemTime::now());
        assert_eq!(facts.users, 1);
        assert_eq!(facts.evict, listed.name == "a cache");
        assert_eq!(facts.durable, listed.name == "durable");
        assert_eq!(facts.temporary, listed.name == "temporary");
    }
    assert_eq!(folder.facts("plain").keys, 3001);
    drop(temporary);
    assert_eq!(folder.list().len(), 3);
}

#[test]
fn users_of_all_processes_are_counted_while_they_live() {
    let _watchdog = Watchdog::new("users that are listed");
    let folder = Folder::new("users");
    let map = folder.create("map", small());
    assert_eq!(folder.users("map"), 1);
    let more: Vec<Map> = (0..20).map(|_| folder.open("map")).collect();
    assert_eq!(folder.users("map"), 21);
    let reader = Map::open_read_only(folder.path(), "map", &Options::default()).unwrap();
    assert_eq!(folder.users("map"), 21, "a reader takes no slot");
    drop(more);
    drop(reader);
    let stopped = |work: &dyn Fn()| {
        let child = process::spawn(|| {
            work();
            process::signal(std::process::id() as i32, libc::SIGSTOP);
            true
        });
        assert_eq!(process::wait_for_stop(child), None);
        child
    };
    // A child counts from its first write on, and a process that opens the map itself at once.
    let idle = stopped(&|| ());
    assert_eq!(folder.users("map"), 1);
    let heir = stopped(&|| _ = map.put(b"key", b"value").unwrap());
    assert_eq!(folder.users("map"), 2);
    let opener = stopped(&|| std::mem::forget(folder.open("map")));
    assert_eq!(folder.users("map"), 3);
    for (left, child) in [(2, heir), (1, opener)] {
        process::signal(child, libc::SIGKILL);
        assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
        assert_eq!(folder.users("map"), left);
    }
    drop(map);
    assert_eq!(folder.users("map"), 0, "and no slot is kept by the idle child");
    drop(Stopping::new(idle));
}

#[test]
fn all_process_slots_can_be_counted() {
    let folder = Folder::new("slots");
    let map = folder.create("map", small());
    let handles: Vec<Map> = (1..300).map(|_| folder.open("map")).collect();
    assert_eq!(folder.users("map"), 300);
    drop(handles);
    assert_eq!(folder.users("map"), 1);
    drop(map);
}

#[test]
fn what_is_no_map_is_listed_with_its_error_and_hides_no_other() {
    // Goal: P5; each error is the one that opening the file answers. Method: files of all kinds
    // between two maps, one of them of another version and one cut short.
    let folder = Folder::new("errors");
    let at = |name: &str| folder.path().join(format!("{name}.shf"));
    drop(folder.create("0 good", small()));
    drop(folder.create("z good", small()));
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("garbage"), vec![0xa5; 100_000]).unwrap();
    drop(folder.create("cut", small()));
    let cut = fs::OpenOptions::new().write(true).open(at("cut")).unwrap();
    cut.set_len(cut.metadata().unwrap().len() - 4096).unwrap();
    drop(folder.create("version", small()));
    let version = fs::OpenOptions::new().write(true).open(at("version")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&version, &[99], 16).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink(at("0 good"), at("link")).unwrap();
    let pipe = std::ffi::CString::new(at("pipe").to_str().unwrap()).unwrap();
    // SAFETY: a string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    fs::write(folder.path().join(OsStr::from_bytes(b"not \xff text.shf")), b"").unwrap();
    fs::write(at("two..dots"), b"").unwrap();

    let listed = folder.list();
    let (good, bad): (Vec<_>, Vec<_>) = listed.iter().partition(|listed| listed.facts.is_ok());
    assert_eq!(good.iter().map(|it| &it.name[..]).collect::<Vec<_>>(), ["0 good", "z good"]);
    assert_eq!(bad.len(), 9);
    for Listed { name, facts } in bad {
        let error = facts.clone().unwrap_err();
        if name.contains("text") {
            assert!(
                matches!(&error, OpenError::InvalidName { reason, .. } if reason.contains("UTF-8"))
            );
        } else {
            let opened = Map::open_read_only(folder.path(), name, &Options::default());
            assert_eq!(opened.err(), Some(error), "{name}");
        }
    }
    let missing = folder.path().join("missing");
    assert_eq!(Map::list(&missing), Err(OpenError::NotFound { path: missing.clone() }));
    let file = at("garbage");
    let found = Map::list(&file);
    assert!(matches!(found, Err(OpenError::System { errno: libc::ENOTDIR, .. })), "{found:?}");
}

#[test]
fn reading_rights_are_enough_and_what_may_not_be_read_is_listed_with_that() {
    let folder = Folder::new("rights");
    let others_enter = fs::metadata("/").unwrap().permissions().mode() & 1 == 1;
    // SAFETY: asks for the user of this process.
    if unsafe { libc::geteuid() } != 0 || !others_enter {
        eprintln!("skipped: becoming another user needs root, and a root folder to enter");
        return;
    }
    let open = folder.create("open", Options { mode: Some(0o644), ..small() });
    open.put(b"key", b"value").unwrap();
    let secret = folder.create("secret", small());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = || {
        // SAFETY: changes the user of this child, which has one thread.
        assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);
        let listed = folder.list();
        let facts = listed[0].facts.clone().unwrap();
        assert_eq!((&listed[0].name[..], facts.keys, facts.users), ("open", 1, 1));
        let path = folder.path().join("secret.shf");
        let denied = OpenError::PermissionDenied { path, wanted: "read" };
        assert_eq!((&listed[1].name[..], listed[1].facts.clone()), ("secret", Err(denied)));
        assert_eq!(listed.len(), 2);
        true
    };
    assert_eq!(process::run(as_nobody), End::Exited(0));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let shut_out = || {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);
        matches!(Map::list(folder.path()), Err(OpenError::PermissionDenied { wanted: "read", .. }))
    };
    assert_eq!(process::run(shut_out), End::Exited(0));
    drop(secret);
}

#[test]
fn looking_makes_no_hole_real_and_believes_no_counter() {
    // Goal: a file whose header is right and all else is not costs nothing and gives numbers.
    // Method: of a map, all but the header is made a hole, then filled with ones.
    let folder = Folder::new("hostile");
    let map = folder.create("map", small());
    let path = folder.path().join("map.shf");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let front = map.geometry().front_bytes();
    drop(map);
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain system call on an open file.
    let punched = unsafe {
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        libc::fallocate(number, hole, 4096, front as i64 - 4096)
    };
    assert_eq!(punched, 0);
    let facts = folder.facts("map");
    assert_eq!((facts.keys, facts.real_bytes), (0, 4096));
    assert_eq!(fs::metadata(&path).unwrap().blocks() * 512, 4096);
    let ones = vec![0xff; front as usize - 4096];
    std::os::unix::fs::FileExt::write_all_at(&file, &ones, 4096).unwrap();
    let facts = folder.facts("map");
    assert_eq!(facts.committed_bytes, u64::MAX);
    // The smallest difference of two counters is 0.
    assert_eq!(facts.keys, 0);
}

#[test]
fn maps_of_dead_creators_are_not_listed_and_go() {
    let _watchdog = Watchdog::new("a list of what the dead left");
    let folder = Folder::new("dead");
    let living = folder.create("living", Options { temporary: true, ..small() });
    let child = process::spawn(|| {
        std::mem::forget(folder.create("dead", Options { temporary: true, ..small() }));
        process::signal(std::process::id() as i32, libc::SIGSTOP);
        true
    });
    assert_eq!(process::wait_for_stop(child), None);
    assert!(folder.facts("dead").temporary);
    process::signal(child, libc::SIGKILL);
    assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
    let names: Vec<String> = folder.list().into_iter().map(|listed| listed.name).collect();
    assert_eq!(names, ["living"]);
    assert!(!folder.path().join("dead.shf").exists());
    drop(living);
    assert_eq!(folder.list(), []);
}

#[test]
fn maps_that_come_and_go_meanwhile_disturb_no_list() {
    let _watchdog = Watchdog::new("a list beside creators");
    let folder = Folder::new("racing");
    let there = folder.create("there", small());
    let end = folder.path().join("end");
    let child = process::spawn(|| {
        while !end.exists() {
            let map = Map::create(folder.path(), "comes and goes", &small()).unwrap();
            map.put(b"key", b"value").unwrap();
            Map::remove(folder.path(), "comes and goes").unwrap();
            drop(folder.create("temporary", Options { temporary: true, ..small() }));
        }
        true
    });
    for _ in 0..300 {
        let listed = folder.list();
        assert!(listed.iter().any(|listed| listed.name == "there"));
        assert!(listed.iter().all(|listed| listed.facts.is_ok()), "{listed:?}");
    }
    fs::write(&end, b"").unwrap();
    assert_eq!(process::wait(child), End::Exited(0));
    drop(there);
}
