//! The bytes of a map and the file behind them: makes pages real before use, gives them back after.
//!
//! A mapped page of a hole costs nothing until it is touched, and touching it when the file system
//! is full is a SIGBUS. So whoever is about to use pages commits them first, which fails as an
//! error; and releases them only when nobody can reach them any more.
#![allow(unsafe_code)]

use crate::atomic::Ordering::Relaxed;
use crate::atomic::Page;
use crate::crash;
use crate::error::OpError;
use crate::file_system::{self, FileId};
use crate::geometry::{Geometry, PAGE_BYTES};
use crate::limits;
use crate::map_file::{DESCRIPTOR_MIN, MapFile};
use crate::region::Region;
use crate::shards::{Shards, Window};
use rustix::fs::{FallocateFlags, SeekFrom, Stat, fallocate, fstat, fstatfs, seek};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mm::{Advice, MsyncFlags, madvise, msync};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Bytes that one `fallocate` asks for; a signal makes tmpfs drop the work of the whole call.
const CHUNK_BYTES: u64 = 256 << 10;
/// How often a chunk is tried again after a signal.
const RETRIES: u32 = 10_000;

/// A region and the file that it maps; no file for a region on the heap.
///
/// No lock is ever held on the open file description: children share it.
pub struct Storage {
    region: Arc<Region>,
    shards: Shards,
    file: Option<Arc<MapFile>>,
    /// Whether the file lies on a tmpfs. There a fault allocates a page, and of the size that the
    /// mapping wants, where `fallocate` may take a huge one for each; and it is the only pass over
    /// the pages.
    in_memory: bool,
}

impl Storage {
    /// A region that MUST be as long as the geometry says.
    pub(crate) fn new(
        region: Arc<Region>,
        geometry: &Geometry,
        file: Option<Arc<MapFile>>,
    ) -> Storage {
        let descriptor = file.as_ref().and_then(|file| file.descriptor().ok());
        let found = descriptor.and_then(|file| fstatfs(file).ok());
        Storage {
            in_memory: found.is_some_and(|found| file_system::is_tmpfs(&found)),
            shards: Shards::new(region.clone(), geometry).expect("the whole file is mapped"),
            region,
            file,
        }
    }

    /// The mapped bytes. Their address does not change as long as `self` lives.
    #[inline(always)]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The first page of a shard's header, and its window. Numbers wrap around.
    #[inline(always)]
    pub fn shard(&self, number: u32) -> (Page<'_>, Window<'_>) {
        self.shards.shard(number)
    }

    /// Makes `len` bytes at `offset` real, both multiples of a page: afterwards touching them
    /// cannot fail. Bytes that were a hole are zero. On failure the whole range is made a hole
    /// again, so it must not hold anything yet. On the heap all bytes are real from the start.
    ///
    /// Errors: `NoSpace` (with a `max_bytes` of 0), `Truncated`, or `System`.
    pub fn commit(&self, offset: u64, len: u64) -> Result<(), OpError> {
        self.ensure(offset, len).inspect_err(|_| self.release(offset, len))
    }

    /// As `commit`, of bytes that may be in use already: takes nothing back on failure.
    pub fn ensure(&self, offset: u64, len: u64) -> Result<(), OpError> {
        if self.make_real(offset, len)? {
            return Ok(());
        }
        match self.populate(offset, len) {
            // Or the file was cut short just now, which reserving would tell.
            Err(Errno::FAULT | Errno::NOMEM) => self.reserve(offset, len).and(Err(no_space(len))),
            // Kernels before 5.14 do not know the advice; then the first touch maps the page.
            _ => Ok(()),
        }
    }

    /// As `ensure`, but on a disk without mapping the pages: for many that may never be stored to.
    pub fn reserve(&self, offset: u64, len: u64) -> Result<(), OpError> {
        self.make_real(offset, len).map(drop)
    }

    /// Whether the pages, which are real now, are mapped as well.
    fn make_real(&self, offset: u64, len: u64) -> Result<bool, OpError> {
        if self.file.is_none() {
            return Ok(true);
        }
        debug_assert!(offset.is_multiple_of(PAGE_BYTES) && len.is_multiple_of(PAGE_BYTES));
        let end = offset.saturating_add(len);
        if end > self.region.len() {
            return Err(no_space(len));
        }
        let file = self.file()?;
        self.check_length(file)?;
        // Within the file's length the kernel does not check this limit. Whoever set it meant it,
        // but for growth.
        let may_grow = end <= limits::file_bytes_max();
        if !may_grow && !is_real(file, offset, end) {
            return Err(no_space(len));
        }
        let mut mapped = may_grow && self.in_memory;
        let mut at = if may_grow { offset } else { end };
        while at < end {
            let chunk = CHUNK_BYTES.min(end - at);
            if mapped {
                match self.populate(at, chunk) {
                    Ok(()) => {
                        at += chunk;
                        continue;
                    }
                    // Or the file was cut short just now.
                    Err(Errno::FAULT | Errno::NOMEM) => {
                        return self.check_length(file).and(Err(no_space(len)));
                    }
                    // Kernels before 5.14 do not know the advice.
                    Err(_) => mapped = false,
                }
            }
            match allocate(file, at, chunk) {
                Ok(()) => {}
                // A full xfs refuses even what is there already.
                Err(Errno::NOSPC | Errno::DQUOT) if is_real(file, at, at + chunk) => {}
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::NOMEM) => {
                    return Err(no_space(len));
                }
                Err(errno) => {
                    return Err(OpError::System { call: "fallocate", errno: errno.raw_os_error() });
                }
            }
            at += chunk;
        }
        Ok(mapped)
    }

    /// A descriptor of the file, for use at once.
    pub(crate) fn file(&self) -> Result<BorrowedFd<'_>, OpError> {
        let none = || io::Error::from_raw_os_error(libc::EBADF);
        let file = self.file.as_ref().ok_or_else(none).and_then(|file| file.descriptor());
        file.map_err(reopening_failed)
    }

    /// What the file system says of the file.
    pub(crate) fn file_status(&self) -> Option<Stat> {
        self.file().ok().and_then(|file| fstat(file).ok())
    }

    /// Whether there is a file: on the heap nothing can be given back.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether nothing of a range is a hole, as far as the file system can tell. On the heap
    /// nothing is.
    pub(crate) fn is_real(&self, offset: u64, len: u64) -> bool {
        self.file.is_none() || self.file().is_ok_and(|file| is_real(file, offset, offset + len))
    }

    /// The file, through a duplicate of the descriptor that this process has of it, closed by
    /// `exec`. Errors: `System`, also on the heap.
    pub fn duplicate(&self) -> Result<OwnedFd, OpError> {
        let call = "fcntl(F_DUPFD_CLOEXEC)";
        fcntl_dupfd_cloexec(self.file()?, DESCRIPTOR_MIN)
            .map_err(|errno| OpError::System { call, errno: errno.raw_os_error() })
    }

    /// Which file it is.
    pub(crate) fn file_id(&self) -> Option<FileId> {
        self.file.as_ref().map(|file| file.id())
    }

    /// Where the file lies, or what the kernel calls it; empty on the heap.
    pub fn path(&self) -> &Path {
        self.file.as_ref().map_or(Path::new(""), |file| file.path())
    }

    /// Bytes that the file system has left; all there could be on the heap, and where it cannot
    /// tell.
    pub fn spare_bytes(&self) -> u64 {
        let file = self.file.as_ref().and_then(|file| file.descriptor().ok());
        let found = file.and_then(|file| fstatfs(file).ok());
        found.map_or(u64::MAX, |found| file_system::free_bytes(&found))
    }

    /// Makes `len` bytes at `offset` a hole again, both multiples of a page, as far as the file
    /// system can. They read as zero afterwards, or as before. On the heap it does nothing.
    pub fn release(&self, offset: u64, len: u64) {
        let Some(file) = &self.file else { return };
        let Ok(file) = file.descriptor() else { return };
        crash::step();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(file, flags, offset, len);
    }

    /// Makes what is stored in `len` bytes at `offset`, both multiples of a page, survive a crash
    /// of the machine: returns when the disk has it. What others store meanwhile may be among
    /// it.
    ///
    /// Errors: `System`. Then the kernel may have dropped what it could not write, and not try it
    /// again: see `touch`.
    pub fn flush(&self, offset: u64, len: u64) -> Result<(), OpError> {
        if self.file.is_none() {
            return Ok(());
        }
        let Some(address) = self.region.range(offset, len) else { return Err(no_space(len)) };
        crash::step();
        // SAFETY: the range lies inside the mapping, whose contents the call does not change.
        let done = unsafe { msync(address.cast(), len as usize, MsyncFlags::SYNC) };
        done.map_err(|errno| OpError::System { call: "msync", errno: errno.raw_os_error() })
    }

    /// Has the kernel believe that `len` bytes at `offset` were stored to, so that the next flush
    /// writes all of them. They must be real; their contents stay.
    pub fn touch(&self, offset: u64, len: u64) {
        for at in (offset..offset + len).step_by(PAGE_BYTES as usize) {
            let Some(word) = self.region.word(at) else { continue };
            let found = word.load(Relaxed);
            // Another value by now was stored by somebody else, which does as well.
            let _ = word.compare_exchange(found, found, Relaxed, Relaxed);
        }
    }

    /// The parts of a range that are real, in order and with holes between them: offset and end,
    /// both multiples of a page if those of the range are. Of pages that are real in part,
    /// none; all of it on the heap, and where the file system cannot tell.
    pub fn real_parts(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + use<'_> {
        let file = self.file.as_ref().and_then(|file| file.descriptor().ok());
        let mut at = start;
        std::iter::from_fn(move || {
            while at < end {
                let (data, hole) = match file.map(|file| next_part(file, at)) {
                    None | Some(Err(_)) => (at, end),
                    Some(Ok(None)) => (end, end),
                    Some(Ok(Some(part))) => part,
                };
                let from = data.next_multiple_of(PAGE_BYTES).min(end);
                let to = if hole >= end { end } else { hole / PAGE_BYTES * PAGE_BYTES };
                at = hole.max(at + 1);
                if from < to {
                    return Some((from, to));
                }
            }
            None
        })
    }

    /// Refuses a file that a stranger cut short: there, pages beyond its end would be made real
    /// that touching is SIGBUS all the same. Nobody of this library shortens a file.
    fn check_length(&self, file: BorrowedFd<'_>) -> Result<(), OpError> {
        let found = fstat(file)
            .map_err(|errno| OpError::System { call: "fstat", errno: errno.raw_os_error() })?;
        let expected_bytes = self.region.len();
        let found_bytes = u64::try_from(found.st_size).unwrap_or(0);
        if found_bytes >= expected_bytes {
            return Ok(());
        }
        Err(OpError::Truncated { expected_bytes, found_bytes })
    }

    /// Maps the pages, so that the first stores need no page faults.
    fn populate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let Some(address) = self.region.range(offset, len) else { return Err(Errno::FAULT) };
        crash::step();
        // SAFETY: the range lies inside the mapping, whose contents the advice does not change.
        unsafe { madvise(address.cast(), len as usize, Advice::LinuxPopulateWrite) }
    }
}

fn reopening_failed(error: io::Error) -> OpError {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    OpError::System { call: "opening the map's file again", errno }
}

fn no_space(needed_bytes: u64) -> OpError {
    OpError::NoSpace { needed_bytes, max_bytes: 0 }
}

/// The next bytes from `at` on that are no hole, and their end; `None`: nothing but a hole follows.
fn next_part(file: BorrowedFd<'_>, at: u64) -> Result<Option<(u64, u64)>, Errno> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some((data, seek(file, SeekFrom::Hole(data))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether nothing of the range is a hole, as far as the file system can tell.
fn is_real(file: BorrowedFd<'_>, offset: u64, end: u64) -> bool {
    // Moves the position of the open file, which nobody uses.
    seek(file, SeekFrom::Hole(offset)).is_ok_and(|hole| hole >= end)
}

fn allocate(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<(), Errno> {
    let mut retries = RETRIES;
    loop {
        crash::step();
        // Keeping the size: a file that somebody cut short must not grow again piecemeal.
        match fallocate(file, FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::INTR) if retries > 0 => retries -= 1,
            result => return result,
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::open::create;
    use crate::testing::{Name, OPTIONS, fork, on_small_tmpfs};

    fn real_bytes(storage: &Storage) -> u64 {
        let file = storage.file.as_ref().unwrap().descriptor().unwrap();
        rustix::fs::fstat(file).unwrap().st_blocks as u64 * 512
    }

    #[test]
    fn committed_pages_are_real_and_released_ones_are_not() {
        let name = Name::new();
        let opened = name.create();
        let (storage, window) = (&opened.storage, opened.header.geometry.window(1));
        let before = real_bytes(storage);
        storage.commit(window, 3 * CHUNK_BYTES / 2).unwrap();
        assert_eq!(real_bytes(storage), before + 3 * CHUNK_BYTES / 2);
        storage.release(window + CHUNK_BYTES, CHUNK_BYTES / 2);
        assert_eq!(real_bytes(storage), before + CHUNK_BYTES);
        // Committing what is there already changes nothing.
        storage.commit(window, CHUNK_BYTES).unwrap();
        assert_eq!(real_bytes(storage), before + CHUNK_BYTES);
    }

    #[test]
    fn a_full_file_system_is_an_error_and_leaves_nothing_behind() {
        // Goal: no SIGBUS, and what a failed step took is given back. Method: a tmpfs of 3 MiB,
        // of which a commit wants 4 MiB.
        on_small_tmpfs(3 << 20, |folder| {
            let opened = create(folder, "full", &OPTIONS).unwrap();
            let (storage, window) = (&opened.storage, opened.header.geometry.window(0));
            let before = real_bytes(storage);
            let no_space = OpError::NoSpace { needed_bytes: 4 << 20, max_bytes: 0 };
            assert_eq!(storage.commit(window, 4 << 20), Err(no_space));
            assert_eq!(real_bytes(storage), before);
            storage.commit(window, 1 << 20).unwrap();
            assert_eq!(real_bytes(storage), before + (1 << 20));
        });
    }

    #[test]
    fn a_file_that_was_cut_short_does_not_grow() {
        // Goal: a typed error that says both lengths, whatever part of the file is to grow, and a
        // file that stays as short and as small as it is. Method: a page is cut off at its end, and
        // is put back.
        let name = Name::new();
        let opened = name.create();
        let (storage, window) = (&opened.storage, opened.header.geometry.window(1));
        let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
        let (expected_bytes, before) = (storage.region().len(), real_bytes(storage));
        let found_bytes = expected_bytes - PAGE_BYTES;
        file.set_len(found_bytes).unwrap();
        let truncated = Err(OpError::Truncated { expected_bytes, found_bytes });
        for offset in [window, found_bytes] {
            assert_eq!(storage.commit(offset, PAGE_BYTES), truncated);
            assert_eq!(storage.ensure(offset, PAGE_BYTES), truncated);
        }
        assert_eq!((file.metadata().unwrap().len(), real_bytes(storage)), (found_bytes, before));
        file.set_len(expected_bytes).unwrap();
        storage.commit(window, PAGE_BYTES).unwrap();
    }

    #[test]
    fn what_lies_behind_the_file_cannot_be_committed_and_does_not_grow_it() {
        let name = Name::new();
        let storage = name.create().storage;
        let (len, before) = (storage.region().len(), real_bytes(&storage));
        let no_space = Err(OpError::NoSpace { needed_bytes: 4096, max_bytes: 0 });
        for offset in [len, len + 4096, u64::MAX - 4095] {
            assert_eq!(storage.commit(offset, 4096), no_space);
        }
        assert_eq!(std::fs::metadata(name.path()).unwrap().len(), len);
        assert_eq!(real_bytes(&storage), before);
    }

    #[test]
    fn a_limit_on_file_lengths_is_an_error_and_no_signal() {
        let name = Name::new();
        let opened = name.create();
        let window = opened.header.geometry.window(0);
        fork(|| {
            let limit = libc::rlimit { rlim_cur: window, rlim_max: window };
            // SAFETY: sets a limit of this child.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
            let no_space = OpError::NoSpace { needed_bytes: 4096, max_bytes: 0 };
            assert_eq!(opened.storage.commit(window, 4096), Err(no_space));
        })
        .join();
        opened.storage.commit(window, 4096).unwrap();
    }

    #[test]
    fn signals_only_delay_a_commit() {
        // Goal: EINTR is tried again. Method: a timer that fires every 50 us while 64 MiB are
        // committed and released several times.
        extern "C" fn ignore(_: i32) {}
        let name = Name::new();
        let opened = name.create();
        fork(|| {
            let every = libc::timeval { tv_sec: 0, tv_usec: 50 };
            let timer = libc::itimerval { it_interval: every, it_value: every };
            let handler = ignore as extern "C" fn(i32) as libc::sighandler_t;
            // SAFETY: a handler that does nothing, and a timer of this child.
            unsafe {
                libc::signal(libc::SIGALRM, handler);
                assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
            }
            let (window, len) = (opened.header.geometry.window(2), 8 << 20);
            for _ in 0..8 {
                opened.storage.commit(window, len).unwrap();
                opened.storage.release(window, len);
            }
        })
        .join();
    }

    #[test]
    fn the_heap_is_real_from_the_start() {
        let opened = crate::open::heap(1, 256 << 10, 1 << 20);
        opened.storage.commit(0, 4096).unwrap();
        opened.storage.release(0, 4096);
    }
}
