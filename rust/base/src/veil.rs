//! A number that the compiler knows nothing about.
#![allow(unsafe_code)]

/// The same number. On processors that are known to gain by it the compiler does not know that, and
/// computes it only where it is asked for: so a branch that does stays one.
#[inline(always)]
pub(crate) fn veiled(number: u64) -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: no instruction at all, but for a comment, since each operand has to be named.
    unsafe {
        let mut veiled = number;
        std::arch::asm!("/* {0} */", inout(reg) veiled, options(nomem, nostack, preserves_flags));
        veiled
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    number
}
