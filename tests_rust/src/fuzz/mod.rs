//! Fuzzing of damaged maps: decoded bytes damage a map and operate on it, thousands of times a
//! second.
//!
//! - `input` makes choices out of the bytes of a fuzzer;
//! - `bed` holds a real map's bytes in private memory between two pages that nobody may touch, and
//!   makes them whole again;
//! - `run` decodes one input: damage, handles, operations, more damage in between;
//! - `model` judges the answers of a map that the checker found sound.
//!
//! `tests_rust/fuzz` lets libFuzzer choose the bytes, `tests_rust/tests/fuzz.rs` a seed. What a
//! panic or a fault does not show is judged: when the checker finds nothing, or a repair was made,
//! and nothing was damaged since, then nothing is `Corrupt`, and every operation answers as a plain
//! map with the same contents would.

mod bed;
mod input;
mod model;
mod run;

pub use bed::{Bed, Contents};
pub use input::Input;
pub use run::{Tally, run};
