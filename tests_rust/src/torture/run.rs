//! Legs, rounds, and what is looked at between them.

use super::cache;
use super::crew::Crew;
use super::judge::{Calls, Reading};
use super::keys::Key;
use super::lists::{self, LISTS, ListReading};
use super::log::{Entry, Log};
use super::mortals;
use super::plan::{Leg, Plan, Report};
use super::stall::{self, Stall, Write};
use crate::Random;
use crate::clock::now;
use crate::map_file::MapFile;
use crate::watchdog::Watchdog;
use shf_engine::{Map, Options};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Most bytes of a map: more than its keys ever need.
const MAX_BYTES: u64 = 64 << 20;
/// How long the crew works in a round.
const ROUND_NS: u64 = 400_000_000;
/// Rounds of the first leg; the second has twice as many, and so on.
const ROUNDS: u64 = 25;
/// Rounds after which a leg's memory is known, but for a factor.
const STEADY: usize = 10;
const GROWTH_MAX: u64 = 2;
/// How long the judge waits for a lock.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a long run says how far it is.
const SAY_AFTER: Duration = Duration::from_secs(30);

/// Does what the plan says. `Err` says what is wrong, with all that was done until then.
pub fn run(plan: &Plan) -> Result<Report, String> {
    let mut random = Random::new(plan.seed);
    let mut report = Report { seed: plan.seed, ..Report::default() };
    let (begun, mut said) = (Instant::now(), Instant::now());
    let logs = Log::new(plan.seats());
    while report.time < plan.time {
        report.legs += 1;
        let leg = Leg::new(report.legs, &mut random);
        let (file, map) = create(&leg);
        let (_cache_file, cache) = cache::create();
        let mut crew = Crew::new(plan, &leg, (&file, &map), &cache, &logs);
        // A lock that nobody gives back must not keep the judge.
        let mut judge = Judge::new(&leg, file.open_impatient(PATIENCE), &cache);
        let (repairs, merges) = (report.repairs, report.merges);
        for _ in 0..ROUNDS * report.legs {
            let _watchdog = Watchdog::new("a round of torture");
            report.rounds += 1;
            let done = judge.round(&mut crew, plan, &mut report);
            let stats = judge.map.stats();
            report.repairs = repairs + stats.repairs;
            // Of the tables that splits and the first keys of the shards have made, those that are
            // gone.
            let made = stats.splits + u64::from(leg.shards);
            report.merges = merges + made.saturating_sub(stats.tables);
            report.time = begun.elapsed();
            done.map_err(|why| format!("{why}\n{report}"))?;
            if report.time >= plan.time {
                break;
            }
            if said.elapsed() > SAY_AFTER {
                println!("{report}");
                said = Instant::now();
            }
        }
    }
    Ok(report)
}

fn check_map(map: &Map) -> Result<(), String> {
    let violations = map.verify().map_err(|error| format!("verify: {error}"))?;
    match violations.is_empty() {
        true => Ok(()),
        false => Err(format!("a map is damaged: {violations:#?}")),
    }
}

fn create(leg: &Leg) -> (MapFile, Map) {
    let file = MapFile::new("torture");
    let (shards, max_bytes, secret) = (Some(leg.shards), Some(MAX_BYTES), Some(leg.secret));
    let durable = Some(leg.durable);
    let options = Options { shards, max_bytes, secret, durable, ..Options::default() };
    let map = Map::create(file.folder(), file.name(), &options);
    (file, map.expect("a map in /dev/shm"))
}

/// What is known of a map between two rounds.
struct Judge<'l> {
    leg: &'l Leg,
    map: Map,
    /// The map that evicts.
    cache: &'l Map,
    readings: Vec<Reading>,
    lists: Vec<ListReading>,
    /// Bytes committed after each of the first rounds.
    committed: Vec<u64>,
}

impl<'l> Judge<'l> {
    fn new(leg: &'l Leg, map: Map, cache: &'l Map) -> Judge<'l> {
        let nothing = Reading { value: None, begun: 0, ended: 0 };
        let readings = vec![nothing; leg.keys as usize];
        let lists = vec![ListReading::default(); LISTS as usize];
        Judge { leg, map, cache, readings, lists, committed: Vec::new() }
    }

    fn round(&mut self, crew: &mut Crew, plan: &Plan, report: &mut Report) -> Result<(), String> {
        let (seats, disturbances) = crew.round(report.rounds, ROUND_NS, report)?;
        check_map(&self.map)?;
        check_map(self.cache)?;
        let lists = lists::read(&self.map, self.leg.keys)?;
        let after = self.read(&lists)?;
        let calls = Calls::of(&seats, self.leg.keys, report)?;
        report.calls += calls.count();
        calls.judge_lists(self.leg.keys, &self.lists, &lists, report)?;
        calls.judge(&self.readings, &after)?;
        (self.readings, self.lists) = (after, lists);
        self.check_memory(report)?;
        let keys = self.leg.keys + LISTS;
        let places: Vec<u32> = (0..keys).map(|key| self.leg.shard(Key(key))).collect();
        let write = |entry: &Entry| Write::of(entry, |key| places[key.0 as usize]);
        let writes: Vec<Write> = seats.iter().flatten().filter_map(write).collect();
        let (shards, entries) = (self.leg.shards, seats.iter().flatten().chain(&disturbances.cut));
        let cut = disturbances.cut.iter().filter_map(write);
        let clears = entries.flat_map(|entry| Write::of_clear(entry, shards));
        let others: Vec<Write> = cut.chain(clears).collect();
        let stall = stall::longest(shards, &writes, &others, &disturbances);
        check_stall(stall, plan, report)
    }

    /// Reads all keys, one by one.
    fn read(&self, lists: &[ListReading]) -> Result<Vec<Reading>, String> {
        let (mut bytes, mut value, mut readings) = (Vec::new(), Vec::new(), Vec::new());
        for key in (0..self.leg.keys).map(Key) {
            key.write(&mut bytes);
            let begun = now();
            let found =
                self.map.get(&bytes, &mut value).map_err(|error| format!("{key:?}: {error}"))?;
            let number = if found { key.read_value(&value) } else { None };
            if found && number.is_none() {
                return Err(format!("{key:?}: the value is not what was put"));
            }
            readings.push(Reading { value: number, begun, ended: now() });
        }
        sleep(mortals::AGE_MAX + Duration::from_millis(1));
        self.map.reap().map_err(|error| format!("reap: {error}"))?;
        let there = readings.iter().filter(|reading| reading.value.is_some()).count()
            + lists.iter().filter(|reading| !reading.list.is_empty()).count();
        let elements: usize = lists.iter().map(|reading| reading.list.len()).sum();
        let counted = self.map.stats().elements;
        if counted != elements as u64 {
            return Err(format!("the map counts {counted} elements and has {elements}"));
        }
        let there = there as u64;
        match self.map.size() == there {
            true => Ok(readings),
            false => Err(format!("the map counts {} keys and has {there}", self.map.size())),
        }
    }

    /// Memory does not go on growing while the keys stay the same ones.
    fn check_memory(&mut self, report: &mut Report) -> Result<(), String> {
        let payload = self.readings.iter().enumerate().map(|(key, reading)| {
            let len = |number| Key(key as u64).payload_bytes(number);
            reading.value.map_or(0, len)
        });
        let (payload, stats): (u64, _) = (payload.sum(), self.map.stats());
        report.payload_bytes = report.payload_bytes.max(payload);
        report.committed_bytes = report.committed_bytes.max(stats.committed_bytes);
        if self.committed.len() < STEADY {
            self.committed.push(stats.committed_bytes);
            return Ok(());
        }
        let steady = self.committed.iter().max().copied().unwrap_or(0);
        match stats.committed_bytes <= GROWTH_MAX * steady {
            true => Ok(()),
            false => Err(format!("memory grows: {steady} bytes at first, then {stats:?}")),
        }
    }
}

fn check_stall(stall: Stall, plan: &Plan, report: &mut Report) -> Result<(), String> {
    report.stall = report.stall.max(stall.net);
    report.stall_gross = report.stall_gross.max(stall.gross);
    if u128::from(stall.net) > plan.stall_max.as_nanos() {
        return Err(format!("a shard was blocked after a death: {stall:?}"));
    }
    Ok(())
}
