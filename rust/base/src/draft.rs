//! The file of a map that is being made: one without a name until it is complete, or in memory
//! only.
//!
//! Where it has to have a name before it gets its own, that is a random one, `.shf-*.tmp`. Who dies
//! then leaves it behind. So who makes a file under such a name holds the *draft byte* of the file,
//! and who comes next to use such a name, or to write a frozen map into the folder, deletes those
//! that nobody holds (`remove_left`). A name that means a map already, because somebody died
//! between giving it the one and taking away the other, is one of them.

use crate::byte_lock::ByteRange;
use crate::crash;
use crate::map_file::{Access, MapFile, magic_link};
use crate::place::Place;
use rustix::fs::{AtFlags, CWD, Dir, FileType, MemfdFlags, Mode, OFlags, SealFlags, access};
use rustix::fs::{
    fchmod, fcntl_add_seals, fstat, linkat, memfd_create, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Names tried for a file that has to have one from the start.
const TEMPORARY_NAMES: u32 = 16;
/// What they begin and end with, and hexadecimal digits between that.
const TEMPORARY_BEGIN: &str = ".shf-";
const TEMPORARY_DIGITS: usize = 16;
const TEMPORARY_END: &str = ".tmp";
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
                remove_left(place);
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
                // Where there are no locks, nobody deletes it either.
                let _ = ByteRange::DRAFT.try_lock(&self.file);
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
        let file = openat(&place.folder, name, flags, mode)?;
        // Somebody may take it for one that was left behind, before it is locked.
        let locked = ByteRange::DRAFT.try_lock(&file);
        let is_taken = locked.is_ok_and(|locked| !locked) || fstat(&file)?.st_nlink == 0;
        if is_taken { Err(Errno::EXIST) } else { Ok((file, name.into())) }
    })
}

/// Deletes the files in the folder that somebody left who died while he made them. What cannot be
/// read, locked or deleted stays.
pub(crate) fn remove_left(place: &Place) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = openat(&place.folder, ".", flags, Mode::empty()) else { return };
    let Ok(entries) = Dir::new(folder) else { return };
    for entry in entries.flatten() {
        if is_temporary(entry.file_name().to_bytes()) {
            let _ = remove_if_left(place, entry.file_name());
        }
    }
}

/// Deletes a file with such a name, if it is one and nobody is making it. The name is never given
/// to another one.
fn remove_if_left(place: &Place, name: &CStr) -> io::Result<()> {
    let guards = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(&place.folder, name, OFlags::RDWR | guards, Mode::empty())?;
    let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
    // Held until it is deleted: who has just made it and wants to lock it shall notice.
    if is_file && ByteRange::DRAFT.try_lock(&file)? {
        crash::step();
        unlinkat(&place.folder, name, AtFlags::empty())?;
    }
    Ok(())
}

fn is_temporary(name: &[u8]) -> bool {
    let digits = name
        .strip_prefix(TEMPORARY_BEGIN.as_bytes())
        .and_then(|rest| rest.strip_suffix(TEMPORARY_END.as_bytes()));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.is_some_and(|digits| digits.len() == TEMPORARY_DIGITS && digits.iter().all(is_digit))
}

/// Has `make` use a name that nobody has yet.
fn with_temporary_name<T>(make: impl Fn(&str) -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..TEMPORARY_NAMES {
        match make(&format!("{TEMPORARY_BEGIN}{:0TEMPORARY_DIGITS$x}{TEMPORARY_END}", random()?)) {
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
