//! P2: death at every step, and death of the repairer at every step of the repair.
//!
//! A child is killed before its n-th step, for every n; see `shf_base::crash` for what a step is.
//! The next process then finds what was acknowledged, and the interrupted operation wholly done or
//! wholly undone; the checker finds nothing, and no byte is lost (`experiment`). After that death
//! the next one is killed before the m-th step of its repair, and the one after must find the same.
//!
//! A usual run tries some n and m. `SHF_EXHAUSTIVE=1` has it try all (`deaths`), and print how many
//! they were; that takes a while:
//!
//! ```text
//! make test-deaths
//! ```
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

mod account;
mod creation;
mod deaths;
mod durable;
mod eviction;
mod experiment;
mod expiry;
mod fixed;
mod freezing;
mod full;
mod index;
mod keys;
mod lists;
mod memory;
mod merging;
mod operation;
mod presence;
mod rebuilding;
mod temporary;

use std::collections::BTreeMap;

/// The key that operations are about.
const KEY: &[u8] = b"the key";

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;
