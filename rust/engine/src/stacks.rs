//! Stacks: for each size class its free blocks, to be used again last in, first out.
//!
//! ```text
//! stack, half word, bits   0     3                      32
//!                          | len | chunk plus one       |    one a class, in the shard header
//!
//! chunk, half words        0       1                    8
//!                          | below | 7 x reference      |    32 bytes, between the descriptors
//!
//! below, bits              0                 25         32
//!                          | chunk plus one  | class    |    the next chunk down; 0: none
//! ```
//!
//! The top chunk has `len` references, none when it has just been emptied, and those below it are
//! full. Chunks that no stack has are a stack of their own, with `NO_CLASS`, and chunks that none
//! ever had follow those that one had. For eight pages of records there are two chunks, up to
//! `CHUNKS_MAX`: when blocks are so small or so many that these do not suffice, the next one stays
//! dead in its run, until the run is empty or evacuated, or a sweep finds it.
//!
//! Stacks are a cache of free memory, not the truth about it. What the intent of a put or delete
//! does, it does to them as well; what else they need (`descend`, `purge`, ...) is done at once, by
//! several stores: after a death all of them are emptied.
//!
//! Invariants, while the lock is free and its last owner lives:
//! - each chunk that was ever taken lies in one stack, and says of which class
//! - a block in a stack is a free block of its class, in a log run that is not being emptied, and
//!   lies there once

use crate::class::{self, CLASSES};
use crate::growth;
use crate::intent::Intent;
use crate::place::{Field, Place, pair, unpair};
use crate::quarantine;
use crate::record::Record;
use crate::run::{self, Run};
use hashbrown::HashSet;
use shf_base::atomic::Half;
use shf_base::atomic::Ordering::{Relaxed, Release};
use std::ops::Range;

/// References in a chunk.
const ENTRIES: u32 = 7;
const LEN_BITS: u32 = 3;
const CHUNK_BITS: u32 = 25;
const CHUNK_MASK: u32 = (1 << CHUNK_BITS) - 1;
/// Most chunks of a shard: what `purge` looks at is bounded. They hold 7168 blocks, more than the
/// sizes of 400,000 records in a shard go up and down by.
const CHUNKS_MAX: u32 = 1024;
/// What chunks say that no stack has.
const NO_CLASS: u32 = CLASSES as u32;
const _: () = assert!(ENTRIES < 1 << LEN_BITS && NO_CLASS < 1 << (32 - CHUNK_BITS));
/// Larger classes that a block to split is looked for in.
const LARGER_CLASSES: usize = 16;

/// The top of a stack.
#[derive(Clone, Copy)]
struct Top {
    /// The chunk plus one; 0: the stack has none.
    chunk: u32,
    /// References in it.
    len: u32,
}

impl Top {
    #[inline(always)]
    fn decode(word: u32) -> Top {
        Top { chunk: word >> LEN_BITS, len: word & ENTRIES }
    }

    #[inline(always)]
    fn encode(self) -> u32 {
        self.chunk << LEN_BITS | self.len
    }

    #[inline(always)]
    fn lowered(self) -> Top {
        Top { len: self.len - 1, ..self }
    }
}

/// A block on top of its stack, and the log run that it lies in.
struct Candidate {
    reference: u32,
    page: u32,
    run: Run,
    top: Top,
}

/// Starts to fetch the block that lies `depth` below the top of a stack, as far as one chunk
/// reaches, and what describes its run; whether there is one on top. A guess, made without the
/// lock.
#[inline(always)]
pub fn prefetch(place: Place<'_>, class: usize, depth: u32) -> bool {
    let Some(stack) = stack(place, class) else { return false };
    let mut top = Top::decode(stack.load(Relaxed));
    if top.len == 0
        && top.chunk != 0
        && let Some(link) = link(place, top.chunk)
    {
        top = below(link.load(Relaxed));
    }
    let entry = top.len.checked_sub(depth + 1).and_then(|entry| reference(place, top.chunk, entry));
    if let Some(entry) = entry {
        let reference = entry.load(Relaxed);
        if let Some(page) = place.unit_page(reference) {
            Record::prefetch(&place, reference);
            place.region().prefetch(place.descriptor_offset(page));
        }
    }
    top.len > 0
}

/// Takes the block that was retired last, if there is one, and counts it live. MUST come before
/// the intent pushes any.
#[inline(always)]
pub fn pop(intent: &mut Intent<'_>, place: Place<'_>, class: usize) -> Option<u32> {
    let Candidate { reference, page, run, top } = top(intent, place, class)?;
    intent.set_half(place.stack_offset(class), top.lowered().encode());
    count_live(intent, place, page, run, class::units(class));
    Some(reference)
}

/// The classes of blocks that may be split for one of a class.
fn larger(class: usize) -> Range<usize> {
    class + 1..(class + 1 + LARGER_CLASSES).min(CLASSES)
}

/// Whether a block of a class is good for a record of another one: for its own class as it is, for
/// smaller ones when it is split.
pub fn serves(block: usize, class: usize) -> bool {
    block == class || larger(class).contains(&block)
}

/// Takes a block of a larger class and splits it: the front for `class`, counted live, and the
/// rest, of at least `rest_min` units, as a dead block of its own; or as a gap, if it is one unit,
/// which no class has. MUST come before the intent pushes any.
#[cold]
#[inline(never)]
pub fn pop_larger(
    intent: &mut Intent<'_>,
    place: Place<'_>,
    class: usize,
    rest_min: u32,
) -> Option<u32> {
    let units = class::units(class);
    for larger in larger(class) {
        let rest = class::units(larger) - units;
        if rest < rest_min {
            continue;
        }
        if let Some(Candidate { reference, page, run, top }) = top(intent, place, larger) {
            // At once, because its size changes at once: the intent may be forgotten.
            stack(place, larger)?.store(top.lowered().encode(), Release);
            count_live(intent, place, page, run, units);
            let (block, rest_class) = (reference + units, class::of_bytes(u64::from(rest) * 8));
            // The rest is a block before the front changes its size: runs can always be walked.
            if class::units(rest_class) == rest {
                Record::write_free(place, block, rest_class);
                push(intent, place, rest_class, block);
            } else {
                Record::write_gap(place, block, rest);
            }
            return Some(reference);
        }
    }
    None
}

/// The top of a stack, if it is a good one. One that is not is dropped, at once.
#[inline(always)]
fn top(intent: &Intent<'_>, place: Place<'_>, class: usize) -> Option<Candidate> {
    let stack = stack(place, class)?;
    let mut top = Top::decode(stack.load(Relaxed));
    if top.len == 0 {
        if top.chunk == 0 {
            return None;
        }
        top = descend(place, class, top)?;
    }
    let reference = reference(place, top.chunk, top.len - 1)?.load(Relaxed);
    let units = class::units(class);
    if let Ok((page, run)) = run::log_of(intent, place, reference)
        && let Run::Log { live, used, .. } = run
        && reference - place.page_unit(page) + units <= used
        && live + units <= used
    {
        return Some(Candidate { reference, page, run, top });
    }
    stack.store(top.lowered().encode(), Release);
    None
}

/// Goes on with the chunk below an empty one, if there is one; no stack has that one from then on.
/// At once. Each chunk is left once, whatever they say: one that no stack has is none of this
/// class.
#[cold]
#[inline(never)]
fn descend(place: Place<'_>, class: usize, top: Top) -> Option<Top> {
    let link = link(place, top.chunk)?;
    let said = link.load(Relaxed);
    if said >> CHUNK_BITS != class as u32 {
        return None;
    }
    let next = below(said);
    stack(place, class)?.store(next.encode(), Release);
    let (free, taken) = unpair(place.load(Field::Chunks));
    link.store(free & CHUNK_MASK | NO_CLASS << CHUNK_BITS, Release);
    place.store(Field::Chunks, pair(top.chunk, taken));
    (next.chunk != 0).then_some(next)
}

#[inline(always)]
fn count_live(intent: &mut Intent<'_>, place: Place<'_>, page: u32, run: Run, units: u32) {
    if let Run::Log { pages, live, used, kept } = run {
        run::set(intent, place, page, Run::Log { pages, live: live + units, used, kept });
    }
    quarantine::lower_dead(intent, place, units);
}

/// Will keep a retired block for its class, if there is a chunk for it.
#[inline(always)]
pub fn push(intent: &mut Intent<'_>, place: Place<'_>, class: usize, block: u32) {
    let at = place.stack_offset(class);
    let mut top = Top::decode(intent.get_half(at));
    if top.chunk == 0 || top.len == ENTRIES {
        let Some(chunk) = add_chunk(intent, place, class, top) else { return };
        top = Top { chunk, len: 0 };
    }
    let Some(entry) = entry_offset(place, top.chunk, top.len) else { return };
    intent.set_half(entry, block);
    intent.set_half(at, Top { len: top.len + 1, ..top }.encode());
}

/// Will put a chunk on a stack: its number plus one.
#[cold]
#[inline(never)]
fn add_chunk(intent: &mut Intent<'_>, place: Place<'_>, class: usize, top: Top) -> Option<u32> {
    let (free, taken) = unpair(intent.field(Field::Chunks));
    let chunk = if free != 0 {
        let rest = below(link(place, free)?.load(Relaxed)).chunk;
        intent.set_field(Field::Chunks, pair(rest, taken));
        free
    } else if taken < chunks(place) {
        intent.set_field(Field::Chunks, pair(0, taken + 1));
        taken + 1
    } else {
        take_empty(intent, place)?
    };
    let at = offset(place, chunk)?;
    intent.set_half(at, top.chunk & CHUNK_MASK | (class as u32) << CHUNK_BITS);
    Some(chunk)
}

/// Will take an empty chunk from the stack that has it: its number plus one.
#[cold]
#[inline(never)]
fn take_empty(intent: &mut Intent<'_>, place: Place<'_>) -> Option<u32> {
    let is_empty = |word: u32| word != 0 && Top::decode(word).len == 0;
    let at = (0..CLASSES).find_map(|class| {
        let at = place.stack_offset(class);
        let empty = stack(place, class).is_some_and(|stack| is_empty(stack.load(Relaxed)));
        (empty && is_empty(intent.get_half(at))).then_some(at)
    })?;
    let Top { chunk, .. } = Top::decode(intent.get_half(at));
    let next = below(link(place, chunk)?.load(Relaxed));
    intent.set_half(at, next.encode());
    Some(chunk)
}

/// Keeps a dead block that is in no stack, at once; whether there is a chunk for it.
pub fn refill(place: Place<'_>, class: usize, block: u32) -> bool {
    let mut intent = Intent::begin(place);
    push(&mut intent, place, class, block);
    !intent.is_empty() && intent.commit().is_ok()
}

/// Whether nothing is in a stack.
pub fn is_empty(place: Place<'_>, class: usize) -> bool {
    let top = stack(place, class).map_or(0, |stack| stack.load(Relaxed));
    let Top { chunk, len } = Top::decode(top);
    len == 0 && link(place, chunk).is_none_or(|link| below(link.load(Relaxed)).chunk == 0)
}

/// Empties all stacks, at once.
pub fn clear(place: Place<'_>) {
    for class in 0..CLASSES {
        if let Some(stack) = stack(place, class) {
            stack.store(0, Release);
        }
    }
    place.store(Field::Chunks, 0);
}

/// Drops all blocks that lie in `units` units from `start` on, at once: the last one of their stack
/// takes the place of each.
pub fn purge(place: Place<'_>, start: u32, units: u32) {
    for chunk in 1..=taken(place) {
        let at = place.chunk_offset(chunk - 1);
        let Some(line) = place.region().line(at - at % 64) else { continue };
        let first = (at % 64 / 4) as usize;
        for entry in 0..ENTRIES {
            let half = line.half(first + 1 + entry as usize);
            while half.load(Relaxed).wrapping_sub(start) < units
                && drop_entry(place, chunk, entry, half)
            {}
        }
    }
}

/// Drops a reference in a chunk; false when it is none, but left there.
#[cold]
#[inline(never)]
fn drop_entry(place: Place<'_>, chunk: u32, entry: u32, half: Half<'_>) -> bool {
    let class = link(place, chunk).map_or(NO_CLASS, |link| link.load(Relaxed) >> CHUNK_BITS);
    let Some(stack) = stack(place, class as usize) else { return false };
    let mut top = Top::decode(stack.load(Relaxed));
    if top.chunk == chunk && entry >= top.len {
        return false;
    }
    if top.len == 0 {
        let Some(next) = descend(place, class as usize, top) else { return false };
        top = next;
    }
    let Some(last) = reference(place, top.chunk, top.len - 1) else { return false };
    half.store(last.load(Relaxed), Release);
    stack.store(top.lowered().encode(), Release);
    true
}

/// The half word of a class's stack; `None` where there is no such class.
#[inline(always)]
fn stack(place: Place<'_>, class: usize) -> Option<Half<'_>> {
    if class < CLASSES { place.region().half(place.stack_offset(class)) } else { None }
}

/// File offset of a chunk, if it lies in committed pages; its number plus one is given.
#[inline(always)]
fn offset(place: Place<'_>, chunk: u32) -> Option<u64> {
    let chunk = chunk.checked_sub(1).filter(|chunk| *chunk < chunks(place))?;
    Some(place.chunk_offset(chunk))
}

/// File offset of a reference in such a chunk.
#[inline(always)]
fn entry_offset(place: Place<'_>, chunk: u32, entry: u32) -> Option<u64> {
    Some(offset(place, chunk)? + 4 * (1 + u64::from(entry)))
}

/// The top of a stack of which the chunk on top is taken away, by what that one says.
#[inline(always)]
fn below(link: u32) -> Top {
    let chunk = link & CHUNK_MASK;
    Top { chunk, len: if chunk == 0 { 0 } else { ENTRIES } }
}

/// What such a chunk says of itself: its first half word.
#[inline(always)]
fn link(place: Place<'_>, chunk: u32) -> Option<Half<'_>> {
    place.region().half(offset(place, chunk)?)
}

/// A reference in such a chunk.
#[inline(always)]
fn reference(place: Place<'_>, chunk: u32, entry: u32) -> Option<Half<'_>> {
    place.region().half(entry_offset(place, chunk, entry)?)
}

/// Chunks that stacks may have.
#[inline(always)]
fn chunks(place: Place<'_>) -> u32 {
    growth::chunks(place).min(CHUNKS_MAX)
}

/// Chunks that stacks have or had.
fn taken(place: Place<'_>) -> u32 {
    unpair(place.load(Field::Chunks)).1.min(chunks(place))
}

/// Shows all references, with their class, and names the file offset of what is wrong with the
/// chunks.
pub fn check(
    place: Place<'_>,
    mut waiting: impl FnMut(usize, u32),
    mut wrong: impl FnMut(u64, String),
) {
    let (free, most) = unpair(place.load(Field::Chunks));
    let mut seen = HashSet::new();
    let tops = (0..CLASSES).map(|class| {
        let top = stack(place, class).map_or(0, |stack| stack.load(Relaxed));
        (class, Top::decode(top), place.stack_offset(class))
    });
    let unused = Top { chunk: free, len: 0 };
    for (class, mut top, at) in tops.chain([(CLASSES, unused, place.field_offset(Field::Chunks))]) {
        if top.chunk == 0 && top.len > 0 {
            wrong(at, format!("{} free blocks in no chunk", top.len));
        }
        while top.chunk != 0 {
            let link = link(place, top.chunk).filter(|_| top.chunk <= most);
            let said = link.map(|link| link.load(Relaxed));
            let Some(link) = said.filter(|said| said >> CHUNK_BITS == class as u32) else {
                wrong(at, format!("chunk {} of class {class} says {said:x?}", top.chunk));
                break;
            };
            if !seen.insert(top.chunk) {
                wrong(at, format!("chunk {} of class {class} is in two stacks", top.chunk));
                break;
            }
            for entry in 0..top.len {
                if let Some(reference) = reference(place, top.chunk, entry) {
                    waiting(class, reference.load(Relaxed));
                }
            }
            top = below(link);
            if class == CLASSES {
                top.len = 0;
            }
        }
    }
    if seen.len() as u64 != u64::from(most) {
        let what = format!("{} chunks in stacks, the header says {most}", seen.len());
        wrong(place.field_offset(Field::Chunks), what);
    }
}
