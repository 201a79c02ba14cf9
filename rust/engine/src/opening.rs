//! Maps are made, opened and removed, by names and descriptors, and recovered first where a crash
//! of the machine left them torn.

use crate::age;
use crate::directory;
use crate::growth;
use crate::half_header;
use crate::lock;
use crate::map::{Map, NOT_QUICK};
use crate::options::Options;
use crate::place::Place;
use crate::rebuild;
use shf_base::error::{OpError, OpenError};
use shf_base::fixed_lengths::FixedLengths;
use shf_base::open::{self, Access, CreateOptions, Initial, MODE_DEFAULT, Opened};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU64;

impl Map {
    /// Makes the map `<folder>/<name>.shf`; an error when it is there.
    pub fn create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        Ok(Map::new(open::create(folder, name, &creation(options)?)?, options))
    }

    /// Opens an existing map for reading and writing. Of the options only
    /// `allow_any_file_system`, `patience`, `application`, `role` and `fixed` matter.
    ///
    /// A durable map that was last used before the machine's last start, or is a copy, is recovered
    /// first, which takes time in proportion to the map: see `recovered`.
    pub fn open(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let allow = options.allow_any_file_system;
        let appearance = options.appearance();
        let opened = open::open_as(folder, name, Access::ReadWrite, allow, &appearance)?;
        Map::new(opened, options).with_demanded_lengths(options)?.recovered_from_crash()
    }

    /// Opens the map or creates it; processes that race get the same one.
    pub fn open_or_create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let opened = open::open_or_create(folder, name, &creation(options)?)?;
        Map::new(opened, options).with_demanded_lengths(options)?.recovered_from_crash()
    }

    /// Opens an existing map for reading; needs no write permission on the file.
    pub fn open_read_only(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> {
        let allow = options.allow_any_file_system;
        let appearance = options.appearance();
        let opened = open::open_as(folder, name, Access::ReadOnly, allow, &appearance)?;
        Map::new(opened, options).with_demanded_lengths(options)?.recovered_from_crash()
    }

    /// Makes a map whose file lies in memory, without a name, and goes with the last process that
    /// has it. Children inherit it, and `descriptor` passes it on. Its length is sealed, so that
    /// who gets a descriptor cannot cut it short; whoever has one may write to the map.
    ///
    /// `InvalidOption` for what is about a name or a disk: a `mode` other than the default, a
    /// `group`, `durable`, `temporary`. `ProcMissing` without `/proc`, which it needs.
    pub fn anonymous(options: &Options) -> Result<Map, OpenError> {
        Ok(Map::new(open::create_anonymous(&creation(options)?)?, options))
    }

    /// Opens the map whose file a descriptor means, whatever its name, through a duplicate: the
    /// caller keeps `descriptor`. It need not come from a friend: the file is checked as one under
    /// a name is. The handle is read-only if `access` says so, or if the descriptor is for reading
    /// only. A temporary map opens so even when its creator is gone.
    pub fn open_descriptor(
        descriptor: BorrowedFd<'_>,
        access: Access,
        options: &Options,
    ) -> Result<Map, OpenError> {
        let allow = options.allow_any_file_system;
        let appearance = options.appearance();
        let opened = open::open_descriptor(descriptor, access, allow, &appearance)?;
        Map::new(opened, options).with_demanded_lengths(options)?.recovered_from_crash()
    }

    /// A duplicate of the descriptor that this handle has of the map's file, to be passed to
    /// another process, which gets at the map by `open_descriptor`. For reading only if the handle
    /// is; but who may write to the file can open it again through `/proc`. Closed by `exec`.
    ///
    /// Errors: `System`, also for a process that has closed the descriptors that it inherited and
    /// finds no such file under its name.
    pub fn descriptor(&self) -> Result<OwnedFd, OpError> {
        self.storage.duplicate()
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

    /// The same, one with fixed lengths.
    pub fn fixed_heap(shards: u32, window_bytes: u64, max_bytes: u64, fixed: FixedLengths) -> Map {
        let opened = open::fixed_heap(shards, window_bytes, max_bytes, fixed);
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

    /// Deletes the file of a map; those who have it open keep it until they drop it. A temporary
    /// map whose creator is gone is `NotFound`.
    pub fn remove(folder: &Path, name: &str) -> Result<(), OpenError> {
        open::remove(folder, name)
    }

    pub(crate) fn new(opened: Opened, options: &Options) -> Map {
        let has_half_headers = opened.header.fixed.is_some_and(half_header::saves);
        Map {
            storage: opened.storage,
            facts: opened.header,
            presence: opened.presence,
            temporary: opened.temporary,
            usage: opened.usage,
            patience: options.patience,
            is_creator: opened.created,
            recovered: None,
            retries: AtomicU64::new(0),
            depth_bits: AtomicU64::new(match opened.header.evicting || has_half_headers {
                true => NOT_QUICK,
                false => directory::DEPTH_BITS,
            }),
        }
    }

    /// The same map, if it has the lengths that its opener demands.
    fn with_demanded_lengths(self, options: &Options) -> Result<Map, OpenError> {
        let found = self.facts.fixed;
        if options.fixed.is_none_or(|demanded| Some(demanded) == found) {
            return Ok(self);
        }
        let text = |fixed: Option<FixedLengths>| {
            fixed.map_or("keys and values of any length".into(), |fixed| fixed.to_string())
        };
        Err(OpenError::Incompatible {
            path: self.storage.path().to_path_buf(),
            field: "fixed lengths",
            expected: text(options.fixed),
            found: text(found),
        })
    }

    /// Makes the shards anew that a crash of the machine has left closed; who may only read cannot.
    fn recovered_from_crash(mut self) -> Result<Map, OpenError> {
        let closed = |place: Place<'_>| self.facts.durable && rebuild::is_crashed(place);
        if !self.places().any(closed) {
            return Ok(self);
        }
        let path = self.storage.path().to_path_buf();
        if self.is_read_only() {
            return Err(OpenError::NeedsRecovery { path });
        }
        let recovered = self.rebuild(lock::lock_and_reopen);
        self.recovered = Some(recovered.map_err(|error| OpenError::Failed { path, error })?);
        Ok(self)
    }
}

/// The part of the options that the file needs, checked.
pub(crate) fn creation(options: &Options) -> Result<CreateOptions, OpenError> {
    Ok(CreateOptions {
        shards: options.shard_count()?,
        max_bytes: options.max_bytes,
        mode: options.mode.unwrap_or(MODE_DEFAULT),
        group: options.group,
        allow_any_file_system: options.allow_any_file_system,
        secret: options.secret,
        age_ms: options.default_age.map(age::milliseconds),
        durable: options.durable,
        evict: options.evict,
        temporary: options.temporary,
        fixed: options.fixed,
        initial: options.initial_bytes.map(|bytes| Initial {
            bytes,
            keys: options.expected_keys,
            reserve: growth::reserve,
        }),
        appearance: options.appearance(),
    })
}
