//! What a length will be: mostly what it was before.
//!
//! Where the end of a copy goes depends on the length that a record's header says. Until the header
//! has come from memory, the processor does not know the addresses of those stores, and often it
//! holds back loads that follow, with which the next call would have begun. So a length is compared
//! with the last one and, if it is the same, the copy goes on with that: it waits for nothing, and
//! the comparison is a branch, which the processor predicts. This is value prediction (Lipasti,
//! Wilkerson, Shen, "Value Locality and Load Value Prediction", ASPLOS 1996), done in software.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The last length that a thread came across. If threads share one, they foresee less, and do no
/// harm.
pub struct Foresight(AtomicUsize);

impl Foresight {
    pub(crate) const fn new() -> Foresight {
        Foresight(AtomicUsize::new(0))
    }

    /// `len` itself; what is computed from the answer waits for the last one, if that is the same.
    #[inline(always)]
    pub fn of(&self, len: usize) -> usize {
        let last = self.0.load(Relaxed);
        let foreseen = veiled(last);
        if last == len {
            return foreseen;
        }
        self.0.store(len, Relaxed);
        len
    }
}

/// The same number. The compiler does not know that, where processors are known to gain by it, or
/// it would go on with the one that it was compared with.
#[inline(always)]
fn veiled(number: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: no instruction at all, but for a comment, since each operand has to be named.
    unsafe {
        let mut veiled = number;
        std::arch::asm!(
            "/* {0} */",
            inout(reg) veiled,
            options(pure, nomem, nostack, preserves_flags),
        );
        veiled
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    number
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::region::Region;

    #[test]
    fn each_length_is_itself_whatever_came_before() {
        let lengths = Foresight::new();
        for len in [0, 0, 7, 7, 7, usize::MAX, 0, usize::MAX, usize::MAX] {
            assert_eq!(lengths.of(len), len);
        }
    }

    #[test]
    fn what_is_copied_is_as_long_as_it_is_and_not_as_foreseen() {
        // Method: lengths of all ways to copy, each after each other one and after itself.
        let (region, lengths) = (Region::heap(4096).unwrap(), Foresight::new());
        let range = region.bytes(0, 4096).unwrap();
        let bytes: Vec<u8> = (0..4096).map(|at| at as u8 % 251).collect();
        range.store_parts([&bytes, &[], &[]]);
        let lens = [0, 1, 7, 8, 15, 16, 31, 32, 64, 65, 100, 128, 129, 1024];
        let pairs = lens.iter().flat_map(|&one| lens.iter().flat_map(move |&two| [one, one, two]));
        for len in pairs {
            let mut into = [255; 1100];
            range.copy_out_foreseen(8, &mut into[..len], Some(&lengths));
            assert_eq!(into[..len], bytes[8..8 + len], "{len}");
            assert!(into[len..].iter().all(|&byte| byte == 255), "{len}");
        }
    }
}
