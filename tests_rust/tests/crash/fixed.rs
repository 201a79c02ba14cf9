//! Deaths in maps with fixed lengths, where key and value begin in the word of the header, which is
//! stored again with each change of its mark.

use crate::account::Counters;
use crate::experiment::{Experiment, MAX_BYTES};
use crate::operation::Operation;
use shf_base::grace;
use shf_base::open::Opened;
use shf_engine::Map;
use shf_tests::Random;

/// Lengths of values, beside keys of 8 bytes: the first ones have half a header, the last one a
/// whole one.
const VALUES: [u32; 3] = [4, 100, 8];

fn key(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn value(number: u64, len: u32) -> Vec<u8> {
    Random::new(number).bytes(len as usize)
}

fn put(number: u64, len: u32) -> Operation {
    Operation::Put(key(number), value(number + 1, len))
}

fn fill(len: u32) -> impl Fn(&Map) {
    move |map| {
        for number in 0..100 {
            map.put(&key(number), &value(number, len)).unwrap();
        }
    }
}

fn run(what: &str, len: u32, operation: Operation, least: u64) {
    let what = format!("fixed-{what}-{len}");
    let next = |_: &Opened, _| operation.clone();
    Experiment::search_fixed(&what, (len, MAX_BYTES), fill(len), next, |_, _| true).run(least);
}

#[test]
fn writes_to_a_map_with_fixed_lengths_survive_death_at_every_step() {
    // Goal: P2 for each operation on one key, new or there, and for a batch.
    for len in VALUES {
        run("new", len, put(1000, len), 20);
        run("replace", len, put(7, len), 20);
        run("delete", len, Operation::Delete(key(7)), 15);
        run("swap", len, Operation::Swap(key(7), value(7, len), value(8, len)), 20);
        run("delete-if", len, Operation::DeleteIf(key(7), value(7, len)), 15);
        run("take", len, Operation::Take(key(7)), 15);
        run("named", len, Operation::PutNamed(key(7), value(8, len)), 20);
        run("delete-named", len, Operation::DeleteNamed(key(7)), 15);
        let pairs = [7, 1001, 9].map(|number| (key(number), value(number + 1, len)));
        run("many", len, Operation::PutMany(pairs.to_vec()), 60);
    }
}

#[test]
fn a_split_of_a_map_with_fixed_lengths_survives_death_at_every_step() {
    // Goal: P2 where a table splits. Method: the first put that splits the only table.
    let puts = |_: &Opened, step: u64| put(1000 + step, 4);
    let hit = |before: &Counters, after: &Counters| after.splits > before.splits;
    Experiment::search_fixed("fixed-split", (4, MAX_BYTES), fill(4), puts, hit).run(400);
}

/// Fills a map and deletes all keys but every `kept`th.
fn sparse(len: u32, kept: u64) -> impl Fn(&Map) {
    move |map| {
        grace::set_rest(0);
        let put = |number: &u64| map.put(&key(*number), &value(*number, len)).is_ok();
        let keys: Vec<u64> = (0..).take_while(put).collect();
        for number in keys.into_iter().filter(|number| !number.is_multiple_of(kept)) {
            map.delete(&key(number)).unwrap();
        }
    }
}

#[test]
fn compaction_of_a_map_with_fixed_lengths_survives_death_at_every_step() {
    // Goal: P2 for an operation that copies records, has their slots refer to the copies and frees
    // the run that they leave. Method: many keys come and two of three go again, until a put or a
    // delete does all that.
    for len in VALUES {
        let next = |_: &Opened, step: u64| match (step / 2500 * 1500, step % 2500) {
            (first, number @ 0..1500) => put(first + number, len),
            (first, number) => Operation::Delete(key(first + (number - 1500) * 3 / 2)),
        };
        let hit = |before: &Counters, after: &Counters| {
            after.moved > before.moved && after.free_pages > before.free_pages
        };
        let what = format!("fixed-compaction-{len}");
        Experiment::search_fixed(&what, (len, MAX_BYTES), |_| {}, next, hit).run(60);
    }
}

#[test]
fn a_full_map_with_fixed_lengths_survives_death_at_every_step() {
    // Goal: P2 for a put that moves records together. Method: puts into a full map of which half is
    // deleted, until one finds room only so. (Sweeps follow each death here: with the repair, all
    // stacks of free blocks are forgotten.)
    let mut random = Random::from_env(9);
    let next = |_: &Opened, _: u64| match random.below(3) {
        0 => Operation::Delete(key(random.below(9000))),
        _ => put(random.below(9000), 4),
    };
    let hit = |before: &Counters, after: &Counters| after.swept_to != before.swept_to;
    let full = Experiment::search_fixed("fixed-full", (4, 160 << 10), sparse(4, 2), next, hit);
    full.squeezing().run(1000);
}
