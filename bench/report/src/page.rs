//! The measured part of the page.

use crate::chart::Chart;
use crate::figures::{Figures, distinct};
use crate::format;
use crate::input::{Kind, Run};
use crate::{table, targets};
use std::fmt::Write;

/// Sections in the order of the page, with a title and what they are.
const SECTIONS: [(&str, &str, &str); 11] = [
    ("core", "Throughput", "Each peer is loaded from empty, then the other phases run on it."),
    ("wider", "Other sizes, and more processes", "Fewer keys, once."),
    (
        "limit",
        "What the machine allows",
        "A store that did one random access to its memory for each operation, and nothing else, \
         would be as fast.",
    ),
    ("latency", "Latency of single puts", "While the store grows from empty, by one process."),
    (
        "memory",
        "Memory",
        "Real memory over the bytes of keys and values that are in the store at that moment.",
    ),
    ("attach", "Opening", "A store that is loaded, by another process, until it could get."),
    (
        "lock",
        "The lock",
        "Processes on a map with a single shard. A lock and unlock, and the same of the mutex that the C \
         library has for the purpose, are those of one process whose lock nobody else wants.",
    ),
    (
        "counters",
        "Counters",
        "One is added to counters that are there: to one of many, or all to the same one. SharedHashFile \
         adds in place.",
    ),
    (
        "operations",
        "Other operations",
        "A get by UID beside the get by key, for keys of several lengths: both know what to look \
         for in the order of use. With many keys both wait for the same two lines of memory; where \
         there are few, these are in the processor's caches. A compare-and-swap is a get with its \
         token, and a put under the condition that the token is still good; an update does that \
         around a function. A walk copies each key and value. Elements are pushed at the end of \
         lists and shifted from the front; keys are put that live for an hour, or for 50 ms, so that \
         they expire all the time, and given another age (touch).",
    ),
    (
        "hits",
        "Hit rates",
        "Hits over gets, of caches that are full; a get that misses is followed by a put. The columns \
         say for about how many keys there is room. SharedHashFile evicts, with a memory of a quarter \
         more than keys and values; the others have as much room as it turns out to have. Of the keys \
         that come again, the r-th in order of popularity is wanted in proportion to 1 / r ^ 0.7 to \
         1.1. Scans want each of many other keys once, one after the other, as do 30 % of the gets \
         where the trace says so. Where popularity drifts, another key is the most popular one after \
         every ten gets. Mixed values have from half of the size to half more, and room is counted in bytes.",
    ),
    ("growth", "Growth", "How the cost of an operation grows with the number of keys."),
];

/// What lies between the marks.
pub fn measured(
    runs: &[Run],
    figures: &Figures,
    charts: &[Chart],
    folder: &str,
    with_targets: bool,
) -> String {
    let mut text = String::new();
    add_machine(&mut text, runs);
    add_peers(&mut text, runs, figures);
    let _ = writeln!(
        text,
        "In all tables a number above 1 in brackets means that SharedHashFile is ahead.\n"
    );
    for (section, title, about) in SECTIONS {
        if figures.section(section).next().is_none() {
            continue;
        }
        let _ = writeln!(text, "## {title}\n\n{about} {}\n", table::legend(figures, section));
        for chart in charts.iter().filter(|chart| chart.section == section) {
            let _ = writeln!(text, "![{}]({folder}/{})\n", chart.title, chart.file);
        }
        text.push_str(&table::section(figures, section));
    }
    if with_targets {
        let _ = writeln!(text, "## What it was meant to reach\n\n{}", targets::table(figures));
    }
    add_notes(&mut text, runs);
    text
}

fn add_machine(text: &mut String, runs: &[Run]) {
    text.push_str("## Machine and build\n\n");
    for run in runs {
        let (machine, build, options) = (&run.machine, &run.build, &run.options);
        let _ = writeln!(
            text,
            "- {}: {}, {} processors, {} of memory; {}; maps in `{}` ({}; huge pages of \
             shared memory: {}); load {:.2} at the beginning.",
            machine.date,
            machine.processor,
            machine.processors,
            format::memory(machine.memory_bytes),
            machine.kernel,
            machine.folder,
            machine.file_system,
            chosen(&machine.shmem_huge_pages),
            machine.load,
        );
        let _ = writeln!(
            text,
            "  SharedHashFile {}, {}, {}, rustc {}. {}: {} keys of {} bytes, values of {} bytes, \
             {} operations, {}, seed {}.",
            build.version,
            build.kind,
            build.compiler,
            build.rustc,
            options.sections.join(", "),
            format::grouped(options.keys),
            options.key_bytes,
            format::grouped(options.value_bytes),
            format::grouped(options.operations),
            if options.runs == 1 { "1 run".into() } else { format!("{} runs", options.runs) },
            options.seed,
        );
    }
    text.push('\n');
}

fn add_peers(text: &mut String, runs: &[Run], figures: &Figures) {
    text.push_str("## Stores\n\n| | version | is | configuration |\n|---|---|---|---|\n");
    for peer in &figures.peers {
        let is = match peer.kind {
            Kind::Shared => "shared between processes",
            Kind::Server => "a server",
            Kind::Threads => "in one process, for its threads",
            Kind::Limit => "the machine's limit",
        };
        let configuration = peer.configuration.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {} | {is} | {configuration} |", peer.name, peer.version);
    }
    text.push('\n');
    let skipped = distinct(runs.iter().flat_map(|run| &run.skipped));
    for skipped in &skipped {
        let _ = writeln!(text, "- {} was not measured: {}.", skipped.name, sentence(&skipped.why));
    }
    if !skipped.is_empty() {
        text.push('\n');
    }
}

fn add_notes(text: &mut String, runs: &[Run]) {
    let notes = distinct(runs.iter().flat_map(|run| &run.notes));
    if notes.is_empty() {
        return;
    }
    text.push_str("## Notes\n\n");
    for note in notes {
        let _ = writeln!(text, "- {}.", sentence(note));
    }
}

/// Of what the kernel offers, the choice, which it puts into brackets.
fn chosen(offer: &str) -> &str {
    let inside = offer.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(offer, |(choice, _)| choice)
}

/// Without the full stop that another one follows.
fn sentence(text: &str) -> &str {
    text.trim_end_matches('.')
}
