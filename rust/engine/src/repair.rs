//! Repair of a shard whose last owner died or panicked in the middle of a mutation.
//!
//! All that a mutation changes behind a reader's back is in its intent, so repair makes the
//! intent's stores again, empties the stacks, whose blocks may be half written, gives back pages
//! that were made real and not yet counted, and is done:
//! its cost is bounded by the intent, whatever the size of the shard. Killed in the middle, it is
//! made again from the start by the next locker, with the same result.

use crate::growth::Memory;
use crate::holes;
use crate::intent;
use crate::place::Field;
use crate::rebuild;
use crate::stacks;
use shf_base::error::OpError;
use shf_base::robust_mutex::Guard;

/// Repairs the shard; the suspicion is cleared last.
#[cold]
pub fn repair(memory: Memory<'_>, guard: &Guard<'_>) -> Result<(), OpError> {
    if rebuild::is_unfinished(memory.place) {
        return rebuild::shard(memory, guard).map(drop);
    }
    intent::replay(memory.place)?;
    stacks::clear(memory.place);
    memory.settle();
    holes::settle(memory);
    memory.place.store(Field::Repairs, memory.place.load(Field::Repairs).wrapping_add(1));
    guard.clear_suspect();
    Ok(())
}
