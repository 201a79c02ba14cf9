//! Open-file-description locks on single bytes far behind the data: the kernel drops them with the
//! last descriptor of their open file, whatever the process died of and whatever its PID means.
#![allow(unsafe_code)]

use crate::crash;
use crate::geometry::SLOTS;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Offset of the byte of slot 0: behind the longest file, and nothing is ever stored there.
const SLOTS_OFFSET: i64 = 1 << 62;

/// A byte, or a run of them, that can be locked.
#[derive(Clone, Copy)]
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

    /// Whether any other open file holds a lock in the range.
    #[cfg(all(test, not(any(loom, miri))))]
    pub(crate) fn held_elsewhere(self, file: impl AsFd) -> io::Result<bool> {
        let found = self.call(file, libc::F_OFD_GETLK, libc::F_WRLCK)?;
        Ok(found != libc::F_UNLCK)
    }

    fn call(self, file: impl AsFd, command: i32, kind: i32) -> io::Result<i32> {
        let mut lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: self.start,
            l_len: self.len,
            l_pid: 0,
        };
        // SAFETY: an open descriptor and a lock description that outlives the call.
        let result = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &mut lock) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(lock.l_type.into()) }
    }
}
