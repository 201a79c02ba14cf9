//! P5: libFuzzer chooses the damage and the operations, guided by what they reach.
//!
//! The first byte chooses the map, the others are decoded by `shf_tests::fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shf_tests::fuzz::{Bed, Contents, run};
use std::sync::LazyLock;

/// All of one shard; a map of 256 is for `tests_rust/tests/fuzz.rs`, which needs no
/// instrumentation.
static BEDS: LazyLock<[Bed; 5]> = LazyLock::new(|| {
    use Contents::{Durable, Fixed, Fresh, Full, Mixed};
    [Mixed, Full, Fresh, Durable, Fixed].map(|contents| Bed::new(1, contents))
});

fuzz_target!(|input: &[u8]| {
    if let [first, input @ ..] = input {
        run(&BEDS[usize::from(*first) % BEDS.len()], input);
    }
});
