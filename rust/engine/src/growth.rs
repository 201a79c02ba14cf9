//! Making pages of a shard real, in bounded steps, before anything points at them.
//!
//! Order: the storage first, then the ledger, then the limit that readers check. A process killed
//! between two of these leaves pages beyond the limit, which repair gives back, or a ledger that
//! is too high, which repair and the next step of the shard set right: both are absolute values.
//!
//! The ledger holds each shard's committed pages; their sum, taken at each step, is held against
//! the map's maximum. Steps that several shards take at the same moment may exceed it by one step
//! for each; a step is at most 32 KiB beyond what a single record needs.

use crate::place::{Field, Place, pair, unpair};
use shf_base::atomic::Ordering::{Relaxed, Release};
use shf_base::error::OpError;
use shf_base::format::FileHeader;
use shf_base::geometry::{CHUNKS, DESCRIPTORS, Geometry, PAGE_BYTES};
use shf_base::reservation::Reservation;
use shf_base::storage::Storage;

/// Largest step beyond what is needed, in pages.
const STEP_PAGES_MAX: u32 = 8;
/// What a new map has from the beginning becomes real in pieces of so many pages.
const PIECE_PAGES: u32 = 64;
/// A step is this fraction of what is there already.
const STEP_FRACTION: u32 = 32;

/// A shard's place with the means to grow it.
#[derive(Clone, Copy)]
pub struct Memory<'m> {
    /// The shard's place.
    pub place: Place<'m>,
    /// Where pages come from.
    pub storage: &'m Storage,
    /// Most real bytes of the map.
    pub max_bytes: u64,
}

impl Memory<'_> {
    /// The same with blocks for records where there are some, but without pages for more of them.
    pub fn closed(self) -> Self {
        Memory { max_bytes: 0, ..self }
    }

    /// Makes at least `pages` record pages real.
    pub fn need_records(self, pages: u32) -> Result<(), OpError> {
        let (records, index) = self.place.limits();
        if pages <= records {
            return Ok(());
        }
        let step = (records / STEP_FRACTION).clamp(1, STEP_PAGES_MAX);
        self.grow(pages, records, step, index, |this, target| {
            this.commit_records(records, target)?;
            Ok((target, index))
        })
    }

    /// Makes record pages real, and their descriptors.
    fn commit_records(self, from: u32, to: u32) -> Result<(), OpError> {
        let place = self.place;
        let (old, new) = (descriptor_pages(from), descriptor_pages(to));
        if new > old {
            let start = place.descriptor_offset(old * DESCRIPTORS);
            let bytes = u64::from(new - old) * PAGE_BYTES;
            let commit = self.storage.commit(start, bytes);
            commit.inspect_err(|_| self.release_descriptors())?;
        }
        let bytes = u64::from(to - from) * PAGE_BYTES;
        let commit = self.storage.commit(place.record_page(from), bytes);
        commit.inspect_err(|_| self.release_descriptors())
    }

    /// Makes at least `pages` index pages real.
    pub fn need_index(self, pages: u32) -> Result<(), OpError> {
        let (records, index) = self.place.limits();
        if pages <= index {
            return Ok(());
        }
        let step = (index / STEP_FRACTION).clamp(1, STEP_PAGES_MAX);
        self.grow(pages, index, step, records, |this, target| {
            this.commit_index(index, target)?;
            Ok((records, target))
        })
    }

    /// Makes index pages real.
    fn commit_index(self, from: u32, to: u32) -> Result<(), OpError> {
        let bytes = u64::from(to - from) * PAGE_BYTES;
        self.storage.commit(self.place.index_page(to - 1), bytes)
    }

    /// Makes real what the shard of a new map has from the beginning, which is at most what the
    /// maximum leaves for it, a piece at a time.
    fn reserve(
        self,
        Reservation { record_pages, index_pages }: Reservation,
    ) -> Result<(), OpError> {
        loop {
            let (records, index) = self.place.limits();
            // The index first: without it, memory for records is of no use.
            let piece = |from: u32, to: u32| to.min(from.saturating_add(PIECE_PAGES));
            if index < index_pages {
                let target = piece(index, index_pages);
                self.commit_index(index, target)?;
                self.raise(records, target);
            } else if records < record_pages {
                let target = piece(records, record_pages);
                self.commit_records(records, target)?;
                self.raise(target, index);
            } else {
                return Ok(());
            }
        }
    }

    /// Tries a comfortable target first and the least one after; raises ledger and limits.
    fn grow(
        self,
        least: u32,
        now: u32,
        step: u32,
        other_side: u32,
        commit: impl Fn(Self, u32) -> Result<(u32, u32), OpError>,
    ) -> Result<(), OpError> {
        let mut result = Err(self.no_space(least - now));
        for target in [least.max(now.saturating_add(step)), least] {
            let pages = u64::from(target) + u64::from(other_side);
            if pages > self.place.geometry().pages() || !self.affordable(target - now) {
                continue;
            }
            result = commit(self, target);
            if result.is_ok() {
                break;
            }
        }
        let (records, index) = result.map_err(|error| match error {
            OpError::NoSpace { .. } => self.no_space(least - now),
            other => other,
        })?;
        self.raise(records, index);
        Ok(())
    }

    /// Ledger and limits, of pages that are real.
    fn raise(self, records: u32, index: u32) {
        let ledger = ledger(records, index, self.place.load(Field::Holes));
        self.place.ledger(self.place.shard()).store(ledger, Release);
        self.place.store(Field::Limits, pair(records, index));
    }

    /// Sets the ledger to what is committed when so many pages below the limits are holes.
    pub fn count(self, holes: u64) {
        let (records, index) = self.place.limits();
        let ledger = ledger(records, index, holes);
        self.place.ledger(self.place.shard()).store(ledger, Release);
    }

    /// `NoSpace` where the maximum leaves no room for `more` pages.
    pub fn afford(self, more: u32) -> Result<(), OpError> {
        if self.affordable(more) { Ok(()) } else { Err(self.no_space(more)) }
    }

    /// Whether `more` pages, with the descriptors that may come with them, fit in.
    fn affordable(self, more: u32) -> bool {
        let step = (u64::from(more) + u64::from(descriptor_pages(more))) * PAGE_BYTES;
        committed_bytes(self.place).saturating_add(step) <= self.max_bytes
    }

    /// There is no room for `pages` more.
    #[cold]
    pub fn no_space(self, pages: u32) -> OpError {
        OpError::NoSpace { needed_bytes: u64::from(pages) * PAGE_BYTES, max_bytes: self.max_bytes }
    }

    /// Gives back the pages beyond those that were handed out. Nobody MUST look at them.
    pub fn lower_to_tops(self) {
        let place = self.place;
        let (records, index) = place.limits();
        let (used_records, used_index) = unpair(place.load(Field::Tops));
        let reserved = place.reservation();
        let kept_records = used_records.max(reserved.record_pages).min(records);
        let kept = (kept_records, used_index.max(reserved.index_pages).min(index));
        if kept != (records, index) {
            place.store(Field::Limits, pair(kept.0, kept.1));
            self.settle();
        }
    }

    /// For repair: sets the ledger right and gives back what lies beyond the limits.
    pub fn settle(self) {
        let (records, index) = self.place.limits();
        self.count(self.place.load(Field::Holes));
        let all = self.place.geometry().pages();
        let beyond = all.saturating_sub(u64::from(records) + u64::from(index));
        self.storage.release(self.place.record_page(records), beyond * PAGE_BYTES);
        self.release_descriptors();
    }

    /// Whether the maximum leaves room for another step.
    pub fn may_grow(self) -> bool {
        let (records, index) = self.place.limits();
        u64::from(records) + u64::from(index) < self.place.geometry().pages() && self.affordable(1)
    }

    /// Gives back the descriptors of pages that are not committed.
    fn release_descriptors(self) {
        let (records, _) = self.place.limits();
        let start = self.place.descriptor_offset(descriptor_pages(records) * DESCRIPTORS);
        let end = self.place.record_page(0);
        self.storage.release(start, end.saturating_sub(start));
    }
}

/// Makes real what a new map has from the beginning.
pub fn reserve(storage: &Storage, facts: &FileHeader) -> Result<(), OpError> {
    (0..facts.geometry.shards()).try_for_each(|shard| {
        let place = Place::new(storage, facts, shard);
        Memory { place, storage, max_bytes: facts.max_bytes }.reserve(facts.reservation)
    })
}

/// Where the real bytes of a shard lie: descriptors, records, index; offset and length.
pub fn committed_areas(place: Place<'_>) -> [(u64, u64); 3] {
    let (records, index) = place.limits();
    let descriptors = u64::from(descriptor_pages(records)) * PAGE_BYTES;
    let end = place.window() + place.geometry().window_bytes();
    let (records, index) = (u64::from(records) * PAGE_BYTES, u64::from(index) * PAGE_BYTES);
    [(place.window(), descriptors), (place.record_page(0), records), (end - index, index)]
}

/// Real bytes of the whole map.
pub fn committed_bytes(place: Place<'_>) -> u64 {
    let shards = 0..place.geometry().shards();
    real_bytes(place.geometry(), shards.map(|shard| place.ledger(shard).load(Relaxed)))
}

/// Real bytes of a map whose ledger says these words.
pub fn real_bytes(geometry: &Geometry, ledger: impl IntoIterator<Item = u64>) -> u64 {
    let pages = ledger.into_iter().fold(0, u64::saturating_add);
    geometry.front_real_bytes().saturating_add(pages.saturating_mul(PAGE_BYTES))
}

/// Committed pages of a shard: descriptors, records but for the holes, index.
pub fn ledger(records: u32, index: u32, holes: u64) -> u64 {
    let records_real = u64::from(records).saturating_sub(holes);
    u64::from(descriptor_pages(records)) + records_real + u64::from(index)
}

/// Pages of the descriptors of so many record pages.
pub fn descriptor_pages(records: u32) -> u32 {
    records.div_ceil(DESCRIPTORS)
}

/// Chunks that lie in committed pages.
#[inline(always)]
pub fn chunks(place: Place<'_>) -> u32 {
    descriptor_pages(place.limits().0) * CHUNKS
}
