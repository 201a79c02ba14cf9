//! The file of a map that is being made: one without a name until it is complete, or in memory only.

use crate::crash;
use crate::map_file::{Access, MapFile, magic_link};
use crate::place::Place;
use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags, access, fchmod};
use rustix::fs::{fcntl_add_seals, linkat, memfd_create, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Names tried for a file that has to have one from the start.
const TEMPORARY_NAMES: u32 = 16;
/// What `/proc` calls the file of an anonymous map.
const MEMORY_NAME: &str = "shf";

/// A file that is being made. Where the file system has none without a name, or `/proc` is
/// missing, through which one gets its name, it has a random one, removed again at the end.
pub(crate) struct Draft<'p> {
    place: &'p Place,
    pub file: File,
    temporary: Option<String>,
}

impl<'p> Draft<'p> {
    pub fn new(place: &'p Place) -> Result<Draft<'p>, Errno> {
        // The owner can open it again whatever the umask says.
        let mode = Mode::RUSR | Mode::WUSR;
        let (file, temporary) = match open_unnamed(place, mode) {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                let (file, name) = open_named(place, mode)?;
                (file, Some(name))
            }
            Err(errno) => return Err(errno),
        };
        let draft = Draft { place, file: File::from(file), temporary };
        crash::step();
        fchmod(&draft.file, mode)?;
        Ok(draft)
    }

    /// The file for use by the map; until it is linked it can be opened by its temporary name.
    pub fn map_file(&self) -> io::Result<MapFile> {
        let name = self.temporary.as_deref().unwrap_or(&self.place.file_name);
        let path = self.place.path.with_file_name(name);
        MapFile::new(self.file.try_clone()?, &path, Access::ReadWrite)
    }

    /// Gives the finished file its name, unless that is taken.
    pub fn link(&self) -> Result<(), Errno> {
        self.link_as(&self.place.file_name)
    }

    /// Gives it the name that another file has, which loses it at the same moment.
    pub fn replace(&mut self) -> Result<(), Errno> {
        let folder = &self.place.folder;
        let temporary = match &self.temporary {
            Some(temporary) => temporary.clone(),
            None => {
                let temporary =
                    with_temporary_name(|name| self.link_as(name).map(|()| name.into()));
                self.temporary.insert(temporary?).clone()
            }
        };
        crash::step();
        renameat(folder, &temporary, folder, &self.place.file_name)?;
        self.temporary = None;
        Ok(())
    }

    fn link_as(&self, name: &str) -> Result<(), Errno> {
        let folder = &self.place.folder;
        crash::step();
        match &self.temporary {
            Some(temporary) => linkat(folder, temporary, folder, name, AtFlags::empty()),
            None => linkat(CWD, magic_link(&self.file), folder, name, AtFlags::SYMLINK_FOLLOW),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            crash::step();
            let _ = unlinkat(&self.place.folder, name, AtFlags::empty());
        }
    }
}

fn open_unnamed(place: &Place, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    crash::step();
    let file = openat(&place.folder, ".", flags, mode)?;
    access(magic_link(&file), rustix::fs::Access::EXISTS)?;
    Ok(file)
}

fn open_named(place: &Place, mode: Mode) -> Result<(OwnedFd, String), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    with_temporary_name(|name| {
        crash::step();
        openat(&place.folder, name, flags, mode).map(|file| (file, name.into()))
    })
}

/// Has `make` use a name that nobody has yet.
fn with_temporary_name<T>(make: impl Fn(&str) -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..TEMPORARY_NAMES {
        match make(&format!(".shf-{:016x}.tmp", random()?)) {
            Err(Errno::EXIST) => continue,
            made => return made,
        }
    }
    Err(Errno::EXIST)
}

/// A file in memory without a name, not to be executed, that `seal` can be called for.
pub(crate) fn open_in_memory() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(MEMORY_NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know it; others may insist on it.
        Err(Errno::INVAL) => memfd_create(MEMORY_NAME, flags),
        file => file,
    }
}

/// Has the kernel refuse every change of the length of a file in memory, from now on. Its pages can
/// be made real and given back as before.
pub(crate) fn seal(file: &File) -> Result<(), Errno> {
    crash::step();
    fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
}

/// Eight random bytes.
pub(crate) fn random() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}
