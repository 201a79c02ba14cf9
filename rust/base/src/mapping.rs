//! Maps a file once, whole, without touching a page of it.
#![allow(unsafe_code)]

use crate::file_system;
use crate::region::Region;
use memmap2::{Advice, MmapOptions};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::fs::File;
use std::io;

/// Maps `len` bytes of `file`, which is that long, shared, without reserving swap for them.
///
/// A process that called `mlockall(MCL_FUTURE)` has the kernel touch every page of a new mapping,
/// which on tmpfs would fill every hole. Therefore the range is first mapped behind the end of the
/// file, where there is nothing to touch, then replaced by the file without any access right,
/// unlocked, and only then opened up. (`mlockall(MCL_CURRENT)` by a process that has a map open
/// does fill it; nothing here can prevent that.)
pub(crate) fn map(file: &File, len: u64, writable: bool) -> io::Result<Region> {
    let size = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    let behind_the_end = len.next_multiple_of(1 << 21);
    let map = MmapOptions::new()
        .offset(behind_the_end)
        .len(size)
        .no_reserve_swap()
        .map_raw_read_only(file)?;
    let address = map.as_mut_ptr().cast();
    let flags = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: replaces exactly the mapping made above, which nobody has a reference into yet and
    // which `map` goes on to own.
    unsafe { rustix::mm::mmap(address, size, ProtFlags::empty(), flags, file, 0)? };
    // SAFETY: as above. Fails where there was no lock to undo, which is as good.
    let _ = unsafe { rustix::mm::munlock(address, size) };
    let mut access = MprotectFlags::READ;
    access.set(MprotectFlags::WRITE, writable);
    // SAFETY: as above.
    unsafe { rustix::mm::mprotect(address, size, access)? };
    // A smaller core dump.
    let _ = map.advise(Advice::DontDump);
    let _ = map.advise(page_advice(file));
    Ok(Region::mapped(map, writable))
}

/// How the page cache should hold the file: in small pages.
///
/// On a tmpfs mount with huge pages, one of them would be made real for each of a shard's areas, of
/// which a small map needs a few KiB each (docs/decisions/0018-no-huge-pages.md).
///
/// A file system on a disk must have small ones, which means no reading ahead either: at a store to
/// a clean page of the cache, ext4 and xfs make real all that this page covers, not only the 4 KiB
/// that the store needs. A huge one covers holes as well, and for these there may be no room, which
/// is a SIGBUS at a byte that was committed. (Somebody who reads the file with its holes can still
/// bring huge pages into the cache; nothing here can prevent that.)
fn page_advice(file: &File) -> Advice {
    match rustix::fs::fstatfs(file) {
        Ok(found) if file_system::is_tmpfs(&found) => Advice::NoHugePage,
        _ => Advice::Random,
    }
}
