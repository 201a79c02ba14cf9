//! What the process in a seat does, written down before and after: memory that the judge owns and
//! all share, so that a death takes nothing away.

use super::keys::Key;
use crate::board::Board;

/// Entries of a seat in a round.
pub const ENTRIES: usize = 60_000;
/// Numbers of an entry: what, begun, ended, argument, answer, delay, expected.
const NUMBERS: usize = 7;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A put; the answer is whether it replaced.
    Put = 1,
    /// A get; the answer is the value's number, or one of those below.
    Get = 2,
    /// Whether the key is there.
    Contains = 3,
    /// A delete; the answer is whether the key was there.
    Delete = 4,
    /// An add of the argument; the answer is the sum.
    Add = 5,
    /// A walk over all keys; the answer is 1 when it came to its end. The keys follow, as `Seen`.
    Scan = 6,
    /// A key that a walk came to, with its value; begun when the one before was left.
    Seen = 7,
    /// A clear of the whole map.
    Clear = 8,
    /// A put of a key that is not there; the answer is whether it was made.
    Insert = 9,
    /// A put if the key has not changed since it was read; the answer is whether it was made.
    Swap = 10,
    /// A get and delete; the answer is that of a get.
    Take = 11,
    /// A push of the argument to a list; the answer is how many elements it has then.
    Push = 12,
    /// The same at the other end.
    Unshift = 13,
    /// The last element of a list, taken away; the answer is that of a get.
    Pop = 14,
    /// The first one.
    Shift = 15,
    /// The length of a list.
    Length = 16,
    /// All of a list; the answer is a digest of it.
    Range = 17,
    /// A delete of a list; the answer is whether it was there.
    End = 18,
}

/// The answer of a get that finds nothing.
pub const NOTHING: i64 = i64::MIN;
/// That of a get whose value is no value of the key.
pub const TORN: i64 = i64::MIN + 1;
/// That of a get which finds a value too long for its buffer.
pub const TOO_LONG: i64 = i64::MIN + 2;
/// That of a call that is refused, and must not have happened.
pub const REFUSED: i64 = i64::MIN + 3;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub what: What,
    /// Which key, if that matters.
    pub key: Key,
    /// A time before it.
    pub begun: u64,
    /// A time after it; `u64::MAX` if it was cut short.
    pub ended: u64,
    /// What it was given.
    pub argument: i64,
    /// Of a swap: what the key had.
    pub expected: i64,
    /// What came of it.
    pub answer: i64,
    /// Nanoseconds, at most, for which the caller could have run meanwhile and no processor was
    /// free; before the end, its whole `RunDelay` at an earlier time.
    pub delay: u64,
}

/// The log of a seat.
#[derive(Clone, Copy)]
pub struct Log {
    board: Board,
    first: usize,
}

impl Log {
    /// The logs of so many seats.
    pub fn new(seats: usize) -> Vec<Log> {
        let board = Board::of(seats * ENTRIES * NUMBERS);
        (0..seats).map(|seat| Log { board, first: seat * ENTRIES * NUMBERS }).collect()
    }

    /// Says what is about to happen.
    pub fn begin(&self, index: usize, what: What, key: Key, argument: i64, delay: u64, now: u64) {
        self.set(index, 0, key.0 << 8 | what as u64);
        self.set(index, 3, argument as u64);
        self.set(index, 5, delay);
        // Last: an entry without it was never begun.
        self.set(index, 1, now);
    }

    /// Says what a swap depends on, before it is made.
    pub fn expect(&self, index: usize, expected: i64) {
        self.set(index, 6, expected as u64);
    }

    /// Says what came of it.
    pub fn end(&self, index: usize, answer: i64, delay: u64, now: u64) {
        self.set(index, 4, answer as u64);
        self.set(index, 5, delay);
        self.set(index, 2, now);
    }

    /// The first entry at or after `index` that nobody has touched.
    pub fn free(&self, index: usize) -> usize {
        (index..ENTRIES).find(|&index| self.get(index, 0) == 0).unwrap_or(ENTRIES)
    }

    /// The entry, unless it was not begun.
    pub fn entry(&self, index: usize) -> Option<Entry> {
        let begun = Some(self.get(index, 1)).filter(|&begun| begun != 0)?;
        let (word, ended) = (self.get(index, 0), self.get(index, 2));
        Some(Entry {
            what: what(word & 0xff),
            key: Key(word >> 8),
            begun,
            ended: if ended == 0 { u64::MAX } else { ended },
            argument: self.get(index, 3) as i64,
            expected: self.get(index, 6) as i64,
            answer: self.get(index, 4) as i64,
            delay: self.get(index, 5),
        })
    }

    /// Forgets the first `len` entries.
    pub fn clear(&self, len: usize) {
        for number in 0..len * NUMBERS {
            self.board.set(self.first + number, 0);
        }
    }

    fn set(&self, index: usize, number: usize, value: u64) {
        self.board.set(self.first + index * NUMBERS + number, value);
    }

    fn get(&self, index: usize, number: usize) -> u64 {
        self.board.get(self.first + index * NUMBERS + number)
    }
}

fn what(code: u64) -> What {
    use What::*;
    let keys = [Put, Get, Contains, Delete, Add, Scan, Seen, Clear, Insert, Swap, Take];
    let lists = [Push, Unshift, Pop, Shift, Length, Range, End];
    keys.into_iter()
        .chain(lists)
        .find(|&what| what as u64 == code)
        .expect("a log has entries of these kinds")
}
