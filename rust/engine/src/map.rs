//! A map: its file, its shards, and the operations on keys.
#![allow(missing_docs, unused_variables)]
use crate::{OpError, OpenError, Options, Stats};
use std::path::Path;

pub struct Map;

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whether the key had a value before.
    pub replaced: bool,
    /// Where the key lies: shard, table, bucket and slot packed in 64 bits. Opaque.
    pub position: u64,
}

impl Map {
    pub fn create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> { todo!() }
    pub fn open(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> { todo!() }
    pub fn open_or_create(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> { todo!() }
    pub fn open_read_only(folder: &Path, name: &str, options: &Options) -> Result<Map, OpenError> { todo!() }
    /// Deletes the file; those attached keep the map until they detach.
    pub fn remove(folder: &Path, name: &str) -> Result<(), OpenError> { todo!() }

    /// Inserts or replaces.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Placed, OpError> { todo!() }
    /// Replaces the contents of `into` with the value. False: absent, `into` is emptied.
    pub fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, OpError> { todo!() }
    /// Copies the value to the front of `into`; returns its length. `BufferTooSmall` says the
    /// length needed and writes nothing.
    pub fn get_into(&self, key: &[u8], into: &mut [u8]) -> Result<Option<usize>, OpError> { todo!() }
    pub fn contains(&self, key: &[u8]) -> Result<bool, OpError> { todo!() }
    pub fn delete(&self, key: &[u8]) -> Result<bool, OpError> { todo!() }
    /// Adds to the signed 64-bit integer under `key`, which starts at 0; returns the sum.
    pub fn add(&self, key: &[u8], delta: i64) -> Result<i64, OpError> { todo!() }
    /// Keys in the map.
    pub fn size(&self) -> u64 { todo!() }
    /// Deletes every key that is there from beginning to end of the call; returns how many went.
    pub fn clear(&self) -> Result<u64, OpError> { todo!() }
    /// Every key and value... calls `visit` outside of any lock, on private copies.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), OpError> { todo!() }
    pub fn stats(&self) -> Stats { todo!() }
    pub fn is_read_only(&self) -> bool { todo!() }
}
