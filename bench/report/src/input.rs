//! The JSON of one run of `shf_bench_peers`.

use serde::Deserialize;

/// The format that this program knows.
const FORMAT: u64 = 1;

/// One file.
#[derive(Debug, Deserialize)]
pub struct Run {
    pub machine: Machine,
    pub build: Build,
    pub options: Options,
    pub peers: Vec<Peer>,
    pub skipped: Vec<Skipped>,
    #[serde(default)]
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
}

/// Where it ran.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Machine {
    pub processor: String,
    pub processors: u64,
    pub kernel: String,
    pub load: f64,
    pub memory_bytes: u64,
    pub folder: String,
    pub file_system: String,
    pub shmem_huge_pages: String,
    pub date: String,
}

/// What was measured.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Build {
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub compiler: String,
    pub rustc: String,
}

/// How it was measured.
#[derive(Debug, Deserialize)]
pub struct Options {
    pub keys: u64,
    pub key_bytes: u64,
    pub value_bytes: u64,
    pub seed: u64,
    pub runs: u64,
    pub operations: u64,
    pub sections: Vec<String>,
}

/// Who sees what a store holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Processes share its memory.
    Shared,
    /// Processes ask a server.
    Server,
    /// Threads of one process.
    Threads,
    /// It is no store, but what the machine allows.
    Limit,
}

/// A store, in one way to use it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Peer {
    pub name: String,
    pub kind: Kind,
    pub version: String,
    pub configuration: String,
}

/// What was not measured.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Skipped {
    pub name: String,
    pub why: String,
}

/// A figure, once for each run.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub peer: String,
    pub section: String,
    pub workload: String,
    pub keys: u64,
    pub value_bytes: u64,
    pub processes: u64,
    pub unit: String,
    pub values: Vec<f64>,
}

/// Reads a file's text.
pub fn parse(text: &str) -> Result<Run, String> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let expected = "expected the JSON that shf_bench_peers --json writes";
    let head: Head = serde_json::from_str(text).map_err(|error| format!("{expected}: {error}"))?;
    if head.format != FORMAT {
        return Err(format!("expected format {FORMAT}, found format {}", head.format));
    }
    let run: Run = serde_json::from_str(text).map_err(|error| format!("{expected}: {error}"))?;
    for row in &run.rows {
        let figure = format!("the figure {:?} of {:?}", row.workload, row.peer);
        if !run.peers.iter().any(|peer| peer.name == row.peer) {
            return Err(format!("{figure}: expected its peer among \"peers\", found none"));
        }
        if row.values.is_empty() || row.values.iter().any(|value| *value < 0.0) {
            return Err(format!(
                "{figure}: expected one number or more, none below 0, found {:?}",
                row.values
            ));
        }
        if !["Mops/s", "ns", "us", "ratio", "bytes", "hit rate"].contains(&row.unit.as_str()) {
            return Err(format!(
                "{figure}: expected the unit Mops/s, ns, us, ratio, bytes or hit rate, found {:?}",
                row.unit
            ));
        }
    }
    Ok(run)
}
