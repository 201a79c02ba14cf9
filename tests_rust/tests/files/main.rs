//! The files of maps: with a name, without one, listed, removed, and with memory from the
//! beginning.
#![cfg(not(any(miri, loom)))]

mod anonymous;
mod initial;
mod listing;
mod removed;
