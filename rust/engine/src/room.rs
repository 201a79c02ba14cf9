//! Room: what is done where the map may not grow any more, until a record has its place or the map
//! is full.
//!
//! In any map, keys that have expired go first, then dead blocks are squeezed together (`squeeze`).
//! In one that evicts (`eviction`), a put of up to an eighth of the maximum finds room whatever the
//! sizes and the shards of the others are. First the shard of its key evicts as much for it, and
//! clears pages where that lies scattered; twice as much if it must, as long as it has keys. A
//! shard that has much less than others, or nothing left, gives its lock back; then others lend it
//! pages, those that have most first, a part of each, and the whole operation is made once more. So
//! no two locks are held at a time, and each attempt works on a smaller rest: the pages that it had
//! in vain are free, or others have put keys there meanwhile, of whom somebody got on.

use crate::expiry::REAPS_PER_PUT;
use crate::hash::Hash;
use crate::map::Map;
use crate::place::Field;
use crate::shape::Shape;
use crate::shard::Locked;
use crate::squeeze;
use shf_base::atomic::Ordering::Relaxed;
use shf_base::error::OpError;
use shf_base::geometry::PAGE_BYTES;
use std::collections::BinaryHeap;

/// How often an operation is made again after other shards have lent memory, at most.
const ATTEMPTS: u32 = 64;
/// A shard lends at most this part of its memory to one operation at a time.
const LENT_FRACTION: u64 = 8;
/// Pages that are asked for beyond what is missing: descriptors, and a table.
const SPARE_PAGES: u64 = 4;

/// The means that one put has, under the lock.
pub(crate) struct Room<'l, 'm> {
    locked: &'l Locked<'m>,
    /// The key, and its hash, for which room is made.
    key: (Hash, &'l [u8]),
    shape: Shape,
    reaps: u32,
    /// Whether what lies scattered was brought together, without evicting for it.
    squeezed: bool,
    /// Bytes to be evicted next.
    evict_bytes: u64,
}

impl<'l, 'm> Room<'l, 'm> {
    /// For a record.
    pub fn new(locked: &'l Locked<'m>, key: (Hash, &'l [u8]), shape: Shape) -> Room<'l, 'm> {
        Room { locked, key, shape, reaps: 0, squeezed: false, evict_bytes: shape.bytes() }
    }

    /// Makes some room, for the record or for a page of the index; or answers that it is `full`.
    pub fn make(&mut self, full: OpError, of_index: bool) -> Result<(), OpError> {
        if self.locked.place().evicts() {
            return self.evict(full, of_index);
        }
        if self.squeezed {
            return Err(full);
        }
        if self.reaps < REAPS_PER_PUT && self.locked.reap_for_room() {
            self.reaps += 1;
            return Ok(());
        }
        self.squeezed = true;
        match squeeze::make_room(self.locked.place(), self.shape) {
            Ok(true) => Ok(()),
            _ => Err(full),
        }
    }

    fn evict(&mut self, full: OpError, of_index: bool) -> Result<(), OpError> {
        let (locked, place) = (self.locked, self.locked.place());
        let (bytes, pages) = (self.shape.bytes(), self.shape.pages() as u32);
        // What this is for was perhaps found to be there.
        let kept = locked.kept(self.key.0, self.key.1)?;
        let fits = || pages > 1 && locked.memory.afford(pages).is_ok();
        if !of_index && !self.squeezed && fits() {
            // There is memory, but not in a row.
            self.squeezed = true;
            if locked.clear_region(pages, kept)? {
                return Ok(());
            }
        }
        if locked.is_poor(bytes) {
            return Err(full);
        }
        if of_index {
            return if locked.lend(SPARE_PAGES as u32, kept)? > 0 { Ok(()) } else { Err(full) };
        }
        let evicted = locked.evict_bytes(self.evict_bytes, kept)?;
        if evicted == 0 {
            return Err(full);
        }
        place.store(Field::Credit, place.load(Field::Credit).max(1).saturating_add(evicted));
        if self.shape.is_large() || pages > 1 && self.evict_bytes > bytes {
            locked.clear_region(pages, kept)?;
        } else if self.evict_bytes > bytes {
            locked.empty_sparsest(kept)?;
        }
        self.evict_bytes = self.evict_bytes.saturating_mul(2);
        Ok(())
    }
}

impl Map {
    /// Does what may need memory in the shard of a hash; again, in a map that evicts, once other
    /// shards have given it some.
    #[inline(always)]
    pub(crate) fn with_room<A>(
        &self,
        hash: Hash,
        mut operation: impl FnMut() -> Result<A, OpError>,
    ) -> Result<A, OpError> {
        let mut attempts = 0;
        loop {
            match operation() {
                Err(full @ OpError::NoSpace { .. })
                    if self.facts.evicting && attempts < ATTEMPTS =>
                {
                    attempts += 1;
                    self.borrow_pages(hash, full)?;
                }
                done => return done,
            }
        }
    }

    /// As `with_room`, of what was done once and answered `full`. Apart, so that what it is called
    /// with is kept in registers until then.
    #[cold]
    #[inline(never)]
    pub(crate) fn with_more_room<A>(
        &self,
        hash: Hash,
        full: OpError,
        operation: impl FnMut() -> Result<A, OpError>,
    ) -> Result<A, OpError> {
        if !self.facts.evicting {
            return Err(full);
        }
        self.borrow_pages(hash, full)?;
        self.with_room(hash, operation)
    }

    /// Has shards lend as many pages as are missing; `full`: none of them could lend any. One that
    /// is locked, or damaged, is passed over, as long as others lend.
    #[cold]
    #[inline(never)]
    fn borrow_pages(&self, hash: Hash, full: OpError) -> Result<(), OpError> {
        let OpError::NoSpace { needed_bytes, .. } = full else { return Err(full) };
        let wanted = needed_bytes.div_ceil(PAGE_BYTES) + SPARE_PAGES;
        let (mut lent, mut lenders) = (0, BinaryHeap::new());
        for place in self.places() {
            let free = place.load(Field::FreePages).saturating_sub(place.load(Field::Holes));
            if free > 0 && lent < wanted {
                let asked = free.min(wanted - lent) as u32;
                lent += self.lend(place.shard(), |locked| locked.lend_free(asked));
            }
            lenders.push((place.ledger(place.shard()).load(Relaxed), place.shard()));
        }
        let own = self.place(hash.shard_bits()).shard();
        let mut richest = None;
        while lent < wanted
            && let Some((pages, shard)) = lenders.pop()
        {
            if shard == own {
                continue;
            }
            richest = richest.or(Some(shard));
            let asked = (wanted - lent).min(pages / LENT_FRACTION + 1) as u32;
            let given = self.lend(shard, |locked| locked.lend(asked, None));
            lent += given;
            if given > 0 {
                lenders.push((pages.saturating_sub(given), shard));
            }
        }
        match richest {
            _ if lent > 0 => Ok(()),
            Some(shard) if self.lock(shard)?.lend(1, None)? > 0 => Ok(()),
            _ => Err(full),
        }
    }

    /// The pages that a shard lends, if its lock is free.
    fn lend(&self, shard: u32, pages: impl FnOnce(&Locked<'_>) -> Result<u32, OpError>) -> u64 {
        let lent = self.try_lock(self.place(shard)).and_then(|locked| pages(&locked));
        lent.unwrap_or(0).into()
    }
}
