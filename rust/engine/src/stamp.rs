//! The stamp of a record: which life of its key it belongs to, and which change in that life made
//! it.
//!
//! ```text
//! header word, bit 36           56        64
//!                  | generation | version |
//! ```
//!
//! A key begins a life when it is put and is not there. The generation is the number of that birth
//! in its shard, and stays as long as the key lives: by it a UID of an earlier life is refused
//! (`uid`). The version goes up with every change of the value: by it two equal values of a key are
//! told apart (`token`). Both come around, after a million births in the shard and after 256
//! changes of the key; `uid` and `token` say what else must agree by then.
//!
//! Moving a record changes neither.

const SHIFT: u32 = 36;
/// Bits of a generation.
pub const GENERATION_BITS: u32 = 20;
const VERSION_BITS: u32 = 8;
const BITS: u32 = GENERATION_BITS + VERSION_BITS;

/// Life and change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u32);

impl Stamp {
    /// The bits of a record's header that are its stamp.
    pub const MASK: u64 = ((1 << BITS) - 1) << SHIFT;

    /// The stamp in a record's header.
    #[inline(always)]
    pub fn of_header(header: u64) -> Stamp {
        Stamp((header >> SHIFT) as u32 & ((1 << BITS) - 1))
    }

    /// The stamp in half a header (`half_header`).
    #[inline(always)]
    pub fn of_half(header: u64) -> Stamp {
        Stamp(header as u32 & ((1 << BITS) - 1))
    }

    /// The stamp as bits of a header.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        u64::from(self.0) << SHIFT
    }

    /// That of the birth with a number in its shard, which may be any.
    #[inline(always)]
    pub fn born(birth: u32) -> Stamp {
        Stamp(birth & ((1 << GENERATION_BITS) - 1))
    }

    /// That of the next change in the same life.
    #[inline(always)]
    pub fn next(self) -> Stamp {
        let version = (self.0 >> GENERATION_BITS).wrapping_add(1) << GENERATION_BITS;
        Stamp((self.generation() | version) & ((1 << BITS) - 1))
    }

    /// The life, 20 bits.
    #[inline(always)]
    pub fn generation(self) -> u32 {
        self.0 & ((1 << GENERATION_BITS) - 1)
    }

    /// How many births there were from another one to this, as far as generations tell.
    pub fn births_since(self, other: Stamp) -> u32 {
        self.generation().wrapping_sub(other.generation()) & ((1 << GENERATION_BITS) - 1)
    }

    /// Life and change, 28 bits.
    #[inline(always)]
    pub fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_are_counted_across_the_end_of_generations() {
        let since = |birth, other| Stamp::born(birth).births_since(Stamp::born(other));
        assert_eq!((since(5, 5), since(7, 5), since(0x10_0005, 0xf_fff0)), (0, 2, 0x15));
    }

    #[test]
    fn a_change_keeps_the_life_and_both_come_around() {
        let born = Stamp::born(0x1f_ffff);
        assert_eq!(born.generation(), 0xf_ffff);
        let mut stamp = born;
        for change in 1..256 {
            stamp = stamp.next();
            assert_eq!((stamp.generation(), stamp == born), (0xf_ffff, false), "change {change}");
            assert_eq!(Stamp::of_header(stamp.bits() | !Stamp::MASK), stamp);
        }
        assert_eq!(stamp.next(), born);
    }
}
