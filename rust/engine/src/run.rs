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
//!     | 0  | pages back to the first |              inside of a log run; 0: never used
//! ```
//!
//! `retired` counts the large runs freed, in a durable map all runs. A run that is used again raises `reused` to the number
//! that its freeing had, before its first byte changes: a reader that noted `retired`, then saw its
//! slot unchanged, and after its copy finds `reused` no larger, copied bytes that nobody had
//! reused.

use crate::growth::Memory;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::quarantine;
use shf_base::error::OpError;

/// Runs that one search looks at.
const SEARCH_RUNS: usize = 256;
/// Searches before a map that may not grow answers that there is no space.
const LAST_SEARCHES: usize = 64;

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
        /// The number of its freeing, 40 bits.
        freed: u64,
        /// Whether something in it may have to be kept for a crash of the machine.
        kept: bool,
    },
}

const PAGES_MASK: u64 = (1 << 22) - 1;
const UNITS_MASK: u64 = (1 << 14) - 1;
/// The bit of a log run that says so.
const LOG_KEPT: u64 = 1 << 52;
/// That of a free run: the highest bit of a number of pages, which no window needs.
const KEPT: u32 = 1 << 21;

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
            _ => Run::Free { pages: pages & !KEPT, freed: word >> 24, kept: pages & KEPT != 0 },
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
                3 | u64::from(pages) << 2 | freed << 24
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
            Run::Log { pages, .. } | Run::Large { pages } | Run::Free { pages, .. } => pages,
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

/// Takes contiguous pages: as many as a free run has, from `least` to `most`, found by next fit, or
/// else `most` fresh ones from the top, or else `least`. Returns the first and how many.
pub fn take<'m>(
    intent: &mut Intent<'m>,
    memory: Memory<'m>,
    least: u32,
    most: u32,
) -> Result<(u32, u32), OpError> {
    let place = memory.place;
    if let Some(taken) = take_free(intent, place, least, most) {
        return Ok(taken);
    }
    let (top, index) = tops(intent, place);
    let need = |pages: u32| memory.need_records(top.saturating_add(pages)).map(|()| pages);
    let pages = match need(most) {
        Err(OpError::NoSpace { .. }) if least < most => need(least),
        other => other,
    };
    match pages {
        Ok(pages) => {
            intent.set_field(Field::Tops, pair(top + pages, index));
            Ok((top, pages))
        }
        // The map may not grow: now a longer search is worth it.
        Err(OpError::NoSpace { needed_bytes, max_bytes }) => (0..LAST_SEARCHES)
            .find_map(|_| take_free(intent, place, least, most))
            .ok_or(OpError::NoSpace { needed_bytes, max_bytes }),
        Err(other) => Err(other),
    }
}

/// Takes pages of free runs, if the next search finds enough in a row.
pub fn take_free(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    least: u32,
    most: u32,
) -> Option<(u32, u32)> {
    let free = intent.field(Field::FreePages);
    if free < u64::from(least) {
        return None;
    }
    let (start, len, freed) = search(intent, place, least, most)?;
    let pages = len.min(most);
    if freed > place.load(Field::Reused) {
        place.store(Field::Reused, freed);
    }
    if len > pages {
        let rest = Run::Free { pages: len - pages, freed, kept: false };
        set(intent, place, start + pages, rest);
    }
    let (_, sparse) = unpair(intent.field(Field::Rotors));
    intent.set_field(Field::FreePages, free - u64::from(pages).min(free));
    intent.set_field(Field::Rotors, pair(start + pages, sparse));
    Some((start, pages))
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
pub fn tops(intent: &Intent<'_>, place: Place<'_>) -> (u32, u32) {
    let (top, index) = unpair(intent.field(Field::Tops));
    let (records, index_pages) = place.limits();
    (top.min(records), index.min(index_pages))
}

/// At least `least` free pages in a row, found by next fit; neighbouring free runs count as one up
/// to `most`. First page, number, and the latest freeing among them.
fn search(intent: &Intent<'_>, place: Place<'_>, least: u32, most: u32) -> Option<(u32, u32, u64)> {
    let (top, _) = tops(intent, place);
    let (rotor, sparse) = unpair(intent.field(Field::Rotors));
    let mut page = if rotor < top { rotor } else { 0 };
    let (mut start, mut len, mut latest) = (page, 0, 0);
    for _ in 0..SEARCH_RUNS {
        let run = at(intent, place, page);
        let mut ends = true;
        if let Run::Free { pages, freed, .. } = run
            && !run.is_held(place)
        {
            latest = if len == 0 { freed } else { latest.max(freed) };
            start = if len == 0 { page } else { start };
            len += pages;
            ends = false;
        }
        page += run.pages();
        ends |= page >= top;
        if (len >= most || ends && len >= least) && start + len <= top {
            return Some((start, len, latest));
        }
        if ends {
            len = 0;
        }
        // At the end, or where no run starts, the walk begins anew.
        if page >= top || run.pages() == 0 {
            page = 0;
        }
    }
    // The next search goes on where this one ended. A cursor: stored at once, outside of intents.
    place.store(Field::Rotors, pair(page, sparse));
    None
}

/// Will free a log run in which nothing is live. Its number is that of the last large run freed:
/// readers of small records rely on versions, so it need not be told apart. In a durable map it gets
/// a number of its own, and a record in it may have to be kept.
pub fn free_log(intent: &mut Intent<'_>, place: Place<'_>, page: u32, pages: u32, kept: bool) {
    if place.is_durable() {
        return free_large(intent, place, page, pages, kept);
    }
    let freed = intent.field(Field::Retired);
    free(intent, place, page, Run::Free { pages, freed, kept: false });
}

/// Will free a large run. MUST be entered into the intent after the slot and the version that take
/// the record away: a reader that finds the slot unchanged after it loaded `retired` relies on the
/// run getting a larger number. `kept`: the record may have to be kept for a crash of the machine.
pub fn free_large(intent: &mut Intent<'_>, place: Place<'_>, page: u32, pages: u32, kept: bool) {
    let freed = intent.field(Field::Retired).wrapping_add(1);
    intent.set_field(Field::Retired, freed);
    free(intent, place, page, Run::Free { pages, freed, kept });
}

fn free(intent: &mut Intent<'_>, place: Place<'_>, page: u32, run: Run) {
    set(intent, place, page, run);
    let free = intent.field(Field::FreePages).wrapping_add(run.pages().into());
    intent.set_field(Field::FreePages, free);
}
