//! What the benchmark asks of a store.

use crate::command_line::Options;
use crate::workload::Key;
use std::fmt::Display;

/// A map, empty at first, that any number of threads may use at once.
pub trait Store: Sized + Sync {
    /// The package whose version the report states.
    const PACKAGE: &str;
    /// How it is configured and used, for the report.
    const CONFIGURATION: &str;
    /// How one thread uses it.
    type Session<'s>: Session
    where
        Self: 's;

    /// An empty one.
    fn create(options: &Options) -> Result<Self, String>;

    /// For a thread of its own.
    fn session(&self) -> Self::Session<'_>;

    /// Real bytes that it says it takes. `None`: it lies in the private memory of this process.
    fn bytes(&self) -> Option<u64> {
        None
    }
}

/// One thread at work on a store.
pub trait Session {
    /// Gets that it does at once in the phases that get.
    const TOGETHER: usize = 1;
    /// What goes wrong.
    type Error: Display;

    /// Inserts the key or replaces its value.
    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), Self::Error>;

    /// Copies the value to the front of `into` and returns its length; `None`: it is not there.
    fn get(&mut self, key: &Key, into: &mut [u8]) -> Result<Option<usize>, Self::Error>;

    /// Deletes the key; whether it was there.
    fn delete(&mut self, key: &Key) -> Result<bool, Self::Error>;

    /// Calls `visit` with the place and the value of each key that is there, and returns how many
    /// these are. `scratch` has room for any value. For stores whose `TOGETHER` is more than 1.
    fn get_many(
        &mut self,
        keys: &[Key],
        scratch: &mut [u8],
        mut visit: impl FnMut(usize, &[u8]),
    ) -> Result<usize, Self::Error> {
        let mut found = 0;
        for (place, key) in keys.iter().enumerate() {
            if let Some(bytes) = self.get(key, scratch)? {
                visit(place, &scratch[..bytes]);
                found += 1;
            }
        }
        Ok(found)
    }
}
