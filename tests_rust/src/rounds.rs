//! Rounds of a randomised test in forked children, each of which must come back.
//!
//! `SHF_SEED` and `SHF_ROUNDS` choose other and more rounds, `SHF_ROUND` a single one.

use crate::Random;
use crate::board::Board;
use crate::process::{self, End};
use shf_base::geometry::PAGE_BYTES;

/// Seconds that one round may take.
pub const WATCHDOG_SECONDS: u32 = 10;
/// What a child may take beside what its parent has: a length from the file must not lead to more.
const PRIVATE_BYTES_MAX: u64 = 512 << 20;

/// Rounds of a test: which ones, and the seed that each one's follows from.
pub struct Rounds {
    seed: u64,
    first: u64,
    end: u64,
    batch: u64,
}

impl Rounds {
    /// `default` rounds, `batch` of them in one process, unless the environment says otherwise.
    pub fn from_env(seed: u64, default: u64, batch: u64) -> Rounds {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seed = Random::from_env(seed).next();
        match number("SHF_ROUND") {
            Some(round) => Rounds { seed, first: round, end: round + 1, batch },
            None => Rounds { seed, first: 0, end: number("SHF_ROUNDS").unwrap_or(default), batch },
        }
    }

    /// Runs each round in a forked child, some rounds in each, which all must come back.
    #[allow(unsafe_code)]
    pub fn run(&self, what: &str, round: impl Fn(&mut Random)) {
        let board = Board::new();
        for first in (self.first..self.end).step_by(self.batch as usize) {
            let end = process::run(|| {
                limit_private_memory();
                for number in first..(first + self.batch).min(self.end) {
                    board.set(0, number);
                    // SAFETY: plain system call.
                    unsafe { libc::alarm(WATCHDOG_SECONDS) };
                    round(&mut Random::new(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                }
                true
            });
            let number = board.get(0);
            assert_eq!(
                end,
                End::Exited(0),
                "{what}: round {number} (SHF_ROUND={number} repeats it)"
            );
        }
        println!("{what}: rounds {} to {}", self.first, self.end);
    }
}

/// Bounds what this child may take: address space, because mapped files count as such. The first
/// number of the file is pages.
#[allow(unsafe_code)]
pub fn limit_private_memory() {
    let taken = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = taken.split(' ').next().unwrap().parse().unwrap();
    let bytes = pages * PAGE_BYTES + PRIVATE_BYTES_MAX;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: sets a limit of this child.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}
