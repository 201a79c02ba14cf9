//! Frozen maps: what is in them, and what others do while they are made.
#![cfg(not(any(miri, loom)))]

mod contents;
mod failing;
#[cfg(feature = "crash-points")]
mod meanwhile;
