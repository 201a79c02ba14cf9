//! Attaches to the file of an existing map, by its name or by a descriptor.
//!
//! Nothing of the file is trusted: its type, its file system, its length and its header are checked
//! through the descriptor before any of it is mapped.

use crate::appearance::Appearance;
use crate::cancellation::Uncancellable;
use crate::counts::Usage;
use crate::error::{OpError, OpenError};
use crate::examine::{examine, incompatible, open_file};
use crate::file_system;
use crate::format::{FileHeader, Identity};
use crate::geometry::{Geometry, SLOTS_NEAR};
pub use crate::map_file::Access;
use crate::map_file::{DESCRIPTOR_MIN, MapFile, magic_link};
use crate::mapping;
use crate::place::{self, Place, read_error};
use crate::slot::Presence;
use crate::storage::Storage;
use crate::temporary::{self, Temporary};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::fcntl_dupfd_cloexec;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open map.
pub struct Opened {
    /// Its bytes.
    pub storage: Storage,
    /// A private copy of the immutable part of its header, verified.
    pub header: FileHeader,
    /// This process's slot; `None` when the map is open for reading only.
    pub presence: Option<Presence>,
    /// What is done for the name of a temporary map at the end.
    pub temporary: Option<Temporary>,
    /// Whether it was made with this handle.
    pub created: bool,
    /// What it does through this handle.
    pub usage: Usage,
}

/// Opens the map `name` in `folder`, which must exist. `allow_any_file_system` accepts a file
/// system that is not known to be safe. A temporary map whose creator is gone is `NotFound`, and
/// its name goes, if this process may do that.
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
    let header = examine(&place.path, &file, allow_any_file_system)?;
    if header.temporary && temporary::is_orphan(&file, &place.path)? {
        // Whoever looks next tries it again.
        let _ = temporary::bury(&place, &file);
        return Err(OpenError::NotFound { path: place.path });
    }
    attach(&place.path, file, header, access, appearance)
}

/// Opens the map whose file `descriptor` means, whatever its name, through a duplicate; for reading
/// only where the descriptor is for no more, and `appearance` as in `open_as`. A map without a name
/// needs `/proc` to be written to.
pub fn open_descriptor(
    descriptor: BorrowedFd<'_>,
    access: Access,
    allow_any_file_system: bool,
    appearance: &Appearance,
) -> Result<Opened, OpenError> {
    let _uncancellable = Uncancellable::new();
    let link = std::fs::read_link(magic_link(descriptor));
    let path =
        link.unwrap_or_else(|_| PathBuf::from(format!("descriptor {}", descriptor.as_raw_fd())));
    let mode =
        fcntl_getfl(descriptor).map_err(|errno| read_error(&path, "fcntl(F_GETFL)", errno))?;
    let access = match mode & (OFlags::RWMODE | OFlags::PATH) {
        OFlags::RDWR => access,
        OFlags::RDONLY => Access::ReadOnly,
        _ => return Err(OpenError::PermissionDenied { path, wanted: "read" }),
    };
    appearance.check(access == Access::ReadWrite)?;
    let file = fcntl_dupfd_cloexec(descriptor, DESCRIPTOR_MIN)
        .map_err(|errno| read_error(&path, "fcntl(F_DUPFD_CLOEXEC)", errno))?;
    let file = File::from(file);
    let header = examine(&path, &file, allow_any_file_system)?;
    if access == Access::ReadWrite {
        check_proc(&path, &file)?;
    }
    attach(&path, file, header, access, appearance)
}

/// Refuses to go on where a file could not be opened again through its descriptor.
pub(crate) fn check_proc(path: &Path, file: impl AsFd) -> Result<(), OpenError> {
    let found = rustix::fs::access(magic_link(file), rustix::fs::Access::EXISTS);
    found.map_err(|_| OpenError::ProcMissing { path: path.into() })
}

/// Maps a file whose header is `header`, as found by `examine`.
fn attach(
    path: &Path,
    file: File,
    header: FileHeader,
    access: Access,
    appearance: &Appearance,
) -> Result<Opened, OpenError> {
    let is_frozen = header.frozen.is_some();
    if is_frozen && access == Access::ReadWrite {
        return Err(OpenError::Frozen { path: path.into() });
    }
    let (geometry, created) = (header.geometry, false);
    let writable = access == Access::ReadWrite;
    let usage = Usage::new();
    let len = geometry.file_bytes();
    let region =
        mapping::map(&file, len, writable).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM) => OpenError::AddressSpace { needed_bytes: len },
            _ => place::error(path, "mmap", error),
        })?;
    if is_frozen {
        let file =
            MapFile::new(file, path, access).map_err(|error| place::error(path, "fstat", error))?;
        let storage = Storage::new(Arc::new(region), &geometry, Some(Arc::new(file)));
        return Ok(Opened { storage, header, presence: None, usage, temporary: None, created });
    }
    let identity =
        file_system::identity(&file).map_err(|error| place::error(path, "fstat", error))?;
    if header.durable && !identity.tells_boots() {
        let expected = "one in /proc, for a durable map";
        return Err(incompatible(path, "boot id", expected, "none"));
    }
    let file =
        MapFile::new(file, path, access).map_err(|error| place::error(path, "fstat", error))?;
    let (region, file) = (Arc::new(region), Arc::new(file));
    let storage = Storage::new(region.clone(), &header.geometry, Some(file.clone()));
    let temporary = header.temporary.then(|| Temporary::of_guest(&file));
    if !writable {
        if header.durable && !identity.matches(&Identity::load(&region)) {
            return Err(OpenError::NeedsRecovery { path: path.into() });
        }
        return Ok(Opened { storage, header, presence: None, usage, temporary, created });
    }
    ensure_front(path, &storage, &geometry)?;
    let presence = Presence::take(&region, &file, header, identity, appearance, usage.tally())?;
    Ok(Opened { storage, header, presence: Some(presence), usage, temporary, created })
}

/// Makes everything in front of the windows real, but for the slot records behind the first page of
/// them, which nobody may ever use.
/// In a copy of a map, made by a tool that skips zeros, some of it may be a hole.
pub(crate) fn ensure_front(
    path: &Path,
    storage: &Storage,
    geometry: &Geometry,
) -> Result<(), OpenError> {
    let (ledger, end) = (geometry.ledger(0), geometry.front_bytes());
    let near = geometry.slot_record_page(SLOTS_NEAR);
    let done = storage.ensure(0, near).and_then(|()| storage.ensure(ledger, end - ledger));
    done.map_err(|error| match error {
        OpError::NoSpace { .. } => OpenError::NoSpace { path: path.into(), needed_bytes: end },
        OpError::Truncated { expected_bytes, found_bytes } => {
            let (expected, found) = (expected_bytes.to_string(), found_bytes.to_string());
            incompatible(path, "length of the file", &expected, &found)
        }
        other => place::op_error(path, other),
    })
}
