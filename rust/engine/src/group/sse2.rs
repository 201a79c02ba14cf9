//! Tag comparison with SSE2, which every x86-64 processor has.
#![allow(unsafe_code)]

use super::SlotSet;
use std::arch::x86_64::{
    _mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8,
};

/// The slots whose tag, access bit aside, equals `tag`; with tag 0, the empty slots.
#[inline(always)]
pub fn matching(low: u64, high: u64, tag: u8) -> SlotSet {
    // SAFETY: SSE2 is part of the target (see the cfg of this module).
    let mask = unsafe {
        let tags = _mm_and_si128(_mm_set_epi64x(high as i64, low as i64), _mm_set1_epi8(0x7f));
        _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8)))
    };
    SlotSet((mask & 0xfff) as u16)
}
