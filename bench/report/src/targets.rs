//! What the figures were meant to become, and what they are.

use crate::figures::{Figure, Figures, OURS};
use crate::format;
use std::fmt::Write;

const MANY: &str = "SharedHashFile, many by 32";
const TBB: &str = "TBB concurrent_hash_map";
const BOOST: &str = "Boost.Interprocess";
/// As much as one that does nothing but copy values of the usual size.
const LIMIT: &str = "copy 116 B, prefetched";

/// Which side of a target is good.
#[derive(Clone, Copy)]
enum Good {
    AtLeast,
    AtMost,
}

/// One line of the table.
struct Target {
    what: String,
    good: Good,
    must: Option<f64>,
    aim: Option<f64>,
    unit: &'static str,
    measured: Option<f64>,
}

/// The table; what was not measured is said.
pub fn table(figures: &Figures) -> String {
    let mut text = String::from("| | must | aim | measured | |\n|---|--:|--:|--:|---|\n");
    for target in all(figures) {
        let sign = match target.good {
            Good::AtLeast => "≥",
            Good::AtMost => "≤",
        };
        let bound = |bound: Option<f64>| match bound {
            Some(bound) => format!("{sign} {}", format::with_unit(bound, target.unit)),
            None => "–".into(),
        };
        let measured = target.measured.map(|value| format::with_unit(value, target.unit));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            target.what,
            bound(target.must),
            bound(target.aim),
            measured.unwrap_or_else(|| "–".into()),
            target.verdict(),
        );
    }
    text
}

impl Target {
    fn verdict(&self) -> &'static str {
        let Some(measured) = self.measured else { return "not measured" };
        let holds = |bound: f64| match self.good {
            Good::AtLeast => measured >= bound,
            Good::AtMost => measured <= bound,
        };
        match (self.must.map(holds), self.aim.map(holds)) {
            (Some(false), _) => "**missed**",
            (_, Some(true)) => "aim reached",
            (Some(true), _) => "reached",
            _ => "aim missed",
        }
    }
}

fn all(figures: &Figures) -> Vec<Target> {
    let mut targets = throughput(figures);
    targets.extend(two_processes(figures));
    targets.extend(memory(figures));
    targets.extend(latency(figures));
    targets
}

fn throughput(figures: &Figures) -> Vec<Target> {
    let over = |ours: &str, workload: &str, peer: &str| {
        let mine = core(figures, ours, workload, 1)?;
        ratio(mine, figures.find(&mine.scene, peer, workload)?)
    };
    let over_machine = |ours: &str, workload: &str| {
        let limit = figures.section("limit").find(|figure| figure.workload == LIMIT)?;
        ratio(core(figures, ours, workload, 1)?, limit)
    };
    let line = |workload: &str, must: f64, aim: f64| {
        let what = format!("{workload}, over TBB");
        let measured = over(OURS, workload, TBB);
        Target { what, good: Good::AtLeast, must: Some(must), aim: Some(aim), unit: "", measured }
    };
    let get = "GET uniform";
    vec![
        line(get, 2.3, 2.6),
        Target {
            must: Some(4.0),
            aim: None,
            what: "GET uniform, many by 32, over TBB's".into(),
            measured: over(MANY, get, TBB),
            ..line(get, 0.0, 0.0)
        },
        Target {
            must: None,
            aim: Some(0.5),
            what: format!("GET uniform, many by 32, over the machine's {LIMIT}"),
            measured: over_machine(MANY, get),
            ..line(get, 0.0, 0.0)
        },
        line("GET miss", 2.8, 5.0),
        line("GET zipf 0.99", 1.8, 2.2),
        line("PUT fresh", 2.5, 3.2),
        Target {
            must: None,
            aim: Some(4.5),
            what: "PUT fresh, over Boost.Interprocess".into(),
            measured: over(OURS, "PUT fresh", BOOST),
            ..line("PUT fresh", 0.0, 0.0)
        },
        line("MIX 98/2", 2.1, 2.5),
        line("UPDATE same size", 1.6, 2.2),
        line("UPDATE 50 to 150 %", 2.2, 2.8),
    ]
}

fn two_processes(figures: &Figures) -> Vec<Target> {
    let line = |workload: &str, must: f64, aim: f64| {
        let one = core(figures, OURS, workload, 1);
        let two = core(figures, OURS, workload, 2);
        Target {
            what: format!("{workload}, two processes over one"),
            good: Good::AtLeast,
            must: Some(must),
            aim: Some(aim),
            unit: "",
            measured: two.zip(one).and_then(|(two, one)| ratio(two, one)),
        }
    };
    vec![line("GET uniform", 1.75, 1.9), line("MIX 98/2", 1.75, 1.9), line("PUT fresh", 1.35, 1.6)]
}

fn memory(figures: &Figures) -> Vec<Target> {
    let line = |what: String, must: f64, aim: f64, measured| Target {
        what: format!("memory over payload, {what}"),
        good: Good::AtMost,
        must: Some(must),
        aim: Some(aim),
        unit: "ratio",
        measured,
    };
    let loaded = [(8, 2.1, 1.8), (100, 1.25, 1.18), (1000, 1.10, 1.06)];
    let mut targets: Vec<_> = loaded
        .into_iter()
        .map(|(bytes, must, aim)| {
            let measured = memory_at(figures, "loaded", bytes).or_else(|| per_key(figures, bytes));
            line(format!("loaded, values of {bytes} bytes"), must, aim, measured)
        })
        .collect();
    for (moment, must, aim) in
        [("replaced 5 times", 1.35, 1.25), ("90 % deleted, then puts", 1.8, 1.4)]
    {
        let measured = memory_at(figures, moment, 100);
        targets.push(line(format!("{moment}, values of 100 bytes"), must, aim, measured));
    }
    targets
}

fn latency(figures: &Figures) -> Vec<Target> {
    let ours = |share: &str| {
        figures.section("latency").find(|figure| figure.peer == OURS && figure.workload == share)
    };
    let over = |share: &str| {
        let mine = ours(share)?;
        ratio(mine, figures.find(&mine.scene, TBB, share)?)
    };
    let line = |what: &str, must: f64, aim: Option<f64>, unit, measured| Target {
        what: what.into(),
        good: Good::AtMost,
        must: Some(must),
        aim,
        unit,
        measured,
    };
    vec![
        line("latency of a put, p99 over TBB's", 0.5, None, "", over("p99")),
        line("latency of a put, p99.9 over TBB's", 2.5, Some(1.0), "", over("p99.9")),
        line(
            "latency of a put, p99.99",
            100_000.0,
            None,
            "ns",
            ours("p99.99").map(|figure| figure.median),
        ),
    ]
}

/// A figure of the section core, in its first scene with so many processes.
fn core<'f>(
    figures: &'f Figures,
    peer: &str,
    workload: &str,
    processes: u64,
) -> Option<&'f Figure> {
    let scenes = figures.scenes("core");
    let scene = scenes.into_iter().find(|scene| scene.processes == processes)?;
    figures.find(scene, peer, workload)
}

fn memory_at(figures: &Figures, moment: &str, value_bytes: u64) -> Option<f64> {
    let mut ours = figures.section("memory").filter(|figure| figure.peer == OURS);
    ours.find(|figure| figure.workload == moment && figure.scene.value_bytes == value_bytes)
        .map(|figure| figure.median)
}

/// From the section growth, where the number of keys is nearest to that of the section core.
fn per_key(figures: &Figures, value_bytes: u64) -> Option<f64> {
    let keys = figures.scenes("core").first().map_or(0, |scene| scene.keys);
    figures
        .section("growth")
        .filter(|figure| figure.peer == OURS && figure.workload == "memory per key")
        .filter(|figure| figure.scene.value_bytes == value_bytes)
        .min_by_key(|figure| figure.scene.keys.abs_diff(keys))
        .map(|figure| figure.median / (16 + value_bytes) as f64)
}

fn ratio(one: &Figure, other: &Figure) -> Option<f64> {
    (other.median > 0.0).then(|| one.median / other.median)
}
