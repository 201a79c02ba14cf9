//! Who is attached to a map, who leads, who came and went: across processes, forks and deaths.
#![cfg(not(any(miri, loom)))]

use shf_base::geometry::{PAGE_BYTES, SLOTS_NEAR};
use shf_engine::{Event, Map, OpError, OpenError, Options, Process, Role, Status};
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

fn named(name: &str) -> Options {
    Options { application: Some(name.into()), ..Options::default() }
}

fn with_role(role: Role) -> Options {
    Options { role, ..Options::default() }
}

fn open(file: &MapFile, options: &Options) -> Map {
    Map::open(file.folder(), file.name(), options).unwrap()
}

fn names(map: &Map) -> Vec<String> {
    let mut names: Vec<_> =
        map.processes().unwrap().into_iter().map(|process| process.application).collect();
    names.sort_unstable();
    names
}

/// A child that attaches under a name, and waits to be killed.
fn attached(file: &MapFile, board: Board, index: usize, options: Options) -> i32 {
    let child = process::spawn(|| {
        process::end_with_parent();
        let map = open(file, &options);
        map.put(b"key", b"value").unwrap();
        board.set(index, 1);
        thread::sleep(Duration::from_secs(3600));
        drop(map);
        true
    });
    board.wait(index);
    child
}

fn kill(child: i32) {
    process::signal(child, libc::SIGKILL);
    assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
}

#[test]
fn everybody_who_writes_is_seen_with_what_it_says_and_nobody_who_died() {
    let _watchdog = Watchdog::new("processes");
    let file = MapFile::new("processes");
    drop(file.create(1));
    let map = open(&file, &named("the first"));
    let reader = file.open_read_only();
    let board = Board::new();
    let second = attached(&file, board, 0, named("\u{fc}ber \u{1F980}"));
    let third = attached(&file, board, 1, Options { role: Role::Consumer, ..named("third") });
    let seen = map.processes().unwrap();
    assert_eq!(names(&map), ["the first", "third", "\u{fc}ber \u{1F980}"]);
    assert_eq!(names(&reader), names(&map), "a handle that only reads sees them too");
    assert!(reader.processes().unwrap().iter().all(|process| !process.is_this));
    assert!(seen.windows(2).all(|two| two[0].slot < two[1].slot));
    let of = |name: &str| seen.iter().find(|process| process.application == name).unwrap();
    assert_eq!((of("the first").pid, of("the first").is_this), (std::process::id(), true));
    assert_eq!((of("third").pid, of("third").role), (third as u32, Role::Consumer));
    assert!(!of("third").is_this && of("third").attached_ns > of("the first").attached_ns);
    kill(second);
    assert_eq!(names(&map), ["the first", "third"]);
    kill(third);
    assert_eq!(names(&map), ["the first"]);
    drop(map);
    assert_eq!(reader.processes(), Ok(vec![]));
}

#[test]
fn the_name_of_an_application_is_the_programs_unless_it_is_given_and_has_32_bytes_at_most() {
    let file = MapFile::new("names");
    let map = file.create(1);
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(names(&map), [comm.trim_end()]);
    let longest = "x".repeat(32);
    let second = open(&file, &named(&longest));
    assert!(names(&second).contains(&longest));
    let refused = |options: &Options| {
        let create = Map::create(file.folder(), file.name(), options).err().unwrap();
        let open = Map::open(file.folder(), file.name(), options).err().unwrap();
        assert_eq!(create, open);
        assert_eq!(open.status(), Status::InvalidArgument);
        open.to_string()
    };
    let text = refused(&named(&"x".repeat(33)));
    assert!(text.contains("application") && text.contains("32") && text.contains("33"), "{text}");
    assert!(refused(&named("a\nb")).contains("control"));
    let reading = Map::open_read_only(file.folder(), file.name(), &with_role(Role::Consumer));
    assert!(matches!(reading.err(), Some(OpenError::InvalidOption { option: "role", .. })));
}

#[test]
fn one_process_leads_and_when_it_is_killed_the_next_one_can() {
    // Goal: a leader's death is all that its successor needs. Method: a child leads, is asked for
    // its place in every way, and is killed.
    let _watchdog = Watchdog::new("a leader");
    let file = MapFile::new("leader");
    let map = file.create(1);
    let board = Board::new();
    let leader = attached(&file, board, 0, with_role(Role::Leader));
    assert_eq!(map.set_role(Role::Leader), Err(OpError::AlreadyLed));
    assert_eq!(map.role(), Role::None, "what failed has changed nothing");
    map.set_role(Role::Consumer).unwrap();
    assert_eq!(map.set_role(Role::Leader), Err(OpError::AlreadyLed));
    assert_eq!(map.role(), Role::Consumer);
    let second = Map::open(file.folder(), file.name(), &with_role(Role::Leader)).err().unwrap();
    assert_eq!(second.status(), Status::AlreadyLed, "{second}");
    assert_eq!(map.processes().unwrap().len(), 2, "who was refused is not there");
    let leads = |process: &Process| process.role == Role::Leader;
    assert_eq!(map.processes().unwrap().iter().find(|p| leads(p)).unwrap().pid, leader as u32);
    kill(leader);
    map.set_role(Role::Leader).unwrap();
    map.set_role(Role::Leader).unwrap();
    assert_eq!(map.processes().unwrap().iter().filter(|p| leads(p) && p.is_this).count(), 1);
    let other = file.open();
    assert_eq!(other.set_role(Role::Leader), Err(OpError::AlreadyLed), "another handle");
    // A child does not lead, and cannot while its parent does.
    let end = process::run(|| {
        let before = map.role();
        let refused = map.set_role(Role::Leader);
        before == Role::None && refused == Err(OpError::AlreadyLed) && map.role() == Role::None
    });
    assert_eq!(end, End::Exited(0));
    map.set_role(Role::None).unwrap();
    other.set_role(Role::Leader).unwrap();
    drop(other);
    map.set_role(Role::Leader).unwrap();
    assert_eq!(file.open_read_only().set_role(Role::None), Err(OpError::ReadOnly));
}

#[test]
fn of_many_who_want_to_lead_one_does_at_a_time() {
    // Goal: roles are exclusive under contention, and no place is lost. Method: children that lead
    // again and again, and note whether another one does meanwhile.
    let _watchdog = Watchdog::new("leaders");
    let file = MapFile::new("leaders");
    let map = file.create(1);
    let board = Board::new();
    let work = || {
        let mut led = 0;
        while led < 200 {
            match map.set_role(Role::Leader) {
                Ok(()) => led += 1,
                Err(OpError::AlreadyLed) => continue,
                Err(error) => panic!("{error}"),
            }
            let me = u64::from(std::process::id());
            board.set(0, me);
            let leaders = map.processes().unwrap();
            let leaders: Vec<_> = leaders.iter().filter(|p| p.role == Role::Leader).collect();
            assert!(leaders.len() == 1 && leaders[0].is_this && board.get(0) == me);
            map.set_role(Role::Consumer).unwrap();
        }
        true
    };
    let children: Vec<i32> = (0..3).map(|_| process::spawn(work)).collect();
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    map.set_role(Role::Leader).unwrap();
}

#[test]
fn a_watch_tells_who_came_and_went_whatever_it_died_of() {
    let _watchdog = Watchdog::new("a watch");
    let file = MapFile::new("watch");
    drop(file.create(1));
    let map = open(&file, &named("watcher"));
    let mut watch = map.watch();
    let mut poll = || {
        let events = watch.poll().unwrap().into_iter();
        let text = |event| match event {
            Event::Joined(process) => format!("+{}", process.application),
            Event::Left(process) => format!("-{}", process.application),
        };
        events.map(text).collect::<Vec<_>>()
    };
    assert_eq!(poll(), ["+watcher"]);
    assert!(poll().is_empty());
    let board = Board::new();
    let first = attached(&file, board, 0, named("first"));
    assert_eq!(poll(), ["+first"]);
    kill(first);
    assert_eq!(poll(), ["-first"], "nobody did anything for it");
    let second = open(&file, &named("second"));
    assert_eq!(poll(), ["+second"]);
    // The same slot again between two looks, by one who looks alike.
    drop(second);
    let second = open(&file, &named("second"));
    assert_eq!(poll(), ["-second", "+second"]);
    drop(second);
    drop(open(&file, &named("who came and went")));
    assert_eq!(poll(), ["-second"]);
    // A child is there from its first write on.
    let (inherited, go) = (&map, 1);
    let child = process::spawn(|| {
        process::end_with_parent();
        inherited.get(b"key", &mut Vec::new()).unwrap();
        board.set(2, 1);
        board.wait(go);
        inherited.put(b"key", b"child").unwrap();
        board.set(3, 1);
        thread::sleep(Duration::from_secs(3600));
        true
    });
    board.wait(2);
    assert!(poll().is_empty());
    board.set(go, 1);
    board.wait(3);
    assert_eq!(poll(), ["+watcher"]);
    assert_eq!(map.processes().unwrap().iter().filter(|process| process.is_this).count(), 1);
    kill(child);
    assert_eq!(poll(), ["-watcher"]);
}

#[test]
fn lives_are_not_mixed_while_slots_pass_from_one_to_the_next() {
    // Goal: no torn record. Method: children attach under names that tell their role, again and
    // again, and are looked at all the while.
    let _watchdog = Watchdog::new("lives");
    let file = MapFile::new("lives");
    drop(file.create(1));
    let map = open(&file, &named("watcher"));
    let board = Board::new();
    let children: Vec<i32> =
        [("an application that consumes", Role::Consumer), ("none", Role::None)]
            .into_iter()
            .map(|(name, role)| {
                process::spawn(|| {
                    while board.get(0) == 0 {
                        drop(open(&file, &Options { role, ..named(name) }));
                    }
                    true
                })
            })
            .collect();
    let mut seen = [0; 2];
    while seen.iter().any(|seen| *seen < 200) {
        for process in map.processes().unwrap().iter().filter(|process| !process.is_this) {
            let at = children.iter().position(|child| *child as u32 == process.pid).unwrap();
            let expected = [("an application that consumes", Role::Consumer), ("none", Role::None)];
            assert_eq!((&*process.application, process.role), expected[at]);
            seen[at] += 1;
        }
    }
    board.set(0, 1);
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
}

#[test]
fn records_that_a_stranger_overwrites_do_no_harm() {
    // Goal: P5. Method: all bytes of all records are set to each of some values while the map is
    // open.
    let file = MapFile::new("forged-records");
    let map = file.create(1);
    let geometry = *map.geometry();
    let raw = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    for byte in [0xff, 0x1b, 0x80, 0] {
        raw.write_all_at(&[byte; PAGE_BYTES as usize], geometry.slot_record(0)).unwrap();
        let found = map.processes().unwrap();
        assert_eq!(found.len(), usize::from(byte != 0), "a life of 0 is none yet");
        for process in found {
            assert!(process.is_this && !process.application.contains(char::is_control));
        }
        map.set_role(Role::Leader).unwrap();
        map.put(b"key", b"value").unwrap();
        assert_eq!(file.open().set_role(Role::Leader), Err(OpError::AlreadyLed));
        map.set_role(Role::None).unwrap();
    }
}

#[test]
fn the_first_32_share_a_page_and_more_make_another_one_real() {
    // Goal: what attaching costs of the file is what the documents say. Method: 33 handles, and
    // the bytes of the file.
    let file = MapFile::new("many-slots");
    let map = file.create(1);
    let before = file.real_bytes();
    assert_eq!(before, map.stats().committed_bytes);
    let mut handles: Vec<Map> = (1..SLOTS_NEAR).map(|_| file.open()).collect();
    assert_eq!(file.real_bytes(), before);
    handles.push(file.open());
    assert_eq!(file.real_bytes(), before + PAGE_BYTES);
    assert_eq!(map.stats().committed_bytes, before, "these pages are not among them");
    let seen = map.processes().unwrap();
    assert_eq!(seen.len(), SLOTS_NEAR as usize + 1);
    assert!(seen.iter().enumerate().all(|(at, process)| at < 32 || process.slot / 32 == 1));
    drop(handles);
    assert_eq!(map.processes().unwrap().len(), 1);
}
