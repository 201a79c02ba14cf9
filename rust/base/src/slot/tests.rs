//! Tests of slots: who has one, who is seen as dead, and what forks do to them.

use super::*;
use crate::attachment::ATTACH_WAIT;
use crate::format::SUSPECT_OFFSET;
use crate::geometry::SLOTS_NEAR;
use crate::lock_word;
use crate::open::Opened;
use crate::testing::{Name, close_inherited, fork, set_limit, sleep_until_killed, wait_until};
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

fn slot(opened: &Opened) -> u32 {
    opened.presence.as_ref().unwrap().slot().unwrap()
}

fn attachment(opened: &Opened) -> &Attachment {
    opened.presence.as_ref().unwrap().attachment.as_ref().unwrap()
}

/// An open file of its own on the same map.
fn stranger(opened: &Opened) -> OwnedFd {
    attachment(opened).file.reopen().unwrap()
}

#[test]
fn a_slot_is_taken_while_its_handle_lives() {
    let name = Name::new();
    let first = name.create();
    let second = name.open();
    assert_ne!(slot(&first), slot(&second));
    let watcher = first.presence.as_ref().unwrap();
    let theirs = slot(&second);
    assert!(watcher.dead(theirs).is_none());
    drop(second);
    let dead = watcher.dead(theirs).expect("given back");
    // While one thread has the byte, another one cannot have it through the same open file.
    assert!(watcher.dead(theirs).is_none());
    drop(dead);
    assert!(watcher.dead(theirs).is_some());
    assert!(watcher.dead(slot(&first)).is_none(), "one's own");
    assert!(watcher.dead(SLOTS).is_none());
    assert!(watcher.dead(u32::MAX).is_none());
}

#[test]
fn a_forked_child_takes_a_slot_of_its_own_with_any_number_of_threads() {
    let name = Name::new();
    let opened = name.create();
    let ours = slot(&opened);
    let child = || {
        let slots: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| slot(&opened))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(slots.iter().all(|slot| *slot == slots[0] && *slot != ours), "{slots:?}");
        assert!(opened.presence.as_ref().unwrap().dead(ours).is_none(), "the parent lives");
        // And so does a grandchild.
        fork(|| assert!(![ours, slots[0]].contains(&slot(&opened)))).join();
        assert_eq!(slot(&opened), slots[0]);
    };
    let children: Vec<_> = (0..24).map(|_| fork(child)).collect();
    children.into_iter().for_each(|child| child.join());
    assert_eq!(slot(&opened), ours);
    let taken = ByteRange::ALL_SLOTS.held_elsewhere(stranger(&opened)).unwrap();
    assert!(taken);
    drop(opened.presence);
    let file = rustix::fs::open(name.path(), OFlags::RDWR, Mode::empty()).unwrap();
    assert!(!ByteRange::ALL_SLOTS.held_elsewhere(&file).unwrap(), "all were given back");
}

#[test]
fn an_inherited_handle_dropped_by_a_child_leaves_the_parents_slot_alone() {
    let name = Name::new();
    let opened = name.create();
    let ours = slot(&opened);
    let presence = std::cell::Cell::new(opened.presence);
    fork(|| drop(presence.take())).join();
    let watcher = name.open();
    assert!(watcher.presence.as_ref().unwrap().dead(ours).is_none());
    drop(presence.take());
    assert!(watcher.presence.as_ref().unwrap().dead(ours).is_some());
}

#[test]
fn a_child_that_closed_what_it_inherited_has_its_slot_on_the_maps_file() {
    // Goal: neither lock nor growth reaches the file that now has the inherited number. Method: a
    // child closes all descriptors and opens another map's file, often enough to meet every number.
    let (name, other) = (Name::new(), Name::new());
    let (opened, theirs) = (name.create(), other.create());
    let ours = slot(&opened);
    fork(|| {
        let stranger_path = other.path();
        close_inherited();
        let open = |path: &Path| rustix::fs::open(path, OFlags::RDWR, Mode::empty()).unwrap();
        let strangers: Vec<OwnedFd> = (3..256).map(|_| open(&stranger_path)).collect();
        let before = rustix::fs::fstat(&strangers[0]).unwrap().st_blocks;
        let mine = slot(&opened);
        assert_ne!(mine, ours);
        assert!(ByteRange::slot(mine).held_elsewhere(open(&name.path())).unwrap());
        opened.storage.commit(opened.header.geometry.window(0), 1 << 20).unwrap();
        assert_eq!(rustix::fs::fstat(&strangers[0]).unwrap().st_blocks, before);
        // And so does a grandchild, through what its parent opened instead.
        crate::open::remove(name.folder(), name.name()).unwrap();
        fork(|| assert!(![mine, ours].contains(&slot(&opened)))).join();
    })
    .join();
    drop(theirs);
}

#[test]
fn a_child_that_can_get_at_its_map_in_no_way_is_told_so_and_leaves_other_files_alone() {
    // Goal: no lock and no growth of a file that only has the map's name. Method: a child closes
    // what it inherited, and another map takes the name.
    let (name, other) = (Name::new(), Name::new());
    let opened = name.create();
    drop(other.create());
    let ours = slot(&opened);
    fork(|| {
        close_inherited();
        std::fs::rename(other.path(), name.path()).unwrap();
        let real = || std::os::unix::fs::MetadataExt::blocks(&name.path().metadata().unwrap());
        let before = real();
        let call = "opening the map's file again";
        let stale = OpError::System { call, errno: libc::ESTALE };
        assert_eq!(opened.presence.as_ref().unwrap().slot(), Err(stale.clone()));
        let window = opened.header.geometry.window(0);
        assert_eq!(opened.storage.commit(window, 1 << 20), Err(stale));
        assert_eq!(real(), before);
        let file = rustix::fs::open(name.path(), OFlags::RDWR, Mode::empty()).unwrap();
        assert!(!ByteRange::ALL_SLOTS.held_elsewhere(&file).unwrap());
    })
    .join();
    assert_eq!(slot(&opened), ours);
}

#[test]
fn a_child_without_a_free_descriptor_is_told_so_and_has_its_slot_later() {
    let name = Name::new();
    let opened = name.create();
    let ours = slot(&opened);
    fork(|| {
        set_limit(libc::RLIMIT_NOFILE, 0);
        let call = "opening the map's file again";
        let none_free = OpError::System { call, errno: libc::EMFILE };
        assert_eq!(opened.presence.as_ref().unwrap().slot(), Err(none_free));
        set_limit(libc::RLIMIT_NOFILE, u64::MAX);
        assert_ne!(slot(&opened), ours);
    })
    .join();
}

#[test]
fn forks_beside_threads_that_attach_keep_no_slot_alive() {
    // Goal: no descriptor slips into a child unnoticed. Method: one thread forks children that
    // stay, another one opens and closes the map; afterwards no slot may be held.
    let name = Name::new();
    drop(name.create());
    let children: Vec<_> = thread::scope(|scope| {
        let opener = scope.spawn(|| {
            for _ in 0..300 {
                drop(name.open());
            }
        });
        let mut children = Vec::new();
        while !opener.is_finished() && children.len() < 100 {
            children.push(fork(|| sleep_until_killed()));
        }
        children
    });
    let file = rustix::fs::open(name.path(), OFlags::RDWR, Mode::empty()).unwrap();
    // A child closes what it inherited as soon as it runs, which may take a moment.
    wait_until(|| !ByteRange::ALL_SLOTS.held_elsewhere(&file).unwrap());
    assert!(!children.is_empty());
}

#[test]
fn all_slots_taken_is_an_error_that_says_whether_it_is_for_freezing() {
    let name = Name::new();
    let opened = name.create();
    let all = stranger(&opened);
    let path = opened.storage.path().to_path_buf();
    drop(opened);
    let open =
        || crate::open::open(name.folder(), name.name(), crate::open::Access::ReadWrite, false);
    assert!(ByteRange::ALL_SLOTS.try_lock(&all).unwrap());
    assert_eq!(open().err(), Some(OpenError::TooManyProcesses { slots: SLOTS }));
    assert!(ByteRange::FREEZER.try_lock(&all).unwrap());
    assert_eq!(open().err(), Some(OpenError::BeingFrozen { path }));
    ByteRange::FREEZER.unlock(&all);
    // Not by closing it: a child of another test may have inherited the descriptor.
    ByteRange::ALL_SLOTS.unlock(&all);
    assert!(open().is_ok());
}

#[test]
fn a_child_for_which_no_slot_is_left_is_told_so_and_takes_the_next_one_that_is_free() {
    let name = Name::new();
    let opened = name.create();
    let (ours, others) = (slot(&opened), stranger(&opened));
    for other in (0..SLOTS).filter(|other| *other != ours) {
        assert!(ByteRange::slot(other).try_lock(&others).unwrap());
    }
    fork(|| {
        let presence = opened.presence.as_ref().unwrap();
        assert_eq!(presence.slot(), Err(OpError::TooManyProcesses { slots: SLOTS }));
        let free = (ours + 7) % SLOTS;
        ByteRange::slot(free).unlock(&others);
        assert_eq!(presence.slot(), Ok(free));
    })
    .join();
}

#[test]
fn a_process_stopped_with_the_attach_byte_keeps_nobody_from_attaching() {
    let name = Name::new();
    let opened = name.create();
    let stopped = stranger(&opened);
    assert!(ByteRange::ATTACH.try_lock(&stopped).unwrap());
    let second = name.open();
    let taken = [slot(&opened), slot(&second)];
    fork(|| assert!(!taken.contains(&slot(&opened)))).join();
    ByteRange::ATTACH.unlock(&stopped);
}

#[test]
fn who_attaches_while_locks_are_reset_waits_for_the_end_of_it() {
    // Goal: a slot that is taken during a reset could lock what the reset then frees. Method: all
    // bytes are locked as during a reset; a thread that attaches gets through only afterwards.
    let name = Name::new();
    let opened = name.create();
    let resetter = stranger(&opened);
    drop(opened);
    assert!(ByteRange::ATTACH.try_lock(&resetter).unwrap());
    assert!(ByteRange::ALL_SLOTS.try_lock(&resetter).unwrap());
    thread::scope(|scope| {
        let attached = scope.spawn(|| drop(name.open()));
        thread::sleep(Duration::from_millis(50));
        assert!(!attached.is_finished());
        ByteRange::ALL_SLOTS.unlock(&resetter);
        ByteRange::ATTACH.unlock(&resetter);
        wait_until(|| attached.is_finished());
    });
}

#[test]
fn who_attaches_while_a_reset_does_not_end_gives_up_after_a_while() {
    // Goal: a process that is stopped while it resets locks is an error to others, not a hang.
    // Method: as above, but nobody goes on; it lasts as long as is waited for.
    let name = Name::new();
    let opened = name.create();
    let resetter = stranger(&opened);
    drop(opened);
    assert!(ByteRange::ATTACH.try_lock(&resetter).unwrap());
    assert!(ByteRange::ALL_SLOTS.try_lock(&resetter).unwrap());
    let begun = Instant::now();
    let found =
        crate::open::open(name.folder(), name.name(), crate::open::Access::ReadWrite, false);
    let call = "fcntl(F_OFD_SETLK) on the attach byte";
    let stopped = OpenError::System { path: name.path(), call, errno: libc::EAGAIN };
    assert_eq!(found.err(), Some(stopped));
    assert!(begun.elapsed() >= ATTACH_WAIT);
    // Not by closing it: a child of another test may have inherited the descriptor.
    ByteRange::ALL_SLOTS.unlock(&resetter);
    ByteRange::ATTACH.unlock(&resetter);
    drop(name.open());
}

#[test]
fn who_takes_a_slot_frees_what_its_dead_owner_left_locked() {
    // Goal: nobody waits for a lock that the new owner of a slot never took. Method: words
    // that name each slot in turn; the slot that is taken must be gone from all of them.
    let name = Name::new();
    let opened = name.create();
    let next = (slot(&opened) + 1) % SLOTS_NEAR;
    let words = || {
        let mut words = Vec::new();
        attachment(&opened).for_each_lock(|lock, suspect| {
            words.push((lock.load(Relaxed), suspect.load(Relaxed)));
        });
        words
    };
    attachment(&opened).for_each_lock(|lock, _| lock.store(lock_word::owned_by(next), Relaxed));
    let second = name.open();
    assert_eq!(slot(&second), next);
    assert!(words().iter().all(|word| *word == (lock_word::FREE, 1)), "{:?}", words());
}

#[test]
fn locks_of_another_boot_are_reset_unless_somebody_is_attached() {
    let name = Name::new();
    let opened = name.create();
    let other = Identity([1, 2, 3, 4]);
    other.store(opened.storage.region());
    attachment(&opened).for_each_lock(|lock, _| lock.store(77, Relaxed));
    let check = |expected: (u32, u32)| {
        let second = name.open();
        attachment(&second).for_each_lock(|lock, suspect| {
            assert_eq!((lock.load(Relaxed), suspect.load(Relaxed)), expected);
        });
        Identity::load(second.storage.region())
    };
    assert_eq!(check((77, 0)), other);
    let (identity, storage) = (attachment(&opened).identity, opened.storage);
    drop(opened.presence);
    assert_eq!(check((lock_word::FREE, 1)), identity);
    // Now that the identity is right, nothing is reset again.
    storage
        .region()
        .half(opened.header.geometry.shard_header(0) + SUSPECT_OFFSET)
        .unwrap()
        .store(0, Relaxed);
    let third = name.open();
    let header = third.header.geometry.shard_header(0);
    let suspect = third.storage.region().half(header + SUSPECT_OFFSET).unwrap();
    assert_eq!(suspect.load(Relaxed), 0);
}

#[test]
fn an_unknown_boot_id_matches_any() {
    let known = Identity([1, 2, 3, 4]);
    assert!(known.matches(&Identity([0, 0, 3, 4])));
    assert!(Identity([0, 0, 3, 4]).matches(&known));
    assert!(!known.matches(&Identity([1, 3, 3, 4])));
    assert!(!known.matches(&Identity([0, 0, 3, 5])));
}
