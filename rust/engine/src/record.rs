//! A record: key and value with their lengths and type, out of line, immutable once published.
//!
//! ```text
//! header word                                        then
//! bit 0       14       28     32     33     64       bytes:   | key | value |
//!     | key   | value  | type | live | large | 0 |   integer: | value: 8 bytes | key |
//! ```
//!
//! Bit 35 says that the record is sealed, as all of a durable map are: the two words of its seal
//! (`seal`) come right behind the header, before what is drawn above.
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
use crate::place::{Field, Place};
use crate::quarantine;
use crate::seal::{self, SEAL_BYTES, State};
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
const SEALED: u64 = 1 << 35;
const HEADER_BYTES: u64 = 8;
/// What a large record has in addition: the words of its lengths.
const LENGTHS_BYTES: u64 = 16;
/// The words of a seal.
const STATE_WORD: usize = 1;
const CHECKSUM_WORD: usize = 2;
const HASH_BYTES: u64 = 8;
/// Keys of at least this length have their hash beside them; a power of two.
const HASHED_KEY_BYTES: u64 = 256;
/// The bits of a header that are zero in plain records: small, of type bytes, with a short key.
const NOT_PLAIN: u64 =
    (!0 << KIND_SHIFT) & !(LIVE | SEALED) | LENGTH_MASK & !(HASHED_KEY_BYTES - 1);
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
    /// Whether the record has a seal.
    pub sealed: bool,
}

impl Shape {
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

    /// Bytes of header and seal.
    #[inline(always)]
    fn front_bytes(self) -> u64 {
        HEADER_BYTES + u64::from(self.sealed) * SEAL_BYTES
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

    /// The front that the checksum of such a record has at a place.
    fn seal_front(self, place: Place<'_>, reference: u32) -> u64 {
        let facts = [self.key_len, self.value_len, self.kind as u64, reference.into()];
        seal::front(facts, place.secret())
    }

    fn header(self) -> [u64; 3] {
        let kind = (self.kind as u64) << KIND_SHIFT | if self.sealed { SEALED } else { 0 };
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
        let shape = Shape { key_len, value_len, kind: Kind::Bytes, sealed: header & SEALED != 0 };
        let key_at = shape.front_bytes();
        let len = key_at + key_len + value_len;
        if len > class::SMALL_BYTES_MAX {
            return None;
        }
        Some(Record { shape, key_at: key_at as usize, bytes: bytes.part(0, len)? })
    }

    /// An integer, a large record, or one with a long key.
    fn at_other(bytes: Bytes<'m>, header: u64) -> Option<Record<'m>> {
        let sealed = header & SEALED != 0;
        let front_bytes = HEADER_BYTES + u64::from(sealed) * SEAL_BYTES;
        let (header, large) = (header & !(LIVE | SEALED), header & LARGE != 0);
        let integer = (Kind::Integer as u64) << KIND_SHIFT;
        let (key_len, value_len) = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let (shape, key_at) =
            if header == LARGE && bytes.len() as u64 >= front_bytes + LENGTHS_BYTES {
                let lengths = (front_bytes / 8) as usize;
                let length = |word| bytes.word(lengths + word).load(Relaxed);
                let (key_len, value_len) = (length(0), length(1));
                if key_len > PAYLOAD_BYTES_MAX || value_len > PAYLOAD_BYTES_MAX {
                    return None;
                }
                let shape = Shape { key_len, value_len, kind: Kind::Bytes, sealed };
                (shape, front_bytes + LENGTHS_BYTES)
            } else if header & !LENGTH_MASK == integer | 8 << LENGTH_BITS {
                (Shape { key_len, value_len, kind: Kind::Integer, sealed }, front_bytes + 8)
            } else if header >> KIND_SHIFT == 0 {
                (Shape { key_len, value_len, kind: Kind::Bytes, sealed }, front_bytes)
            } else {
                return None;
            };
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
        if shape.is_large() || shape.has_hash() || shape.sealed {
            let checksum = || {
                let covered = if shape.kind == Kind::Bytes { value } else { &[] };
                let content = |seed| Hash::of(covered, seed).0;
                seal::checksum(shape.seal_front(place, reference), hash.0, content)
            };
            let checksum = shape.sealed.then(checksum);
            write_long(bytes, shape, checksum, hash, key, value);
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
        let value_len = u64::from(class::units(class)) * UNIT_BYTES - HEADER_BYTES;
        let shape = Shape { key_len: 0, value_len, kind: Kind::Bytes, sealed: false };
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
        self.hash_bytes(secret, self.key_at, self.shape.key_len as usize)
    }

    /// The hash of `len` bytes of the record.
    fn hash_bytes(self, seed: u64, start: usize, len: usize) -> Hash {
        let mut piece = [0; PIECE_BYTES];
        Hash::of_pieces(seed, |hasher| {
            for from in (0..len).step_by(PIECE_BYTES) {
                let piece = &mut piece[..PIECE_BYTES.min(len - from)];
                self.bytes.copy_out(start + from, piece);
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
        self.bytes.word(self.front_words()).load(Acquire) as i64
    }

    #[inline(always)]
    fn front_words(self) -> usize {
        (self.shape.front_bytes() / 8) as usize
    }

    /// Changes the value of an integer record in place: one atomic store.
    pub fn set_integer(self, value: i64) {
        debug_assert!(self.shape.kind == Kind::Integer);
        self.bytes.word(self.front_words()).store(value as u64, Release);
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
        if self.shape.sealed {
            target.word(STATE_WORD).store(State::Written.encode(), Relaxed);
            target.word(CHECKSUM_WORD).store(self.checksum(place, reference), Relaxed);
        }
        for word in self.front_words()..self.bytes.len().div_ceil(8) {
            target.word(word).store(self.bytes.word(word).load(Relaxed), Relaxed);
        }
        Ok(())
    }

    /// What the seal of a sealed record says of it.
    pub fn state(self) -> State {
        State::decode(self.bytes.word(STATE_WORD).load(Relaxed))
    }

    /// Whether the record is sealed, and the bytes at `reference` are what was sealed there.
    pub fn is_whole(self, place: Place<'m>, reference: u32) -> bool {
        self.shape.sealed
            && self.bytes.word(CHECKSUM_WORD).load(Relaxed) == self.checksum(place, reference)
    }

    /// Whether a sealed record may have been sealed at `reference`, by its header alone.
    pub fn has_front_of(self, place: Place<'m>, reference: u32) -> bool {
        let checksum = self.bytes.word(CHECKSUM_WORD).load(Relaxed);
        seal::has_front(checksum, self.shape.seal_front(place, reference))
    }

    /// The checksum that the record's seal has at a place.
    fn checksum(self, place: Place<'m>, reference: u32) -> u64 {
        let hash = match self.shape.has_hash() {
            true => self.hash_of_key(place.secret()),
            false => self.hash(place.secret()),
        };
        let from = self.key_at + self.shape.key_len as usize;
        let len = match self.shape.kind {
            Kind::Bytes => self.shape.value_len as usize,
            Kind::Integer => 0,
        };
        let content = |seed| self.hash_bytes(seed, from, len).0;
        seal::checksum(self.shape.seal_front(place, reference), hash.0, content)
    }

    /// The epoch in which the record in a free block was retired, if it is sealed.
    #[inline(always)]
    pub fn retired_in(place: &Place<'m>, reference: u32) -> Option<u64> {
        let bytes = place.record_bytes(reference)?;
        if bytes.word(0).load(Relaxed) & SEALED == 0 || bytes.len() <= STATE_WORD * 8 {
            return None;
        }
        match State::decode(bytes.word(STATE_WORD).load(Relaxed)) {
            State::Retired { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// Makes a sealed record live again, at once, as the first one that was ever born.
    pub fn revive(self) {
        if !matches!(self.state(), State::Live { .. }) {
            self.bytes.word(STATE_WORD).store(State::Live { born: 0 }.encode(), Release);
        }
        if !self.is_live() {
            self.bytes.word(0).store(self.shape.header()[0] | LIVE, Release);
        }
    }

    /// Whether a slot refers to the record.
    pub fn is_live(self) -> bool {
        self.bytes.word(0).load(Relaxed) & LIVE != 0
    }

    /// Will be live. The same intent makes a slot refer to the record.
    #[inline(always)]
    pub fn publish(intent: &mut Intent<'_>, place: Place<'_>, reference: u32, shape: Shape) {
        let offset = place.unit_offset(reference);
        intent.set(offset, shape.header()[0] | LIVE);
        if shape.sealed {
            let born = intent.field(Field::Born).wrapping_add(1);
            intent.set_field(Field::Born, born);
            intent.set(offset + STATE_WORD as u64 * UNIT_BYTES, State::Live { born }.encode());
        }
    }

    /// Will no longer be live. The same intent takes the record's slot away. Whether a crash of the
    /// machine may bring it back, so that its memory has to be kept (`quarantine`).
    #[inline(always)]
    pub fn retire(self, intent: &mut Intent<'_>, place: Place<'_>, reference: u32) -> bool {
        let offset = place.unit_offset(reference);
        intent.set(offset, self.shape.header()[0]);
        if !self.shape.sealed {
            return false;
        }
        let State::Live { born } = self.state() else { return false };
        let epoch = quarantine::epoch_of_retirement(place, born);
        intent.set(offset + STATE_WORD as u64 * UNIT_BYTES, State::Retired { epoch }.encode());
        epoch != 0
    }
}

/// Writes a record that is not plain: all its words, then what is left of its bytes.
fn write_long(
    bytes: Bytes<'_>,
    shape: Shape,
    checksum: Option<u64>,
    hash: Hash,
    key: &[u8],
    value: &[u8],
) {
    const WORDS_BYTES: u64 = HEADER_BYTES + SEAL_BYTES + LENGTHS_BYTES + HASH_BYTES;
    let mut words = [0; WORDS_BYTES as usize];
    let mut len = 0;
    let mut push = |word: [u8; 8]| {
        words[len..len + 8].copy_from_slice(&word);
        len += 8;
    };
    let [header, key_len, value_len] = shape.header().map(u64::to_ne_bytes);
    push(header);
    if let Some(checksum) = checksum {
        push(State::Written.encode().to_ne_bytes());
        push(checksum.to_ne_bytes());
    }
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
