//! Deaths of who attaches to a map: taking a slot, freeing what its dead owner left locked,
//! resetting all locks after another boot.

use crate::deaths::{self, Scene};
use crate::experiment::Experiment;
use crate::lists::contents;
use crate::operation::{Operation, fill, fill_with_key};
use crate::{Contents, KEY};
use shf_base::crash;
use shf_base::format::{IDENTITY_OFFSET, Identity, LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::geometry::{Geometry, SLOTS, SLOTS_NEAR};
use shf_base::open::{self, Access, Opened};
use shf_engine::Map;
use shf_engine::hash::Hash;
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::Relaxed;

const SHARDS: u32 = 4;
/// Steps of a put, one for each shard: before, in and after its commit.
const DEATHS: [u64; SHARDS as usize] = [10, 22, 28, 32];
/// A lock word, and an identity, from another boot. (The word names no slot: whoever has a slot may
/// have locked something by now.)
const STALE_LOCK: u32 = SLOTS + 7;
const STALE_IDENTITY: Identity = Identity([1, 2, 3, 4]);
const VALUE: [u8; 20] = [1; 20];

/// Why there is more to do than taking a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// The slot's last owner died with all locks.
    Locks,
    /// The file was another one, or the machine booted, since somebody was attached.
    Identity,
    /// The same, and the map is a durable one, which is recovered.
    Crash,
}

/// A map that nobody has open, with each shard locked by somebody who died in a put.
struct Attaching {
    file: MapFile,
    image: Image,
    geometry: Geometry,
    left: Left,
    before: Contents,
    /// Keys that the dead were putting; they may be there or not.
    doubtful: Vec<Vec<u8>>,
}

impl Attaching {
    fn new(what: &str, left: Left) -> Attaching {
        let file = MapFile::new(&format!("crash-{what}"));
        // A recovery has many steps for each shard.
        let shards = if left == Left::Crash { 1 } else { SHARDS };
        let map = match left {
            Left::Crash => file.create_durable(shards, 1 << 20),
            _ => file.create_with(shards, 1 << 20),
        };
        fill(&map);
        if left == Left::Crash {
            map.sync().unwrap();
        }
        let (geometry, before) = (*map.geometry(), contents(&map));
        let mut doubtful = vec![KEY.to_vec()];
        for (shard, step) in DEATHS.into_iter().enumerate().take(shards as usize) {
            let home =
                |key: &[u8; 8]| Hash::of(key, shf_tests::secret()).shard(shards) == shard as u32;
            let key = (1u64 << 40..).map(u64::to_le_bytes).find(home).unwrap();
            let end = process::run(|| {
                // Its slot, and no lock.
                let map = file.open();
                crash::arm(step);
                map.put(&key, &VALUE).is_ok()
            });
            assert_eq!(end, End::Killed(libc::SIGKILL), "{step}");
            doubtful.push(key.to_vec());
        }
        drop(map);
        let image = Image::of(file.folder(), file.name());
        Attaching { file, image, geometry, left, before, doubtful }
    }

    fn store_lock(&self, shard: u32, word: u32) {
        let offset = self.geometry.shard_header(shard) + LOCK_OFFSET;
        self.image.file().write_all_at(&word.to_le_bytes(), offset).unwrap();
    }

    /// Lock words and suspicions of all shards.
    fn locks(&self, peek: &Opened) -> Vec<(u32, u32)> {
        let half = |offset| peek.storage.region().half(offset).unwrap().load(Relaxed);
        let header = |shard| self.geometry.shard_header(shard);
        let both = |at| (half(at + LOCK_OFFSET), half(at + SUSPECT_OFFSET));
        (0..self.geometry.shards()).map(|shard| both(header(shard))).collect()
    }

    /// What was synced is there again, and all is open, whoever came how far in recovering it.
    fn judge_recovery(&self, step: &str) {
        let map = self.file.open();
        assert_sound(&map);
        self.judge_contents(&map, step);
        self.go_on(&map, step);
        map.sync().unwrap();
        assert_sound(&map);
    }

    fn go_on(&self, map: &Map, step: &str) {
        map.put(KEY, &[4; 40]).unwrap();
        assert_sound(map);
        let free = |lock: &(u32, u32)| *lock == (0, 0);
        assert!(self.locks(&peek(&self.file)).iter().all(free), "{step}");
    }

    /// The map holds what it held before, and perhaps what somebody was putting.
    fn judge_contents(&self, map: &Map, step: &str) -> Contents {
        let found = contents(map);
        for (key, value) in &self.before {
            assert_eq!(found.get(key), Some(value), "{step}: {key:?} is lost");
        }
        for (key, value) in found.iter().filter(|(key, _)| !self.before.contains_key(*key)) {
            let right = self.doubtful.contains(key) && value == &VALUE;
            assert!(right, "{step}: {key:?} is {value:?}");
        }
        found
    }
}

impl Scene for Attaching {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn restore(&self) {
        self.image.restore();
        if self.left != Left::Locks {
            for (at, word) in STALE_IDENTITY.0.into_iter().enumerate() {
                let offset = IDENTITY_OFFSET + 8 * at as u64;
                self.image.file().write_all_at(&word.to_le_bytes(), offset).unwrap();
            }
            let shards = 0..self.geometry.shards();
            shards.for_each(|shard| self.store_lock(shard, STALE_LOCK));
        }
    }

    /// Has those who died hold the locks as owner of the slot that this process will take.
    fn ready(&self) {
        if self.left == Left::Locks {
            let peek = peek(&self.file);
            for (shard, (lock, _)) in self.locks(&peek).into_iter().enumerate() {
                if lock != 0 {
                    self.store_lock(shard as u32, std::process::id() % SLOTS_NEAR + 1);
                }
            }
        }
    }

    fn ready_to_recover(&self) {
        self.ready();
    }

    fn operate(&self) -> bool {
        self.file.open().put(KEY, &VALUE).is_ok()
    }

    fn recover(&self) -> bool {
        self.operate()
    }

    fn keep(&self) -> Box<dyn Fn() + '_> {
        self.file.keep()
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.file.name());
        if self.left == Left::Crash {
            return self.judge_recovery(step);
        }
        let reader = self.file.open_read_only();
        let seen = self.judge_contents(&reader, step);
        let peek = peek(&self.file);
        let stale = || Identity::load(peek.storage.region()) == STALE_IDENTITY;
        let was_stale = stale();
        let map = self.file.open();
        assert!(!stale(), "{step}: the identity is not settled");
        for (shard, lock) in self.locks(&peek).into_iter().enumerate() {
            assert!(lock.0 != STALE_LOCK, "{step}: shard {shard} has a lock of another boot");
            assert!(!was_stale || lock == (0, 1), "{step}: shard {shard} was not reset");
        }
        assert_sound(&map);
        let settled = self.judge_contents(&map, step);
        assert!(seen.keys().all(|key| settled.contains_key(key)), "{step}: taken back");
        self.go_on(&map, step);
    }
}

fn peek(file: &MapFile) -> Opened {
    open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap()
}

#[test]
fn taking_a_slot_survives_death_at_every_step() {
    // Goal: P2 for who attaches, takes the slot of somebody who died with all locks, and frees
    // them.
    deaths::run(&Attaching::new("attach", Left::Locks), 30);
}

#[test]
fn a_reset_of_all_locks_survives_death_at_every_step() {
    // Goal: what was locked at another boot, or in the file that this is a copy of, is freed and
    // repaired, whoever does it. Method: another identity, and other locks.
    deaths::run(&Attaching::new("reset", Left::Identity), 30);
}

#[test]
fn recovery_after_a_crash_of_the_machine_survives_death_at_every_step() {
    // Goal: whoever dies in recovering a durable map, the next one that opens it does it again and
    // comes to the same end. Method: as for a reset, with records that are sealed.
    deaths::run(&Attaching::new("recovery", Left::Crash), 300);
}

#[test]
fn a_forked_childs_taking_of_a_slot_survives_death_at_every_step() {
    // Goal: as above for a child's first write with an inherited handle.
    Experiment::new("fork", fill, Operation::put(30)).counting_slot().run(26);
    let replace = Experiment::new("fork-replace", fill_with_key(50), Operation::put(30));
    replace.counting_slot().run(31);
}
