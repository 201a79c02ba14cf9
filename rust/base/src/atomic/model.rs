//! The model checker's side of the door: runs threads on the engine's own functions under loom.
//!
//! loom's atomics are objects of their own and cannot live in the mapped words. So while a model
//! runs they stand beside the memory, as *cells* keyed by address, and only where it matters: an
//! address gets a cell when two threads of the model touch it and one of them stores. All others
//! are plain memory, which for them is exact. This keeps a table split, thousands of stores of
//! which a reader sees a handful, within what loom can explore.
//!
//! loom wants its atomics made before the threads that use them, and the same ones in every
//! execution. Therefore `check` works in rounds: one that comes upon an address which should have
//! had a cell ends there, and the next begins with one more. The last round explores every
//! execution with all its cells.
//!
//! Memory is restored before each execution, so a map is prepared once, outside of the model.
#![allow(unsafe_code)]

use super::Ordering;
use loom::sync::atomic::AtomicU64;
use loom::thread::ThreadId;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Switches between threads that one execution may take before loom calls it endless.
const BRANCHES_MAX: usize = 1_000_000;

thread_local! {
    // loom runs all threads of a model as coroutines of one thread.
    static STATE: RefCell<State> = RefCell::default();
}

#[derive(Default)]
struct State {
    running: bool,
    /// Whether a round ends at the first address that lacks its cell. The first round, in which
    /// nothing has one and so no thread is ever interrupted, collects instead.
    strict: bool,
    executions: u64,
    /// Addresses that have a cell in this round, in an order that is always the same.
    shared: BTreeSet<Location>,
    /// Addresses that get one in the next.
    found: BTreeSet<Location>,
    cells: HashMap<usize, Arc<AtomicU64>>,
    /// What the current execution did to plain memory.
    touched: HashMap<usize, Touched>,
}

/// A word or half word: `width` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    address: usize,
    width: usize,
}

struct Touched {
    location: Location,
    original: u64,
    first: ThreadId,
    by_others: bool,
    stored: bool,
}

/// A panic that ends a round and is no failure.
struct NextRound;

/// Explores the executions of `model`, with at most `preemptions` switches away from a thread that
/// could have gone on, and returns their number. Panics with what the first failing one panics
/// with. Shared memory MUST be prepared before, is what it was then at the start of each execution,
/// and MUST outlive the call.
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) -> u64 {
    let model = Arc::new(model);
    STATE.take();
    loop {
        let model = model.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = BRANCHES_MAX;
        let round = || {
            builder.check(move || {
                begin_execution();
                model();
                with(|state| state.running = false);
            });
        };
        let result = catch_unwind(AssertUnwindSafe(round));
        let (complete, executions) = with(|state| {
            restore(state);
            state.running = false;
            state.strict = true;
            let complete = state.found.is_empty();
            state.shared.append(&mut state.found);
            (complete, std::mem::take(&mut state.executions))
        });
        match result {
            Ok(()) if complete => return executions,
            Err(panic) if complete || !panic.is::<NextRound>() => resume_unwind(panic),
            _ => {}
        }
    }
}

/// Whether the calling code runs as a thread of a model, and not on its way out of a failed one.
pub(super) fn running() -> bool {
    !std::thread::panicking() && with(|state| state.running)
}

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| work(&mut state.borrow_mut()))
}

/// In the model's first thread, before there are others.
fn begin_execution() {
    with(|state| {
        restore(state);
        state.executions += 1;
        let cell = |at: &Location| (at.address, Arc::new(AtomicU64::new(at.load())));
        state.cells = state.shared.iter().map(cell).collect();
        state.running = true;
    });
}

/// Makes plain memory what it was before the execution.
fn restore(state: &mut State) {
    for (_, touched) in state.touched.drain() {
        touched.location.store(touched.original);
    }
}

/// One access of a word or half word.
pub(super) enum Cell {
    Modelled(Arc<AtomicU64>),
    Plain(Location),
}

/// The cell of an address, if a model runs and it has one.
pub(super) fn cell(address: usize, width: usize) -> Cell {
    let plain = Cell::Plain(Location { address, width });
    if !running() {
        return plain;
    }
    with(|state| state.cells.get(&address).cloned()).map_or(plain, Cell::Modelled)
}

impl Cell {
    pub fn load(&self, order: Ordering) -> u64 {
        match self {
            Cell::Modelled(cell) => cell.load(order),
            Cell::Plain(at) => at.touch(false),
        }
    }

    pub fn store(&self, value: u64, order: Ordering) {
        match self {
            Cell::Modelled(cell) => cell.store(value, order),
            Cell::Plain(at) => {
                at.touch(true);
                at.store(value);
            }
        }
    }

    pub fn swap(&self, value: u64, order: Ordering) -> u64 {
        match self {
            Cell::Modelled(cell) => cell.swap(value, order),
            Cell::Plain(at) => {
                let found = at.touch(true);
                at.store(value);
                found
            }
        }
    }

    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        match self {
            Cell::Modelled(cell) => cell.compare_exchange(current, new, success, failure),
            Cell::Plain(at) => {
                let found = at.touch(true);
                if found != current {
                    return Err(found);
                }
                at.store(new);
                Ok(found)
            }
        }
    }
}

impl Location {
    /// Notes an access of plain memory and loads it. Ends the round when it should have had a cell.
    fn touch(self, stores: bool) -> u64 {
        if !running() {
            return self.load();
        }
        let me = loom::thread::current().id();
        let next_round = with(|state| {
            let touched = state.touched.entry(self.address).or_insert_with(|| Touched {
                location: self,
                original: self.load(),
                first: me,
                by_others: false,
                stored: false,
            });
            touched.by_others |= touched.first != me;
            touched.stored |= stores;
            let shared = touched.by_others && touched.stored;
            if shared {
                state.found.insert(self);
            }
            shared && state.strict
        });
        if next_round {
            resume_unwind(Box::new(NextRound));
        }
        self.load()
    }

    fn load(self) -> u64 {
        // SAFETY: a `Word` or `Half` is valid and aligned; no other thread runs while a model does.
        unsafe {
            match self.width {
                8 => (self.address as *const u64).read(),
                _ => (self.address as *const u32).read().into(),
            }
        }
    }

    fn store(self, value: u64) {
        // SAFETY: as in `load`, and writable by the contract of the storing methods.
        unsafe {
            match self.width {
                8 => (self.address as *mut u64).write(value),
                _ => (self.address as *mut u32).write(value as u32),
            }
        }
    }
}
