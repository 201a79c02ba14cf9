//! Tests of temporary maps: which end of whom takes the name away, and that no other name goes.

use super::*;
use crate::open::{Access, CreateOptions, Opened, create, open, open_or_create, remove};
use crate::testing::{Name, OPTIONS, close_inherited, fork, sleep_until_killed, wait_until};
use std::fs;

const TEMPORARY: CreateOptions = CreateOptions { temporary: true, ..OPTIONS };

fn create_temporary(name: &Name) -> Opened {
    create(name.folder(), name.name(), &TEMPORARY).unwrap()
}

fn not_found(name: &Name) -> Option<OpenError> {
    Some(OpenError::NotFound { path: name.path() })
}

fn opening(name: &Name, access: Access) -> Option<OpenError> {
    open(name.folder(), name.name(), access, false).err()
}

/// Leaves the name to a map whose creator was killed.
fn leave_orphan(name: &Name) {
    let child = fork(|| {
        let _map = create_temporary(name);
        fs::write(name.path().with_extension("ready"), "").unwrap();
        sleep_until_killed();
    });
    let ready = name.path().with_extension("ready");
    wait_until(|| ready.exists());
    child.kill();
    fs::remove_file(ready).unwrap();
    assert!(name.path().exists());
}

#[test]
fn the_name_goes_with_the_creators_handle_and_no_other_one() {
    let name = Name::new();
    let created = create_temporary(&name);
    assert!(created.header.temporary);
    let guest = name.open();
    assert!(guest.header.temporary);
    drop(guest);
    assert_eq!(opening(&name, Access::ReadOnly), None);
    let guest = name.open();
    drop(created);
    assert!(!name.path().exists());
    assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
    // The guest has it still, and makes it grow.
    guest.storage.commit(guest.header.geometry.window(0), 4096).unwrap();
    let next = create_temporary(&name);
    drop(guest);
    assert!(name.path().exists(), "that of the next one");
    drop(next);
    assert!(!name.path().exists());
}

#[test]
fn whoever_looks_at_the_name_of_a_dead_creator_finds_no_map_and_deletes_it() {
    let name = Name::new();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        leave_orphan(&name);
        assert_eq!(opening(&name, access), not_found(&name));
        assert!(!name.path().exists(), "{access:?}");
    }
    leave_orphan(&name);
    assert_eq!(remove(name.folder(), name.name()).err(), not_found(&name));
    assert!(!name.path().exists());

    leave_orphan(&name);
    drop(create(name.folder(), name.name(), &OPTIONS).unwrap());
    assert!(!name.open().header.temporary);
    remove(name.folder(), name.name()).unwrap();

    leave_orphan(&name);
    assert!(!open_or_create(name.folder(), name.name(), &OPTIONS).unwrap().header.temporary);
    remove(name.folder(), name.name()).unwrap();

    // Who had the map open before.
    let ready = name.path().with_extension("ready");
    let creator = fork(|| {
        let _map = create_temporary(&name);
        fs::write(&ready, "").unwrap();
        sleep_until_killed();
    });
    wait_until(|| ready.exists());
    let guest = name.open();
    creator.kill();
    fs::remove_file(&ready).unwrap();
    drop(guest);
    assert!(!name.path().exists());
}

#[test]
fn a_forked_child_neither_deletes_the_name_nor_keeps_it() {
    // Goal: the child's handle, its end by exit and its life mean nothing to the parent's map.
    let name = Name::new();
    let created = std::cell::Cell::new(Some(create_temporary(&name)));
    fork(|| drop(created.take())).join();
    assert!(name.path().exists());
    // SAFETY: ends this child, with all handlers.
    fork(|| unsafe { libc::exit(0) }).join();
    assert!(name.path().exists());
    assert_eq!(opening(&name, Access::ReadWrite), None);
    let idle = fork(|| sleep_until_killed());
    drop(created.take());
    assert!(!name.path().exists());

    // A parent that is killed while its child lives.
    let pid = name.path().with_extension("pid");
    let parent = fork(|| {
        let _map = create_temporary(&name);
        let _child = fork(|| {
            fs::write(&pid, std::process::id().to_string()).unwrap();
            sleep_until_killed()
        });
        sleep_until_killed();
    });
    let written = || fs::read_to_string(&pid).ok().and_then(|text| text.parse::<i32>().ok());
    wait_until(|| written().is_some());
    let child = written().unwrap();
    fs::remove_file(&pid).unwrap();
    parent.kill();
    assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
    assert!(!name.path().exists());
    // SAFETY: started above, and it does not end before.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    idle.kill();
}

#[test]
fn an_end_by_exit_deletes_the_names_of_all_maps_that_the_process_made() {
    let names: Vec<Name> = (0..3).map(|_| Name::new()).collect();
    let parents = create_temporary(&names[0]);
    fork(|| {
        let _first = create_temporary(&names[1]);
        let second = create_temporary(&names[2]);
        drop(second);
        let _second = create_temporary(&names[2]);
        // SAFETY: ends this child, with all handlers and without dropping anything.
        unsafe { libc::exit(0) }
    })
    .join();
    let there: Vec<bool> = names.iter().map(|name| name.path().exists()).collect();
    assert_eq!(there, [true, false, false]);
    drop(parents);
}

#[test]
fn a_creator_that_closed_all_descriptors_counts_as_gone() {
    let name = Name::new();
    fork(|| {
        let created = create_temporary(&name);
        close_inherited();
        assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
        let next = create_temporary(&name);
        drop(created);
        assert!(name.path().exists(), "that of the next one");
        drop(next);
    })
    .join();
    assert!(!name.path().exists());
}

#[test]
fn a_name_that_means_another_file_by_now_is_left_alone() {
    // Goal: neither a creator nor who finds an orphan deletes a new map. Method: the name is taken
    // away by what knows no locks, and given to another map, before and after they looked.
    let (name, other) = (Name::new(), Name::new());
    let created = create_temporary(&name);
    fs::remove_file(name.path()).unwrap();
    let next = create_temporary(&name);
    drop(created);
    assert_eq!(opening(&name, Access::ReadWrite), None);
    drop(next);

    leave_orphan(&name);
    let place = Place::new(name.folder(), name.name()).unwrap();
    let orphan = fs::File::open(name.path()).unwrap();
    drop(other.create());
    fs::rename(other.path(), name.path()).unwrap();
    assert!(is_orphan(&orphan, &place.path).unwrap());
    bury(&place, &orphan).unwrap();
    assert!(name.path().exists());
    assert_eq!(opening(&name, Access::ReadWrite), None);
}

#[test]
fn who_deletes_a_name_keeps_others_from_it_until_he_has_or_is_dead() {
    // Goal: of all who mean one file, one at a time looks at its name and deletes it; so nobody
    // deletes what a name means since. Method: a process holds the name byte, and is killed.
    let name = Name::new();
    leave_orphan(&name);
    let ready = name.path().with_extension("ready");
    let holder = fork(|| {
        let own = unlinking::open_own(&Place::new(name.folder(), name.name()).unwrap()).unwrap();
        assert!(ByteRange::NAME.try_lock(&own).unwrap());
        fs::write(&ready, "").unwrap();
        sleep_until_killed();
    });
    wait_until(|| ready.exists());
    fs::remove_file(&ready).unwrap();
    // To openers there is no map, whoever deletes it; a creator waits.
    assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
    assert!(name.path().exists());
    let creator = fork(|| {
        let _map = create_temporary(&name);
        fs::write(&ready, "").unwrap();
        sleep_until_killed();
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(!ready.exists());
    holder.kill();
    wait_until(|| ready.exists());
    fs::remove_file(&ready).unwrap();
    assert_eq!(opening(&name, Access::ReadWrite), None);
    creator.kill();
}

#[test]
fn of_many_who_create_find_and_remove_one_name_each_gets_his_own_map_or_a_living_one() {
    // Goal: racing creators, openers and removers never get an orphan that was one before they
    // began, and never delete the map of somebody who lives. Method: processes create the map and
    // are killed or drop it, beside openers; at the end the name is free.
    let name = Name::new();
    let folder = name.folder();
    let end = name.path().with_extension("end");
    let creators = (0..3).map(|_| {
        fork(|| {
            let mut made = 0;
            while !end.exists() || made == 0 {
                fork(|| match create(folder, name.name(), &TEMPORARY) {
                    // Or two of these lines were one map.
                    Ok(map) => {
                        let id = FileId::of(fs::File::open(name.path()).unwrap()).unwrap();
                        assert_eq!(id, map.storage.file_id().unwrap(), "a name that lives");
                        // Dies with or without saying so.
                        if std::process::id().is_multiple_of(2) {
                            // SAFETY: ends this child.
                            unsafe { libc::_exit(0) };
                        }
                    }
                    Err(OpenError::AlreadyExists { .. }) => {}
                    Err(error) => panic!("{error}"),
                })
                .join();
                made += 1;
            }
        })
    });
    let creators: Vec<_> = creators.collect();
    let opener = fork(|| {
        while !end.exists() {
            match open(folder, name.name(), Access::ReadWrite, false) {
                Ok(_) | Err(OpenError::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(1500));
    fs::write(&end, "").unwrap();
    creators.into_iter().for_each(|child| child.join());
    opener.join();
    fs::remove_file(&end).unwrap();
    assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
    assert!(!name.path().exists());
}

#[test]
fn who_may_not_delete_the_name_is_told_what_is_true_for_him() {
    // Goal: a reader finds no map; a creator is told that he may not make one. Method: another user
    // in a folder where everybody may only delete what is his own.
    let name = Name::new();
    let others_enter =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata("/").unwrap().permissions()) & 1 == 1;
    if !rustix::process::geteuid().is_root() || !others_enter {
        crate::testing::say(
            "skipped: becoming another user needs root, and a root folder to enter",
        );
        return;
    }
    leave_orphan(&name);
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(name.path(), everybody).unwrap();
    fork(|| {
        // SAFETY: changes the user of this child, which has one thread.
        assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);
        assert_eq!(opening(&name, Access::ReadOnly), not_found(&name));
        assert_eq!(opening(&name, Access::ReadWrite), not_found(&name));
        let denied = OpenError::PermissionDenied { path: name.path(), wanted: "write" };
        let made = open_or_create(name.folder(), name.name(), &TEMPORARY);
        assert_eq!(made.err(), Some(denied));
    })
    .join();
    assert!(name.path().exists());
    assert_eq!(opening(&name, Access::ReadOnly), not_found(&name));
    assert!(!name.path().exists());
}

#[test]
fn temporary_maps_are_not_durable() {
    let name = Name::new();
    let options = CreateOptions { durable: Some(true), ..TEMPORARY };
    let refused = create(name.folder(), name.name(), &options).err();
    assert!(matches!(refused, Some(OpenError::InvalidOption { option: "temporary", .. })));
    assert!(!create_temporary(&name).header.durable);
}
