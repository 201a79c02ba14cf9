//! Tests of creating, opening and removing.
#![allow(unsafe_code)]

use super::*;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::error::{OpError, OpenError};
use crate::format::{HEADER_BYTES, Identity, VERSION};
use crate::testing::{Name, OPTIONS, close_inherited, fork, on_file_system, on_small_tmpfs};
use crate::testing::{say, set_limit, without_proc};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

fn read_only(name: &Name) -> Result<Opened, OpenError> {
    open(name.folder(), name.name(), Access::ReadOnly, false)
}

fn read_write(name: &Name) -> Result<Opened, OpenError> {
    open(name.folder(), name.name(), Access::ReadWrite, false)
}

fn wrong_field(result: Result<Opened, OpenError>) -> (&'static str, String, String) {
    match result.err() {
        Some(OpenError::Incompatible { field, expected, found, .. }) => (field, expected, found),
        other => panic!("{other:?}"),
    }
}

fn secret(opened: &Opened) -> u64 {
    opened.header.secret
}

#[test]
fn a_created_map_can_be_opened_and_says_the_same() {
    let name = Name::new();
    let created = name.create();
    let opened = name.open();
    assert_eq!(created.header, opened.header);
    assert_eq!(opened.header.max_bytes, 1 << 20);
    assert_eq!(opened.header.geometry.shards(), 4);
    assert_eq!(opened.storage.region().len(), opened.header.geometry.file_bytes());
    assert_eq!(
        Identity::load(opened.storage.region()).0[3],
        fs::metadata(name.path()).unwrap().ino()
    );
    let other = Name::new();
    assert_ne!(secret(&created), secret(&other.create()));
}

#[test]
fn what_one_handle_stores_another_one_sees() {
    let name = Name::new();
    let (one, two) = (name.create(), name.open());
    let reader = read_only(&name).unwrap();
    let window = one.header.geometry.window(3);
    one.storage.commit(window, 4096).unwrap();
    let word = |opened: &Opened| {
        opened.storage.region().word(window).unwrap().load(std::sync::atomic::Ordering::Acquire)
    };
    one.storage.region().word(window).unwrap().store(42, std::sync::atomic::Ordering::Release);
    assert_eq!((word(&two), word(&reader)), (42, 42));
    assert!(!reader.storage.region().writable());
    assert!(reader.presence.is_none());
}

#[test]
fn an_empty_map_of_the_default_shape_is_small() {
    let name = Name::new();
    let options = CreateOptions { shards: Some(256), max_bytes: None, ..OPTIONS };
    let opened = create(name.folder(), name.name(), &options).unwrap();
    let real = fs::metadata(name.path()).unwrap().blocks() * 512;
    assert!(real < 2 << 20, "{real}");
    assert!(opened.header.max_bytes > 64 << 10);
    assert!(opened.header.geometry.file_bytes() > opened.header.max_bytes);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = "x".repeat(251);
    for name in ["", "a/b", "/", "..", "a..b", "a\0b", &long] {
        let folder = Path::new("/dev/shm");
        let refused = |result: Result<Opened, OpenError>| {
            assert!(matches!(result.err(), Some(OpenError::InvalidName { .. })), "{name:?}");
        };
        refused(create(folder, name, &OPTIONS));
        refused(open(folder, name, Access::ReadOnly, false));
        refused(open_or_create(folder, name, &OPTIONS));
        assert!(matches!(remove(folder, name), Err(OpenError::InvalidName { .. })), "{name:?}");
    }
    let longest = "y".repeat(250);
    create(Path::new("/dev/shm"), &longest, &OPTIONS).unwrap();
    remove(Path::new("/dev/shm"), &longest).unwrap();
}

#[test]
fn what_is_missing_is_not_found_and_what_is_there_is_not_created_again() {
    let name = Name::new();
    let path = name.path();
    assert_eq!(read_write(&name).err(), Some(OpenError::NotFound { path: path.clone() }));
    assert_eq!(remove(name.folder(), name.name()), Err(OpenError::NotFound { path: path.clone() }));
    let folder = Path::new("/dev/shm/there-is-no-such-folder");
    let missing = Some(OpenError::NotFound { path: folder.into() });
    assert_eq!(create(folder, "map", &OPTIONS).err(), missing);
    assert_eq!(open_or_create(folder, "map", &OPTIONS).err(), missing);
    let first = open_or_create(name.folder(), name.name(), &OPTIONS).unwrap();
    let again = create(name.folder(), name.name(), &OPTIONS).err();
    assert_eq!(again, Some(OpenError::AlreadyExists { path }));
    let second = open_or_create(name.folder(), name.name(), &OPTIONS).unwrap();
    assert_eq!(secret(&first), secret(&second));
    remove(name.folder(), name.name()).unwrap();
    assert!(read_only(&name).is_err());
    assert_ne!(secret(&first), secret(&name.create()));
}

#[test]
fn options_out_of_range_are_named() {
    let name = Name::new();
    let bad =
        |options: CreateOptions, option: &str| match create(name.folder(), name.name(), &options)
            .err()
        {
            Some(OpenError::InvalidOption { option: named, .. }) => assert_eq!(named, option),
            other => panic!("{other:?}"),
        };
    bad(CreateOptions { shards: Some(3), ..OPTIONS }, "shards");
    bad(CreateOptions { shards: Some(0), ..OPTIONS }, "shards");
    bad(CreateOptions { shards: Some(8192), ..OPTIONS }, "shards");
    bad(CreateOptions { max_bytes: Some((64 << 10) - 1), ..OPTIONS }, "max_bytes");
    bad(CreateOptions { max_bytes: Some(u64::MAX), ..OPTIONS }, "max_bytes");
    bad(CreateOptions { shards: Some(1), max_bytes: Some(5 << 30), ..OPTIONS }, "max_bytes");
    bad(CreateOptions { mode: 0o1000, ..OPTIONS }, "mode");
    bad(CreateOptions { group: Some(u32::MAX), ..OPTIONS }, "group");
    assert!(read_only(&name).is_err());
}

#[test]
fn one_of_many_creators_wins_and_all_get_its_map() {
    // Goal: nobody sees half a map, no two get different ones. Method: processes of several
    // threads race to open or create, again and again; all secrets of a round must agree.
    let names: Vec<Name> = (0..10).map(|_| Name::new()).collect();
    let race = || {
        for name in &names {
            let secrets: Vec<u64> = std::thread::scope(|scope| {
                let open =
                    || secret(&open_or_create(name.folder(), name.name(), &OPTIONS).unwrap());
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(secrets.iter().all(|each| *each == secret(&name.open())));
        }
    };
    let children: Vec<_> = (0..4).map(|_| fork(race)).collect();
    children.into_iter().for_each(|child| child.join());
}

#[test]
fn of_ten_thousand_races_each_has_one_winner() {
    // Goal: `create` answers one of two processes, the other one gets `AlreadyExists`, and what it
    // then opens is whole. Method: the two meet at a counter that they share before each race.
    const RACES: u64 = 10_000;
    let (name, counter) = (Name::new(), Name::new());
    let meeting = counter.create();
    let word = |at: u32| meeting.storage.region().word(meeting.header.geometry.ledger(at)).unwrap();
    let count = |at: u32| loop {
        let old = word(at).load(Relaxed);
        if word(at).compare_exchange(old, old + 1, AcqRel, Relaxed).is_ok() {
            break;
        }
    };
    let wait_for = |at: u32, value: u64| {
        while word(at).load(Acquire) < value {
            std::thread::yield_now();
        }
    };
    let race = || {
        for race in 1..=RACES {
            count(0);
            wait_for(0, 2 * race);
            match create(name.folder(), name.name(), &OPTIONS) {
                Ok(_) => count(1),
                Err(error) => {
                    assert!(matches!(error, OpenError::AlreadyExists { .. }), "{error}");
                    assert_eq!(name.open().header.max_bytes, OPTIONS.max_bytes.unwrap());
                }
            }
            count(2);
            wait_for(2, 2 * race);
            let _ = remove(name.folder(), name.name());
        }
    };
    [fork(race), fork(race)].into_iter().for_each(|child| child.join());
    assert_eq!(word(1).load(Relaxed), RACES);
}

#[test]
fn a_creator_killed_on_the_way_leaves_nothing() {
    let before = fs::read_dir("/dev/shm").unwrap().count();
    let name = Name::new();
    for pause_us in 0..40 {
        let child = fork(|| drop(open_or_create(name.folder(), name.name(), &OPTIONS)));
        std::thread::sleep(std::time::Duration::from_micros(10 * pause_us));
        drop(child);
        // Either there is no map, or a whole one.
        match read_write(&name) {
            Ok(_) => remove(name.folder(), name.name()).unwrap(),
            Err(error) => assert!(matches!(error, OpenError::NotFound { .. }), "{error}"),
        }
    }
    let temporary = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".tmp");
    let left = fs::read_dir("/dev/shm").unwrap().flatten().filter(temporary).count();
    assert_eq!(left, 0, "{before} files before");
}

#[test]
fn foreign_truncated_and_changed_files_are_refused_with_what_was_expected() {
    let name = Name::new();
    let created = name.create();
    let whole = fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    let mut original = [0; HEADER_BYTES];
    fs::File::open(name.path()).unwrap().read_exact_at(&mut original, 0).unwrap();
    let with = |offset: u64, bytes: &[u8]| {
        whole.write_all_at(&original, 0).unwrap();
        whole.write_all_at(bytes, offset).unwrap();
        let wrong = wrong_field(read_write(&name));
        assert_eq!(wrong, wrong_field(read_only(&name)));
        wrong
    };
    assert_eq!(with(0, b"not a map").0, "magic");
    assert_eq!(with(8, &0x0807_0605_0403_0201u64.to_le_bytes()).0, "byte order mark");
    let other = (VERSION + 1).to_le_bytes();
    let found = (VERSION + 1).to_string();
    assert_eq!(with(16, &other), ("version", VERSION.to_string(), found));
    assert_eq!(with(24, &0u64.to_le_bytes()).0, "layout fingerprint");
    assert_eq!(with(56, &0u64.to_le_bytes()).0, "header checksum");
    whole.write_all_at(&original, 0).unwrap();
    read_write(&name).unwrap();

    let len = created.header.geometry.file_bytes();
    whole.set_len(len - 4096).unwrap();
    let found = (len - 4096).to_string();
    assert_eq!(wrong_field(read_write(&name)), ("length of the file", len.to_string(), found));
    for len in [0, 1, HEADER_BYTES as u64 - 1] {
        whole.set_len(len).unwrap();
        assert_eq!(wrong_field(read_write(&name)).0, "length of the file");
    }
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let name = Name::new();
    let path = name.path();
    let refused = || {
        assert_eq!(wrong_field(read_only(&name)).0, "type of the file");
        assert!(matches!(
            read_write(&name).err(),
            Some(OpenError::Incompatible { field: "type of the file", .. })
        ));
        assert!(matches!(
            create(name.folder(), name.name(), &OPTIONS).err(),
            Some(OpenError::AlreadyExists { .. })
        ));
    };
    fs::create_dir(&path).unwrap();
    refused();
    fs::remove_dir(&path).unwrap();

    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    refused();
    fs::remove_file(&path).unwrap();

    let pipe = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    refused();
}

#[test]
fn unsafe_file_systems_are_refused_unless_overridden() {
    let found = create(Path::new("/proc"), "map", &OPTIONS).err();
    assert!(matches!(found, Some(OpenError::UnsupportedFileSystem { f_type: 0x9fa0, .. })));
    let options = CreateOptions { allow_any_file_system: true, ..OPTIONS };
    let found = create(Path::new("/proc"), "map", &options).err();
    assert!(!matches!(found, None | Some(OpenError::UnsupportedFileSystem { .. })));
}

#[test]
fn the_mode_is_taken_as_it_is_and_a_reader_needs_no_more_than_reading() {
    let name = Name::new();
    let options = CreateOptions { mode: 0o644, ..OPTIONS };
    fork(|| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
        drop(create(name.folder(), name.name(), &options).unwrap());
    })
    .join();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(name.path()), 0o644);
    let others_enter = fs::metadata("/").unwrap().permissions().mode() & 1 == 1;
    if !rustix::process::geteuid().is_root() || !others_enter {
        say("skipped: becoming another user needs root, and a root folder that others may enter");
        return;
    }
    let as_nobody = |body: &dyn Fn()| {
        fork(|| {
            // SAFETY: changes the user of this child, which has one thread.
            assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);
            body();
        })
        .join();
    };
    as_nobody(&|| {
        assert!(read_only(&name).is_ok());
        let denied = OpenError::PermissionDenied { path: name.path(), wanted: "write" };
        assert_eq!(read_write(&name).err(), Some(denied));
    });
    fs::set_permissions(name.path(), fs::Permissions::from_mode(0o600)).unwrap();
    as_nobody(&|| {
        let denied = OpenError::PermissionDenied { path: name.path(), wanted: "read" };
        assert_eq!(read_only(&name).err(), Some(denied));
        // A map that its own creator may not write to afterwards.
        let other = Name::new();
        let options = CreateOptions { mode: 0o400, ..OPTIONS };
        let created = create(other.folder(), other.name(), &options).unwrap();
        assert!(created.presence.unwrap().slot().is_ok());
        remove(other.folder(), other.name()).unwrap();
    });
}

#[test]
fn a_file_system_without_room_for_the_front_is_an_error_and_stays_empty() {
    on_small_tmpfs(64 << 10, |folder| {
        let max_bytes = Some(16 << 20);
        let options = CreateOptions { shards: Some(256), max_bytes, ..OPTIONS };
        let found = create(folder, "map", &options).err();
        assert!(matches!(found, Some(OpenError::NoSpace { .. })), "{found:?}");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        assert_eq!(rustix::fs::statfs(folder).unwrap().f_bfree, 16);
    });
}

#[test]
fn a_file_system_without_a_free_inode_is_an_error_until_there_is_one() {
    on_file_system(c"tmpfs", "nr_inodes=4", |folder| {
        let full = (0..8).find_map(|number| {
            let error = create(folder, &number.to_string(), &OPTIONS).err()?;
            Some((number.to_string(), error))
        });
        let (name, error) = full.expect("not so many inodes");
        let path = folder.join(format!("{name}.shf"));
        assert_eq!(error, OpenError::NoSpace { path, needed_bytes: 4096 });
        remove(folder, "0").unwrap();
        create(folder, &name, &OPTIONS).unwrap();
    });
}

#[test]
fn a_file_system_that_cannot_reserve_room_is_an_error_and_stays_empty() {
    // Goal: who allows any file system gets no map there that a full disk could end by SIGBUS.
    // Method: ramfs, which has no fallocate; it says nothing of its size either.
    on_file_system(c"ramfs", "", |folder| {
        let options = CreateOptions { max_bytes: None, allow_any_file_system: true, ..OPTIONS };
        let found = create(folder, "map", &options).err();
        let (path, errno) = (folder.join("map.shf"), libc::EOPNOTSUPP);
        assert_eq!(found, Some(OpenError::System { path, call: "fallocate", errno }));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    });
}

#[test]
fn a_process_without_free_descriptors_is_told_so_and_keeps_none_open() {
    // Goal: want of descriptors at any step of creating or opening is an error that names the call,
    // and takes nothing. Method: their number may grow by one after each failure.
    let name = Name::new();
    fork(|| {
        close_inherited();
        let open_now = || fs::read_dir("/proc/self/fd").unwrap().count();
        let failures_until_done = |attempt: &dyn Fn() -> Result<Opened, OpenError>| {
            let (mut calls, before) = (Vec::new(), open_now());
            for most in 3.. {
                set_limit(libc::RLIMIT_NOFILE, most);
                let done = attempt().err();
                set_limit(libc::RLIMIT_NOFILE, u64::MAX);
                assert_eq!(open_now(), before);
                match done {
                    Some(OpenError::System { call, errno: libc::EMFILE, .. }) => calls.push(call),
                    None => break,
                    other => panic!("{other:?}"),
                }
            }
            calls
        };
        let again = "opening the map's file again";
        let creating = failures_until_done(&|| {
            let created = create(name.folder(), name.name(), &OPTIONS);
            assert_eq!(created.is_ok(), name.path().exists());
            created
        });
        assert_eq!(creating, ["open", "open", "fcntl(F_DUPFD)", again]);
        assert_eq!(failures_until_done(&|| read_write(&name)), ["open", "open", again]);
        assert_eq!(failures_until_done(&|| read_only(&name)), ["open", "open"]);
    })
    .join();
}

#[test]
fn a_map_that_the_address_space_has_no_room_for_cannot_be_opened_until_it_has() {
    let name = Name::new();
    let file_bytes = name.create().header.geometry.file_bytes();
    fork(|| {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        set_limit(libc::RLIMIT_AS, pages * 4096 + file_bytes / 2);
        let no_room = Some(OpenError::AddressSpace { needed_bytes: file_bytes });
        assert_eq!(read_write(&name).err(), no_room);
        assert_eq!(read_only(&name).err(), no_room);
        set_limit(libc::RLIMIT_AS, u64::MAX);
        read_write(&name).unwrap();
    })
    .join();
}

#[test]
fn a_small_address_space_gets_smaller_windows_or_an_error() {
    let name = Name::new();
    fork(|| {
        // What other tests have mapped counts as well.
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        let bytes = pages * 4096 + (1 << 30);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: sets a limit of this child.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let options = CreateOptions { shards: Some(64), max_bytes: Some(64 << 20), ..OPTIONS };
        let opened = create(name.folder(), name.name(), &options).unwrap();
        assert!(opened.header.geometry.file_bytes() < 1 << 30);
        let options = CreateOptions { shards: Some(64), max_bytes: Some(8 << 30), ..OPTIONS };
        let found = create(name.folder(), "never-made", &options).err();
        assert!(matches!(found, Some(OpenError::AddressSpace { .. })), "{found:?}");
    })
    .join();
}

#[test]
fn a_limit_on_file_lengths_does_not_keep_a_map_from_being_opened() {
    // Goal: what is real already does not have to grow. Method: a limit below the first page.
    let name = Name::new();
    let window = name.create().header.geometry.window(0);
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
        // SAFETY: sets a limit of this child.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let opened = read_write(&name).unwrap();
        let no_space = OpError::NoSpace { needed_bytes: 4096, max_bytes: 0 };
        assert_eq!(opened.storage.commit(window, 4096), Err(no_space));
    })
    .join();
}

#[test]
fn a_limit_on_file_lengths_gets_smaller_windows_and_no_signal() {
    let name = Name::new();
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: sets a limit of this child.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let options = CreateOptions { shards: Some(64), max_bytes: Some(64 << 20), ..OPTIONS };
        let opened = create(name.folder(), name.name(), &options).unwrap();
        assert!(opened.header.geometry.file_bytes() < 1 << 30);
        let options = CreateOptions { shards: Some(64), max_bytes: Some(8 << 30), ..OPTIONS };
        let found = create(name.folder(), "never-made", &options).err();
        assert!(matches!(found, Some(OpenError::NoSpace { .. })), "{found:?}");
    })
    .join();
}

#[test]
fn locking_all_future_memory_does_not_fill_the_file() {
    let name = Name::new();
    drop(name.create());
    fork(|| {
        // SAFETY: asks the kernel to touch all memory mapped from now on, in this child.
        if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
            say("skipped: this process may not lock memory");
            return;
        }
        let real = || fs::metadata(name.path()).unwrap().blocks() * 512;
        let before = real();
        let (_writer, _reader) = (name.open(), read_only(&name).unwrap());
        assert_eq!(real(), before);
        let other = Name::new();
        let _created = other.create();
        let other_real = fs::metadata(other.path()).unwrap().blocks() * 512;
        assert!(other_real < 1 << 20, "{other_real}");
        let _ = remove(other.folder(), other.name());
    })
    .join();
}

#[test]
fn a_hundred_maps_fit_into_one_process() {
    let names: Vec<Name> = (0..100).map(|_| Name::new()).collect();
    let options = CreateOptions { shards: Some(256), max_bytes: None, ..OPTIONS };
    let open = |name: &Name| create(name.folder(), name.name(), &options).unwrap();
    let maps: Vec<Opened> = names.iter().map(open).collect();
    assert_eq!(maps.len(), 100);
}

#[test]
fn everything_works_where_proc_is_missing() {
    // Goal: a chroot without /proc can create, open and inherit maps, and knows no boot id, which
    // resets nobody's locks. Method: unmount it in a child.
    let (name, known) = (Name::new(), Name::new());
    let opened = known.create();
    let identity = Identity::load(opened.storage.region());
    without_proc(|| {
        let created = name.create();
        assert_eq!(Identity::load(created.storage.region()).0[..2], [0, 0]);
        let slot = created.presence.as_ref().unwrap().slot().unwrap();
        fork(|| {
            assert_ne!(created.presence.as_ref().unwrap().slot().unwrap(), slot);
            assert!(created.presence.as_ref().unwrap().dead(slot).is_none());
        })
        .join();
        drop(known.open());
        let again = create(name.folder(), name.name(), &OPTIONS).err();
        assert!(matches!(again, Some(OpenError::AlreadyExists { .. })));
    });
    assert_eq!(Identity::load(opened.storage.region()), identity);
    let temporary = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".tmp");
    assert_eq!(fs::read_dir("/dev/shm").unwrap().flatten().filter(temporary).count(), 0);
}
