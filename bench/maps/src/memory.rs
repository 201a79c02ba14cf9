//! Memory over the bytes of keys and values, as a store is loaded, replaced and emptied.

use crate::command_line::Options;
use crate::machine;
use crate::store::Store;
use crate::worker::Worker;
use crate::workload::KEY_BYTES;
use serde::Serialize;

const ROUNDS_OF_REPLACING: u64 = 5;
/// Puts after most keys were deleted, at least.
const PUTS_MIN: u64 = 200_000;

/// Ratios.
#[derive(Serialize)]
pub struct Memory {
    loaded: f64,
    replaced: f64,
    deleted: f64,
    deleted_then_puts: f64,
}

/// One thread loads all keys, replaces all values by others of half to one and a half of the size,
/// deletes nine of ten keys, and replaces values of the rest by others of the same size.
///
/// The process MUST have measured nothing else before: what it freed then would be used again.
pub fn measure<S: Store>(options: &Options) -> Result<Memory, String> {
    machine::pin(&machine::processors()?, 0)?;
    let work = options.workload();
    let before = machine::private_bytes()?;
    let store = S::create(options)?;
    // The worker's own buffers are as large as one value.
    let mut worker = Worker::new(work, store.session(), 0);
    let ratio = |payload: u64| -> Result<f64, String> {
        let bytes = match store.bytes() {
            Some(bytes) => bytes,
            None => machine::private_bytes()?.saturating_sub(before),
        };
        Ok(bytes as f64 / payload as f64)
    };

    worker.put_fresh(0, work.keys);
    let loaded = ratio(work.keys * (KEY_BYTES as u64 + work.value_bytes))?;
    let payload = worker.replace_all(ROUNDS_OF_REPLACING);
    let replaced = ratio(payload)?;
    let last_round = ROUNDS_OF_REPLACING - 1;
    let payload = worker.delete_most(last_round);
    let deleted = ratio(payload)?;
    worker.update_rest((work.keys / 10).max(PUTS_MIN), last_round);
    let deleted_then_puts = ratio(payload)?;
    match worker.error() {
        None => Ok(Memory { loaded, replaced, deleted, deleted_then_puts }),
        Some(error) => Err(error.to_owned()),
    }
}
