//! How long a key lives from a change on, and the deadline that follows from it.
//!
//! ```text
//! word of a record, bit 0                 48              64
//!                      | deadline        | key, or uses  |
//! ```
//!
//! A deadline is a moment of the wall clock (`shf_base::clock`) in milliseconds, all ones: never.
//! It changes in place, so no seal covers it (`seal`). In a durable map the upper 16 bits are some
//! of the hash of its key: after a crash of the machine a page that was written before the record
//! has another word there. In a map that evicts they say when the key was used (`uses`).

use crate::hash::Hash;
use crate::uses::Uses;
use shf_base::clock;
use shf_base::default_age::{AGE_MS_MAX, AGES_MS};
use shf_base::error::OpError;
use std::cell::Cell;
use std::time::Duration;

const BITS: u32 = 48;
const MASK: u64 = (1 << BITS) - 1;
const KEY_SHIFT: u32 = 32;

/// How long a key lives from a change on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Age {
    /// As long as the map says: see `Options::default_age`.
    #[default]
    Default,
    /// Until it is deleted.
    Never,
    /// So long, in milliseconds, of which parts are rounded up: 1 ms to some 4,400 years.
    Of(Duration),
}

/// A duration in milliseconds, rounded up.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// An age in milliseconds, if it is in the range of ages.
pub(crate) fn checked(age_ms: u64) -> Result<u64, OpError> {
    match AGES_MS.contains(&age_ms) {
        true => Ok(age_ms),
        false => Err(OpError::InvalidAge { found_ms: age_ms, max_ms: AGE_MS_MAX }),
    }
}

/// When a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// A key that can be given a deadline, and has none.
    pub const NEVER: Deadline = Deadline(MASK);

    /// After so many milliseconds.
    pub fn after(age_ms: u64, now_ms: u64) -> Deadline {
        Deadline(now_ms.saturating_add(age_ms).min(MASK - 1))
    }

    /// Unpacks the word of a record.
    #[inline(always)]
    pub(crate) fn of_word(word: u64) -> Deadline {
        Deadline(word & MASK)
    }

    /// Packs it for a record, with what else the word says.
    #[inline(always)]
    pub(crate) fn word(self, above: Above) -> u64 {
        let above = match above {
            Above::Nothing => 0,
            Above::Key(hash) => hash.0 >> KEY_SHIFT,
            Above::Uses(uses) => uses.bits(),
        };
        self.0 | above << BITS
    }

    /// The same word with this deadline.
    #[inline(always)]
    pub(crate) fn in_word(self, word: u64) -> u64 {
        self.0 | word & !MASK
    }

    /// Whether it is over.
    #[inline(always)]
    pub(crate) fn is_over(self, now_ms: u64) -> bool {
        self.0 <= now_ms && self != Deadline::NEVER
    }

    /// How long it is until then; `None`: for ever.
    pub(crate) fn left(self, now_ms: u64) -> Option<Duration> {
        (self != Deadline::NEVER).then(|| Duration::from_millis(self.0.saturating_sub(now_ms)))
    }
}

/// What a record's word says above the deadline.
#[derive(Clone, Copy)]
pub(crate) enum Above {
    /// Nothing.
    Nothing,
    /// In a durable map: bits of the hash of the key.
    Key(Hash),
    /// In a map that evicts: how the key was used.
    Uses(Uses),
}

impl Uses {
    /// Those that a record's word has.
    pub(crate) fn of_word(word: u64) -> Uses {
        Uses::of_bits(word >> BITS)
    }

    /// The same word with these.
    pub(crate) fn in_word(self, word: u64) -> u64 {
        Deadline(word & MASK).word(Above::Uses(self))
    }
}

/// What time it is, for one operation: looked at when it is first asked for, and not again.
#[derive(Default)]
pub(crate) struct Now(Cell<u64>);

impl Now {
    /// In milliseconds of the wall clock.
    #[inline(always)]
    pub fn ms(&self) -> u64 {
        if self.0.get() == 0 {
            self.0.set(clock::wall_ms());
        }
        self.0.get()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_over_from_its_millisecond_on_and_never_is_never() {
        let deadline = Deadline::after(10, 1000);
        assert_eq!([1009, 1010, u64::MAX].map(|now| deadline.is_over(now)), [false, true, true]);
        assert!(!Deadline::NEVER.is_over(u64::MAX));
        assert!(Deadline::after(AGE_MS_MAX, u64::MAX) < Deadline::NEVER);
        assert_eq!(deadline.left(1003), Some(Duration::from_millis(7)));
        assert_eq!(Deadline::NEVER.left(0), None);
    }

    #[test]
    fn ages_are_rounded_up_and_those_out_of_range_are_named() {
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
        for found_ms in [0, AGE_MS_MAX + 1, u64::MAX] {
            let error = OpError::InvalidAge { found_ms, max_ms: AGE_MS_MAX };
            assert_eq!(checked(found_ms), Err(error));
        }
    }

    #[test]
    fn a_word_keeps_the_deadline_and_tells_keys_apart() {
        let deadline = Deadline::after(10, 1000);
        let words = [Above::Nothing, Above::Key(Hash(1 << 32)), Above::Key(Hash(2 << 32))]
            .map(|above| deadline.word(above));
        assert!(words.iter().all(|&word| Deadline::of_word(word) == deadline));
        assert!(words[0] != words[1] && words[1] != words[2]);
    }
}
