//! Deaths while the index shrinks: merges, pages moved to fill a gap, pages given back.

use crate::account::Counters;
use crate::experiment::{Experiment, MAX_BYTES};
use crate::operation::Operation;
use shf_base::open::Opened;
use shf_engine::Map;
use shf_engine::hash::Hash;

/// Puts keys 0..n.
fn grown(keys: u64) -> impl FnOnce(&Map) {
    move |map| {
        for key in 0..keys {
            map.put(&key.to_le_bytes(), &[]).unwrap();
        }
    }
}

/// Deletes of these keys, one after the other.
fn deletes(_: &Opened, step: u64) -> Operation {
    Operation::Delete(step.to_le_bytes().to_vec())
}

#[test]
fn a_merge_survives_death_at_every_step() {
    // Goal: P2 for the delete that has two tables merge, the last page being one of them. Method:
    // the first such one while a grown map loses its keys.
    let hit = |before: &Counters, after: &Counters| {
        after.tables + 1 == before.tables && after.vacated == before.vacated + 1
    };
    Experiment::search("merge", MAX_BYTES, grown(3000), deletes, hit).merging().run(60);
}

#[test]
fn a_merge_and_a_moved_table_survive_death_at_every_step() {
    // Goal: as above, where the vacated page leaves a gap, into which the last table is copied.
    let hit = |before: &Counters, after: &Counters| {
        after.tables + 1 == before.tables && after.vacated == before.vacated + 2
    };
    Experiment::search("merge-move", MAX_BYTES, grown(3000), deletes, hit).merging().run(180);
}

#[test]
fn a_merge_back_to_other_cached_bits_survives_death_at_every_step() {
    // Goal: as above, where all slots are packed anew from the records. Method: a window so large
    // that a slot has few bits to spare (five, for a maximum of 4 MiB).
    let hit = |before: &Counters, after: &Counters| {
        after.tables < before.tables && after.tables <= 16 && before.depth >= 5
    };
    Experiment::search("merge-repack", 4 << 20, grown(14_000), deletes, hit).merging().run(60);
}

#[test]
fn a_put_that_merges_survives_death_at_every_step() {
    // Goal: P2 for a merge in a put, which comes after it. Method: deletes, and an overwrite after
    // each.
    let next = |_: &Opened, step: u64| match step % 2 {
        0 => Operation::Delete((step / 2).to_le_bytes().to_vec()),
        _ => Operation::Put(2999u64.to_le_bytes().to_vec(), vec![step as u8; 30]),
    };
    let hit = |before: &Counters, after: &Counters| {
        after.tables < before.tables && after.keys == before.keys
    };
    Experiment::search("merge-put", MAX_BYTES, grown(3000), next, hit).merging().run(60);
}

#[test]
fn index_pages_given_back_survive_death_at_every_step() {
    // Goal: P2 between the limit, the ledger and the hole.
    let hit = |before: &Counters, after: &Counters| after.index_limit < before.index_limit;
    Experiment::search("index-back", MAX_BYTES, grown(6000), deletes, hit).merging().run(20);
}

#[test]
fn a_page_of_the_directory_that_moves_survives_death_at_every_step() {
    // Goal: P2 for a page of entries that fills a gap. Method: keys that agree in bucket and ten
    // directory bits make the directory grow by a page, and are deleted again, so that tables merge
    // and it becomes the last page.
    let secret = shf_tests::secret();
    let alike = move |key: &[u8; 8]| {
        let hash = Hash::of(key, secret);
        hash.bucket() == 0 && hash.directory() & 1023 == 0
    };
    let keys: Vec<_> = (0u64..).map(u64::to_le_bytes).filter(alike).take(60).collect();
    let all = keys.clone();
    let prepare = move |map: &Map| {
        for key in &all {
            // More than two splits take more than one call.
            (0..20).find(|_| map.put(key, &[]).is_ok()).unwrap();
        }
    };
    let next = |_: &Opened, step: u64| match keys.get(step as usize) {
        Some(key) => Operation::Delete(key.to_vec()),
        None => Operation::Put(b"one".to_vec(), vec![step as u8; 30]),
    };
    let hit = |before: &Counters, after: &Counters| {
        before.second_level != 0 && after.second_level != before.second_level
    };
    Experiment::search("directory-moves", MAX_BYTES, prepare, next, hit).merging().run(1024);
}
