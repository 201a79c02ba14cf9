//! Keys whose hashes collide, as one could choose them who knows a map's secret.
#![cfg(not(any(miri, loom)))]

use shf_base::open::{Access, HEAP_SECRET, open};
use shf_engine::group::SLOTS;
use shf_engine::hash::{DIRECTORY_BITS, Hash};
use shf_engine::locate::{self, Located};
use shf_engine::place::{Field, Place};
use shf_engine::table::REACH;
use shf_engine::{Map, OpError, Uid};
use shf_tests::map_file::MapFile;
use shf_tests::{assert_sound, secret};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// Keys that a bucket and the next ones within reach hold.
const NEIGHBOURHOOD: u64 = (REACH * SLOTS) as u64;
const COLLISION: OpError = OpError::HashCollisions { shard: 0 };

/// The key of 8 bytes that has a hash: what XXH3 does with so few bytes can be undone.
fn key_of(hash: u64, secret: u64) -> [u8; 8] {
    let flipped = unmixed(Hash::of(&[0; 8], secret).0);
    let key = (unmixed(hash) ^ flipped).rotate_left(32).to_le_bytes();
    assert_eq!(Hash::of(&key, secret).0, hash, "the hash is another one by now");
    key
}

/// Undoes XXH3's last steps for 8 bytes: each multiplies by an odd number or mixes in higher bits.
fn unmixed(hash: u64) -> u64 {
    const PRIME: u64 = 0x9fb2_1c65_1e98_df25;
    let newton =
        |inverse: u64| inverse.wrapping_mul(2u64.wrapping_sub(PRIME.wrapping_mul(inverse)));
    let inverse = (0..5).fold(PRIME, |inverse, _| newton(inverse));
    let mixed = (hash ^ hash >> 28 ^ hash >> 56).wrapping_mul(inverse);
    let mixed = (mixed ^ ((mixed >> 35) + 8)).wrapping_mul(inverse);
    // Of this step the 64th power is nothing.
    (0..63).fold(mixed, |mixed, _| mixed ^ mixed.rotate_left(49) ^ mixed.rotate_left(24))
}

/// Key number `number` of those in one home bucket with these directory bits.
fn key(number: u64, directory: u64, secret: u64) -> [u8; 8] {
    let (bucket, tag) = (17, 1 + number % 100);
    key_of(number << 32 | directory << 13 | bucket << 7 | tag, secret)
}

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

#[test]
fn keys_that_share_all_bits_of_their_hash_are_refused_beyond_what_their_buckets_hold() {
    // Goal: collisions end in an error however often one tries, not in endless splits, and cost no
    // other key. Method: as many colliding keys as three buckets hold, and one more, put in vain
    // until the directory is as deep as it gets.
    let map = Map::heap(1, 16 << 20, u64::MAX);
    let colliding = |number| key(number, 0x2_aaaa, HEAP_SECRET);
    for number in 0..NEIGHBOURHOOD {
        map.put(&colliding(number), &[number as u8]).unwrap();
    }
    let last = colliding(NEIGHBOURHOOD);
    for _ in 0..DIRECTORY_BITS {
        assert_eq!(map.put(&last, b"last"), Err(COLLISION));
    }
    assert_eq!(map.stats().splits, u64::from(DIRECTORY_BITS));
    assert_sound(&map);
    assert_eq!(get(&map, &last), None);
    for number in 0..NEIGHBOURHOOD {
        assert_eq!(get(&map, &colliding(number)), Some(vec![number as u8]));
    }
    map.put(b"any other", b"value").unwrap();
    map.delete(&colliding(5)).unwrap();
    map.put(&last, b"last").unwrap();
    assert_eq!(get(&map, &last), Some(b"last".to_vec()));
    assert_sound(&map);
}

#[test]
fn keys_are_found_in_a_directory_of_several_pages() {
    // Goal: quick lookups take the longer and the shorter entry each from its page. Method: keys
    // of one bucket that agree in ten directory bits divide tables until bits of other pages of
    // entries tell them apart; then keys with all these bits in other buckets, where lookups are
    // quick, and with tags that the same bucket of another table has not.
    let map = Map::heap(1, 16 << 20, u64::MAX);
    let directory = |number: u64| 0x155 | ((number % 8) << 10);
    for number in 0..200 {
        let key = key(number, directory(number), HEAP_SECRET);
        // Each put splits tables twice at most.
        let put = (0..DIRECTORY_BITS).find_map(|_| match map.put(&key, b"") {
            Ok(placed) => Some(placed),
            Err(error) => {
                assert_eq!(error, COLLISION);
                None
            }
        });
        assert!(put.is_some_and(|placed| !placed.replaced), "{number}");
    }
    assert!(map.stats().splits > 11, "{}", map.stats().splits);
    let alone = |number: u64| {
        let (bucket, tag) = (20 + number / 8 % 40, 1 + number % 8);
        key_of(number << 32 | directory(number) << 13 | bucket << 7 | tag, HEAP_SECRET)
    };
    let mut value = [0; 8];
    for key in (200..500).map(alone) {
        assert_eq!(map.get_into(&key, &mut value), Ok(None));
        let uid = map.put(&key, &key).unwrap().uid;
        assert_eq!(map.get_into(&key, &mut value), Ok(Some(8)));
        assert_eq!(value, key);
        value = [0; 8];
        assert_eq!(map.get_uid_into(uid, &mut value), Ok(Some(8)));
        assert_eq!(value, key);
    }
    assert_sound(&map);
}

#[test]
fn a_uid_whose_births_came_around_names_no_other_key_in_its_slot() {
    // Goal: from then on the hash counts as well. Method: a stranger sets the count of births, so
    // that a key with the same tag and bucket is born with the generation of one that is gone.
    let file = MapFile::new("collisions-around");
    let (map, secret) = (file.create(1), secret());
    let [gone, last, other] = [1, 2, 101].map(|number| key(number, number, secret));
    let uid = map.put(&gone, b"gone").unwrap().uid;
    assert_eq!(map.delete(&gone), Ok(true));
    let generation = |uid: Uid| uid.bits() >> 32;
    let raw = OpenOptions::new().write(true).open(file.path()).unwrap();
    let births = map.geometry().shard_header(0) + Field::Keys as u64 + 4;
    let set = |number: u32| raw.write_all_at(&number.to_le_bytes(), births).unwrap();
    set((1 << 20) - 1);
    map.put(&last, b"last").unwrap();
    set((1 << 20) + generation(uid) as u32);
    let placed = map.put(&other, b"other").unwrap();
    assert_eq!(generation(placed.uid), generation(uid));
    assert_eq!(placed.uid.bits() & 0x1fff, uid.bits() & 0x1fff, "tag and bucket");
    let mut value = [0; 8];
    assert_eq!(map.get_uid_into(uid, &mut value), Ok(None));
    assert_eq!(map.contains_uid(uid), Ok(false));
    assert_eq!(map.put_uid(uid, b"new").unwrap(), None);
    assert_eq!(map.delete_uid(uid), Ok(false));
    assert_eq!(map.get_uid_into(placed.uid, &mut value), Ok(Some(5)));
    assert_eq!(get(&map, &other), Some(b"other".to_vec()));
    assert_sound(&map);
}

#[test]
fn a_repair_keeps_keys_that_nearly_collide() {
    // Goal: a repair loses nothing that was in the map, though a put gives up after two splits.
    // Method: keys that agree in many bits, and one that needs more splits, put until it is in.
    let file = MapFile::new("collisions-near");
    let (map, secret) = (file.create(1), secret());
    for number in 0..NEIGHBOURHOOD {
        map.put(&key(number, 0, secret), &[number as u8]).unwrap();
    }
    let other = key(NEIGHBOURHOOD, 1 << 6, secret);
    let tries = (0..).find(|_| map.put(&other, b"other").is_ok()).unwrap();
    assert!(tries > 0, "more than two splits");
    assert_sound(&map);
    let raw = OpenOptions::new().write(true).open(file.path()).unwrap();
    let tables = map.geometry().shard_header(0) + Field::Tables as u64;
    raw.write_all_at(&[0; 8], tables).unwrap();
    let repaired = map.repair().unwrap();
    assert_eq!((repaired.shards, repaired.lost), (1, Vec::new()));
    assert_sound(&map);
    assert_eq!(get(&map, &other), Some(b"other".to_vec()));
    assert_eq!(map.size(), NEIGHBOURHOOD + 1);
}

/// Writes `forged` over a key of the same length, in its record.
fn forge(file: &MapFile, key: &[u8; 8], forged: &[u8; 8]) {
    let peek = open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
    let place = Place::new(&peek.storage, &peek.header, 0);
    let found = locate::key(place, Hash::of(key, secret()), key).unwrap();
    let Located::Found(_, word, _) = found else { panic!("it was put") };
    let at = place.unit_offset(place.slot_format().reference(word));
    let raw = OpenOptions::new().read(true).write(true).open(file.path()).unwrap();
    let mut bytes = [0; 32];
    raw.read_exact_at(&mut bytes, at).unwrap();
    let inside = bytes.windows(8).position(|part| part == key).unwrap();
    raw.write_all_at(forged, at + inside as u64).unwrap();
}

#[test]
fn a_repair_loses_one_key_of_too_many_that_collide_and_says_so() {
    // Goal: a record that can have no slot does not keep the shard from being repaired, not even
    // where there is no room for the splits that show it. Method: a stranger makes one key of a map
    // that of one colliding key too many; the second map has no pages but those that it has taken.
    for full in [false, true] {
        let file = MapFile::new("collisions-forged");
        let (map, secret) = (file.create_with(1, 1 << 20), secret());
        let colliding = |number| key(number, 0x1_5555, secret);
        for number in 0..NEIGHBOURHOOD {
            map.put(&colliding(number), &[number as u8]).unwrap();
        }
        let innocent = 42u64.to_le_bytes();
        map.put(&innocent, b"value").unwrap();
        let filler = |number: u64| [&number.to_le_bytes()[..], b"filler"].concat();
        let fillers = (0..).find(|&number| !full || map.put(&filler(number), b"").is_err());
        (0..fillers.unwrap()).for_each(|number| assert_eq!(map.delete(&filler(number)), Ok(true)));
        forge(&file, &innocent, &colliding(NEIGHBOURHOOD));
        let repaired = map.repair().unwrap();
        assert_eq!((repaired.shards, repaired.keys), (1, NEIGHBOURHOOD));
        assert_eq!(repaired.lost.len(), 1, "{:?}", repaired.lost);
        assert!(repaired.lost[0].what.contains("same hash"), "{:?}", repaired.lost);
        assert_sound(&map);
        assert_eq!(map.contains(&innocent), Ok(false));
        assert_eq!(get(&map, &colliding(5)), Some(vec![5]));
    }
}
