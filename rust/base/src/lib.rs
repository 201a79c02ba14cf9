//! Memory, layout and synchronisation for maps in shared memory; knows no hash table.
//!
//! Read in the order of the modules below: each uses only those above it.
#![deny(unsafe_code)]

pub mod error;
pub mod crash;
pub mod atomic;
pub mod region;
pub mod format;
pub mod geometry;
pub mod slot;
pub mod robust_mutex;
pub mod storage;
pub mod open;
