//! Death at every step: a child is killed at its n-th store into shared memory, for every n.
#![cfg(feature = "crash-points")]

use shf_base::crash;
use shf_engine::{Map, Options};
use shf_tests::image::Image;
use shf_tests::process::{self, End};
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;
use std::path::Path;

const FOLDER: &str = "/dev/shm";
const KEY: &[u8] = b"the key";

/// A map in a known state, and what a mutation of `KEY` makes of it.
struct Experiment {
    name: String,
    map: Map,
    image: Image,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    others: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Mutation = fn(&Map) -> bool;

impl Experiment {
    /// `prepare` brings a fresh map of one shard into the state before the mutation.
    fn new(what: &str, prepare: impl FnOnce(&Map), mutation: Mutation) -> Experiment {
        let name = format!("crash-{what}-{}", std::process::id());
        let _ = Map::remove(Path::new(FOLDER), &name);
        let options = Options { shards: Some(1), max_bytes: Some(4 << 20), ..Options::default() };
        let map = Map::create(Path::new(FOLDER), &name, &options).unwrap();
        prepare(&map);
        let image = Image::of(Path::new(FOLDER), &name);
        let before = value(&map);
        let others = contents(&map);
        assert!(mutation(&map), "the mutation works when nobody dies");
        assert_sound(&map);
        let after = value(&map);
        Experiment { name, map, image, before, after, others }
    }

    /// Lets a child die at step `n` of the mutation. False: the mutation has fewer steps.
    fn kill_at(&self, n: u64, mutation: Mutation) -> bool {
        self.image.restore();
        let end = process::run(|| {
            // The child's slot is taken outside of the count.
            let _ = self.map.delete(b"not there");
            crash::arm(n);
            mutation(&self.map)
        });
        match end {
            End::Exited(0) => false,
            End::Killed(libc::SIGKILL) => true,
            other => panic!("the child ended with {other:?} at step {n}"),
        }
    }

    /// Checks the map after a death; `step` is for messages.
    fn judge(&self, step: &str) {
        let seen = value(&self.map);
        assert!(seen == self.before || seen == self.after, "{step}: torn value {seen:?}");
        assert_sound(&self.map);
        let settled = value(&self.map);
        assert!(settled == self.before || settled == self.after, "{step}: {settled:?}");
        if seen == self.after {
            assert_eq!(settled, self.after, "{step}: taken back after a reader saw it");
        }
        assert_eq!(contents(&self.map), self.others, "{step}: another key changed");
        assert!(self.map.put(b"one more", b"value").is_ok(), "{step}");
        assert_sound(&self.map);
    }

    /// Every n; and for some, every m at which the repair dies too.
    fn run(self, mutation: Mutation) {
        let mut random = Random::from_env(3);
        let mut n = 1;
        while self.kill_at(n, mutation) {
            self.judge(&format!("step {n}"));
            n += 1;
        }
        let steps = n - 1;
        assert!(steps > 5, "{}: only {steps} steps", self.name);
        let mut pairs = 0;
        for n in 1..=steps {
            if steps > 100 && random.below(steps) >= 20 {
                continue;
            }
            for m in (1..=8).chain((0..4).map(|_| 9 + random.below(400))) {
                assert!(self.kill_at(n, mutation));
                let end = process::run(|| {
                    crash::arm(m);
                    self.map.delete(b"not there").is_ok()
                });
                self.judge(&format!("step {n}, repair step {m} ({end:?})"));
                pairs += 1;
            }
        }
        println!("{}: killed at {steps} steps, {pairs} repairs killed too", self.name);
    }
}

impl Drop for Experiment {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.image.path());
    }
}

fn value(map: &Map) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(KEY, &mut value).unwrap().then_some(value)
}

/// All keys but `KEY`.
fn contents(map: &Map) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    map.for_each(&mut |key, value| {
        all.insert(key.to_vec(), value.to_vec());
        true
    })
    .unwrap();
    all.remove(KEY);
    all
}

fn fill(map: &Map, keys: u64) {
    for key in 0..keys {
        map.put(&key.to_le_bytes(), &[key as u8; 20]).unwrap();
    }
}

fn put_small(map: &Map) -> bool {
    map.put(KEY, &[2; 30]).is_ok()
}

fn put_long(map: &Map) -> bool {
    map.put(KEY, &[3; 20_000]).is_ok()
}

fn delete(map: &Map) -> bool {
    map.delete(KEY).is_ok()
}

fn add(map: &Map) -> bool {
    map.add(KEY, 5).is_ok()
}

#[test]
fn a_put_of_a_new_key_survives_death_at_every_step() {
    // Goal: P2 for an insert, into an empty map (first table, first growth) and a filled one.
    Experiment::new("first", |_| {}, put_small).run(put_small);
    Experiment::new("new", |map| fill(map, 100), put_small).run(put_small);
}

#[test]
fn a_replace_survives_death_at_every_step() {
    // Goal: P2 for a replace by the same size, another size, and a large value and back.
    let prepare = |len: usize| {
        move |map: &Map| {
            fill(map, 100);
            map.put(KEY, &vec![1; len]).unwrap();
        }
    };
    Experiment::new("same", prepare(30), put_small).run(put_small);
    Experiment::new("smaller", prepare(90), put_small).run(put_small);
    Experiment::new("from-large", prepare(30_000), put_small).run(put_small);
    Experiment::new("to-large", prepare(30), put_long).run(put_long);
}

#[test]
fn a_delete_survives_death_at_every_step() {
    // Goal: P2 for a delete.
    let prepare = |map: &Map| {
        fill(map, 100);
        put_small(map);
    };
    Experiment::new("delete", prepare, delete).run(delete);
}

#[test]
fn an_add_survives_death_at_every_step() {
    // Goal: P2 for the insert that an add of a new key is.
    Experiment::new("add", |map| fill(map, 100), add).run(add);
}

#[test]
fn a_split_survives_death_at_every_step() {
    // Goal: P2 for a split. Method: the file of a map whose next put splits its table is restored
    // before each death.
    let name = format!("crash-split-{}", std::process::id());
    let _ = Map::remove(Path::new(FOLDER), &name);
    let options = Options { shards: Some(1), max_bytes: Some(4 << 20), ..Options::default() };
    let map = Map::create(Path::new(FOLDER), &name, &options).unwrap();
    let mut image = Image::of(Path::new(FOLDER), &name);
    let mut keys = 0u64;
    while map.stats().splits == 0 {
        image = Image::of(Path::new(FOLDER), &name);
        map.put(&keys.to_le_bytes(), &[keys as u8; 20]).unwrap();
        keys += 1;
    }
    let last = keys - 1;
    let mut value = Vec::new();
    let mut n = 0;
    loop {
        n += 1;
        image.restore();
        let end = process::run(|| {
            let _ = map.delete(b"not there");
            crash::arm(n);
            map.put(&last.to_le_bytes(), &[last as u8; 20]).is_ok()
        });
        let seen = map.get(&last.to_le_bytes(), &mut value).unwrap();
        for key in 0..last {
            assert_eq!(map.get(&key.to_le_bytes(), &mut value), Ok(true), "step {n}, key {key}");
            assert_eq!(value, [key as u8; 20]);
        }
        assert_sound(&map);
        for key in 0..last {
            assert_eq!(map.get(&key.to_le_bytes(), &mut value), Ok(true), "step {n}, key {key}");
        }
        let settled = map.get(&last.to_le_bytes(), &mut value).unwrap();
        assert!(settled || !seen, "step {n}: taken back after a reader saw it");
        map.put(&last.to_le_bytes(), b"again").unwrap();
        assert_sound(&map);
        if end == End::Exited(0) {
            break;
        }
        assert_eq!(end, End::Killed(libc::SIGKILL), "step {n}");
    }
    println!("split: killed at {} steps", n - 1);
    assert!(n > 200, "a split has {n} steps");
    std::fs::remove_file(image.path()).unwrap();
}

#[test]
fn no_block_of_a_full_map_is_lost_to_a_death() {
    // Goal: P2, no byte leaked once the shard is repaired. Method: in a map without a free byte many
    // children die in the middle of a delete or a replace; then as many keys fit as at first.
    const KILLS: u64 = 400;
    const VALUE: [u8; 100] = [9; 100];
    let name = format!("crash-full-{}", std::process::id());
    let _ = Map::remove(Path::new(FOLDER), &name);
    let options = Options { shards: Some(1), max_bytes: Some(1 << 20), ..Options::default() };
    let map = Map::create(Path::new(FOLDER), &name, &options).unwrap();
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
    std::fs::remove_file(Path::new(FOLDER).join(format!("{name}.shf"))).unwrap();
}

#[test]
fn a_put_that_makes_room_survives_death_at_many_steps() {
    // Goal: P2 while records move down in a full map. Method: children die at random steps of puts
    // of a size that no deleted record left; every other key keeps its value, the checker agrees,
    // and at the end all that was deleted can be put again.
    let name = format!("crash-squeeze-{}", std::process::id());
    let _ = Map::remove(Path::new(FOLDER), &name);
    let options = Options { shards: Some(1), max_bytes: Some(768 << 10), ..Options::default() };
    let map = Map::create(Path::new(FOLDER), &name, &options).unwrap();
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
        assert!(contents(&map) == others, "another key changed, step {n} of {len} bytes");
        map.delete(KEY).unwrap();
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
    std::fs::remove_file(Path::new(FOLDER).join(format!("{name}.shf"))).unwrap();
}
