//! Deaths while the index changes: spilled keys, splits, the directory.

use crate::account::{Counters, place};
use crate::experiment::{Experiment, MAX_BYTES};
use crate::operation::Operation;
use shf_base::open::Opened;
use shf_engine::hash::Hash;
use shf_engine::locate::{self, Located};
use shf_engine::{Map, table};

const SLOTS: usize = 12;

/// Keys of one home bucket, in order.
fn keys_of(bucket: usize, secret: u64) -> impl Iterator<Item = Vec<u8>> {
    let home = move |key: &Vec<u8>| Hash::of(key, secret).bucket() == bucket;
    (0u64..).map(|key| key.to_le_bytes().to_vec()).filter(home)
}

/// How many buckets behind its home a key lies.
fn distance(peek: &Opened, key: &[u8]) -> usize {
    match locate::key(place(peek), Hash::of(key, peek.header.secret), key).unwrap() {
        Located::Found(position, ..) => position.distance,
        _ => panic!("the key is there"),
    }
}

/// A key's bucket is full, and so are the next ones before `distance`.
fn crowd(map: &Map, secret: u64, distance: usize) -> Vec<u8> {
    map.put(b"makes the first table", b"").unwrap();
    for behind in 1..distance {
        for key in keys_of(table::bucket_at(7, behind), secret).take(SLOTS) {
            map.put(&key, &[1; 20]).unwrap();
        }
    }
    let mut keys = keys_of(7, secret);
    for key in keys.by_ref().take(SLOTS) {
        map.put(&key, &[1; 20]).unwrap();
    }
    keys.next().unwrap()
}

#[test]
fn a_key_in_a_neighbour_of_its_bucket_survives_death_at_every_step() {
    // Goal: P2 for a put that spills to the first or the second neighbour, which raises overflow
    // counts, a replace there, and a delete, which lowers them. Method: keys chosen by their hash
    // fill one bucket or two.
    for far in [1, 2] {
        let secret = shf_tests::secret();
        let new = std::cell::RefCell::new(Vec::new());
        let crowded = |map: &Map| _ = new.replace(crowd(map, secret, far));
        let there = |map: &Map| {
            crowded(map);
            map.put(&new.borrow(), &[2; 20]).unwrap();
        };
        let hit = |_: &Counters, _: &Counters| true;
        let put = |_: &Opened, _| Operation::Put(new.borrow().clone(), vec![3; 20]);
        let delete = |_: &Opened, _| Operation::Delete(new.borrow().clone());
        let what = format!("spill-{far}");
        let experiment = Experiment::search(&what, MAX_BYTES, crowded, put, hit);
        assert_eq!(distance(experiment.with_operation_done(), &new.borrow()), far);
        experiment.run(30 + 2 * far as u64);
        let what = format!("spilt-replace-{far}");
        Experiment::search(&what, MAX_BYTES, there, put, hit).run(30);
        let what = format!("spilt-delete-{far}");
        Experiment::search(&what, MAX_BYTES, there, delete, hit).run(20 + 2 * far as u64);
    }
}

/// Puts of new keys, one after the other.
fn puts(_: &Opened, step: u64) -> Operation {
    Operation::Put(step.to_le_bytes().to_vec(), vec![7; 20])
}

/// As `puts`, keys of one home bucket, so that tables split before they hold many.
fn puts_of_one_bucket() -> impl FnMut(&Opened, u64) -> Operation {
    let mut keys = keys_of(7, shf_tests::secret());
    move |_, _| Operation::Put(keys.next().expect("no end"), vec![7; 20])
}

#[test]
fn a_split_survives_death_at_every_step() {
    // Goal: P2 for a split, and for its repair. Method: the first put that splits the only table,
    // with which the directory gets its first level.
    let hit = |before: &Counters, after: &Counters| after.splits > before.splits;
    Experiment::search("split", MAX_BYTES, |_| {}, puts, hit).run(400);
}

#[test]
fn a_split_in_a_deeper_directory_survives_death_at_every_step() {
    // Goal: as above, for the first one that leaves the directory as deep as it is.
    let hit = |before: &Counters, after: &Counters| {
        after.splits > before.splits && after.depth == before.depth
    };
    Experiment::search("split-flat", MAX_BYTES, |_| {}, puts_of_one_bucket(), hit).run(400);
}

#[test]
fn a_growth_step_of_the_index_survives_death_at_every_step() {
    // Goal: P2 between the file's growth, the ledger and the limit, at the far end of the window.
    // Method: the first put after the first table that makes index pages real, and no others.
    let hit = |before: &Counters, after: &Counters| {
        let grew = before.index_limit > 0 && after.index_limit > before.index_limit;
        grew && after.record_limit == before.record_limit
    };
    Experiment::search("grow-index", MAX_BYTES, |_| {}, puts_of_one_bucket(), hit).run(400);
}

#[test]
fn a_directory_that_gets_deeper_survives_death_at_every_step() {
    // Goal: P2 for the store that makes lookups begin with one more bit, when there are entries
    // already. Method: the first put that raises a depth of 2.
    let hit = |before: &Counters, after: &Counters| {
        before.depth >= 2 && after.depth > before.depth && after.splits == before.splits + 1
    };
    Experiment::search("deeper", MAX_BYTES, |_| {}, puts_of_one_bucket(), hit).run(400);
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
    // Clearing the page of the directory is 1024 stores. A split stores the 64 heads of a table,
    // two words each, three times: emptied, filled, and those of the old table lowered.
    Experiment::search("directory", MAX_BYTES, |_| {}, put, hit).run(1024 + 3 * 64 * 2);
}
