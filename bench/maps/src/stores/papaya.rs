//! `papaya::HashMap`: without locks, in the memory of this process.

use crate::command_line::Options;
use crate::store::{Session, Store};
use crate::workload::Key;
use ::papaya::{Guard, HashMap, LocalGuard};
use std::convert::Infallible;

/// Operations after which a guard lets go of what others deleted meanwhile. The documentation
/// recommends to use a guard more than once, within reason.
const OPERATIONS_PER_GUARD: u32 = 64;

type Map = HashMap<Box<[u8]>, Box<[u8]>>;

/// The map. A value never changes in it, so that it needs no room to grow.
pub struct PapayaStore(Map);

/// A thread and its guard.
pub struct PapayaSession<'s> {
    map: &'s Map,
    guard: LocalGuard<'s>,
    operations: u32,
}

impl Store for PapayaStore {
    const PACKAGE: &str = "papaya";
    const CONFIGURATION: &str = "HashMap<Box<[u8]>, Box<[u8]>>, its default hasher (SipHash), a \
        guard refreshed every 64 operations, glibc malloc, grown from empty";
    type Session<'s> = PapayaSession<'s>;

    fn create(_: &Options) -> Result<PapayaStore, String> {
        Ok(PapayaStore(HashMap::new()))
    }

    fn session(&self) -> PapayaSession<'_> {
        PapayaSession { map: &self.0, guard: self.0.guard(), operations: 0 }
    }
}

impl PapayaSession<'_> {
    #[inline]
    fn guard(&mut self) -> &LocalGuard<'_> {
        self.operations += 1;
        if self.operations == OPERATIONS_PER_GUARD {
            self.operations = 0;
            self.guard.refresh();
        }
        &self.guard
    }
}

impl Session for PapayaSession<'_> {
    type Error = Infallible;

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), Infallible> {
        let map = self.map;
        map.insert(Box::from(&key[..]), Box::from(value), self.guard());
        Ok(())
    }

    #[inline]
    fn get(&mut self, key: &Key, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let map = self.map;
        let Some(value) = map.get(&key[..], self.guard()) else { return Ok(None) };
        into[..value.len()].copy_from_slice(value);
        Ok(Some(value.len()))
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Result<bool, Infallible> {
        let map = self.map;
        Ok(map.remove(&key[..], self.guard()).is_some())
    }
}
