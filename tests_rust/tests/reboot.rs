//! Durability: what was synced survives a crash of the machine, at whatever moment, whatever of the
//! rest got to the disk.
//!
//! `shf_tests::reboot` says how crashes are simulated. `SHF_SEED`, `SHF_ROUNDS` and `SHF_ROUND`
//! choose other and more rounds; `SHF_KEEP=<folder>` keeps the file of a failure.
#![cfg(all(feature = "crash-points", not(any(miri, loom))))]

use shf_base::grace;
use shf_tests::Random;
use shf_tests::reboot::conductor::{any_treatment, create, recover};
use shf_tests::reboot::crash::new_file;
use shf_tests::reboot::engine;
use shf_tests::reboot::record::Record;
use shf_tests::reboot::script::{Call, Habits, Script};
use shf_tests::watchdog::Watchdog;
use std::time::{Duration, Instant};

/// Crashes that are tried of each part of a history.
const CRASHES: u64 = 40;
/// Time between the calls of each of several writers.
const PAUSE: Duration = Duration::from_micros(300);

/// Seeds of rounds, as the environment says.
fn rounds(seed: u64, default: u64) -> impl Iterator<Item = (u64, Random)> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = Random::from_env(seed).next();
    let (first, end) = match number("SHF_ROUND") {
        Some(round) => (round, round + 1),
        None => (0, number("SHF_ROUNDS").unwrap_or(default)),
    };
    (first..end)
        .map(move |round| (round, Random::new(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    snapshots: usize,
    flushes: u64,
    crashes: u64,
}

impl Tally {
    /// Tries crashes of what was recorded.
    fn try_crashes(
        &mut self,
        record: &Record,
        which: &str,
        watchdog: &Watchdog,
        random: &mut Random,
    ) {
        self.snapshots += record.snapshots();
        self.flushes += record.flushes();
        for number in 0..CRASHES {
            let Some(crash) = record.crash(random) else { break };
            crash.judge(&format!("{which}, crash {number} (SHF_SEED, SHF_ROUND repeat it)"));
            self.crashes += 1;
            watchdog.feed();
        }
    }
}

fn options(random: &mut Random) -> shf_engine::Options {
    // Pages go back to the file system as soon as they may be used again.
    grace::set_rest(0);
    let shards = 1 << random.below(3);
    let max_bytes = (1 << 20) << random.below(4);
    engine::options(shards, max_bytes, random.next())
}

#[test]
fn what_one_process_synced_survives_crashes_at_any_step_again_and_again() {
    // Goal: a key that was not touched since the last sync is as it was, others as at some moment
    // since. Method: a child's random calls; crashes at its steps; another child recovers one of
    // them, is crashed in that as well, and goes on; several times.
    let watchdog = Watchdog::new("a crash, or what comes after it,");
    let (mut tally, begun) = (Tally::default(), Instant::now());
    for (round, mut random) in rounds(301, 3) {
        let random = &mut random;
        let script = |random: &mut Random| {
            let (habits, calls) = (Habits::any(random), 100 + random.below(500));
            let mut script = Script::new(0, &habits, calls as usize, random);
            // Without any sync there is nothing to try.
            script.calls[calls as usize / 4] = Call::Sync;
            vec![script]
        };
        let file = new_file();
        let (options, scripts) = (options(random), script(random));
        let treatment = any_treatment(random, true);
        let mut record = create(&file, options, scripts, treatment, random);
        tally.try_crashes(&record, &format!("round {round}"), &watchdog, random);
        for life in 1..4 {
            let Some(crash) = record.crash(random) else { break };
            let treatment = any_treatment(random, true);
            let scripts = script(random);
            record = recover(&crash, scripts, treatment, random);
            watchdog.feed();
            tally.try_crashes(&record, &format!("round {round}, life {life}"), &watchdog, random);
        }
    }
    println!("{tally:?} in {:?}", begun.elapsed());
}

#[test]
fn what_several_processes_did_before_a_sync_survives_while_they_go_on() {
    // Goal: the same for calls of others than who syncs, and that a syncer that is killed at any of
    // its steps breaks nothing. Method: one child syncs, step by step, two others write; sometimes
    // the syncer is killed.
    let watchdog = Watchdog::new("a crash beside writers");
    let (mut tally, begun) = (Tally::default(), Instant::now());
    for (round, mut random) in rounds(302, 3) {
        let random = &mut random;
        let scripts = |random: &mut Random| {
            let mut scripts = vec![Script::new(0, &Habits::SYNCS, 6, random)];
            for member in 1..3 {
                let habits = Habits::of_writer(random);
                let script = Script::new(member, &habits, 1000, random);
                scripts.push(script.with_pauses(PAUSE));
            }
            scripts
        };
        let file = new_file();
        let (options, crew) = (options(random), scripts(random));
        let treatment = any_treatment(random, true);
        let record = create(&file, options, crew, treatment, random);
        tally.try_crashes(&record, &format!("round {round}"), &watchdog, random);
        let Some(crash) = record.crash(random) else { continue };
        let (treatment, crew) = (any_treatment(random, true), scripts(random));
        let record = recover(&crash, crew, treatment, random);
        watchdog.feed();
        tally.try_crashes(&record, &format!("round {round}, life 1"), &watchdog, random);
    }
    println!("{tally:?} in {:?}", begun.elapsed());
}
