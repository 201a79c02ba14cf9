//! Looks at the maps in a folder without opening any: no slot is taken, nothing is mapped.
//!
//! What a file says is read, not mapped, so that a stranger who cuts it short meanwhile is an error
//! and no signal, and so that looking makes no hole real.

use crate::byte_lock::ByteRange;
use crate::cancellation::Uncancellable;
use crate::error::OpenError;
use crate::examine::{open_file, read_header, regular_bytes};
use crate::file_system;
use crate::format::FileHeader;
use crate::map_file::Access;
use crate::place::{Place, read_error};
use crate::temporary;
use rustix::fs::fstat;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The bytes that one block of `stat` stands for.
const BLOCK_BYTES: u64 = 512;

/// A map's file, open for reading.
pub struct Look {
    file: File,
    path: PathBuf,
    /// The immutable part of its header, verified.
    pub header: FileHeader,
    /// Bytes that the file takes, as the file system counts them.
    pub real_bytes: u64,
    /// Handles that may write, of all processes.
    pub users: u32,
}

/// The names of all files in `folder` that end with `.shf`, without that, in order.
pub fn names(folder: &Path) -> Result<Vec<OsString>, OpenError> {
    let _uncancellable = Uncancellable::new();
    let failed = |error| read_error(folder, "reading the folder", error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.as_bytes().strip_suffix(b".shf") {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

impl Look {
    /// Looks at the map `name` in `folder`. `NotFound` also for a temporary map whose creator is
    /// gone, whose name goes then, if this process may do that.
    pub fn at(folder: &Path, name: &str) -> Result<Look, OpenError> {
        let _uncancellable = Uncancellable::new();
        let place = Place::new(folder, name)?;
        let file = open_file(&place, Access::ReadOnly)?;
        let file_bytes = regular_bytes(&place.path, &file)?;
        let header = read_header(&place.path, &file, file_bytes)?;
        if header.temporary && temporary::is_orphan(&file, &place.path)? {
            // Whoever looks next tries it again.
            let _ = temporary::bury(&place, &file);
            return Err(OpenError::NotFound { path: place.path });
        }
        let found = fstat(&file).map_err(|errno| read_error(&place.path, "fstat", errno))?;
        let real_bytes = u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES);
        let users = ByteRange::ALL_RECORDS.holders(&file).map(|held| held.len() as u32);
        let users = users.map_err(|error| read_error(&place.path, "fcntl(F_OFD_GETLK)", error))?;
        Ok(Look { file, path: place.path, header, real_bytes, users })
    }

    /// The words of the file from `offset` on, which may change at any time.
    pub fn words(&self, offset: u64, into: &mut [u64]) -> Result<(), OpenError> {
        let mut bytes = vec![0; into.len() * 8];
        file_system::read_exact_at(&self.file, &mut bytes, offset)
            .map_err(|error| read_error(&self.path, "pread", error))?;
        for (word, from) in into.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().expect("8 bytes"));
        }
        Ok(())
    }
}
