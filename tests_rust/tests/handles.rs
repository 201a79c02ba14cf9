//! Handles: two of one map in a process, one that cannot write, and one inherited by children.
#![cfg(not(any(miri, loom)))]

use shf_base::open::HEAP_SECRET;
use shf_engine::group::SLOTS;
use shf_engine::hash::Hash;
use shf_engine::{Map, OpError, OpenError, Options, Sink};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::thread;

/// A user that owns nothing, on every system.
const NOBODY: u32 = 65534;

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

/// Addresses at which this process has a file mapped.
fn addresses(file: &MapFile) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = file.path();
    let of_file = maps.lines().filter(|line| line.contains(path.to_str().unwrap()));
    of_file.map(|line| line.split('-').next().unwrap().to_string()).collect()
}

/// Receives a value while a writer replaces it, each time anew.
struct Overtaken<'m> {
    writer: &'m Map,
    last: u8,
    value: Vec<u8>,
}

impl Sink for Overtaken<'_> {
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.last = self.last.wrapping_add(1);
        self.writer.put(b"key", &[self.last; 100]).unwrap();
        self.value.room(len)
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        self.value.grow(len)
    }

    fn discard(&mut self) {
        self.value.discard();
    }
}

#[test]
fn a_get_that_loses_against_writers_leaves_no_bytes_of_a_value_behind() {
    let file = MapFile::new("overtaken");
    let (writer, reader) = (file.create(1), file.open_read_only());
    writer.put(b"key", &[0; 100]).unwrap();
    let mut sink = Overtaken { writer: &writer, last: 0, value: Vec::with_capacity(100) };
    assert_eq!(reader.get_to(b"key", &mut sink), Err(OpError::Busy));
    assert!(sink.value.is_empty(), "{} bytes", sink.value.len());
}

/// Has no room for any value.
#[derive(Default)]
struct Full {
    asked_bytes: Option<usize>,
    discarded: bool,
}

impl Sink for Full {
    fn room(&mut self, _len: usize) -> Option<&mut [u8]> {
        None
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        self.asked_bytes = Some(len);
        None
    }

    fn discard(&mut self) {
        self.discarded = true;
    }
}

#[test]
fn a_value_that_its_reader_has_no_memory_for_is_an_error_that_says_how_much() {
    let map = Map::heap(1, 4 << 20, u64::MAX);
    for len in [0, 100, 50_000] {
        map.put(b"key", &vec![1; len]).unwrap();
        let mut sink = Full::default();
        let bytes = len as u64;
        assert_eq!(map.get_to(b"key", &mut sink), Err(OpError::OutOfMemory { bytes }));
        assert_eq!((sink.asked_bytes, sink.discarded), (Some(len), true));
        assert_eq!(get(&map, b"key"), Some(vec![1; len]), "it is still there");
    }
    let mut sink = Full::default();
    assert_eq!(map.get_to(b"absent", &mut sink), Ok(None));
    assert_eq!(sink.asked_bytes, None);
}

#[test]
fn a_child_that_lost_the_file_says_so_when_it_has_to_grow_and_has_the_rest() {
    // Goal: what cannot be made real is an error with its cause, and never a store into a hole.
    // Method: a child closes what it inherited, another map takes the file's name, and it puts
    // until it would have to grow.
    let (file, other) = (MapFile::new("lost"), MapFile::new("lost-other"));
    let map = file.create(1);
    map.put(b"key", b"value").unwrap();
    drop(other.create(1));
    let end = process::run(|| {
        map.put(b"key", b"other").unwrap();
        close_inherited();
        std::fs::rename(other.path(), file.path()).unwrap();
        let put = |key: u64| map.put(&key.to_le_bytes(), &[1; 100]);
        let (keys, error) = (0..).find_map(|key| Some((key, put(key).err()?))).unwrap();
        let call = "opening the map's file again";
        assert_eq!(error, OpError::System { call, errno: libc::ESTALE });
        assert!((0..keys).all(|key| get(&map, &key.to_le_bytes()) == Some(vec![1; 100])));
        assert_eq!(map.delete(&0u64.to_le_bytes()), Ok(keys > 0));
        get(&map, b"key") == Some(b"other".to_vec())
    });
    assert_eq!(end, End::Exited(0));
    assert_eq!(get(&map, b"key"), Some(b"other".to_vec()));
    assert_sound(&map);
}

/// Closes all descriptors of a forked child but the first three.
#[allow(unsafe_code)]
fn close_inherited() {
    // SAFETY: what the child inherited is not used any more, except by what is tested.
    (3..1024).for_each(|fd| unsafe { _ = libc::close(fd) });
}

#[test]
fn two_handles_of_a_map_in_one_process_see_each_others_writes() {
    // Goal: nothing in the file depends on where it is mapped. Method: every operation through one
    // handle, looked at through the other, with tables that split and values that go and come.
    let file = MapFile::new("two-handles");
    drop(file.create(2));
    let (one, two) = (file.open(), file.open());
    let found = addresses(&file);
    assert!(found.len() >= 2 && found[0] != found[1], "mapped at {found:?}");
    for round in 0u64..3 {
        for key in 0u64..3000 {
            let (writer, reader) = if key % 2 == round % 2 { (&one, &two) } else { (&two, &one) };
            let value = vec![round as u8; (key % 90 + round * 30) as usize];
            let placed = writer.put(&key.to_le_bytes(), &value).unwrap();
            assert_eq!(placed.replaced, round != 0);
            assert_eq!(get(reader, &key.to_le_bytes()), Some(value));
        }
    }
    assert_eq!(one.add(b"sum", 5), Ok(5));
    assert_eq!(two.add(b"sum", 6), Ok(11));
    assert_eq!(two.delete(b"sum"), Ok(true));
    assert_eq!(one.contains(b"sum"), Ok(false));
    assert_eq!((one.size(), two.size()), (3000, 3000));
    assert_sound(&one);
    assert_eq!(two.clear(), Ok(3000));
    assert_eq!(one.size(), 0);
    assert_sound(&two);
}

#[test]
fn two_handles_of_a_map_in_one_process_exclude_each_other() {
    // Goal: the lock knows two handles of a process as two owners. Method: two threads, each with a
    // handle of its own, add to the same keys and replace the same values; nothing may be lost.
    let _watchdog = Watchdog::new("two handles");
    let file = MapFile::new("exclusion");
    let (one, two) = (file.create(1), file.open());
    let rounds = 20_000;
    let work = |map: &Map| {
        for round in 0..rounds {
            map.add(&(round % 7i64).to_le_bytes(), 1).unwrap();
            map.put(b"value", &[round as u8; 50]).unwrap();
            assert_eq!(get(map, b"value").map(|value| value.len()), Some(50));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| work(&one));
        scope.spawn(|| work(&two));
    });
    let sum: i64 = (0..7i64).map(|key| one.add(&key.to_le_bytes(), 0).unwrap()).sum();
    assert_eq!(sum, 2 * rounds);
    assert_eq!(one.stats().repairs, 0, "nobody was taken for dead");
    assert_sound(&two);
}

/// Asserts all that a handle without write access can and cannot do.
fn assert_reads_only(map: &Map, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
    assert!(map.is_read_only());
    for (key, value) in expected {
        assert_eq!(get(map, key).as_ref(), Some(value));
        let mut buffer = vec![0xee; value.len() + 3];
        assert_eq!(map.get_into(key, &mut buffer), Ok(Some(value.len())));
        assert_eq!((&buffer[..value.len()], &buffer[value.len()..]), (&value[..], &[0xee; 3][..]));
    }
    for key in 0u64..500 {
        assert_eq!(map.contains(&(key + 1_000_000).to_le_bytes()), Ok(false));
    }
    let mut walked = BTreeMap::new();
    map.for_each(&mut |key, value| walked.insert(key.to_vec(), value.to_vec()).is_none()).unwrap();
    assert!(walked == *expected, "the walk sees every key once");
    assert_eq!(map.size(), expected.len() as u64);
    assert_eq!(map.stats().keys, expected.len() as u64);
    assert_eq!(map.put(b"key", b"value"), Err(OpError::ReadOnly));
    assert_eq!(map.add(b"key", 1), Err(OpError::ReadOnly));
    assert_eq!(map.delete(&0u64.to_le_bytes()), Err(OpError::ReadOnly));
    assert_eq!(map.clear(), Err(OpError::ReadOnly));
    assert_eq!(map.verify(), Err(OpError::ReadOnly));
}

#[test]
fn a_read_only_handle_gets_misses_and_walks_and_cannot_write() {
    // Goal: P1 on a PROT_READ mapping, of a file without write permission too. Method: every
    // operation, while another handle writes in between; then as a user who may not write.
    let file = MapFile::new("read-only");
    let writer = file.create(2);
    let reader = file.open_read_only();
    let mut expected = BTreeMap::new();
    assert_reads_only(&reader, &expected);
    for key in 0u64..2000 {
        let value = vec![key as u8; (key % 300) as usize];
        writer.put(&key.to_le_bytes(), &value).unwrap();
        expected.insert(key.to_le_bytes().to_vec(), value);
    }
    let large = vec![7; 100_000];
    writer.put(b"large", &large).unwrap();
    expected.insert(b"large".to_vec(), large);
    writer.add(b"integer", -2).unwrap();
    expected.insert(b"integer".to_vec(), (-2i64).to_le_bytes().to_vec());
    assert_reads_only(&reader, &expected);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_reads_only(&file.open_read_only(), &expected);
    as_nobody(&file, &expected);
    assert_reads_only(&reader, &expected);
    assert_sound(&writer);
}

/// Reads the map in a child that may not write to its file; says so where that cannot be had.
#[allow(unsafe_code)]
fn as_nobody(file: &MapFile, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
    // SAFETY: plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: only root can become another user");
    }
    if std::fs::metadata("/").unwrap().permissions().mode() & 1 == 0 {
        return println!("skipped: others may not enter / here");
    }
    let end = process::run(|| {
        // SAFETY: changes the user of this child only.
        assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
        let refused = Map::open(file.folder(), file.name(), &Options::default());
        assert!(matches!(refused.err(), Some(OpenError::PermissionDenied { .. })));
        assert_reads_only(&file.open_read_only(), expected);
        true
    });
    assert_eq!(end, End::Exited(0));
}

#[test]
fn all_adds_of_24_children_with_the_inherited_handle_count() {
    // Goal: a handle works in forked children, side by side. Method: 24 children add to shared and
    // to own keys while the parent does as well.
    let _watchdog = Watchdog::new("24 children");
    let file = MapFile::new("fork");
    let map = file.create(4);
    let rounds = 2000i64;
    let work = |who: i64| {
        for round in 0..rounds {
            map.add(&(round % 5).to_le_bytes(), 1).unwrap();
            map.add(&(1000 + who).to_le_bytes(), 1).unwrap();
        }
        true
    };
    let children: Vec<i32> = (0..24).map(|who| process::spawn(|| work(who))).collect();
    assert!(work(24));
    for child in children {
        assert_eq!(process::wait(child), End::Exited(0));
    }
    let shared: i64 = (0..5i64).map(|key| map.add(&key.to_le_bytes(), 0).unwrap()).sum();
    assert_eq!(shared, 25 * rounds);
    for who in 0..25i64 {
        assert_eq!(map.add(&(1000 + who).to_le_bytes(), 0), Ok(rounds));
    }
    assert_eq!(map.stats().repairs, 0, "nobody was taken for dead");
    assert_sound(&map);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_writer_that_stops_in_one_shard_delays_nobody_in_the_others() {
    // Goal: processes write to different shards at the same time. Method: a child stops in the
    // middle of a put; meanwhile a handle that hardly waits puts a thousand keys.
    use shf_base::crash;
    use std::collections::BTreeSet;
    use std::time::Duration;
    const SHARDS: u64 = 16;
    let _watchdog = Watchdog::new("writers of other shards");
    let file = MapFile::new("shards-apart");
    let map = file.create(SHARDS as u32);
    let impatient = file.open_impatient(Duration::from_micros(100));
    let child = process::spawn(|| {
        // The child takes its slot outside of the count, whose first step takes the lock.
        let _ = map.delete(b"not there");
        crash::arm_stop(2);
        map.put(b"of the child", b"value").is_ok()
    });
    assert_eq!(process::wait_for_stop(child), None);
    let (mut shards, mut refused) = (BTreeSet::new(), 0);
    for key in 0..1000u64 {
        match impatient.put(&key.to_le_bytes(), b"value") {
            Ok(placed) => drop(shards.insert(placed.uid.bits() >> 32 & (SHARDS - 1))),
            Err(error) => {
                assert_eq!(error, OpError::Busy);
                refused += 1;
            }
        }
    }
    process::signal(child, libc::SIGKILL);
    assert_eq!(process::wait(child), End::Killed(libc::SIGKILL));
    assert_eq!(shards.len() as u64, SHARDS - 1, "all but the child's, which {refused} met");
    assert!(refused > 0);
    assert_eq!(map.size(), 1000 - refused);
    assert_sound(&map);
}

#[cfg(feature = "crash-points")]
#[test]
fn an_idle_child_does_not_keep_its_killed_parents_lock_alive() {
    // Goal: what a child inherits is not the parent's presence. Method: a process with a handle
    // forks a child that only sleeps, and is killed in the middle of a put; the lock must be free
    // to take over although the child lives on.
    use shf_base::crash;
    use shf_tests::board::Board;
    let _watchdog = Watchdog::new("a take-over from a parent with an idle child");
    let file = MapFile::new("idle-child");
    let map = file.create(1);
    map.put(b"key", b"old").unwrap();
    let board = Board::new();
    let end = process::run(|| {
        let inherited = file.open();
        let sleeper = process::spawn(|| {
            board.set(1, 1);
            // Uses the handle for reading only, and keeps it.
            while get(&inherited, b"key").is_some() {
                thread::sleep(std::time::Duration::from_millis(1));
            }
            true
        });
        board.set(0, sleeper as u64);
        board.wait(1);
        // Not its first write, so that the slot is the parent's own.
        inherited.put(b"other", b"value").unwrap();
        crash::arm(5);
        inherited.put(b"key", b"new").is_ok()
    });
    assert_eq!(end, End::Killed(libc::SIGKILL));
    assert!(map.put(b"key", b"newer").unwrap().replaced);
    assert_eq!(map.stats().repairs, 1, "the parent died with the lock");
    let sleeper = board.wait(0) as i32;
    assert!(std::fs::exists(format!("/proc/{sleeper}")).unwrap(), "the child was there all along");
    // Ends the child; it belongs to init now.
    assert_eq!(map.delete(b"key"), Ok(true));
    assert_sound(&map);
}

#[test]
fn a_walk_needs_private_memory_for_one_value_at_a_time() {
    // Goal: neither the length of a walk nor its memory depends on what else lies in a bucket.
    // Method: a full bucket of long values, walked by a child that may take memory for a few
    // of them only.
    const VALUE_BYTES: usize = 2 << 20;
    let map = Map::heap(1, 64 << 20, u64::MAX);
    let home = |key: &[u8; 8]| Hash::of(key, HEAP_SECRET).bucket() == 0;
    for key in (0u64..).map(u64::to_le_bytes).filter(home).take(SLOTS) {
        map.put(&key, &vec![key[0]; VALUE_BYTES]).unwrap();
    }
    let end = process::run(|| {
        limit_private_memory(6 * VALUE_BYTES as u64);
        let mut seen = 0;
        let whole = |key: &[u8], value: &[u8]| value == vec![key[0]; VALUE_BYTES];
        let walked = map.for_each(&mut |key, value| {
            seen += usize::from(whole(key, value));
            true
        });
        walked == Ok(()) && seen == SLOTS
    });
    assert_eq!(end, End::Exited(0));
}

/// Leaves this process so many more bytes of private memory than it has taken.
#[allow(unsafe_code)]
fn limit_private_memory(bytes: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(5).unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: pages * 4096 + bytes, rlim_max: pages * 4096 + bytes };
    // SAFETY: sets a limit of this child.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
}
