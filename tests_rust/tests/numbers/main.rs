//! The numbers that a map tells of itself, and the texts that others read.
#![cfg(not(any(miri, loom)))]

mod exposition;
mod stats;
