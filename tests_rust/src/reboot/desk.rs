//! The numbers that a parent and its children on a map share.

use crate::board::Board;

/// Children on one map, at most.
pub const MEMBERS: usize = 4;
/// Calls of one child, at most.
pub const CALLS_MAX: usize = 4096;

const KIND: usize = 0;
const STEPS: usize = 1;
const FLUSHES_BEGUN: usize = 2;
const FLUSHES_ENDED: usize = 3;
const FLUSH_ERROR: usize = 4;
const BEGUN: usize = 5;
const ACKNOWLEDGED: usize = 6;
const SYNCS: usize = 7;
const OPENED: usize = 8;
const FLUSH_CALL: usize = 9;
const PROMISED: usize = FLUSH_CALL + 3;
const ANSWERS: usize = PROMISED + MEMBERS;
const STRIDE: usize = ANSWERS + CALLS_MAX;

/// Why a child has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Before a step, or because the parent had it stopped.
    Step = 0,
    /// Before it opens the map.
    Ready = 1,
    /// The map is open.
    Opened = 2,
    /// At the beginning of a flush.
    Flush = 3,
    /// Before a sync.
    BeforeSync = 4,
    /// After one.
    AfterSync = 5,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not known: it is under way, or its caller died.
    Unknown = 0,
    /// Done.
    Done = 1,
    /// Refused, so it changed nothing.
    Refused = 2,
}

/// The desks of all children of a map.
#[derive(Clone, Copy)]
pub struct Desks(Board);

/// The numbers of one child.
#[derive(Clone, Copy)]
pub struct Desk {
    board: Board,
    base: usize,
}

impl Desks {
    /// New ones: nothing was called.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Desks {
        Desks(Board::of(MEMBERS * STRIDE))
    }

    /// That of one child.
    pub fn of(&self, member: usize) -> Desk {
        assert!(member < MEMBERS);
        Desk { board: self.0, base: member * STRIDE }
    }

    /// Calls acknowledged to each child by now.
    pub fn acknowledged(&self) -> [usize; MEMBERS] {
        std::array::from_fn(|member| self.of(member).acknowledged())
    }

    /// Calls begun by each child.
    pub fn begun(&self) -> [usize; MEMBERS] {
        std::array::from_fn(|member| self.of(member).begun())
    }

    /// Calls of each child that survive from now on, whoever's sync says so.
    pub fn promised(&self) -> [usize; MEMBERS] {
        std::array::from_fn(|of| {
            let by = (0..MEMBERS).map(|member| self.of(member).get(PROMISED + of));
            by.max().unwrap_or(0) as usize
        })
    }

    /// Flushes of each child that ended.
    pub fn flushes(&self) -> [u64; MEMBERS] {
        std::array::from_fn(|member| self.of(member).get(FLUSHES_ENDED))
    }
}

impl Desk {
    fn get(&self, number: usize) -> u64 {
        self.board.get(self.base + number)
    }

    fn set(&self, number: usize, value: u64) {
        self.board.set(self.base + number, value);
    }

    /// The child says why it is going to stop.
    pub fn say_stop(&self, stop: Stop) {
        self.set(KIND, stop as u64);
    }

    /// Why the child has stopped.
    pub fn stop(&self) -> Stop {
        use Stop::*;
        let kinds = [Step, Ready, Opened, Flush, BeforeSync, AfterSync];
        kinds[self.get(KIND) as usize]
    }

    /// The step before which the child stops when it goes on; 0: it does not.
    pub fn arm(&self, steps: u64) {
        self.set(STEPS, steps);
    }

    /// As `arm` left it.
    pub fn armed(&self) -> u64 {
        self.get(STEPS)
    }

    /// The error that flushes end with from now on; 0: they go well.
    pub fn fail_flushes(&self, errno: i32) {
        self.set(FLUSH_ERROR, errno as u64);
    }

    /// The error that this flush ends with, if any.
    pub fn flush_error(&self) -> i32 {
        self.get(FLUSH_ERROR) as i32
    }

    /// A flush begins, by this system call and its first two arguments; its number, from 1 on.
    pub fn begin_flush(&self, call: [u64; 3]) -> u64 {
        for (index, word) in call.into_iter().enumerate() {
            self.set(FLUSH_CALL + index, word);
        }
        self.set(FLUSHES_BEGUN, self.get(FLUSHES_BEGUN) + 1);
        self.flush()
    }

    /// The system call of the last flush, and its first two arguments.
    pub fn flush_call(&self) -> [u64; 3] {
        std::array::from_fn(|index| self.get(FLUSH_CALL + index))
    }

    /// The number of the last flush.
    pub fn flush(&self) -> u64 {
        self.get(FLUSHES_BEGUN)
    }

    /// The flush of this number is on the disk.
    pub fn end_flush(&self, flush: u64) {
        self.set(FLUSHES_ENDED, flush);
    }

    /// A call begins, the `calls`-th.
    pub fn begin(&self, calls: usize) {
        self.set(BEGUN, calls as u64);
    }

    /// It was answered.
    pub fn acknowledge(&self, calls: usize, answer: Answer) {
        self.set(ANSWERS + calls - 1, answer as u64);
        self.set(ACKNOWLEDGED, calls as u64);
    }

    /// Calls begun.
    pub fn begun(&self) -> usize {
        self.get(BEGUN) as usize
    }

    /// Calls answered.
    pub fn acknowledged(&self) -> usize {
        self.get(ACKNOWLEDGED) as usize
    }

    /// How the call went that `before` others of this child were before.
    pub fn answer(&self, before: usize) -> Answer {
        use Answer::*;
        [Unknown, Done, Refused][self.get(ANSWERS + before) as usize]
    }

    /// A sync of this child returned: calls that had been answered before it survive.
    pub fn promise(&self, acknowledged: [usize; MEMBERS]) {
        for (of, calls) in acknowledged.into_iter().enumerate() {
            self.set(PROMISED + of, calls as u64);
        }
        self.set(SYNCS, self.syncs() + 1);
    }

    /// Syncs that returned.
    pub fn syncs(&self) -> u64 {
        self.get(SYNCS)
    }

    /// The map is open, and what was recovered is promised.
    pub fn say_opened(&self) {
        self.set(OPENED, 1);
    }

    /// Whether it is.
    pub fn is_open(&self) -> bool {
        self.get(OPENED) != 0
    }
}
