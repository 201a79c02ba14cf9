//! What a record's header says beside its lengths and its stamp (`record`): the type of the value,
//! and whether there are a seal and a deadline; and whether it is half a header.
//!
//! In one word, in the bits of headers: it is masked out of one and put into one as it is. Separate
//! bytes would be stored one by one and copied by loads of several, which processors wait for.

use crate::kind::Kind;

const KIND_SHIFT: u32 = 28;
const KIND: u64 = 7 << KIND_SHIFT;
pub(crate) const TIMED: u64 = 1 << 34;
pub(crate) const SEALED: u64 = 1 << 35;
/// In no header: the lowest bit, which is of a length there.
const HALF: u64 = 1;
/// In a header that says no type: a gap's, or half a header.
pub(crate) const NO_TYPE: u64 = 1 << 31;

/// Type, seal, deadline and half a header, of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits(u64);

impl Traits {
    /// Bytes with neither seal nor deadline.
    pub(crate) const PLAIN: Traits = Traits(0);
    /// Those of a record with half a header (`half_header`): bytes, with neither seal nor deadline.
    pub(crate) const HALF: Traits = Traits(HALF);
    /// The bits of a whole header that they are.
    pub(crate) const IN_HEADER: u64 = KIND | TIMED | SEALED;

    #[inline(always)]
    pub(crate) fn new(kind: Kind, sealed: bool, timed: bool) -> Traits {
        let flag = |set, bit| if set { bit } else { 0 };
        Traits((kind as u64) << KIND_SHIFT | flag(sealed, SEALED) | flag(timed, TIMED))
    }

    /// What a whole header says.
    #[inline(always)]
    pub(crate) fn of_header(header: u64) -> Traits {
        Traits(header & Traits::IN_HEADER)
    }

    /// What a whole header has of them.
    #[inline(always)]
    pub(crate) fn in_header(self) -> u64 {
        self.0 & Traits::IN_HEADER
    }

    /// Whether nothing follows from them but a whole header, as small records have it, before the
    /// key.
    #[inline(always)]
    pub(crate) fn are_short(self) -> bool {
        self.0 & (SEALED | TIMED | HALF) == 0 && !self.kind().is_in_place()
    }

    /// The type of the value.
    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        Kind::of_bits(self.0 >> KIND_SHIFT)
    }

    /// Whether the record has a seal.
    #[inline(always)]
    pub(crate) fn sealed(self) -> bool {
        self.0 & SEALED != 0
    }

    /// Whether the record has a deadline.
    #[inline(always)]
    pub(crate) fn timed(self) -> bool {
        self.0 & TIMED != 0
    }

    /// Where the word of the deadline lies, of a record that has one, counted from the header.
    #[inline(always)]
    pub(crate) fn deadline_word(self) -> usize {
        1 + 2 * usize::from(self.sealed()) + usize::from(self.kind().is_in_place())
    }

    /// Whether the record has half a header.
    #[inline(always)]
    pub(crate) fn half(self) -> bool {
        self.0 & HALF != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{LENGTH_MASK, LIVE};
    use crate::shape::{LARGE, LENGTH_BITS};
    use crate::stamp::Stamp;

    #[test]
    fn a_header_says_the_traits_that_went_into_it_whatever_else_it_says() {
        let others = LENGTH_MASK | LENGTH_MASK << LENGTH_BITS | LIVE | LARGE | Stamp::MASK;
        for (number, sealed, timed) in (0..8)
            .flat_map(|n| [(n, false, false), (n, true, false), (n, false, true), (n, true, true)])
        {
            let traits = Traits::new(Kind::of_bits(number), sealed, timed);
            assert_eq!(traits.in_header() & others, 0);
            let found = Traits::of_header(traits.in_header() | others);
            assert_eq!((found, found.half()), (traits, false));
            assert_eq!(
                (found.kind() as u64, found.sealed(), found.timed()),
                (number, sealed, timed)
            );
            assert_eq!(found.are_short(), !found.kind().is_in_place() && !sealed && !timed);
        }
        assert!(Traits::HALF.half() && !Traits::HALF.are_short());
        assert_eq!((Traits::HALF.in_header(), Traits::HALF.kind()), (0, Kind::Bytes));
    }
}
