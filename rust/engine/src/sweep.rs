//! Sweeping: finding dead blocks again that are in no stack, when memory has run out.
//!
//! The blocks of a log run follow each other (`block`), and a free one says so. So when neither a
//! stack nor a run has room and the map may not grow, a bounded walk over the next runs refills the
//! stack of the class that is asked for.

use crate::block;
use crate::intent::Intent;
use crate::place::{Field, Place};
use crate::quarantine;
use crate::run::{self, Run};
use crate::stacks;

/// Runs that one sweep looks at, at most.
const RUNS: usize = 64;
/// Blocks that it looks at, roughly.
const BLOCKS: u32 = 4096;

/// Refills the empty stack of a class; whether anything was found.
#[cold]
pub fn sweep(intent: &Intent<'_>, place: Place<'_>, wanted: usize) -> bool {
    let (top, _) = run::tops(intent, place);
    if top == 0 || !stacks::is_empty(place, wanted) {
        return false;
    }
    let victim = intent.field(Field::Evacuation) as u32;
    let rotor = place.load(Field::Sweep) as u32;
    let begin = if rotor < top { rotor } else { 0 };
    let (mut page, mut end, mut found, mut blocks) = (begin, top, false, 0);
    for _ in 0..RUNS {
        if page >= end {
            break;
        }
        let run = run::at(intent, place, page);
        if let Run::Log { live, used, .. } = run
            && page + 1 != victim
            && live < used
        {
            let (some, looked) = sweep_run(place, page, used, wanted);
            found |= some;
            blocks += looked;
            if found && blocks > BLOCKS {
                break;
            }
        }
        let next = page.saturating_add(run.pages());
        page = next;
        if run.pages() == 0 || next >= top {
            // No block is looked at twice: it would be on its stack twice.
            (page, end) = (0, if end == top { begin } else { 0 });
        }
    }
    place.store(Field::Sweep, page.into());
    found
}

/// Offers the free blocks of one run to the stack: whether there were any, and how many blocks it
/// looked at.
fn sweep_run(place: Place<'_>, page: u32, used: u32, wanted: usize) -> (bool, u32) {
    let (mut found, mut looked, mut at) = (false, 0, 0);
    while at < used {
        let Some(block) = block::at(&place, place.page_unit(page) + at) else { break };
        looked += 1;
        at += block.units;
        let good = at <= used && block.is_free() && block.class() == Some(wanted);
        if good && !quarantine::holds_block(place, block.reference) {
            if !stacks::refill(place, wanted, block.reference) {
                return (found, BLOCKS + 1);
            }
            found = true;
        }
    }
    (found, looked)
}
