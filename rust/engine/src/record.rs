//! A record: key and value with their lengths and type, out of line, immutable once published.
//!
//! ```text
//! header word                                        then
//! bit 0       14       28     32     33     64       bytes:   | key | value |
//!     | key   | value  | type | live | large | 0 |   number:   | value: 8 bytes | key |
//! ```
//!
//! Bit 35 says that the record is sealed, as all of a durable map are: the two words of its seal
//! (`seal`) come right behind the header, before what is drawn above. Bit 34 says that it has a
//! deadline (`age`): a word before the key, or before what large records and long keys have there,
//! behind a number. It changes in place as well.
//!
//! With `large` the two lengths in the header are 0 and the words after it hold them. A key of 256
//! bytes or more has its hash in the word before it, so that whoever places a record again reads a
//! bounded number of bytes; the hash is not trusted for anything else. A number (`kind`) is 8-byte
//! aligned and may be changed in place, under the lock, by an atomic store and a new stamp.
//!
//! Invariant, whenever no intent is pending: a slot refers to a record if and only if it is `live`.
//! So a record is written without the mark, and the intent that publishes or retires it changes the
//! mark as well; readers ignore it. Zeros are never a live record. Bit 31 alone makes a gap, which
//! is no record: its low 14 bits are its units, any number of them. The bits from 36 on are the
//! record's stamp (`stamp`), which it has from when it is published on.

use crate::age::{Above, Deadline};
use crate::class;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::item::Item;
use crate::kind::Kind;
use crate::place::{Field, Place};
use crate::quarantine;
use crate::seal::{self, SEAL_BYTES, State, Words};
use crate::shape::{
    DEADLINE_BYTES, HASH_BYTES, HASHED_KEY_BYTES, HEADER_BYTES, KIND_SHIFT, LARGE, LENGTH_BITS,
    LENGTHS_BYTES, PAYLOAD_BYTES_MAX, SEALED, Shape, TIMED, deadline_word,
};
use crate::stamp::Stamp;
use crate::uses::Uses;
use shf_base::atomic::Ordering::{Acquire, Relaxed, Release};
use shf_base::atomic::{Bytes, Word};
use shf_base::error::OpError;
use shf_base::geometry::UNIT_BYTES;

const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
const KIND_MASK: u64 = 15;
const LIVE: u64 = 1 << 32;
const GAP: u64 = 1 << 31;
/// Keys of at most this length are hashed in registers.
const SHORT_KEY_BYTES: usize = 32;
/// Plain records have values below this length, a power of two.
const PLAIN_VALUE_BYTES: u64 = 8 << 10;
/// The bits of a header that are zero in plain records: of type bytes, with a short key, and so
/// much shorter than large ones that no length needs a look.
const NOT_PLAIN: u64 = (!0 << KIND_SHIFT) & !(LIVE | SEALED | Stamp::MASK)
    | LENGTH_MASK & !(HASHED_KEY_BYTES - 1)
    | (LENGTH_MASK & !(PLAIN_VALUE_BYTES - 1)) << LENGTH_BITS;
const PLAIN_BYTES_MAX: u64 =
    HEADER_BYTES + SEAL_BYTES + DEADLINE_BYTES + HASHED_KEY_BYTES + PLAIN_VALUE_BYTES;
const _: () = assert!(PLAIN_BYTES_MAX <= class::SMALL_BYTES_MAX || cfg!(loom));
/// Keys with their hash beside them are hashed in pieces of this size.
const PIECE_BYTES: usize = 256;

/// What `Record::prefetch` fetches at most. Larger records are left to the processor, which sees by
/// then that they are read from front to back.
const PREFETCH_BYTES: usize = 128;
const LINE_BYTES: usize = 64;

/// A record in its place, bounds-checked against the committed limit.
#[derive(Clone, Copy)]
pub struct Record<'m> {
    /// Its shape, from one load of the header.
    pub shape: Shape,
    /// Its stamp, from the same load. That of a number changes with its value.
    pub stamp: Stamp,
    /// Where the key begins.
    key_at: usize,
    /// Where the record lies.
    reference: u32,
    bytes: Bytes<'m>,
}

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
            None => Record::at_other(bytes, header, reference),
            number => number,
        }
    }

    /// A number with a short key; `None`: something else. Additions to numbers follow each other
    /// closely, and the processor fetches the memory of the next one only as far as it sees ahead
    /// (docs/decisions/0021-stamps.md).
    #[inline(always)]
    fn number_at(bytes: Bytes<'m>, header: u64, reference: u32) -> Option<Record<'m>> {
        let kind = Kind::of(header >> KIND_SHIFT & KIND_MASK).filter(|kind| kind.is_number())?;
        let (key_len, value_len) = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let (sealed, timed) = (header & SEALED != 0, header & TIMED != 0);
        let shape = Shape { key_len, value_len, kind, sealed, timed };
        let key_at = shape.front_bytes() + 8;
        if value_len != 8 || header & NOT_PLAIN & !(KIND_MASK << KIND_SHIFT | TIMED) != 0 {
            return None;
        }
        let (stamp, bytes) = (Stamp::of_header(header), bytes.part(0, key_at + key_len)?);
        Some(Record { shape, stamp, key_at: key_at as usize, reference, bytes })
    }

    /// As `at`, of a plain record, or if `TIMED_TOO` one that is plain but for a deadline; `None`
    /// also when it is another one.
    #[inline(always)]
    pub fn plain_at<const TIMED_TOO: bool>(
        place: &Place<'m>,
        reference: u32,
    ) -> Option<Record<'m>> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if header & NOT_PLAIN & !if TIMED_TOO { TIMED } else { 0 } != 0 {
            return None;
        }
        Record::plain::<TIMED_TOO>(bytes, header, reference)
    }

    #[inline(always)]
    fn plain<const TIMED_TOO: bool>(
        bytes: Bytes<'m>,
        header: u64,
        reference: u32,
    ) -> Option<Record<'m>> {
        let key_len = header & (HASHED_KEY_BYTES - 1);
        let value_len = header >> LENGTH_BITS & (PLAIN_VALUE_BYTES - 1);
        let (sealed, timed) = (header & SEALED != 0, TIMED_TOO && header & TIMED != 0);
        let shape = Shape { key_len, value_len, kind: Kind::Bytes, sealed, timed };
        let key_at = shape.front_bytes();
        let (stamp, bytes) =
            (Stamp::of_header(header), bytes.part(0, key_at + key_len + value_len)?);
        Some(Record { shape, stamp, key_at: key_at as usize, reference, bytes })
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

    /// Starts to fetch the first line of what lies at a reference: of most records, all but the value.
    #[inline(always)]
    pub fn prefetch_front(place: &Place<'_>, reference: u32) {
        place.region().prefetch(place.unit_offset(reference));
    }

    /// The word with the deadline of the record at a reference, by its header alone; `None`: it has
    /// none, or there is no record.
    #[inline(always)]
    pub fn deadline_at(place: &Place<'m>, reference: u32) -> Option<Word<'m>> {
        let bytes = place.record_bytes(reference)?;
        let header = bytes.word(0).load(Relaxed);
        if header & TIMED == 0 {
            return None;
        }
        let kind = Kind::of(header >> KIND_SHIFT & KIND_MASK)?;
        let word = deadline_word(header & SEALED != 0, kind);
        (bytes.len() > word * 8).then(|| bytes.word(word))
    }

    /// A value with a type, a large record, or one with a deadline or a long key.
    fn at_other(bytes: Bytes<'m>, header: u64, reference: u32) -> Option<Record<'m>> {
        let (sealed, timed) = (header & SEALED != 0, header & TIMED != 0);
        let front_bytes =
            Shape { key_len: 0, value_len: 0, kind: Kind::Bytes, sealed, timed }.front_bytes();
        let (stamp, large) = (Stamp::of_header(header), header & LARGE != 0);
        let header = header & !(LIVE | SEALED | TIMED | Stamp::MASK);
        let kind = Kind::of(header >> KIND_SHIFT & KIND_MASK)?;
        let lengths = (header & LENGTH_MASK, header >> LENGTH_BITS & LENGTH_MASK);
        let ((key_len, value_len), key_at) = match header >> (KIND_SHIFT + 4) << (KIND_SHIFT + 4) {
            0 if kind.is_number() => (lengths, front_bytes + 8),
            0 => (lengths, front_bytes),
            LARGE if lengths == (0, 0) && bytes.len() as u64 >= front_bytes + LENGTHS_BYTES => {
                let word = (front_bytes / 8) as usize;
                let length = |at| bytes.word(word + at).load(Relaxed);
                ((length(0), length(1)), front_bytes + LENGTHS_BYTES)
            }
            _ => return None,
        };
        if key_len.max(value_len) > PAYLOAD_BYTES_MAX
            || !kind.takes(value_len)
            || large && kind.is_number()
        {
            return None;
        }
        let shape = Shape { key_len, value_len, kind, sealed, timed };
        let key_at = key_at + u64::from(shape.has_hash()) * HASH_BYTES;
        let bytes = bytes.part(0, shape.bytes())?;
        let record = Record { shape, stamp, key_at: key_at as usize, reference, bytes };
        (shape.is_large() == large).then_some(record)
    }

    /// Writes a record, not live, into memory that is allocated and not published; `publish` is
    /// next.
    #[inline(always)]
    pub(crate) fn write(place: &Place<'m>, reference: u32, item: Item<'_>) -> Result<(), OpError> {
        let shape = item.shape;
        let bytes = place.record_bytes(reference).and_then(|room| room.part(0, shape.bytes()));
        let Some(bytes) = bytes else {
            let offset = place.unit_offset(reference);
            return Err(place.corrupt(offset, "allocation outside of the file"));
        };
        let other = shape.kind.is_number() || shape.is_large() || shape.has_hash();
        if other || shape.sealed || shape.timed {
            Record::write_other(*place, bytes, reference, &item.clone());
        } else {
            bytes.store_parts([&shape.header()[0].to_ne_bytes(), item.key, item.value]);
        }
        Ok(())
    }

    /// Writes one with a seal, a deadline or a type, with a long key, or a large one.
    #[inline(never)]
    fn write_other(place: Place<'_>, bytes: Bytes<'_>, reference: u32, item: &Item<'_>) {
        let shape = item.shape;
        let above = match () {
            () if shape.sealed => Above::Key(item.hash),
            () if place.evicts() => Above::Uses(Uses::begin(place.load(Field::Turns))),
            () => Above::Nothing,
        };
        let checksum = || {
            let covered = if shape.kind.is_number() { &[] } else { item.value };
            let content = |seed| Hash::of(covered, seed).0;
            seal::checksum(shape.seal_front(place, reference), item.hash.0, content)
        };
        let seal = shape.sealed.then(|| (shape.words(reference), checksum()));
        write_long(bytes, seal, above, item);
    }

    /// Makes a block that nothing refers to look like a retired record of its class: one store.
    pub fn write_free(place: Place<'_>, reference: u32, class: usize) {
        let value_len = u64::from(class::units(class)) * UNIT_BYTES - HEADER_BYTES;
        let (kind, sealed, timed) = (Kind::Bytes, false, false);
        let shape = Shape { key_len: 0, value_len, kind, sealed, timed };
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

    /// Whether the record's key begins with `prefix`.
    pub fn key_begins_with(self, prefix: &[u8]) -> bool {
        self.shape.key_len >= prefix.len() as u64 && self.bytes_are(self.key_at, prefix)
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
    #[inline(always)]
    pub fn hash(self, secret: u64) -> Hash {
        let len = self.shape.key_len as usize;
        if len > SHORT_KEY_BYTES {
            return self.hash_of_longer(secret);
        }
        let mut key = [0; SHORT_KEY_BYTES];
        for (word, to) in key.chunks_exact_mut(8).enumerate().take(len.div_ceil(8)) {
            let word = self.bytes.word(self.key_at / 8 + word).load(Relaxed);
            to.copy_from_slice(&word.to_ne_bytes());
        }
        Hash::of(&key[..len], secret)
    }

    #[inline(never)]
    fn hash_of_longer(self, secret: u64) -> Hash {
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

    /// Copies the value; `into` has its length. A number is one atomic load (acquire, with the
    /// release of `change_number`).
    #[inline(always)]
    pub fn copy_value(self, into: &mut [u8]) {
        if self.shape.kind.is_number() {
            into.copy_from_slice(&self.number().to_le_bytes());
        } else {
            self.bytes.copy_out(self.value_at(), into);
        }
    }

    /// Whether these are the bytes of the value.
    pub fn value_is(self, expected: &[u8]) -> bool {
        if self.shape.value_len != expected.len() as u64 {
            return false;
        }
        if self.shape.kind.is_number() {
            return self.number().to_le_bytes() == expected;
        }
        self.bytes_are(self.value_at(), expected)
    }

    /// Whether the bytes from a place in the record on, which has them, are these.
    fn bytes_are(self, start: usize, expected: &[u8]) -> bool {
        let mut ours = [0; PIECE_BYTES];
        let pieces = expected.chunks(PIECE_BYTES).zip((start..).step_by(PIECE_BYTES));
        pieces.into_iter().all(|(expected, from)| {
            let ours = &mut ours[..expected.len()];
            self.bytes.copy_out(from, ours);
            ours == expected
        })
    }

    /// The hash of the value's bytes.
    pub fn hash_of_value(self, secret: u64) -> Hash {
        if self.shape.kind.is_number() {
            return Hash::of(&self.number().to_le_bytes(), secret);
        }
        self.hash_bytes(secret, self.value_at(), self.shape.value_len as usize)
    }

    /// Where the value begins that is no number.
    #[inline(always)]
    fn value_at(self) -> usize {
        self.key_at + self.shape.key_len as usize
    }

    /// The 8 bytes of a number.
    #[inline(always)]
    pub fn number(self) -> u64 {
        self.bytes.word(self.number_word()).load(Acquire)
    }

    /// The stamp as it is now.
    #[inline(always)]
    pub fn stamp_now(self) -> Stamp {
        Stamp::of_header(self.bytes.word(0).load(Acquire))
    }

    #[inline(always)]
    fn number_word(self) -> usize {
        if self.shape.sealed { self.words().number } else { 1 }
    }

    #[inline(always)]
    fn words(self) -> Words {
        self.shape.words(self.reference)
    }

    /// When its key expires; `None`: it has no deadline, and cannot be given one in place.
    #[inline(always)]
    pub fn deadline(self) -> Option<Deadline> {
        self.shape.timed.then(|| Deadline::of_word(self.deadline_word().load(Acquire)))
    }

    /// Changes the deadline of a record that has one, at once. The caller holds the lock.
    pub fn set_deadline(self, deadline: Deadline) {
        debug_assert!(self.shape.timed);
        let word = self.deadline_word();
        word.store(deadline.in_word(word.load(Relaxed)), Release);
    }

    /// Takes over how the key of another record was used, in a map that evicts. This one is not
    /// published yet, or the caller holds the lock.
    pub fn inherit_uses(place: &Place<'m>, reference: u32, old: Record<'m>) {
        let new = Record::deadline_at(place, reference);
        if let Some(new) = new.filter(|_| old.shape.timed) {
            let uses = Uses::of_word(old.deadline_word().load(Relaxed));
            new.store(uses.in_word(new.load(Relaxed)), Release);
        }
    }

    #[inline(always)]
    fn deadline_word(self) -> Word<'m> {
        self.bytes.word(self.shape.deadline_word())
    }

    /// Changes a number in place, at once, to what `change` makes of it: the value, then the stamp.
    /// Who read the value with the old stamp has a token that is not good any more, and who read the
    /// new stamp reads the new value. A death in between leaves the value under the old stamp, which
    /// harms no token, since those of before have a digest of the old value (`token`). The caller
    /// holds the lock.
    #[inline(always)]
    pub fn change_number<E>(self, change: impl FnOnce(u64) -> Result<u64, E>) -> Result<(), E> {
        debug_assert!(self.shape.kind.is_number());
        let (header, number) = (self.bytes.word(0), self.bytes.word(self.number_word()));
        number.store(change(number.load(Relaxed))?, Release);
        let unstamped = header.load(Relaxed) & !Stamp::MASK;
        header.store(unstamped | self.stamp.next().bits(), Release);
        Ok(())
    }

    /// Copies a small record, not as a live one, to memory that is allocated and not published. The
    /// caller holds the lock, so that nobody changes a number meanwhile.
    pub fn copy_to(self, place: Place<'m>, reference: u32) -> Result<(), OpError> {
        let offset = place.unit_offset(reference);
        let len = self.bytes.len() as u64;
        let target = place.record_bytes(reference).and_then(|room| room.part(0, len));
        let Some(target) = target else {
            return Err(place.corrupt(offset, "allocation outside of the file"));
        };
        target.word(0).store(self.shape.header()[0], Relaxed);
        let mut copied = 1;
        if self.shape.sealed {
            let words = self.shape.words(reference);
            target.word(words.state).store(State::Written.encode(0), Relaxed);
            target.word(words.checksum).store(self.checksum(place, reference), Relaxed);
            copied = 3;
            if self.shape.kind.is_number() {
                target.word(words.number).store(self.number(), Relaxed);
                copied = 4;
            }
        }
        for word in copied..self.bytes.len().div_ceil(8) {
            target.word(word).store(self.bytes.word(word).load(Relaxed), Relaxed);
        }
        Ok(())
    }

    /// What the seal of a sealed record says of it.
    pub fn state(self) -> State {
        State::decode(self.bytes.word(self.words().state).load(Relaxed))
    }

    /// Whether the record is sealed, and what was sealed here.
    pub fn is_whole(self, place: Place<'m>) -> bool {
        let checksum = || self.bytes.word(self.words().checksum).load(Relaxed);
        self.shape.sealed
            && checksum() == self.checksum(place, self.reference)
            && self.has_own_deadline(place)
    }

    /// Whether the deadline of a sealed record is one that was given to its key.
    fn has_own_deadline(self, place: Place<'m>) -> bool {
        let word = || self.deadline_word().load(Relaxed);
        !self.shape.timed
            || word() == Deadline::of_word(word()).word(Above::Key(self.sealed_hash(place)))
    }

    /// Whether the seal of a sealed record, in a slot now or once, may be that of one here, by its
    /// header and its key.
    pub fn has_front(self, place: Place<'m>) -> bool {
        let word = |word| self.bytes.word(word).load(Relaxed);
        let front = self.shape.seal_front(place, self.reference);
        seal::has_front(word(self.words().checksum), front)
            && seal::tag_in(word(self.words().state)) == self.tag(place, front)
    }

    /// The tag of its state.
    fn tag(self, place: Place<'m>, front: u64) -> u64 {
        seal::tag(front, self.sealed_hash(place).0, self.stamp.generation())
    }

    /// The hash of the key, which is not the one that is stored beside a long key.
    fn sealed_hash(self, place: Place<'m>) -> Hash {
        match self.shape.has_hash() {
            true => self.hash_of_key(place.secret()),
            false => self.hash(place.secret()),
        }
    }

    /// The checksum that the record's seal has at a place.
    fn checksum(self, place: Place<'m>, reference: u32) -> u64 {
        let hash = self.sealed_hash(place);
        let covered = !self.shape.kind.is_number();
        let len = if covered { self.shape.value_len as usize } else { 0 };
        let content = |seed| self.hash_bytes(seed, self.value_at(), len).0;
        seal::checksum(self.shape.seal_front(place, reference), hash.0, content)
    }

    /// The epoch in which the record in a free block was retired, if it is sealed.
    #[inline(always)]
    pub fn retired_in(place: &Place<'m>, reference: u32) -> Option<u64> {
        let bytes = place.record_bytes(reference)?;
        let state = Words::of(reference, false).state;
        if bytes.word(0).load(Relaxed) & SEALED == 0 || bytes.len() <= state * 8 {
            return None;
        }
        match State::decode(bytes.word(state).load(Relaxed)) {
            State::Retired { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// Has the seal at a reference say that no slot has ever referred to the record, at once.
    pub fn disown(place: Place<'_>, reference: u32) {
        let state = Words::of(reference, false).state as u64 * UNIT_BYTES;
        if let Some(word) = place.word(place.unit_offset(reference) + state) {
            word.store(State::Written.encode(0), Release);
        }
    }

    /// Will say that it is live, in its header and in its seal, where it does not yet; as the first
    /// that was ever born.
    pub fn revive(self, intent: &mut Intent<'_>, place: Place<'m>) {
        let offset = place.unit_offset(self.reference);
        if !self.is_live() {
            intent.set(offset, self.header() | LIVE);
        }
        let says_so = || matches!(self.state(), State::Live { .. }) && self.has_front(place);
        if self.shape.sealed && !says_so() {
            let state = self.words().state as u64 * UNIT_BYTES;
            let tag = self.tag(place, self.shape.seal_front(place, self.reference));
            intent.set(offset + state, State::Live { born: 0 }.encode(tag));
        }
    }

    /// Its header when it is not live. It keeps its stamp: recovery may bring it back.
    #[inline(always)]
    fn header(self) -> u64 {
        self.shape.header()[0] | self.stamp.bits()
    }

    /// Where it lies.
    pub fn reference(self) -> u32 {
        self.reference
    }

    /// Whether a slot refers to the record.
    pub fn is_live(self) -> bool {
        self.bytes.word(0).load(Relaxed) & LIVE != 0
    }

    /// Will be live, with this stamp. `hash` is that of its key. The same intent makes a slot refer to
    /// the record, after this.
    #[inline(always)]
    pub fn publish(
        intent: &mut Intent<'_>,
        place: Place<'_>,
        reference: u32,
        shape: Shape,
        stamp: Stamp,
        hash: impl FnOnce() -> Hash,
    ) {
        let offset = place.unit_offset(reference);
        intent.set(offset, shape.header()[0] | stamp.bits() | LIVE);
        if shape.sealed {
            let born = intent.field(Field::Born).wrapping_add(1);
            intent.set_field(Field::Born, born);
            let state = shape.words(reference).state as u64 * UNIT_BYTES;
            let tag = seal::tag(shape.seal_front(place, reference), hash().0, stamp.generation());
            intent.set(offset + state, State::Live { born }.encode(tag));
        }
    }

    /// Will no longer be live. The same intent takes the record's slot away. Whether a crash of the
    /// machine may bring it back, so that its memory has to be kept (`quarantine`).
    #[inline(always)]
    pub fn retire(self, intent: &mut Intent<'_>, place: Place<'_>, reference: u32) -> bool {
        let offset = place.unit_offset(reference);
        intent.set(offset, self.header());
        if !self.shape.sealed {
            return false;
        }
        let at = self.words().state;
        let word = self.bytes.word(at).load(Relaxed);
        let born = if let State::Live { born } = State::decode(word) { born } else { 0 };
        let epoch = quarantine::epoch_of_retirement(place, born);
        let state = State::Retired { epoch }.encode(seal::tag_in(word));
        intent.set(offset + at as u64 * UNIT_BYTES, state);
        epoch != 0
    }
}

/// Writes a record: all its words, then what is left of its bytes. `seal`: where the words of its
/// seal lie, and the checksum; `above`: what lies above its deadline.
fn write_long(bytes: Bytes<'_>, seal: Option<(Words, u64)>, above: Above, item: &Item<'_>) {
    const WORDS: u64 = 1 + (SEAL_BYTES + DEADLINE_BYTES + LENGTHS_BYTES + HASH_BYTES) / 8;
    let Item { hash, shape, deadline, key, value } = *item;
    let (mut words, mut len) = ([0u64; WORDS as usize], 1);
    let [header, key_len, value_len] = shape.header();
    words[0] = header;
    if let Some((at, checksum)) = seal {
        (words[at.state], words[at.checksum]) = (State::Written.encode(0), checksum);
        len += 2;
    }
    let number = if shape.kind.is_number() { value.try_into().ok() } else { None };
    if let Some(number) = number {
        words[seal.map_or(1, |(at, _)| at.number)] = u64::from_le_bytes(number);
        len += 1;
    }
    if shape.timed {
        words[len] = deadline.word(above);
        len += 1;
    }
    if shape.is_large() {
        (words[len], words[len + 1]) = (key_len, value_len);
        len += 2;
    }
    if shape.has_hash() {
        words[len] = hash.0;
        len += 1;
    }
    let mut front = [0; WORDS as usize * 8];
    for (to, word) in front.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let rest = if number.is_some() { &[] } else { value };
    bytes.store_parts([&front[..len * 8], key, rest]);
}
