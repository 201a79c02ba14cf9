//! Closing a map that was built: what was made real ahead, and not used, goes back.
//!
//! These are pages that nobody can be looking at, since nothing ever referred to them: those beyond
//! the tops, and those at the end of the run that new records go to, if that is the last one. Where
//! runs were freed, or index pages vacated, or the shard was repaired, it is not known which pages
//! are like that; there, other ways of giving back are at work (`holes`, `index_pages`).

use crate::arena;
use crate::growth::Memory;
use crate::intent::Intent;
use crate::lock;
use crate::map::Map;
use crate::place::{Field, pair};
use crate::run::{self, Run};
use shf_base::atomic::Ordering::Relaxed;
use shf_base::error::OpError;
use shf_base::geometry::{PAGE_BYTES, PAGE_UNITS};

impl Map {
    /// Gives back the real memory that the shards have taken ahead and never used: some pages of
    /// each. Returns its bytes. Nobody waits: shards that somebody is writing to are left alone.
    /// The next puts take it anew. Closing the handle that a map was created with does this, so
    /// that a map that was built, and is only read from then on, is no larger than it needs to be
    /// (`freeze` makes it as small as it can be).
    ///
    /// Errors: `ReadOnly`; `TooManyProcesses` and `System` in a forked child.
    pub fn trim(&self) -> Result<u64, OpError> {
        let presence = self.writer()?;
        let mut pages = 0;
        for place in self.places() {
            if let Some(locked) = lock::lock_at_rest(self.memory(place), presence)? {
                pages += trim(locked.memory)?;
            }
        }
        Ok(pages * PAGE_BYTES)
    }
}

/// Gives back the pages of a shard that nobody has ever used; how many. The caller holds the lock
/// and nothing is pending.
fn trim(memory: Memory<'_>) -> Result<u64, OpError> {
    let place = memory.place;
    let counts = [Field::Retired, Field::Vacated, Field::Repairs];
    if counts.into_iter().any(|count| place.load(count) != 0) || !memory.storage.has_file() {
        return Ok(0);
    }
    // Nobody else changes it under the lock, as they do those of other shards.
    let ledger = || place.ledger(place.shard()).load(Relaxed);
    let before = ledger();
    let mut intent = Intent::begin(place);
    let (top, index) = run::tops(&intent, place);
    if let Some((page, Run::Log { pages, live, used, kept })) = arena::head(&intent, place)
        && page + pages == top
    {
        let needed = used.div_ceil(PAGE_UNITS as u32).max(1).min(pages.max(1));
        run::set(&mut intent, place, page, Run::Log { pages: needed, live, used, kept });
        intent.set_field(Field::Tops, pair(page + needed, index));
        intent.commit()?;
    }
    memory.lower_to_tops();
    Ok(before.saturating_sub(ledger()))
}
