//! Where a map lies: a folder, held open, and a checked file name in it; and the errors of both.

use crate::crash;
use crate::error::{OpError, OpenError};
use crate::geometry::PAGE_BYTES;
use rustix::fs::{CWD, Mode, OFlags, fsync, openat};
use rustix::io::Errno;
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
        let opened = opened.map_err(|errno| error(folder, "open", errno, "read"))?;
        Ok(Place { folder: opened, file_name, path })
    }

    /// The error that a failed system call on the file means.
    pub fn error(&self, call: &'static str, errno: impl Into<io::Error>) -> OpenError {
        error(&self.path, call, errno, "write")
    }

    /// The same, of what failed on the mapped bytes.
    pub fn op_error(&self, error: OpError) -> OpenError {
        match error {
            OpError::System { call, errno } => {
                self.error(call, io::Error::from_raw_os_error(errno))
            }
            OpError::NoSpace { needed_bytes, .. } => {
                OpenError::NoSpace { path: self.path.clone(), needed_bytes }
            }
            error => OpenError::Failed { path: self.path.clone(), error },
        }
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

    /// As `error`, where reading was all that was asked for.
    pub fn read_error(&self, call: &'static str, errno: impl Into<io::Error>) -> OpenError {
        error(&self.path, call, errno, "read")
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

fn error(
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
