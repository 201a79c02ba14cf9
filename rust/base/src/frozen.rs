//! Writes and verifies the files of frozen maps: made without a name, written from front to back
//! and header last, then put into place, so that nobody ever sees half of one.
//!
//! They are written with ordinary calls, so a full disk is an error, and any file system will do.

use crate::cancellation::Uncancellable;
use crate::crash;
use crate::draft::{self, Draft};
use crate::error::{OpError, OpenError};
use crate::examine;
use crate::file_system::FileId;
use crate::format::{FileHeader, HEADER_BYTES};
use crate::geometry::PAGE_BYTES;
use crate::limits;
use crate::place::Place;
use crate::storage::Storage;
use crate::unlinking::{self, NameLock};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Uid};
use rustix::fs::{fchmod, fchown, fstat, fsync, ftruncate, statat};
use rustix::io::{Errno, pread, pwrite};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// How often a file is given its name, where others take it, or take it away.
const ATTEMPTS: u32 = 100;
/// Bytes that are read at a time to be verified.
const PIECE_BYTES: usize = 256 << 10;

/// A file that is being written. It has no name yet.
pub struct FrozenFile<'d> {
    place: &'d Place,
    file: &'d File,
}

/// What may be in the place that a frozen map is to have, besides another frozen map.
#[derive(Clone, Copy)]
pub enum Replaces<'s> {
    /// Nothing.
    Nothing,
    /// The map that is frozen, which nobody else has open.
    Itself(&'s Storage),
}

/// A frozen map that has its name.
pub struct Named<A> {
    /// What `fill` answered.
    pub answer: A,
    /// Whether the name is on the disk. If not, a crash of the machine may bring back what it meant
    /// before, if anything.
    pub lasting: Result<(), OpenError>,
}

/// Writes the frozen map `name` into `folder`, which must exist. `fill` writes all that lies behind
/// the header page and returns the header, whose checksum is not known yet, with an answer of its
/// own. Another frozen map is replaced at once, by name: who has that open keeps it. `of` is the
/// map that it is made from, whose permissions it gets.
///
/// Errors: `AlreadyExists` when something else has the name; those of `fill`; as `create`. Then the
/// name means what it did.
pub fn write<A>(
    (folder, name): (&Path, &str),
    of: &Storage,
    replaces: Replaces<'_>,
    fill: impl FnOnce(&FrozenFile<'_>) -> Result<(FileHeader, A), OpenError>,
) -> Result<Named<A>, OpenError> {
    let _uncancellable = Uncancellable::new();
    let place = Place::new(folder, name)?;
    check_vacancy(&place, replaces)?;
    draft::remove_left(&place);
    let mut draft = Draft::new(&place).map_err(|errno| place.error("open", errno))?;
    let frozen = FrozenFile { place: &place, file: &draft.file };
    let (header, answer) = fill(&frozen)?;
    frozen.finish(header)?;
    frozen.take_permissions(of)?;
    frozen.flush()?;
    give_name(&mut draft, &place, replaces)?;
    Ok(Named { answer, lasting: place.flush_folder() })
}

/// Gives a finished file its name. What has it is looked at and replaced in one step, as far as
/// others take names away under a lock (`unlinking`): they do not where they may not write to the
/// file, or where the file system has no locks, which a map that others write to never is on.
fn give_name(
    draft: &mut Draft<'_>,
    place: &Place,
    replaces: Replaces<'_>,
) -> Result<(), OpenError> {
    for _ in 0..ATTEMPTS {
        if !check_vacancy(place, replaces)? {
            match draft.link() {
                Err(Errno::EXIST) => continue,
                done => return done.map_err(|errno| place.error("link", errno)),
            }
        }
        let own = unlinking::open_own(place);
        if let Err(OpenError::NotFound { .. }) = own {
            continue;
        }
        let name = match own.as_ref().ok().map(|own| NameLock::new(place, own)) {
            Some(Ok(name)) => Some(name),
            // Somebody keeps it.
            Some(Err(busy @ OpenError::System { errno: libc::EAGAIN, .. })) => return Err(busy),
            _ => None,
        };
        let is_there = name.as_ref().map_or(Ok(true), NameLock::means_file)?;
        if is_there && check_vacancy(place, replaces)? {
            return draft.replace().map_err(|errno| place.error("rename", errno));
        }
    }
    Err(OpenError::AlreadyExists { path: place.path.clone() })
}

/// Whether there is a file already; an error when it is not one to be replaced.
fn check_vacancy(place: &Place, replaces: Replaces<'_>) -> Result<bool, OpenError> {
    let found = match statat(&place.folder, &place.file_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => {
            return match replaces {
                Replaces::Nothing => Ok(false),
                Replaces::Itself(_) => Err(OpenError::NotFound { path: place.path.clone() }),
            };
        }
        Err(errno) => return Err(place.error("stat", errno)),
    };
    let path = place.path.clone();
    match replaces {
        Replaces::Itself(storage) if storage.file_id() == Some(FileId::of_stat(&found)) => Ok(true),
        // Its name means something else by now.
        Replaces::Itself(_) => Err(OpenError::NotFound { path }),
        Replaces::Nothing => {
            let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            let is_vacant = is_file && examine::is_frozen(place);
            if is_vacant { Ok(true) } else { Err(OpenError::AlreadyExists { path }) }
        }
    }
}

impl FrozenFile<'_> {
    /// Writes at a place in the file.
    ///
    /// Errors: `NoSpace`, also where a limit on the size of files is reached; `System`.
    pub fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<(), OpenError> {
        let end = offset.saturating_add(bytes.len() as u64);
        // The kernel answers this with SIGXFSZ.
        if end > limits::file_bytes_max() {
            return Err(self.no_space(end));
        }
        while !bytes.is_empty() {
            crash::step();
            match pwrite(self.file, bytes, offset) {
                Ok(0) => return Err(self.no_space(end)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return Err(self.no_space(end)),
                Err(errno) => return Err(self.place.error("pwrite", errno)),
            }
        }
        Ok(())
    }

    /// Forgets all that was written.
    pub fn empty(&self) -> Result<(), OpenError> {
        crash::step();
        ftruncate(self.file, 0).map_err(|errno| self.place.error("ftruncate", errno))
    }

    /// The error that an operation on the map that is read means.
    pub fn failed(&self, error: OpError) -> OpenError {
        OpenError::Failed { path: self.place.path.clone(), error }
    }

    fn finish(&self, header: FileHeader) -> Result<(), OpenError> {
        let file_bytes = header.geometry.file_bytes();
        if file_bytes > limits::file_bytes_max() {
            return Err(self.no_space(file_bytes));
        }
        crash::step();
        ftruncate(self.file, file_bytes).map_err(|errno| self.place.error("ftruncate", errno))?;
        let checksum = checksum(self.file, file_bytes);
        let checksum = checksum.map_err(|errno| self.place.error("pread", errno))?;
        let mut page = [0; PAGE_BYTES as usize];
        page[..HEADER_BYTES]
            .copy_from_slice(&FileHeader { frozen: Some(checksum), ..header }.encode());
        self.write_at(&page, 0)
    }

    fn flush(&self) -> Result<(), OpenError> {
        crash::step();
        fsync(self.file).map_err(|errno| self.place.error("fsync", errno))
    }

    /// Gives the file the permissions of a map's, and as far as this process may its owner and
    /// group. Without its group, that has no rights.
    fn take_permissions(&self, of: &Storage) -> Result<(), OpenError> {
        let Some(Stat { st_mode, st_uid, st_gid, .. }) = of.file_status() else { return Ok(()) };
        let mut mode = Mode::from_raw_mode(st_mode) & Mode::from_raw_mode(0o777);
        crash::step();
        let (owner, group) = (Uid::from_raw(st_uid), Some(Gid::from_raw(st_gid)));
        // Only root gives files to others.
        let given =
            fchown(self.file, Some(owner), group).or_else(|_| fchown(self.file, None, group));
        if given.is_err() {
            // Another group than that which they were meant for.
            mode &= !(Mode::RWXG);
        }
        crash::step();
        fchmod(self.file, mode).map_err(|errno| self.place.error("fchmod", errno))
    }

    fn no_space(&self, needed_bytes: u64) -> OpenError {
        OpenError::NoSpace { path: self.place.path.clone(), needed_bytes }
    }
}

/// The checksum of a frozen map's file as it is now: XXH3-64 of all behind the header page. Reads
/// the file, not the mapping.
///
/// Errors: `Truncated`, `System`.
pub fn checksum_now(storage: &Storage) -> Result<u64, OpError> {
    let file = storage.file()?;
    let failed = |call| move |errno: Errno| OpError::System { call, errno: errno.raw_os_error() };
    let found_bytes = fstat(file).map_err(failed("fstat"))?.st_size as u64;
    let expected_bytes = storage.region().len();
    if found_bytes < expected_bytes {
        return Err(OpError::Truncated { expected_bytes, found_bytes });
    }
    checksum(file, expected_bytes).map_err(failed("pread"))
}

fn checksum(file: impl AsFd, end: u64) -> Result<u64, Errno> {
    let (mut hasher, mut piece) = (Xxh3::new(), vec![0; PIECE_BYTES]);
    let mut at = PAGE_BYTES;
    while at < end {
        let wanted = (PIECE_BYTES as u64).min(end - at) as usize;
        match pread(file.as_fd(), &mut piece[..wanted], at) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => {
                hasher.update(&piece[..read]);
                at += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(hasher.digest())
}
