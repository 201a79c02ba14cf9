//! A record: key and value with their lengths and type, out of line, immutable once published.
//!
//! ```text
//! header word                                        then
//! bit 0       14       28     32     33     64       bytes:   | key | value |
//!     | key   | value  | type | live | large | 0 |   integer: | value: 8 bytes | key |
//! ```
//!
//! With `large` the two lengths in the header are 0 and the words after it hold them. A key of 256
//! bytes or more has its hash in the word before it, so that whoever places a record again reads a
//! bounded number of bytes; the hash is not trusted for anything else. A value of type integer is
//! 8-byte aligned and may be changed in place by one atomic store under the lock.
//!
//! Invariant, whenever no intent is pending: a slot refers to a record if and only if it is `live`.
//! So a record is written without the mark, and the intent that publishes or retires it changes the
//! mark as well; readers ignore it. Zeros are never a live record. Bit 34 alone makes a gap, which
//! is no record: its low 14 bits are its units, any number of them. The bits above, zero today, are
//! for what later versions keep per record.

use crate::class;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::place::Place;
use shf_base::atomic::Bytes;
use shf_base::atomic::Ordering::{Acquire, Relaxed, Release};
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_BYTES, UNIT_BYTES};

const LENGTH_BITS: u32 = 14;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
const KIND_SHIFT: u32 = 28;
const LIVE: u64 = 1 << 32;
const LARGE: u64 = 1 << 33;
const GAP: u64 = 1 << 34;
const SMALL_HEADER_BYTES: u64 = 8;
const LARGE_HEADER_BYTES: u64 = 24;
const HASH_BYTES: u64 = 8;
/// Keys of at least this length have their hash beside them; a power of two.
const HASHED_KEY_BYTES: u64 = 256;
/// The bits of a header that are zero in plain records: small, of type bytes, with a short key.
const NOT_PLAIN: u64 = (!0 << KIND_SHIFT) & !LIVE | LENGTH_MASK & !(HASHED_KEY_BYTES - 1);
/// Those keys are hashed in pieces of this size.
const PIECE_BYTES: usize = 256;
/// Key and value together, at most.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 32;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    Bytes,
    /// A signed 64-bit integer, little-endian, changed in place by `add`.
    Integer,
}

impl Kind {
    /// The name that errors use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bytes => "bytes",
            Kind::Integer => "integer",
        }
    }
}

/// The shape of a record: all that its size follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of the key.
    pub key_len: u64,
    /// Bytes of the value.
    pub value_len: u64,
    /// Type of the value.
    pub kind: Kind,
}

impl Shape {
    /// Bytes of the record, header included.
    #[inline(always)]
    pub fn bytes(self) -> u64 {
        let small = self.small_bytes();
        if small <= class::SMALL_BYTES_MAX {
            small
        } else {
            small + LARGE_HEADER_BYTES - SMALL_HEADER_BYTES
        }
    }

    /// Bytes of the record as a small one.
    #[inline(always)]
    fn small_bytes(self) -> u64 {
        let hash = u64::from(self.has_hash()) * HASH_BYTES;
        SMALL_HEADER_BYTES + hash + self.key_len + self.value_len
    }

    /// Whether the key's hash lies before the key.
    #[inline(always)]
    fn has_hash(self) -> bool {
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

    fn header(self) -> [u64; 3] {
        let kind = (self.kind as u64) << KIND_SHIFT;
        if self.is_large() {
            [kind | LARGE, self.key_len, self.value_len]
        } else {
            [kind | self.key_len | self.value_len << LENGTH_BITS, 0, 0]
        }
    }
}

/// A record in its place, bounds-checked against the committed limit.
#[derive(Clone, Copy)]
pub struct Record<'m> {
    /// Its shape, from one load of the header.
    pub shape: Shape,
    /// Where the key begins.
    key_at: usize,
    bytes: Bytes<'m>,
}

impl<'m> Record<'m> {
    /// The record at a reference. `None` when it does not lie wholly within the committed pages or
    /// its header makes no sense: the reference is stale, or the map is damaged.
    #[inline(always)]
    pub fn at(place: &Place<'m>, reference: u32) -> Option<Record<'m>> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if header & NOT_PLAIN != 0 {
            return Record::at_other(bytes, header);
        }
        let (key_len, value_len) = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let len = SMALL_HEADER_BYTES + key_len + value_len;
        if len > class::SMALL_BYTES_MAX {
            return None;
        }
        let shape = Shape { key_len, value_len, kind: Kind::Bytes };
        Some(Record { shape, key_at: SMALL_HEADER_BYTES as usize, bytes: bytes.part(0, len)? })
    }

    /// An integer, a large record, or one with a long key.
    fn at_other(bytes: Bytes<'m>, header: u64) -> Option<Record<'m>> {
        let integer = (Kind::Integer as u64) << KIND_SHIFT;
        let (shape, key_at) = if header & !LIVE == LARGE && bytes.len() >= 24 {
            let (key_len, value_len) = (bytes.word(1).load(Relaxed), bytes.word(2).load(Relaxed));
            if key_len > PAYLOAD_BYTES_MAX || value_len > PAYLOAD_BYTES_MAX {
                return None;
            }
            (Shape { key_len, value_len, kind: Kind::Bytes }, LARGE_HEADER_BYTES)
        } else if header & !LIVE & !LENGTH_MASK == integer | 8 << LENGTH_BITS {
            let key_len = header & LENGTH_MASK;
            (Shape { key_len, value_len: 8, kind: Kind::Integer }, SMALL_HEADER_BYTES + 8)
        } else if (header & !LIVE) >> KIND_SHIFT == 0 {
            let (key_len, value_len) = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
            (Shape { key_len, value_len, kind: Kind::Bytes }, SMALL_HEADER_BYTES)
        } else {
            return None;
        };
        let large = header & LARGE != 0;
        let key_at = key_at + u64::from(shape.has_hash()) * HASH_BYTES;
        let bytes = bytes.part(0, shape.bytes())?;
        (shape.is_large() == large).then_some(Record { shape, key_at: key_at as usize, bytes })
    }

    /// Writes a record, not live, into memory that is allocated and not published; `publish` is
    /// next.
    /// `hash` is the key's; `value` of an integer is its 8 bytes.
    pub fn write(
        place: Place<'m>,
        reference: u32,
        shape: Shape,
        hash: Hash,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), OpError> {
        let offset = place.unit_offset(reference);
        let bytes = place.record_bytes(reference).and_then(|room| room.part(0, shape.bytes()));
        let Some(bytes) = bytes else {
            return Err(place.corrupt(offset, "allocation outside of the file"));
        };
        if shape.is_large() || shape.has_hash() {
            write_long(bytes, shape, hash, key, value);
            return Ok(());
        }
        let word = shape.header()[0].to_ne_bytes();
        match shape.kind {
            Kind::Bytes => bytes.store_parts([&word, key, value]),
            Kind::Integer => bytes.store_parts([&word, value, key]),
        }
        Ok(())
    }

    /// Makes a block that nothing refers to look like a retired record of its class: one store.
    pub fn write_free(place: Place<'_>, reference: u32, class: usize) {
        let value_len = u64::from(class::units(class)) * UNIT_BYTES - SMALL_HEADER_BYTES;
        let shape = Shape { key_len: 0, value_len, kind: Kind::Bytes };
        if let Some(room) = place.record_bytes(reference) {
            room.word(0).store(shape.header()[0], Release);
        }
    }

    /// Makes units that nothing refers to, any number, one free block: one store.
    pub fn write_gap(place: Place<'_>, reference: u32, units: u32) {
        if let Some(room) = place.record_bytes(reference) {
            room.word(0).store(u64::from(units) & LENGTH_MASK | GAP, Release);
        }
    }

    /// The units of the gap at a reference, if there is one.
    pub fn gap_units(place: &Place<'m>, reference: u32) -> Option<u32> {
        let header = place.record_bytes(reference)?.word(0).load(Relaxed);
        (header & !LENGTH_MASK == GAP).then_some((header & LENGTH_MASK) as u32)
    }

    /// Whether the record's key is `key`.
    #[inline(always)]
    pub fn key_is(self, key: &[u8]) -> bool {
        self.shape.key_len == key.len() as u64 && self.bytes.equals(self.key_at / 8, key)
    }

    /// Whether the two records have the same key.
    pub fn has_key_of(self, other: Record<'_>) -> bool {
        let (mut ours, mut theirs) = ([0; PIECE_BYTES], [0; PIECE_BYTES]);
        let len = self.shape.key_len as usize;
        self.shape.key_len == other.shape.key_len
            && (0..len).step_by(PIECE_BYTES).all(|from| {
                let piece = PIECE_BYTES.min(len - from);
                self.bytes.copy_out(self.key_at + from, &mut ours[..piece]);
                other.bytes.copy_out(other.key_at + from, &mut theirs[..piece]);
                ours[..piece] == theirs[..piece]
            })
    }

    /// The hash of the record's key: of a short key computed, of a long one as the record says.
    pub fn hash(self, secret: u64) -> Hash {
        if self.shape.has_hash() {
            return Hash(self.bytes.word(self.key_at / 8 - 1).load(Relaxed));
        }
        let mut key = [0; HASHED_KEY_BYTES as usize];
        let key = &mut key[..self.shape.key_len as usize];
        self.copy_key(key);
        Hash::of(key, secret)
    }

    /// The hash of the record's key, computed whatever the key's length: for the checker.
    pub fn hash_of_key(self, secret: u64) -> Hash {
        let mut piece = [0; PIECE_BYTES];
        let len = self.shape.key_len as usize;
        Hash::of_pieces(secret, |hasher| {
            for from in (0..len).step_by(PIECE_BYTES) {
                let piece = &mut piece[..PIECE_BYTES.min(len - from)];
                self.bytes.copy_out(self.key_at + from, piece);
                hasher.update(piece);
            }
        })
    }

    /// Copies the key; `into` has its length.
    pub fn copy_key(self, into: &mut [u8]) {
        self.bytes.copy_out(self.key_at, into);
    }

    /// Copies the value; `into` has its length. An integer is one atomic load (acquire, with the
    /// release of `set_integer`).
    #[inline(always)]
    pub fn copy_value(self, into: &mut [u8]) {
        match self.shape.kind {
            Kind::Bytes => {
                let from = self.key_at + self.shape.key_len as usize;
                self.bytes.copy_out(from, into);
            }
            Kind::Integer => into.copy_from_slice(&self.integer().to_le_bytes()),
        }
    }

    /// The value of an integer record.
    #[inline(always)]
    pub fn integer(self) -> i64 {
        self.bytes.word(1).load(Acquire) as i64
    }

    /// Changes the value of an integer record in place: one atomic store.
    pub fn set_integer(self, value: i64) {
        debug_assert!(self.shape.kind == Kind::Integer);
        self.bytes.word(1).store(value as u64, Release);
    }

    /// Copies a small record, not as a live one, to memory that is allocated and not published. The
    /// caller holds the lock, so that nobody changes an integer meanwhile.
    pub fn copy_to(self, place: Place<'m>, reference: u32) -> Result<(), OpError> {
        let offset = place.unit_offset(reference);
        let len = self.bytes.len() as u64;
        let target = place.record_bytes(reference).and_then(|room| room.part(0, len));
        let Some(target) = target else {
            return Err(place.corrupt(offset, "allocation outside of the file"));
        };
        target.word(0).store(self.shape.header()[0], Relaxed);
        for word in 1..self.bytes.len().div_ceil(8) {
            target.word(word).store(self.bytes.word(word).load(Relaxed), Relaxed);
        }
        Ok(())
    }

    /// Whether a slot refers to the record.
    pub fn is_live(self) -> bool {
        self.bytes.word(0).load(Relaxed) & LIVE != 0
    }

    /// Will be live. The same intent makes a slot refer to the record.
    #[inline(always)]
    pub fn publish(intent: &mut Intent<'_>, place: Place<'_>, reference: u32, shape: Shape) {
        intent.set(place.unit_offset(reference), shape.header()[0] | LIVE);
    }

    /// Will no longer be live. The same intent takes the record's slot away.
    #[inline(always)]
    pub fn retire(self, intent: &mut Intent<'_>, place: Place<'_>, reference: u32) {
        intent.set(place.unit_offset(reference), self.shape.header()[0]);
    }
}

/// Writes a record that is large or has a long key: all its words, then what is left of its bytes.
fn write_long(bytes: Bytes<'_>, shape: Shape, hash: Hash, key: &[u8], value: &[u8]) {
    let mut words = [0; (LARGE_HEADER_BYTES + HASH_BYTES) as usize];
    let mut len = 0;
    let mut push = |word: [u8; 8]| {
        words[len..len + 8].copy_from_slice(&word);
        len += 8;
    };
    let [header, key_len, value_len] = shape.header().map(u64::to_ne_bytes);
    push(header);
    if shape.is_large() {
        push(key_len);
        push(value_len);
    }
    let integer = if shape.kind == Kind::Integer { value.try_into().ok() } else { None };
    if let Some(integer) = integer {
        push(integer);
    }
    if shape.has_hash() {
        push(hash.0.to_ne_bytes());
    }
    let rest = if integer.is_some() { &[] } else { value };
    bytes.store_parts([&words[..len], key, rest]);
}
