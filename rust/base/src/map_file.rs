//! The file of a map, through a descriptor that is not taken on trust.
//!
//! Forked children inherit the descriptor and open the file again through it, even when its name is
//! gone. But a daemon closes what it inherited, and soon the number means a log or a socket. So
//! each use asks the kernel first which file the number is; when it is another one, the file is
//! opened by its path, and what was opened must be the same file as well. `fork` closes the
//! descriptor in the end, unless the number belongs to somebody else by then.

use crate::file_system::FileId;
use crate::fork::SharedDescriptor;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf, absolute};
use std::sync::OnceLock;

/// The lowest number for a duplicate of a descriptor: those below have meanings of their own.
pub(crate) const DESCRIPTOR_MIN: i32 = 3;

/// What an open map is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading; needs only the permission to read the file, and takes no slot.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    /// How a file is opened for it.
    pub(crate) fn flags(self) -> OFlags {
        match self {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        }
    }
}

/// The file of a map. Any thread may use it, and forked children.
pub(crate) struct MapFile {
    descriptor: SharedDescriptor,
    id: FileId,
    /// Absolute: a daemon leaves its folder.
    path: PathBuf,
    /// Where the file lies since it was linked.
    linked: OnceLock<PathBuf>,
    /// How the descriptor may be used; so that one in its place can no more.
    access: OFlags,
}

impl MapFile {
    /// Takes over `file`, open for `access`, which can be opened again at `path`.
    pub fn new(file: File, path: &Path, access: Access) -> io::Result<MapFile> {
        let id = FileId::of(&file)?;
        let descriptor = SharedDescriptor::new(file.into(), id);
        let access = access.flags();
        Ok(MapFile { descriptor, id, path: anchored(path), linked: OnceLock::new(), access })
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Says that the file now lies at `path`.
    pub fn moved(&self, path: &Path) {
        let _ = self.linked.set(anchored(path));
    }

    /// Where the file can be opened.
    pub fn path(&self) -> &Path {
        self.linked.get().unwrap_or(&self.path)
    }

    /// A descriptor of the file, for use at once. `ESTALE`: the one that was there means another
    /// file by now, and so does the path.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match self.descriptor.get() {
            Some(descriptor) => Ok(descriptor),
            None => {
                self.descriptor.replace(self.open_at(self.path(), self.access | OFlags::NOFOLLOW)?);
                self.descriptor.get().ok_or_else(stale)
            }
        }
    }

    /// The file through an open file description of its own; needs the permission to write to it.
    pub fn reopen(&self) -> io::Result<OwnedFd> {
        let link = magic_link(self.descriptor()?);
        self.open_at(Path::new(&link), OFlags::RDWR)
            .or_else(|_| self.open_at(self.path(), OFlags::RDWR | OFlags::NOFOLLOW))
    }

    fn open_at(&self, path: &Path, how: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | how;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        if FileId::of(&opened)? == self.id { Ok(opened) } else { Err(stale()) }
    }
}

/// A name by which this process can open again what a descriptor means, where there is `/proc`.
pub(crate) fn magic_link(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

fn anchored(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}
