//! UIDs: stable while a key lives, refused from its deletion on.

use shf_engine::place::Field;
use shf_engine::{Map, Uid};
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};
use std::collections::HashMap;
use std::os::unix::fs::FileExt;

fn value_of(map: &Map, uid: Uid) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let len = map.get_uid_to(uid, &mut value).unwrap();
    assert_eq!(len.unwrap_or(0), value.len());
    len.map(|_| value)
}

fn key_of(map: &Map, uid: Uid) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    map.key_of_uid(uid, &mut key).unwrap().map(|_| key)
}

/// Short keys, some long enough to be kept with their hash, and an empty one.
fn key(number: u64) -> Vec<u8> {
    let mut key = number.to_le_bytes().to_vec();
    key.resize([8, 8, 20, 300, 8, 9000][(number % 6) as usize], 1);
    key.truncate(if number == 0 { 0 } else { key.len() });
    key
}

#[test]
fn a_uid_names_its_key_through_growth_updates_merges_and_compaction() {
    // Goal: a UID is good for the life of its key and no longer. Method: seeded puts, deletes,
    // updates and whole waves of other keys, on one shard, against a model of who lives; after
    // each wave all UIDs are asked, also those of the dead.
    let file = MapFile::new("uids");
    let map = file.create(1);
    let mut random = Random::from_env(41);
    let mut living: HashMap<u64, (Uid, Vec<u8>)> = HashMap::new();
    let mut dead: Vec<Uid> = Vec::new();
    for wave in 0..12u64 {
        for _ in 0..1500 {
            let number = random.below(400);
            if random.below(4) == 0 {
                let there = living.remove(&number);
                assert_eq!(map.delete(&key(number)).unwrap(), there.is_some());
                dead.extend(there.map(|(uid, _)| uid));
                continue;
            }
            let len = [20, 60, 100, 5000][random.below(4) as usize];
            let value = random.bytes(len);
            let put = map.put(&key(number), &value).unwrap();
            if let Some((uid, _)) = living.get(&number) {
                assert_eq!((put.replaced, put.uid), (true, *uid));
            } else {
                assert!(!put.replaced && !dead.contains(&put.uid));
            }
            living.insert(number, (put.uid, value));
        }
        let others = |number: u64| (1_000_000 + number).to_le_bytes();
        for number in 0..[0, 6000][(wave % 2) as usize] {
            map.put(&others(number), &[1; 30]).unwrap();
        }
        for number in 0..[6000, 0][(wave % 2) as usize] {
            map.delete(&others(number)).unwrap();
        }
        for (number, (uid, value)) in &living {
            assert_eq!(key_of(&map, *uid), Some(key(*number)));
            assert_eq!(value_of(&map, *uid).as_ref(), Some(value));
            assert_eq!(map.uid(&key(*number)), Ok(Some(*uid)));
            assert_eq!(Uid::from_bits(uid.bits()), *uid);
        }
        for uid in &dead {
            assert_eq!((value_of(&map, *uid), key_of(&map, *uid)), (None, None));
            assert_eq!(map.contains_uid(*uid), Ok(false));
            assert_eq!(map.put_uid(*uid, b"late"), Ok(None));
            assert_eq!(map.delete_uid(*uid), Ok(false));
        }
    }
    assert!(map.stats().moved_records > 0 && map.stats().splits > 0 && dead.len() > 100);
    assert_sound(&map);
}

#[test]
fn a_key_is_changed_and_deleted_by_its_uid() {
    let file = MapFile::new("uids-change");
    let map = file.create(4);
    let put = map.put(b"key", b"old").unwrap();
    let again = map.put_uid(put.uid, b"new and longer").unwrap().unwrap();
    assert_eq!((again.replaced, again.uid), (true, put.uid));
    let mut value = [0; 20];
    assert_eq!(map.get_uid_into(put.uid, &mut value), Ok(Some(14)));
    assert_eq!(&value[..14], b"new and longer");
    assert_eq!(map.delete_uid(put.uid), Ok(true));
    assert_eq!(map.contains(b"key"), Ok(false));
    let reborn = map.put(b"key", b"old").unwrap();
    assert_ne!(reborn.uid, put.uid);
    assert_eq!(value_of(&map, put.uid), None);
    assert_eq!(value_of(&map, reborn.uid), Some(b"old".to_vec()));
    assert_eq!(map.uid(b"not there"), Ok(None));
}

#[test]
fn bits_that_no_put_gave_do_no_harm_and_other_lives_are_no_names() {
    let file = MapFile::new("uids-forged");
    let map = file.create(2);
    let uids: Vec<Uid> =
        (0..500u64).map(|key| map.put(&key.to_le_bytes(), b"v").unwrap().uid).collect();
    let mut random = Random::from_env(42);
    for _ in 0..100_000 {
        let uid = uids[random.below(500) as usize];
        // The bits from 33 on are the generation, in a map of two shards; none here is as large.
        let other_life = Uid::from_bits(uid.bits() ^ 1 << (43 + random.below(10)));
        assert_eq!(map.contains_uid(other_life), Ok(false));
        for bits in [random.next(), uid.bits() ^ 1 << random.below(64), 0, u64::MAX] {
            map.contains_uid(Uid::from_bits(bits)).unwrap();
        }
    }
}

#[test]
fn uids_are_told_apart_when_births_have_come_around() {
    // Goal: where lives share a generation, the hash tells them apart. Method: in a map of 4096
    // shards 65,536 births of a shard come around; keys that live on, and as many that come and go.
    let file = MapFile::new("uids-around");
    let map = file.create_with(4096, 1 << 30);
    let in_shard =
        |key: &u64| map.put(&key.to_le_bytes(), b"v").unwrap().uid.bits() >> 32 & 0xfff == 7;
    let keys: Vec<u64> = (0..).filter(in_shard).take(300).collect();
    let uid = |key: u64| map.uid(&key.to_le_bytes()).unwrap();
    let living: Vec<(u64, Uid)> =
        keys[..100].iter().map(|key| (*key, uid(*key).unwrap())).collect();
    let mut dead = HashMap::new();
    for round in 0..700 {
        for key in &keys[100..] {
            let put = map.put(&key.to_le_bytes(), b"v").unwrap();
            if round % 100 == 0 {
                dead.insert(put.uid, *key);
            }
            map.delete(&key.to_le_bytes()).unwrap();
        }
    }
    for (key, uid) in &living {
        assert_eq!(key_of(&map, *uid), Some(key.to_le_bytes().to_vec()));
    }
    for (uid, key) in dead {
        assert_eq!(key_of(&map, uid), None, "{key}");
    }
    assert_sound(&map);
}

#[test]
fn a_uid_is_good_in_every_process_and_in_handles_to_come() {
    let file = MapFile::new("uids-processes");
    let uid = file.create(4).put(b"key", b"value").unwrap().uid;
    let child = process::spawn(|| {
        let map = file.open();
        value_of(&map, uid) == Some(b"value".to_vec()) && map.put_uid(uid, b"child").is_ok()
    });
    assert_eq!(process::wait(child), End::Exited(0));
    assert_eq!(value_of(&file.open_read_only(), uid), Some(b"child".to_vec()));
}

#[test]
fn a_repair_keeps_uids() {
    // Goal: records carry their generation, so an index that is made anew finds them by it.
    let file = MapFile::new("uids-repair");
    let map = file.create(1);
    let uids: Vec<Uid> =
        (0..2000u64).map(|key| map.put(&key.to_le_bytes(), b"v").unwrap().uid).collect();
    let gone = uids[7];
    map.delete(&7u64.to_le_bytes()).unwrap();
    let image = Image::of(file.folder(), file.name());
    let keys = map.geometry().shard_header(0) + Field::Keys as u64;
    image.file().write_all_at(&1u32.to_le_bytes(), keys).unwrap();
    assert!(!map.verify().unwrap().is_empty());
    map.repair().unwrap();
    for (number, uid) in uids.iter().enumerate() {
        let expected = (number != 7).then(|| (number as u64).to_le_bytes().to_vec());
        assert_eq!(key_of(&map, *uid), expected);
    }
    map.put(&7u64.to_le_bytes(), b"v").unwrap();
    assert_eq!(value_of(&map, gone), None);
    assert_sound(&map);
}

#[test]
fn short_uids_name_keys_as_far_as_they_tell() {
    // Goal: 32 bits lead to the right key or to none, with any number of shards. Method: all keys
    // of maps of few and many shards, whose short UIDs may meet.
    for shards in [1, 256, 4096] {
        let file = MapFile::new("uids-short");
        let map = file.create_with(shards, 512 << 20);
        let keys = 20_000u64;
        let uids: Vec<Uid> =
            (0..keys).map(|key| map.put(&key.to_le_bytes(), b"v").unwrap().uid).collect();
        let mut times = HashMap::new();
        for uid in &uids {
            let short = uid.short(shards);
            assert_ne!(short, u32::MAX);
            *times.entry(short).or_insert(0) += 1;
        }
        for uid in &uids {
            let short = uid.short(shards);
            let expected = (times[&short] == 1).then_some(*uid);
            assert_eq!(map.uid_of_short(short), Ok(expected));
        }
        map.delete_uid(uids[3]).unwrap();
        assert_eq!(map.uid_of_short(uids[3].short(shards)), Ok(None));
    }
}

#[test]
fn a_repair_that_knows_no_births_gives_no_uid_twice() {
    // Goal: what is born after a repair has another UID than what was there. Method: the count of
    // births is lost, after a few and after more than half of what there are generations.
    for births in [100, 600_000] {
        births_are_lost_after(births);
    }
}

fn births_are_lost_after(births: u64) {
    let file = MapFile::new("uids-births");
    let map = file.create(1);
    for key in 0..births {
        map.put(&key.to_le_bytes(), b"v").unwrap();
        if key % 1000 != 0 {
            map.delete(&key.to_le_bytes()).unwrap();
        }
    }
    let uid = map.put(b"key", b"v").unwrap().uid;
    let image = Image::of(file.folder(), file.name());
    let keys = map.geometry().shard_header(0) + Field::Keys as u64;
    image.file().write_all_at(&0u64.to_le_bytes(), keys).unwrap();
    map.repair().unwrap();
    assert_eq!(map.uid(b"key"), Ok(Some(uid)));
    for birth in 0..births * 3 / 2 {
        map.delete(b"key").unwrap();
        assert_ne!(map.put(b"key", b"v").unwrap().uid, uid, "{birth}");
    }
}
