//! Runs: contiguous record pages with one purpose, described out of band.
//!
//! Every run has its description in the descriptor of its first page; all runs together tile the
//! pages from 0 to the top. The other pages of a log run point back to the first.
//!
//! ```text
//! bit 0    2        24          38          52
//!     | 1  | pages  | live units | used units | kept |   log: blocks of small records, in order
//!     | 2  | pages  |                               large: one record
//!     | 3  | pages  | number of its freeing  |      free; bit 23: it may have to be kept
//!     |    |        |                        |      bit 63: a hole, given back to the file system
//!     | 0  | pages back to the first |              inside of a log run; 0: never used
//! ```
//!
//! `retired` counts the runs freed. A run that is used again raises `reused` to the number that its
//! freeing had, before its first byte changes: a reader that noted `retired`, then saw its slot
//! unchanged, and after its copy finds `reused` no larger, copied bytes that nobody had reused.

use crate::growth::Memory;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::quarantine;
use shf_base::error::OpError;

/// Runs that one search looks at.
pub const SEARCH_RUNS: usize = 256;

/// What a page descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Not the first page of a run: `back` pages after it; 0 means never used.
    Inside {
        /// Pages back to the first page of its run.
        back: u32,
    },
    /// Blocks of small records: `used` units are handed out, `live` of them refer to keys.
    Log {
        /// Pages of the run, 1 to 16.
        pages: u32,
        /// Units of the blocks that keys refer to.
        live: u32,
        /// Units handed out since the run was opened.
        used: u32,
        /// Whether a record retired in it may have to be kept for a crash of the machine
        /// (`quarantine`).
        kept: bool,
    },
    /// One large record.
    Large {
        /// Pages of the run.
        pages: u32,
    },
    /// Free since freeing number `freed`.
    Free {
        /// Pages of the run.
        pages: u32,
        /// The number of its freeing, 39 bits.
        freed: u64,
        /// Whether something in it may have to be kept for a crash of the machine.
        kept: bool,
    },
    /// Free, and given back to the file system (`holes`): touching it may be SIGBUS.
    Hole {
        /// Pages of the run.
        pages: u32,
        /// The number of its freeing, 39 bits.
        freed: u64,
    },
}

const PAGES_MASK: u64 = (1 << 22) - 1;
const UNITS_MASK: u64 = (1 << 14) - 1;
/// The bit of a log run that says so.
const LOG_KEPT: u64 = 1 << 52;
/// That of a free run: the highest bit of a number of pages, which no window needs.
const KEPT: u32 = 1 << 21;
/// The bit of a free run that says that it is a hole, and the bits of its number below.
const HOLE: u64 = 1 << 63;
const FREED_MASK: u64 = (1 << 39) - 1;

impl Run {
    /// Unpacks a descriptor.
    #[inline(always)]
    pub fn decode(word: u64) -> Run {
        let pages = (word >> 2 & PAGES_MASK) as u32;
        let units = |shift: u32| (word >> shift & UNITS_MASK) as u32;
        match word & 3 {
            0 => Run::Inside { back: pages },
            1 => Run::Log { pages, live: units(24), used: units(38), kept: word & LOG_KEPT != 0 },
            2 => Run::Large { pages },
            _ => {
                let (pages, kept) = (pages & !KEPT, pages & KEPT != 0);
                let freed = word >> 24 & FREED_MASK;
                match word & HOLE {
                    0 => Run::Free { pages, freed, kept },
                    _ => Run::Hole { pages, freed },
                }
            }
        }
    }

    /// Packs a descriptor.
    #[inline(always)]
    pub fn encode(self) -> u64 {
        match self {
            Run::Inside { back } => u64::from(back) << 2,
            Run::Log { pages, live, used, kept } => {
                let kept = if kept { LOG_KEPT } else { 0 };
                1 | u64::from(pages) << 2 | u64::from(live) << 24 | u64::from(used) << 38 | kept
            }
            Run::Large { pages } => 2 | u64::from(pages) << 2,
            Run::Free { pages, freed, kept } => {
                let pages = if kept { pages | KEPT } else { pages };
                3 | u64::from(pages) << 2 | (freed & FREED_MASK) << 24
            }
            Run::Hole { pages, freed } => {
                3 | u64::from(pages) << 2 | (freed & FREED_MASK) << 24 | HOLE
            }
        }
    }

    /// Whether the run is free and must not be used yet.
    #[inline(always)]
    pub fn is_held(self, place: Place<'_>) -> bool {
        matches!(self, Run::Free { freed, kept: true, .. } if quarantine::holds_run(place, freed))
    }

    /// Pages of the run; 0 where none starts.
    pub fn pages(self) -> u32 {
        match self {
            Run::Inside { .. } => 0,
            Run::Log { pages, .. }
            | Run::Large { pages }
            | Run::Free { pages, .. }
            | Run::Hole { pages, .. } => pages,
        }
    }
}

/// The run that starts at a page, as it will be after the commit.
#[inline(always)]
pub fn at(intent: &Intent<'_>, place: Place<'_>, page: u32) -> Run {
    if page >= place.limits().0 {
        // Its descriptor may not be real.
        return Run::Inside { back: 0 };
    }
    Run::decode(intent.get(place.descriptor_offset(page)))
}

/// Will describe the run that starts at a page.
#[inline(always)]
pub fn set(intent: &mut Intent<'_>, place: Place<'_>, page: u32, run: Run) {
    intent.set(place.descriptor_offset(page), run.encode());
}

/// The log run that holds a reference: its first page, and its live and used units.
#[inline(always)]
pub fn log_of(
    intent: &Intent<'_>,
    place: Place<'_>,
    reference: u32,
) -> Result<(u32, Run), OpError> {
    let damaged = || place.corrupt(place.unit_offset(reference), "record outside of a log run");
    let page = place.unit_page(reference).ok_or_else(damaged)?;
    if page >= tops(intent, place).0 {
        return Err(damaged());
    }
    let (first, run) = match at(intent, place, page) {
        Run::Inside { back } if back > 0 && back <= page => {
            (page - back, at(intent, place, page - back))
        }
        run => (page, run),
    };
    match run {
        Run::Log { pages, .. } if page - first < pages => Ok((first, run)),
        _ => Err(damaged()),
    }
}

/// What a search found: free pages in a row.
pub struct Found {
    /// The first.
    pub page: u32,
    /// How many of them to take.
    pub pages: u32,
    /// How many of these are holes.
    pub holes: u32,
    /// The latest freeing among them.
    freed: u64,
    /// What is left of the last run.
    rest: Option<Run>,
}

/// Takes pages of free runs that are no holes, if the next search finds enough in a row: the first
/// one and how many.
pub fn take_free(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    (least, most): (u32, u32),
    all: &mut bool,
) -> Option<(u32, u32)> {
    let found = search(intent, place, (least, most), false, all)?;
    Some(take_found(intent, place, found))
}

/// Takes what a search found: the first page and how many. Holes among it MUST be real by now.
pub fn take_found(intent: &mut Intent<'_>, place: Place<'_>, found: Found) -> (u32, u32) {
    let Found { page, pages, holes, freed, rest } = found;
    if freed > place.load(Field::Reused) {
        place.store(Field::Reused, freed);
    }
    if let Some(rest) = rest {
        set(intent, place, page + pages, rest);
    }
    let (_, sparse) = unpair(intent.field(Field::Rotors));
    lower(intent, Field::FreePages, pages);
    if holes > 0 {
        lower(intent, Field::Holes, holes);
    }
    intent.set_field(Field::Rotors, pair(page + pages, sparse));
    (page, pages)
}

fn lower(intent: &mut Intent<'_>, field: Field, by: u32) {
    intent.change_field(field, |value| value.saturating_sub(by.into()));
}

/// Takes fresh pages from the top, `most` or else `least`: the first one and how many.
pub fn take_fresh<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    least: u32,
    most: u32,
) -> Result<(u32, u32), OpError> {
    let (top, index) = tops(intent, memory.place);
    let need = |pages: u32| memory.need_records(top.saturating_add(pages)).map(|()| pages);
    let pages = match need(most) {
        Err(OpError::NoSpace { .. }) if least < most => need(least),
        other => other,
    }?;
    intent.set_field(Field::Tops, pair(top + pages, index));
    Ok((top, pages))
}

/// Will make taken pages a log run whose first `units` units are live.
pub fn open_log(intent: &mut Intent<'_>, place: Place<'_>, page: u32, pages: u32, units: u32) {
    for back in 1..pages {
        set(intent, place, page + back, Run::Inside { back });
    }
    set(intent, place, page, Run::Log { pages, live: units, used: units, kept: false });
}

/// Record and index pages handed out so far, as they will be after the commit; never beyond the
/// limits, whatever the header says.
#[inline(always)]
pub fn tops(intent: &Intent<'_>, place: Place<'_>) -> (u32, u32) {
    let (top, index) = unpair(intent.field(Field::Tops));
    let (records, index_pages) = place.limits();
    (top.min(records), index.min(index_pages))
}

/// At least `least` free pages in a row, found by next fit; neighbouring free runs, and
/// `with_holes` also holes, count as one up to `most`. `all` stays true if there are none, and not
/// only none near.
pub fn search(
    intent: &Intent<'_>,
    place: Place<'_>,
    (least, most): (u32, u32),
    with_holes: bool,
    all: &mut bool,
) -> Option<Found> {
    if intent.field(Field::FreePages) < u64::from(least) {
        return None;
    }
    let (top, _) = tops(intent, place);
    let (rotor, sparse) = unpair(intent.field(Field::Rotors));
    let mut page = if rotor < top { rotor } else { 0 };
    let mut found = Found { page, pages: 0, holes: 0, freed: 0, rest: None };
    // All pages, and those again among which a run may lie that began before the first.
    let (mut passed, end) = (0, top.saturating_add(most));
    for _ in 0..SEARCH_RUNS {
        if passed > end {
            return None;
        }
        let run = at(intent, place, page);
        passed = passed.saturating_add(run.pages().max(1));
        let free = match run {
            Run::Free { freed, .. } if !run.is_held(place) => Some(freed),
            Run::Hole { freed, .. } if with_holes => Some(freed),
            _ => None,
        };
        if let Some(freed) = free {
            if found.pages == 0 {
                found = Found { page, pages: 0, holes: 0, freed: 0, rest: None };
            }
            found.freed = found.freed.max(freed);
            found.pages += run.pages();
            if matches!(run, Run::Hole { .. }) {
                found.holes += run.pages();
            }
        }
        page += run.pages();
        let ends = free.is_none() || page >= top;
        let enough = found.pages >= most || ends && found.pages >= least;
        if enough && found.page + found.pages <= top {
            return Some(found.at_most(most, run));
        }
        if ends {
            found.pages = 0;
        }
        // At the end, or where no run starts, the walk begins anew.
        if page >= top || run.pages() == 0 {
            page = 0;
        }
    }
    // The next search goes on where this one ended. A cursor: stored at once, outside of intents.
    place.store(Field::Rotors, pair(page, sparse));
    *all = false;
    None
}

impl Found {
    /// Leaves what is more than `most` in the last run.
    fn at_most(mut self, most: u32, last: Run) -> Found {
        let more = self.pages.saturating_sub(most);
        if more > 0 {
            let freed = self.freed;
            self.pages = most;
            self.rest = Some(match last {
                Run::Hole { .. } => {
                    self.holes -= more;
                    Run::Hole { pages: more, freed }
                }
                _ => Run::Free { pages: more, freed, kept: false },
            });
        }
        self
    }
}

/// Will free a run. MUST be entered into the intent after the slot and the version that take
/// the record away: a reader that finds the slot unchanged after it loaded `retired` relies on the
/// run getting a larger number. `kept`: a record in it may have to be kept for a crash of the
/// machine.
pub fn free(intent: &mut Intent<'_>, place: Place<'_>, page: u32, pages: u32, kept: bool) {
    let freed = intent.field(Field::Retired).wrapping_add(1);
    intent.set_field(Field::Retired, freed);
    set(intent, place, page, Run::Free { pages, freed, kept });
    intent.change_field(Field::FreePages, |free| free.wrapping_add(pages.into()));
}
