//! Eviction: which keys a full map deletes, so that there is room for others.
//!
//! What a get knows of a key is one access bit beside its tag (`table`), which is set when the key
//! is used and cleared when the hand meets it. The hand looks at the next sixteen keys of the
//! shard for each one that has to go, notes which of them were used, and the one that is worth the
//! least goes (`uses`). One that has expired goes first.
//!
//! The shard's hash order says nothing of keys, so these sixteen are a random sample, but each key
//! is in one of them in each turn of the hand. So there are no queues, which a get, a repair or a
//! merge would have to keep right. What this comes to beside an exact order of all keys by their last
//! use is in docs/decisions/0024-eviction.md.
//!
//! Once memory has run out, the shard keeps an account, `Credit`, of the bytes that were evicted and
//! not put yet: each new key takes its bytes off it, and has others evicted behind it until the
//! account is level. So the next one finds memory without asking in vain, and no more goes than comes.
//! When memory is there otherwise, of deleted keys or in free pages, the account is closed.

use crate::age::Deadline;
use crate::class;
use crate::compaction;
use crate::growth::{self, Memory};
use crate::hand::{Hand, Met, Step};
use crate::holes;
use crate::place::Field;
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
/// Keys that a put evicts behind itself, at most.
const BEHIND_MAX: u32 = 4;
/// Runs that are emptied, or keys that are evicted, to lend pages; and one more for each page.
const LENDING_STEPS: u32 = 64;
/// With more real pages free, the map is not full.
const FREE_PAGES_MAX: u64 = 16;
/// A shard with less than this part of the average turns to others for memory.
const POOR_FRACTION: u64 = 2;
/// And so does one of which a record would need more than this part.
const LARGE_FRACTION: u64 = 4;

impl Locked<'_> {
    /// Evicts a key, but not the one whose record is `kept`; the bytes of its record, 0: the shard
    /// has no other keys.
    fn evict_but(&self, kept: Option<u32>) -> Result<u64, OpError> {
        let place = self.memory.place;
        let begun = Hand::of(place).turn;
        loop {
            let hand = Hand::of(place);
            let mut worst: Option<(u64, Met<'_>)> = None;
            let next = hand.after(place, STEP, |met| {
                let idleness = self.look(met, hand.turn);
                let is_kept = Some(met.reference(place)) == kept;
                if !is_kept && worst.is_none_or(|(most, _)| idleness > most) {
                    worst = Some((idleness, met));
                }
            })?;
            // First: a damaged slot keeps nobody from those behind it.
            next.store(place);
            if let Some((_, met)) = worst {
                next.fetch(place, STEP)?;
                return self.erase_met(met, Erased::Evicted).map(memory_bytes);
            }
            if next.turn.wrapping_sub(begun) > 1 {
                return Ok(0);
            }
        }
    }

    /// Notes whether a key was used since the hand met it last; how idle it is.
    fn look(&self, met: Met<'_>, turn: u64) -> u64 {
        let place = self.memory.place;
        let Some(word) = Record::deadline_at(&place, met.reference(place)) else { return u64::MAX };
        let found = word.load(Relaxed);
        if self.is_over(Deadline::of_word(found)) {
            return u64::MAX;
        }
        let (before, accessed) = (Uses::of_word(found), met.head.is_accessed(met.slot));
        let uses = before.met(turn, accessed);
        if uses != before {
            word.store(uses.in_word(found), Release);
        }
        if accessed {
            met.table.store_access(met.bucket, met.slot, false);
        }
        uses.idleness(turn)
    }

    fn evict(&self) -> Result<u64, OpError> {
        self.evict_but(None)
    }

    /// Evicts as much as a new key has taken, in a full map; that one stays.
    #[inline(never)]
    pub(crate) fn evict_behind(&self, shape: Shape, reference: u32) {
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
            credit += self.evict_but(Some(reference)).unwrap_or(0);
        }
        place.store(Field::Credit, credit.saturating_sub(taken).max(1));
    }

    /// Evicts keys of at least so many bytes together, if there are as many; how many.
    pub(crate) fn evict_bytes(&self, bytes: u64) -> Result<u64, OpError> {
        let mut freed = 0;
        while freed < bytes {
            match self.evict()? {
                0 => break,
                more => freed += more,
            }
        }
        Ok(freed)
    }

    /// Whether the shard should rather get memory from others than evict so much of its own. Never
    /// true of the shard that has most.
    pub(crate) fn is_poor(&self, needed_bytes: u64) -> bool {
        let place = self.memory.place;
        let shards = u64::from(place.geometry().shards());
        let own = place.ledger(place.shard()).load(Relaxed) * PAGE_BYTES;
        let all = growth::committed_bytes(place) - place.geometry().front_real_bytes();
        own < all / shards / POOR_FRACTION
            || needed_bytes > own / LARGE_FRACTION && own < all / POOR_FRACTION
    }

    /// Gives up to so many pages back to the file system that hold nothing; how many.
    pub(crate) fn lend_free(&self, pages: u32) -> Result<u32, OpError> {
        holes::give_now(self.memory, pages)
    }

    /// Gives up to so many pages back to the file system, for other shards or for the own index,
    /// at once; those of keys that it evicts if it has no others. How many.
    pub(crate) fn lend(&self, pages: u32) -> Result<u32, OpError> {
        let mut given = self.lend_free(pages)?;
        for _ in 0..LENDING_STEPS.saturating_add(pages) {
            if given >= pages || !self.empty_sparsest()? && self.evict()? == 0 {
                break;
            }
            given += self.lend_free(pages - given)?;
        }
        Ok(given)
    }

    /// Makes the pages of a log run free, the sparsest of some; whether there was one.
    pub(crate) fn empty_sparsest(&self) -> Result<bool, OpError> {
        match compaction::sparsest(self.memory.place) {
            Some(page) => self.empty(page),
            None => Ok(false),
        }
    }

    /// Makes the pages of the log run that starts at one free: its records move to where others are
    /// evicted. Whether it did.
    pub(crate) fn empty(&self, page: u32) -> Result<bool, OpError> {
        // Not with pages that were just lent.
        let memory = Memory { max_bytes: 0, ..self.memory };
        compaction::empty(memory, page, || Ok(self.evict()? > 0))
    }
}

/// Bytes that a record takes of the shard's memory.
fn memory_bytes(shape: Shape) -> u64 {
    match shape.is_large() {
        true => shape.pages() * PAGE_BYTES,
        false => u64::from(class::units(class::of_bytes(shape.bytes()))) * UNIT_BYTES,
    }
}
