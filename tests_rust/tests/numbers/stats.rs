//! The numbers of a map: the kinds of its memory add up, its index is as full as it says, and keys
//! lie as far from home as the walk counts.

use shf_base::open::HEAP_SECRET;
use shf_engine::class;
use shf_engine::hash::Hash;
use shf_engine::stats::Stats;
use shf_engine::{Map, OpError, ProbeLengths};
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Bytes of each kind.
fn kinds(stats: &Stats) -> [u64; 7] {
    [
        stats.front_bytes,
        stats.descriptor_bytes,
        stats.live_bytes,
        stats.dead_bytes,
        stats.free_bytes,
        stats.unused_bytes,
        stats.index_bytes,
    ]
}

/// Asserts that the kinds are all that the file has.
fn assert_adds_up(file: &MapFile, map: &Map, step: &str) -> Stats {
    let stats = map.stats();
    assert_eq!(kinds(&stats).iter().sum::<u64>(), stats.committed_bytes, "{step}: {stats:?}");
    assert_eq!(file.real_bytes(), stats.committed_bytes, "{step}: {stats:?}");
    assert_eq!(stats.free_bytes_left, stats.max_bytes - stats.committed_bytes);
    stats
}

/// Puts, replaces and deletes keys with values of many sizes, small and large.
fn churn(map: &Map, random: &mut Random, operations: u64) {
    let value = vec![7; 40_000];
    for _ in 0..operations {
        let (key, most) = (random.below(4000).to_le_bytes(), 1 << random.below(16));
        let done = match random.below(4) {
            0 => map.delete(&key).map(drop),
            _ => map.put(&key, &value[..random.below(most) as usize]).map(drop),
        };
        assert!(matches!(done, Ok(()) | Err(OpError::NoSpace { .. })), "{done:?}");
    }
}

type Create = fn(&MapFile) -> Map;

#[test]
fn the_kinds_of_memory_add_up_to_what_the_file_has() {
    // Goal: no byte is counted twice or not at all. Method: an empty map, one that grows, churns
    // until it is full, and is emptied; of each sort.
    let mut random = Random::from_env(31);
    let sorts: [(&str, Create); 3] = [
        ("plain", |file| file.create_with(4, 24 << 20)),
        ("durable", |file| file.create_durable(2, 24 << 20)),
        ("evicting", |file| file.create_evicting(2, 16 << 20)),
    ];
    for (sort, create) in sorts {
        let file = MapFile::new(&format!("kinds-{sort}"));
        let map = create(&file);
        let empty = assert_adds_up(&file, &map, sort);
        assert_eq!(empty.committed_bytes, empty.front_bytes, "{sort}");
        for round in 0..8 {
            churn(&map, &mut random, 2500);
            assert_adds_up(&file, &map, &format!("{sort}, round {round}"));
        }
        let full = map.stats();
        assert!(kinds(&full).iter().all(|bytes| *bytes > 0), "{sort}: {full:?}");
        map.clear().unwrap();
        let cleared = assert_adds_up(&file, &map, sort);
        assert!(cleared.live_bytes < full.live_bytes / 50, "{sort}: {cleared:?}");
        assert!(cleared.dead_bytes + cleared.free_bytes > full.live_bytes / 2, "{sort}");
        assert_sound(&map);
    }
}

#[test]
fn live_and_dead_bytes_are_those_of_the_records() {
    // Goal: each kind is what it says. Method: records of one size, of which a known number is
    // there and another one deleted; their blocks fill pages but for the ends of the runs.
    let map = Map::heap(1, 16 << 20, u64::MAX);
    let block_bytes = u64::from(class::units(class::of_bytes(8 + 8 + 112))) * 8;
    assert_eq!(block_bytes, 128);
    for key in 0..20_000u64 {
        map.put(&key.to_le_bytes(), &[1; 112]).unwrap();
    }
    let stats = map.stats();
    assert_eq!((stats.live_bytes, stats.dead_bytes), (20_000 * block_bytes, 0));
    for key in 0..200u64 {
        map.delete(&(key * 100).to_le_bytes()).unwrap();
    }
    let stats = map.stats();
    assert_eq!(stats.live_bytes, 19_800 * block_bytes);
    assert_eq!(stats.dead_bytes, 200 * block_bytes);
    map.put(b"large", &vec![2; 100_000]).unwrap();
    assert_eq!(map.stats().live_bytes, 19_800 * block_bytes + 25 * 4096);
}

#[test]
fn the_index_is_counted_in_buckets_and_slots() {
    // Goal: the numbers of a hash table that everybody knows. Method: a map that fills its window,
    // and is emptied again.
    let map = Map::heap(2, 1 << 20, u64::MAX);
    let empty = map.stats();
    assert_eq!((empty.bucket_count, empty.slots, empty.load_factor()), (0, 0, 0.0));
    assert_eq!(empty.max_bucket_count, 2 * 254 * 64, "255 pages each, one of them entries");
    let keys = (0..).take_while(|key: &u64| map.put(&key.to_le_bytes(), b"").is_ok()).count();
    let full = map.stats();
    assert_eq!((full.keys, full.shards), (keys as u64, 2));
    assert_eq!(full.bucket_count, full.tables * 64);
    assert_eq!(full.slots, full.bucket_count * 12);
    assert_eq!(full.load_factor(), keys as f64 / full.slots as f64);
    assert!((0.3..=1.0).contains(&full.load_factor()), "{full:?}");
    assert!(full.bucket_count <= full.max_bucket_count, "{full:?}");
    assert_eq!(full.tables, full.splits + 2);
    map.clear().unwrap();
    for _ in 0..2000 {
        map.put(b"one", b"more").unwrap();
        map.delete(b"one").unwrap();
    }
    let merged = map.stats();
    assert!(merged.vacated_pages >= full.tables - merged.tables, "{merged:?}");
    assert!(merged.vacated_pages > 0 && full.vacated_pages == 0, "{merged:?}");
    // A maximum below what the windows could hold counts.
    let small = Map::heap(2, 1 << 20, 256 << 10).stats();
    assert!(small.max_bucket_count < 64 * 64, "{small:?}");
}

/// Numbers whose home is the first bucket.
fn at_bucket_0() -> impl Iterator<Item = u64> {
    (0..).filter(|key: &u64| Hash::of(&key.to_le_bytes(), HEAP_SECRET).bucket() == 0)
}

#[test]
fn probe_lengths_are_the_distances_from_home() {
    // Goal: exact numbers. Method: one bucket overflows to its neighbours by hand, in a map of one
    // table; then many keys.
    let map = Map::heap(1, 16 << 20, u64::MAX);
    assert_eq!(map.probe_lengths(), Ok(ProbeLengths::default()));
    assert_eq!(ProbeLengths::default().mean(), 0.0);
    for key in at_bucket_0().take(30) {
        map.put(&key.to_le_bytes(), b"").unwrap();
    }
    let lengths = map.probe_lengths().unwrap();
    assert_eq!(lengths.keys, [12, 12, 6]);
    assert_eq!(lengths.mean(), (12.0 + 24.0 + 18.0) / 30.0);
    assert_eq!((lengths.tables_by_depth[0], lengths.tables_by_fill[0]), (1, 1));
    map.push(b"list", b"one").unwrap();
    map.push(b"list", b"two").unwrap();
    assert_eq!(map.probe_lengths().unwrap().keys.iter().sum::<u64>(), 33);
    put_all(&map, 50_000);
    assert_counts_all(&map);
}

fn put_all(map: &Map, keys: u64) {
    for key in 0..keys {
        map.put(&key.to_le_bytes(), b"").unwrap();
    }
}

/// Asserts that the walk met each key and each table once.
fn assert_counts_all(map: &Map) -> ProbeLengths {
    let (stats, lengths) = (map.stats(), map.probe_lengths().unwrap());
    assert_eq!(lengths.keys.iter().sum::<u64>(), stats.keys + stats.elements, "{lengths:?}");
    assert_eq!(lengths.tables_by_depth.iter().sum::<u64>(), stats.tables, "{lengths:?}");
    assert_eq!(lengths.tables_by_fill.iter().sum::<u64>(), stats.tables, "{lengths:?}");
    // Of a full directory, tables of depth d have one of 2^d places.
    let places = (0..).zip(lengths.tables_by_depth).map(|(depth, tables)| tables << (19 - depth));
    assert_eq!(places.sum::<u64>(), stats.shards << 19, "{lengths:?}");
    assert!((1.0..2.0).contains(&lengths.mean()), "{lengths:?}");
    lengths
}

#[test]
fn who_may_only_read_counts_probe_lengths_beside_writers() {
    // Goal: the walk ends, and its numbers are in between, while tables split and merge; exact
    // again when the writer has ended. Method: another thread fills and empties the map, a reader
    // counts all the time.
    let file = MapFile::new("probes");
    let (map, reader) = (file.create(2), file.open_read_only());
    let done = AtomicBool::new(false);
    const KEYS: u64 = 30_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                put_all(&map, KEYS);
                (0..KEYS).for_each(|key| assert!(map.delete(&key.to_le_bytes()).unwrap()));
            }
            done.store(true, Relaxed);
        });
        let (mut counts, mut most) = (0, 0);
        while !done.load(Relaxed) {
            match reader.probe_lengths() {
                Ok(lengths) => most = most.max(lengths.keys.iter().sum::<u64>()),
                Err(error) => assert_eq!(error, OpError::Busy),
            }
            counts += 1;
        }
        println!("{counts} walks, at most {most} keys");
        assert!(counts > 3 && most > KEYS / 4 && most < 2 * KEYS, "{counts} {most}");
    });
    put_all(&map, KEYS);
    let lengths = assert_counts_all(&map);
    assert_eq!(reader.probe_lengths(), Ok(lengths));
    let end = process::run(|| file.open_read_only().probe_lengths() == Ok(lengths));
    assert_eq!(end, End::Exited(0), "in another process");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_writer_that_is_stopped_at_any_step_delays_no_walk() {
    // Goal: P1. Method: a child is stopped before each of its stores in a put that splits a table;
    // who may only read counts meanwhile, in one go.
    use shf_base::crash;
    use shf_tests::process::Stopping;
    let file = MapFile::new("probes-stopped");
    let (map, reader) = (file.create(1), file.open_read_only());
    let keys = (0..).find(|key: &u64| {
        map.put(&key.to_le_bytes(), b"").unwrap();
        map.stats().splits > 0
    });
    let keep = file.keep();
    let mut stops = 0;
    for n in 1.. {
        // The last key once more, so that its table has to be looked at, and enough others.
        keep();
        let child = process::spawn(|| {
            let map = file.open();
            crash::arm_stop(n);
            (0..200).all(|more| map.put(&(keys.unwrap() + more).to_le_bytes(), b"").is_ok())
        });
        if let Some(end) = process::wait_for_stop(child) {
            assert_eq!(end, End::Exited(0), "step {n}");
            break;
        }
        let child = Stopping::new(child);
        let counted = reader.probe_lengths().unwrap().keys.iter().sum::<u64>();
        assert!((keys.unwrap()..keys.unwrap() + 1200).contains(&counted), "step {n}: {counted}");
        child.go_on();
        assert_eq!(child.wait(), End::Exited(0));
        stops += 1;
        if stops > 400 {
            break;
        }
    }
    assert!(stops > 20, "{stops}");
}

#[test]
fn a_directory_that_leads_on_and_on_is_no_endless_walk() {
    // Goal: P5, with all bytes of a map overwritten at random, a thousand times: it ends, with a
    // number or with an error. Method: the file's real part is damaged while a reader has it open.
    use std::os::unix::fs::FileExt;
    let file = MapFile::new("probes-damage");
    let map = file.create(1);
    put_all(&map, 5000);
    let (len, mut random) = (map.geometry().file_bytes(), Random::from_env(32));
    let (header, index) = (map.geometry().shard_header(0), len - map.stats().index_bytes);
    let raw = std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..1000 {
        for _ in 0..20 {
            let at = match random.below(3) {
                0 => header + random.below(2064),
                _ => index + random.below(len - index),
            };
            let garbage = random.bytes(4);
            raw.write_all_at(&garbage, (at / 4 * 4).min(len - 4)).unwrap();
        }
        match map.probe_lengths() {
            Ok(_) => right += 1,
            Err(_) => wrong += 1,
        }
        let stats = map.stats();
        let _ = (stats.to_json(), stats.to_prometheus("damaged"), stats.load_factor());
    }
    println!("{right} counted, {wrong} refused");
    assert!(wrong > 0);
}
