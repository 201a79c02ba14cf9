//! A record: key and value with their lengths and type, out of line, immutable once published.
//! Here it is read, and what may change in place is changed; `decode` finds it by its header,
//! `draft` writes it, and `life` has it live and retire.
//!
//! ```text
//! header word                                        then
//! bit 0       14       28     32     33     64       bytes:   | key | value |
//!     | key   | value  | type | live | large | 0 |   number:   | value: 8 bytes | key |
//! ```
//!
//! A list (`list`) is laid out as a number is, its word in place; an element of one (`element`) as
//! bytes are.
//!
//! Bit 35 says that the record is sealed, as all of a durable map are: the two words of its seal
//! (`seal`) come right behind the header, before what is drawn above. Bit 34 says that it has a
//! deadline (`age`): a word before the key, or before what large records and long keys have there,
//! behind a number. It changes in place as well.
//!
//! In a map with fixed lengths, records may have half a header (`half_header`), and key and value
//! begin in the rest of its word.
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

use crate::age::Deadline;
use crate::element::{self, ElementKey};
use crate::half_header;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::kind::Kind;
use crate::list::List;
use crate::place::Place;
use crate::seal::{self, State, Words};
use crate::shape::{HASHED_KEY_BYTES, LENGTH_BITS, Shape};
use crate::stamp::Stamp;
use crate::uses::Uses;
use shf_base::atomic::Ordering::{Acquire, Relaxed, Release};
use shf_base::atomic::{Bytes, Word};
use shf_base::error::OpError;
use shf_base::geometry::UNIT_BYTES;

pub(crate) const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
pub(crate) const LIVE: u64 = 1 << 32;
/// Keys of at most this length are hashed in registers.
const SHORT_KEY_BYTES: usize = 32;
/// Keys with their hash beside them are hashed in pieces of this size.
const PIECE_BYTES: usize = 256;

/// A record in its place, bounds-checked against the committed limit.
#[derive(Clone, Copy)]
pub struct Record<'m> {
    /// Its shape, from one load of the header.
    pub shape: Shape,
    /// Its stamp, from the same load. That of a number changes with its value.
    pub stamp: Stamp,
    /// Where the key begins.
    pub(crate) key_at: usize,
    /// Where the record lies.
    pub(crate) reference: u32,
    pub(crate) bytes: Bytes<'m>,
}

impl<'m> Record<'m> {
    /// Whether the record is that of a key, and the key is `key`.
    #[inline(always)]
    pub fn key_is(self, key: &[u8]) -> bool {
        if self.shape.traits.half() {
            return self.shape.key_len == key.len() as u64 && half_header::key_is(self.bytes, key);
        }
        self.whole_key_is(key)
    }

    /// As `key_is`, of a record with half a header.
    #[inline(always)]
    pub(crate) fn half_key_is(self, key: &[u8]) -> bool {
        debug_assert!(self.shape.traits.half());
        self.shape.key_len == key.len() as u64 && self.bytes.equals_behind_half(key)
    }

    /// As `key_is`, of a record that has not got half a header.
    #[inline(always)]
    pub(crate) fn whole_key_is(self, key: &[u8]) -> bool {
        debug_assert!(!self.shape.traits.half());
        self.shape.key_len == key.len() as u64
            && !self.is_element()
            && self.bytes.equals(self.key_at / 8, key)
    }

    /// Whether the record is that of a key, and the key begins with `prefix`.
    pub fn key_begins_with(self, prefix: &[u8]) -> bool {
        self.shape.key_len >= prefix.len() as u64
            && !self.is_element()
            && self.bytes_are(self.key_at, prefix)
    }

    /// Whether the record is an element of a list, and not one of a key.
    #[inline(always)]
    pub fn is_element(self) -> bool {
        self.shape.traits.kind() == Kind::Element
    }

    /// Whether the record is the element with this key.
    #[inline(always)]
    pub fn is_element_of(self, key: ElementKey) -> bool {
        self.is_element() && self.bytes.equals(self.key_at / 8, &key.bytes())
    }

    /// The key of an element; `None`: it is none.
    pub fn element_key(self) -> Option<ElementKey> {
        let mut bytes = [0; element::KEY_BYTES];
        self.is_element().then(|| {
            self.copy_key(&mut bytes);
            ElementKey::of_bytes(bytes)
        })
    }

    /// Whether the two records have the same key.
    pub fn has_key_of(self, other: Record<'_>) -> bool {
        let (mut ours, mut theirs) = ([0; PIECE_BYTES], [0; PIECE_BYTES]);
        let len = self.shape.key_len as usize;
        self.shape.key_len == other.shape.key_len
            && self.is_element() == other.is_element()
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
        if len > SHORT_KEY_BYTES || self.is_element() || self.shape.traits.half() {
            return self.hash_of_other(secret);
        }
        let mut key = [0; SHORT_KEY_BYTES];
        for (word, to) in key.chunks_exact_mut(8).enumerate().take(len.div_ceil(8)) {
            let word = self.bytes.word(self.key_at / 8 + word).load(Relaxed);
            to.copy_from_slice(&word.to_ne_bytes());
        }
        Hash::of(&key[..len], secret)
    }

    #[inline(never)]
    fn hash_of_other(self, secret: u64) -> Hash {
        if let Some(key) = self.element_key() {
            return key.hash(secret);
        }
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
        match self.element_key() {
            Some(key) => key.hash(secret),
            None => self.hash_bytes(secret, self.key_at, self.shape.key_len as usize),
        }
    }

    /// The hash of `len` bytes of the record.
    pub(crate) fn hash_bytes(self, seed: u64, start: usize, len: usize) -> Hash {
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
    /// release of `change_number`). Of a list, it is the length.
    #[inline(always)]
    pub fn copy_value(self, into: &mut [u8]) {
        if self.shape.traits.kind().is_in_place() {
            into.copy_from_slice(&self.value_in_place());
        } else {
            self.bytes.copy_out(self.value_at(), into);
        }
    }

    /// As `copy_value`, to the front of `into`, which is no shorter than the value.
    #[inline(always)]
    pub fn copy_value_to_front(self, into: &mut [u8]) {
        let len = self.shape.value_len as usize;
        if self.shape.traits.kind().is_in_place() {
            into[..len].copy_from_slice(&self.value_in_place());
        } else {
            self.bytes.copy_out_to_front(self.value_at(), len, into);
        }
    }

    /// The value as it lies in the record, in private memory that has room for `more` bytes behind
    /// it.
    pub fn stored_value(self, more: usize) -> Result<Vec<u8>, OpError> {
        let (mut value, len) = (Vec::new(), self.value_len());
        let bytes = len.saturating_add(more);
        let reserved = value.try_reserve_exact(bytes);
        reserved.map_err(|_| OpError::OutOfMemory { bytes: bytes as u64 })?;
        value.resize(len, 0);
        if self.shape.traits.kind().is_in_place() {
            value.copy_from_slice(&self.number().to_le_bytes());
        } else {
            self.bytes.copy_out(self.value_at(), &mut value);
        }
        Ok(value)
    }

    /// Whether these are the bytes of the value.
    pub fn value_is(self, expected: &[u8]) -> bool {
        if self.shape.value_len != expected.len() as u64 {
            return false;
        }
        if self.shape.traits.kind().is_in_place() {
            return self.value_in_place() == expected;
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
        if self.shape.traits.kind().is_in_place() {
            return Hash::of(&self.value_in_place(), secret);
        }
        self.hash_bytes(secret, self.value_at(), self.shape.value_len as usize)
    }

    /// Where the value begins that is no number.
    #[inline(always)]
    pub(crate) fn value_at(self) -> usize {
        self.key_at + self.shape.key_len as usize
    }

    /// The value of a record that has one in place.
    #[inline(always)]
    fn value_in_place(self) -> [u8; 8] {
        let word = self.number();
        let value = match self.shape.traits.kind() {
            Kind::List => List::of_word(word).count.into(),
            _ => word,
        };
        value.to_le_bytes()
    }

    /// The list that the record is.
    #[inline(always)]
    pub fn list(self) -> List {
        debug_assert!(self.shape.traits.kind() == Kind::List);
        List::of_word(self.number())
    }

    /// Will change the list, and then the stamp, for the reason that `change_number` has. The
    /// caller holds the lock.
    pub fn set_list(self, intent: &mut Intent<'_>, place: Place<'_>, list: List) {
        debug_assert!(self.shape.traits.kind() == Kind::List);
        let offset = place.unit_offset(self.reference);
        intent.set(offset + self.number_word() as u64 * UNIT_BYTES, list.word());
        intent.set(offset, self.shape.header() | self.stamp.next().bits() | LIVE);
    }

    /// Changes the list at once, and the stamp not, for who rebuilds the index.
    pub fn mend_list(self, list: List) {
        debug_assert!(self.shape.traits.kind() == Kind::List);
        self.bytes.word(self.number_word()).store(list.word(), Release);
    }

    /// Will have an element be one with another index, for who rebuilds the index; `key` is the one
    /// that it has now. The same intent changes its slot.
    pub fn set_index(self, intent: &mut Intent<'m>, place: Place<'m>, key: ElementKey, index: u32) {
        debug_assert!(self.is_element());
        let (key, offset) = (ElementKey { index, ..key }, place.unit_offset(self.reference));
        // The half of a word that the value, if there is one, goes on in.
        let at = self.key_at / 8 + 1;
        let mut word = self.bytes.word(at).load(Relaxed).to_ne_bytes();
        word[..4].copy_from_slice(&key.bytes()[8..]);
        intent.set(offset + at as u64 * UNIT_BYTES, u64::from_ne_bytes(word));
        if self.shape.traits.sealed() {
            let (words, hash) = (self.words(), key.hash(place.secret()));
            let front = self.shape.seal_front(place, self.reference);
            let content = |seed| self.hash_bytes(seed, self.value_at(), self.value_len()).0;
            let checksum = seal::checksum(front, hash.0, content);
            let state = self.bytes.word(words.state).load(Relaxed);
            let tag = seal::tag(front, hash.0, self.stamp.generation());
            intent.set(offset + words.checksum as u64 * UNIT_BYTES, checksum);
            let state = State::decode(state).encode(tag);
            intent.set(offset + words.state as u64 * UNIT_BYTES, state);
        }
    }

    pub(crate) fn value_len(self) -> usize {
        self.shape.value_len as usize
    }

    /// The 8 bytes of a number.
    #[inline(always)]
    pub fn number(self) -> u64 {
        self.bytes.word(self.number_word()).load(Acquire)
    }

    /// The stamp as it is now.
    #[inline(always)]
    pub fn stamp_now(self) -> Stamp {
        let header = self.bytes.word(0).load(Acquire);
        if self.shape.traits.half() { Stamp::of_half(header) } else { Stamp::of_header(header) }
    }

    #[inline(always)]
    pub(crate) fn number_word(self) -> usize {
        if self.shape.traits.sealed() { self.words().number } else { 1 }
    }

    #[inline(always)]
    pub(crate) fn words(self) -> Words {
        self.shape.words(self.reference)
    }

    /// When its key expires; `None`: it has no deadline, and cannot be given one in place.
    #[inline(always)]
    pub fn deadline(self) -> Option<Deadline> {
        self.shape.traits.timed().then(|| Deadline::of_word(self.deadline_word().load(Acquire)))
    }

    /// Changes the deadline of a record that has one, at once. The caller holds the lock.
    pub fn set_deadline(self, deadline: Deadline) {
        debug_assert!(self.shape.traits.timed());
        let word = self.deadline_word();
        word.store(deadline.in_word(word.load(Relaxed)), Release);
    }

    /// Takes over how the key of another record was used, in a map that evicts. This one is not
    /// published yet, or the caller holds the lock.
    pub fn inherit_uses(place: &Place<'m>, reference: u32, old: Record<'m>) {
        if let Some((_, Some(new))) = Record::glance(place, reference)
            && old.shape.traits.timed()
        {
            let uses = Uses::of_word(old.deadline_word().load(Relaxed));
            new.store(uses.in_word(new.load(Relaxed)), Release);
        }
    }

    #[inline(always)]
    pub(crate) fn deadline_word(self) -> Word<'m> {
        self.bytes.word(self.shape.deadline_word())
    }

    /// Changes a number in place, at once, to what `change` makes of it: the value, then the stamp.
    /// Who read the value with the old stamp has a token that is not good any more, and who read
    /// the new stamp reads the new value. A death in between leaves the value under the old stamp,
    /// which harms no token, since those of before have a digest of the old value (`token`). The
    /// caller holds the lock.
    #[inline(always)]
    pub fn change_number<E>(self, change: impl FnOnce(u64) -> Result<u64, E>) -> Result<(), E> {
        debug_assert!(self.shape.traits.kind().is_number());
        let (header, number) = (self.bytes.word(0), self.bytes.word(self.number_word()));
        number.store(change(number.load(Relaxed))?, Release);
        let unstamped = header.load(Relaxed) & !Stamp::MASK;
        header.store(unstamped | self.stamp.next().bits(), Release);
        Ok(())
    }

    /// Where it lies.
    pub fn reference(self) -> u32 {
        self.reference
    }
}
