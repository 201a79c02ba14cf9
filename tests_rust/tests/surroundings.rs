//! What the system around a map may refuse: the folder, the permissions, the group, the address
//! space. Each is an error that names what is wrong, and nothing is left behind.
#![cfg(not(any(miri, loom)))]
#![allow(unsafe_code)]

use shf_engine::{Map, OpError, OpenError, Options, Status};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::mount::{over_read_only_maps, without_dev};
use shf_tests::process::{self, End};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A user, and two groups, that own nothing.
const NOBODY: u32 = 65534;
const GROUP: u32 = 64_242;
const OTHER_GROUP: u32 = 64_243;

fn shm() -> &'static Path {
    Path::new("/dev/shm")
}

/// Small maps, as far as nothing else is asked for.
fn options() -> Options {
    Options { shards: Some(1), max_bytes: Some(1 << 20), ..Options::default() }
}

fn exists(file: &MapFile) -> bool {
    fs::symlink_metadata(file.path()).is_ok()
}

/// Runs `body` in a child of no privileges that is a member of `groups`; says so where that cannot
/// be had.
fn unprivileged(groups: &[u32], body: impl FnOnce()) {
    // SAFETY: plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: only root can become another user");
    }
    if fs::metadata("/").unwrap().permissions().mode() & 1 == 0 {
        return println!("skipped: others may not enter / here");
    }
    let end = process::run(|| {
        // SAFETY: changes the groups and the user of this child only.
        let changed = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr())
                | libc::setgid(NOBODY)
                | libc::setuid(NOBODY)
        };
        assert_eq!(changed, 0);
        body();
        true
    });
    assert_eq!(end, End::Exited(0));
}

/// The error of every way to open a map for writing.
fn refusals(file: &MapFile) -> [OpenError; 3] {
    [Map::create, Map::open_or_create, Map::open]
        .map(|open| open(file.folder(), file.name(), &options()).err().expect("refused"))
}

#[test]
fn where_dev_shm_is_missing_its_name_is_in_the_error() {
    without_dev(|| {
        let file = MapFile::new("missing-folder");
        for error in refusals(&file) {
            assert_eq!(error, OpenError::NotFound { path: shm().into() });
            assert!(error.to_string().contains("/dev/shm"), "{error}");
        }
        let reader = Map::open_read_only(shm(), file.name(), &options()).err();
        assert_eq!(reader, Some(OpenError::NotFound { path: shm().into() }));
        assert!(Map::remove(shm(), file.name()).is_err());
    });
}

#[test]
fn where_dev_shm_is_read_only_maps_can_be_read_and_nothing_else() {
    let (there, absent) = (MapFile::new("read-only-folder"), MapFile::new("read-only-absent"));
    let map = there.create(1);
    map.put(b"key", b"value").unwrap();
    over_read_only_maps(|| {
        let denied = |path: PathBuf| OpenError::PermissionDenied { path, wanted: "write" };
        let [created, ..] = refusals(&absent);
        assert_eq!(created, denied(absent.path()));
        assert_eq!(refusals(&there)[1..], [denied(there.path()), denied(there.path())]);
        assert_eq!(Map::remove(shm(), there.name()), Err(denied(there.path())));
        let reader = there.open_read_only();
        let mut value = Vec::new();
        assert_eq!(reader.get(b"key", &mut value), Ok(true));
        assert_eq!(value, b"value");
        assert_eq!(reader.put(b"key", b"other"), Err(OpError::ReadOnly));
    });
    assert_eq!(map.delete(b"key"), Ok(true));
}

#[test]
fn a_file_is_its_owners_alone_unless_mode_and_group_say_otherwise() {
    // Goal: 0600 by default, whatever the umask lets through, and for the group that any new file
    // gets; a wider mode and another group are taken as they are asked for.
    let file = MapFile::new("mode-and-group");
    let end = process::run(|| {
        // SAFETY: the umask of this child.
        unsafe { libc::umask(0) };
        drop(Map::create(file.folder(), file.name(), &options()).unwrap());
        true
    });
    assert_eq!(end, End::Exited(0));
    let found = fs::metadata(file.path()).unwrap();
    let beside = shm().join(format!("{}-beside", file.name()));
    fs::write(&beside, b"").unwrap();
    let usual = fs::metadata(&beside).unwrap().gid();
    fs::remove_file(&beside).unwrap();
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o600, usual));
    Map::remove(file.folder(), file.name()).unwrap();
    // SAFETY: plain system calls.
    let (root, own) = unsafe { (libc::geteuid() == 0, libc::getegid()) };
    for group in [own, if root { GROUP } else { own }] {
        let options = Options { mode: Some(0o660), group: Some(group), ..options() };
        drop(Map::create(file.folder(), file.name(), &options).unwrap());
        let found = fs::metadata(file.path()).unwrap();
        assert_eq!((found.mode() & 0o7777, found.gid()), (0o660, group));
        Map::remove(file.folder(), file.name()).unwrap();
    }
}

#[test]
fn the_members_of_a_maps_group_share_it_and_others_cannot_attach() {
    let file = MapFile::new("group");
    let shared = Options { mode: Some(0o660), group: Some(GROUP), ..options() };
    // One member makes it, root having no part in it; another one uses it.
    unprivileged(&[GROUP], || {
        let map = Map::create(file.folder(), file.name(), &shared).unwrap();
        map.put(b"key", b"value").unwrap();
    });
    if !exists(&file) {
        return;
    }
    assert_eq!(fs::metadata(file.path()).unwrap().gid(), GROUP);
    // The owner may do anything.
    let path = CString::new(file.path().to_str().unwrap()).unwrap();
    // SAFETY: plain system call on a path that outlives it.
    assert_eq!(unsafe { libc::chown(path.as_ptr(), 0, GROUP) }, 0);
    unprivileged(&[OTHER_GROUP, GROUP], || {
        let map = file.open();
        assert_eq!(map.add(b"sum", 1), Ok(1));
        assert!(map.put(b"key", b"other").unwrap().replaced);
    });
    unprivileged(&[OTHER_GROUP], || {
        let denied = |wanted| OpenError::PermissionDenied { path: file.path(), wanted };
        let reader = Map::open_read_only(file.folder(), file.name(), &options()).err();
        assert_eq!(reader, Some(denied("read")));
        assert_eq!(refusals(&file)[1..], [denied("write"), denied("write")]);
    });
}

#[test]
fn a_group_that_may_not_be_given_is_named_and_leaves_no_file() {
    let file = MapFile::new("group-denied");
    unprivileged(&[OTHER_GROUP], || {
        let foreign = Options { group: Some(GROUP), ..options() };
        for open in [Map::create, Map::open_or_create] {
            let error = open(file.folder(), file.name(), &foreign).err().unwrap();
            assert_eq!(error, OpenError::GroupDenied { path: file.path(), group: GROUP });
            assert_eq!(error.status(), Status::PermissionDenied);
            assert!(error.to_string().contains("option group"), "{error}");
            assert!(error.to_string().contains(&GROUP.to_string()), "{error}");
        }
        assert!(!exists(&file));
    });
    let nobody = Options { group: Some(u32::MAX), ..options() };
    let error = Map::create(file.folder(), file.name(), &nobody).err().unwrap();
    assert!(matches!(error, OpenError::InvalidOption { option: "group", .. }), "{error}");
    assert!(!exists(&file));
}

#[test]
fn who_may_only_read_cannot_even_make_its_mapping_writable() {
    // Goal: what keeps such a process from changing the map is the kernel, not this library.
    let file = MapFile::new("only-read");
    let map = file.create(1);
    map.put(b"key", b"value").unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    unprivileged(&[], || {
        let denied = OpenError::PermissionDenied { path: file.path(), wanted: "write" };
        assert_eq!(refusals(&file)[1..], [denied.clone(), denied]);
        // That of the parent it has inherited; its own comes second.
        let before = mappings(&file);
        let reader = file.open_read_only();
        let own: Vec<_> = mappings(&file).into_iter().filter(|one| !before.contains(one)).collect();
        assert_eq!(own.len(), 1);
        // SAFETY: a page of a mapping of this process, whose contents the call does not change.
        let changed =
            unsafe { libc::mprotect(own[0] as *mut _, 4096, libc::PROT_READ | libc::PROT_WRITE) };
        let error = std::io::Error::last_os_error();
        assert_eq!((changed, error.raw_os_error()), (-1, Some(libc::EACCES)));
        assert_eq!(reader.put(b"key", b"other"), Err(OpError::ReadOnly));
        assert_eq!(reader.delete(b"key"), Err(OpError::ReadOnly));
    });
    fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
    unprivileged(&[], || {
        let denied = OpenError::PermissionDenied { path: file.path(), wanted: "read" };
        let reader = Map::open_read_only(file.folder(), file.name(), &options()).err();
        assert_eq!(reader, Some(denied));
    });
    assert_eq!(map.contains(b"key"), Ok(true));
}

/// Where this process has a file mapped.
fn mappings(file: &MapFile) -> Vec<usize> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let of_file = maps.lines().filter(|line| line.contains(file.path().to_str().unwrap()));
    of_file
        .map(|line| usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn a_symbolic_link_is_not_followed_not_even_to_a_map() {
    let (file, link, dangling) =
        (MapFile::new("linked"), MapFile::new("link"), MapFile::new("dangling"));
    let map = file.create(1);
    map.put(b"key", b"value").unwrap();
    symlink(file.path(), link.path()).unwrap();
    let nowhere = shm().join(format!("{}-nowhere", dangling.name()));
    symlink(&nowhere, dangling.path()).unwrap();
    for link in [&link, &dangling] {
        let [created, opened_or_created, opened] = refusals(link);
        assert_eq!(created, OpenError::AlreadyExists { path: link.path() });
        let reader = Map::open_read_only(link.folder(), link.name(), &options()).err().unwrap();
        for error in [opened_or_created, opened, reader] {
            let found = "a link".to_string();
            let (field, expected) = ("type of the file", "a regular file".to_string());
            let path = link.path();
            assert_eq!(error, OpenError::Incompatible { path, field, expected, found });
        }
        // The link is what is removed.
        Map::remove(link.folder(), link.name()).unwrap();
        assert!(!exists(link));
    }
    assert!(!nowhere.exists());
    assert!(file.open().contains(b"key").unwrap());
}

#[test]
fn an_address_space_without_room_for_an_existing_map_is_an_error() {
    // Goal: to attach needs the whole range at once, which a limit on the address space may not
    // leave. Method: the limit is set to what the child has mapped already, and a little more.
    let file = MapFile::new("address-space");
    let map = Map::create(file.folder(), file.name(), &Options::default()).unwrap();
    let needed_bytes = map.geometry().file_bytes();
    drop(map);
    let end = process::run(|| {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
        let bytes = pages * 4096 + (64 << 20);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: sets a limit of this child.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        for open in [Map::open, Map::open_read_only, Map::open_or_create] {
            let error = open(file.folder(), file.name(), &Options::default()).err().unwrap();
            assert_eq!(error, OpenError::AddressSpace { needed_bytes });
            assert_eq!(error.status(), Status::OutOfMemory);
        }
        let other = MapFile::new("address-space-small");
        Map::create(other.folder(), other.name(), &options()).unwrap().put(b"key", b"v").is_ok()
    });
    assert_eq!(end, End::Exited(0));
    assert_eq!(file.open().size(), 0);
}

#[test]
fn a_file_removed_while_attached_stays_with_those_who_have_it() {
    // Goal: others go on with it, forked children too; a new map of the name is another map.
    // Method: the file goes by `remove`, and by somebody's unlink.
    let file = MapFile::new("removed");
    let removals: [&dyn Fn(); 2] = [&|| Map::remove(file.folder(), file.name()).unwrap(), &|| {
        fs::remove_file(file.path()).unwrap()
    }];
    for remove in removals {
        let (map, other) = (file.create_with(1, 2 << 20), file.open());
        map.put(b"key", b"old").unwrap();
        remove();
        let error = Map::open(file.folder(), file.name(), &options()).err();
        assert_eq!(error, Some(OpenError::NotFound { path: file.path() }));
        let next = file.create_with(1, 2 << 20);
        assert_eq!(next.contains(b"key"), Ok(false));
        // It even grows.
        other.put(b"large", &[7; 300_000]).unwrap();
        let end = process::run(|| map.put(b"child", b"value").is_ok());
        assert_eq!(end, End::Exited(0));
        assert_eq!((map.size(), other.size(), next.size()), (3, 3, 0));
        assert_sound(&map);
        next.put(b"key", b"new").unwrap();
        let mut value = Vec::new();
        assert_eq!(map.get(b"key", &mut value), Ok(true));
        assert_eq!(value, b"old");
        drop(next);
        remove();
    }
}
