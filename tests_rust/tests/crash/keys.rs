//! Deaths in the operations on a key.

use crate::KEY;
use crate::experiment::Experiment;
use crate::operation::{Operation, fill, fill_with_key};

#[test]
fn a_put_of_a_new_key_survives_death_at_every_step() {
    // Goal: P2 for an insert, into an empty map (first table, first growth) and a filled one.
    Experiment::new("first", |_| {}, Operation::put(30)).run(1000);
    Experiment::new("new", fill, Operation::put(30)).run(25);
}

#[test]
fn a_replace_survives_death_at_every_step() {
    // Goal: P2 for a replace by the same size and others, and by a large value and back.
    Experiment::new("same", fill_with_key(30), Operation::put(30)).run(30);
    Experiment::new("smaller", fill_with_key(90), Operation::put(30)).run(30);
    Experiment::new("larger", fill_with_key(30), Operation::put(90)).run(30);
    Experiment::new("from-large", fill_with_key(30_000), Operation::put(30)).run(30);
    Experiment::new("to-large", fill_with_key(30), Operation::put(20_000)).run(30);
}

#[test]
fn a_block_used_again_for_other_lengths_survives_death_at_every_step() {
    // Goal: a run can be walked block by block whatever was half written into one of them. Method:
    // the block of a long key and a short value gets a short key and a long value.
    let prepare = |map: &shf_engine::Map| {
        fill(map);
        map.put(&[7; 64], b"").unwrap();
        map.delete(&[7; 64]).unwrap();
    };
    Experiment::new("lengths", prepare, Operation::put(57)).run(25);
    // As above, with a key whose hash lies beside it, and an integer.
    let prepare = |map: &shf_engine::Map| {
        fill(map);
        map.put(&[7; 300], b"").unwrap();
        map.delete(&[7; 300]).unwrap();
        map.add(&[8; 40], 1).unwrap();
        map.delete(&[8; 40]).unwrap();
    };
    Experiment::new("hashed", prepare, Operation::Put(vec![9; 256], vec![1; 44])).run(25);
    Experiment::new("number", prepare, Operation::Put(vec![9; 8], vec![1; 40])).run(25);
}

#[test]
fn a_batch_of_puts_survives_death_at_every_step() {
    // Goal: a death in a batch leaves the first puts of it, each whole: P2 for each of them.
    // Method: a batch of new keys, replaced ones, and a large value; the log run has room for
    // all of it.
    let pair = |key: u64, len: usize| (key.to_le_bytes().to_vec(), vec![1; len]);
    let pairs = vec![pair(200, 30), pair(3, 50), pair(4, 20), pair(201, 20_000), pair(5, 0)];
    Experiment::new("many", fill_with_key(90), Operation::PutMany(pairs)).run(100);
}

#[test]
fn a_delete_survives_death_at_every_step() {
    // Goal: P2 for a delete of a small and of a large value.
    Experiment::new("delete", fill_with_key(30), Operation::delete()).run(20);
    Experiment::new("delete-large", fill_with_key(30_000), Operation::delete()).run(20);
}

#[test]
fn a_clear_survives_death_at_every_step() {
    // Goal: P2 for a clear, which deletes key by key: each is there, whole, or gone for good.
    let prepare = |map: &shf_engine::Map| {
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
    let prepare = |map: &shf_engine::Map| {
        fill(map);
        map.add(KEY, 1 << 40).unwrap();
    };
    Experiment::new("add", prepare, add()).run(2);
}

#[test]
fn conditional_changes_survive_death_at_every_step() {
    // Goal: P2 for what looks first and then changes: each is one of the operations above.
    let value = || vec![1; 30];
    let swap = Operation::Swap(KEY.to_vec(), value(), vec![2; 60]);
    Experiment::new("swap", fill_with_key(30), swap).run(20);
    let delete = Operation::DeleteIf(KEY.to_vec(), value());
    Experiment::new("delete-if", fill_with_key(30), delete).run(20);
    Experiment::new("take", fill_with_key(30_000), Operation::Take(KEY.to_vec())).run(20);
    let append = Operation::Append(KEY.to_vec(), vec![2; 15]);
    Experiment::new("append", fill_with_key(30), append).run(20);
}

#[test]
fn changes_by_uid_survive_death_at_every_step() {
    // Goal: P2 for a put and a delete of a key that a UID names.
    let put = Operation::PutNamed(KEY.to_vec(), vec![2; 60]);
    Experiment::new("put-named", fill_with_key(30), put).run(20);
    let delete = Operation::DeleteNamed(KEY.to_vec());
    Experiment::new("delete-named", fill_with_key(30), delete).run(20);
}

/// Bytes of a value of several MiB.
const HUGE: usize = 2_400_000;

/// An operation in a map that has room for two huge values.
fn huge(what: &str, prepare: impl FnOnce(&shf_engine::Map), operation: Operation) -> Experiment {
    let (mut operation, hit) = (Some(operation), |_: &_, _: &_| true);
    let next = |_: &_, _| operation.take().unwrap();
    Experiment::search(what, 6 << 20, prepare, next, hit)
}

#[test]
fn a_put_of_a_huge_value_survives_death_at_every_step() {
    // Goal: P2 for a value of several MiB: a growth step of many calls, with descriptors beside it.
    huge("huge", fill, Operation::put(HUGE)).run(50);
}

#[test]
fn a_replace_of_a_huge_value_survives_death_at_every_step() {
    // Goal: as above, for what replaces such a value.
    huge("huge-replace", fill_with_key(HUGE), Operation::put(HUGE + 5000)).run(50);
}

#[test]
fn a_delete_of_a_huge_value_survives_death_at_every_step() {
    // Goal: as above, for its delete.
    huge("huge-delete", fill_with_key(HUGE), Operation::delete()).run(20);
}
