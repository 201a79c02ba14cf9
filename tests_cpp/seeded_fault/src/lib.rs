//! Faults that a sanitizer must find, in Rust code that is built as the library's is.

use std::hint::black_box;
use std::ptr::addr_of_mut;

static mut COUNTER: u64 = 0;

/// Reads the byte at `index` of an allocation of 16: a fault from 16 on.
#[no_mangle]
pub extern "C" fn seeded_read(index: usize) -> u8 {
    let bytes = black_box(vec![7u8; 16]);
    // SAFETY: none for an index of 16 or more, which is the fault.
    unsafe { *bytes.as_ptr().add(index) }
}

/// Counts without synchronisation: a fault when two threads call it.
#[no_mangle]
pub extern "C" fn seeded_count() {
    // SAFETY: none when threads call this at once, which is the fault.
    unsafe { *black_box(addr_of_mut!(COUNTER)) += 1 };
}
