//! Million operations a second that the threads reach together.

use crate::command_line::{Options, Phase};
use crate::machine;
use crate::store::Store;
use crate::worker::Worker;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// When one thread was at work on a phase.
struct Span {
    phase: Phase,
    operations: u64,
    start: Instant,
    end: Instant,
}

/// Loads an empty store and runs the phases that are wanted, in their order.
pub fn measure<S: Store>(options: &Options) -> Result<BTreeMap<String, f64>, String> {
    let store = S::create(options)?;
    let processors = machine::processors()?;
    let barrier = Barrier::new(options.threads as usize);
    let spans = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|n| {
                let (store, barrier, processors) = (&store, &barrier, &processors);
                scope.spawn(move || run(options, store, n, barrier, processors))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread panicked"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let wanted = |phase: &Phase| options.phases.contains(phase);
    let phases = Phase::value_variants().iter().copied().filter(wanted);
    Ok(phases.map(|phase| (phase.name(), mops(spans.iter().flatten(), phase))).collect())
}

/// The n-th thread. It comes to every barrier, even when its session fails.
fn run<S: Store>(
    options: &Options,
    store: &S,
    n: u64,
    barrier: &Barrier,
    processors: &[usize],
) -> Result<Vec<Span>, String> {
    let pinned = machine::pin(processors, n as usize);
    let mut worker = Worker::new(options.workload(), store.session(), n);
    let (keys, threads) = (options.keys, options.threads);
    let share = (options.operations() / threads).max(1);
    let (first, end) = (keys * n / threads, keys * (n + 1) / threads);
    let mut spans = Vec::new();
    for &phase in Phase::value_variants() {
        if phase != Phase::Put && !options.phases.contains(&phase) {
            continue;
        }
        if phase == Phase::Zipf {
            worker.draw_skewed(share);
        }
        barrier.wait();
        let start = Instant::now();
        let operations = if phase == Phase::Put { end - first } else { share };
        if worker.error().is_none() {
            match phase {
                Phase::Put => worker.put_fresh(first, end),
                Phase::Get => worker.get_hits(share),
                Phase::Zipf => worker.get_skewed(share),
                Phase::Miss => worker.get_misses(share),
                Phase::Mix => worker.mixed(share),
                Phase::Update => worker.update(share),
                Phase::Resize => worker.resize(share),
            }
        }
        spans.push(Span { phase, operations, start, end: Instant::now() });
    }
    pinned?;
    worker.error().map_or(Ok(spans), |error| Err(error.to_owned()))
}

/// From when the first thread started until the last one ended.
fn mops<'s>(spans: impl Iterator<Item = &'s Span>, phase: Phase) -> f64 {
    let spans: Vec<_> = spans.filter(|span| span.phase == phase).collect();
    let start = spans.iter().map(|span| span.start).min();
    let end = spans.iter().map(|span| span.end).max();
    let operations: u64 = spans.iter().map(|span| span.operations).sum();
    match (start, end) {
        (Some(start), Some(end)) => operations as f64 / (end - start).as_secs_f64() / 1e6,
        _ => 0.0,
    }
}
