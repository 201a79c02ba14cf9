//! Each store does what is measured, and a worker notices one that does it wrongly.

use super::*;
use crate::command_line::Options;
use crate::store::{Session, Store};
use crate::worker::Worker;
use crate::workload::Key;
use crate::{latency, memory, throughput};
use clap::Parser;

fn options(store: &str) -> Options {
    let words = "maps --keys 2000 --value-bytes 40 --threads 2 --operations 3000 --store";
    let phases = ["--phases", "put,get,zipf,miss,mix,update,resize"];
    Options::parse_from(words.split(' ').chain([store]).chain(phases))
}

fn measures_everything<S: Store>(name: &str) {
    let options = options(name);
    let mops = throughput::measure::<S>(&options).expect("throughput");
    assert_eq!(mops.len(), 7);
    assert!(mops.values().all(|&mops| mops > 0.0), "{mops:?}");
    latency::measure::<S>(&options).expect("latency");
    memory::measure::<S>(&options).expect("memory");
}

#[test]
fn dashmap_can_be_measured() {
    measures_everything::<DashStore>("dashmap");
}

#[test]
fn papaya_can_be_measured() {
    measures_everything::<PapayaStore>("papaya");
}

#[test]
fn our_map_can_be_measured() {
    measures_everything::<ShfStore>("shf");
}

/// Another store, that gets some keys at once, and answers with this many bytes less.
struct Together<S>(S, usize);

impl<S: Session> Session for Together<S> {
    const TOGETHER: usize = 32;
    type Error = S::Error;

    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), S::Error> {
        self.0.put(key, value)
    }
    fn get(&mut self, key: &Key, into: &mut [u8]) -> Result<Option<usize>, S::Error> {
        Ok(self.0.get(key, into)?.map(|bytes| bytes - self.1))
    }
    fn delete(&mut self, key: &Key) -> Result<bool, S::Error> {
        self.0.delete(key)
    }
}

#[test]
fn gets_that_are_done_at_once_are_checked_too() {
    let options = options("dashmap");
    let error = |keys: u64, less: usize| {
        let store = DashStore::create(&options).expect("a store");
        let mut worker = Worker::new(options.workload(), Together(store.session(), less), 0);
        worker.put_fresh(0, keys);
        worker.draw_skewed(100);
        worker.get_hits(1001);
        worker.get_skewed(1001);
        worker.get_misses(1001);
        worker.error().map(str::to_owned)
    };
    assert_eq!(error(2000, 0), None);
    assert!(error(1000, 0).expect("keys are missing").starts_with("a get missed"));
    assert!(error(2000, 30).expect("too short").starts_with("a get answered wrongly"));
}
