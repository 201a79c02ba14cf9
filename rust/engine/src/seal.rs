//! The seal of a record in a durable map: what tells, after a crash of the machine, whether the
//! bytes at some place are one whole record, and whether a slot still referred to it.
//!
//! Two words behind the record's header, and behind them the number of a record that is one:
//!
//! ```text
//! bit 0                                     64
//!     | checksum                            |
//!     | state | tag | number                |      0: written, in no slot yet; all zero
//!     0       2     18                             1: live, the number of its birth
//!                                                  2: retired, the epoch of its retirement
//! ```
//!
//! The state is one word, so a page that reached the disk at any moment has one of its values; or
//! it has a word of another record, or of a gap, that lies there by now while the rest of this one
//! is intact. The tag tells such a word apart: it follows from lengths, type and place, and from
//! key and generation, so that neither the header, nor the number, nor the key may be those of
//! another record that lies there, in another page. A number is not covered by the checksum, so it
//! shares the page of the state: where the page ends behind the state, the checksum comes last of
//! the three. The checksum covers all else that does not change as long as the record lies where it
//! lies: the place, the lengths and the type (its lowest 16 bits cover no more, see `front`), the
//! key, and the value unless it is a number that is changed in place. A deadline changes in place
//! as well, and says itself whose it is (`age`). So the bytes of a record in another place, in a
//! value for example, are no record.
//!
//! Births are numbered in each shard, retirements carry its epoch (`shf_base::epochs`). Of two live
//! records of one key, which pages of different moments may have, the one born later is the newer.

use shf_base::geometry::PAGE_UNITS;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a seal.
pub const SEAL_BYTES: u64 = 16;

const TAG_SHIFT: u32 = 2;
const NUMBER_SHIFT: u32 = 18;
const TAG_MASK: u64 = (1 << NUMBER_SHIFT) - (1 << TAG_SHIFT);

/// The bits of a checksum that cover the front alone.
const FRONT_MASK: u64 = 0xffff;
const WRITTEN: u64 = 0;
const LIVE: u64 = 1;
const RETIRED: u64 = 2;

/// Where the words of a seal lie, and that of a number, counted from the record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The state.
    pub state: usize,
    /// The checksum.
    pub checksum: usize,
    /// The word in place, of a record that has one.
    pub number: usize,
}

impl Words {
    /// The words of a sealed record at a reference.
    #[inline(always)]
    pub fn of(reference: u32, is_in_place: bool) -> Words {
        const LAST: u32 = PAGE_UNITS as u32 - 3;
        match (reference % PAGE_UNITS as u32 == LAST, is_in_place) {
            (false, _) => Words { checksum: 1, state: 2, number: 3 },
            (true, true) => Words { state: 1, number: 2, checksum: 3 },
            (true, false) => Words { state: 1, checksum: 2, number: 3 },
        }
    }
}

/// What a record's seal says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No slot has ever referred to it; or nothing that makes sense.
    Written,
    /// A slot refers to it.
    Live {
        /// The number of its birth in its shard.
        born: u64,
    },
    /// A slot referred to it.
    Retired {
        /// The epoch of its shard when it was retired.
        epoch: u64,
    },
}

impl State {
    /// Unpacks the word of a state, whatever its tag.
    #[inline(always)]
    pub fn decode(word: u64) -> State {
        let number = word >> NUMBER_SHIFT;
        match word & ((1 << TAG_SHIFT) - 1) {
            LIVE => State::Live { born: number },
            RETIRED => State::Retired { epoch: number },
            _ => State::Written,
        }
    }

    /// Packs it, with the tag of the record.
    #[inline(always)]
    pub fn encode(self, tag: u64) -> u64 {
        let (number, state) = match self {
            State::Written => return WRITTEN,
            State::Live { born } => (born, LIVE),
            State::Retired { epoch } => (epoch, RETIRED),
        };
        number << NUMBER_SHIFT | tag | state
    }
}

/// The tag of a record: 16 bits of its front, which its checksum does not show, of its key's hash,
/// and of its generation (of 20 bits; any two that differ in their lowest 12 give different tags).
#[inline(always)]
pub fn tag(front: u64, key_hash: u64, generation: u32) -> u64 {
    let generation = u64::from(generation ^ generation >> 16 << 12);
    (front >> 16 ^ key_hash >> 32 ^ generation) << TAG_SHIFT & TAG_MASK
}

/// The tag in the word of a state.
#[inline(always)]
pub fn tag_in(word: u64) -> u64 {
    word & TAG_MASK
}

/// The hash of what a record's header says and of where it lies.
pub fn front(facts: [u64; 4], secret: u64) -> u64 {
    let mut bytes = [0; 32];
    for (to, fact) in bytes.chunks_exact_mut(8).zip(facts) {
        to.copy_from_slice(&fact.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, secret)
}

/// Whether a checksum may be that of a record with this front.
#[inline(always)]
pub fn has_front(checksum: u64, front: u64) -> bool {
    (checksum ^ front) & FRONT_MASK == 0
}

/// The checksum of a record: `content` gives the hash of the value with a seed.
pub fn checksum(front: u64, key_hash: u64, content: impl FnOnce(u64) -> u64) -> u64 {
    let content = content(front ^ key_hash.rotate_left(32));
    content & !FRONT_MASK | front & FRONT_MASK
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn states_survive_packing() {
        let states = [State::Written, State::Live { born: 7 }, State::Retired { epoch: 1 << 45 }];
        for state in states {
            assert_eq!(State::decode(state.encode(tag(0x1234_5678_9abc, 7, 0xf_ffff))), state);
        }
        assert_eq!(State::decode(3), State::Written);
    }

    #[test]
    fn a_number_lies_in_the_page_of_its_state_wherever_the_record_is() {
        for reference in 0..2 * PAGE_UNITS as u32 {
            let Words { state, checksum, number } = Words::of(reference, true);
            let page = |word: usize| (u64::from(reference) + word as u64) / PAGE_UNITS;
            assert_eq!(page(state), page(number), "{reference}");
            assert_eq!(state + checksum + number, 6, "{reference}");
        }
    }

    #[test]
    fn a_checksum_shows_its_front_and_changes_with_all_that_it_covers() {
        let of = |facts, secret, hash, value: &[u8]| {
            checksum(front(facts, secret), hash, |seed| xxh3_64_with_seed(value, seed))
        };
        let right = of([4, 5, 0, 99], 7, 1, b"value");
        let others = [
            of([5, 4, 0, 99], 7, 1, b"value"),
            of([4, 5, 1, 99], 7, 1, b"value"),
            of([4, 5, 0, 100], 7, 1, b"value"),
            of([4, 5, 0, 99], 8, 1, b"value"),
            of([4, 5, 0, 99], 7, 2, b"value"),
            of([4, 5, 0, 99], 7, 1, b"other"),
        ];
        assert!(others.iter().all(|&other| other != right));
        let ours = front([4, 5, 0, 99], 7);
        assert!(has_front(right, ours) && others[..4].iter().all(|&other| !has_front(other, ours)));
    }

    #[test]
    fn a_tag_tells_fronts_keys_and_generations_apart() {
        let ours = front([4, 5, 0, 99], 7);
        let right = tag(ours, 1 << 32, 70_000);
        assert_eq!(tag_in(State::Live { born: 3 }.encode(right)), right);
        let others = (0..70_000).filter(|other| other % 4096 != 70_000 % 4096);
        assert!(others.chain([70_000 % (1 << 16)]).all(|other| tag(ours, 1 << 32, other) != right));
        assert_ne!(tag(front([4, 5, 0, 100], 7), 1 << 32, 70_000), right);
        assert_ne!(tag(ours, 1 << 33, 70_000), right);
        // The header of a gap, or of a record, where the state was.
        assert!([0x8000_0065, 0x8_0010_0005].iter().all(|&word| tag_in(word) != right));
    }
}
