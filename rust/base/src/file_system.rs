//! Which file systems maps are safe on, how much room they have, and which file a file is.

use crate::format::Identity;
use rustix::fs::{Stat, StatFs, fstat};
use rustix::io::{Errno, pread};
use std::fs::read_to_string;
use std::io;
use std::os::fd::AsFd;

const TMPFS: u64 = 0x0102_1994;
/// ext2, ext3 and ext4 share it.
const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const HUGETLBFS: u64 = 0x9584_58f6;

/// The type of a file system, as `statfs` names it.
pub(crate) fn kind(found: &StatFs) -> u64 {
    // Some platforms sign-extend the 32 bits.
    found.f_type as u64 & 0xffff_ffff
}

/// Whether its files live in memory only; those of a memfd do as well.
pub(crate) fn is_tmpfs(found: &StatFs) -> bool {
    kind(found) == TMPFS
}

/// Whether maps may lie there. Copy-on-write, network and FUSE file systems either answer a store
/// with SIGBUS when they are full, whatever was allocated before, or do not share pages between
/// machines; a caller may know better. hugetlbfs has no pages of 4 KiB, so it never serves.
pub(crate) fn is_safe(kind: u64, allow_any: bool) -> bool {
    match kind {
        TMPFS | EXT | XFS => true,
        HUGETLBFS => false,
        _ => allow_any,
    }
}

/// Bytes that this user can still fill; `u64::MAX` where the file system has no limit.
pub(crate) fn free_bytes(found: &StatFs) -> u64 {
    let block = if found.f_frsize > 0 { found.f_frsize } else { found.f_bsize };
    if found.f_blocks == 0 {
        return u64::MAX;
    }
    found.f_bavail.saturating_mul(block as u64)
}

/// Which file a descriptor is, as long as the file is open or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Calls nothing but `fstat`.
    pub fn of(file: impl AsFd) -> io::Result<FileId> {
        Ok(FileId::of_stat(&fstat(file)?))
    }

    /// The file with such a status.
    pub fn of_stat(found: &Stat) -> FileId {
        FileId { device: found.st_dev, inode: found.st_ino }
    }
}

/// Reads all of `into` from `offset` on; `UnexpectedEof` where the file ends before.
pub(crate) fn read_exact_at(file: impl AsFd, into: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        match pread(&file, &mut into[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => done += bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// What tells this file, on this boot of the machine, from every other.
pub(crate) fn identity(file: impl AsFd) -> io::Result<Identity> {
    let id = FileId::of(file)?;
    let boot = read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    // Zeros where there is no `/proc`; see `Identity::matches`.
    let half = |range| digits.get(range).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let [low, high] = [half(16..32), half(0..16)].map(|half| half.unwrap_or(0));
    Ok(Identity([low, high, id.device, id.inode]))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn only_known_file_systems_pass_and_hugetlbfs_never() {
        let shm = rustix::fs::statfs("/dev/shm").unwrap();
        let proc = rustix::fs::statfs("/proc").unwrap();
        assert!(is_tmpfs(&shm) && !is_tmpfs(&proc));
        assert!(is_safe(kind(&shm), false));
        assert!(free_bytes(&shm) > 0);
        assert!(!is_safe(kind(&proc), false));
        assert!(is_safe(kind(&proc), true));
        assert!(!is_safe(HUGETLBFS, true));
    }
}
