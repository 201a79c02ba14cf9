//! Deaths at random steps in a full map: what is dead is found again, often.

use crate::KEY;
use crate::lists::contents;
use shf_base::crash;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};

#[test]
fn no_block_of_a_full_map_is_lost_to_a_death() {
    // Goal: P2, no byte leaked once the shard is repaired. Method: in a map without a free byte
    // many children die in the middle of a delete or a replace; then as many keys fit as at first.
    const KILLS: u64 = 400;
    const VALUE: [u8; 100] = [9; 100];
    let file = MapFile::new("crash-full");
    let map = file.create_with(1, 1 << 20);
    let refill = || {
        let mut more = map.size()..;
        while map.put(&more.next().unwrap().to_le_bytes(), &VALUE).is_ok() {}
        map.size()
    };
    let (keys, mut random, mut killed) = (refill(), Random::from_env(5), 0);
    for _ in 0..KILLS {
        let (key, n) = (random.below(keys).to_le_bytes(), 1 + random.below(60));
        // Something to replace it with.
        map.delete(&random.below(keys).to_le_bytes()).unwrap();
        let end = process::run(|| {
            let _ = map.delete(b"not there");
            crash::arm(n);
            if n % 2 == 0 { map.delete(&key).is_ok() } else { map.put(&key, &VALUE).is_ok() }
        });
        killed += u64::from(end == End::Killed(libc::SIGKILL));
    }
    assert_sound(&map);
    for key in 0..keys {
        // (A replace would need a block beside the old one.)
        let there = map.contains(&key.to_le_bytes()).unwrap();
        assert!(there || map.put(&key.to_le_bytes(), &VALUE).is_ok(), "key {key} of {keys}");
    }
    println!("{killed} killed, {} repairs, {keys} keys", map.stats().repairs);
    assert!(killed > KILLS / 4, "{killed}");
    assert_sound(&map);
}

#[test]
fn a_put_that_makes_room_survives_death_at_many_steps() {
    // Goal: P2 while records move down in a full map. Method: children die at random steps of puts
    // of a size that no deleted record left; every other key keeps its value, the checker agrees,
    // and at the end all that was deleted can be put again.
    let file = MapFile::new("crash-squeeze");
    let map = file.create_with(1, 768 << 10);
    let (mut keys, mut random, mut killed) = (0u64, Random::from_env(6), 0);
    while map.put(&keys.to_le_bytes(), &vec![keys as u8; 20 + keys as usize % 90]).is_ok() {
        keys += 1;
    }
    for key in (0..keys).filter(|_| random.below(2) == 0) {
        map.delete(&key.to_le_bytes()).unwrap();
    }
    let others = contents(&map);
    for _ in 0..150 {
        let longest = 1 << (4 + random.below(8));
        let n = 1 + random.below(longest);
        let len = [300, 3000, 12_000, 20_000][random.below(4) as usize];
        let end = process::run(|| {
            let _ = map.delete(b"not there");
            crash::arm(n);
            map.put(KEY, &vec![7; len]).is_ok()
        });
        killed += u64::from(end == End::Killed(libc::SIGKILL));
        assert_sound(&map);
        map.delete(KEY).unwrap();
        assert!(contents(&map) == others, "another key changed, step {n} of {len} bytes");
        // The room that was made is used up again, by other sizes.
        for key in 0..20u64 {
            let _ = map.put(&(keys + key).to_le_bytes(), &vec![1; random.below(3000) as usize]);
        }
        for key in 0..20u64 {
            map.delete(&(keys + key).to_le_bytes()).unwrap();
        }
    }
    for key in (0..keys).filter(|key| !others.contains_key(&key.to_le_bytes()[..])) {
        if key % 10 != 0 {
            let len = 20 + key as usize % 90;
            assert!(map.put(&key.to_le_bytes(), &vec![1; len]).is_ok(), "{key} of {keys}");
        }
    }
    println!("{killed} killed, {:?}", map.stats());
    assert!(killed > 50, "{killed}");
    assert_sound(&map);
}
