//! What the checker says of a shard's memory: its runs, their blocks, the stacks and the pages of
//! the index.

use crate::block;
use crate::check::Walk;
use crate::class;
use crate::hash::DIRECTORY_BITS;
use crate::intent::Intent;
use crate::place::{Field, LEVEL_ENTRIES, unpair};
use crate::record::Record;
use crate::run::{self, Run};
use crate::stacks;
use hashbrown::HashMap;
use shf_base::atomic::Ordering::Acquire;
use shf_base::geometry::PAGE_UNITS;

impl<'m> Walk<'m> {
    pub(crate) fn count_memory(&mut self, reference: u32, record: Record<'m>) {
        let place = self.place;
        if record.shape.is_large() {
            let page = place.unit_page(reference).unwrap_or(u32::MAX);
            self.large.insert(page);
            if place.page_unit(page) != reference {
                self.report(place.unit_offset(reference), "large record inside of a page");
            }
            return;
        }
        let units = class::units(class::of_bytes(record.shape.bytes()));
        match run::log_of(&Intent::begin(place), place, reference) {
            Ok((page, Run::Log { used, .. })) => {
                if reference - place.page_unit(page) + units > used {
                    self.report(place.unit_offset(reference), "record beyond the used units");
                }
                *self.live.entry(page).or_default() += u64::from(units);
            }
            _ => self.report(place.unit_offset(reference), "record outside of a log run"),
        }
    }

    pub(crate) fn memory(&mut self) {
        let place = self.place;
        let intent = Intent::begin(place);
        let (top, _) = run::tops(&intent, place);
        let (mut dead, mut free, mut holes, mut page) = (0, 0, 0, 0);
        let mut head = (place.load(Field::Head) as u32).checked_sub(1).filter(|head| *head < top);
        let mut fit = Some(unpair(place.load(Field::Rotors)).0).filter(|fit| *fit != top);
        let mut sweep = Some(place.load(Field::Sweep) as u32).filter(|sweep| *sweep < top);
        self.waiting();
        while page < top {
            let run = run::at(&intent, place, page);
            let offset = place.descriptor_offset(page);
            head = head.filter(|head| *head != page);
            fit = fit.filter(|fit| *fit != page);
            sweep = sweep.filter(|sweep| *sweep != page);
            match run {
                Run::Log { pages, live, used, .. } => {
                    let expected = self.live.remove(&page).unwrap_or(0);
                    if expected != u64::from(live) {
                        let what =
                            format!("page {page}: {live} units live, {expected} referred to");
                        self.report(offset, what);
                    }
                    if live > used || u64::from(used) > u64::from(pages) * PAGE_UNITS {
                        self.report(offset, format!("page {page}: {live} of {used} units"));
                    } else {
                        self.blocks(page, live, used);
                    }
                    let inside = |back: &u32| {
                        run::at(&intent, place, page + back) == Run::Inside { back: *back }
                    };
                    if let Some(back) = (1..pages.min(top - page)).find(|back| !inside(back)) {
                        let what = format!("page {}: not inside of run {page}", page + back);
                        self.report(place.descriptor_offset(page + back), what);
                    }
                    dead += u64::from(used.saturating_sub(live));
                }
                Run::Large { pages } => {
                    let record = Record::at(&place, place.page_unit(page));
                    let expected = record.map_or(0, |record| record.shape.pages());
                    if !self.large.remove(&page) {
                        self.report(offset, format!("page {page}: large run without a key"));
                    } else if expected != u64::from(pages) {
                        let what = format!("page {page}: {pages} pages, its record has {expected}");
                        self.report(offset, what);
                    }
                }
                Run::Free { pages, .. } => free += u64::from(pages),
                Run::Hole { pages, .. } => {
                    free += u64::from(pages);
                    holes += u64::from(pages);
                }
                Run::Inside { .. } => {
                    self.report(offset, format!("page {page}: no run starts here"));
                    return;
                }
            }
            page += run.pages().max(1);
        }
        self.expect("pages of all runs", page.into(), top.into(), Field::Tops);
        self.expect("dead units", dead, place.load(Field::Dead), Field::Dead);
        self.expect("free pages", free, place.load(Field::FreePages), Field::FreePages);
        self.expect("holes", holes, place.load(Field::Holes), Field::Holes);
        // What is no run any more may still be named; but fresh blocks come from any log run there.
        if let Some(page) =
            head.filter(|page| matches!(run::at(&intent, place, *page), Run::Log { .. }))
        {
            let what = format!("fresh blocks come from page {page}, where no run starts");
            self.report(place.field_offset(Field::Head), what);
        }
        // As before, for the search for dead blocks.
        if let Some(page) =
            sweep.filter(|page| matches!(run::at(&intent, place, *page), Run::Log { .. }))
        {
            let what =
                format!("dead blocks are looked for from page {page} on, where no run starts");
            self.report(place.field_offset(Field::Sweep), what);
        }
        // What lies there may be left of a run of long ago.
        if let Some(page) = fit {
            let what = format!("free runs are searched from page {page} on, where no run starts");
            self.report(place.field_offset(Field::Rotors), what);
        }
        // Runs that keys refer to and no other run leads to: it is longer than it should be.
        let first = self.live.keys().chain(&self.large).min().copied();
        if let Some(page) = first {
            self.report(
                place.descriptor_offset(page),
                format!("page {page}: record without its run"),
            );
        }
        self.stacks();
    }

    /// Walks the blocks of a log run: they end where the used units do, and the live ones say so.
    fn blocks(&mut self, page: u32, live: u32, used: u32) {
        let (place, start) = (self.place, self.place.page_unit(page));
        let (mut at, mut found) = (0, 0);
        while at < used {
            let Some(block) = block::at(&place, start + at) else { break };
            at += block.units;
            if !block.is_free() {
                found += block.units;
            } else if self.waiting.get(&block.reference) == Some(&block.units) {
                self.waiting.remove(&block.reference);
            }
        }
        if at != used || found != live {
            let what = format!("page {page}: {found} of {at} units live, not {live} of {used}");
            self.report(place.record_page(page), what);
        }
    }

    /// Collects what waits in stacks, each block once.
    fn waiting(&mut self) {
        let place = self.place;
        let (mut waiting, mut twice, mut wrong) = (HashMap::new(), Vec::new(), Vec::new());
        let block = |class, reference| {
            if waiting.insert(reference, class::units(class)).is_some() {
                twice.push((place.stack_offset(class), format!("unit {reference} waits twice")));
            }
        };
        stacks::check(place, block, |at, what| wrong.push((at, what)));
        self.waiting = waiting;
        for (at, what) in wrong.into_iter().chain(twice) {
            self.report(at, what);
        }
    }

    /// What is left there is no free block of the class that it waits for: who got it would write
    /// over its neighbours, or over the record that it is a part of.
    fn stacks(&mut self) {
        let place = self.place;
        for (reference, units) in std::mem::take(&mut self.waiting) {
            let what = format!("unit {reference} waits for {units} units but is not free");
            self.report(place.stack_offset(class::of_bytes(u64::from(units) * 8)), what);
        }
    }

    pub(crate) fn index_pages(&mut self, used: u32) {
        let place = self.place;
        let mut pages = self.tables;
        for level in 0..LEVEL_ENTRIES {
            if let Some(page) = place.level(level).load(Acquire).checked_sub(1) {
                pages += 1;
                self.page(page, place.level_offset(level));
            }
        }
        if let Some(gap) = unpair(place.load(Field::Gap)).0.checked_sub(1) {
            pages += 1;
            if u64::from(gap) + 1 >= used.into() || self.pages.contains(&gap) {
                let what = format!("index page {gap} is no gap below {used}");
                self.report(place.field_offset(Field::Gap), what);
            }
        }
        self.expect("index pages", pages, used.into(), Field::Tops);
        let all = if self.tables == 0 { 0 } else { 1 << DIRECTORY_BITS };
        if self.places != all {
            let what = format!("tables have {} of {all} places of the directory", self.places);
            self.report(place.level_offset(0), what);
        }
    }
}
