//! Open-file-description locks on single bytes far behind the data: the kernel drops them with the
//! last descriptor of their open file, whatever the process died of and whatever its PID means.
#![allow(unsafe_code)]

use crate::crash;
use crate::geometry::SLOTS;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Offset of the byte of slot 0: behind the longest file, and nothing is ever stored there.
const SLOTS_OFFSET: i64 = 1 << 62;
/// Offset of the byte that says that the record of slot 0 is whole.
const RECORDS_OFFSET: i64 = SLOTS_OFFSET + 2 * SLOTS as i64;

/// A byte, or a run of them, that can be locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteRange {
    start: i64,
    len: i64,
}

impl ByteRange {
    /// The byte of a process slot.
    pub(crate) fn slot(slot: u32) -> ByteRange {
        debug_assert!(slot < SLOTS);
        ByteRange { start: SLOTS_OFFSET + i64::from(slot), len: 1 }
    }

    /// The bytes of all process slots.
    pub(crate) const ALL_SLOTS: ByteRange = ByteRange { start: SLOTS_OFFSET, len: SLOTS as i64 };

    /// The bytes of all process slots but one.
    pub(crate) fn slots_beside(slot: u32) -> impl Iterator<Item = ByteRange> {
        let own = ByteRange::slot(slot);
        let before = ByteRange { len: own.start - SLOTS_OFFSET, ..Self::ALL_SLOTS };
        let start = own.start + 1;
        let behind = ByteRange { start, len: SLOTS_OFFSET + i64::from(SLOTS) - start };
        // A length of 0 would reach to the end of the file.
        [before, behind].into_iter().filter(|range| range.len > 0)
    }

    /// The byte that is locked while a process that may have to reset all locks attaches.
    pub(crate) const ATTACH: ByteRange = ByteRange { start: SLOTS_OFFSET + SLOTS as i64, len: 1 };

    /// The byte that the creator of a temporary map holds for as long as it has the map.
    pub(crate) const CREATOR: ByteRange =
        ByteRange { start: SLOTS_OFFSET + SLOTS as i64 + 1, len: 1 };

    /// The byte that is locked while somebody takes the file's name away.
    pub(crate) const NAME: ByteRange = ByteRange { start: SLOTS_OFFSET + SLOTS as i64 + 2, len: 1 };

    /// The byte of the process that leads the others.
    pub(crate) const LEADER: ByteRange =
        ByteRange { start: SLOTS_OFFSET + SLOTS as i64 + 3, len: 1 };

    /// The byte that the owner of a slot holds while the slot's record is whole. Not the slot's own
    /// byte: that is also held by who tries whether an owner lives, and by who resets all locks.
    pub(crate) fn record(slot: u32) -> ByteRange {
        debug_assert!(slot < SLOTS);
        ByteRange { start: RECORDS_OFFSET + i64::from(slot), len: 1 }
    }

    /// The bytes of all records.
    pub(crate) const ALL_RECORDS: ByteRange =
        ByteRange { start: RECORDS_OFFSET, len: SLOTS as i64 };

    /// The byte that who makes a file holds while it may have a name of its own that is to go
    /// again.
    pub(crate) const DRAFT: ByteRange =
        ByteRange { start: SLOTS_OFFSET + SLOTS as i64 + 4, len: 1 };

    /// The byte that who freezes the map holds for longer than the bytes of all slots.
    pub(crate) const FREEZER: ByteRange =
        ByteRange { start: SLOTS_OFFSET + SLOTS as i64 + 5, len: 1 };

    /// Locks for writing without waiting; false when another open file holds some of it. Locks
    /// held through the same open file do not conflict.
    pub(crate) fn try_lock(self, file: impl AsFd) -> io::Result<bool> {
        crash::step();
        match self.call(file, libc::F_OFD_SETLK, libc::F_WRLCK) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the range back.
    pub(crate) fn unlock(self, file: impl AsFd) {
        // Unlocking a range of one's own can only fail for want of kernel memory; closing the
        // descriptor does it then.
        crash::step();
        let _ = self.call(file, libc::F_OFD_SETLK, libc::F_UNLCK);
    }

    /// Whether any other open file holds a lock in the range. A descriptor for reading will do.
    pub(crate) fn held_elsewhere(self, file: impl AsFd) -> io::Result<bool> {
        Ok(self.first_held(file)?.is_some())
    }

    /// Which bytes of the range other open files hold, counted from its start, in order. A
    /// descriptor for reading will do. A system call for each lock, and one for each gap between
    /// them: the kernel names any one, not the first.
    pub(crate) fn holders(self, file: impl AsFd) -> io::Result<Vec<u32>> {
        let (mut held, mut unknown) = (Vec::new(), vec![self]);
        while let Some(range) = unknown.pop() {
            let Some(found) = range.first_held(&file)? else { continue };
            held.extend((found.start..found.end()).map(|byte| (byte - self.start) as u32));
            let (before, after) = range.around(found);
            unknown.extend([before, after].into_iter().filter(|part| part.len > 0));
        }
        held.sort_unstable();
        Ok(held)
    }

    /// A range that another open file has locked, as far as it lies in this one.
    fn first_held(self, file: impl AsFd) -> io::Result<Option<ByteRange>> {
        let found = self.call(file, libc::F_OFD_GETLK, libc::F_WRLCK)?;
        if libc::c_int::from(found.l_type) == libc::F_UNLCK {
            return Ok(None);
        }
        let start = found.l_start.clamp(self.start, self.end() - 1);
        // A length of 0: up to the end of all files.
        let end = if found.l_len == 0 { i64::MAX } else { found.l_start + found.l_len };
        let end = end.clamp(start + 1, self.end());
        Ok(Some(ByteRange { start, len: end - start }))
    }

    /// What of this range lies before and after another one, which lies in it.
    fn around(self, inner: ByteRange) -> (ByteRange, ByteRange) {
        let before = ByteRange { start: self.start, len: inner.start - self.start };
        (before, ByteRange { start: inner.end(), len: self.end() - inner.end() })
    }

    fn end(self) -> i64 {
        self.start + self.len
    }

    fn call(self, file: impl AsFd, command: i32, kind: i32) -> io::Result<libc::flock> {
        let mut lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: self.start,
            l_len: self.len,
            l_pid: 0,
        };
        // SAFETY: an open descriptor and a lock description that outlives the call.
        let result = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &mut lock) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(lock) }
    }
}
