//! Measures maps of Rust, and our engine without its C++, on the workload of `shf_bench_peers`.
//!
//! That program runs this one, once for each store, and reads one JSON object from its standard
//! output. Keys, values and orders are those of `peers/workload.hpp`.
#![forbid(unsafe_code)]

mod command_line;
mod workload;
mod store;
mod stores;
mod worker;
mod machine;
mod versions;
mod throughput;
mod latency;
mod lock;
mod memory;
mod measure;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = command_line::Options::parse();
    match measure::run(&options) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("shf_bench_rust_maps: {}: {error}", options.store);
            ExitCode::FAILURE
        }
    }
}
