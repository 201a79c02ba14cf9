//! Clearing a region: making pages in a row free for a record of several, in a map that evicts.
//!
//! Free pages and holes lie scattered between runs that are in use. Of all rows of runs that are
//! long enough, the one in which the least is live is cleared: records of its log runs move to
//! where others are evicted, or are evicted themselves, as large ones in it are. So the work is
//! bounded by the pages that are asked for.

use crate::block::Block;
use crate::eviction::Kept;
use crate::holes;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::record::Record;
use crate::run::{self, Run};
use crate::shard::Locked;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_UNITS;
use std::collections::VecDeque;

/// Runs that are looked at, and one more for each page that is asked for.
const RUNS: u32 = 1024;

/// A row of runs.
#[derive(Clone, Copy)]
struct Row {
    /// The first page.
    page: u32,
    /// How many pages there are.
    pages: u32,
    /// What it costs to clear them, in units that are live.
    cost: u64,
}

impl Row {
    /// The run that starts at a page.
    fn of(page: u32, run: Run) -> Row {
        let cost = match run {
            Run::Log { live, .. } => live.into(),
            Run::Large { pages } => u64::from(pages) * PAGE_UNITS,
            // Real ones first.
            Run::Hole { .. } => 1,
            Run::Free { .. } | Run::Inside { .. } => 0,
        };
        Row { page, pages: run.pages(), cost }
    }
}

/// What keeps a run out of all rows.
const NEVER: u64 = 1 << 40;

impl Locked<'_> {
    /// Makes at least so many pages in a row free, if there are as many; whether it did. They are
    /// the next ones that are found.
    pub(crate) fn clear_region(&self, pages: u32, kept: Option<Kept>) -> Result<bool, OpError> {
        let place = self.memory.place;
        let Some(row) = self.cheapest(pages, kept) else { return Ok(false) };
        let mut page = row.page;
        while page < row.page + row.pages {
            let run = run::at(&Intent::begin(place), place, page);
            let cleared = match run {
                Run::Log { .. } => self.empty(page, kept)?,
                Run::Large { .. } => self.evict_block(large_block(place, page), kept)?,
                _ => true,
            };
            if !cleared {
                return Ok(false);
            }
            page += run.pages().max(1);
        }
        let (_, sparse) = unpair(place.load(Field::Rotors));
        place.store(Field::Rotors, pair(row.page, sparse));
        Ok(true)
    }

    /// The row of runs with so many pages that costs the least, of those that are near. The kept
    /// key's own run is in none, nor are large elements of its list, nor holes that may not be made
    /// real, by the maximum or since the file system has no pages for them.
    fn cheapest(&self, pages: u32, kept: Option<Kept>) -> Option<Row> {
        let place = self.memory.place;
        let may_use_holes = holes::may_give_now(self.memory) && self.memory.afford(pages).is_ok();
        let own = self.page_of(kept);
        let intent = Intent::begin(place);
        let (top, _) = run::tops(&intent, place);
        let (fit, _) = unpair(place.load(Field::Rotors));
        let mut runs: VecDeque<Row> = VecDeque::new();
        let mut row = Row { page: if fit < top { fit } else { 0 }, pages: 0, cost: 0 };
        let mut best: Option<Row> = None;
        for _ in 0..RUNS.saturating_add(pages) {
            let page = row.page + row.pages;
            let run =
                if page < top { run::at(&intent, place, page) } else { Run::Inside { back: 0 } };
            if run.pages() == 0 || page + run.pages() > top {
                // At the end, or where no run starts.
                if row.page == 0 && row.pages == 0 {
                    break;
                }
                runs.clear();
                row = Row { page: 0, pages: 0, cost: 0 };
                continue;
            }
            let mut next = Row::of(page, run);
            let stays = match run {
                Run::Hole { .. } => !may_use_holes,
                Run::Large { .. } => kept.is_some_and(|kept| self.is_kept(page, kept)),
                _ => own == Some(page),
            };
            if stays {
                next.cost = NEVER;
            }
            runs.push_back(next);
            (row.pages, row.cost) = (row.pages + next.pages, row.cost + next.cost);
            while let Some(first) = runs.front()
                && row.pages - first.pages >= pages
            {
                let Row { page, pages, cost } = row;
                row = Row {
                    page: page + first.pages,
                    pages: pages - first.pages,
                    cost: cost - first.cost,
                };
                runs.pop_front();
            }
            if row.pages >= pages && best.is_none_or(|best| row.cost < best.cost) {
                best = Some(row);
            }
        }
        best.filter(|best| best.cost < NEVER)
    }

    /// The first page of the log run that the kept key's record lies in.
    fn page_of(&self, kept: Option<Kept>) -> Option<u32> {
        let place = self.memory.place;
        let reference = kept?.reference(place)?;
        Some(run::log_of(&Intent::begin(place), place, reference).ok()?.0)
    }

    /// Whether the large record at a page is that of the kept key, or an element of its list.
    fn is_kept(&self, page: u32, kept: Kept) -> bool {
        let block = large_block(self.memory.place, page);
        if !block.record.is_some_and(Record::is_element) {
            return kept.reference(self.memory.place) == Some(block.reference);
        }
        let owner = self.owner(block).unwrap_or(None);
        owner.is_some_and(|(position, ..)| kept == Kept::at(&position))
    }
}

/// The large record at a page.
fn large_block(place: Place<'_>, page: u32) -> Block<'_> {
    let reference = place.page_unit(page);
    Block { reference, units: 0, record: Record::at(&place, reference) }
}
