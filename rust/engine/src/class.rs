//! Size classes of small records: which block sizes exist, and which one a record gets.
//!
//! Sizes are in 8-byte units: every size from 2 to 32, then sixteen to each doubling, up to 2048
//! units (16 KiB). A block of a class fits every record of the class, so a retired block is good
//! for the next record of its class; rounding costs at most a sixteenth, nothing up to 256 bytes.

/// Largest record that lies in a block of a class; larger ones get runs of pages of their own. The
/// model checker cannot follow copies of thousands of words: under it large begins earlier.
pub const SMALL_BYTES_MAX: u64 = if cfg!(loom) { 64 } else { 16 << 10 };
/// Number of classes.
pub const CLASSES: usize = 127;

const EXACT_MAX: u32 = 32;
const EXACT_CLASSES: u32 = EXACT_MAX - 1;

/// The class of a record of `bytes` bytes, at most `SMALL_BYTES_MAX`.
#[inline(always)]
pub fn of_bytes(bytes: u64) -> usize {
    debug_assert!(bytes <= SMALL_BYTES_MAX);
    let units = (bytes.div_ceil(8) as u32).max(2);
    if units <= EXACT_MAX {
        return units as usize - 2;
    }
    let doubling = (units - 1).ilog2() - 5;
    let step = 2 << doubling;
    let above = units - (EXACT_MAX << doubling);
    (EXACT_CLASSES + doubling * 16 + above.div_ceil(step) - 1) as usize
}

/// The block size of a class, in units.
#[inline(always)]
pub fn units(class: usize) -> u32 {
    let class = class as u32;
    if class < EXACT_CLASSES {
        return class + 2;
    }
    let (doubling, step) = ((class - EXACT_CLASSES) / 16, (class - EXACT_CLASSES) % 16 + 1);
    (EXACT_MAX << doubling) + (step << (doubling + 1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for bytes in 1..=SMALL_BYTES_MAX {
            let class = of_bytes(bytes);
            assert!(class < CLASSES);
            assert!(u64::from(units(class)) * 8 >= bytes, "{bytes}");
            assert!(class == 0 || u64::from(units(class - 1)) * 8 < bytes, "{bytes}");
        }
        assert_eq!(u64::from(units(CLASSES - 1)) * 8, SMALL_BYTES_MAX);
        assert_eq!(of_bytes(SMALL_BYTES_MAX), CLASSES - 1);
    }
}
