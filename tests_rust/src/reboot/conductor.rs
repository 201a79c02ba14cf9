//! Lets children work on a map, stops them again and again, and takes snapshots.

use crate::Random;
use crate::map_file::MapFile;
use crate::process::{self, End, Stopping};
use crate::reboot::crash::Crash;
use crate::reboot::desk::{Desks, Stop};
use crate::reboot::expected::Expected;
use crate::reboot::member::{self, Entry};
use crate::reboot::record::Record;
use crate::reboot::script::Script;
use crate::reboot::{engine, flush, judge};
use shf_engine::Options;
use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

/// How children are treated.
#[derive(Clone, Copy, Debug)]
pub struct Treatment {
    /// One in so many stops is the end of the child, and another one takes its place; 0: none.
    pub kills: u64,
    /// One in so many flushes fails; 0: none.
    pub failures: u64,
    /// Steps between two stops of a child that is alone, at most.
    pub stride: u64,
}

/// A child.
struct Worker {
    pid: i32,
    child: Option<Stopping>,
    runs: bool,
    syncs: bool,
}

/// Children on a map, and what is seen of them.
pub struct Conductor<'a> {
    file: &'a MapFile,
    desks: Desks,
    scripts: Vec<Script>,
    record: Option<Record>,
    workers: Vec<Worker>,
    treatment: Treatment,
    random: &'a mut Random,
    /// Stops that are to follow each other closely.
    burst: u64,
    is_open: bool,
}

/// What children did to a map that the first of them makes.
pub fn create(
    file: &MapFile,
    options: Options,
    scripts: Vec<Script>,
    treatment: Treatment,
    random: &mut Random,
) -> Record {
    Conductor::new(file, scripts, treatment, random).run(&Entry::Create(options))
}

/// What children did to a map that the first of them recovers.
pub fn recover(
    crash: &Crash,
    scripts: Vec<Script>,
    treatment: Treatment,
    random: &mut Random,
) -> Record {
    let mut conductor = Conductor::new(&crash.file, scripts, treatment, random);
    conductor.begin_record(crash.geometry, Some(&crash.expected));
    conductor.run(&Entry::Recover)
}

impl<'a> Conductor<'a> {
    fn new(
        file: &'a MapFile,
        scripts: Vec<Script>,
        treatment: Treatment,
        random: &'a mut Random,
    ) -> Conductor<'a> {
        let (record, workers, desks) = (None, Vec::new(), Desks::new());
        Conductor {
            file,
            desks,
            scripts,
            record,
            workers,
            treatment,
            random,
            burst: 0,
            is_open: false,
        }
    }

    fn begin_record(&mut self, geometry: shf_base::geometry::Geometry, on: Option<&Expected>) {
        let scripts = self.scripts.clone();
        self.record = Some(Record::new(&self.file.path(), geometry, self.desks, scripts, on));
    }

    fn run(mut self, entry: &Entry) -> Record {
        self.start(entry);
        while let Some(at) = self.next_stop() {
            self.pause();
            if self.desks.of(0).is_open() && !self.is_open {
                self.opened();
            }
            self.take();
            if self.is_open && self.workers.len() < self.scripts.len() {
                self.start(&Entry::Open);
            }
            if self.draw(self.treatment.kills) {
                self.replace(at, entry);
            }
            self.go_on(at);
        }
        self.record.expect("the map was opened")
    }

    /// Starts the next child.
    fn start(&mut self, entry: &Entry) {
        let pid = member::spawn(self.file, self.desks, &self.scripts[self.workers.len()], entry);
        let child = Some(Stopping::new(pid));
        self.workers.push(Worker { pid, child, runs: true, syncs: false });
    }

    /// The map was made or recovered.
    fn opened(&mut self) {
        let map = self.file.open_read_only();
        if self.record.is_none() {
            self.begin_record(*map.geometry(), None);
        }
        let record = self.record.as_mut().unwrap();
        let settled = judge::settle(&map, record.inherited());
        self.is_open = true;
        record.begin_with(settled.unwrap_or_else(|why| panic!("recovered: {why}")));
    }

    fn take(&mut self) {
        // Before the map is open, the file may not have its name yet.
        if let Some(mut record) = self.record.take() {
            record.take(&self.flushing());
            self.record = Some(record);
        }
    }

    /// The children that have stopped at a flush, and its pages.
    fn flushing(&self) -> Vec<(usize, Range<u64>)> {
        let path = self.file.path();
        let at_flush = self.workers.iter().enumerate().filter_map(|(of, worker)| {
            let desk = self.desks.of(of);
            let flushes = worker.child.is_some() && desk.stop() == Stop::Flush;
            flushes.then(|| (of, flush::pages(worker.pid, desk.flush_call(), &path)))
        });
        at_flush.collect()
    }

    /// Waits until some child stops; `None`: all have ended.
    fn next_stop(&mut self) -> Option<usize> {
        loop {
            let running: Vec<_> =
                (0..self.workers.len()).filter(|of| self.workers[*of].runs).collect();
            if running.is_empty() {
                return None;
            }
            for &of in &running {
                let worker = &mut self.workers[of];
                let alone = running.len() == 1;
                let seen = if alone {
                    Some(process::wait_for_stop(worker.pid))
                } else {
                    process::look_for_stop(worker.pid)
                };
                match seen {
                    None => {}
                    Some(None) => {
                        worker.runs = false;
                        return Some(of);
                    }
                    Some(Some(end)) => self.ended(of, end),
                }
            }
            if running.len() > 1 {
                sleep(Duration::from_micros(50));
            }
        }
    }

    fn ended(&mut self, of: usize, end: End) {
        assert_eq!(end, End::Exited(0), "child {of}, after {} calls", self.desks.of(of).begun());
        let worker = &mut self.workers[of];
        worker.runs = false;
        // It has been waited for.
        std::mem::forget(worker.child.take());
    }

    /// Stops all.
    fn pause(&mut self) {
        for of in 0..self.workers.len() {
            if self.workers[of].runs {
                process::signal(self.workers[of].pid, libc::SIGSTOP);
                match process::wait_for_stop(self.workers[of].pid) {
                    None => self.workers[of].runs = false,
                    Some(end) => self.ended(of, end),
                }
            }
        }
    }

    /// Lets all go on, the one that stopped by itself perhaps later.
    fn go_on(&mut self, at: usize) {
        let others = (0..self.workers.len()).filter(|of| *of != at).collect::<Vec<_>>();
        for &of in &others {
            self.let_go(of);
        }
        if !others.is_empty() && self.random.below(2) == 0 {
            sleep(Duration::from_micros(self.random.below(2000)));
        }
        self.let_go(at);
    }

    fn let_go(&mut self, of: usize) {
        if self.workers[of].runs || self.workers[of].child.is_none() {
            return;
        }
        let desk = self.desks.of(of);
        match desk.stop() {
            Stop::BeforeSync => self.workers[of].syncs = true,
            Stop::AfterSync => self.workers[of].syncs = false,
            Stop::Flush => {
                let fails = self.is_open && self.draw(self.treatment.failures);
                desk.fail_flushes(if fails { libc::EIO } else { 0 });
            }
            _ => {}
        }
        desk.arm(self.steps(of));
        self.workers[of].runs = true;
        self.workers[of].child.as_ref().unwrap().go_on();
    }

    /// Steps that a child may take now; 0: any number.
    fn steps(&mut self, of: usize) -> u64 {
        let (syncs, alone) = (self.workers[of].syncs, self.scripts.len() == 1);
        let random = &mut *self.random;
        if self.is_open && !alone {
            let few = syncs || random.below(8) == 0;
            return if few { 1 + random.below(if syncs { 2 } else { 2000 }) } else { 0 };
        }
        if self.burst == 0 && random.below(if syncs { 4 } else { 10 }) == 0 {
            self.burst = random.below(30);
        }
        let limit = match (self.burst.checked_sub(1), syncs) {
            (Some(left), _) => {
                self.burst = left;
                3
            }
            (None, true) => 12,
            (None, false) => self.treatment.stride,
        };
        1 + random.below(limit)
    }

    /// Kills a child that has stopped; another one goes on in its place.
    fn replace(&mut self, at: usize, entry: &Entry) {
        let open = self.is_open;
        if !open && matches!(entry, Entry::Create(_)) {
            return;
        }
        let worker = &mut self.workers[at];
        let Some(child) = worker.child.take() else { return };
        drop(child);
        self.desks.of(at).say_stop(Stop::Step);
        let entry = if open { Entry::Open } else { Entry::Recover };
        worker.pid = member::spawn(self.file, self.desks, &self.scripts[at], &entry);
        worker.child = Some(Stopping::new(worker.pid));
        worker.syncs = false;
        worker.runs = true;
    }

    fn draw(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.below(one_in) == 0
    }
}

/// A treatment that a seed chooses; `kills`: whether there may be any.
pub fn any_treatment(random: &mut Random, kills: bool) -> Treatment {
    let kills = if kills { [0, 40, 400][random.below(3) as usize] } else { 0 };
    let failures = if engine::RECOVERS { [0, 0, 8][random.below(3) as usize] } else { 0 };
    Treatment { kills, failures, stride: [500, 2000, 8000][random.below(3) as usize] }
}
