//! Deaths while record memory changes: growth, compaction, and what a full map does for room.

use crate::KEY;
use crate::account::Counters;
use crate::experiment::{Experiment, MAX_BYTES};
use crate::operation::{Operation, churn, fill, fill_with_key};
use shf_base::grace;
use shf_base::open::Opened;
use shf_engine::Map;
use shf_tests::Random;
use shf_tests::mount::over_maps;

fn puts(_: &Opened, step: u64) -> Operation {
    Operation::Put((1000 + step).to_le_bytes().to_vec(), vec![7; 50])
}

#[test]
fn a_growth_step_of_records_survives_death_at_every_step() {
    // Goal: P2 between the file's growth, the ledger and the limit. Method: the first put into a
    // filled map that makes record pages real and splits no table.
    let hit = |before: &Counters, after: &Counters| {
        after.record_limit > before.record_limit && after.splits == before.splits
    };
    Experiment::search("grow-records", MAX_BYTES, fill, puts, hit).run(30);
}

#[test]
fn giving_back_what_was_taken_ahead_survives_death_at_every_step() {
    // Goal: P2 between the limits, the ledger and the file. Method: a put that makes pages real in
    // both areas, and ahead; then they are trimmed.
    let put = Operation::Put(KEY.to_vec(), vec![7; 50]);
    let trimmed = Operation::Trimmed(Box::new(put));
    Experiment::new("trim", |_: &Map| {}, trimmed).run(40);
}

#[test]
fn a_growth_step_that_fails_survives_death_at_every_step() {
    // Goal: what a failed step made real goes back to the file system, whoever does it. Method: a
    // put of a value for which a file system of 2 MiB has too little left, after the first of its
    // pieces were made real.
    over_maps(2 << 20, || {
        let put = Operation::put(1500 << 10);
        Experiment::without_space("grow-fails", 8 << 20, fill_with_key(700 << 10), put).run(20);
    });
}

/// Fills a map with values of many sizes, and deletes all keys but every `kept`th.
fn sparse(kept: usize) -> impl Fn(&Map) {
    move |map| {
        let value = |key: u64| vec![key as u8; 20 + key as usize % 90];
        let put = |key: &u64| map.put(&key.to_le_bytes(), &value(*key)).is_ok();
        let keys: Vec<u64> = (0..).take_while(put).collect();
        for key in keys.iter().filter(|key| **key % kept as u64 != 0) {
            map.delete(&key.to_le_bytes()).unwrap();
        }
    }
}

#[test]
fn a_put_that_finds_no_room_survives_death_at_every_step() {
    // Goal: P2 for an operation that fails, having moved records together in vain.
    let put = Operation::put(100_000);
    Experiment::without_space("refused", 128 << 10, sparse(40), put).squeezing().run(1000);
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
    Experiment::search("compaction", MAX_BYTES, |_| {}, put, hit).run(60);
}

#[test]
fn a_block_cut_from_a_larger_one_survives_death_at_every_step() {
    // Goal: P2 for a put that splits a retired block of a larger class in two. Method: much is
    // dead, all of one size; only the class of `KEY` has no block. (Did the larger block still wait
    // in its stack after a death, it would be given out once more beside its own rest.)
    let prepare = |map: &Map| {
        for key in 0..400u64 {
            map.put(&key.to_le_bytes(), &[1; 200]).unwrap();
        }
        for key in 0..100u64 {
            map.delete(&(4 * key).to_le_bytes()).unwrap();
        }
    };
    Experiment::new("cut", prepare, Operation::put(80)).run(30);
}

#[test]
fn stacks_that_take_and_leave_chunks_survive_death_at_every_step() {
    // Goal: P2 for operations that begin a chunk of a stack, one that nothing lay in before or one
    // that another stack has left, and for those that leave one. Method: a chunk holds seven
    // blocks; a key in each of its runs lives on, so that none becomes free.
    let key = |key: u64| key.to_le_bytes();
    let put = |map: &Map, keys: std::ops::Range<u64>, len: usize| {
        keys.for_each(|number| _ = map.put(&key(number), &vec![1; len]).unwrap());
    };
    let delete = |map: &Map, keys: std::ops::Range<u64>| {
        keys.for_each(|number| assert!(map.delete(&key(number)).unwrap()));
    };
    let deleted = |count: u64| {
        move |map: &Map| {
            put(map, 0..100, 100);
            map.put(KEY, &[1; 100]).unwrap();
            delete(map, 1..1 + count);
        }
    };
    for (what, count) in [("stacks-first", 0), ("stacks-second", 7)] {
        Experiment::new(what, deleted(count), Operation::delete()).run(30);
    }
    let left = |map: &Map| {
        deleted(8)(map);
        put(map, 101..102, 100);
    };
    Experiment::new("stacks-leave", left, Operation::put(100)).run(30);
    let taken_over = |map: &Map| {
        put(map, 200..210, 40);
        left(map);
        put(map, 102..103, 100);
        map.put(KEY, &[1; 40]).unwrap();
    };
    Experiment::new("stacks-take-over", taken_over, Operation::delete()).run(30);
}

#[test]
fn a_sweep_survives_death_at_every_step() {
    // Goal: P2 for a put into a full map that finds its block by a sweep. Method: seeded churn
    // until the place where sweeps begin moves.
    let mut random = Random::from_env(5);
    let next = |_: &Opened, _: u64| match random.below(3) {
        0 => Operation::Delete(random.below(2000).to_le_bytes().to_vec()),
        _ => churn(&mut random, 2000, 120),
    };
    let hit = |before: &Counters, after: &Counters| {
        after.swept_to != before.swept_to && after.moved == before.moved
    };
    Experiment::search("sweep", 160 << 10, |_| {}, next, hit).run(30);
}

/// The first put of `len` bytes into a full map of which most keys are deleted that moves more
/// records together than a step of compaction does.
fn squeeze(what: &str, len: usize, kept: usize) {
    let hit = |before: &Counters, after: &Counters| after.moved > before.moved + 8;
    let put = |_: &Opened, step: u64| Operation::Put(step.to_be_bytes().to_vec(), vec![9; len]);
    Experiment::search(what, 144 << 10, sparse(kept), put, hit).squeezing().run(1000);
}

#[test]
fn a_squeeze_survives_death_at_every_step() {
    // Goal: P2 for a put into a full map that moves records together. Method: a size that none of
    // the deleted keys had.
    squeeze("squeeze", 3000, 2);
}

#[test]
fn a_squeeze_for_a_large_value_survives_death_at_every_step() {
    // Goal: as above, for a run of pages.
    squeeze("squeeze-large", 20_000, 10);
}

/// Longer than any test.
const HOUR_MS: u32 = 3_600_000;

/// Fills a map with values of `len` bytes, and deletes all but a few keys. What these leave rests
/// for `rest_ms`, and no longer at all from then on.
fn shrunk(len: usize, rest_ms: u32) -> impl Fn(&Map) {
    move |map| {
        grace::set_rest(rest_ms);
        let keys = 0..(300_000 / len as u64);
        for key in keys.clone() {
            map.put(&key.to_le_bytes(), &vec![key as u8; len]).unwrap();
        }
        for key in keys.filter(|key| key % 40 != 0) {
            map.delete(&key.to_le_bytes()).unwrap();
        }
        grace::set_rest(0);
    }
}

#[test]
fn giving_pages_back_survives_death_at_every_step() {
    // Goal: P2 between the descriptor, the ledger and the file system. Method: the first put, in a
    // map that has shrunk, that makes a hole, or cuts one off a run that is longer than a step
    // gives back.
    let hit = |before: &Counters, after: &Counters| after.holes > before.holes;
    let again = |len| move |_: &Opened, _: u64| Operation::Put(vec![0; 8], vec![7; len]);
    Experiment::search("hole", MAX_BYTES, shrunk(1000, HOUR_MS), again(1000), hit).run(20);
    Experiment::search("hole-large", MAX_BYTES, shrunk(90_000, HOUR_MS), again(90_000), hit)
        .run(20);
}

#[test]
fn giving_pages_back_by_a_delete_survives_death_at_every_step() {
    // Goal: as above, for a delete.
    let delete = |_: &Opened, step: u64| Operation::Delete((40 * step).to_le_bytes().to_vec());
    let hit = |before: &Counters, after: &Counters| after.holes > before.holes;
    Experiment::search("hole-delete", MAX_BYTES, shrunk(1000, HOUR_MS), delete, hit).run(20);
}

#[test]
fn taking_a_hole_survives_death_at_every_step() {
    // Goal: P2 for pages that become real again. Method: the first put into a map with holes that
    // takes some of them; a small record, and a large one that takes several with what lies
    // between.
    let hit = |before: &Counters, after: &Counters| after.holes < before.holes;
    let small =
        |_: &Opened, step: u64| Operation::Put((1000 + step).to_le_bytes().to_vec(), vec![7; 500]);
    Experiment::search("fill-hole", MAX_BYTES, shrunk(1000, 0), small, hit).run(30);
    let large = |_: &Opened, step: u64| {
        Operation::Put((1000 + step).to_le_bytes().to_vec(), vec![7; 70_000])
    };
    Experiment::search("fill-holes", MAX_BYTES, shrunk(1000, 0), large, hit).run(30);
}

#[test]
fn a_large_run_used_again_survives_death_at_every_step() {
    // Goal: P2 for a large value in the front of a run that an earlier one left.
    let next = |_: &Opened, step: u64| match step {
        0 => Operation::put(60_000),
        1 => Operation::Delete(KEY.to_vec()),
        _ => Operation::put(20_000),
    };
    let hit = |before: &Counters, after: &Counters| after.reused > before.reused;
    Experiment::search("again", MAX_BYTES, fill, next, hit).run(30);
}
