//! The ways to get at a map: create, open, whichever applies, by a name or a descriptor; remove; or
//! one on the heap.

pub use crate::attach::{Access, Opened, open, open_as, open_descriptor};
use crate::cancellation::Uncancellable;
use crate::counts::Usage;
pub use crate::create::{
    CreateOptions, Initial, MODE_DEFAULT, create, create_anonymous, create_with,
};
use crate::error::OpenError;
use crate::examine::{read_header, regular_bytes};
use crate::fixed_lengths::FixedLengths;
use crate::format::FileHeader;
#[cfg(feature = "fuzzing")]
use crate::format::{HEADER_BYTES, Mismatch};
use crate::geometry::Geometry;
use crate::place::Place;
use crate::region::Region;
use crate::slot::Presence;
use crate::storage::Storage;
use crate::temporary;
pub use crate::temporary::Temporary;
use crate::unlinking::{self, Unlinked};
use std::path::Path;
use std::sync::Arc;

/// How often `open_or_create` and `remove` start again because others create and remove the map
/// meanwhile.
const ATTEMPTS: u32 = 100;
/// The secret of maps on the heap, so that tests repeat.
pub const HEAP_SECRET: u64 = 0x5eed_5eed_5eed_5eed;

/// Opens the map for writing, or creates it where there is none. `options` only apply to creation.
pub fn open_or_create(
    folder: &Path,
    name: &str,
    options: &CreateOptions,
) -> Result<Opened, OpenError> {
    let allow = options.allow_any_file_system;
    let open = || open_as(folder, name, Access::ReadWrite, allow, &options.appearance);
    let mut result = open();
    for _ in 0..ATTEMPTS {
        result = match result {
            Err(OpenError::NotFound { .. }) => create(folder, name, options),
            Err(OpenError::AlreadyExists { .. }) => open(),
            other => return other,
        };
        if let Err(OpenError::NotFound { path }) = &result {
            // Not the map but the folder is missing.
            if path == folder {
                break;
            }
        }
    }
    result
}

/// Removes the map's file. Processes that have the map open keep it until they close it. A
/// temporary map whose creator is gone is `NotFound`, and its name goes all the same.
pub fn remove(folder: &Path, name: &str) -> Result<(), OpenError> {
    let _uncancellable = Uncancellable::new();
    let place = Place::new(folder, name)?;
    for _ in 0..ATTEMPTS {
        let own = match unlinking::open_own(&place) {
            Ok(own) => own,
            Err(OpenError::NotFound { path }) => return Err(OpenError::NotFound { path }),
            // What cannot be locked: nobody else looks at its name before he deletes it.
            Err(_) => return unlinking::delete(&place),
        };
        let Ok(file_bytes) = regular_bytes(&place.path, &own) else {
            return unlinking::delete(&place);
        };
        let header = read_header(&place.path, &own, file_bytes);
        let temporary = header.is_ok_and(|header| header.temporary);
        let orphan = temporary && temporary::is_orphan(&own, &place.path)?;
        match unlinking::unlink_waiting(&place, &own)? {
            Unlinked::Done if orphan => return Err(OpenError::NotFound { path: place.path }),
            Unlinked::Done => return Ok(()),
            Unlinked::Other | Unlinked::Busy => {}
        }
    }
    Err(unlinking::busy(&place))
}

/// A map on the heap, for tests under Miri and the model checker: one process, always real, with
/// the same secret each time. Panics when the numbers are no geometry or memory is short.
pub fn heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Opened {
    heap_of(shards, window_bytes, max_bytes, |header| header)
}

/// As `heap`, of a durable map, of which nothing is ever written to a disk.
pub fn durable_heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Opened {
    heap_of(shards, window_bytes, max_bytes, |header| FileHeader { durable: true, ..header })
}

/// As `heap`, of a map that evicts keys when it is full.
pub fn evicting_heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Opened {
    heap_of(shards, window_bytes, max_bytes, |header| FileHeader { evicting: true, ..header })
}

/// As `heap`, of a map with fixed lengths.
pub fn fixed_heap(shards: u32, window_bytes: u64, max_bytes: u64, fixed: FixedLengths) -> Opened {
    let fixed = Some(fixed);
    heap_of(shards, window_bytes, max_bytes, |header| FileHeader { fixed, ..header })
}

fn heap_of(
    shards: u32,
    window_bytes: u64,
    max_bytes: u64,
    with: impl FnOnce(FileHeader) -> FileHeader,
) -> Opened {
    let geometry = Geometry::new(shards, window_bytes).expect("a valid geometry");
    let region = Region::heap(geometry.file_bytes()).expect("enough memory");
    let header = with(FileHeader::plain(geometry, max_bytes, HEAP_SECRET, 0));
    header.store(&region);
    let region = Arc::new(region);
    let usage = Usage::new();
    let presence = Some(Presence::single(&region, &geometry, usage.tally()));
    let storage = Storage::new(region, &geometry, None);
    Opened { storage, header, presence, usage, temporary: None, created: false }
}

/// Attaches to the bytes of a region as `open` does to those of a file, for fuzzing: all of them
/// are real, and nobody else is attached.
#[cfg(feature = "fuzzing")]
pub fn region(region: &Arc<Region>, access: Access) -> Result<Opened, Mismatch> {
    let mut bytes = [0; HEADER_BYTES];
    if let Some(header) = region.bytes(0, HEADER_BYTES as u64) {
        header.copy_out(0, &mut bytes);
    }
    let header = FileHeader::decode(&bytes, region.len())?;
    let storage = Storage::new(region.clone(), &header.geometry, None);
    let usage = Usage::new();
    let single = || Presence::single(region, &header.geometry, usage.tally());
    let presence = (access == Access::ReadWrite).then(single);
    Ok(Opened { storage, header, presence, usage, temporary: None, created: false })
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
