//! How long keys live that nobody gives an age: a word of the header page, 0: for ever.
//!
//! It may be set at any time and by anybody who writes; each put takes what it finds.

use crate::atomic::Ordering::{Acquire, Release};
use crate::format::AGE_OFFSET;
use crate::region::Region;
use std::ops::RangeInclusive;

/// The longest age, in milliseconds: some 4,400 years.
pub const AGE_MS_MAX: u64 = (1 << 47) - 1;
/// All ages there are, in milliseconds.
pub const AGES_MS: RangeInclusive<u64> = 1..=AGE_MS_MAX;

/// The default age of the map in a region, in milliseconds; `None`: keys live for ever. What a
/// stranger wrote there is no longer than the longest.
#[inline(always)]
pub fn load(region: &Region) -> Option<u64> {
    let word = region.word(AGE_OFFSET)?.load(Acquire);
    if word == 0 { None } else { Some(word.min(AGE_MS_MAX)) }
}

/// Sets it.
pub fn store(region: &Region, age_ms: Option<u64>) {
    if let Some(word) = region.word(AGE_OFFSET) {
        word.store(age_ms.unwrap_or(0), Release);
    }
}
