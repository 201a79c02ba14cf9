//! `dashmap::DashMap`: shards with a read-write lock each, in the memory of this process.

use crate::command_line::Options;
use crate::store::{Session, Store};
use crate::workload::Key;
use ::dashmap::DashMap;
use std::convert::Infallible;

/// The map. Keys are boxed, because a key is any bytes, as it is to the other stores.
pub struct DashStore(DashMap<Box<[u8]>, Vec<u8>>);

impl Store for DashStore {
    const PACKAGE: &str = "dashmap";
    const CONFIGURATION: &str = "DashMap<Box<[u8]>, Vec<u8>>, its default hasher (SipHash) and \
        number of shards, glibc malloc, grown from empty";
    type Session<'s> = &'s DashStore;

    fn create(_: &Options) -> Result<DashStore, String> {
        Ok(DashStore(DashMap::new()))
    }

    fn session(&self) -> &DashStore {
        self
    }
}

impl Session for &DashStore {
    type Error = Infallible;

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), Infallible> {
        self.0.insert(Box::from(&key[..]), Vec::from(value));
        Ok(())
    }

    #[inline]
    fn get(&mut self, key: &Key, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let Some(value) = self.0.get(&key[..]) else { return Ok(None) };
        into[..value.len()].copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Result<bool, Infallible> {
        Ok(self.0.remove(&key[..]).is_some())
    }
}
