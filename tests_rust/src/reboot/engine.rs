//! A stand-in for the durable engine, until there is one.

use crate::map_file::MapFile;
use shf_base::crash;
use shf_base::error::{OpError, OpenError};
use shf_engine::{Map, Options};
use std::fs::File;
use std::path::Path;

/// Whether a recovery can be asked for.
pub const RECOVERS: bool = false;

/// Options of a durable map.
pub fn options(shards: u32, max_bytes: u64, secret: u64) -> Options {
    Options {
        shards: Some(shards),
        max_bytes: Some(max_bytes),
        secret: Some(secret),
        ..Options::default()
    }
}

/// `Map::sync`.
pub fn sync(_map: &Map, path: &Path) -> Result<(), OpError> {
    let file = File::open(path).unwrap();
    for _ in 0..2 {
        crash::step();
        file.sync_data().map_err(|error| OpError::System {
            call: "fdatasync",
            errno: error.raw_os_error().unwrap_or(0),
        })?;
    }
    crash::step();
    Ok(())
}

/// Opens a map for writing.
pub fn open(file: &MapFile) -> Result<Map, OpenError> {
    Map::open(file.folder(), file.name(), &Options::default())
}

/// Whether a file says that it must be recovered.
pub fn assert_needs_recovery(_file: &MapFile) -> Result<(), String> {
    Ok(())
}

/// How many records were torn, of a map that was recovered when it was opened.
pub fn lost(_map: &Map) -> Result<usize, String> {
    Ok(0)
}
