//! Half a header: what records have in a map with fixed lengths, where that saves memory.
//!
//! All records of such a map have the same lengths and type, which its file header says, and
//! neither seals nor deadlines. What is left of a header takes half a word, and key and value begin
//! in the other half:
//!
//! ```text
//! bit 0            20        28     29      32                     64
//!     | generation | version | live | 1 1 1 | the first four bytes |   then: | all others |
//! ```
//!
//! The three ones are in no whole header (`record`), nor in a gap: no type has a number beyond 7,
//! and a gap has bit 31 alone. So each word says by itself what it is, whatever the map.
//!
//! Records lie in blocks of whole words, so half a word less is a smaller block for some lengths
//! and the same one for others (`saves`). Records that it would save nothing have whole headers.
//!
//! The word is stored as a whole, as any header is: the bytes of key and value in it are stored
//! again with every change of the mark or the stamp, and stay what they are.

use crate::class;
use crate::place::Place;
use crate::shape::{HALF_HEADER_BYTES, HASHED_KEY_BYTES, HEADER_BYTES};
use crate::stamp::Stamp;
use crate::traits::NO_TYPE;
use shf_base::atomic::Bytes;
use shf_base::atomic::Ordering::Relaxed;
use shf_base::fixed_lengths::FixedLengths;

/// What tells half a header from a whole one, and from a gap.
const MARK: u64 = 7 << 29;
const _: () = assert!(MARK & NO_TYPE != 0);
/// Whether a slot refers to the record.
pub(crate) const LIVE: u64 = 1 << 28;
/// The bits that key and value begin in.
const PAYLOAD: u64 = !0 << 32;
/// Bytes of key and value in the header's word.
const PAYLOAD_BYTES: usize = 4;

/// Whether a header's word is that of half a header.
#[inline(always)]
pub(crate) fn is_one(word: u64) -> bool {
    word & MARK == MARK
}

/// Whether records with such lengths can have half a header: those that have nothing else before
/// their key, no lengths as large ones have, and no hash as long keys have.
#[inline(always)]
pub(crate) fn is_possible(fixed: FixedLengths) -> bool {
    fixed.bytes() + HEADER_BYTES <= class::SMALL_BYTES_MAX
        && u64::from(fixed.key_bytes) < HASHED_KEY_BYTES
}

/// Whether records with such lengths lie in smaller blocks when they have half a header.
#[inline(always)]
pub(crate) fn saves(fixed: FixedLengths) -> bool {
    let class = |header_bytes| class::of_bytes(header_bytes + fixed.bytes());
    is_possible(fixed) && class(HALF_HEADER_BYTES) < class(HEADER_BYTES)
}

/// Whether the key of a record with half a header, which has as many bytes, is `key`. Not in line,
/// so that it takes no room where no record has one.
#[cold]
#[inline(never)]
pub(crate) fn key_is(bytes: Bytes<'_>, key: &[u8]) -> bool {
    bytes.equals_behind_half(key)
}

/// The half word, without what shares its word.
#[inline(always)]
pub(crate) fn half(stamp: Stamp, live: bool) -> u64 {
    MARK | u64::from(stamp.number()) | if live { LIVE } else { 0 }
}

/// A header's word with another half.
#[inline(always)]
pub(crate) fn with_half(word: u64, half: u64) -> u64 {
    word & PAYLOAD | half
}

/// The header's word of the record at a reference, with another half. Nobody may change what lies
/// there meanwhile.
#[cold]
#[inline(never)]
pub(crate) fn at(place: Place<'_>, reference: u32, half: u64) -> u64 {
    let word = place.record_bytes(reference).map_or(0, |bytes| bytes.word(0).load(Relaxed));
    with_half(word, half)
}

/// The word that a record begins with which has this half of a header, and what is left of its key
/// and its value.
pub(crate) fn first_word<'a>(
    half: u64,
    key: &'a [u8],
    value: &'a [u8],
) -> ([u8; 8], &'a [u8], &'a [u8]) {
    let mut word = half.to_le_bytes();
    let (of_key, key) = key.split_at(key.len().min(PAYLOAD_BYTES));
    let (of_value, value) = value.split_at(value.len().min(PAYLOAD_BYTES - of_key.len()));
    let front = of_key.iter().chain(of_value);
    word[PAYLOAD_BYTES..].iter_mut().zip(front).for_each(|(to, from)| *to = *from);
    (word, key, value)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn half_a_header_saves_a_word_where_the_rest_is_half_a_word_or_less() {
        for (key_bytes, value_bytes) in [(8, 4), (4, 8), (16, 4), (16, 100), (20, 8), (12, 24)] {
            assert!(saves(FixedLengths { key_bytes, value_bytes }), "{key_bytes}, {value_bytes}");
        }
        for (key_bytes, value_bytes) in [(8, 8), (16, 16), (4, 4), (1, 0), (16, 117), (256, 4)] {
            assert!(!saves(FixedLengths { key_bytes, value_bytes }), "{key_bytes}, {value_bytes}");
        }
        // Beyond 256 bytes, blocks have fewer sizes.
        let saving = (248..16 << 10)
            .filter(|&value_bytes| saves(FixedLengths { key_bytes: 0, value_bytes }))
            .count();
        assert_eq!(saving, 4 * (class::CLASSES - class::of_bytes(257)));
    }

    #[test]
    fn no_other_word_looks_like_half_a_header() {
        for number in 0..8 {
            let kind = Kind::of(number).unwrap();
            assert!(!is_one((kind as u64) << 28 | 0x0fff_ffff | !0 << 32));
        }
        assert!(!is_one(1 << 31 | 0x3fff) && !is_one(0));
        assert!(is_one(half(Stamp::default(), false)) && is_one(half(Stamp::born(!0), true)));
    }

    #[test]
    fn key_and_value_begin_in_the_first_word() {
        for (key, value) in [(&b"key"[..], &b"value.."[..]), (b"", b"value...."), (b"longkey", b"")]
        {
            let (word, rest, value_rest) = first_word(half(Stamp::born(5), true), key, value);
            let all = [&word[4..], rest, value_rest].concat();
            assert_eq!(all, [key, value].concat());
            assert_eq!(Stamp::of_half(u64::from_le_bytes(word)), Stamp::born(5));
        }
    }
}
