//! Deaths in a durable map: while what was synced must stay, in a sync, and in recovery.

use crate::account::Counters;
use crate::experiment::Experiment;
use crate::operation::{Operation, churn, fill, fill_with_key};
use shf_engine::Map;
use shf_tests::Random;

#[test]
fn writes_to_a_durable_map_survive_death_at_every_step() {
    // Goal: P2 where records are sealed, and what is retired has to be kept or need not. Method:
    // keys that were there at the last sync, and one that came after it.
    Experiment::durable("sealed-new", fill, Operation::put(30)).run(25);
    Experiment::durable("sealed-same", fill_with_key(30), Operation::put(30)).run(30);
    Experiment::durable("sealed-large", fill_with_key(30_000), Operation::put(20_000)).run(30);
    Experiment::durable("sealed-delete", fill_with_key(30), Operation::delete()).run(20);
    let add = Operation::Add(crate::KEY.to_vec(), 5);
    Experiment::durable("sealed-add", fill, add).run(20);
    let first = |before: &Counters| before.born == 100;
    let hit = |before: &Counters, _: &Counters| !first(before);
    Experiment::search_durable("sealed-young", fill, |_, _| Operation::put(30), hit).run(30);
}

#[test]
fn compaction_of_a_durable_map_survives_death_at_every_step() {
    // Goal: as above for a put that moves records and frees the run they leave. Method: seeded
    // churn with a sync now and then, until a put does both.
    let mut random = Random::from_env(6);
    let next = |_: &_, step: u64| match step % 300 {
        299 => Operation::Sync,
        _ => churn(&mut random, 300, 150),
    };
    let hit = |before: &Counters, after: &Counters| {
        after.moved > before.moved && after.free_pages > before.free_pages
    };
    Experiment::search_durable("sealed-compaction", |_| {}, next, hit).run(60);
}

#[test]
fn a_sync_survives_death_at_every_step() {
    // Goal: whoever dies in a sync, the map goes on, and the next sync works. Method: the first
    // sync of a map, and one after some changes.
    let changed = |map: &Map| {
        fill(map);
        map.sync().unwrap();
        (0..50u64).for_each(|key| assert!(map.delete(&key.to_le_bytes()).unwrap()));
    };
    Experiment::durable("sync", changed, Operation::Sync).run(20);
}
