//! Emptying a log run of a map that evicts: its records move to where others are evicted, and not
//! into pages that are free.
//!
//! For each record, the hand looks for one whose block is good for it. Of the two, the one that has
//! been idle for longer goes; and if there is none among some, the record itself. So whatever sizes
//! there are, one key goes for each that lives in the run, but for the kept one, which stays.

use crate::block::{self, Block};
use crate::compaction;
use crate::eviction::{Idle, Kept};
use crate::intent::Intent;
use crate::locate::Position;
use crate::orphans;
use crate::place::{Field, Place};
use crate::record::Record;
use crate::run;
use crate::shard::{Erased, Locked};
use crate::stacks;
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_UNITS, UNIT_BYTES};

/// Steps of the hand in which a block is looked for.
const STEPS: u32 = 4;
/// How often one record has another evicted for it: perhaps that one was the last of its run, whose
/// pages are free then, and not its block.
const ATTEMPTS: u32 = 2;
/// And for the kept key, which does not go itself: as much as its record takes, so often.
const ATTEMPTS_FOR_KEPT: u32 = 64;

impl<'m> Locked<'m> {
    /// Makes the pages of a log run free, the sparsest of some; whether there was one.
    pub(crate) fn empty_sparsest(&self, kept: Option<Kept>) -> Result<bool, OpError> {
        match compaction::sparsest(self.memory.place) {
            Some(page) => self.empty(page, kept),
            None => Ok(false),
        }
    }

    /// Makes the pages of the log run that starts at one free; whether it did.
    pub(crate) fn empty(&self, page: u32, kept: Option<Kept>) -> Result<bool, OpError> {
        let (mut last, mut attempts) = (None, 0);
        compaction::empty(self.memory.closed(), page, |block| {
            if last.replace(block.reference) != Some(block.reference) {
                attempts = 0;
            }
            attempts += 1;
            let bytes = u64::from(block.units) * UNIT_BYTES;
            Ok(attempts <= ATTEMPTS && self.evict_for(page, block, kept)?
                || self.evict_block(block, kept)?
                || attempts <= ATTEMPTS_FOR_KEPT && self.evict_bytes(bytes, kept)? > 0)
        })
    }

    /// Evicts a key whose block is good for the record of a block in the run that starts at a page;
    /// not the `kept` one. Whether there is one among some, and it has been idle for as long as the
    /// record's own key.
    fn evict_for(&self, page: u32, block: Block<'m>, kept: Option<Kept>) -> Result<bool, OpError> {
        let place = self.memory.place;
        let Some((position, _, record)) = self.owner(block)? else { return Ok(false) };
        let own = match kept == Some(Kept::at(&position)) {
            true => 0,
            false => self.idleness(&position, &record, place.load(Field::Turns)),
        };
        let is_good = good_for(place, page, block);
        let mut hand = self.eviction_hand();
        for _ in 0..STEPS {
            if let (Some(Idle { idleness, reference, .. }), _) =
                self.idlest(&mut hand, kept, &is_good)?
            {
                let block = block::at(&place, reference).filter(|_| idleness >= own);
                return block.map_or(Ok(false), |block| self.evict_block(block, kept));
            }
        }
        Ok(false)
    }

    /// Evicts the key that a block belongs to, but not the `kept` one; whether it did. An element
    /// does not go without its list.
    pub(crate) fn evict_block(
        &self,
        block: Block<'m>,
        kept: Option<Kept>,
    ) -> Result<bool, OpError> {
        let Some((position, word, record)) = self.owner(block)? else { return Ok(false) };
        if kept == Some(Kept::at(&position)) {
            return Ok(false);
        }
        self.erase(position, word, record, Erased::Evicted)?;
        // An element is an orphan now, perhaps at another place.
        if record.reference() != block.reference { self.evict_block(block, kept) } else { Ok(true) }
    }

    /// What goes with a block: its key, or the list of its element.
    pub(crate) fn owner(
        &self,
        block: Block<'m>,
    ) -> Result<Option<(Position<'m>, u32, Record<'m>)>, OpError> {
        let place = self.memory.place;
        let Some((record, position, word)) = block.slot(place)? else { return Ok(None) };
        Ok(Some(match orphans::list_of(place, &record)? {
            Some((position, list)) => {
                (position, position.entry.table.slot(position.bucket, position.slot), list)
            }
            None => (position, word, record),
        }))
    }
}

/// Tells whether a record lies in a block that the one of another block could have, and not in the
/// run that starts at a page.
fn good_for(place: Place<'_>, page: u32, block: Block<'_>) -> impl Fn(u32) -> bool {
    let class = block.class();
    let pages = run::at(&Intent::begin(place), place, page).pages();
    let (start, units) = (place.page_unit(page), pages * PAGE_UNITS as u32);
    move |reference| {
        reference.wrapping_sub(start) >= units
            && block::at(&place, reference)
                .and_then(Block::class)
                .zip(class)
                .is_some_and(|(block, class)| stacks::serves(block, class))
    }
}
