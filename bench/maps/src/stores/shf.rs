//! `shf_engine::Map`: what the C++ interface calls, without that interface.

use crate::command_line::Options;
use crate::store::{Session, Store};
use crate::workload::Key;
use shf_engine::{Map, OpError};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A map in a file of its own, with default options: it grows from empty. So many gets are done
/// together in the phases that get.
pub struct ShfStore<const TOGETHER: usize = 1>(Map);

impl<const TOGETHER: usize> Store for ShfStore<TOGETHER> {
    const PACKAGE: &str = "shf-engine";
    const CONFIGURATION: &str = "shf_engine::Map, default options, grown from empty";
    type Session<'s> = &'s Self;

    fn create(options: &Options) -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        let (folder, name) = (&options.folder, format!("bench-rust-{process}-{n}"));
        let map = Map::create(folder, &name, &shf_engine::Options::default())
            .map_err(|error| format!("create: {error}"))?;
        // Who has it open keeps it, and nothing is left of it however this process ends.
        Map::remove(folder, &name).map_err(|error| format!("remove: {error}"))?;
        Ok(ShfStore(map))
    }

    fn session(&self) -> &Self {
        self
    }

    fn bytes(&self) -> Option<u64> {
        Some(self.0.stats().committed_bytes)
    }
}

impl<const TOGETHER: usize> Session for &ShfStore<TOGETHER> {
    const TOGETHER: usize = TOGETHER;
    type Error = OpError;

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), OpError> {
        self.0.put(key, value).map(|_| ())
    }

    #[inline]
    fn get(&mut self, key: &Key, into: &mut [u8]) -> Result<Option<usize>, OpError> {
        self.0.get_into(key, into)
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Result<bool, OpError> {
        self.0.delete(key)
    }

    #[inline]
    fn get_many(
        &mut self,
        keys: &[Key],
        _scratch: &mut [u8],
        visit: impl FnMut(usize, &[u8]),
    ) -> Result<usize, OpError> {
        self.0.get_many(keys, visit)
    }
}
