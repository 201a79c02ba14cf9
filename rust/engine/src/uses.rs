//! What a map that evicts remembers of the uses of a key, and how idle the key is by it.
//!
//! ```text
//! bits above a record's deadline, 48        60    61
//!                                  | turn   | used |
//! ```
//!
//! The turns of the shard's hand (`hand`) are the clock: in a full shard the hand passes sixteen
//! keys for each new one, more where sizes differ, so a turn lasts as long as it takes to replace
//! up to a sixteenth of the keys. When the hand meets a key that was used since its last turn,
//! `turn` becomes the present one.
//!
//! A key that nobody has used since it was put has three turns for that, as the small queue of
//! S3-FIFO has it (Yang et al., SOSP 2023); then it goes before all that were used in the last 128
//! turns, in which all keys can be replaced eight times.

const TURN_BITS: u32 = 12;
const TURN_MASK: u64 = (1 << TURN_BITS) - 1;
const USED: u64 = 1 << TURN_BITS;
/// Turns that a new key has to be used.
const GRACE: u64 = 3;
/// One that was not used by then counts as if it were so many turns older.
const UNUSED: u64 = 128;
/// Idle turns are counted up to here, so that they do not come around.
const IDLE_MAX: u64 = TURN_MASK / 2;

/// When a key was used last, or put if it never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    turn: u64,
    used: bool,
}

impl Uses {
    /// Of a key that is put in this turn of the hand.
    pub fn begin(turn: u64) -> Uses {
        Uses { turn: turn & TURN_MASK, used: false }
    }

    /// Unpacks bits.
    #[inline(always)]
    pub fn of_bits(bits: u64) -> Uses {
        Uses { turn: bits & TURN_MASK, used: bits & USED != 0 }
    }

    /// Packs them.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        self.turn | if self.used { USED } else { 0 }
    }

    /// What the hand makes of them in this turn: whether the key was `accessed` since the last one.
    #[inline(always)]
    pub fn met(self, turn: u64, accessed: bool) -> Uses {
        match accessed {
            true => Uses { turn: turn & TURN_MASK, used: true },
            false if self.idle(turn) <= IDLE_MAX => self,
            false => Uses { turn: turn.wrapping_sub(IDLE_MAX) & TURN_MASK, ..self },
        }
    }

    /// By how much the key is to go before others.
    #[inline(always)]
    pub fn idleness(self, turn: u64) -> u64 {
        let idle = self.idle(turn);
        let counted = if !self.used && idle >= GRACE { idle + UNUSED } else { idle };
        // Of two that are as idle, the one that was used stays.
        counted * 2 + u64::from(!self.used)
    }

    #[inline(always)]
    fn idle(self, turn: u64) -> u64 {
        turn.wrapping_sub(self.turn) & TURN_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_lead_back_to_the_uses() {
        let (new, used) = (Uses::begin(9), Uses::begin(9).met(4097, true));
        assert_eq!((used.turn, used.used, new.used), (1, true, false));
        for uses in [new, used] {
            assert!(uses.bits() < 1 << 16);
            assert_eq!(Uses::of_bits(uses.bits()), uses);
        }
    }

    #[test]
    fn unused_keys_go_first_after_their_grace() {
        let (new, used) = (Uses::begin(100), Uses::begin(0).met(100, true));
        assert!(new.idleness(102) > used.idleness(102) && new.idleness(102) < used.idleness(103));
        assert!(new.idleness(103) > used.idleness(103 + 100));
        assert!(new.idleness(103) < used.idleness(103 + 200));
    }

    #[test]
    fn idle_turns_do_not_come_around() {
        let mut uses = Uses::begin(0).met(5, true);
        for turn in 6..20_000 {
            uses = uses.met(turn, false);
            assert_eq!(uses.idleness(turn), 2 * (turn - 5).min(IDLE_MAX));
        }
    }
}
