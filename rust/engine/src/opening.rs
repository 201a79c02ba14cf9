//! Maps are made, opened and removed, and recovered first where a crash of the machine left them torn.

use crate::age;
use crate::map::Map;
use crate::options::Options;
use crate::place::Place;
use crate::rebuild;
use crate::shard;
use shf_base::error::OpenError;
use shf_base::open::{self, Access, CreateOptions, Opened};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

impl Map {
    /// Makes the map `<folder>/<name>.shf`; an error when it is there.
    pub fn create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        Ok(Map::new(open::create(folder, name, &creation(options)?)?, options))
    }

    /// Opens an existing map for reading and writing. Of the options only
    /// `allow_any_file_system`, `patience`, `application` and `role` matter.
    ///
    /// A durable map that was last used before the machine's last start, or is a copy, is recovered
    /// first, which takes time in proportion to the map: see `recovered`.
    pub fn open(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let allow = options.allow_any_file_system;
        let appearance = options.appearance();
        let opened = open::open_as(folder, name, Access::ReadWrite, allow, &appearance)?;
        Map::new(opened, options).recovered_from_crash(folder, name)
    }

    /// Opens the map or creates it; processes that race get the same one.
    pub fn open_or_create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let opened = open::open_or_create(folder, name, &creation(options)?)?;
        Map::new(opened, options).recovered_from_crash(folder, name)
    }

    /// Opens an existing map for reading; needs no write permission on the file.
    pub fn open_read_only(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let allow = options.allow_any_file_system;
        let appearance = options.appearance();
        let opened = open::open_as(folder, name, Access::ReadOnly, allow, &appearance)?;
        Map::new(opened, options).recovered_from_crash(folder, name)
    }

    /// A map in private memory, for tests under tools that know no shared mappings.
    pub fn heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Map {
        Map::new(open::heap(shards, window_bytes, max_bytes), &Options::default())
    }

    /// The same, a durable one, of which nothing is ever written to a disk.
    pub fn durable_heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Map {
        let opened = open::durable_heap(shards, window_bytes, max_bytes);
        Map::new(opened, &Options::default())
    }

    /// The same, one that evicts keys when it is full.
    pub fn evicting_heap(shards: u32, window_bytes: u64, max_bytes: u64) -> Map {
        let opened = open::evicting_heap(shards, window_bytes, max_bytes);
        Map::new(opened, &Options::default())
    }

    /// A handle of the map that a region's bytes are, for fuzzing. Of the options only `patience`
    /// matters.
    #[cfg(feature = "fuzzing")]
    pub fn of_region(
        region: &std::sync::Arc<shf_base::region::Region>,
        access: Access,
        options: &Options,
    ) -> Result<Map, shf_base::format::Mismatch> {
        Ok(Map::new(open::region(region, access)?, options))
    }

    /// Deletes the file of a map; those who have it open keep it until they drop it.
    pub fn remove(folder: &Path, name: &str) -> Result<(), OpenError> {
        open::remove(folder, name)
    }

    fn new(opened: Opened, options: &Options) -> Map {
        Map {
            storage: opened.storage,
            facts: opened.header,
            presence: opened.presence,
            usage: opened.usage,
            patience: options.patience,
            recovered: None,
            retries: AtomicU64::new(0),
            has_aged: AtomicBool::new(opened.header.evicting),
        }
    }

    /// Makes the shards anew that a crash of the machine has left closed; who may only read cannot.
    fn recovered_from_crash(mut self, folder: &Path, name: &str) -> Result<Map, OpenError> {
        let closed = |place: Place<'_>| self.facts.durable && rebuild::is_crashed(place);
        if !self.places().any(closed) {
            return Ok(self);
        }
        let path = folder.join(format!("{name}.shf"));
        if self.is_read_only() {
            return Err(OpenError::NeedsRecovery { path });
        }
        let recovered = self.rebuild(shard::lock_and_reopen);
        self.recovered = Some(recovered.map_err(|error| OpenError::Failed { path, error })?);
        Ok(self)
    }
}

/// The part of the options that the file needs, checked.
fn creation(options: &Options) -> Result<CreateOptions, OpenError> {
    Ok(CreateOptions {
        shards: options.shard_count()?,
        max_bytes: options.max_bytes,
        mode: options.mode.unwrap_or(0o600),
        group: options.group,
        allow_any_file_system: options.allow_any_file_system,
        secret: options.secret,
        age_ms: options.default_age.map(age::milliseconds),
        durable: options.durable,
        evict: options.evict,
        appearance: options.appearance(),
    })
}
