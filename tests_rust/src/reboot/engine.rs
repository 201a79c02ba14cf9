//! The calls of a durable map that these tests need.

use crate::map_file::MapFile;
use shf_base::error::{OpError, OpenError};
use shf_engine::{Map, Options};
use std::path::Path;

/// Whether a recovery can be asked for.
pub const RECOVERS: bool = true;

/// Whether what was recovered survives another crash without a sync.
pub const RECOVERY_SYNCS: bool = false;

/// Options of a durable map.
pub fn options(shards: u32, max_bytes: u64, secret: u64) -> Options {
    Options {
        shards: Some(shards),
        max_bytes: Some(max_bytes),
        secret: Some(secret),
        durable: Some(true),
        ..Options::default()
    }
}

/// `Map::sync`.
pub fn sync(map: &Map, _path: &Path) -> Result<(), OpError> {
    map.sync()
}

/// Opens a map for writing.
pub fn open(file: &MapFile) -> Result<Map, OpenError> {
    Map::open(file.folder(), file.name(), &Options::default())
}

/// Whether a file says that it must be recovered.
pub fn assert_needs_recovery(file: &MapFile) -> Result<(), String> {
    match Map::open_read_only(file.folder(), file.name(), &Options::default()) {
        Err(OpenError::NeedsRecovery { .. }) => Ok(()),
        Err(other) => Err(format!("opened for reading: {other}")),
        Ok(_) => Err("opened for reading before it was recovered".into()),
    }
}

/// How many records were torn, of a map that was recovered when it was opened.
pub fn lost(map: &Map) -> Result<usize, String> {
    Ok(map.recovered().ok_or("not recovered")?.lost.len())
}
