//! A map in `/dev/shm` under a name of its own, removed at the end of a test.

use crate::image::Image;
use shf_engine::{FixedLengths, Map, Options};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FOLDER: &str = "/dev/shm";

/// The file of a map.
pub struct MapFile {
    name: String,
    owner: u32,
}

impl MapFile {
    /// A name that no other test uses; there is no file yet.
    pub fn new(what: &str) -> MapFile {
        let owner = std::process::id();
        let file = MapFile { name: format!("shf-test-{what}-{owner}"), owner };
        file.remove();
        file
    }

    /// Creates the map with `shards` shards and at most 64 MiB.
    pub fn create(&self, shards: u32) -> Map {
        self.create_with(shards, 64 << 20)
    }

    /// Creates the map with `shards` shards and at most `max_bytes`.
    pub fn create_with(&self, shards: u32, max_bytes: u64) -> Map {
        let (shards, max_bytes, secret) = (Some(shards), Some(max_bytes), Some(crate::secret()));
        let options = Options { shards, max_bytes, secret, ..Options::default() };
        Map::create(self.folder(), &self.name, &options).unwrap()
    }

    /// As `create_with`, a durable map.
    pub fn create_durable(&self, shards: u32, max_bytes: u64) -> Map {
        let (shards, max_bytes, secret) = (Some(shards), Some(max_bytes), Some(crate::secret()));
        let durable = Some(true);
        let options = Options { shards, max_bytes, secret, durable, ..Options::default() };
        Map::create(self.folder(), &self.name, &options).unwrap()
    }

    /// As `create_with`, a map that evicts keys when it is full.
    pub fn create_evicting(&self, shards: u32, max_bytes: u64) -> Map {
        let (shards, max_bytes, secret) = (Some(shards), Some(max_bytes), Some(crate::secret()));
        let options = Options { shards, max_bytes, secret, evict: true, ..Options::default() };
        Map::create(self.folder(), &self.name, &options).unwrap()
    }

    /// As `create_with`, a map whose keys and values have these lengths.
    pub fn create_fixed(&self, shards: u32, max_bytes: u64, (key, value): (u32, u32)) -> Map {
        let (shards, max_bytes, secret) = (Some(shards), Some(max_bytes), Some(crate::secret()));
        let fixed = Some(FixedLengths { key_bytes: key, value_bytes: value });
        let options = Options { shards, max_bytes, secret, fixed, ..Options::default() };
        Map::create(self.folder(), &self.name, &options).unwrap()
    }

    /// Another handle of the map.
    pub fn open(&self) -> Map {
        Map::open(self.folder(), &self.name, &Options::default()).unwrap()
    }

    /// Another handle, whose writing operations wait for so long at most.
    pub fn open_impatient(&self, patience: Duration) -> Map {
        let options = Options { patience: Some(patience), ..Options::default() };
        Map::open(self.folder(), &self.name, &options).unwrap()
    }

    /// A handle of the map that cannot write.
    pub fn open_read_only(&self) -> Map {
        Map::open_read_only(self.folder(), &self.name, &Options::default()).unwrap()
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        Path::new(FOLDER)
    }

    /// The name of the map.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the file that are real.
    pub fn real_bytes(&self) -> u64 {
        std::fs::metadata(self.path()).unwrap().blocks() * 512
    }

    /// Keeps the bytes of the file as they are; the closure brings them back.
    pub fn keep(&self) -> Box<dyn Fn()> {
        let image = Image::of(self.folder(), self.name());
        Box::new(move || image.restore())
    }

    /// The file itself.
    pub fn path(&self) -> PathBuf {
        self.folder().join(format!("{}.shf", self.name))
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(self.path());
    }
}

impl Drop for MapFile {
    fn drop(&mut self) {
        // A forked child that unwinds must not take the file away from its parent.
        if self.owner == std::process::id() {
            self.remove();
        }
    }
}
