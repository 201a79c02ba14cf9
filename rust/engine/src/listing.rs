//! The maps in a folder, and what can be said of each without opening it.

use crate::growth;
use crate::map::Map;
use crate::place::{Field, unpair};
use shf_base::error::OpenError;
use shf_base::listing::{self, Look};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file in a folder of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The map's name: that of the file without `.shf`. What is no UTF-8 in it is replaced.
    pub name: String,
    /// What is known of the map, or why it is none that `Map::open` could open.
    pub facts: Result<Facts, OpenError>,
}

/// What is known of a map that nobody has to open for it. Counters are summed over its shards
/// without locks, and are those of a file that nobody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Keys, as `Map::size` counts them. Of a durable map that has to be recovered first, those
    /// that the file had at some time.
    pub keys: u64,
    /// Real bytes that the map has taken, by its own account, headers included.
    pub committed_bytes: u64,
    /// Bytes that the file takes, as the file system counts them.
    pub real_bytes: u64,
    /// Length of the file: most of it is no more than addresses.
    pub apparent_bytes: u64,
    /// The most that `committed_bytes` may become.
    pub max_bytes: u64,
    /// When it was created.
    pub created: SystemTime,
    /// `Options::durable` of its creator.
    pub durable: bool,
    /// `Options::evict` of its creator.
    pub evict: bool,
    /// `Options::temporary` of its creator.
    pub temporary: bool,
    /// Handles that may write, of all processes, as far as they have taken a process slot: a forked
    /// child does at its first write. Who only reads is not counted. The kernel tells, so the dead
    /// are not among them.
    pub users: u32,
}

impl Map {
    /// The maps in a folder, in the order of their names: all files that end with `.shf`. One that
    /// is no map, or may not be read, is listed with its error. Needs the permission to read the
    /// folder and the files only; opens no map, takes no process slot and writes nothing, but
    /// deletes the names of temporary maps whose creators are gone, if it may, and passes these
    /// over. Takes two system calls for each writing handle of a map, and one for each shard.
    ///
    /// Errors: `NotFound`, `PermissionDenied` and `System`, all of the folder.
    pub fn list(folder: &Path) -> Result<Vec<Listed>, OpenError> {
        let mut listed = Vec::new();
        for name in listing::names(folder)? {
            let facts = match name.to_str() {
                Some(name) => Look::at(folder, name).and_then(|look| facts(&look)),
                None => Err(OpenError::InvalidName {
                    name: name.to_string_lossy().into(),
                    reason: "it is no UTF-8",
                }),
            };
            // Gone since the folder was read, or just now.
            if !matches!(facts, Err(OpenError::NotFound { .. })) {
                listed.push(Listed { name: name.to_string_lossy().into(), facts });
            }
        }
        Ok(listed)
    }
}

fn facts(look: &Look) -> Result<Facts, OpenError> {
    let header = &look.header;
    let geometry = &header.geometry;
    let mut ledger = vec![0; geometry.shards() as usize];
    look.words(geometry.ledger(0), &mut ledger)?;
    let mut keys = 0u64;
    for shard in 0..geometry.shards() {
        keys = keys.saturating_add(keys_of(look, geometry.shard_header(shard))?);
    }
    Ok(Facts {
        keys,
        committed_bytes: growth::real_bytes(geometry, ledger),
        real_bytes: look.real_bytes,
        apparent_bytes: geometry.file_bytes(),
        max_bytes: header.max_bytes,
        created: SystemTime::UNIX_EPOCH + Duration::from_nanos(header.created_ns),
        durable: header.durable,
        evict: header.evicting,
        temporary: header.temporary,
        users: look.users,
    })
}

/// As `Place::keys`, of a shard whose header lies at an offset of the file.
fn keys_of(look: &Look, header: u64) -> Result<u64, OpenError> {
    let mut words = [0; ((Field::Elements as u64 - Field::Keys as u64) / 8 + 1) as usize];
    look.words(header + Field::Keys as u64, &mut words)?;
    let entries = u64::from(unpair(words[0]).0);
    Ok(entries.saturating_sub(words[words.len() - 1]))
}
