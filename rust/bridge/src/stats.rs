//! Adapters for the numbers of a map.

use crate::ffi::{Counts, NamedStats, Outcome, ProcessView, Sink, Stats};
use crate::guard::guard;
use crate::map::{Map, map_name};
use crate::sink::SinkOfCpp;
use shf_engine::sink::room_for;
use shf_engine::stats::Stats as EngineStats;
use shf_engine::{OpError, Process, Role, exposition};
use std::pin::Pin;

/// The same numbers under the same names on both sides, all of them.
macro_rules! same {
    ($($name:ident)*) => {
        impl From<EngineStats> for Stats {
            fn from(EngineStats { $($name),* }: EngineStats) -> Stats {
                Stats { $($name),* }
            }
        }

        impl From<Stats> for EngineStats {
            fn from(Stats { $($name),* }: Stats) -> EngineStats {
                EngineStats { $($name),* }
            }
        }
    };
}

same!(
    keys elements timed_keys committed_bytes max_bytes free_bytes_left apparent_bytes front_bytes
    descriptor_bytes live_bytes dead_bytes free_bytes unused_bytes index_bytes shards tables
    bucket_count max_bucket_count slots splits vacated_pages moved_records repairs expired_keys
    evicted_keys retries created_ns fixed_key_bytes fixed_value_bytes
);

impl Map {
    pub fn stats(&self, into: &mut Stats) -> Outcome {
        guard(|| {
            *into = self.engine()?.stats().into();
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn probe_lengths(
        &self,
        keys: &mut [u64],
        tables_by_depth: &mut [u64],
        tables_by_fill: &mut [u64],
    ) -> Outcome {
        guard(|| {
            let found = self.engine()?.probe_lengths()?;
            keys.copy_from_slice(&found.keys);
            tables_by_depth.copy_from_slice(&found.tables_by_depth);
            tables_by_fill.copy_from_slice(&found.tables_by_fill);
            Ok(Outcome::done(true, 0))
        })
    }
}

pub fn stats_to_json(stats: &Stats, sink: Pin<&mut Sink>) -> Outcome {
    guard(|| Ok(Outcome::copied(copy(&EngineStats::from(*stats).to_json(), sink)?)))
}

pub fn stats_to_json_with(
    stats: &Stats,
    processes: &[ProcessView<'_>],
    sink: Pin<&mut Sink>,
) -> Outcome {
    guard(|| {
        let text = EngineStats::from(*stats).to_json_with(&engine_processes(processes));
        Ok(Outcome::copied(copy(&text, sink)?))
    })
}

pub fn stats_to_prometheus(maps: &[NamedStats<'_>], sink: Pin<&mut Sink>) -> Outcome {
    guard(|| {
        let processes: Vec<_> = maps.iter().map(|map| engine_processes(map.processes)).collect();
        let mut named = Vec::new();
        for (map, processes) in maps.iter().zip(&processes) {
            named.push((map_name(map.map_name)?, map.stats.into(), &processes[..]));
        }
        Ok(Outcome::copied(copy(&exposition::to_prometheus_with(&named), sink)?))
    })
}

fn engine_processes(processes: &[ProcessView<'_>]) -> Vec<Process> {
    let process = |view: &ProcessView<'_>| {
        let ProcessView { slot, attached_ns, pid, application, role, counts, is_this } = *view;
        // Names that the engine gave are UTF-8.
        let application = String::from_utf8_lossy(application).into();
        let (role, counts) = (Role::of(role.into()), counts.into());
        Process { slot, attached_ns, pid, application, role, counts, is_this }
    };
    processes.iter().map(process).collect()
}

impl From<Counts> for shf_engine::Counts {
    fn from(counts: Counts) -> shf_engine::Counts {
        let Counts { hits, misses, puts, deletes, changes, lists, walks, waits } = counts;
        shf_engine::Counts { hits, misses, puts, deletes, changes, lists, walks, waits }
    }
}

/// Copies a text to memory of C++; how long it is.
fn copy(text: &str, sink: Pin<&mut Sink>) -> Result<Option<usize>, OpError> {
    room_for(&mut SinkOfCpp(sink), text.len())?.copy_from_slice(text.as_bytes());
    Ok(Some(text.len()))
}
