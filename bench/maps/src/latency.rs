//! How long single puts take while a store grows from empty.

use crate::command_line::Options;
use crate::machine;
use crate::store::Store;
use crate::worker::Worker;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Instant;

/// Significant decimal digits of a recorded duration.
const DIGITS: u8 = 3;
/// The longest duration that is told apart from longer ones: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Nanoseconds.
#[derive(Serialize)]
pub struct Latency {
    p50: u64,
    p99: u64,
    p999: u64,
    p9999: u64,
    max: u64,
}

/// Loads all keys by one thread, with the clock read before and after each put.
pub fn measure<S: Store>(options: &Options) -> Result<Latency, String> {
    machine::pin(&machine::processors()?, 0)?;
    let store = S::create(options)?;
    let mut worker = Worker::new(options.workload(), store.session(), 0);
    let mut histogram = Histogram::<u64>::new_with_max(LONGEST_NS, DIGITS).expect("valid bounds");
    let mut max = 0;
    for index in 0..options.keys {
        let start = Instant::now();
        worker.put(index, options.value_bytes);
        let nanoseconds = start.elapsed().as_nanos() as u64;
        histogram.saturating_record(nanoseconds);
        max = max.max(nanoseconds);
    }
    if let Some(error) = worker.error() {
        return Err(error.to_owned());
    }
    // A quantile is the upper end of its cell, which the longest put may lie within.
    let at = |share| histogram.value_at_quantile(share).min(max);
    Ok(Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), p9999: at(0.9999), max })
}
