//! Attaches to the file of an existing map.
//!
//! Nothing of the file is trusted: its type, its file system, its length and its header are checked
//! through the descriptor before any of it is mapped.

use crate::appearance::Appearance;
use crate::cancellation::Uncancellable;
use crate::counts::Usage;
use crate::error::{OpError, OpenError};
use crate::file_system;
use crate::format::{FileHeader, HEADER_BYTES, Identity};
use crate::geometry::{Geometry, SLOTS_NEAR};
use crate::map_file::MapFile;
use crate::mapping;
use crate::place::Place;
use crate::slot::Presence;
use crate::storage::Storage;
use rustix::fs::{FileType, Mode, OFlags, StatFs, fstat, fstatfs, openat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// What an open map is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading; needs only the permission to read the file, and takes no slot.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// An open map.
pub struct Opened {
    /// Its bytes.
    pub storage: Storage,
    /// A private copy of the immutable part of its header, verified.
    pub header: FileHeader,
    /// This process's slot; `None` when the map is open for reading only.
    pub presence: Option<Presence>,
    /// What it does through this handle.
    pub usage: Usage,
}

/// Opens the map `name` in `folder`, which must exist. `allow_any_file_system` accepts a file
/// system that is not known to be safe.
pub fn open(
    folder: &Path,
    name: &str,
    access: Access,
    allow_any_file_system: bool,
) -> Result<Opened, OpenError> {
    open_as(folder, name, access, allow_any_file_system, &Appearance::default())
}

/// As `open`; `appearance` is how the others see this process. Who only reads is not seen, and can
/// have no role.
pub fn open_as(
    folder: &Path,
    name: &str,
    access: Access,
    allow_any_file_system: bool,
    appearance: &Appearance,
) -> Result<Opened, OpenError> {
    let _uncancellable = Uncancellable::new();
    appearance.check(access == Access::ReadWrite)?;
    let place = Place::new(folder, name)?;
    let file = open_file(&place, access)?;
    check_file_system(&place, &file, allow_any_file_system)?;
    let header = read_header(&place, &file)?;
    let geometry = header.geometry;
    let writable = access == Access::ReadWrite;
    let len = geometry.file_bytes();
    let region =
        mapping::map(&file, len, writable).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM) => OpenError::AddressSpace { needed_bytes: len },
            _ => place.error("mmap", error),
        })?;
    let identity = file_system::identity(&file).map_err(|error| place.error("fstat", error))?;
    if header.durable && !identity.tells_boots() {
        let expected = "one in /proc, for a durable map";
        return Err(incompatible(&place, "boot id", expected, "none"));
    }
    let file = MapFile::new(file, &place.path).map_err(|error| place.error("fstat", error))?;
    let (region, file) = (Arc::new(region), Arc::new(file));
    let storage = Storage::new(region.clone(), &header.geometry, Some(file.clone()));
    let usage = Usage::new();
    if !writable {
        if header.durable && !identity.matches(&Identity::load(&region)) {
            return Err(OpenError::NeedsRecovery { path: place.path });
        }
        return Ok(Opened { storage, header, presence: None, usage });
    }
    ensure_front(&place, &storage, &geometry)?;
    let counts = usage.tally();
    let presence = Presence::take(&region, &file, header, identity, appearance, counts)?;
    Ok(Opened { storage, header, presence: Some(presence), usage })
}

/// Makes everything in front of the windows real, but for the slot records behind the first page of
/// them, which nobody may ever use.
/// In a copy of a map, made by a tool that skips zeros, some of it may be a hole.
pub(crate) fn ensure_front(
    place: &Place,
    storage: &Storage,
    geometry: &Geometry,
) -> Result<(), OpenError> {
    let (ledger, end) = (geometry.ledger(0), geometry.front_bytes());
    let near = geometry.slot_record_page(SLOTS_NEAR);
    let done = storage.ensure(0, near).and_then(|()| storage.ensure(ledger, end - ledger));
    done.map_err(|error| match error {
        OpError::NoSpace { .. } => {
            OpenError::NoSpace { path: place.path.clone(), needed_bytes: end }
        }
        OpError::Truncated { expected_bytes, found_bytes } => {
            let (expected, found) = (expected_bytes.to_string(), found_bytes.to_string());
            incompatible(place, "length of the file", &expected, &found)
        }
        other => place.op_error(other),
    })
}

/// Refuses a file or folder on a file system that maps are not safe on; what is known of others.
pub(crate) fn check_file_system(
    place: &Place,
    file: impl AsFd,
    allow_any: bool,
) -> Result<StatFs, OpenError> {
    let found = fstatfs(file).map_err(|errno| place.error("fstatfs", errno))?;
    let f_type = file_system::kind(&found);
    if file_system::is_safe(f_type, allow_any) {
        return Ok(found);
    }
    Err(OpenError::UnsupportedFileSystem { path: place.path.clone(), f_type })
}

/// Opens a regular file, without following a symbolic link or waiting for the other end of a pipe.
fn open_file(place: &Place, access: Access) -> Result<File, OpenError> {
    let mode = if access == Access::ReadWrite { OFlags::RDWR } else { OFlags::RDONLY };
    let guards = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = openat(&place.folder, &place.file_name, mode | guards, Mode::empty());
    let file = File::from(opened.map_err(|errno| match (errno, access) {
        (Errno::LOOP, _) => incompatible(place, "type of the file", "a regular file", "a link"),
        (Errno::ISDIR, _) => incompatible(place, "type of the file", "a regular file", "a folder"),
        (_, Access::ReadOnly) => place.read_error("open", errno),
        (_, Access::ReadWrite) => place.error("open", errno),
    })?);
    let found = fstat(&file).map_err(|errno| place.error("fstat", errno))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => {
            Err(incompatible(place, "type of the file", "a regular file", "a folder"))
        }
        other => {
            let found = format!("{other:?}");
            Err(incompatible(place, "type of the file", "a regular file", &found))
        }
    }
}

fn read_header(place: &Place, file: &File) -> Result<FileHeader, OpenError> {
    let found = fstat(file).map_err(|errno| place.error("fstat", errno))?;
    let file_bytes = u64::try_from(found.st_size).unwrap_or(0);
    if file_bytes < HEADER_BYTES as u64 {
        let expected = format!("at least {HEADER_BYTES} bytes");
        let found = format!("{file_bytes} bytes");
        return Err(incompatible(place, "length of the file", &expected, &found));
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(|error| place.read_error("pread", error))?;
    FileHeader::decode(&bytes, file_bytes)
        .map_err(|wrong| incompatible(place, wrong.field, &wrong.expected, &wrong.found))
}

fn incompatible(place: &Place, field: &'static str, expected: &str, found: &str) -> OpenError {
    let (path, expected, found) = (place.path.clone(), expected.into(), found.into());
    OpenError::Incompatible { path, field, expected, found }
}
