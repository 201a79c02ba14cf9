//! Tag comparison with NEON, which every aarch64 processor has.
#![allow(unsafe_code)]

use super::SlotSet;
use std::arch::aarch64::{
    vand_u8, vceq_u8, vcreate_u8, vdup_n_u8, vget_lane_u64, vreinterpret_u64_u8,
};

/// The slots whose tag, access bit aside, equals `tag`; with tag 0, the empty slots.
#[inline(always)]
pub fn matching(low: u64, high: u64, tag: u8) -> SlotSet {
    SlotSet(half(low, tag) | (half(high, tag) & 0xf) << 8)
}

/// One bit for each of the eight tags in `word` that equals `tag`.
#[inline(always)]
fn half(word: u64, tag: u8) -> u16 {
    // SAFETY: NEON is part of every aarch64 target.
    let equal = unsafe {
        let tags = vand_u8(vcreate_u8(word), vdup_n_u8(0x7f));
        vget_lane_u64::<0>(vreinterpret_u64_u8(vceq_u8(tags, vdup_n_u8(tag))))
    };
    // Each byte is 0 or 255: keep one bit of each, and gather the eight in the top byte.
    ((equal & 0x8040_2010_0804_0201).wrapping_mul(0x0101_0101_0101_0101) >> 56) as u16
}
