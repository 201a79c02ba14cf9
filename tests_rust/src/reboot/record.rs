//! What was seen of some children that worked on a map: what its disk may hold, and what is
//! promised.

use crate::Random;
use crate::reboot::crash::Crash;
use crate::reboot::desk::Desks;
use crate::reboot::disk::{Disk, Moment};
use crate::reboot::engine;
use crate::reboot::expected::{Cut, Expected};
use crate::reboot::mixture::{Mixture, Span, Strategy};
use crate::reboot::script::Script;
use shf_base::geometry::{Geometry, PAGE_BYTES};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// All that is known about some children's work.
pub struct Record {
    disk: Disk,
    geometry: Geometry,
    desks: Desks,
    scripts: Vec<Script>,
    /// What may be there before the map is open.
    inherited: Expected,
    /// What was there when it was.
    initial: Expected,
    snapshots: Vec<Snapshot>,
    /// Flushes, by child and number.
    flushes: BTreeMap<(usize, u64), Flushed>,
    /// Those that have ended, as far as they still matter.
    ended: Vec<Flushed>,
}

/// What a flush has the disk get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// When it began.
    pub begun: Moment,
    /// Pages of the file.
    pub pages: Range<u64>,
}

/// What is known about the moment of a snapshot.
struct Snapshot {
    cut: Cut,
    open: bool,
    /// Flushes that had ended, the last one of all pages and those after it; empty: there was
    /// none.
    ended: Vec<Flushed>,
}

impl Record {
    /// Of a file that is there. `inherited` says what may be in it, if it is the disk's after a
    /// crash; else nothing of it is on the disk yet.
    pub fn new(
        path: &Path,
        geometry: Geometry,
        desks: Desks,
        scripts: Vec<Script>,
        inherited: Option<&Expected>,
    ) -> Record {
        let mut record = Record {
            disk: Disk::of(path),
            geometry,
            desks,
            scripts,
            inherited: inherited.cloned().unwrap_or_default(),
            initial: Expected::default(),
            snapshots: Vec::new(),
            flushes: BTreeMap::new(),
            ended: Vec::new(),
        };
        if inherited.is_some() {
            record.end(Flushed { begun: 0, pages: 0..u64::MAX });
            record.take(&[]);
        }
        record
    }

    /// Takes a snapshot, while nobody writes. `flushing`: the children that have stopped at a
    /// flush, and its pages. It begins when the child goes on, so the last snapshot before that
    /// counts.
    pub fn take(&mut self, flushing: &[(usize, Range<u64>)]) {
        let begun = self.disk.snapshot();
        for (member, flush) in self.desks.flushes().into_iter().enumerate() {
            if let Some(flushed) = self.flushes.remove(&(member, flush)) {
                self.end(flushed);
            }
        }
        let (cut, open) = (Cut::now(&self.desks), self.desks.of(0).is_open());
        let nothing = cut.promised.iter().all(|&calls| calls == 0);
        assert!(nothing || !self.ended.is_empty(), "a sync returned without a flush of all pages");
        self.snapshots.push(Snapshot { cut, open, ended: self.ended.clone() });
        for (member, pages) in flushing.iter().cloned() {
            let flush = self.desks.of(member).flush();
            self.flushes.insert((member, flush), Flushed { begun, pages });
        }
    }

    /// A flush ended.
    fn end(&mut self, flushed: Flushed) {
        let all = self.disk.bytes().div_ceil(PAGE_BYTES);
        if flushed.pages.start == 0 && flushed.pages.end >= all {
            self.ended.retain(|other| other.begun > flushed.begun);
        } else if self.ended.is_empty() {
            return;
        }
        self.ended.push(flushed);
    }

    /// What may be there before the map is open.
    pub fn inherited(&self) -> &Expected {
        &self.inherited
    }

    /// Says what was there when the map was open.
    pub fn begin_with(&mut self, initial: Expected) {
        self.initial = initial;
    }

    /// Snapshots so far.
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    /// Flushes that were seen to end.
    pub fn flushes(&self) -> u64 {
        self.desks.flushes().iter().sum()
    }

    fn expected(&self, snapshot: &Snapshot) -> Expected {
        if !snapshot.open {
            return self.inherited.clone();
        }
        self.initial.after(&self.scripts, &snapshot.cut, &self.desks)
    }

    /// A crash at some moment; `None`: nothing was ever flushed.
    pub fn crash(&self, random: &mut Random) -> Option<Crash> {
        let first = self.snapshots.iter().position(|snapshot| !snapshot.ended.is_empty())?;
        let count = (self.snapshots.len() - first) as u64;
        // The last moments, after all that happened, more often.
        let back =
            if random.below(8) == 0 { random.below(count.min(3)) } else { random.below(count) };
        let strategy = if engine::RECOVERS { Strategy::any(random) } else { Strategy::Whole };
        Some(self.crash_at(self.snapshots.len() - 1 - back as usize, strategy, random))
    }

    /// A crash after all, with everything on the disk.
    pub fn shutdown(&self, random: &mut Random) -> Crash {
        let last = self.snapshots.len() - 1;
        let span = Span { last, flushes: &[Flushed { begun: last, pages: 0..u64::MAX }] };
        self.crash_of(span, Strategy::Whole, random)
    }

    fn crash_at(&self, last: Moment, strategy: Strategy, random: &mut Random) -> Crash {
        let span = Span { last, flushes: &self.snapshots[last].ended };
        self.crash_of(span, strategy, random)
    }

    fn crash_of(&self, span: Span<'_>, strategy: Strategy, random: &mut Random) -> Crash {
        let mixture = Mixture::of(&self.disk, &self.geometry, span, strategy, random);
        let snapshot = &self.snapshots[span.last];
        let what = format!("{span:?}, {strategy:?}, {:?}, open: {}", snapshot.cut, snapshot.open);
        Crash::new(&mixture, self.geometry, self.expected(snapshot), what, random.next())
    }
}
