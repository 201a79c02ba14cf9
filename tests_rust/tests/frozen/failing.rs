//! Freezing that fails, at each point: the map is as it was, or frozen, and the handle knows which.
#![allow(unsafe_code)]

use crate::contents::contents;
use shf_engine::{Map, OpError, OpenError, Options};
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::collections::BTreeSet;
use std::fs::File;
use std::mem;

const DESCRIPTORS: u64 = 200;

fn limit(what: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
    // SAFETY: sets a limit of this child.
    assert_eq!(unsafe { libc::setrlimit(what, &limit) }, 0);
}

/// Leaves this child so many descriptors to open.
fn leave_descriptors(count: usize) {
    limit(libc::RLIMIT_NOFILE, DESCRIPTORS);
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len().checked_sub(count).expect("some are free"));
    mem::forget(taken);
}

/// How freezing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    AsItWas = 1,
    FrozenAndTold,
    Frozen,
}

/// Freezes a map after `hinder`, and judges the handle.
fn freeze_hindered(file: &MapFile, hinder: impl FnOnce()) -> Outcome {
    let mut map = file.create(2);
    map.put(b"key", b"value").unwrap();
    let before = contents(&map);
    hinder();
    let done = map.freeze();
    assert_eq!(contents(&map), before);
    if let (Err(_), false) = (&done, map.is_read_only()) {
        assert_eq!(map.put(b"more", b"value").map(|placed| placed.replaced), Ok(false));
        return Outcome::AsItWas;
    }
    assert!(map.is_frozen(), "{done:?}");
    assert_eq!(map.put(b"more", b"value"), Err(OpError::ReadOnly));
    if done.is_ok() { Outcome::Frozen } else { Outcome::FrozenAndTold }
}

#[test]
fn a_handle_writes_to_the_map_or_to_nothing_whatever_freezing_fails_of() {
    // Goal: no acknowledged write goes to a file without a name. Method: so few descriptors that
    // one call after the other finds none, that which flushes the folder among them.
    let _watchdog = Watchdog::new("freezing that fails");
    let (mut outcomes, board) = (BTreeSet::new(), Board::new());
    for count in 0..6 {
        let file = MapFile::new("hindered");
        let end = process::run(|| {
            let outcome = freeze_hindered(&file, || leave_descriptors(count));
            board.set(0, outcome as u64);
            true
        });
        assert_eq!(end, End::Exited(0), "{count} descriptors");
        let outcome = board.get(0);
        let frozen = file.open_read_only();
        assert_eq!(frozen.is_frozen(), outcome != Outcome::AsItWas as u64, "{count} descriptors");
        assert_eq!(frozen.contains(b"more"), Ok(!frozen.is_frozen()));
        outcomes.insert(outcome);
    }
    let all = [Outcome::AsItWas, Outcome::FrozenAndTold, Outcome::Frozen];
    assert_eq!(outcomes, all.map(|outcome| outcome as u64).into());
}

#[test]
fn a_frozen_map_that_cannot_be_opened_leaves_a_handle_for_reading() {
    // Goal: as above, where the frozen file has its name and cannot be mapped. Method: a limit on
    // addresses that leaves room for writing it.
    let _watchdog = Watchdog::new("freezing without addresses");
    let file = MapFile::new("unmapped");
    let end = process::run(|| {
        let mut map = file.create_with(1, 256 << 20);
        for key in 0..1600u64 {
            map.put(&key.to_le_bytes(), &[7; 64 << 10]).unwrap();
        }
        let taken = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = taken.split(' ').next().unwrap().parse().unwrap();
        limit(libc::RLIMIT_AS, pages * 4096 + (48 << 20));
        let done = map.freeze();
        assert!(matches!(done, Err(OpenError::AddressSpace { .. })), "{done:?}");
        assert!(map.is_read_only() && !map.is_frozen());
        assert_eq!((map.size(), map.contains(&[0; 8])), (1600, Ok(true)));
        map.put(b"more", b"value") == Err(OpError::ReadOnly)
    });
    assert_eq!(end, End::Exited(0));
    let frozen = file.open_read_only();
    assert!(frozen.is_frozen());
    assert_eq!(frozen.size(), 1600);
}

#[test]
fn a_temporary_map_that_is_frozen_stays() {
    let file = MapFile::new("frozen-temporary");
    let options = Options { temporary: true, max_bytes: Some(1 << 20), ..Options::default() };
    let mut map = Map::create(file.folder(), file.name(), &options).unwrap();
    map.put(b"key", b"value").unwrap();
    map.freeze().unwrap();
    drop(map);
    assert_eq!(file.open_read_only().contains(b"key"), Ok(true));
    assert_eq!(file.open_read_only().verify(), Ok(vec![]));
}

#[test]
fn an_anonymous_map_is_not_frozen_but_its_snapshots_are() {
    let (copy, back) = (MapFile::new("of-anonymous"), MapFile::new("of-anonymous-back"));
    let options = Options { max_bytes: Some(1 << 20), ..Options::default() };
    let mut map = Map::anonymous(&options).unwrap();
    map.put(b"key", b"value").unwrap();
    map.snapshot(copy.folder(), copy.name()).unwrap();
    let frozen = map.freeze();
    assert!(matches!(frozen, Err(OpenError::NotFound { .. })), "{frozen:?}");
    assert!(!map.put(b"more", b"value").unwrap().replaced);
    let from = (copy.folder(), copy.name());
    let restored = Map::restore(from, back.folder(), back.name(), &options).unwrap();
    assert_eq!(restored.contains(b"key"), Ok(true));
}
