//! Salvage: what is left of the records of a damaged shard.
//!
//! The memory speaks for itself where it makes sense: descriptors say which pages are a run, the
//! blocks of a log run follow each other, and a live record is a key's (`record`). Where
//! it makes no sense, the old index tells where records begin: a slot is believed when the record
//! that it leads to is live and its hash agrees with tag and bucket. What neither of them
//! leads to is lost, and reported.
//!
//! Nothing is trusted and nothing stored here. It needs private memory for the references of
//! all keys, and of all slots of the old index.

use crate::block;
use crate::check::Violation;
use crate::place::Place;
use crate::record::Record;
use crate::run::Run;
use crate::table::{BUCKETS, Table, bucket_at};
use shf_base::atomic::Ordering::Acquire;
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_UNITS, UNIT_BYTES};
use std::cell::Cell;

/// Pages of a log run, at most.
const LOG_PAGES_MAX: u32 = 16;
const UNITS: u32 = PAGE_UNITS as u32;
/// A sound shard needs each key hashed twice; where pages are unknown, some of them more often.
const HASHED_TIMES: u64 = 8;
/// As many more times, where whole records are hashed and not only their keys.
const HASHED_TIMES_SEALED: u64 = 64;
/// Losses that are reported one by one.
const LOST_MAX: usize = 1000;

/// The records of a shard, and the memory as it has to be described.
pub struct Salvage<'m> {
    place: Place<'m>,
    /// References of records that are sure to be some, in order: of a shard that is not sealed
    /// those that slots of the old index lead to.
    pub known: Vec<u32>,
    /// Bytes of keys that may still be hashed: records that overlap could have any number.
    bytes_left: Cell<u64>,
    /// All runs, which tile the committed record pages.
    pub runs: Vec<(u32, Run)>,
    /// References of the live records, those first that the old index leads to.
    pub live: Vec<u32>,
    /// Units inside of log runs that have to become gaps, and how many.
    pub gaps: Vec<(u32, u32)>,
    /// What could not be saved.
    pub lost: Vec<Violation>,
    /// References of what is no record of the map, but has a seal that says it is.
    pub disowned: Vec<u32>,
}

/// Searches a shard. The caller holds its lock.
pub fn search(place: Place<'_>) -> Result<Salvage<'_>, OpError> {
    let mut salvage = Salvage::new(place);
    let mut known = references(place)?;
    known.retain(|&reference| {
        Record::at(&place, reference).is_some_and(|record| salvage.belongs(record))
    });
    salvage.known = known;
    let (end, _) = place.limits();
    let mut page = 0;
    while page < end {
        page = match salvage.run(page, end) {
            Some(Run::Log { pages, used, .. }) => salvage.log(page, pages, used)?,
            Some(run @ Run::Large { pages }) => {
                push(&mut salvage.live, place.page_unit(page))?;
                push(&mut salvage.runs, (page, run))?;
                page + pages
            }
            Some(run) => {
                push(&mut salvage.runs, (page, run))?;
                page + run.pages()
            }
            None => salvage.unknown(page, end)?,
        };
    }
    // Where two records have one key, that of the old index wins.
    let known = &salvage.known;
    salvage.live.sort_unstable_by_key(|live| (known.binary_search(live).is_err(), *live));
    Ok(salvage)
}

/// Adds to private memory.
pub fn push<T>(vec: &mut Vec<T>, item: T) -> Result<(), OpError> {
    let bytes = (vec.len() + 1).saturating_mul(size_of::<T>()) as u64;
    vec.try_reserve(1).map_err(|_| OpError::OutOfMemory { bytes })?;
    vec.push(item);
    Ok(())
}

/// The references that slots lead to, as far as their records agree. Any index page may be a table.
fn references(place: Place<'_>) -> Result<Vec<u32>, OpError> {
    let format = place.slot_format();
    let mut references = Vec::new();
    for page in 0..place.limits().1 {
        let Some(bytes) = place.index(page) else { continue };
        let table = Table::new(bytes, place.index_page(page), page);
        for bucket in 0..BUCKETS {
            let head = table.head(bucket);
            for slot in head.occupied() {
                let word = table.slot(bucket, slot);
                let reference = format.reference(word);
                let agrees = |record: Record<'_>| {
                    let hash = record.hash(place.secret());
                    record.is_live()
                        && hash.tag() == head.tag(slot)
                        && bucket_at(hash.bucket(), format.distance(word)) == bucket
                };
                if Record::at(&place, reference).is_some_and(agrees) {
                    push(&mut references, reference)?;
                }
            }
        }
    }
    references.sort_unstable();
    references.dedup();
    Ok(references)
}

impl<'m> Salvage<'m> {
    /// Nothing is found yet.
    pub fn new(place: Place<'m>) -> Salvage<'m> {
        let times = if place.is_durable() { HASHED_TIMES_SEALED } else { HASHED_TIMES };
        let bytes_left = Cell::new(times * place.records_bytes_max());
        let (runs, live, gaps, lost) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (known, disowned) = (Vec::new(), Vec::new());
        Salvage { place, known, bytes_left, runs, live, gaps, lost, disowned }
    }

    /// Whether a record is one of this shard, by its key, and whole if it is sealed.
    fn belongs(&self, record: Record<'m>) -> bool {
        self.may_hash(record.shape.key_len)
            && self.has_our_key(record)
            && record.shape.is_possible(self.place.facts())
            && (!record.shape.traits.sealed() || self.is_whole(record))
    }

    fn has_our_key(&self, record: Record<'m>) -> bool {
        let (place, hash) = (self.place, record.hash_of_key(self.place.secret()));
        hash.shard(place.geometry().shards()) == place.shard()
            && hash == record.hash(place.secret())
    }

    /// Whether a record is sealed and as it was sealed.
    pub fn is_whole(&self, record: Record<'m>) -> bool {
        self.may_hash(record.shape.bytes()) && record.is_whole(self.place)
    }

    fn may_hash(&self, bytes: u64) -> bool {
        let left = self.bytes_left.get().checked_sub(bytes);
        self.bytes_left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Reports a loss.
    pub fn lose(&mut self, reference: u32, what: String) {
        if self.lost.len() < LOST_MAX {
            let offset = self.place.unit_offset(reference);
            self.lost.push(Violation::new(self.place.shard(), offset, what));
        }
    }

    /// Has the seals say so of what is disowned, but where a record of the map has its header by
    /// now.
    pub fn disown(&self) {
        for &reference in &self.disowned {
            if self.next_known(reference + 1, reference + 3).is_none() {
                Record::disown(self.place, reference);
            }
        }
    }

    /// The first known reference from `from` on and before `end`.
    fn next_known(&self, from: u32, end: u32) -> Option<u32> {
        let at = self.known.partition_point(|&reference| reference < from);
        self.known.get(at).copied().filter(|&reference| reference < end)
    }

    /// Whether a known record begins before a unit and reaches over it.
    fn is_covered(&self, unit: u32) -> bool {
        let before = self.known.partition_point(|&reference| reference < unit).checked_sub(1);
        before.is_some_and(|at| match Record::at(&self.place, self.known[at]) {
            Some(record) => u64::from(unit - self.known[at]) * UNIT_BYTES < record.shape.bytes(),
            None => false,
        })
    }

    /// The run that starts at a page, if its descriptor makes sense and no other run starts inside
    /// of a log run.
    fn run(&self, page: u32, end: u32) -> Option<Run> {
        let run = self.likely_run(page, end)?;
        let clash = |inside| self.likely_run(inside, end).is_some();
        let clashes = matches!(run, Run::Log { pages, .. } if (page + 1..page + pages).any(clash));
        (!clashes).then_some(run)
    }

    /// The run that starts at a page, by what its own descriptor says.
    fn likely_run(&self, page: u32, end: u32) -> Option<Run> {
        let place = self.place;
        let run = Run::decode(place.word(place.descriptor_offset(page))?.load(Acquire));
        let pages = run.pages();
        if pages == 0 || pages > end - page || self.is_covered(place.page_unit(page)) {
            return None;
        }
        let right = match run {
            Run::Log { used, .. } => {
                pages <= LOG_PAGES_MAX && used <= pages * UNITS && !self.knows_large(page, pages)
            }
            Run::Large { .. } => self.is_large(page, pages),
            _ => self.next_known(place.page_unit(page), place.page_unit(page + pages)).is_none(),
        };
        right.then_some(run)
    }

    /// Whether a slot leads to a large record in some pages.
    fn knows_large(&self, page: u32, pages: u32) -> bool {
        let (start, end) = (self.place.page_unit(page), self.place.page_unit(page + pages));
        let first = self.known.partition_point(|&reference| reference < start);
        let inside = self.known[first..].iter().take_while(|&&reference| reference < end);
        inside.copied().any(|reference| {
            Record::at(&self.place, reference).is_some_and(|record| record.shape.is_large())
        })
    }

    /// Whether a large record of so many pages begins with a page.
    fn is_large(&self, page: u32, pages: u32) -> bool {
        Record::at(&self.place, self.place.page_unit(page)).is_some_and(|record| {
            record.shape.is_large()
                && record.is_live()
                && record.shape.pages() == u64::from(pages)
                && self.belongs(record)
        })
    }

    /// The block at a unit of a log run, if it makes sense there: it ends inside of the run, and no
    /// slot leads to the middle of it.
    fn block(&self, reference: u32, end: u32) -> Option<block::Block<'m>> {
        let block = block::at(&self.place, reference)?;
        let next = reference.checked_add(block.units).filter(|&next| next <= end)?;
        self.next_known(reference + 1, next).is_none().then_some(block)
    }

    /// Takes the blocks of a log run, of which `used` units are said to be in use. Returns the page
    /// behind it.
    fn log(&mut self, page: u32, pages: u32, used: u32) -> Result<u32, OpError> {
        let (start, end) = (self.place.page_unit(page), self.place.page_unit(page + pages));
        let (mut at, mut live) = (start, 0);
        while at < start + used || self.next_known(at, end).is_some() {
            let block = self.block(at, end);
            let next = match block {
                Some(block) => at + block.units,
                None => match self.next_known(at + 1, end) {
                    Some(next) => next,
                    None => {
                        self.lose(
                            at,
                            format!(
                                "{} bytes that are no record",
                                (start + used).saturating_sub(at) * 8
                            ),
                        );
                        break;
                    }
                },
            };
            match block {
                Some(block) if block.is_free() => {}
                Some(block::Block { record: Some(record), .. }) if self.belongs(record) => {
                    push(&mut self.live, at)?;
                    live += next - at;
                }
                _ => {
                    self.lose(at, format!("{} bytes that are no record", (next - at) * 8));
                    push(&mut self.gaps, (at, next - at))?;
                }
            }
            at = next;
        }
        push(&mut self.runs, (page, Run::Log { pages, live, used: at - start, kept: true }))?;
        Ok(page + pages)
    }

    /// Takes what is known of the pages up to the next run that makes sense. Returns the page
    /// behind.
    fn unknown(&mut self, page: u32, end: u32) -> Result<u32, OpError> {
        self.lose_large(page);
        let next = (page + 1..end).find(|&next| self.run(next, end).is_some()).unwrap_or(end);
        self.only_known(page, next)?;
        Ok(next)
    }

    /// Reports the large record that a page begins with, where it is a live one, but not whole.
    fn lose_large(&mut self, page: u32) {
        let (place, reference) = (self.place, self.place.page_unit(page));
        let torn = |record: &Record<'m>| {
            let large = record.shape.is_large() && record.shape.traits.sealed() && record.is_live();
            large && record.has_front(place) && !self.is_whole(*record)
        };
        if let Some(record) = Record::at(&place, reference).filter(torn) {
            self.lose(reference, format!("a torn record of {} bytes", record.shape.bytes()));
        }
    }

    /// Takes the known records in some pages, and nothing else.
    pub fn only_known(&mut self, page: u32, next: u32) -> Result<(), OpError> {
        let place = self.place;
        let mut at = page;
        let mut from = place.page_unit(page);
        while let Some(reference) = self.next_known(from, place.page_unit(next)) {
            from = reference + 1;
            let Some(first) = place.unit_page(reference) else { continue };
            let Some(record) = Record::at(&place, reference) else { continue };
            let pages = if record.shape.is_large() {
                record.shape.pages() as u32
            } else {
                self.log_pages(first, reference, next)
            };
            if first < at || pages == 0 || pages > next - first {
                self.lose(reference, "a record in pages that nothing describes".into());
                continue;
            }
            self.free(at, first)?;
            at = first + pages;
            from = place.page_unit(at);
            if record.shape.is_large() {
                push(&mut self.live, reference)?;
                push(&mut self.runs, (first, Run::Large { pages }))?;
            } else {
                self.scattered(first, pages, reference)?;
            }
        }
        self.free(at, next)
    }

    /// Pages of the log run that a known record makes of pages that nothing describes: as many as
    /// the known records take that overlap with each other's pages; 0 when that is too many.
    fn log_pages(&self, first: u32, reference: u32, end: u32) -> u32 {
        let place = self.place;
        let (mut reference, mut last) = (reference, first);
        while let Some(block) = block::at(&place, reference) {
            last = last.max(place.unit_page(reference + block.units - 1).unwrap_or(last));
            let limit = place.page_unit(last + 1);
            match self.next_known(reference + block.units, limit) {
                Some(next) => reference = next,
                None => break,
            }
        }
        let pages = last + 1 - first;
        if last < end && pages <= LOG_PAGES_MAX { pages } else { 0 }
    }

    /// Makes a log run of some pages and the known records in them from `first` on, with gaps
    /// between them. `first` is the one that `log_pages` began with: a known record before it,
    /// which was lost, may overlap with it and reach beyond the pages.
    fn scattered(&mut self, page: u32, pages: u32, first: u32) -> Result<(), OpError> {
        let (start, end) = (self.place.page_unit(page), self.place.page_unit(page + pages));
        let (mut at, mut live, mut from) = (start, 0, first);
        while let Some(reference) = self.next_known(from, end) {
            let Some(block) = block::at(&self.place, reference) else { break };
            if reference > at {
                push(&mut self.gaps, (at, reference - at))?;
            }
            push(&mut self.live, reference)?;
            live += block.units;
            at = reference + block.units;
            from = at;
        }
        push(&mut self.runs, (page, Run::Log { pages, live, used: at - start, kept: true }))?;
        Ok(())
    }

    fn free(&mut self, page: u32, end: u32) -> Result<(), OpError> {
        if page == end {
            return Ok(());
        }
        push(&mut self.runs, (page, Run::Free { pages: end - page, freed: 0, kept: true }))
    }
}
