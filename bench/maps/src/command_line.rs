//! What the command line decides.

use crate::workload::Workload;
use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Measures one map of Rust in this process, and prints a JSON object with the figures asked for.
#[derive(Clone, Debug, Parser)]
#[command(name = "shf_bench_rust_maps", version)]
pub struct Options {
    /// The map to measure
    #[arg(long, value_enum)]
    pub store: StoreName,
    /// How many keys
    #[arg(long, default_value_t = 1_000_000, value_parser = keys())]
    pub keys: u64,
    /// Bytes of a value; resizing takes half of it to half more
    #[arg(long, default_value_t = 100, value_parser = value_bytes())]
    pub value_bytes: u64,
    /// Operations of each phase but put, split among the threads; default: as many as keys
    #[arg(long)]
    pub operations: Option<u64>,
    /// The same seed makes the same keys and order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads, the n-th on the n-th processor that this process may use
    #[arg(long, default_value_t = 1, value_parser = threads())]
    pub threads: u64,
    /// Where the file of our map goes
    #[arg(long, default_value = "/dev/shm")]
    pub folder: PathBuf,
    /// Measure the throughput of these phases, which run in this order; put always runs
    #[arg(long, value_enum, value_delimiter = ',')]
    pub phases: Vec<Phase>,
    /// Measure how long single puts take while one thread loads the keys
    #[arg(long)]
    pub latency: bool,
    /// Measure memory over the bytes of keys and values, as one thread loads, replaces and deletes
    #[arg(long)]
    pub memory: bool,
    /// Measure a lock and unlock of one of our shards, whatever the map
    #[arg(long)]
    pub lock: bool,
}

impl Options {
    /// What a store is put through.
    pub fn workload(&self) -> Workload {
        Workload { keys: self.keys, value_bytes: self.value_bytes, seed: self.seed }
    }

    /// Operations of each phase but put, of all threads together.
    pub fn operations(&self) -> u64 {
        self.operations.unwrap_or(self.keys)
    }

    /// The same options for each thing to measure by itself.
    pub fn parts(&self) -> Vec<Options> {
        let nothing = Options {
            phases: Vec::new(),
            latency: false,
            memory: false,
            lock: false,
            ..self.clone()
        };
        let mut parts = Vec::new();
        if !self.phases.is_empty() {
            parts.push(Options { phases: self.phases.clone(), ..nothing.clone() });
        }
        if self.latency {
            parts.push(Options { latency: true, ..nothing.clone() });
        }
        if self.memory {
            parts.push(Options { memory: true, ..nothing.clone() });
        }
        if self.lock {
            parts.push(Options { lock: true, ..nothing });
        }
        parts
    }

    /// A command line that says the same.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: &dyn ToString| {
            arguments.extend([name.into(), value.to_string().into()]);
        };
        add("--store", &self.store);
        add("--keys", &self.keys);
        add("--value-bytes", &self.value_bytes);
        add("--operations", &self.operations());
        add("--seed", &self.seed);
        add("--threads", &self.threads);
        for phase in &self.phases {
            add("--phases", &phase.name());
        }
        arguments.extend(["--folder".into(), self.folder.clone().into_os_string()]);
        arguments.extend(self.latency.then(|| "--latency".into()));
        arguments.extend(self.memory.then(|| "--memory".into()));
        arguments.extend(self.lock.then(|| "--lock".into()));
        arguments
    }
}

/// A map that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreName {
    /// `dashmap::DashMap`, in the memory of this process
    Dashmap,
    /// `papaya::HashMap`, in the memory of this process
    Papaya,
    /// `shf_engine::Map`, without the C++ interface
    Shf,
    /// The same, 32 gets at once
    ShfMany,
}

impl std::fmt::Display for StoreName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("no store is hidden");
        f.write_str(value.get_name())
    }
}

/// What the threads do together, one after the other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// Put every key into the empty map
    Put,
    /// Gets that hit, in uniform random order
    Get,
    /// Gets that hit, of keys that follow Zipf's distribution with exponent 0.99
    Zipf,
    /// Gets of keys that are not there
    Miss,
    /// 98 % gets that hit, 2 % puts of the same size
    Mix,
    /// Puts of the same size
    Update,
    /// Puts of half to one and a half of the size
    Resize,
}

impl Phase {
    /// The name on the command line and in the JSON.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no phase is hidden").get_name().to_owned()
    }
}

fn keys() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1_000_000_000)
}

fn value_bytes() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1 << 20)
}

fn threads() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_that_is_written_says_the_same_when_it_is_read() {
        let words = ["--store", "papaya", "--phases", "put,zipf", "--latency", "--folder", "/tmp"];
        let options = Options::parse_from(std::iter::once("maps").chain(words));
        let read = |options: &Options| {
            let program = std::iter::once(OsString::from("maps"));
            Options::parse_from(program.chain(options.arguments()))
        };
        assert_eq!(read(&options).arguments(), options.arguments());
        assert_eq!(read(&options).phases, [Phase::Put, Phase::Zipf]);
        let parts = options.parts();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].phases.len() == 2 && !parts[0].latency);
        assert!(parts[1].phases.is_empty() && parts[1].latency);
    }
}
