//! What the file of a map says before it is mapped: its type, its file system, its length and its
//! header. Nothing of it is trusted.

use crate::error::OpenError;
use crate::file_system;
use crate::format::{FileHeader, HEADER_BYTES};
use crate::map_file::Access;
use crate::place::{self, Place, read_error};
use rustix::fs::{FileType, StatFs, fstat, fstatfs};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

const FILE_TYPE: &str = "type of the file";
const REGULAR: &str = "a regular file";

/// Refuses a file or folder on a file system that maps are not safe on; what is known of others.
pub(crate) fn check_file_system(
    path: &Path,
    file: impl AsFd,
    allow_any: bool,
) -> Result<StatFs, OpenError> {
    let found = fstatfs(file).map_err(|errno| place::error(path, "fstatfs", errno))?;
    let f_type = file_system::kind(&found);
    if file_system::is_safe(f_type, allow_any) {
        return Ok(found);
    }
    Err(OpenError::UnsupportedFileSystem { path: path.into(), f_type })
}

/// Opens what has the name of a map.
pub(crate) fn open_file(place: &Place, access: Access) -> Result<File, OpenError> {
    let opened = place.open(access.flags());
    Ok(File::from(opened.map_err(|errno| match (errno, access) {
        (Errno::LOOP, _) => incompatible(&place.path, FILE_TYPE, REGULAR, "a link"),
        (Errno::ISDIR, _) => incompatible(&place.path, FILE_TYPE, REGULAR, "a folder"),
        (_, Access::ReadOnly) => read_error(&place.path, "open", errno),
        (_, Access::ReadWrite) => place.error("open", errno),
    })?))
}

/// The header of a map's file, verified, after its type, its file system and its length.
pub(crate) fn examine(path: &Path, file: &File, allow_any: bool) -> Result<FileHeader, OpenError> {
    let file_bytes = regular_bytes(path, file)?;
    let header = read_header(path, file, file_bytes);
    // What nobody writes to is safe anywhere.
    let is_frozen = header.as_ref().is_ok_and(|header| header.frozen.is_some());
    check_file_system(path, file, allow_any || is_frozen)?;
    header
}

/// Whether a frozen map has this name.
pub(crate) fn is_frozen(place: &Place) -> bool {
    let header = open_file(place, Access::ReadOnly)
        .and_then(|file| read_header(&place.path, &file, regular_bytes(&place.path, &file)?));
    header.is_ok_and(|header| header.frozen.is_some())
}

/// The length of a file, which must be a regular one.
pub(crate) fn regular_bytes(path: &Path, file: impl AsFd) -> Result<u64, OpenError> {
    let found = fstat(file).map_err(|errno| place::error(path, "fstat", errno))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(found.st_size).unwrap_or(0)),
        FileType::Directory => Err(incompatible(path, FILE_TYPE, REGULAR, "a folder")),
        other => Err(incompatible(path, FILE_TYPE, REGULAR, &format!("{other:?}"))),
    }
}

/// The header of a file of so many bytes, verified.
pub(crate) fn read_header(
    path: &Path,
    file: impl AsFd,
    file_bytes: u64,
) -> Result<FileHeader, OpenError> {
    if file_bytes < HEADER_BYTES as u64 {
        let expected = format!("at least {HEADER_BYTES} bytes");
        let found = format!("{file_bytes} bytes");
        return Err(incompatible(path, "length of the file", &expected, &found));
    }
    let mut bytes = [0; HEADER_BYTES];
    file_system::read_exact_at(file, &mut bytes, 0)
        .map_err(|error| read_error(path, "pread", error))?;
    FileHeader::decode(&bytes, file_bytes)
        .map_err(|wrong| incompatible(path, wrong.field, &wrong.expected, &wrong.found))
}

pub(crate) fn incompatible(
    path: &Path,
    field: &'static str,
    expected: &str,
    found: &str,
) -> OpenError {
    let (expected, found) = (expected.into(), found.into());
    OpenError::Incompatible { path: path.into(), field, expected, found }
}
