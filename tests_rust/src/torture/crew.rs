//! The processes that use the map: started, stopped, killed and replaced.

use super::keys::Key;
use super::log::{Entry, Log, What};
use super::plan::{Leg, Plan, Report};
use super::run_delay::RunDelay;
use super::stall::Disturbances;
use super::worker::{Role, Worker};
use crate::Random;
use crate::board::Board;
use crate::clock::now;
use crate::map_file::MapFile;
use crate::process::{self, End};
use shf_engine::{Map, Options};
use std::thread::sleep;
use std::time::Duration;

/// The judge looks after the crew this often.
const TICK_NS: u64 = 1_000_000;
/// It wakes up this much later without anybody else wanting the processor.
const USUALLY_LATE_NS: u64 = 1_000_000;
/// Time between two deeds, at most: a kill or a stop.
const PAUSE_NS_MAX: u64 = 12_000_000;
/// How long a process is stopped, at most.
const STOP_NS_MAX: u64 = 25_000_000;
/// How long the crew may take to come to rest.
const REST_NS_MAX: u64 = 40_000_000_000;

/// What the judge and the crew tell each other.
#[derive(Clone, Copy)]
pub struct Signals(Board);

impl Signals {
    fn new(seats: usize) -> Signals {
        Signals(Board::of(1 + seats))
    }

    /// The last round that began, and whether it is still on: else all shall rest.
    pub fn round(&self) -> (u64, bool) {
        let word = self.0.get(0);
        (word / 2, word % 2 == 1)
    }

    fn set_round(&self, round: u64, is_on: bool) {
        self.0.set(0, 2 * round + u64::from(is_on));
    }

    /// The process in a seat rests after a round.
    pub fn rest(&self, seat: usize, round: u64) {
        self.0.set(1 + seat, round);
    }
}

struct Seat {
    pid: i32,
    /// Since when it is stopped, and until when.
    stopped: Option<(u64, u64)>,
    /// Entries of its log that the dead have filled.
    entries: usize,
}

/// The crew of a map.
pub struct Crew<'m> {
    plan: &'m Plan,
    file: &'m MapFile,
    map: &'m Map,
    /// The handle of the map that evicts, which all inherit.
    cache: &'m Map,
    keys: u64,
    /// Whether the last writer has little patience.
    impatient: bool,
    random: Random,
    signals: Signals,
    logs: Vec<Log>,
    seats: Vec<Seat>,
    round: u64,
    disturbances: Disturbances,
}

impl<'m> Crew<'m> {
    /// Nobody yet; `map` is the handle that some will inherit.
    pub fn new(
        plan: &'m Plan,
        leg: &Leg,
        (file, map): (&'m MapFile, &'m Map),
        cache: &'m Map,
        logs: &[Log],
    ) -> Crew<'m> {
        let (signals, logs) = (Signals::new(plan.seats()), logs.to_vec());
        let (keys, impatient, random) = (leg.keys, leg.impatient, Random::new(leg.seed));
        let (seats, round, disturbances) = (Vec::new(), 0, Disturbances::default());
        Crew {
            plan,
            file,
            map,
            cache,
            keys,
            impatient,
            random,
            signals,
            logs,
            seats,
            round,
            disturbances,
        }
    }

    /// Lets the crew work for a time, disturbs it, and brings it to rest. What each seat did comes
    /// back, and what was done to them.
    pub fn round(
        &mut self,
        round: u64,
        time_ns: u64,
        report: &mut Report,
    ) -> Result<(Vec<Vec<Entry>>, Disturbances), String> {
        self.round = round;
        self.signals.set_round(round, true);
        for seat in self.seats.len()..self.plan.seats() {
            let started = self.start(seat, 0);
            self.seats.push(started);
        }
        self.disturb(time_ns, report)?;
        self.rest()?;
        let entries = (0..self.seats.len()).map(|seat| self.take_log(seat)).collect();
        Ok((entries, std::mem::take(&mut self.disturbances)))
    }

    fn start(&mut self, index: usize, entries: usize) -> Seat {
        let writers = self.plan.writers;
        let role = match index {
            _ if index < writers => Role::Writer,
            _ if index < writers + self.plan.readers => Role::Reader,
            _ => Role::Scanner,
        };
        let (seed, keys, round) = (self.random.next(), self.keys, self.round);
        let (log, signals, file, inherited) = (self.logs[index], self.signals, self.file, self.map);
        let (cache, impatient) = (self.cache, self.impatient && index + 1 == writers);
        signals.rest(index, 0);
        let pid = process::spawn(|| {
            process::end_with_parent();
            let mut random = Random::new(seed);
            let own = open(file, role, impatient, &mut random);
            let map = own.as_ref().unwrap_or(inherited);
            let (seat, index) = (index, entries);
            Worker { map, cache, role, seat, log, signals, random, keys, round, index }.work()
        });
        Seat { pid, stopped: None, entries }
    }

    /// Kills and stops processes for a time, or until all rest because their logs are full.
    fn disturb(&mut self, time_ns: u64, report: &mut Report) -> Result<(), String> {
        // Every other round there are no stops, which would hide stalls.
        let (end, stops) = (now() + time_ns, self.round.is_multiple_of(2));
        let mut next = now();
        while now() < end && !self.all_rest() {
            self.tick()?;
            if now() < next {
                continue;
            }
            next = now() + self.random.below(PAUSE_NS_MAX);
            let seat = self.random.below(self.seats.len() as u64) as usize;
            if !stops || self.random.below(2) == 0 {
                self.kill(seat, report)?;
            } else if self.seats[seat].stopped.is_none() {
                process::signal(self.seats[seat].pid, libc::SIGSTOP);
                let begun = now();
                self.seats[seat].stopped = Some((begun, begun + self.random.below(STOP_NS_MAX)));
                report.stops += 1;
            }
        }
        Ok(())
    }

    /// Sleeps a little, then looks who is to go on and who ended without being told to.
    fn tick(&mut self) -> Result<(), String> {
        let planned = now() + TICK_NS;
        sleep(Duration::from_nanos(TICK_NS));
        let woken = now();
        if woken > planned + USUALLY_LATE_NS {
            self.disturbances.late.push((planned, woken));
        }
        for index in 0..self.seats.len() {
            let over = self.seats[index].stopped.is_some_and(|(_, until)| now() >= until);
            if over {
                self.go_on(index);
            }
            if let Some(end) = process::ended(self.seats[index].pid) {
                self.seats.remove(index);
                return Err(ended_by_itself(index, end));
            }
        }
        Ok(())
    }

    fn go_on(&mut self, index: usize) {
        if let Some((begun, _)) = self.seats[index].stopped.take() {
            process::signal(self.seats[index].pid, libc::SIGCONT);
            self.disturbances.stops.push((begun, now()));
        }
    }

    fn kill(&mut self, index: usize, report: &mut Report) -> Result<(), String> {
        let Seat { pid, stopped, entries } = self.seats[index];
        process::signal(pid, libc::SIGKILL);
        process::await_end(pid);
        let (dead, delay) = (now(), RunDelay::of(pid));
        let end = process::wait(pid);
        if end != End::Killed(libc::SIGKILL) {
            self.seats.remove(index);
            return Err(ended_by_itself(index, end));
        }
        self.disturbances.deaths.push(dead);
        report.kills += 1;
        if let Some((begun, _)) = stopped {
            report.killed_stopped += 1;
            self.disturbances.stops.push((begun, dead));
        }
        let entries = self.logs[index].free(entries);
        let last = entries.checked_sub(1).and_then(|last| self.logs[index].entry(last));
        if let Some(last) = last.filter(|last| last.ended == u64::MAX) {
            let delay = delay.saturating_sub(last.delay);
            let cut = Entry { ended: dead, delay, ..last };
            self.disturbances.cut.push(cut);
        }
        self.seats[index] = self.start(index, entries);
        Ok(())
    }

    fn all_rest(&self) -> bool {
        (0..self.seats.len()).all(|seat| self.rests(seat))
    }

    fn rests(&self, seat: usize) -> bool {
        self.signals.0.get(1 + seat) == self.round
    }

    /// Brings all to rest; who does not come waits for a lock that nobody gives back.
    fn rest(&mut self) -> Result<(), String> {
        self.signals.set_round(self.round, false);
        (0..self.seats.len()).for_each(|seat| self.go_on(seat));
        let begun = now();
        while !self.all_rest() {
            self.tick()?;
            if now() - begun > REST_NS_MAX {
                let awake = (0..self.seats.len()).filter(|&seat| !self.rests(seat));
                let what = awake.map(|seat| {
                    let (last, where_it_is) =
                        (self.last(seat), process::whereabouts(self.seats[seat].pid));
                    format!("\n  seat {seat}: {last:?}, {where_it_is}")
                });
                return Err(format!("a call does not come back:{}", what.collect::<String>()));
            }
        }
        Ok(())
    }

    /// What the process in a seat does.
    fn last(&self, seat: usize) -> Option<(What, Key)> {
        let last = self.logs[seat].free(0).checked_sub(1)?;
        self.logs[seat].entry(last).map(|entry| (entry.what, entry.key))
    }

    fn take_log(&mut self, seat: usize) -> Vec<Entry> {
        let (log, len) = (self.logs[seat], self.logs[seat].free(0));
        let entries = (0..len).filter_map(|index| log.entry(index)).collect();
        log.clear(len);
        self.seats[seat].entries = 0;
        entries
    }
}

impl Drop for Crew<'_> {
    /// Kills all: while they work, if a round is on.
    fn drop(&mut self) {
        for seat in &self.seats {
            process::signal(seat.pid, libc::SIGKILL);
            process::wait(seat.pid);
        }
    }
}

fn ended_by_itself(seat: usize, end: End) -> String {
    format!("the process in seat {seat} ended by itself: {end:?}")
}

/// A handle of the process's own, or none: it uses the inherited one.
fn open(file: &MapFile, role: Role, impatient: bool, random: &mut Random) -> Option<Map> {
    let patience = impatient.then(|| Duration::from_micros(random.below(4) * 500));
    let options = Options { patience, ..Options::default() };
    let writes = match role {
        Role::Writer => true,
        Role::Reader => false,
        Role::Scanner => random.below(2) == 0,
    };
    let opened = match writes {
        true if !impatient && random.below(2) == 0 => return None,
        true => Map::open(file.folder(), file.name(), &options),
        false => Map::open_read_only(file.folder(), file.name(), &options),
    };
    Some(opened.unwrap_or_else(|error| panic!("the map cannot be opened: {error}")))
}
