//! Eviction: which keys a full map deletes, so that there is room for others.
//!
//! What a get knows of a key is one access bit beside its tag (`table`), which is set when the key
//! is used and cleared when the hand meets it. The hand looks at the next sixteen keys of the
//! shard for each one that has to go, notes which of them were used, and the one that is worth the
//! least goes (`uses`). One that has expired goes first.
//!
//! The shard's hash order says nothing of keys, so these sixteen are a random sample, but each key
//! is in one of them in each turn of the hand. So there are no queues, which a get, a repair or a
//! merge would have to keep right. What this comes to beside an exact order of all keys by their
//! last use is in docs/decisions/0024-eviction.md.
//!
//! An element of a list stands for its list: the longer it is, the more often it is in a sample.
//! When a list goes, its elements are orphans (`orphans`), which go first.
//!
//! Once memory has run out, the shard keeps an account, `Credit`, of the bytes that were evicted
//! and not put yet: each new key takes its bytes off it, and has others evicted behind it until the
//! account is level. So the next one finds memory without asking in vain, and no more goes than
//! comes. When memory is there otherwise, of deleted keys or in free pages, or nothing is found
//! that may go, the account is closed.

use crate::age::Deadline;
use crate::class;
use crate::growth;
use crate::hand::{Hand, Met, Step};
use crate::hash::Hash;
use crate::holes;
use crate::index_pages;
use crate::kind::Kind;
use crate::locate::{Located, Position};
use crate::merge;
use crate::orphans;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::shape::Shape;
use crate::shard::{Erased, Locked};
use crate::table::BUCKETS;
use crate::uses::Uses;
use shf_base::atomic::Ordering::{Relaxed, Release};
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_BYTES, UNIT_BYTES};

/// What is looked at for each key that has to go.
const STEP: Step = Step { keys: 16, buckets: 4 * BUCKETS as u32 };
/// Elements of a kept list after which a shard counts as one that has nothing to evict.
const SPARED_MAX: u32 = 256;
/// And in a map of one shard, to which no other can lend.
const SPARED_ALONE_MAX: u32 = 4096;
/// Keys that a put evicts behind itself, at most.
const BEHIND_MAX: u32 = 4;
/// Steps of merging tables that follow on each of these.
const MERGING_STEPS: u32 = 4;
/// Runs that are emptied, or keys that are evicted, to lend pages; and one more for each page.
const LENDING_STEPS: u32 = 64;
/// With more real pages free, the map is not full.
const FREE_PAGES_MAX: u64 = 16;
/// A shard with less than this part of the average turns to others for memory.
const POOR_FRACTION: u64 = 2;
/// And so does one of which a record would need more than this part.
const LARGE_FRACTION: u64 = 4;

/// A key that may be evicted.
#[derive(Clone, Copy)]
pub(crate) struct Idle<'m> {
    /// How idle it is (`uses`).
    pub idleness: u64,
    /// Its slot.
    pub met: Met<'m>,
    /// The record that the hand has met: its own, or an element of the list that it is.
    pub reference: u32,
}

/// A key that is not to be evicted, by its slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    table: u32,
    bucket: usize,
    slot: usize,
}

impl Kept {
    fn of(met: &Met<'_>) -> Kept {
        Kept { table: met.table.page, bucket: met.bucket, slot: met.slot }
    }

    /// The reference in the slot.
    pub fn reference(self, place: Place<'_>) -> Option<u32> {
        let table = index_pages::table(place, self.table).ok()?;
        Some(place.slot_format().reference(table.slot(self.bucket, self.slot)))
    }

    /// The key in a slot.
    pub fn at(position: &Position<'_>) -> Kept {
        let Position { entry, bucket, slot, .. } = *position;
        Kept { table: entry.table.page, bucket, slot }
    }
}

impl<'m> Locked<'m> {
    /// Evicts a key, but not the `kept` one; the bytes of its record, 0: the shard has no others,
    /// or the next ones are all of a list that is kept.
    pub(crate) fn evict(&self, kept: Option<Kept>) -> Result<u64, OpError> {
        let is_alone = self.memory.place.geometry().shards() == 1;
        self.evict_past(if is_alone { SPARED_ALONE_MAX } else { SPARED_MAX }, kept)
    }

    /// As `evict`, past so many elements of a list that is kept.
    fn evict_past(&self, spared_max: u32, kept: Option<Kept>) -> Result<u64, OpError> {
        let (mut hand, mut spared) = (self.eviction_hand(), 0);
        while hand.turns <= 1 && spared < spared_max {
            let (idlest, more) = self.idlest(&mut hand, kept, |_| true)?;
            if let Some(Idle { met, .. }) = idlest {
                hand.fetch(self.memory.place, STEP)?;
                return self.erase_met(met, Erased::Evicted).map(memory_bytes);
            }
            spared += more;
        }
        Ok(0)
    }

    /// The hand that looks for what to evict.
    pub(crate) fn eviction_hand(&self) -> Hand {
        Hand::of(self.memory.place, Field::EvictionHand)
    }

    /// Of the keys that the hand meets in one step, and whose records are `of_use`, the one that is
    /// worth the least, but not the `kept` one; and how often it has met that one.
    #[inline(always)]
    pub(crate) fn idlest(
        &self,
        hand: &mut Hand,
        kept: Option<Kept>,
        of_use: impl Fn(u32) -> bool,
    ) -> Result<(Option<Idle<'m>>, u32), OpError> {
        let place = self.memory.place;
        let (turn, turns) = (place.load(Field::Turns), hand.turns);
        let (mut idlest, mut spared): (Option<Idle<'m>>, u32) = (None, 0);
        *hand = hand.after(place, STEP, |met| {
            let reference = met.reference(place);
            let is_of_use = of_use(reference);
            let Ok((idleness, met)) = self.look(met, turn, is_of_use) else { return };
            if kept.is_some_and(|kept| kept == Kept::of(&met)) {
                spared += 1;
            } else if is_of_use && idlest.is_none_or(|most| idleness > most.idleness) {
                idlest = Some(Idle { idleness, met, reference });
            }
        })?;
        // First: a damaged slot keeps nobody from those behind it.
        hand.store(place, Field::EvictionHand);
        place.store(Field::Turns, turn.wrapping_add(hand.turns - turns));
        Ok((idlest, spared))
    }

    /// Notes whether a key was used since the hand met it last; how idle it is. For an element, if
    /// it `counts`, how idle its list is, which goes for it. An error: the index is damaged.
    fn look(&self, met: Met<'m>, turn: u64, counts: bool) -> Result<(u64, Met<'m>), OpError> {
        let place = self.memory.place;
        let word = match Record::glance(&place, met.reference(place)) {
            Some((Kind::Element, _)) if counts => return self.look_at_list(met, turn),
            Some((Kind::Element, _)) => return Ok((0, met)),
            Some((_, Some(word))) => word,
            _ => return Ok((u64::MAX, met)),
        };
        let found = word.load(Relaxed);
        if self.is_over(Deadline::of_word(found)) {
            return Ok((u64::MAX, met));
        }
        let (before, accessed) = (Uses::of_word(found), met.head.is_accessed(met.slot));
        let uses = before.met(turn, accessed);
        if uses != before {
            word.store(uses.in_word(found), Release);
        }
        if accessed {
            met.table.store_access(met.bucket, met.slot, false);
        }
        Ok((uses.idleness(turn), met))
    }

    /// As `look`, of the list of an element, of which nothing is noted before the hand meets its
    /// own key. An orphan goes at once.
    #[cold]
    fn look_at_list(&self, met: Met<'m>, turn: u64) -> Result<(u64, Met<'m>), OpError> {
        let place = self.memory.place;
        let Some(element) = Record::at(&place, met.reference(place)) else {
            return Ok((u64::MAX, met));
        };
        let Some((position, list)) = orphans::list_of(place, &element)? else {
            return Ok((u64::MAX, met));
        };
        let Position { entry, bucket, slot, head, .. } = position;
        Ok((self.idleness(&position, &list, turn), Met { table: entry.table, bucket, slot, head }))
    }

    /// How idle a key is, of which nothing is noted.
    pub(crate) fn idleness(&self, position: &Position<'_>, record: &Record<'_>, turn: u64) -> u64 {
        let word = match Record::glance(&self.memory.place, record.reference()) {
            Some((_, Some(word))) if !self.has_expired(record) => word,
            _ => return u64::MAX,
        };
        let accessed = position.head.is_accessed(position.slot);
        Uses::of_word(word.load(Relaxed)).met(turn, accessed).idleness(turn)
    }

    /// Evicts as much as a record of this shape has taken, in a full map, but not the key.
    #[inline(never)]
    pub(crate) fn evict_behind(&self, shape: Shape, hash: Hash, key: &[u8]) {
        let kept = self.kept(hash, key).unwrap_or(None);
        let (place, taken) = (self.memory.place, memory_bytes(shape));
        let real = place.load(Field::FreePages).saturating_sub(place.load(Field::Holes));
        if real > FREE_PAGES_MAX {
            return place.store(Field::Credit, 0);
        }
        let mut credit = place.load(Field::Credit);
        for _ in 0..BEHIND_MAX {
            if credit > taken {
                break;
            }
            // A damaged slot is not this operation's business.
            match self.evict_past(SPARED_MAX, kept) {
                Ok(evicted) if evicted > 0 => credit = credit.saturating_add(evicted),
                _ => return place.store(Field::Credit, 0),
            }
        }
        place.store(Field::Credit, credit.saturating_sub(taken).max(1));
    }

    /// A key that is not to be evicted, if it is there.
    pub(crate) fn kept(&self, hash: Hash, key: &[u8]) -> Result<Option<Kept>, OpError> {
        Ok(match self.find(hash, key)? {
            Located::Found(position, ..) => Some(Kept::at(&position)),
            _ => None,
        })
    }

    /// Evicts keys of at least so many bytes together, if there are as many; how many.
    pub(crate) fn evict_bytes(&self, bytes: u64, kept: Option<Kept>) -> Result<u64, OpError> {
        let mut freed = 0;
        while freed < bytes {
            match self.evict(kept)? {
                0 => break,
                more => freed += more,
            }
        }
        Ok(freed)
    }

    /// Whether the shard should rather get memory from others, if they may lend any, than evict so
    /// much of its own.
    pub(crate) fn is_poor(&self, needed_bytes: u64) -> bool {
        let place = self.memory.place;
        let shards = u64::from(place.geometry().shards());
        let own = place.ledger(place.shard()).load(Relaxed).saturating_mul(PAGE_BYTES);
        let all = growth::committed_bytes(place) - place.geometry().front_real_bytes();
        let is_poor = own < all / shards / POOR_FRACTION
            || needed_bytes > own / LARGE_FRACTION && own < all / POOR_FRACTION;
        is_poor && holes::may_give_now(self.memory)
    }

    /// Gives up to so many pages back to the file system that hold nothing; how many.
    pub(crate) fn lend_free(&self, pages: u32) -> Result<u32, OpError> {
        let given = holes::give_now(self.memory, pages)?;
        Ok(given + index_pages::give_now(self.memory, pages.saturating_sub(given)))
    }

    /// Gives up to so many pages back to the file system, at once; those of keys that it evicts if
    /// it has no others, and what their going leaves over of the index. How many.
    pub(crate) fn lend(&self, pages: u32, kept: Option<Kept>) -> Result<u32, OpError> {
        let mut given = self.lend_free(pages)?;
        if !holes::may_give_now(self.memory) {
            return Ok(given);
        }
        for _ in 0..LENDING_STEPS.saturating_add(pages) {
            if given >= pages || !self.empty_sparsest(kept)? && self.evict(kept)? == 0 {
                break;
            }
            if kept.is_none() {
                for _ in 0..MERGING_STEPS {
                    merge::step(self.memory)?;
                }
            }
            given += self.lend_free(pages - given)?;
        }
        Ok(given)
    }
}

/// Bytes that a record takes of the shard's memory.
fn memory_bytes(shape: Shape) -> u64 {
    match shape.is_large() {
        true => shape.pages() * PAGE_BYTES,
        false => u64::from(class::units(class::of_bytes(shape.bytes()))) * UNIT_BYTES,
    }
}
