//! P5, fast: damage and operations on private copies of maps, as a seed decides.
//!
//! The same as the target for libFuzzer (`tests_rust/fuzz`), for every test run. `SHF_SEED`,
//! `SHF_ROUNDS` and `SHF_ROUND` choose other and more rounds; the last line says what was done.
#![cfg(all(feature = "fuzzing", not(any(miri, loom))))]

use shf_tests::board::Board;
use shf_tests::fuzz::{Bed, Contents, run};
use shf_tests::rounds::Rounds;

/// Rounds of one child.
const BATCH: u64 = 1000;
/// Bytes of an input at most.
const INPUT_BYTES_MAX: u64 = 500;

fn survive(what: &str, bed: &Bed, seed: u64, rounds: u64) {
    let done = Board::of(4);
    let begun = std::time::Instant::now();
    Rounds::from_env(seed, rounds, BATCH).run(what, |random| {
        let len = random.below(INPUT_BYTES_MAX) as usize;
        let tally = run(bed, &random.bytes(len));
        let numbers = [tally.mutations, tally.operations, tally.judged, tally.repairs];
        for (index, number) in numbers.into_iter().enumerate() {
            done.set(index, done.get(index) + number);
        }
    });
    let [mutations, operations, judged, repairs] = [0, 1, 2, 3].map(|index| done.get(index));
    println!(
        "{what}: {mutations} mutations, {operations} operations, {judged} of them judged, \
         {repairs} repairs, {:?}",
        begun.elapsed()
    );
    assert!(mutations > 0 && repairs > 0, "nothing was tested");
}

#[test]
fn damage_to_a_map_of_one_shard_is_survived() {
    survive("fuzz-mixed", &Bed::new(1, Contents::Mixed), 201, 2000);
}

#[test]
fn damage_to_a_full_map_is_survived() {
    survive("fuzz-full", &Bed::new(1, Contents::Full), 202, 1000);
}

#[test]
fn damage_to_a_fresh_map_is_survived() {
    survive("fuzz-fresh", &Bed::new(1, Contents::Fresh), 203, 1000);
}

#[test]
fn damage_to_a_durable_map_is_survived() {
    survive("fuzz-durable", &Bed::new(1, Contents::Durable), 205, 1500);
}

#[test]
fn damage_to_a_map_with_fixed_lengths_is_survived() {
    survive("fuzz-fixed", &Bed::new(1, Contents::Fixed), 206, 2000);
}

#[test]
fn damage_to_a_map_of_256_shards_is_survived() {
    survive("fuzz-256", &Bed::new(256, Contents::Mixed), 204, 100);
}
