//! The shape of a record: its lengths, type and seal, and the header that says them (`record`).

use crate::class;
use crate::half_header;
use crate::kind::Kind;
use crate::place::Place;
use crate::seal::{self, SEAL_BYTES, Words};
use crate::traits::Traits;
use shf_base::error::OpError;
use shf_base::fixed_lengths::FixedLengths;
use shf_base::format::FileHeader;
use shf_base::geometry::{EVICTING_FRACTION, PAGE_BYTES};

pub(crate) const LENGTH_BITS: u32 = 14;
pub(crate) const LARGE: u64 = 1 << 33;
pub(crate) const HEADER_BYTES: u64 = 8;
pub(crate) const HALF_HEADER_BYTES: u64 = 4;
/// What a large record has in addition: the words of its lengths.
pub(crate) const LENGTHS_BYTES: u64 = 16;
pub(crate) const DEADLINE_BYTES: u64 = 8;
pub(crate) const HASH_BYTES: u64 = 8;
/// Keys of at least this length have their hash beside them; a power of two.
pub(crate) const HASHED_KEY_BYTES: u64 = 256;
/// Key and value together, at most.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 32;

/// The shape of a record: all that its size follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of the key.
    pub key_len: u64,
    /// Bytes of the value.
    pub value_len: u64,
    /// All else that its header says.
    pub traits: Traits,
}

impl Shape {
    /// The shape of a key with a value in a map. Refuses what can never fit, naming what to raise.
    #[inline(always)]
    pub fn fitting(
        facts: &FileHeader,
        key_len: usize,
        value_len: u64,
        kind: Kind,
        timed: bool,
    ) -> Result<Shape, OpError> {
        if let Some(fixed) = facts.fixed {
            return Shape::fitting_fixed(facts, fixed, (key_len, value_len), kind, timed);
        }
        Shape::fitting_whole(facts, key_len, value_len, kind, timed)
    }

    /// As `fitting`, in a map without fixed lengths, whose records have whole headers.
    #[inline(always)]
    pub(crate) fn fitting_whole(
        facts: &FileHeader,
        key_len: usize,
        value_len: u64,
        kind: Kind,
        timed: bool,
    ) -> Result<Shape, OpError> {
        let key_len = key_len as u64;
        let needed_bytes = key_len.saturating_add(value_len);
        if needed_bytes > PAYLOAD_BYTES_MAX {
            let option = "none: this is the format's limit";
            return Err(OpError::TooLarge { needed_bytes, limit_bytes: PAYLOAD_BYTES_MAX, option });
        }
        if facts.evicting && needed_bytes > facts.max_bytes / EVICTING_FRACTION {
            let limit_bytes = facts.max_bytes / EVICTING_FRACTION;
            let option = "max_bytes: a map that evicts takes an eighth of it";
            return Err(OpError::TooLarge { needed_bytes, limit_bytes, option });
        }
        let traits = Traits::new(kind, facts.durable, timed);
        let shape = Shape { key_len, value_len, traits };
        // The last page is the least that the index takes.
        let pages = facts.geometry.pages().saturating_sub(2);
        let limit_bytes = (pages * PAGE_BYTES).min(facts.max_bytes);
        if shape.bytes() > limit_bytes {
            if facts.frozen.is_some() {
                return Err(OpError::ReadOnly);
            }
            return Err(OpError::TooLarge { needed_bytes, limit_bytes, option: "max_bytes" });
        }
        if kind.is_in_place() && shape.is_large() {
            let (needed_bytes, limit_bytes) = (shape.bytes(), class::SMALL_BYTES_MAX);
            let option = "none: this is the limit for numbers and lists";
            return Err(OpError::TooLarge { needed_bytes, limit_bytes, option });
        }
        Ok(shape)
    }

    /// The shape that all records have of a map with fixed lengths.
    pub(crate) fn fixed(fixed: FixedLengths) -> Shape {
        let (key_len, value_len) = (fixed.key_bytes.into(), fixed.value_bytes.into());
        let traits = if half_header::saves(fixed) { Traits::HALF } else { Traits::PLAIN };
        Shape { key_len, value_len, traits }
    }

    /// As `fitting`, in a map with fixed lengths.
    #[inline(never)]
    fn fitting_fixed(
        facts: &FileHeader,
        fixed: FixedLengths,
        (key_len, value_len): (usize, u64),
        kind: Kind,
        timed: bool,
    ) -> Result<Shape, OpError> {
        kind.expect(Kind::Bytes)?;
        let key = ("key", fixed.key_bytes, key_len as u64);
        for (of, expected, found_bytes) in [key, ("value", fixed.value_bytes, value_len)] {
            let expected_bytes = u64::from(expected);
            if expected_bytes != found_bytes {
                return Err(OpError::WrongLength { of, expected_bytes, found_bytes });
            }
        }
        if timed {
            return Err(OpError::NoAges);
        }
        Shape::fitting_whole(facts, key_len, value_len, kind, timed)?;
        Ok(Shape::fixed(fixed))
    }

    /// Whether records of a map can have this shape.
    pub(crate) fn is_possible(self, facts: &FileHeader) -> bool {
        let seals = self.traits.sealed() == facts.durable;
        facts.fixed.map_or(seals, |fixed| self == Shape::fixed(fixed))
    }

    /// Bytes of the record, header included.
    #[inline(always)]
    pub fn bytes(self) -> u64 {
        let small = self.small_bytes();
        if small <= class::SMALL_BYTES_MAX { small } else { small + LENGTHS_BYTES }
    }

    /// Bytes of the record as a small one.
    #[inline(always)]
    fn small_bytes(self) -> u64 {
        let hash = u64::from(self.has_hash()) * HASH_BYTES;
        self.front_bytes() + hash + self.key_len + self.value_len
    }

    /// Bytes of header, seal and deadline.
    #[inline(always)]
    pub(crate) fn front_bytes(self) -> u64 {
        HEADER_BYTES - u64::from(self.traits.half()) * HALF_HEADER_BYTES
            + u64::from(self.traits.sealed()) * SEAL_BYTES
            + u64::from(self.traits.timed()) * DEADLINE_BYTES
    }

    /// Where the word of the deadline lies, of a record that has one, counted from the header.
    #[inline(always)]
    pub(crate) fn deadline_word(self) -> usize {
        self.traits.deadline_word()
    }

    /// Whether the key's hash lies before the key.
    #[inline(always)]
    pub(crate) fn has_hash(self) -> bool {
        self.key_len >= HASHED_KEY_BYTES
    }

    /// Whether the record gets a run of pages of its own.
    #[inline(always)]
    pub fn is_large(self) -> bool {
        self.small_bytes() > class::SMALL_BYTES_MAX
    }

    /// Pages of a large record.
    #[inline(always)]
    pub fn pages(self) -> u64 {
        self.bytes().div_ceil(PAGE_BYTES)
    }

    /// Where the words of such a record's seal lie.
    #[inline(always)]
    pub(crate) fn words(self, reference: u32) -> Words {
        Words::of(reference, self.traits.kind().is_in_place())
    }

    /// The front that the checksum of such a record has at a place.
    pub(crate) fn seal_front(self, place: Place<'_>, reference: u32) -> u64 {
        let kind = self.traits.kind() as u64 | u64::from(self.traits.timed()) << 8;
        let facts = [self.key_len, self.value_len, kind, reference.into()];
        seal::front(facts, place.secret())
    }

    /// The word of a whole header that is not live and has no stamp. The lengths of large records
    /// follow in words of their own.
    #[inline(always)]
    pub(crate) fn header(self) -> u64 {
        let lengths = self.key_len | self.value_len << LENGTH_BITS;
        self.traits.in_header() | if self.is_large() { LARGE } else { lengths }
    }
}
