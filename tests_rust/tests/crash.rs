//! Death at every step: a child is killed at its n-th store into shared memory, for every n, and
//! whoever repairs after it is killed at its m-th.
//!
//! An `Experiment` is a map in a known state and one operation on it. Operations whose inner
//! workings depend on what went before (splits, compaction, sweeps) are found by doing: seeded
//! operations run until the counters say that one did what is looked for, and the file is put back
//! to just before it.
#![cfg(feature = "crash-points")]

use shf_base::crash;
use shf_base::open::{self, Access, Opened};
use shf_engine::hash::Hash;
use shf_engine::place::{Field, Place, unpair};
use shf_engine::{Map, OpError};
use shf_tests::board::Board;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use shf_tests::{Random, assert_sound};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

const KEY: &[u8] = b"the key";
/// Steps of an operation that are tried; of longer ones every k-th is, from a random one on.
const DEATHS: u64 = 500;
/// Repairs that are killed at random m, for every n, roughly;
const REPAIRS_DRAWN: u64 = 60;
/// and at every m, for every k-th n and for the n with the longest repair.
const REPAIRS_IN_A_ROW: u64 = 150;
/// Operations after which a search gives up.
const SEARCH: u64 = 20_000;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// One call.
#[derive(Clone, Debug)]
enum Operation {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Add(Vec<u8>, i64),
    Clear,
}

impl Operation {
    fn put(len: usize) -> Operation {
        Operation::Put(KEY.to_vec(), vec![len as u8; len])
    }

    fn run(&self, map: &Map) -> Result<(), OpError> {
        match self {
            Operation::Put(key, value) => map.put(key, value).map(drop),
            Operation::Delete(key) => map.delete(key).map(drop),
            Operation::Add(key, delta) => map.add(key, *delta).map(drop),
            Operation::Clear => map.clear().map(drop),
        }
    }
}

/// What the header of the only shard counts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counters {
    splits: u64,
    moved: u64,
    free_pages: u64,
    index_pages: u32,
    swept_to: u64,
    reused: u64,
}

/// A map in a known state, and what an operation makes of it.
struct Experiment {
    file: MapFile,
    map: Map,
    image: Image,
    operation: Operation,
    before: Contents,
    after: Contents,
}

impl Experiment {
    /// A fresh map of one shard, brought into the state before the operation by `prepare`.
    fn new(what: &str, prepare: impl FnOnce(&Map), operation: Operation) -> Experiment {
        Experiment::search(what, 4 << 20, prepare, |_, _| operation.clone(), |_, _| true)
    }

    /// As `new`; the operation is the first of `next` that works and makes a `hit` of the counters
    /// before and after it.
    fn search(
        what: &str,
        max_bytes: u64,
        prepare: impl FnOnce(&Map),
        mut next: impl FnMut(&Opened, u64) -> Operation,
        hit: impl Fn(&Counters, &Counters) -> bool,
    ) -> Experiment {
        crash::check_mutations();
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_with(1, max_bytes);
        let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        prepare(&map);
        for step in 0..SEARCH {
            let operation = next(&peek, step);
            let (image, counters) = (Image::of(file.folder(), file.name()), counters(&peek));
            let before = contents(&map);
            let done = operation.run(&map);
            if done.is_ok() && hit(&counters, &self::counters(&peek)) {
                assert_sound(&map);
                let after = contents(&map);
                return Experiment { file, map, image, operation, before, after };
            }
        }
        panic!("{what}: not found in {SEARCH} operations");
    }

    /// Steps that `work` takes in a child that nobody kills, not counting its way to a slot.
    fn steps(&self, image: &Image, work: impl FnOnce(&Map) -> bool, slot: bool) -> u64 {
        image.restore();
        let board = Board::new();
        let end = process::run(|| {
            if slot {
                repair(&self.map);
            }
            crash::arm(0);
            let done = work(&self.map);
            board.set(0, crash::taken());
            done
        });
        assert_eq!(end, End::Exited(0), "{}", self.file.name());
        board.get(0)
    }

    /// Lets a child die at step `n` of the operation.
    fn kill_at(&self, n: u64) {
        self.image.restore();
        let end = process::run(|| {
            // The child's slot is taken outside of the count.
            let _ = repair(&self.map);
            crash::arm(n);
            self.operation.run(&self.map).is_ok()
        });
        assert_eq!(end, End::Killed(libc::SIGKILL), "{}: step {n}", self.file.name());
    }

    /// Checks the map after a death; `step` is for messages.
    fn judge(&self, step: &dyn Fn() -> String) {
        let fail = |what: &str| panic!("{}, {}: {what}", self.file.name(), step());
        let seen = contents(&self.map);
        self.judge_contents(&seen, &fail);
        assert_sound(&self.map);
        let settled = contents(&self.map);
        self.judge_contents(&settled, &fail);
        for (key, _) in self.before.iter().chain(&self.after) {
            let after = self.after.get(key);
            if seen.get(key) == after && settled.get(key) != after {
                fail(&format!("{key:?}: taken back after a reader saw it"));
            }
        }
        let real_bytes = std::fs::metadata(self.image.path()).unwrap().blocks() * 512;
        let committed_bytes = self.map.stats().committed_bytes;
        if real_bytes > committed_bytes {
            fail(&format!("{real_bytes} bytes real, {committed_bytes} known"));
        }
        // The map goes on: the same again, and something new.
        for operation in [&self.operation, &Operation::Put(b"one more".to_vec(), vec![1])] {
            match operation.run(&self.map) {
                Ok(_) | Err(OpError::NoSpace { .. }) => assert_sound(&self.map),
                Err(error) => fail(&format!("then {operation:?}: {error:?}")),
            }
        }
    }

    /// Each key is as before or as after the operation, for a get and for a walk.
    fn judge_contents(&self, seen: &Contents, fail: &dyn Fn(&str)) {
        let mut value = Vec::new();
        for key in self.before.keys().chain(self.after.keys()) {
            let found = seen.get(key);
            if found != self.before.get(key) && found != self.after.get(key) {
                fail(&format!("{key:?}: torn or lost: {found:?}"));
            }
            let there = self.map.get(key, &mut value).unwrap();
            if there.then_some(&value) != found {
                fail(&format!("{key:?}: a get says {value:?} ({there}), a walk {found:?}"));
            }
        }
        for key in seen.keys() {
            if !self.before.contains_key(key) && !self.after.contains_key(key) {
                fail(&format!("{key:?}: nobody put it"));
            }
        }
    }

    /// Dies at every n of at least `least`, and in the repairs of these deaths.
    fn run(self, least: u64) {
        let _watchdog = Watchdog::new("deaths at every step");
        let mut random = Random::from_env(3);
        let work = |map: &Map| self.operation.run(map).is_ok();
        let steps = self.steps(&self.image, work, true);
        assert!(steps >= least, "{}: only {steps} steps", self.file.name());
        let stride = steps.div_ceil(DEATHS);
        let deaths: Vec<u64> =
            (1 + random.below(stride)..=steps).step_by(stride as usize).collect();
        for &n in &deaths {
            self.kill_at(n);
            self.judge(&|| format!("step {n}"));
        }
        let draws = REPAIRS_DRAWN.div_ceil(deaths.len() as u64);
        let mut longest = (0, 0);
        for &n in &deaths {
            let draw = |long| (0..draws).map(|_| 1 + random.below(long)).collect();
            longest = longest.max((self.kill_repairs(n, draw), n));
        }
        let stride = (steps * longest.0).div_ceil(REPAIRS_IN_A_ROW);
        let others = (1 + random.below(stride)..=steps).step_by(stride as usize);
        let mut all = 0;
        for n in others.chain([longest.1]) {
            all += self.kill_repairs(n, |long| (1..=long).collect());
        }
        let (name, drawn, deaths) = (self.file.name(), draws * deaths.len() as u64, deaths.len());
        println!("{name}: {steps} steps, {deaths} deaths; repairs: {all} in a row, {drawn} drawn");
    }

    /// Dies at step `n`, and from there in the repair, at those of its steps that are chosen;
    /// returns how many it has.
    fn kill_repairs(&self, n: u64, choose: impl FnOnce(u64) -> Vec<u64>) -> u64 {
        self.kill_at(n);
        let dead = Image::of(self.file.folder(), self.file.name());
        let long = self.steps(&dead, repair, false);
        for m in choose(long) {
            dead.restore();
            let end = process::run(|| {
                crash::arm(m);
                repair(&self.map)
            });
            assert_eq!(end, End::Killed(libc::SIGKILL), "{}: {n}, repair {m}", self.file.name());
            self.judge(&|| format!("step {n}, repair step {m} of {long}"));
        }
        long
    }
}

/// What makes the next locker repair, and changes nothing else.
fn repair(map: &Map) -> bool {
    map.delete(b"not there").is_ok()
}

/// All keys and values, by a walk.
fn contents(map: &Map) -> Contents {
    let mut all = Contents::new();
    map.for_each(&mut |key, value| {
        let twice = all.insert(key.to_vec(), value.to_vec());
        assert!(twice.is_none_or(|twice| twice == value), "{key:?} has two values");
        true
    })
    .unwrap();
    all
}

fn counters(peek: &Opened) -> Counters {
    let (region, header) = (peek.storage.region(), &peek.header);
    let place = Place::new(region, &header.geometry, header.secret, 0);
    Counters {
        splits: place.load(Field::Splits),
        moved: place.load(Field::Moved),
        free_pages: place.load(Field::FreePages),
        index_pages: unpair(place.load(Field::Tops)).1,
        swept_to: place.load(Field::Sweep),
        reused: place.load(Field::Reused),
    }
}

/// Keys that every experiment has beside `KEY`.
fn fill(map: &Map) {
    for key in 0..100u64 {
        map.put(&key.to_le_bytes(), &[key as u8; 20]).unwrap();
    }
}

/// As `fill`, and `KEY` with `len` bytes.
fn fill_with_key(len: usize) -> impl FnOnce(&Map) {
    move |map| {
        fill(map);
        map.put(KEY, &vec![1; len]).unwrap();
    }
}

/// A put of one of `keys` keys, with a value of a size that keeps changing.
fn churn(random: &mut Random, keys: u64, len_max: u64) -> Operation {
    let (key, len) = (random.below(keys), random.below(len_max));
    Operation::Put(key.to_le_bytes().to_vec(), random.bytes(len as usize))
}

#[test]
fn a_put_of_a_new_key_survives_death_at_every_step() {
    // Goal: P2 for an insert, into an empty map (first table, first growth) and a filled one.
    Experiment::new("first", |_| {}, Operation::put(30)).run(1000);
    Experiment::new("new", fill, Operation::put(30)).run(25);
}

#[test]
fn a_replace_survives_death_at_every_step() {
    // Goal: P2 for a replace by the same size, another size, and a large value and back.
    Experiment::new("same", fill_with_key(30), Operation::put(30)).run(30);
    Experiment::new("smaller", fill_with_key(90), Operation::put(30)).run(30);
    Experiment::new("from-large", fill_with_key(30_000), Operation::put(30)).run(30);
    Experiment::new("to-large", fill_with_key(30), Operation::put(20_000)).run(30);
}

#[test]
fn a_delete_survives_death_at_every_step() {
    // Goal: P2 for a delete of a small and of a large value.
    let delete = || Operation::Delete(KEY.to_vec());
    Experiment::new("delete", fill_with_key(30), delete()).run(20);
    Experiment::new("delete-large", fill_with_key(30_000), delete()).run(20);
}

#[test]
fn a_clear_survives_death_at_every_step() {
    // Goal: P2 for a clear, which deletes key by key: each is there, whole, or gone for good.
    let prepare = |map: &Map| {
        fill_with_key(30_000)(map);
        for key in 15..100u64 {
            map.delete(&key.to_le_bytes()).unwrap();
        }
    };
    Experiment::new("clear", prepare, Operation::Clear).run(300);
}

#[test]
fn an_add_survives_death_at_every_step() {
    // Goal: P2 for an add, to a key that is there and to one that is not.
    let add = || Operation::Add(KEY.to_vec(), 5);
    Experiment::new("add-new", fill, add()).run(20);
    let prepare = |map: &Map| {
        fill(map);
        map.add(KEY, 1 << 40).unwrap();
    };
    Experiment::new("add", prepare, add()).run(2);
}

#[test]
fn a_split_survives_death_at_every_step() {
    // Goal: P2 for a split, and for its repair. Method: the first put that splits the only table.
    let put = |_: &Opened, step: u64| Operation::Put(step.to_le_bytes().to_vec(), vec![7; 20]);
    let hit = |before: &Counters, after: &Counters| after.splits > before.splits;
    Experiment::search("split", 4 << 20, |_| {}, put, hit).run(400);
}

#[test]
fn a_second_page_of_the_directory_survives_death_at_every_step() {
    // Goal: P2 for a put that makes the directory grow by a page. Method: keys that agree in bucket
    // and ten directory bits split one table again and again, until a split takes two pages.
    let mut keys = (0u64..).map(u64::to_le_bytes);
    let put = |peek: &Opened, _: u64| {
        let alike = |key: &[u8; 8]| {
            let hash = Hash::of(key, peek.header.secret);
            hash.bucket() == 0 && hash.directory() & 1023 == 0
        };
        Operation::Put(keys.find(alike).unwrap().to_vec(), vec![7; 20])
    };
    let hit = |before: &Counters, after: &Counters| {
        let pages = u64::from(after.index_pages - before.index_pages);
        before.splits > 0 && pages > after.splits - before.splits
    };
    // Clearing the page of the directory is 1024 stores. A split stores the 64 heads of a table, two
    // words each, three times: emptied, filled, and those of the old table lowered.
    Experiment::search("directory", 4 << 20, |_| {}, put, hit).run(1024 + 3 * 64 * 2);
}

#[test]
fn compaction_survives_death_at_every_step() {
    // Goal: P2 for a put that moves records and frees the run they leave. Method: seeded churn with
    // changing sizes until a put does both.
    let mut random = Random::from_env(4);
    let put = |_: &Opened, _: u64| churn(&mut random, 600, 300);
    let hit = |before: &Counters, after: &Counters| {
        after.moved > before.moved && after.free_pages > before.free_pages
    };
    Experiment::search("compaction", 4 << 20, |_| {}, put, hit).run(60);
}

#[test]
fn a_block_cut_from_a_larger_one_survives_death_at_every_step() {
    // Goal: P2 for a put that splits a retired block of a larger class in two. Method: much is
    // dead, all of one size; only the class of `KEY` has no block.
    let prepare = |map: &Map| {
        for key in 0..400u64 {
            map.put(&key.to_le_bytes(), &[1; 200]).unwrap();
        }
        for key in 0..100u64 {
            map.delete(&(4 * key).to_le_bytes()).unwrap();
        }
    };
    Experiment::new("cut", prepare, Operation::put(100)).run(30);
}

#[test]
fn a_sweep_survives_death_at_every_step() {
    // Goal: P2 for a put into a full map that finds its block by a sweep. Method: seeded churn
    // until the place where sweeps begin moves.
    let mut random = Random::from_env(5);
    let mut next = |_: &Opened, _: u64| match random.below(3) {
        0 => Operation::Delete(random.below(2000).to_le_bytes().to_vec()),
        _ => churn(&mut random, 2000, 120),
    };
    let hit = |before: &Counters, after: &Counters| after.swept_to != before.swept_to;
    Experiment::search("sweep", 160 << 10, |_| {}, &mut next, hit).run(30);
}

#[test]
fn a_large_run_used_again_survives_death_at_every_step() {
    // Goal: P2 for a large value in the front of a run that an earlier one left.
    let mut next = |_: &Opened, step: u64| match step {
        0 => Operation::put(60_000),
        1 => Operation::Delete(KEY.to_vec()),
        _ => Operation::put(20_000),
    };
    let hit = |before: &Counters, after: &Counters| after.reused > before.reused;
    Experiment::search("again", 4 << 20, fill, &mut next, hit).run(30);
}

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
