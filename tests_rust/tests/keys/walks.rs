//! Walks: each key once, whatever happens meanwhile.

use shf_base::format::{ROOT_REBUILDING, SUSPECT_OFFSET};
use shf_base::open::{Access, open};
use shf_engine::place::{Field, Place};
use shf_engine::record::Record;
use shf_engine::table::BUCKETS;
use shf_engine::walk::Buckets;
use shf_engine::{Cursor, Kind, Map, OpError, Value};
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::{Random, assert_sound};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;

fn all(map: &Map, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    map.for_each_with(prefix, &mut |pair| {
        keys.push(pair.key.to_vec());
        true
    })
    .unwrap();
    keys
}

#[test]
fn a_walk_gives_pairs_types_and_uids() {
    let file = MapFile::new("walk");
    let map = file.create(4);
    let mut model = BTreeMap::new();
    for key in 0..3000u64 {
        let (key, value) = (key.to_le_bytes().to_vec(), vec![key as u8; key as usize % 50]);
        let uid = map.put(&key, &value).unwrap().uid;
        model.insert(key, (value, Kind::Bytes, uid));
    }
    let uid = map.put_value(b"text", Value::Text("t")).unwrap().uid;
    model.insert(b"text".to_vec(), (b"t".to_vec(), Kind::Text, uid));
    map.add_number::<u64>(b"n", 7).unwrap();
    let uid = map.uid(b"n").unwrap().unwrap();
    model.insert(b"n".to_vec(), (7u64.to_le_bytes().to_vec(), Kind::Unsigned, uid));
    let mut seen = BTreeMap::new();
    map.for_each_with(b"", &mut |pair| {
        let value = (pair.value.to_vec(), pair.kind, pair.uid);
        assert_eq!(seen.insert(pair.key.to_vec(), value), None, "each once");
        true
    })
    .unwrap();
    assert_eq!(seen, model);
    let mut views = BTreeMap::new();
    for shard in 0..5 {
        map.view(shard, &mut |pair| {
            views.insert(pair.key.to_vec(), (pair.value.to_vec(), pair.kind, pair.uid)).is_none()
        })
        .unwrap();
    }
    assert_eq!(views, model);
    assert_eq!(file.open_read_only().view(0, &mut |_| true), Err(OpError::ReadOnly));
}

#[test]
fn a_prefix_chooses() {
    let file = MapFile::new("walk-prefix");
    let map = file.create(4);
    let long = [b"user:".as_slice(), &[b'x'; 700]].concat();
    for key in [&b"user:1"[..], b"user:22", b"user:", b"use", b"", b"item:1", &long] {
        map.put(key, b"v").unwrap();
    }
    let set = |keys: &[&[u8]]| keys.iter().map(|key| key.to_vec()).collect::<BTreeSet<_>>();
    let found = |prefix: &[u8]| all(&map, prefix).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(found(b"user:"), set(&[b"user:", b"user:1", b"user:22", &long]));
    assert_eq!(found(&long), set(&[&long]));
    assert_eq!(found(b"none"), set(&[]));
    assert_eq!(all(&map, b"").len(), 7);
}

#[test]
fn a_walk_stops_when_asked() {
    let file = MapFile::new("walk-stop");
    let map = file.create(4);
    (0..1000u64).for_each(|key| _ = map.put(&key.to_le_bytes(), b"v").unwrap());
    let mut left = 10;
    map.for_each(&mut |_, _| {
        left -= 1;
        left > 0
    })
    .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_scan_sees_each_key_once_while_tables_split_and_merge_between_its_pieces() {
    // Goal: a cursor is good whatever the index does between two pieces. Method: keys that stay,
    // and between the pieces waves of others that split and merge all tables; many seeds.
    let file = MapFile::new("scan");
    let map = file.create(2);
    let mut random = Random::from_env(45);
    let stay = |key: u64| [b"stay".as_slice(), &key.to_le_bytes()].concat();
    (0..500).for_each(|key| _ = map.put(&stay(key), &key.to_le_bytes()).unwrap());
    let mut others = 0u64;
    let (mut pieces, mut splits) = (0, 0);
    for _ in 0..8 {
        let mut seen = BTreeMap::new();
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            pieces += 1;
            cursor = map
                .scan(Cursor::from_bits(at.bits()), b"stay", &mut |pair| {
                    assert_eq!(pair.key[4..], *pair.value);
                    *seen.entry(pair.key.to_vec()).or_insert(0) += 1;
                    true
                })
                .unwrap();
            assert!(cursor.is_none_or(|next| next > at));
            let target = random.below(20_000);
            let before = map.stats().splits;
            while others < target {
                map.put(&others.to_le_bytes(), &[1; 20]).unwrap();
                others += 1;
            }
            while others > target {
                others -= 1;
                map.delete(&others.to_le_bytes()).unwrap();
            }
            splits += map.stats().splits - before;
        }
        assert_eq!(seen.len(), 500);
        assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    }
    assert!(pieces > 100 && splits > 50, "{pieces} pieces, {splits} splits");
    assert_sound(&map);
}

#[test]
fn a_visitor_may_change_the_map() {
    let file = MapFile::new("walk-change");
    let map = file.create(1);
    (0..5000u64).for_each(|key| _ = map.put(&key.to_le_bytes(), &[1; 20]).unwrap());
    let mut seen = BTreeSet::new();
    map.for_each(&mut |key, _| {
        assert!(seen.insert(key.to_vec()));
        map.delete(key).unwrap();
        true
    })
    .unwrap();
    assert_eq!((seen.len(), map.size()), (5000, 0));
}

#[test]
fn shards_without_keys_add_nothing_to_a_walk() {
    let file = MapFile::new("walk-sparse");
    let map = file.create(64);
    map.put(b"one", b"v").unwrap();
    assert_eq!(all(&map, b""), [b"one"]);
}

#[test]
fn who_walks_repairs_what_others_left() {
    // Goal: a shard whose index was being made anew when its maker died is usable by who only walks
    // and only has short UIDs. Method: the root says so.
    let file = MapFile::new("walk-closed");
    let map = file.create(1);
    let uid = map.put(b"key", b"value").unwrap().uid;
    let image = Image::of(file.folder(), file.name());
    let header = map.geometry().shard_header(0);
    let root = header + Field::Root as u64;
    let close = || {
        let closed = image.word(root) | ROOT_REBUILDING;
        image.file().write_all_at(&1u32.to_le_bytes(), header + SUSPECT_OFFSET).unwrap();
        image.file().write_all_at(&closed.to_le_bytes(), root).unwrap();
    };
    let reader = file.open_read_only();
    close();
    assert_eq!(reader.for_each(&mut |_, _| true), Err(OpError::Busy));
    assert_eq!(all(&map, b""), [b"key"]);
    assert_eq!(all(&reader, b""), [b"key"]);
    close();
    assert_eq!(reader.uid_of_short(uid.short(1)), Err(OpError::Busy));
    assert_eq!(map.uid_of_short(uid.short(1)), Ok(Some(uid)));
}

#[test]
fn a_walk_over_buckets_ends_beside_writers_and_meets_all_keys() {
    // Goal: splits do not have tables walked again, merges lose no key. Method: between any two
    // buckets the shard gets a split, or loses many keys, until there are many tables, or few
    // again; keys that are there all the time are looked for.
    let file = MapFile::new("walk-buckets");
    let map = file.create_with(1, 256 << 20);
    let peek = open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
    let place = Place::new(&peek.storage, &peek.header, 0);
    let count = |field| place.load(field);
    let name = |kind: u8, number: u64| [&[kind][..], &number.to_le_bytes()].concat();
    (0..2000).for_each(|number| _ = map.put(&name(0, number), b"stays").unwrap());
    let met = |put: &mut dyn FnMut(u64)| {
        let (mut buckets, mut calls, mut met) = (Buckets::new(place), 0, BTreeSet::new());
        while let Some((table, bucket)) = buckets.next_bucket().unwrap() {
            for slot in table.head(bucket).occupied() {
                let reference = place.slot_format().reference(table.slot(bucket, slot));
                let record = Record::at(&place, reference).unwrap();
                let mut key = vec![0; record.shape.key_len as usize];
                record.copy_key(&mut key);
                met.insert(key);
            }
            calls += 1;
            put(calls);
        }
        for number in 0..2000 {
            assert!(met.contains(&name(0, number)), "{number}");
        }
        calls
    };
    let mut put = 0;
    let calls = met(&mut |calls| {
        let splits = count(Field::Splits);
        while calls < 200 && count(Field::Splits) == splits {
            map.put(&name(1, put), b"comes").unwrap();
            put += 1;
        }
    });
    let tables = count(Field::Tables);
    assert!(tables > 200, "{tables}");
    assert!(calls <= tables * BUCKETS as u64, "{calls} buckets of {tables} tables");
    let merged = count(Field::Vacated);
    met(&mut |calls| {
        let fewer = if calls % 40 == 0 { put / 100 } else { 0 };
        for _ in 0..fewer {
            put -= 1;
            map.delete(&name(1, put)).unwrap();
        }
    });
    assert!(count(Field::Vacated) > merged + 20, "{merged}");
    assert_sound(&map);
}
