//! Fixed lengths in files: opening, processes, memory, snapshots.

use super::{LENGTHS, contents, key, lengths, token, wrong};
use shf_base::grace;
use shf_engine::{FixedLengths, Map, OpError, OpenError, Options, Status, Value};
use shf_tests::board::Board;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::time::Duration;

const MAX_BYTES: u64 = 32 << 20;

fn demanding(fixed: Option<FixedLengths>) -> Options {
    Options { fixed, max_bytes: Some(MAX_BYTES), shards: Some(2), ..Options::default() }
}

/// A file of a map that is made by the name of another one.
fn beside(file: &MapFile, what: &str) -> MapFile {
    MapFile::new(&format!("{what}-of-{}", file.name()))
}

#[test]
fn options_that_do_not_go_together_are_refused_by_name() {
    let file = MapFile::new("fixed-options");
    let create = |options: &Options| Map::create(file.folder(), file.name(), options).err();
    let fixed = Some(lengths((8, 4)));
    let refused = |options: Options, expected: &str| {
        let error = create(&options).unwrap();
        assert_eq!(error.status(), Status::InvalidArgument);
        let OpenError::InvalidOption { option, expected: text, found } = &error else {
            panic!("{error}")
        };
        assert_eq!(*option, "fixed");
        assert!(text.contains(expected) && found.contains("bytes"), "{error}");
    };
    let with = demanding(fixed);
    refused(Options { durable: Some(true), ..with.clone() }, "durable");
    refused(Options { evict: true, ..with.clone() }, "evicts");
    refused(Options { default_age: Some(Duration::from_secs(1)), ..with.clone() }, "age");
    for of in [(0, 0), (u32::MAX, 2), (2, u32::MAX), (u32::MAX, u32::MAX)] {
        refused(demanding(Some(lengths(of))), "from 1 to 4294967296 bytes");
    }
    assert!(Map::anonymous(&with).is_ok());
    assert_eq!(create(&Options { temporary: true, durable: Some(false), ..with }), None);
}

#[test]
fn who_opens_a_map_learns_its_lengths_and_may_demand_them() {
    // Goal: the lengths are the file's, and whoever expects others is told.
    let (fixed, free) = (MapFile::new("fixed-open"), MapFile::new("fixed-open-free"));
    let map = fixed.create_fixed(2, MAX_BYTES, (8, 4));
    let map_free = free.create_with(2, MAX_BYTES);
    map.put(&[1; 8], &[2; 4]).unwrap();
    let (right, other) = (Some(lengths((8, 4))), Some(lengths((4, 8))));
    for (file, demanded, is_right) in [
        (&fixed, None, true),
        (&fixed, right, true),
        (&fixed, other, false),
        (&free, None, true),
        (&free, right, false),
    ] {
        let (folder, name, options) = (file.folder(), file.name(), demanding(demanded));
        let descriptor = if is_right { &map } else { &map_free }.descriptor().unwrap();
        drop(descriptor);
        for opened in [
            Map::open(folder, name, &options),
            Map::open_read_only(folder, name, &options),
            Map::open_or_create(folder, name, &options),
        ] {
            match opened {
                Ok(map) => {
                    assert!(is_right, "{demanded:?}");
                    let stats = map.stats();
                    let found = (stats.fixed_key_bytes, stats.fixed_value_bytes);
                    assert_eq!(found, if file.name() == fixed.name() { (8, 4) } else { (0, 0) });
                }
                Err(OpenError::Incompatible { field, expected, found, .. }) => {
                    assert!(!is_right, "{demanded:?}");
                    assert_eq!(field, "fixed lengths");
                    assert!(expected.contains("values of") && found != expected);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let map = fixed.open();
    assert_eq!(map.put(&[1; 8], &[2; 5]).err(), Some(wrong("value", 4, 5)));
    assert_eq!(map.put(&[1; 9], &[2; 4]).unwrap_err().status(), Status::WrongLength);
    assert_eq!(contents(&fixed.open_read_only()).len(), 1);
    let stats = map.stats().to_prometheus("m");
    assert!(stats.contains("shf_fixed_bytes{map=\"m\",of=\"key\"} 8\n"), "{stats}");
    assert!(!map_free.stats().to_prometheus("m").contains("shf_fixed"));
}

#[test]
fn half_a_header_saves_a_word_of_each_record() {
    // Goal: what the option is for. Method: the same keys in two maps; live bytes tell records, and
    // what is committed tells that nothing else takes their place.
    for (of, saved) in [((8, 4), 8), ((16, 4), 8), ((16, 100), 8), ((20, 0), 8), ((8, 8), 0)] {
        let (file, other) = (MapFile::new("fixed-saves"), MapFile::new("fixed-saves-free"));
        let maps = [file.create_fixed(1, MAX_BYTES, of), other.create_with(1, MAX_BYTES)];
        let keys = 50_000;
        let [fixed, free] = maps.map(|map| {
            for number in 0..keys {
                map.put(&key(number, of.0), &vec![1; of.1 as usize]).unwrap();
            }
            map.stats()
        });
        let ends = 64 << 10;
        let (live, real) = (
            free.live_bytes.abs_diff(fixed.live_bytes),
            free.committed_bytes.abs_diff(fixed.committed_bytes),
        );
        assert!(live.abs_diff(keys * saved) <= ends, "{of:?}: {live} bytes of {keys} records");
        assert!(real.abs_diff(keys * saved) <= ends + real / 8, "{of:?}: {real} bytes");
    }
}

#[test]
fn memory_is_compacted_given_back_and_used_again() {
    // Goal: what moves records knows half a header. Method: all but a few keys go, so that runs are
    // evacuated, tables merge and pages become holes; then the map is filled until it is full,
    // which sweeps and squeezes.
    grace::set_rest(0);
    for of in [(8, 4), (16, 100), (8, 8)] {
        let file = MapFile::new("fixed-memory");
        let map = file.create_fixed(1, 1 << 20, of);
        let value = |number: u64| vec![number as u8; of.1 as usize];
        let full = |map: &Map| {
            let put = |number: &u64| map.put(&key(*number, of.0), &value(*number)).is_ok();
            (0u64..).take_while(put).count() as u64
        };
        let keys = full(&map);
        let mut random = Random::from_env(72);
        for _ in 0..3 {
            for number in (0..keys).filter(|number| number % 16 != 3) {
                map.delete(&key(number, of.0)).unwrap();
                if random.below(64) == 0 {
                    map.put(&key(3, of.0), &value(3)).unwrap();
                }
            }
            assert_sound(&map);
            let stats = map.stats();
            assert!(stats.moved_records > 0 && stats.vacated_pages > 0, "{of:?}: {stats:?}");
            for number in (0..keys).filter(|number| number % 16 == 3) {
                let mut found = Vec::new();
                assert_eq!(map.get(&key(number, of.0), &mut found), Ok(true));
                assert_eq!(found, value(number));
            }
            let again = full(&map);
            assert!(again > keys * 3 / 4, "{of:?}: {again} of {keys}");
            assert_sound(&map);
        }
        assert_eq!(map.repair().unwrap().shards, 0);
    }
}

#[test]
fn a_map_is_frozen_copied_and_restored_with_and_without_its_lengths() {
    // Goal: frozen maps keep lengths and half headers, UIDs and tokens; a map that is made of one
    // has the lengths that its options say, or says what does not fit.
    for of in LENGTHS {
        let file = MapFile::new("fixed-frozen");
        let mut map = file.create_fixed(2, MAX_BYTES, of);
        let mut random = Random::from_env(73);
        for number in 0..500 {
            map.put(&key(number, of.0), &random.bytes(of.1 as usize)).unwrap();
        }
        let expected = contents(&map);
        let names = |map: &Map| -> Vec<_> {
            let name = |key| (map.uid(key).unwrap(), token(map, key));
            expected.keys().map(|key| name(key)).collect()
        };
        let named = names(&map);
        let copy = beside(&file, "copy");
        let frozen = map.snapshot(copy.folder(), copy.name()).unwrap();
        assert_eq!(frozen.keys, expected.len() as u64, "{of:?}");
        map.freeze().unwrap();
        for frozen in [&map, &copy.open_read_only()] {
            assert_eq!(frozen.verify(), Ok(vec![]));
            assert!(contents(frozen) == expected, "{of:?}");
            assert_eq!(frozen.stats().fixed_key_bytes, u64::from(of.0));
            assert!(names(frozen) == named, "{of:?}");
            let (key, value) = expected.iter().next().unwrap();
            assert_eq!(frozen.put(key, value).err(), Some(OpError::ReadOnly));
        }
        let restore = |into: &MapFile, fixed| {
            let from = (copy.folder(), copy.name());
            Map::restore(from, into.folder(), into.name(), &demanding(fixed))
        };
        for fixed in [None, Some(lengths(of))] {
            let into = beside(&file, "restored");
            let restored = restore(&into, fixed).unwrap();
            assert!(contents(&restored) == expected, "{of:?}");
            assert_sound(&restored);
            assert_eq!(restored.put(&[1; 300], b"").is_ok(), fixed.is_none());
        }
        let into = beside(&file, "other");
        let error = restore(&into, Some(lengths((of.0, of.1 + 1)))).err().unwrap();
        let expected = wrong("value", u64::from(of.1) + 1, of.1.into());
        assert!(matches!(&error, OpenError::Failed { error, .. } if *error == expected), "{error}");
        assert_eq!(error.status(), Status::WrongLength);
        assert!(!into.path().exists());
    }
}

#[test]
fn what_has_a_type_or_an_age_does_not_become_a_map_with_fixed_lengths() {
    let file = MapFile::new("fixed-typed");
    let (map, copy) = (file.create_with(1, MAX_BYTES), beside(&file, "copy"));
    map.put(&[1; 8], &[2; 8]).unwrap();
    let into = beside(&file, "restored");
    let restored = || {
        map.snapshot(copy.folder(), copy.name()).unwrap();
        let (from, options) = ((copy.folder(), copy.name()), demanding(Some(lengths((8, 8)))));
        let map = Map::restore(from, into.folder(), into.name(), &options);
        let _ = Map::remove(into.folder(), into.name());
        map.err().map(|error| match error {
            OpenError::Failed { error, .. } => error,
            error => panic!("{error}"),
        })
    };
    assert_eq!(restored(), None);
    map.touch(&[1; 8], shf_engine::Age::Of(Duration::from_secs(900))).unwrap();
    assert_eq!(restored(), Some(OpError::NoAges));
    map.put_value(&[1; 8], Value::Integer(1)).unwrap();
    assert_eq!(restored(), Some(OpError::WrongType { expected: "bytes", found: "integer" }));
    map.delete(&[1; 8]).unwrap();
    map.push(&[1; 8], &[1; 8]).unwrap();
    let list = OpError::WrongType { expected: "bytes", found: "element of a list" };
    assert_eq!(restored(), Some(list));
}

/// Who has written a value, and which one: all of its bytes follow from that.
fn value_of(number: u64, round: u64, len: u32) -> Vec<u8> {
    let mut random = Random::new(number << 32 | round);
    let mut value = random.bytes(len as usize);
    value[..2].copy_from_slice(&(round as u16).to_le_bytes());
    value
}

#[test]
fn readers_of_other_processes_never_see_half_a_value_while_writers_are_killed() {
    // Goal: P1 and P2 between processes, where the first bytes of key and value share a word with
    // the mark and the stamp. Method: two writers replace, delete and put the same keys, and are
    // killed again and again; a reader in a third process judges each value by itself; all the
    // while records move.
    for of in [(8, 4), (2, 8), (16, 100)] {
        let file = MapFile::new("fixed-processes");
        let map = file.create_fixed(1, 8 << 20, of);
        let board = Board::of(2);
        let watchdog = Watchdog::new("writers and a reader");
        let write = |seed: u64| {
            let mut random = Random::new(seed);
            loop {
                let number = random.below(300);
                let key = key(number, of.0);
                let done = match random.below(5) {
                    0 => map.delete(&key).map(drop),
                    _ => map.put(&key, &value_of(number, random.below(1 << 16), of.1)).map(drop),
                };
                done.unwrap();
            }
        };
        let reader = process::spawn(|| {
            let (map, mut found) = (file.open_read_only(), Vec::new());
            while board.get(0) == 0 {
                for number in 0..300 {
                    if map.get(&key(number, of.0), &mut found).unwrap() {
                        let round = u64::from(u16::from_le_bytes([found[0], found[1]]));
                        assert_eq!(found, value_of(number, round, of.1), "{number}");
                        board.set(1, board.get(1) + 1);
                    }
                }
            }
            true
        });
        for round in 0..40 {
            let writers = [2 * round, 2 * round + 1].map(|seed| process::spawn(|| write(seed)));
            std::thread::sleep(Duration::from_millis(3 + round % 7));
            for writer in writers {
                process::signal(writer, libc::SIGKILL);
                assert_eq!(process::wait(writer), End::Killed(libc::SIGKILL));
            }
            assert_sound(&map);
            watchdog.feed();
        }
        board.set(0, 1);
        assert_eq!(process::wait(reader), End::Exited(0));
        assert!(board.get(1) > 0, "the reader saw nothing");
    }
}

#[test]
fn a_repair_makes_a_damaged_shard_anew() {
    // Goal: who looks for records by their bytes finds those with half a header, and takes no other
    // ones for records of the map. Method: the directory is gone; a record says that it has a whole
    // header, of other lengths.
    use shf_base::open::{Access, open};
    use shf_engine::hash::Hash;
    use shf_engine::locate::{self, Located};
    use shf_engine::place::{Field, Place};
    use std::os::unix::fs::FileExt;
    for of in [(8, 4), (16, 100)] {
        let file = MapFile::new("fixed-repair");
        let map = file.create_fixed(1, MAX_BYTES, of);
        for number in 0..3000 {
            map.put(&key(number, of.0), &vec![number as u8; of.1 as usize]).unwrap();
        }
        let expected = contents(&map);
        let raw = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
        let peek = open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        let place = Place::new(&peek.storage, &peek.header, 0);
        raw.write_all_at(&[0; 64], place.field_offset(Field::Root) + 16).unwrap();
        assert!(!map.verify().unwrap().is_empty());
        assert_eq!(map.repair().unwrap().shards, 1);
        assert_sound(&map);
        assert!(contents(&map) == expected, "{of:?}");

        let victim = key(77, of.0);
        let found = locate::key(place, Hash::of(&victim, place.secret()), &victim).unwrap();
        let Located::Found(_, _, record) = found else { panic!("not there") };
        let forged: u64 = 8 | 3 << 14 | 1 << 32;
        raw.write_all_at(&forged.to_le_bytes(), place.unit_offset(record.reference())).unwrap();
        let violations = map.verify().unwrap();
        assert!(
            violations.iter().any(|found| found.what.contains("not of such a map")),
            "{violations:?}"
        );
        assert_eq!(map.repair().unwrap().shards, 1);
        assert_sound(&map);
        assert_eq!(contents(&map).len(), expected.len() - 1);
    }
}
