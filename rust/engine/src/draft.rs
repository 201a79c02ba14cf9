//! Records in memory that is allocated and not published, and blocks that are none: who writes here
//! is alone.

use crate::age::Above;
use crate::class;
use crate::half_header;
use crate::hash::Hash;
use crate::item::Item;
use crate::place::{Field, Place};
use crate::record::{LENGTH_MASK, Record};
use crate::seal::{self, SEAL_BYTES, State, Words};
use crate::shape::{
    DEADLINE_BYTES, HALF_HEADER_BYTES, HASH_BYTES, HEADER_BYTES, LENGTHS_BYTES, Shape,
};
use crate::stamp::Stamp;
use crate::traits::{NO_TYPE, Traits};
use crate::uses::Uses;
use shf_base::atomic::Bytes;
use shf_base::atomic::Ordering::{Relaxed, Release};
use shf_base::error::OpError;
use shf_base::geometry::UNIT_BYTES;

const GAP: u64 = NO_TYPE;

impl<'m> Record<'m> {
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
        if shape.traits.are_short() && !shape.is_large() && !shape.has_hash() {
            bytes.store_parts([&shape.header().to_ne_bytes(), item.key, item.value]);
        } else {
            Record::write_other(*place, bytes, reference, &item.clone());
        }
        Ok(())
    }

    /// Writes one with a seal, a deadline, a type or half a header, with a long key, or a large
    /// one.
    #[inline(never)]
    fn write_other(place: Place<'_>, bytes: Bytes<'_>, reference: u32, item: &Item<'_>) {
        let shape = item.shape;
        if shape.traits.half() {
            let half = half_header::half(Stamp::default(), false);
            let (word, key, value) = half_header::first_word(half, item.key, item.value);
            return bytes.store_parts([&word, key, value]);
        }
        let above = match () {
            () if shape.traits.sealed() => Above::Key(item.hash),
            () if place.evicts() => Above::Uses(Uses::begin(place.load(Field::Turns))),
            () => Above::Nothing,
        };
        let checksum = || {
            let covered = if shape.traits.kind().is_in_place() { &[] } else { item.value };
            let content = |seed| Hash::of(covered, seed).0;
            seal::checksum(shape.seal_front(place, reference), item.hash.0, content)
        };
        let seal = shape.traits.sealed().then(|| (shape.words(reference), checksum()));
        write_long(bytes, seal, above, item);
    }

    /// Makes a block that nothing refers to look like a retired record of its class: one store.
    pub fn write_free(place: Place<'_>, reference: u32, class: usize) {
        let value_len = u64::from(class::units(class)) * UNIT_BYTES - HEADER_BYTES;
        let shape = Shape { key_len: 0, value_len, traits: Traits::PLAIN };
        if let Some(room) = place.record_bytes(reference) {
            room.word(0).store(shape.header(), Release);
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

    /// Copies a small record, not as a live one, to memory that is allocated and not published. The
    /// caller holds the lock, so that nobody changes a number meanwhile.
    pub fn copy_to(self, place: Place<'m>, reference: u32) -> Result<(), OpError> {
        let offset = place.unit_offset(reference);
        let len = self.bytes.len() as u64;
        let target = place.record_bytes(reference).and_then(|room| room.part(0, len));
        let Some(target) = target else {
            return Err(place.corrupt(offset, "allocation outside of the file"));
        };
        target.word(0).store(self.header(Stamp::default(), false), Relaxed);
        let mut copied = 1;
        if self.shape.traits.sealed() {
            let words = self.shape.words(reference);
            target.word(words.state).store(State::Written.encode(0), Relaxed);
            target.word(words.checksum).store(self.checksum(place, reference), Relaxed);
            copied = 3;
            if self.shape.traits.kind().is_in_place() {
                target.word(words.number).store(self.number(), Relaxed);
                copied = 4;
            }
        }
        for word in copied..self.bytes.len().div_ceil(8) {
            target.word(word).store(self.bytes.word(word).load(Relaxed), Relaxed);
        }
        Ok(())
    }
}

/// Writes a record: all its words, then what is left of its bytes. `seal`: where the words of its
/// seal lie, and the checksum; `above`: what lies above its deadline.
fn write_long(bytes: Bytes<'_>, seal: Option<(Words, u64)>, above: Above, item: &Item<'_>) {
    let header = item.shape.header();
    let front = Front::new(header, item, seal, above);
    let rest = if item.shape.traits.kind().is_in_place() { &[] } else { item.value };
    bytes.store_parts([front.bytes(), item.key, rest]);
}

/// What lies before the key of a record.
pub(crate) struct Front {
    bytes: [u8; FRONT_WORDS * 8],
    len: usize,
}

const FRONT_WORDS: usize =
    1 + ((SEAL_BYTES + DEADLINE_BYTES + LENGTHS_BYTES + HASH_BYTES) / 8) as usize;

impl Front {
    /// Of a record with such a header word, or half of one, and the lengths of an item's shape.
    pub fn new(header: u64, item: &Item<'_>, seal: Option<(Words, u64)>, above: Above) -> Front {
        let Item { hash, shape, deadline, value, .. } = *item;
        if shape.traits.half() {
            let (mut bytes, len) = ([0; FRONT_WORDS * 8], HALF_HEADER_BYTES as usize);
            bytes[..len].copy_from_slice(&header.to_le_bytes()[..len]);
            return Front { bytes, len };
        }
        let (mut words, mut len) = ([0u64; FRONT_WORDS], 1);
        words[0] = header;
        if let Some((at, checksum)) = seal {
            (words[at.state], words[at.checksum]) = (State::Written.encode(0), checksum);
            len += 2;
        }
        let number = if shape.traits.kind().is_in_place() { value.try_into().ok() } else { None };
        if let Some(number) = number {
            words[seal.map_or(1, |(at, _)| at.number)] = u64::from_le_bytes(number);
            len += 1;
        }
        if shape.traits.timed() {
            words[len] = deadline.word(above);
            len += 1;
        }
        if shape.is_large() {
            (words[len], words[len + 1]) = (shape.key_len, shape.value_len);
            len += 2;
        }
        if shape.has_hash() {
            words[len] = hash.0;
            len += 1;
        }
        let mut front = Front { bytes: [0; FRONT_WORDS * 8], len: len * 8 };
        for (to, word) in front.bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        front
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
