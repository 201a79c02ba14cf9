//! The ends of lists under the lock: an element that comes, or goes.
//!
//! A push and a pop are one intent each, whose order readers without a lock rely on: the element's
//! slot before the list's word when it comes, after it when it goes. So at each moment, also when a
//! writer is stopped or dies there, every index that the word has leads to its element.
//!
//! The first push is two intents. The element comes first, as an orphan (`orphans`) of the UID that
//! the key is going to have; the one that puts the key makes it its element. The last pop is two as
//! well: the key goes, which leaves one orphan, and that goes at once. A death in between leaves an
//! orphan to the hand.
//!
//! In a durable map a record that was live at the last sync never says that the list has an element
//! that it did not have then: before a push the record is put again where it was live then, and the
//! old one keeps its word (`quarantine`). A pop need not do so. So after a crash of the machine, of
//! the records that are found of a key, what was there at the sync and was not removed since is in
//! each of their lists, and it is there without a gap; gaps are among what was pushed since
//! (`gaps`).

use crate::age::Deadline;
use crate::arena;
use crate::compaction::{self, By};
use crate::directory;
use crate::element::ElementKey;
use crate::hash::Hash;
use crate::intent::Intent;
use crate::item::Item;
use crate::kind::Kind;
use crate::link;
use crate::list::{End, List};
use crate::locate::{self, Located};
use crate::orphans;
use crate::place::{Field, pair};
use crate::quarantine;
use crate::record::Record;
use crate::seal::State;
use crate::shape::Shape;
use crate::shard::{Attempt, Erased, Locked};
use crate::sink::{self, Sink};
use crate::stamp::Stamp;
use shf_base::error::OpError;

impl<'m> Locked<'m> {
    /// Adds an element at an end of a list, which begins with it where the key is not there;
    /// returns how many it has then. `key` is what is put of the key, of type list, as far as it
    /// does not depend on the list; `shape` is that of the element.
    pub(crate) fn push(
        &self,
        key: Item<'_>,
        end: End,
        value: &[u8],
        shape: Shape,
    ) -> Result<u64, OpError> {
        // Which pushes take a step goes by turns: the index is not known yet.
        let turn = Hash(self.place().next_born().number().into());
        compaction::step(self.memory, By::Put, turn);
        let mut attempt = || self.attempt_push(key, end, value, shape);
        let largest = if key.shape.bytes() > shape.bytes() { key.shape } else { shape };
        let count = self.again(attempt(), (key.hash, key.key), largest, &mut attempt)?;
        match self.memory.place.load(Field::Credit) == 0 {
            true => self.reap(),
            false => self.evict_behind(shape, key.hash, key.key),
        }
        self.shrink();
        Ok(count)
    }

    fn attempt_push(
        &self,
        key: Item<'_>,
        end: End,
        value: &[u8],
        shape: Shape,
    ) -> Result<Attempt<u64>, OpError> {
        let found = self.find(key.hash, key.key)?;
        self.note_use(&found);
        let Some(mut record) = self.living(&found) else {
            return self.begin_list(key, value, shape);
        };
        record.shape.traits.kind().expect(Kind::List)?;
        if self.is_of_last_sync(record) {
            let again = Item { shape: record.shape, ..key }.until(record.deadline());
            if let Attempt::NoSlot(hash) = self.attempt_list(again, record.list())? {
                return Ok(Attempt::NoSlot(hash));
            }
            record = match self.find(key.hash, key.key)? {
                Located::Found(_, _, record) => record,
                _ => return Ok(Attempt::NoSlot(key.hash)),
            };
        }
        let Some((index, longer)) = record.list().with_one_more(end) else {
            return Err(self.misshapen(record, "list that is too long"));
        };
        let uid = self.place().uid(key.hash, record.stamp);
        let element = ElementKey { list: uid.bits(), index };
        self.announce(|| key.hash);
        let entered = self.enter(element, value, shape, |intent| {
            record.set_list(intent, self.memory.place, longer);
        });
        Ok(match entered? {
            Attempt::Done(()) => Attempt::Done(longer.count.into()),
            Attempt::NoSlot(hash) => Attempt::NoSlot(hash),
        })
    }

    /// Puts the record of a list again, with what it has to say of the list; where the key is no
    /// list any more, nothing is done. `key` is as for `push`.
    pub(crate) fn put_list_again(&self, key: Item<'_>) -> Result<(), OpError> {
        compaction::step(self.memory, By::Put, key.hash);
        let mut attempt = || match self.living(&self.find(key.hash, key.key)?) {
            Some(record) if record.shape.traits.kind() == Kind::List => {
                self.attempt_list(key, record.list())
            }
            _ => Ok(Attempt::Done(())),
        };
        self.again(attempt(), (key.hash, key.key), key.shape, &mut attempt)?;
        self.reap();
        self.shrink();
        Ok(())
    }

    fn attempt_list(&self, key: Item<'_>, list: List) -> Result<Attempt<()>, OpError> {
        let word = list.word().to_le_bytes();
        Ok(match self.attempt(Item { value: &word, ..key })? {
            Attempt::Done(_) => Attempt::Done(()),
            Attempt::NoSlot(hash) => Attempt::NoSlot(hash),
        })
    }

    /// Begins a list under a key that is not there.
    fn begin_list(
        &self,
        key: Item<'_>,
        value: &[u8],
        shape: Shape,
    ) -> Result<Attempt<u64>, OpError> {
        let place = self.place();
        // The element takes the next birth, the key the one after that.
        let born = Stamp::born(place.next_born().generation() + 1);
        let uid = place.uid(key.hash, locate::free_stamp(place, key.hash, born)?);
        let element = ElementKey { list: uid.bits(), index: List::BEGUN.first };
        match self.enter(element, value, shape, |intent| orphans::raise(intent, 1))? {
            Attempt::Done(()) => {}
            Attempt::NoSlot(hash) => return Ok(Attempt::NoSlot(hash)),
        }
        let begun = self.attempt_list(key, List::BEGUN);
        if !matches!(begun, Ok(Attempt::Done(()))) {
            // What asks for more room must not find it there when it tries again.
            self.erase_orphan(element)?;
        }
        Ok(match begun? {
            Attempt::Done(()) => Attempt::Done(List::BEGUN.count.into()),
            Attempt::NoSlot(hash) => Attempt::NoSlot(hash),
        })
    }

    /// Enters an element, and in the same intent, after it, what `then` adds. An orphan that has
    /// its key is replaced. Each counts as a birth: see `range`.
    fn enter(
        &self,
        key: ElementKey,
        value: &[u8],
        shape: Shape,
        then: impl FnOnce(&mut Intent<'m>),
    ) -> Result<Attempt<()>, OpError> {
        let place = self.memory.place;
        let (bytes, hash, born) = (key.bytes(), key.hash(place.secret()), place.next_born());
        if let Some(entry) = directory::find(&place, hash.directory())? {
            place.region().prefetch(entry.table.low_offset(hash.bucket()));
        }
        let mut intent = Intent::begin(place);
        let reference = arena::allocate(&mut intent, self.memory, shape)?;
        let item = Item { hash, shape, deadline: Deadline::NEVER, key: &bytes, value };
        Record::write(&place, reference, item)?;
        match locate::element(place, hash, key)? {
            Located::Found(position, word, old) => {
                Record::publish(&mut intent, place, reference, shape, born, || hash);
                link::redirect(&mut intent, place, position, word, reference);
                intent.change_field(Field::Keys, |keys| keys.wrapping_add(pair(0, 1)));
                orphans::lower(&mut intent);
                arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
            }
            Located::Free(position) => {
                Record::publish(&mut intent, place, reference, shape, born, || hash);
                link::enter(&mut intent, place, position, hash, reference, false);
                intent.change_field(Field::Elements, |elements| elements.wrapping_add(1));
            }
            _ => return Ok(Attempt::NoSlot(hash)),
        }
        directory::count_birth(&mut intent, place, born, born);
        then(&mut intent);
        self.announce(|| hash);
        intent.commit()?;
        Ok(Attempt::Done(()))
    }

    /// Copies the element at an end of a list to where `sink` says, takes it away, and returns its
    /// length; `None`: the key is not there.
    pub(crate) fn pop(
        &self,
        hash: Hash,
        key: &[u8],
        end: End,
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, OpError> {
        let place = self.place();
        let found = self.find(hash, key)?;
        self.note_use(&found);
        let Some(record) = self.living(&found) else { return Ok(None) };
        record.shape.traits.kind().expect(Kind::List)?;
        let Some((index, shorter)) = record.list().with_one_less(end) else {
            return Err(self.misshapen(record, "list without elements"));
        };
        let element = ElementKey { list: place.uid(hash, record.stamp).bits(), index };
        let element_hash = element.hash(place.secret());
        let Located::Found(position, word, old) = locate::element(place, element_hash, element)?
        else {
            return Err(self.misshapen(record, "list that lacks an element"));
        };
        let len = old.shape.value_len as usize;
        old.copy_value(sink::room_for(sink, len)?);
        if let (0, Located::Found(position, word, record)) = (shorter.count, found) {
            self.erase(position, word, record, Erased::Deleted)?;
            // The list is gone: what else goes wrong is left to the hand.
            let _ = self.erase_orphan(element);
        } else {
            self.announce(|| hash);
            self.announce(|| element_hash);
            let mut intent = Intent::begin(place);
            record.set_list(&mut intent, place, shorter);
            link::leave(&mut intent, position, false);
            orphans::count_element_gone(&mut intent);
            arena::retire(&mut intent, place, place.slot_format().reference(word), old)?;
            intent.commit()?;
        }
        compaction::step(self.memory, By::Delete, element_hash);
        self.reap();
        self.shrink();
        Ok(Some(len))
    }

    fn erase_orphan(&self, key: ElementKey) -> Result<(), OpError> {
        let place = self.memory.place;
        match locate::element(place, key.hash(place.secret()), key)? {
            Located::Found(position, word, record) => {
                self.erase(position, word, record, Erased::Deleted)
            }
            _ => Ok(()),
        }
    }

    /// Whether a record of a durable map was live at the last sync: then a crash of the machine may
    /// bring it back.
    fn is_of_last_sync(&self, record: Record<'m>) -> bool {
        let place = self.memory.place;
        record.shape.traits.sealed()
            && match record.state() {
                State::Live { born } => quarantine::epoch_of_retirement(place, born) != 0,
                _ => false,
            }
    }

    #[cold]
    fn misshapen(&self, record: Record<'m>, what: &'static str) -> OpError {
        let place = self.memory.place;
        place.corrupt(place.unit_offset(record.reference()), what)
    }
}
