//! A map in a known state, one operation on it, and what must be true after a death in between.
//!
//! Operations whose inner workings depend on what went before (splits, compaction, sweeps) are
//! found by doing: seeded operations run until the counters say that one did what is looked for,
//! and the file is put back to just before it.
//!
//! No byte is lost to a death. After the repair
//! - what is real is what is known (`committed_bytes`), no more than in a map where nobody died;
//! - what is live is what the records take in a fresh map with the same contents;
//! - all else is dead, free or the unused end of a log run, as the checker counts, with no more of
//!   the last than where nobody died, and what the record takes of it that was not put.
//!
//! So a death leaves nothing but this: the stacks are empty, and the blocks that waited there are
//! dead until a compaction, a sweep or a squeeze finds them; a growth step that was made remains,
//! for the next one; and the run that a squeeze was filling keeps its unused end, until the next
//! squeeze. That all this is found is tried as well: after the repair as
//! much fits into the map as where nobody died (`filled`). Not to the last unit: which blocks end
//! up where decides which ones a squeeze thinks worth moving, so up to half of what waited in the
//! stacks may still be dead in the end, and not quite enough for one more record be left.

use crate::Contents;
use crate::account::{Account, Counters, Live};
use crate::deaths::{self, Scene};
use crate::lists::{contents, value_of};
use crate::operation::{Operation, repair};
use shf_base::crash;
use shf_base::geometry::{PAGE_UNITS, UNIT_BYTES};
use shf_base::grace;
use shf_base::open::{self, Access, Opened};
use shf_engine::{Map, OpError};
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;

/// Operations after which a search gives up.
const SEARCH: u64 = 20_000;
/// Values that a map is filled with, before empty ones; and what a record of one takes.
const FILL_BYTES: usize = 100;
const FILL_UNITS: u64 = (8 + 8 + FILL_BYTES as u64).div_ceil(UNIT_BYTES);
/// Syncs of a durable map that is filled.
const SYNCS_OF_FILL: usize = 8;
/// Index pages more that a map may have after a death in a merge, when it is full.
const INDEX_PAGES: u64 = 3;
/// Pages of a log run, at most.
const LOG_PAGES_MAX: u64 = 16;
/// Most real bytes of the maps of most experiments.
pub const MAX_BYTES: u64 = 512 << 10;

/// A map in a known state, and what an operation makes of it.
pub struct Experiment {
    file: MapFile,
    map: Map,
    peek: Opened,
    image: Image,
    operation: Operation,
    /// Whether the operation goes well.
    works: bool,
    /// Whether the child's first steps, to a slot of its own, count as well.
    counts_slot: bool,
    /// Unused ends of log runs that a death may leave beyond those where nobody died, in units.
    loose_ends: u64,
    /// Units by which less may fit into the map, since its index has more pages.
    index_units: u64,
    before: State,
    after: State,
    /// Keys that the operation changes.
    changed: Vec<Vec<u8>>,
}

/// A map in which nobody died.
#[derive(Clone, Default)]
struct State {
    contents: Contents,
    committed_bytes: u64,
    account: Account,
    repairs: u64,
    /// Units that fit into it after `go_on`.
    filled: u64,
}

impl Experiment {
    /// A fresh map of one shard, brought into the state before the operation by `prepare`.
    pub fn new(what: &str, prepare: impl FnOnce(&Map), operation: Operation) -> Experiment {
        Experiment::search(what, MAX_BYTES, prepare, |_, _| operation.clone(), |_, _| true)
    }

    /// As `new`; the operation is the first of `next` that works and makes a `hit` of the counters
    /// before and after it.
    pub fn search(
        what: &str,
        max_bytes: u64,
        prepare: impl FnOnce(&Map),
        next: impl FnMut(&Opened, u64) -> Operation,
        hit: impl Fn(&Counters, &Counters) -> bool,
    ) -> Experiment {
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_with(1, max_bytes);
        Experiment::search_in(file, map, prepare, next, hit)
    }

    /// As `new`, in a durable map that is synced once it is prepared.
    pub fn durable(what: &str, prepare: impl FnOnce(&Map), operation: Operation) -> Experiment {
        Experiment::search_durable(what, prepare, |_, _| operation.clone(), |_, _| true)
    }

    /// As `search`, in a durable map that is synced once it is prepared.
    pub fn search_durable(
        what: &str,
        prepare: impl FnOnce(&Map),
        next: impl FnMut(&Opened, u64) -> Operation,
        hit: impl Fn(&Counters, &Counters) -> bool,
    ) -> Experiment {
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_durable(1, MAX_BYTES);
        let synced = |map: &Map| {
            prepare(map);
            map.sync().unwrap();
        };
        Experiment::search_in(file, map, synced, next, hit)
    }

    /// As `search`, in a map with fixed lengths, whose keys have 8 bytes.
    pub fn search_fixed(
        what: &str,
        (value_bytes, max_bytes): (u32, u64),
        prepare: impl FnOnce(&Map),
        next: impl FnMut(&Opened, u64) -> Operation,
        hit: impl Fn(&Counters, &Counters) -> bool,
    ) -> Experiment {
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_fixed(1, max_bytes, (8, value_bytes));
        Experiment::search_in(file, map, prepare, next, hit)
    }

    fn search_in(
        file: MapFile,
        map: Map,
        prepare: impl FnOnce(&Map),
        mut next: impl FnMut(&Opened, u64) -> Operation,
        hit: impl Fn(&Counters, &Counters) -> bool,
    ) -> Experiment {
        // When pages are given back must not depend on the time.
        grace::set_rest(0);
        let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        prepare(&map);
        for step in 0..SEARCH {
            let operation = next(&peek, step);
            let (image, counters) = (Image::of(file.folder(), file.name()), Counters::of(&peek));
            let works = operation.run(&map).is_ok();
            if works && hit(&counters, &Counters::of(&peek)) {
                return Experiment::of(file, map, peek, image, operation, works);
            }
        }
        panic!("{}: not found in {SEARCH} operations", file.name());
    }

    /// An operation that finds no space.
    pub fn without_space(
        what: &str,
        max_bytes: u64,
        prepare: impl FnOnce(&Map),
        operation: Operation,
    ) -> Experiment {
        let file = MapFile::new(&format!("crash-{what}"));
        let map = file.create_with(1, max_bytes);
        let peek = open::open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        prepare(&map);
        let image = Image::of(file.folder(), file.name());
        let found = operation.run(&map);
        assert!(matches!(found, Err(OpError::NoSpace { .. })), "{what}: {found:?}");
        Experiment::of(file, map, peek, image, operation, false)
    }

    fn of(
        file: MapFile,
        map: Map,
        peek: Opened,
        image: Image,
        operation: Operation,
        works: bool,
    ) -> Experiment {
        let (before, after) = (State::default(), State::default());
        let mut experiment = Experiment {
            file,
            map,
            peek,
            image,
            operation,
            works,
            counts_slot: false,
            loose_ends: 0,
            index_units: 0,
            before,
            after,
            changed: Vec::new(),
        };
        experiment.before = experiment.state(|| {});
        experiment.after = experiment.state(|| {
            assert_eq!(experiment.operation.run(&experiment.map).is_ok(), works);
        });
        let (before, after) = (&experiment.before.contents, &experiment.after.contents);
        let new = after.keys().filter(|key| !before.contains_key(*key));
        let changed = before.keys().chain(new).filter(|key| before.get(*key) != after.get(*key));
        experiment.changed = changed.cloned().collect();
        experiment
    }

    /// As it is, with the steps counted by which a forked child takes a slot of its own.
    pub fn counting_slot(mut self) -> Experiment {
        self.counts_slot = true;
        self
    }

    /// As it is, with an operation that squeezes: a death in it leaves the run that was being
    /// filled with an unused end.
    pub fn squeezing(mut self) -> Experiment {
        self.loose_ends = LOG_PAGES_MAX * PAGE_UNITS;
        self
    }

    /// As it is, with an operation that merges: which tables merge later, and so how many pages the
    /// index has in a full map, depends on where the search for them was when somebody died.
    pub fn merging(mut self) -> Experiment {
        self.index_units = INDEX_PAGES * PAGE_UNITS;
        self
    }

    /// The means to look into the map, with the operation done.
    pub fn with_operation_done(&self) -> &Opened {
        self.image.restore();
        assert!(self.operation.run(&self.map).is_ok());
        &self.peek
    }

    /// Dies at all steps, of which there are at least `least`.
    pub fn run(self, least: u64) {
        deaths::run(&self, least);
    }

    /// What becomes of the restored map by `work`.
    fn state(&self, work: impl FnOnce()) -> State {
        self.image.restore();
        work();
        assert_sound(&self.map);
        let fail = |what: &str| panic!("{}, where nobody died: {what}", self.file.name());
        self.judge_real(&fail);
        self.reap_orphans();
        let committed_bytes = self.map.stats().committed_bytes;
        let (contents, account) = (contents(&self.map), Account::of(&self.peek));
        let live = self.live(&contents);
        assert_eq!(account.live, live, "{}", self.file.name());
        let repairs = self.map.stats().repairs;
        self.go_on(&fail);
        State { contents, committed_bytes, account, repairs, filled: self.fill() }
    }

    /// Lists that are gone leave nothing behind in the books.
    fn reap_orphans(&self) {
        if self.map.stats().elements > 0 {
            self.map.reap().unwrap();
            assert_sound(&self.map);
        }
    }

    /// The map goes on: the same again, and something new.
    fn go_on(&self, fail: &dyn Fn(&str)) {
        let one_more = Operation::Put(b"one more".to_vec(), vec![1; self.value_len(1)]);
        for operation in [&self.operation, &one_more] {
            match operation.run(&self.map) {
                Ok(_) | Err(OpError::NoSpace { .. }) => {}
                Err(error) => fail(&format!("then {operation:?}: {error:?}")),
            }
        }
        assert_sound(&self.map);
        self.judge_real(fail);
    }

    /// What is real is what is known.
    fn judge_real(&self, fail: &dyn Fn(&str)) {
        let committed_bytes = self.map.stats().committed_bytes;
        let real_bytes = self.file.real_bytes();
        if real_bytes != committed_bytes {
            fail(&format!("{real_bytes} bytes real, {committed_bytes} known"));
        }
    }

    /// Fills the map with new keys, and returns the units that all records have then.
    fn fill(&self) -> u64 {
        let mut more = (1u64 << 32)..;
        for len in [FILL_BYTES, 0].repeat(SYNCS_OF_FILL) {
            for key in more.by_ref() {
                if self.map.put(&key.to_le_bytes(), &vec![5; self.value_len(len)]).is_err() {
                    break;
                }
            }
            // What records were moved out of is room after the next sync only.
            if len == 0 && self.map.sync().is_err() {
                break;
            }
        }
        let live = Account::of(&self.peek).live;
        live.units + live.pages * PAGE_UNITS
    }

    /// Each key is as before or as after the operation, for a walk.
    fn judge_contents(&self, seen: &Contents, fail: &dyn Fn(&str)) {
        let (before, after) = (&self.before.contents, &self.after.contents);
        if seen == before || seen == after {
            return;
        }
        if let Operation::PutMany(pairs) = &self.operation {
            // (Of different keys, each with a new value.)
            let is_done = |key| seen.get(key) == after.get(key);
            if !pairs.iter().is_sorted_by_key(|(key, _)| !is_done(key)) {
                fail("a put of the batch is done before an earlier one");
            }
        }
        for key in before.keys().chain(after.keys()) {
            let found = seen.get(key);
            if found != before.get(key) && found != after.get(key) {
                fail(&format!("{key:?}: torn or lost: {found:?}"));
            }
        }
        for key in seen.keys() {
            if !before.contains_key(key) && !after.contains_key(key) {
                fail(&format!("{key:?}: nobody put it"));
            }
        }
    }

    /// Gets see what a walk saw, of the keys that the operation changes or of all.
    fn judge_gets(&self, seen: &Contents, all: bool, fail: &dyn Fn(&str)) {
        let others = if all { Some(self.before.contents.keys()) } else { None };
        for key in self.changed.iter().chain(others.into_iter().flatten()) {
            let value = value_of(&self.map, key).unwrap();
            if value.as_ref() != seen.get(key) {
                fail(&format!("{key:?}: a get says {value:?}, a walk else"));
            }
        }
    }

    /// Nothing is lost, by the books; see on top.
    fn judge_memory(&self, settled: &Contents, fail: &dyn Fn(&str)) {
        self.judge_real(fail);
        let committed_bytes = self.map.stats().committed_bytes;
        let most = self.before.committed_bytes.max(self.after.committed_bytes);
        if committed_bytes > most {
            fail(&format!("{committed_bytes} bytes committed, {most} where nobody died"));
        }
        let (account, expected) = (Account::of(&self.peek), self.live(settled));
        if account.live != expected {
            fail(&format!("{:?} live, {expected:?} in a fresh map", account.live));
        }
        let ends = self.before.account.ends.max(self.after.account.ends)
            + self.loose_ends
            + self.operation.units();
        let tables = self.before.account.tables.max(self.after.account.tables);
        if account.ends > ends || account.tables > tables {
            fail(&format!("{account:?}, {ends} and {tables} where nobody died"));
        }
    }

    /// What waited was perhaps half written, or cut: it would be given out as what it was.
    fn judge_stacks(&self, fail: &dyn Fn(&str)) {
        let waiting = Account::of(&self.peek).waiting;
        if self.map.stats().repairs > self.before.repairs && waiting > 0 {
            fail(&format!("{waiting} units wait in stacks after a repair"));
        }
    }

    /// What the records of such contents take.
    fn live(&self, contents: &Contents) -> Live {
        let timed = |key: &[u8]| self.map.time_left(key).is_ok_and(|left| left.flatten().is_some());
        Live::of(contents, &self.peek.header, timed)
    }

    /// A length of a value that the map takes: this one, if it takes any.
    fn value_len(&self, len: usize) -> usize {
        self.peek.header.fixed.map_or(len, |fixed| fixed.value_bytes as usize)
    }

    /// As much fits into the map as where nobody died.
    fn judge_room(&self, settled: &Contents, fail: &dyn Fn(&str)) {
        let least = if *settled == self.before.contents {
            self.before.filled
        } else if *settled == self.after.contents {
            self.after.filled
        } else {
            self.before.filled.min(self.after.filled)
        };
        let waiting = self.before.account.waiting.max(self.after.account.waiting);
        // Records of a durable map do not move within their run: which holes remain between them
        // depends on where each was put.
        let holes = if self.peek.header.durable { least / 32 } else { 0 };
        let (filled, slack) = (self.fill(), waiting / 2 + FILL_UNITS + holes + self.index_units);
        assert_sound(&self.map);
        if filled + slack < least {
            fail(&format!("{filled} units fit into it, {least} where nobody died, {slack} waited"));
        }
    }
}

impl Scene for Experiment {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn restore(&self) {
        self.image.restore();
    }

    fn ready(&self) {
        // Takes the child's slot. (Its repairer takes one while steps count.)
        if !self.counts_slot && !repair(&self.map) {
            panic!("{}: not sound before", self.file.name());
        }
    }

    fn operate(&self) -> bool {
        // Here, not in the process of the test, which repairs damaged maps as well.
        crash::check_mutations();
        self.operation.run(&self.map).is_ok() == self.works
    }

    fn recover(&self) -> bool {
        crash::check_mutations();
        repair(&self.map)
    }

    fn keep(&self) -> Box<dyn Fn() + '_> {
        self.file.keep()
    }

    fn judge(&self, step: &str, thoroughly: bool) {
        let fail = |what: &str| panic!("{}, {step}: {what}", self.file.name());
        let seen = contents(&self.map);
        self.judge_contents(&seen, &fail);
        self.judge_gets(&seen, thoroughly, &fail);
        // Repairs.
        assert_sound(&self.map);
        let settled = contents(&self.map);
        self.judge_contents(&settled, &fail);
        self.judge_gets(&settled, thoroughly, &fail);
        for key in &self.changed {
            let after = self.after.contents.get(key);
            if seen.get(key) == after && settled.get(key) != after {
                fail(&format!("{key:?}: taken back after a reader saw it"));
            }
        }
        self.judge_stacks(&fail);
        self.reap_orphans();
        self.judge_memory(&settled, &fail);
        self.go_on(&fail);
        if thoroughly {
            self.judge_room(&settled, &fail);
        }
    }
}
