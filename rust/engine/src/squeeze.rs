//! Squeezing: making contiguous room of dead blocks, when memory has run out and the map may not
//! grow.
//!
//! Sparse log runs are taken in the order of their pages, and their live records move down: into
//! the tail of the run before, else into pages that became free right before them, else to the
//! front of their own run, whose pages behind them become free:
//!
//! ```text
//!     | a . b . | . c . d | e . . . |  large |      . dead, one page each
//!     | a b c d |  free   |  free   |  large |      with e at the front of the second page
//! ```
//!
//! So room of any size comes together, whatever sizes are dead, until the put that asks has enough.
//! Each move is an intent of its own, and a reader notices it as it notices a replace. In its own
//! run a record moves only to where it does not overlap with itself; the hole that it leaves is
//! made a gap before its new header is stored, so that the run can be walked block by block at any
//! moment.
//!
//! The work of one put is bounded by `WORK_PAGES`; the next one that needs room goes on behind.

use crate::arena;
use crate::block::{self, Block};
use crate::class;
use crate::intent::Intent;
use crate::link;
use crate::locate::Position;
use crate::place::{Field, Place, pair, unpair};
use crate::quarantine;
use crate::record::Record;
use crate::run::{self, Run};
use crate::shape::Shape;
use crate::stacks;
use shf_base::atomic::{Ordering, fence};
use shf_base::error::OpError;

/// Runs that one put looks at.
const RUNS: usize = 1024;
/// Pages of runs out of which it moves records, at most a run more.
const WORK_PAGES: u32 = 256;
/// A run is worth squeezing when more than this fraction of it is not live: very sparse ones first.
const SPARSE_FRACTIONS: [u32; 2] = [4, 16];
/// Pages of a log run, at most.
const LOG_PAGES_MAX: u32 = 16;
const PAGE_UNITS: u32 = shf_base::geometry::PAGE_UNITS as u32;

/// The log run whose tail records move into.
#[derive(Clone, Copy)]
struct Target {
    page: u32,
    pages: u32,
    live: u32,
    used: u32,
    kept: bool,
}

impl Target {
    fn tail(self) -> u32 {
        (self.pages * PAGE_UNITS).saturating_sub(self.used)
    }
}

struct Squeeze<'m> {
    place: Place<'m>,
    target: Option<Target>,
    /// Free pages in a row, the last of them right before the next run; and the first of them.
    gap: u32,
    gap_page: u32,
}

/// Makes room for a record; whether there is some now. The caller holds the lock, nothing is
/// pending, and allocation has just failed.
#[cold]
pub fn make_room(place: Place<'_>, shape: Shape) -> Result<bool, OpError> {
    place.store(Field::Evacuation, 0);
    let mut work = 0;
    for fraction in SPARSE_FRACTIONS {
        if pass(place, shape, fraction, &mut work)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Squeezes runs of which more than one `fraction`th is not live, until there is room.
fn pass(place: Place<'_>, shape: Shape, fraction: u32, work: &mut u32) -> Result<bool, OpError> {
    let (top, _) = run::tops(&Intent::begin(place), place);
    let rotor = place.load(Field::Sweep) as u32;
    let mut page = if rotor < top { rotor } else { 0 };
    // The rotor may point into the middle of what is one run today: only a log run is sure to be
    // one.
    let mut sure = page == 0;
    let mut squeeze = Squeeze { place, target: None, gap: 0, gap_page: 0 };
    let mut room = false;
    for _ in 0..RUNS {
        let run = run::at(&Intent::begin(place), place, page);
        let next = page.saturating_add(run.pages());
        if run.pages() == 0 || next > top {
            if page == 0 {
                break;
            }
            (page, sure) = (0, true);
            squeeze.begin_behind(None);
            continue;
        }
        match run {
            Run::Log { pages, live, used, .. } if is_sparse(pages, live, used, fraction) => {
                squeeze.run(page, pages, used)?;
                (*work, sure) = (*work + pages, true);
            }
            Run::Log { pages, live, used, kept } => {
                squeeze.begin_behind(Some(Target { page, pages, live, used, kept }));
                sure = true;
            }
            Run::Free { pages, .. } if sure && !run.is_held(place) => {
                squeeze.add_gap(page, pages);
            }
            _ => squeeze.begin_behind(None),
        }
        room = squeeze.has_room(shape);
        page = squeeze.target.map_or(next, |target| target.page);
        if room || *work > WORK_PAGES {
            break;
        }
        page = next;
    }
    place.store(Field::Sweep, page.into());
    squeeze.offer(shape)?;
    Ok(room)
}

fn is_sparse(pages: u32, live: u32, used: u32, fraction: u32) -> bool {
    let units = pages.saturating_mul(PAGE_UNITS);
    pages <= LOG_PAGES_MAX && live <= used && used <= units && units - live > units / fraction
}

impl<'m> Squeeze<'m> {
    /// Starts anew behind something that does not move.
    fn begin_behind(&mut self, target: Option<Target>) {
        (self.target, self.gap) = (target, 0);
    }

    fn add_gap(&mut self, page: u32, pages: u32) {
        if self.gap == 0 {
            self.gap_page = page;
        }
        self.gap += pages;
    }

    fn has_room(&self, shape: Shape) -> bool {
        if shape.is_large() {
            return u64::from(self.gap) >= shape.pages();
        }
        let units = class::units(class::of_bytes(shape.bytes()));
        self.gap.saturating_mul(PAGE_UNITS) >= units || self.has_tail(units)
    }

    fn has_tail(&self, units: u32) -> bool {
        self.target.is_some_and(|target| target.tail() >= units)
    }

    /// Lets allocation find the room: the tail as the head run, the free pages first in the search.
    fn offer(self, shape: Shape) -> Result<(), OpError> {
        let mut intent = Intent::begin(self.place);
        let units = if shape.is_large() { 1 } else { class::units(class::of_bytes(shape.bytes())) };
        let wanted = !shape.is_large() || intent.field(Field::Head) as u32 == 0;
        if let Some(target) = self.target.filter(|_| wanted && self.has_tail(units)) {
            arena::switch_head(&mut intent, self.place, target.page);
        }
        if self.gap > 0 {
            let (_, sparse) = unpair(intent.field(Field::Rotors));
            intent.set_field(Field::Rotors, pair(self.gap_page, sparse));
        }
        intent.commit()
    }

    /// Moves the live records of one run down.
    fn run(&mut self, page: u32, pages: u32, used: u32) -> Result<(), OpError> {
        let place = self.place;
        let start = place.page_unit(page);
        // Nobody takes a block out of it or puts one back meanwhile.
        stacks::purge(place, start, pages * PAGE_UNITS);
        place.store(Field::Evacuation, pair(page + 1, 0));
        if place.load(Field::Head) as u32 == page + 1 {
            place.store(Field::Head, 0);
        }
        let (mut at, mut down, mut in_place) = (0, 0, false);
        while at < used {
            let block = block::at(&place, start + at).filter(|block| block.units <= used - at);
            let Some(block) = block else {
                self.begin_behind(None);
                return Ok(());
            };
            let hole = at - down;
            at += block.units;
            let Some((record, position, word)) = block.slot(place)? else { continue };
            if !in_place && self.move_out(block, record, position, word)? {
                continue;
            }
            if quarantine::is_on(place) {
                // In its own run it would move over what must stay.
                self.begin_behind(None);
                return Ok(());
            }
            in_place = true;
            if hole >= block.units {
                let target = start + down;
                if hole > block.units {
                    Record::write_gap(place, target + block.units, hole - block.units);
                }
                let mut intent = Intent::begin(place);
                record.retire(&mut intent, place, block.reference);
                self.copy(intent, target, record, position, word)?;
                down += block.units;
            } else {
                if hole > 0 {
                    Record::write_gap(place, start + down, hole);
                }
                down = at;
            }
        }
        self.settle(page, if in_place { down } else { 0 })
    }

    /// Moves a record out of its run, if there is room before it.
    fn move_out(
        &mut self,
        block: Block<'m>,
        record: Record<'m>,
        position: Position<'m>,
        word: u32,
    ) -> Result<bool, OpError> {
        let place = self.place;
        let mut intent = Intent::begin(place);
        if !self.has_tail(block.units) {
            if self.gap * PAGE_UNITS < block.units {
                return Ok(false);
            }
            let (_, sparse) = unpair(intent.field(Field::Rotors));
            intent.set_field(Field::Rotors, pair(self.gap_page, sparse));
            let most = self.gap.min(LOG_PAGES_MAX);
            let taken = run::take_free(&mut intent, place, (most, most), &mut true);
            let Some((page, pages)) = taken.filter(|taken| *taken == (self.gap_page, most)) else {
                return Ok(false);
            };
            run::open_log(&mut intent, place, page, pages, 0);
            (self.gap, self.gap_page) = (self.gap - pages, page + pages);
            self.target = Some(Target { page, pages, live: 0, used: 0, kept: false });
        }
        let Some(target) = &mut self.target else { return Ok(false) };
        let reference = place.page_unit(target.page) + target.used;
        target.live += block.units;
        target.used += block.units;
        let Target { page, pages, live, used, kept } = *target;
        run::set(&mut intent, place, page, Run::Log { pages, live, used, kept });
        arena::retire(&mut intent, place, block.reference, record)?;
        self.copy(intent, reference, record, position, word)?;
        Ok(true)
    }

    /// Copies a record to memory that nothing refers to and has its slot refer to the copy.
    fn copy(
        &self,
        mut intent: Intent<'m>,
        target: u32,
        record: Record<'m>,
        position: Position<'m>,
        word: u32,
    ) -> Result<(), OpError> {
        let place = self.place;
        // As in `arena::allocate`.
        fence(Ordering::Release);
        record.copy_to(place, target)?;
        let hash = || record.hash(place.secret());
        Record::publish(&mut intent, place, target, record.shape, record.stamp, hash);
        link::redirect(&mut intent, place, position, word, target);
        intent.set_field(Field::Moved, intent.field(Field::Moved).wrapping_add(1));
        intent.commit()
    }

    /// Gives back what is behind the first `down` units of a run, all of it when that is 0.
    fn settle(&mut self, page: u32, down: u32) -> Result<(), OpError> {
        let place = self.place;
        let mut intent = Intent::begin(place);
        match run::at(&intent, place, page) {
            // The last record that left has freed it; what it left behind may have to stay.
            run @ Run::Free { .. } if run.is_held(place) => self.begin_behind(None),
            Run::Free { pages, .. } => self.add_gap(page, pages),
            Run::Log { pages, live: 0, used, .. } => {
                arena::free_log(&mut intent, place, page, pages, used);
                intent.commit()?;
                return self.settle(page, 0);
            }
            Run::Log { pages, live, used, kept } if live <= down && down <= used => {
                let keep = down.div_ceil(PAGE_UNITS).min(pages);
                let run = Run::Log { pages: keep, live, used: down, kept };
                run::set(&mut intent, place, page, run);
                if keep < pages {
                    run::free(&mut intent, place, page + keep, pages - keep, kept);
                }
                let dead = intent.field(Field::Dead).saturating_sub(u64::from(used - down));
                intent.set_field(Field::Dead, dead);
                intent.set_field(Field::Evacuation, 0);
                intent.commit()?;
                self.begin_behind(Some(Target { page, pages: keep, live, used: down, kept }));
                (self.gap, self.gap_page) = (pages - keep, page + keep);
            }
            _ => self.begin_behind(None),
        }
        Ok(())
    }
}
