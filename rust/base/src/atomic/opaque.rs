//! Copies by instructions that the compiler does not look into, so that bytes which another process
//! changes meanwhile are no data race of the language; the caller validates them.
#![allow(unsafe_code)]

use crate::veil::veiled;
use std::arch::asm;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// From this length on `rep movsb` beats the 16-byte loop on current processors.
const REP_FROM_BYTES: usize = 1024;
/// Bytes of a block.
const BLOCK: usize = 64;
/// No page of any memory is smaller.
const PAGE_BYTES: usize = 4096;

/// What is shorter may be copied in blocks. 0: the processor has no AVX2, or was not asked yet.
static BLOCKS_BELOW: AtomicUsize = AtomicUsize::new(0);

/// For bytes that are copied, a block, and for those that are not.
static MASK: [[u8; BLOCK]; 2] = [[0xff; BLOCK], [0; BLOCK]];

/// Finds out what the processor can do. Before, and without, `copy_to_front` is slower.
pub fn ask_processor() {
    if is_x86_feature_detected!("avx2") {
        BLOCKS_BELOW.store(REP_FROM_BYTES, Relaxed);
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `into`; one of the two is shared memory,
/// which others may be reading or writing, the other is private to the caller.
#[inline(always)]
pub unsafe fn copy(from: *const u8, into: *mut u8, len: usize) {
    // SAFETY: each piece stays within `len` bytes of either end.
    unsafe {
        if len >= REP_FROM_BYTES {
            repeat(from, into, len);
        } else if len > 64 {
            sixty_four::<0>(from, into);
            let mut at = 64;
            while at + 64 < len {
                sixty_four::<0>(from.add(at), into.add(at));
                at += 64;
            }
            sixty_four::<-64>(from.add(len), into.add(len));
        } else if len >= 32 {
            thirty_two::<0>(from, into);
            thirty_two::<-32>(from.add(len), into.add(len));
        } else if len >= 16 {
            sixteen::<0>(from, into);
            sixteen::<-16>(from.add(len), into.add(len));
        } else if len >= 8 {
            eight::<0>(from, into);
            eight::<-8>(from.add(len), into.add(len));
        } else {
            for at in 0..len {
                one(from.add(at), into.add(at));
            }
        }
    }
}

/// As `copy`, out of shared memory, to where the caller has `room` for no fewer bytes.
///
/// The last bytes that `copy` stores go to addresses that depend on `len`. As long as that has not
/// come from memory, the processor does not know them, and often it holds back loads that follow,
/// with which the next call would have begun. So what fills the room is stored by where the room
/// ends, and what is short, in most rooms, in whole blocks: in the last one, what lies behind the
/// value is stored as it was. No address of these depends on `len`.
///
/// # Safety
/// As `copy`. The room is the caller's.
#[inline(always)]
pub unsafe fn copy_to_front(from: *const u8, len: usize, into: *mut u8, room: usize) {
    // SAFETY: as here.
    unsafe { copy_to_front_by(BLOCKS_BELOW.load(Relaxed), from, len, into, room) }
}

/// As `copy_to_front`, where shorter values than so many may be copied in blocks.
///
/// # Safety
/// As `copy_to_front`; 0 without AVX2.
#[inline(always)]
unsafe fn copy_to_front_by(
    blocks_below: usize,
    from: *const u8,
    len: usize,
    into: *mut u8,
    room: usize,
) {
    debug_assert!(len <= room);
    let (fills, short) = (len == room, len < blocks_below);
    // SAFETY: all blocks end within the room, and all but the last within the value, which begins
    // in the value, so that the page where it begins is there, and ends in that.
    unsafe {
        if !fills && room >= BLOCK && short {
            let mut last = 0;
            if len > BLOCK {
                sixty_four::<0>(from, into);
                last = BLOCK;
                while last + BLOCK < len {
                    further_block(from, into, last);
                    last += BLOCK;
                }
                if last + BLOCK > room {
                    last = veiled(room as u64) as usize - BLOCK;
                }
            } else if len == 0 {
                return;
            }
            if has_in_page(from.add(last), BLOCK) {
                blend_block(from, into, last, mask(len));
                return clear_upper_halves();
            }
        } else if !fills
            && room >= BLOCK / 2
            && (1..=BLOCK / 2).contains(&len)
            && short
            && has_in_page(from, BLOCK / 2)
        {
            blend_half(from, into, mask(len));
            return clear_upper_halves();
        }
        copy(from, into, if fills { veiled(room as u64) as usize } else { len });
    }
}

/// Whether so many bytes lie in one page.
#[inline(always)]
fn has_in_page(from: *const u8, bytes: usize) -> bool {
    from as usize % PAGE_BYTES <= PAGE_BYTES - bytes
}

/// The mask of so many bytes and others behind them, less a block.
#[inline(always)]
fn mask(len: usize) -> *const u8 {
    MASK.as_ptr().cast::<u8>().wrapping_sub(len)
}

/// Copies the block at `at`. (In other words than `sixty_four`: of the same ones the compiler would
/// make one loop, which is slower for those that need no loop.)
#[inline(always)]
unsafe fn further_block(from: *const u8, into: *mut u8, at: usize) {
    // SAFETY: as `copy`, for a block.
    unsafe {
        asm!("movdqu {x}, [{f} + {at}]", "movdqu {y}, [{f} + {at} + 16]",
             "movdqu {z}, [{f} + {at} + 32]", "movdqu {w}, [{f} + {at} + 48]",
             "movdqu [{t} + {at}], {x}", "movdqu [{t} + {at} + 16], {y}",
             "movdqu [{t} + {at} + 32], {z}", "movdqu [{t} + {at} + 48], {w}",
             x = out(xmm_reg) _, y = out(xmm_reg) _, z = out(xmm_reg) _, w = out(xmm_reg) _,
             f = in(reg) from, t = in(reg) into, at = in(reg) at,
             options(nostack, preserves_flags));
    }
}

/// Stores the block at `at`: what the mask, which is that of all that is copied, says is copied,
/// and the rest is what is there.
///
/// # Safety
/// As `copy_to_front`, with AVX2: `at < len`, and `len <= at + BLOCK`, so that the block's mask lies
/// in `MASK`. A block is readable at either `at`.
#[inline(always)]
unsafe fn blend_block(from: *const u8, into: *mut u8, at: usize, mask: *const u8) {
    // SAFETY: by the contract.
    unsafe {
        asm!("vmovdqu {x:y}, [{t} + {at}]", "vmovdqu {m:y}, [{mask} + {at} + {block}]",
             "vpblendvb {x:y}, {x:y}, [{f} + {at}], {m:y}",
             "vmovdqu {y:y}, [{t} + {at} + 32]", "vmovdqu {n:y}, [{mask} + {at} + {block} + 32]",
             "vpblendvb {y:y}, {y:y}, [{f} + {at} + 32], {n:y}",
             "vmovdqu [{t} + {at}], {x:y}", "vmovdqu [{t} + {at} + 32], {y:y}",
             x = out(xmm_reg) _, y = out(xmm_reg) _, m = out(xmm_reg) _, n = out(xmm_reg) _,
             f = in(reg) from, t = in(reg) into, at = in(reg) at, mask = in(reg) mask,
             block = const BLOCK, options(nostack, preserves_flags));
    }
}

/// As `blend_block`, half a block, the first.
#[inline(always)]
unsafe fn blend_half(from: *const u8, into: *mut u8, mask: *const u8) {
    // SAFETY: as `blend_block`.
    unsafe {
        asm!("vmovdqu {x:y}, [{t}]", "vmovdqu {m:y}, [{mask} + {block}]",
             "vpblendvb {x:y}, {x:y}, [{f}], {m:y}", "vmovdqu [{t}], {x:y}",
             x = out(xmm_reg) _, m = out(xmm_reg) _,
             f = in(reg) from, t = in(reg) into, mask = in(reg) mask, block = const BLOCK,
             options(nostack, preserves_flags));
    }
}

/// What follows would be slow where the upper halves of registers are in use.
#[inline(always)]
unsafe fn clear_upper_halves() {
    // SAFETY: the processor has them, and the compiler is told.
    unsafe {
        asm!("vzeroupper", out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
             out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _,
             out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
             out("xmm14") _, out("xmm15") _, options(nomem, nostack, preserves_flags));
    }
}

#[inline(always)]
unsafe fn repeat(from: *const u8, into: *mut u8, len: usize) {
    // SAFETY: as `copy`; the direction flag is clear by the calling convention.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rsi") from => _,
             inout("rdi") into => _, options(nostack, preserves_flags));
    }
}

/// As all of these, from `AT` bytes on.
#[inline(always)]
unsafe fn sixty_four<const AT: i32>(from: *const u8, into: *mut u8) {
    // SAFETY: as `copy`, for 64 bytes.
    unsafe {
        asm!("movdqu {x}, [{f} + {at}]", "movdqu {y}, [{f} + {at} + 16]",
             "movdqu {z}, [{f} + {at} + 32]", "movdqu {w}, [{f} + {at} + 48]",
             "movdqu [{t} + {at}], {x}", "movdqu [{t} + {at} + 16], {y}",
             "movdqu [{t} + {at} + 32], {z}", "movdqu [{t} + {at} + 48], {w}",
             x = out(xmm_reg) _, y = out(xmm_reg) _, z = out(xmm_reg) _, w = out(xmm_reg) _,
             f = in(reg) from, t = in(reg) into, at = const AT,
             options(nostack, preserves_flags));
    }
}

#[inline(always)]
unsafe fn thirty_two<const AT: i32>(from: *const u8, into: *mut u8) {
    // SAFETY: as `copy`, for 32 bytes.
    unsafe {
        asm!("movdqu {x}, [{f} + {at}]", "movdqu {y}, [{f} + {at} + 16]",
             "movdqu [{t} + {at}], {x}", "movdqu [{t} + {at} + 16], {y}",
             x = out(xmm_reg) _, y = out(xmm_reg) _, f = in(reg) from, t = in(reg) into,
             at = const AT, options(nostack, preserves_flags));
    }
}

#[inline(always)]
unsafe fn sixteen<const AT: i32>(from: *const u8, into: *mut u8) {
    // SAFETY: as `copy`, for 16 bytes.
    unsafe {
        asm!("movdqu {x}, [{f} + {at}]", "movdqu [{t} + {at}], {x}",
             x = out(xmm_reg) _, f = in(reg) from, t = in(reg) into, at = const AT,
             options(nostack, preserves_flags));
    }
}

#[inline(always)]
unsafe fn eight<const AT: i32>(from: *const u8, into: *mut u8) {
    // SAFETY: as `copy`, for 8 bytes.
    unsafe {
        asm!("mov {x}, [{f} + {at}]", "mov [{t} + {at}], {x}", x = out(reg) _,
             f = in(reg) from, t = in(reg) into, at = const AT,
             options(nostack, preserves_flags));
    }
}

#[inline(always)]
unsafe fn one(from: *const u8, into: *mut u8) {
    // SAFETY: as `copy`, for one byte.
    unsafe {
        asm!("mov {x}, byte ptr [{f}]", "mov byte ptr [{t}], {x}", x = out(reg_byte) _,
             f = in(reg) from, t = in(reg) into, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
    use std::ptr;

    const LENS: [usize; 22] = [
        0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 191, 193, 1000, 1023,
        1024,
    ];

    /// The end of a page, behind which there is no memory; it stays for ever.
    fn end_of_memory() -> *mut u8 {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: new memory, of two pages, the second of which is made inaccessible.
        unsafe {
            let pages = mmap_anonymous(ptr::null_mut(), 2 * PAGE_BYTES, access, flags).unwrap();
            let end = pages.cast::<u8>().add(PAGE_BYTES);
            mprotect(end.cast(), PAGE_BYTES, MprotectFlags::empty()).unwrap();
            end
        }
    }

    /// The last bytes before such an end.
    fn last(end: *mut u8, bytes: usize) -> &'static mut [u8] {
        assert!(bytes <= PAGE_BYTES);
        // SAFETY: in the page before it, of which no other part is in use.
        unsafe { std::slice::from_raw_parts_mut(end.sub(bytes), bytes) }
    }

    #[test]
    fn a_value_comes_whole_to_the_front_of_any_room_and_the_rest_stays() {
        // Method: values of all ways to copy, in rooms of all ways, up to the last byte of memory
        // on either side, and before it; in blocks, and without. No byte is like its neighbours,
        // and none of a room like one of a value.
        let (values, rooms) = (end_of_memory(), end_of_memory());
        let number = |at: usize| (at % 199) as u8;
        let untouched = |at: usize| 200 + (at % 53) as u8;
        last(values, PAGE_BYTES).iter_mut().enumerate().for_each(|(at, byte)| *byte = number(at));
        let check = |blocks_below: usize, len: usize, room: usize, behind: usize| {
            let value = &last(values, behind + len)[..len];
            let memory = last(rooms, BLOCK + room);
            memory.iter_mut().enumerate().for_each(|(at, byte)| *byte = untouched(at));
            // SAFETY: the value has `len` bytes, the room `room`, and that is not less.
            unsafe {
                let into = memory[BLOCK..].as_mut_ptr();
                copy_to_front_by(blocks_below, value.as_ptr(), len, into, room);
            }
            let right = memory.iter().enumerate().all(|(at, &byte)| {
                let copied = at.checked_sub(BLOCK).and_then(|at| value.get(at));
                byte == copied.copied().unwrap_or(untouched(at))
            });
            assert!(right, "{len} bytes, {behind} before the end, to {room}: {memory:?}");
        };
        ask_processor();
        for blocks_below in [BLOCKS_BELOW.load(Relaxed), 0] {
            for len in LENS {
                for room in (len..=len + 130).chain([1200]) {
                    let everywhere = (0..=BLOCK).chain([1000]);
                    everywhere.for_each(|behind| check(blocks_below, len, room, behind));
                }
            }
        }
    }
}
