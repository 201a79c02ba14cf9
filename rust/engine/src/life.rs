//! The life of a record: it is published, live, retired, perhaps revived by recovery; its header
//! and, if it has one, its seal say so.

use crate::age::{Above, Deadline};
use crate::half_header;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::quarantine;
use crate::record::{LIVE, Record};
use crate::seal::{self, State, Words};
use crate::shape::Shape;
use crate::stamp::Stamp;
use crate::traits::SEALED;
use shf_base::atomic::Ordering::{Relaxed, Release};
use shf_base::geometry::UNIT_BYTES;

impl Shape {
    /// The header of a live record with a stamp; half of one where it has no more.
    #[inline(always)]
    pub(crate) fn live_header(self, stamp: Stamp) -> u64 {
        match self.traits.half() {
            true => half_header::half(stamp, true),
            false => self.header() | stamp.bits() | LIVE,
        }
    }
}

impl<'m> Record<'m> {
    /// What the seal of a sealed record says of it.
    pub fn state(self) -> State {
        State::decode(self.bytes.word(self.words().state).load(Relaxed))
    }

    /// Whether the record is sealed, and what was sealed here.
    pub fn is_whole(self, place: Place<'m>) -> bool {
        let checksum = || self.bytes.word(self.words().checksum).load(Relaxed);
        self.shape.traits.sealed()
            && checksum() == self.checksum(place, self.reference())
            && self.has_own_deadline(place)
    }

    /// Whether the deadline of a sealed record is one that was given to its key.
    fn has_own_deadline(self, place: Place<'m>) -> bool {
        let word = || self.deadline_word().load(Relaxed);
        !self.shape.traits.timed()
            || word() == Deadline::of_word(word()).word(Above::Key(self.sealed_hash(place)))
    }

    /// Whether the seal of a sealed record, in a slot now or once, may be that of one here, by its
    /// header and its key.
    pub fn has_front(self, place: Place<'m>) -> bool {
        let word = |word| self.bytes.word(word).load(Relaxed);
        let front = self.shape.seal_front(place, self.reference());
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
    pub(crate) fn checksum(self, place: Place<'m>, reference: u32) -> u64 {
        let hash = self.sealed_hash(place);
        let covered = !self.shape.traits.kind().is_in_place();
        let len = if covered { self.shape.value_len as usize } else { 0 };
        let content = |seed| self.hash_bytes(seed, self.value_at(), len).0;
        seal::checksum(self.shape.seal_front(place, reference), hash.0, content)
    }

    /// The epoch in which the record in a free block of a durable map was retired, if it is sealed.
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
        let offset = place.unit_offset(self.reference());
        if !self.is_live() {
            intent.set(offset, self.header(self.stamp, true));
        }
        let says_so = || matches!(self.state(), State::Live { .. }) && self.has_front(place);
        if self.shape.traits.sealed() && !says_so() {
            let state = self.words().state as u64 * UNIT_BYTES;
            let tag = self.tag(place, self.shape.seal_front(place, self.reference()));
            intent.set(offset + state, State::Live { born: 0 }.encode(tag));
        }
    }

    /// Its header with this stamp, live or not. It keeps its own when it is retired: recovery may
    /// bring it back.
    #[inline(always)]
    pub(crate) fn header(self, stamp: Stamp, live: bool) -> u64 {
        if self.shape.traits.half() {
            let word = self.bytes.word(0).load(Relaxed);
            return half_header::with_half(word, half_header::half(stamp, live));
        }
        self.shape.header() | stamp.bits() | if live { LIVE } else { 0 }
    }

    /// Whether a slot refers to the record.
    pub fn is_live(self) -> bool {
        let live = if self.shape.traits.half() { half_header::LIVE } else { LIVE };
        self.bytes.word(0).load(Relaxed) & live != 0
    }

    /// Will be live, with this stamp. `hash` is that of its key. The same intent makes a slot refer
    /// to the record, after this.
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
        let header = shape.live_header(stamp);
        let whole = || half_header::at(place, reference, header);
        intent.set(offset, if shape.traits.half() { whole() } else { header });
        if shape.traits.sealed() {
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
        intent.set(offset, self.header(self.stamp, false));
        if !self.shape.traits.sealed() {
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
