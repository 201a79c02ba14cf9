//! Maps whose files have no name: inherited, passed on by descriptor, and gone with the last
//! process.
#![allow(unsafe_code)]

use shf_engine::{Access, Map, OpError, OpenError, Options};
use shf_tests::map_file::MapFile;
use shf_tests::mount::without_proc;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{assert_sound, descriptors};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

fn options() -> Options {
    Options { shards: Some(4), max_bytes: Some(8 << 20), ..Options::default() }
}

fn anonymous() -> Map {
    Map::anonymous(&options()).unwrap()
}

fn key(writer: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&writer.to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

fn close_all_descriptors() {
    // SAFETY: what this child inherited is not used any more, except by what is tested.
    (3..1024).for_each(|number| unsafe { _ = libc::close(number) });
}

#[test]
fn a_parent_and_its_children_write_to_one_map() {
    let _watchdog = Watchdog::new("children with one anonymous map");
    let map = anonymous();
    let work = |writer: u64| {
        for number in 0..2000 {
            map.put(&key(writer, number), &number.to_le_bytes()).unwrap();
        }
        map.add(b"writers", 1).is_ok()
    };
    let children: Vec<i32> = (1..4).map(|writer| process::spawn(|| work(writer))).collect();
    assert!(work(0));
    children.into_iter().for_each(|child| assert_eq!(process::wait(child), End::Exited(0)));
    assert_eq!(map.add(b"writers", 0), Ok(4));
    assert_eq!(map.size(), 4 * 2000 + 1);
    for writer in 0..4 {
        for number in 0..2000 {
            assert_eq!(get(&map, &key(writer, number)).unwrap(), number.to_le_bytes());
        }
    }
    // A grandchild, of a child that has a slot of its own.
    let grandchild = || process::run(|| map.put(b"grandchild", b"value").is_ok()) == End::Exited(0);
    assert_eq!(process::run(grandchild), End::Exited(0));
    assert_eq!(get(&map, b"grandchild").unwrap(), b"value");
    assert_sound(&map);
}

#[test]
fn a_child_killed_while_it_puts_costs_the_others_nothing() {
    let watchdog = Watchdog::new("others after a death");
    let map = Map::anonymous(&Options { shards: Some(1), ..options() }).unwrap();
    for round in 0..40u64 {
        let child = process::spawn(|| {
            process::end_with_parent();
            for number in 0.. {
                let value = vec![number as u8; number as usize % 300];
                map.put(&key(1, number % 500), &value).unwrap();
                map.add(b"acknowledged", 1).unwrap();
            }
            true
        });
        thread::sleep(Duration::from_micros(500 + 173 * round));
        let before = map.add(b"acknowledged", 0).unwrap();
        process::signal(child, libc::SIGKILL);
        assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
        map.put(&key(2, round), b"ours").unwrap();
        assert!(map.add(b"acknowledged", 0).unwrap() >= before);
        let other = || map.put(&key(3, round), b"a sibling's").is_ok();
        assert_eq!(process::run(other), End::Exited(0));
        assert_sound(&map);
        watchdog.feed();
    }
    for round in 0..40 {
        assert_eq!(get(&map, &key(2, round)).unwrap(), b"ours");
        assert_eq!(get(&map, &key(3, round)).unwrap(), b"a sibling's");
    }
}

#[test]
fn an_unrelated_process_gets_the_map_by_a_descriptor() {
    // Goal: who was there before the map, and has nothing of it, puts and gets. Method: a child
    // that was forked before is sent the descriptor.
    let _watchdog = Watchdog::new("a descriptor sent over a socket");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = process::spawn(|| {
        let descriptor = descriptors::receive(&theirs).unwrap();
        let map = Map::open_descriptor(descriptor.as_fd(), Access::ReadWrite, &Options::default())
            .unwrap();
        // The map has a descriptor of its own.
        drop(descriptor);
        assert_eq!(get(&map, b"question").unwrap(), b"what?");
        for number in 0..5000 {
            map.put(&key(7, number), &[7; 100]).unwrap();
        }
        map.put(b"answer", b"that").unwrap();
        // And so do its own children.
        process::run(|| map.put(b"grandchild", b"too").is_ok()) == End::Exited(0)
    });
    let map = anonymous();
    map.put(b"question", b"what?").unwrap();
    descriptors::send(&ours, map.descriptor().unwrap().as_fd());
    assert_eq!(process::wait(child), End::Exited(0));
    assert_eq!(get(&map, b"answer").unwrap(), b"that");
    assert_eq!(get(&map, b"grandchild").unwrap(), b"too");
    assert_eq!(map.size(), 5003);
    assert_sound(&map);
}

#[test]
fn the_file_is_there_as_long_as_a_process_has_it() {
    // Goal: the memory outlives the process that made the map, and no longer than the last one that
    // has it. Method: the bytes that a child sees through a descriptor that it was sent; afterwards
    // no process of this test has a file of that inode.
    let _watchdog = Watchdog::new("the end of the last process");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let maker = process::spawn(|| {
        let map = anonymous();
        map.put(b"key", b"from the dead").unwrap();
        descriptors::send(&theirs, map.descriptor().unwrap().as_fd());
        true
    });
    assert_eq!(process::wait(maker), End::Exited(0));
    let descriptor = descriptors::receive(&ours).unwrap();
    let inode = File::from(descriptor.try_clone().unwrap()).metadata().unwrap().ino();
    let map =
        Map::open_descriptor(descriptor.as_fd(), Access::ReadWrite, &Options::default()).unwrap();
    assert_eq!(get(&map, b"key").unwrap(), b"from the dead");
    map.put(b"key", b"and on").unwrap();
    let has_it = || {
        let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let inodes = files.filter_map(|file| fs::metadata(file.path()).ok());
        inodes.filter(|found| found.ino() == inode).count()
    };
    assert!(has_it() > 0);
    drop(map);
    drop(descriptor);
    assert_eq!(has_it(), 0);
    let mapped = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = mapped.lines().filter(|line| line.contains("/memfd:shf"));
    assert!(!mapped.into_iter().any(|line| line.contains(&format!(" {inode} "))));
}

#[test]
fn nobody_can_change_the_length_of_the_file_and_it_grows_and_shrinks_all_the_same() {
    // Goal: a receiver of the descriptor can cut nobody short; memory is made real and given back
    // under the seals. Method: the system calls that would; then a map that fills and empties.
    let map = anonymous();
    let file = File::from(map.descriptor().unwrap());
    let len = file.metadata().unwrap().len();
    for length in [0, len - 4096, len + 4096] {
        assert_eq!(file.set_len(length).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    // SAFETY: plain system calls on an open file.
    let (seals, more) = unsafe {
        let number = file.as_raw_fd();
        let more = libc::fcntl(number, libc::F_ADD_SEALS, libc::F_SEAL_WRITE);
        (libc::fcntl(number, libc::F_GET_SEALS), more)
    };
    let expected = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!((seals & expected, more), (expected, -1));
    assert_eq!(seals & libc::F_SEAL_WRITE, 0);

    let real = || file.metadata().unwrap().blocks() * 512;
    assert_eq!(real(), map.stats().committed_bytes);
    for number in 0..5000 {
        map.put(&key(0, number), &[1; 800]).unwrap();
    }
    assert_eq!(real(), map.stats().committed_bytes);
    let most = real();
    map.clear().unwrap();
    // Memory rests for a second, and goes back with later operations.
    thread::sleep(Duration::from_millis(1100));
    for number in 0..20_000 {
        map.put(&key(1, number % 10), &[1; 8]).unwrap();
        map.delete(&key(1, number % 10)).unwrap();
    }
    assert!(real() < most, "{} of {most}", real());
    assert_eq!(real(), map.stats().committed_bytes);
    assert_sound(&map);
}

#[test]
fn a_full_map_is_an_error_and_limits_of_the_process_are_too() {
    let map = Map::anonymous(&Options { max_bytes: Some(256 << 10), shards: Some(1), ..options() });
    let map = map.unwrap();
    let full = (0..).find_map(|number| map.put(&key(0, number), &[1; 1000]).err()).unwrap();
    assert!(matches!(full, OpError::NoSpace { .. }), "{full}");
    assert!(get(&map, &key(0, 0)).is_some());
    assert!(map.delete(&key(0, 0)).unwrap());
    map.put(&key(0, 0), &[1; 500]).unwrap();
    let limited = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: sets a limit of this child.
        assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
    };
    // A file of no more than 1 MiB cannot hold a window of its own; no signal.
    let small_files = || {
        limited(libc::RLIMIT_FSIZE, 64 << 10);
        let error = Map::anonymous(&options()).err().unwrap();
        matches!(error, OpenError::NoSpace { .. })
    };
    assert_eq!(process::run(small_files), End::Exited(0));
    let no_descriptors = || {
        limited(libc::RLIMIT_NOFILE, 3);
        let error = Map::anonymous(&options()).err().unwrap();
        matches!(error, OpenError::System { errno: libc::EMFILE, .. })
    };
    assert_eq!(process::run(no_descriptors), End::Exited(0));
    // The default maximum is what memory and control groups leave; the file system says nothing.
    let map = Map::anonymous(&Options::default()).unwrap();
    let stats = map.stats();
    assert!(stats.max_bytes > 64 << 10 && stats.committed_bytes < 2 << 20, "{stats:?}");
}

#[test]
fn options_that_mean_nothing_without_a_name_are_refused() {
    let refused = |options: Options, named: &str| match Map::anonymous(&options).err() {
        Some(OpenError::InvalidOption { option, .. }) => assert_eq!(option, named),
        other => panic!("{named}: {other:?}"),
    };
    refused(Options { mode: Some(0o644), ..options() }, "mode");
    refused(Options { group: Some(0), ..options() }, "group");
    refused(Options { durable: Some(true), ..options() }, "durable");
    refused(Options { temporary: true, ..options() }, "temporary");
    refused(Options { shards: Some(3), ..options() }, "shards");
    let fine = Options { mode: Some(0o600), durable: Some(false), evict: true, ..options() };
    Map::anonymous(&fine).unwrap().put(b"key", b"value").unwrap();
}

#[test]
fn without_proc_there_is_an_error_that_says_so() {
    let map = anonymous();
    let descriptor = map.descriptor().unwrap();
    let watched = || {
        let found = Map::anonymous(&options()).err();
        assert!(matches!(found, Some(OpenError::ProcMissing { .. })), "{found:?}");
        let found = Map::open_descriptor(descriptor.as_fd(), Access::ReadWrite, &options()).err();
        assert!(matches!(found, Some(OpenError::ProcMissing { .. })), "{found:?}");
        assert!(found.unwrap().to_string().contains("/proc"));
        // A reader needs no open file of its own.
        let reader =
            Map::open_descriptor(descriptor.as_fd(), Access::ReadOnly, &options()).unwrap();
        assert_eq!(get(&reader, b"key"), None);
    };
    without_proc(watched);
    map.put(b"key", b"value").unwrap();
}

#[test]
fn a_child_that_closed_what_it_inherited_reads_on_and_is_told_why_it_cannot_write() {
    // Goal: no lock and no growth of whatever has the numbers by then. Method: a daemon's way, with
    // another file of the same kind in each number.
    let map = anonymous();
    map.put(b"key", b"value").unwrap();
    let child = || {
        close_all_descriptors();
        let strangers: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        assert_eq!(get(&map, b"key").unwrap(), b"value");
        let call = "opening the map's file again";
        for _ in 0..2 {
            match map.put(b"key", b"daemon") {
                Err(OpError::System { call: found, .. }) => assert_eq!(found, call),
                other => panic!("{other:?}"),
            }
            let error = map.descriptor().unwrap_err();
            assert!(matches!(error, OpError::System { .. }), "{error}");
        }
        drop(strangers);
        true
    };
    assert_eq!(process::run(child), End::Exited(0));
    map.put(b"key", b"ours").unwrap();
    assert_sound(&map);
}

#[test]
fn a_descriptor_of_a_named_map_opens_it_with_the_access_that_it_has() {
    let file = MapFile::new("descriptor");
    let map = file.create(2);
    map.put(b"key", b"value").unwrap();
    let by = |descriptor: BorrowedFd<'_>, access| {
        Map::open_descriptor(descriptor, access, &Options::default())
    };
    let writer = by(map.descriptor().unwrap().as_fd(), Access::ReadWrite).unwrap();
    writer.put(b"key", b"other").unwrap();
    assert_eq!(get(&map, b"key").unwrap(), b"other");
    let reader = by(map.descriptor().unwrap().as_fd(), Access::ReadOnly).unwrap();
    assert!(reader.is_read_only());
    assert_eq!(reader.put(b"key", b"x"), Err(OpError::ReadOnly));
    let for_reading = file.open_read_only().descriptor().unwrap();
    let reader = by(for_reading.as_fd(), Access::ReadWrite).unwrap();
    assert!(reader.is_read_only());
    assert_eq!(get(&reader, b"key").unwrap(), b"other");
    // The caller keeps his; and a name that is gone does not matter.
    let kept = map.descriptor().unwrap();
    Map::remove(file.folder(), file.name()).unwrap();
    let nameless = by(kept.as_fd(), Access::ReadWrite).unwrap();
    nameless.put(b"nameless", b"yes").unwrap();
    assert!(File::from(kept).metadata().is_ok());
    assert_eq!(get(&map, b"nameless").unwrap(), b"yes");
}

#[test]
fn descriptors_of_what_is_no_map_are_refused_with_what_was_found() {
    // Goal: P5 for a file that comes by descriptor.
    let by = |file: &File| {
        Map::open_descriptor(file.as_fd(), Access::ReadWrite, &Options::default()).err().unwrap()
    };
    let field = |error: OpenError| match error {
        OpenError::Incompatible { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(by(&File::open("/dev/null").unwrap())), "type of the file");
    assert_eq!(field(by(&File::open("/dev/shm").unwrap())), "type of the file");
    let file = MapFile::new("no-map");
    fs::write(file.path(), b"short").unwrap();
    let open = |read: bool, write: bool| {
        fs::OpenOptions::new().read(read).write(write).open(file.path()).unwrap()
    };
    assert_eq!(field(by(&open(true, true))), "length of the file");
    fs::write(file.path(), vec![7; 1 << 20]).unwrap();
    assert_eq!(field(by(&open(true, true))), "magic");
    let denied = OpenError::PermissionDenied { path: file.path(), wanted: "read" };
    assert_eq!(by(&open(false, true)), denied);
    fs::remove_file(file.path()).unwrap();
    let map = file.create(2);
    let writable = open(true, true);
    let len = writable.metadata().unwrap().len();
    writable.set_len(len - 4096).unwrap();
    assert_eq!(field(by(&writable)), "length of the file");
    writable.set_len(len).unwrap();
    assert!(map.put(b"key", b"value").is_ok());
}

#[test]
fn the_descriptor_of_a_temporary_map_opens_it_when_its_creator_is_gone() {
    let file = MapFile::new("temporary-descriptor");
    let options = Options { temporary: true, ..options() };
    let map = Map::create(file.folder(), file.name(), &options).unwrap();
    let descriptor = map.descriptor().unwrap();
    map.put(b"key", b"value").unwrap();
    drop(map);
    assert!(!file.path().exists());
    let map = Map::open_descriptor(descriptor.as_fd(), Access::ReadWrite, &options).unwrap();
    assert_eq!(get(&map, b"key").unwrap(), b"value");
}
