//! A token: what a key had at one moment, in 64 bits, for a change that is made only if nobody else
//! made one since.
//!
//! ```text
//! bit 0   1                36         64
//!     | 1 | digest of value | stamp    |      all 0: the key is not there
//! ```
//!
//! The stamp (`stamp`) differs after each change of the value, also after a deletion and a new put,
//! and so tells two equal values apart, until it comes around: after 256 changes of the key, or in
//! another life after a million births in its shard. The digest, a hash under the map's secret,
//! then still tells the values apart. So a token is wrongly taken for the present one only if both
//! come around to the same number, and the value is the same as well or has the same 35 bits of
//! hash: where the value is the same, a change that was based on it is right.

use crate::hash::Hash;
use crate::record::Record;
use crate::stamp::Stamp;

const STAMP_SHIFT: u32 = 36;
const DIGEST_MASK: u64 = (1 << STAMP_SHIFT) - 2;

/// What a key had at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// That of a key that is not there.
    pub const ABSENT: Token = Token(0);

    /// That of a value whose record has a stamp.
    #[inline]
    pub(crate) fn new(stamp: Stamp, value: &[u8], secret: u64) -> Token {
        Token::of_digest(stamp, Hash::of(value, secret))
    }

    /// Whether it is that of a record. Reads all of the value only where the stamp is the same.
    pub(crate) fn is_of(self, record: Record<'_>, secret: u64) -> bool {
        self.0 >> STAMP_SHIFT == u64::from(record.stamp.number())
            && self == Token::of_digest(record.stamp, record.hash_of_value(secret))
    }

    /// The token with these bits, which `bits` gave; others are of nothing that ever was.
    pub fn from_bits(bits: u64) -> Token {
        Token(bits)
    }

    /// The bits that say it all.
    pub fn bits(self) -> u64 {
        self.0
    }

    fn of_digest(stamp: Stamp, digest: Hash) -> Token {
        Token(u64::from(stamp.number()) << STAMP_SHIFT | digest.0 & DIGEST_MASK | 1)
    }
}
