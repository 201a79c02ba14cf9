//! Records as their headers say they are (`record`): found whole, or not at all.
//!
//! Most records are *plain*, and numbers come next; so there is a short way to these, with as few
//! looks at the header as can be, and one to all others. Callers that know more of a map take the
//! way that is meant for it.

use crate::class;
use crate::element;
use crate::half_header;
use crate::kind::Kind;
use crate::place::Place;
use crate::record::{LENGTH_MASK, LIVE, Record};
use crate::seal::SEAL_BYTES;
use crate::shape::{
    DEADLINE_BYTES, HASH_BYTES, HASHED_KEY_BYTES, HEADER_BYTES, LARGE, LENGTH_BITS, LENGTHS_BYTES,
    PAYLOAD_BYTES_MAX, Shape,
};
use crate::stamp::Stamp;
use crate::traits::{self, SEALED, TIMED, Traits};
use shf_base::atomic::Ordering::Relaxed;
use shf_base::atomic::{Bytes, Word};

/// Plain records have values below this length, a power of two.
const PLAIN_VALUE_BYTES: u64 = 8 << 10;
/// The bits of a header that are zero in plain records: of type bytes, with a short key, and so
/// much shorter than large ones that no length needs a look.
const NOT_PLAIN: u64 = (!0 << (2 * LENGTH_BITS)) & !(LIVE | SEALED | Stamp::MASK)
    | LENGTH_MASK & !(HASHED_KEY_BYTES - 1)
    | (LENGTH_MASK & !(PLAIN_VALUE_BYTES - 1)) << LENGTH_BITS;
const PLAIN_BYTES_MAX: u64 =
    HEADER_BYTES + SEAL_BYTES + DEADLINE_BYTES + HASHED_KEY_BYTES + PLAIN_VALUE_BYTES;
const _: () = assert!(PLAIN_BYTES_MAX <= class::SMALL_BYTES_MAX || cfg!(loom));
/// Plain records.
pub const PLAIN: u8 = 0;
/// These, and those that are plain but for a deadline.
pub const OR_TIMED: u8 = 1;
/// Records with half a header.
pub const WITH_HALF: u8 = 2;

/// What `Record::prefetch` fetches at most. Larger records are left to the processor, which sees by
/// then that they are read from front to back.
const PREFETCH_BYTES: usize = 128;
const LINE_BYTES: usize = 64;

impl<'m> Record<'m> {
    /// The record at a reference. `None` when it does not lie wholly within the committed pages or
    /// its header makes no sense: the reference is stale, or the map is damaged.
    #[inline(always)]
    pub fn at(place: &Place<'m>, reference: u32) -> Option<Record<'m>> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if header & NOT_PLAIN == 0 {
            return Record::plain::<false>(bytes, header, reference);
        }
        match Record::number_at(bytes, header, reference) {
            None => Record::at_other(place, bytes, header, reference),
            number => number,
        }
    }

    /// A number with a short key; `None`: something else. Additions to numbers follow each other
    /// closely, and the processor fetches the memory of the next one only as far as it sees ahead
    /// (docs/decisions/0021-stamps.md).
    #[inline(always)]
    fn number_at(bytes: Bytes<'m>, header: u64, reference: u32) -> Option<Record<'m>> {
        let (key_len, value_len) = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let traits = Traits::of_header(header);
        let other = header & NOT_PLAIN & !Traits::IN_HEADER != 0 || !traits.kind().is_number();
        if value_len != 8 || other {
            return None;
        }
        let shape = Shape { key_len, value_len, traits };
        let key_at = shape.front_bytes() + 8;
        let (stamp, bytes) = (Stamp::of_header(header), bytes.part(0, key_at + key_len)?);
        Some(Record { shape, stamp, key_at: key_at as usize, reference, bytes })
    }

    /// As `at`, of a plain record, `OR_TIMED` also of one that is plain but for a deadline, or
    /// `WITH_HALF` of one with half a header; `None` also when it is another one.
    #[inline(always)]
    pub fn plain_at<const WHICH: u8>(place: &Place<'m>, reference: u32) -> Option<Record<'m>> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if WHICH == WITH_HALF {
            return Record::half_at(place, bytes, header, reference);
        }
        if header & NOT_PLAIN & !if WHICH == OR_TIMED { TIMED } else { 0 } != 0 {
            return None;
        }
        match WHICH {
            OR_TIMED => Record::plain::<true>(bytes, header, reference),
            _ => Record::plain::<false>(bytes, header, reference),
        }
    }

    #[inline(always)]
    fn plain<const TIMED_TOO: bool>(
        bytes: Bytes<'m>,
        header: u64,
        reference: u32,
    ) -> Option<Record<'m>> {
        let key_len = header & (HASHED_KEY_BYTES - 1);
        let value_len = header >> LENGTH_BITS & (PLAIN_VALUE_BYTES - 1);
        let said = if TIMED_TOO { SEALED | TIMED } else { SEALED };
        let shape = Shape { key_len, value_len, traits: Traits::of_header(header & said) };
        let key_at = shape.front_bytes();
        let (stamp, bytes) =
            (Stamp::of_header(header), bytes.part(0, key_at + key_len + value_len)?);
        Some(Record { shape, stamp, key_at: key_at as usize, reference, bytes })
    }

    /// A record with half a header, in a map with fixed lengths; `None`: something else.
    #[inline(always)]
    fn half_at(
        place: &Place<'m>,
        bytes: Bytes<'m>,
        header: u64,
        reference: u32,
    ) -> Option<Record<'m>> {
        let fixed = place.facts().fixed?;
        if !half_header::is_one(header) || !half_header::is_possible(fixed) {
            return None;
        }
        let (key_len, value_len) = (fixed.key_bytes.into(), fixed.value_bytes.into());
        let shape = Shape { key_len, value_len, traits: Traits::HALF };
        let key_at = shape.front_bytes() as usize;
        // As long as a word at least, whatever a forged one is of.
        let bytes = bytes.part(0, (key_at as u64 + fixed.bytes()).max(HEADER_BYTES))?;
        Some(Record { shape, stamp: Stamp::of_half(header), key_at, reference, bytes })
    }

    /// Starts to fetch the front of what lies at a reference, if it is committed: the header, the
    /// key and the first bytes of the value. Looks at nothing.
    #[inline(always)]
    pub fn prefetch(place: &Place<'_>, reference: u32) {
        let Some(bytes) = place.record_bytes(reference) else { return };
        let offset = place.unit_offset(reference);
        for ahead in (0..bytes.len().min(PREFETCH_BYTES)).step_by(LINE_BYTES) {
            place.region().prefetch(offset + ahead as u64);
        }
    }

    /// Starts to fetch the first line of what lies at a reference: of most records, all but the
    /// value.
    #[inline(always)]
    pub fn prefetch_front(place: &Place<'_>, reference: u32) {
        place.region().prefetch(place.unit_offset(reference));
    }

    /// What the header alone says of the record at a reference: its type, and where the word with
    /// its deadline is, if it has one. `None`: there is no record.
    #[inline(always)]
    pub fn glance(place: &Place<'m>, reference: u32) -> Option<(Kind, Option<Word<'m>>)> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if half_header::is_one(header) {
            return Record::half_at(place, bytes, header, reference).map(|_| (Kind::Bytes, None));
        }
        if header & traits::NO_TYPE != 0 {
            return None;
        }
        let traits = Traits::of_header(header);
        let word = traits.deadline_word();
        let timed = traits.timed() && bytes.len() > word * 8;
        Some((traits.kind(), timed.then(|| bytes.word(word))))
    }

    /// A value with a type, a large record, or one with a deadline, a long key or half a header.
    fn at_other(
        place: &Place<'m>,
        bytes: Bytes<'m>,
        header: u64,
        reference: u32,
    ) -> Option<Record<'m>> {
        if half_header::is_one(header) {
            return Record::half_at(place, bytes, header, reference);
        }
        let (traits, stamp) = (Traits::of_header(header), Stamp::of_header(header));
        let (kind, large) = (traits.kind(), header & LARGE != 0);
        let front_bytes = Shape { key_len: 0, value_len: 0, traits }.front_bytes();
        let lengths = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let rest = header & (!0 << (2 * LENGTH_BITS));
        let ((key_len, value_len), key_at) = match rest & !(Traits::IN_HEADER | LIVE | Stamp::MASK)
        {
            0 if kind.is_in_place() => (lengths, front_bytes + 8),
            0 => (lengths, front_bytes),
            LARGE if lengths == (0, 0) && bytes.len() as u64 >= front_bytes + LENGTHS_BYTES => {
                let word = (front_bytes / 8) as usize;
                let length = |at| bytes.word(word + at).load(Relaxed);
                ((length(0), length(1)), front_bytes + LENGTHS_BYTES)
            }
            _ => return None,
        };
        let is_element = kind == Kind::Element;
        if key_len.max(value_len) > PAYLOAD_BYTES_MAX
            || !kind.takes(value_len)
            || large && kind.is_in_place()
            || is_element && (key_len != element::KEY_BYTES as u64 || traits.timed())
        {
            return None;
        }
        let shape = Shape { key_len, value_len, traits };
        let key_at = key_at + u64::from(shape.has_hash()) * HASH_BYTES;
        let bytes = bytes.part(0, shape.bytes())?;
        let record = Record { shape, stamp, key_at: key_at as usize, reference, bytes };
        (shape.is_large() == large).then_some(record)
    }
}
