//! A short run of what `make torture` does for as long as one likes.
#![cfg(not(any(miri, loom)))]

use shf_tests::Random;
use shf_tests::torture::{Plan, Report, run};
use std::time::Duration;

#[test]
fn processes_that_are_killed_and_stopped_at_random_lose_nothing_and_block_nobody() {
    // Goal: P2 and P6 in any mixture of all calls. Method: torture for some seconds; the judge
    // finds nothing, and there was something to judge. Stalls are bounded only against hanging.
    let seed = Random::from_env(21).next();
    let stall_max = Duration::from_secs(10);
    let plan = Plan { stall_max, ..Plan::new(Duration::from_secs(8), seed) };
    let report = run(&plan).unwrap_or_else(|why| panic!("{why}"));
    println!("{report}");
    let Report { kills, stops, repairs, calls, scans, .. } = report;
    assert!([kills, stops, repairs, calls, scans].iter().all(|&count| count > 0), "{report}");
}
