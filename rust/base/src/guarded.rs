//! Regions between two pages that nobody may touch, for fuzzing: one byte outside is a fault.
//!
//! Each maps a file of exactly its length: shared, to make a map there, or as a private copy, to
//! damage it. A private copy is made again by forgetting the pages that were stored to, so it costs
//! what was touched and not the size of the map.
#![allow(unsafe_code)]

use crate::geometry::PAGE_BYTES;
use crate::region::Region;
use memmap2::MmapOptions;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect};
use std::fs::File;
use std::io;

const PAGE: usize = PAGE_BYTES as usize;

/// Who sees what is stored into a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Everybody who maps the file.
    Shared,
    /// Nobody else; `restore` takes them back.
    Private,
}

/// Maps the whole of `file`, whose length is a multiple of a page and not 0.
pub fn map(file: &File, stores: Stores) -> io::Result<Region> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    assert!(len > 0 && len.is_multiple_of(PAGE), "{len} bytes are no pages");
    let whole = MmapOptions::new().len(len + 2 * PAGE).no_reserve_swap().map_anon()?;
    let start = whole.as_ptr().cast_mut();
    let kind = if stores == Stores::Shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
    let flags = kind | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: all inside of the mapping made above, which nobody has a reference into yet.
    unsafe {
        let middle = start.add(PAGE);
        mprotect(start.cast(), PAGE, MprotectFlags::empty())?;
        mprotect(middle.add(len).cast(), PAGE, MprotectFlags::empty())?;
        mmap(middle.cast(), len, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0)?;
    }
    Ok(Region::between_guards(whole.into()))
}

/// Makes the bytes of a private region those of its file again.
pub fn restore(region: &Region) -> io::Result<()> {
    let address = region.range(0, region.len()).expect("the whole region");
    // SAFETY: a private mapping of a file, for which the advice gives the bytes of the file back;
    // bytes of a region may change at any time.
    unsafe { madvise(address.cast(), region.len() as usize, Advice::LinuxDontNeed) }?;
    Ok(())
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::atomic::Ordering::Relaxed;

    fn file() -> File {
        let file = rustix::fs::memfd_create("guarded", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(2 * PAGE_BYTES).unwrap();
        file
    }

    #[test]
    fn private_stores_are_taken_back_and_shared_ones_are_not() {
        let file = file();
        let (shared, private) =
            (map(&file, Stores::Shared).unwrap(), map(&file, Stores::Private).unwrap());
        let word = |region: &Region| region.word(4096).unwrap().load(Relaxed);
        shared.word(4096).unwrap().store(5, Relaxed);
        private.word(4096).unwrap().store(6, Relaxed);
        assert_eq!((word(&shared), word(&private)), (5, 6));
        restore(&private).unwrap();
        assert_eq!((word(&shared), word(&private)), (5, 5));
    }

    #[test]
    fn a_byte_before_or_behind_is_a_fault() {
        let region = map(&file(), Stores::Private).unwrap();
        let start = region.range(0, PAGE_BYTES).unwrap();
        for beside in [start.wrapping_sub(1), start.wrapping_add(2 * PAGE)] {
            // SAFETY: a child that may end in any way; it has its parent's mappings.
            let status = unsafe {
                match libc::fork() {
                    0 => {
                        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                        beside.read_volatile();
                        libc::_exit(0)
                    }
                    child => {
                        let mut status = 0;
                        assert_eq!(libc::waitpid(child, &mut status, 0), child);
                        status
                    }
                }
            };
            assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
        }
    }
}
