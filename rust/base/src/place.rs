//! Where a map lies: a folder, held open, and a checked file name in it; and the errors of both.

use crate::crash;
use crate::error::{OpError, OpenError};
use crate::file_system::FileId;
use crate::geometry::PAGE_BYTES;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, openat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Longest name, in bytes: with the extension it fits into a file name of 255.
const NAME_BYTES_MAX: usize = 250;

/// The place of a map's file. The folder is held open, so that all steps see the same one.
pub(crate) struct Place {
    pub folder: OwnedFd,
    pub file_name: String,
    pub path: PathBuf,
}

impl Place {
    /// Checks the name and opens the folder.
    pub fn new(folder: &Path, name: &str) -> Result<Place, OpenError> {
        check_name(name)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, folder, flags, Mode::empty());
        let file_name = format!("{name}.shf");
        let path = folder.join(&file_name);
        let opened = opened.map_err(|errno| read_error(folder, "open", errno))?;
        Ok(Place { folder: opened, file_name, path })
    }

    /// The place of a file that lay at `path`.
    pub fn of(path: &Path) -> Result<Place, OpenError> {
        let name = path.file_name().and_then(OsStr::to_str).and_then(|it| it.strip_suffix(".shf"));
        let reason = "it is none of a map's file";
        let bad = || OpenError::InvalidName { name: path.display().to_string(), reason };
        Place::new(path.parent().ok_or_else(bad)?, name.ok_or_else(bad)?)
    }

    /// Opens what has the name, without following a symbolic link or waiting for the other end of
    /// a pipe.
    pub fn open(&self, access: OFlags) -> rustix::io::Result<OwnedFd> {
        let guards = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat(&self.folder, &self.file_name, access | guards, Mode::empty())
    }

    /// Which file has the name; none: nothing has it.
    pub fn file_id(&self) -> rustix::io::Result<Option<FileId>> {
        match statat(&self.folder, &self.file_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(FileId { device: found.st_dev, inode: found.st_ino })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The error that a failed system call on the file means.
    pub fn error(&self, call: &'static str, errno: impl Into<io::Error>) -> OpenError {
        error(&self.path, call, errno)
    }

    /// Makes the names in the folder survive a crash of the machine.
    pub fn flush_folder(&self) -> Result<(), OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        crash::step();
        match openat(&self.folder, ".", flags, Mode::empty()).and_then(fsync) {
            // A folder that this user may not list: the journals of ext4 and xfs write the name
            // with the first flush of the file.
            Err(Errno::ACCESS) => Ok(()),
            done => done.map_err(|errno| self.error("fsync of the folder", errno)),
        }
    }
}

/// A name is a plain file name: it cannot lead out of the folder.
fn check_name(name: &str) -> Result<(), OpenError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.contains('/') {
        "it contains '/'"
    } else if name.contains("..") {
        "it contains \"..\""
    } else if name.contains('\0') {
        "it contains a zero byte"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 250 bytes"
    } else {
        return Ok(());
    };
    Err(OpenError::InvalidName { name: name.into(), reason })
}

/// The error that a failed system call on a file or folder means, where writing was asked for.
pub(crate) fn error(path: &Path, call: &'static str, errno: impl Into<io::Error>) -> OpenError {
    error_of(path, call, errno, "write")
}

/// As `error`, where reading was all that was asked for.
pub(crate) fn read_error(
    path: &Path,
    call: &'static str,
    errno: impl Into<io::Error>,
) -> OpenError {
    error_of(path, call, errno, "read")
}

/// As `error`, of what failed on the mapped bytes.
pub(crate) fn op_error(path: &Path, found: OpError) -> OpenError {
    match found {
        OpError::System { call, errno } => error(path, call, io::Error::from_raw_os_error(errno)),
        OpError::NoSpace { needed_bytes, .. } => {
            OpenError::NoSpace { path: path.into(), needed_bytes }
        }
        error => OpenError::Failed { path: path.into(), error },
    }
}

fn error_of(
    path: &Path,
    call: &'static str,
    errno: impl Into<io::Error>,
    wanted: &'static str,
) -> OpenError {
    let path = path.to_path_buf();
    let errno = errno.into().raw_os_error().unwrap_or(libc::EIO);
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT => OpenError::NotFound { path },
        Errno::EXIST => OpenError::AlreadyExists { path },
        Errno::NOSPC | Errno::DQUOT => OpenError::NoSpace { path, needed_bytes: PAGE_BYTES },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => OpenError::PermissionDenied { path, wanted },
        _ => OpenError::System { path, call, errno },
    }
}
