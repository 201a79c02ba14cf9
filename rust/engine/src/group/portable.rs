//! Tag comparison in plain integer arithmetic: the reference that the others are tested against.

use super::{SLOTS, SlotSet};

/// The slots whose tag, access bit aside, equals `tag`; with tag 0, the empty slots.
#[inline(always)]
pub fn matching(low: u64, high: u64, tag: u8) -> SlotSet {
    let mut set = 0;
    for slot in 0..SLOTS {
        let word = if slot < 8 { low } else { high };
        let found = (word >> (slot % 8 * 8)) as u8 & 0x7f;
        set |= u16::from(found == tag) << slot;
    }
    SlotSet(set)
}
