//! Adapters for keys that UIDs name.

use crate::conditional::placed;
use crate::ffi::{Outcome, Sink};
use crate::guard::{Packed, guard};
use crate::map::Map;
use crate::sink::SinkOfCpp;
use shf_engine::Uid;
use std::pin::Pin;
use std::slice;

impl Map {
    pub fn uid(&self, key: &[u8]) -> Outcome {
        guard(|| {
            let uid = self.engine()?.uid(key)?;
            Ok(uid.map_or_else(Outcome::absent, |uid| Outcome::done(true, uid.bits())))
        })
    }

    pub fn short_of_uid(&self, uid: u64) -> Outcome {
        guard(|| {
            let shards = self.engine()?.geometry().uid_shards();
            Ok(Outcome::done(true, Uid::from_bits(uid).short(shards).into()))
        })
    }

    pub fn uid_of_short(&self, short: u32) -> Outcome {
        guard(|| {
            let uid = self.engine()?.uid_of_short(short)?;
            Ok(uid.map_or_else(Outcome::absent, |uid| Outcome::done(true, uid.bits())))
        })
    }

    /// # Safety
    /// The pointer is good for the number of bytes, and not null.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn get_uid_into(&self, uid: u64, into: *mut u8, into_bytes: usize) -> u64 {
        // SAFETY: by the contract.
        let into = unsafe { slice::from_raw_parts_mut(into, into_bytes) };
        let Packed(answer) = guard(|| {
            Ok(match self.engine()?.get_uid_into(Uid::from_bits(uid), into)? {
                Some(bytes) => Packed(bytes as u64),
                None => Outcome::absent().into(),
            })
        });
        answer
    }

    pub fn get_uid_to(&self, uid: u64, sink: Pin<&mut Sink>) -> Outcome {
        guard(|| {
            let copied = self.engine()?.get_uid_to(Uid::from_bits(uid), &mut SinkOfCpp(sink))?;
            Ok(Outcome::copied(copied))
        })
    }

    pub fn key_of_uid(&self, uid: u64, sink: Pin<&mut Sink>) -> Outcome {
        guard(|| {
            let copied = self.engine()?.key_of_uid(Uid::from_bits(uid), &mut SinkOfCpp(sink))?;
            Ok(Outcome::copied(copied))
        })
    }

    pub fn contains_uid(&self, uid: u64) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.contains_uid(Uid::from_bits(uid))?, 0)))
    }

    pub fn put_uid(&self, uid: u64, value: &[u8]) -> Outcome {
        guard(|| {
            let put = self.engine()?.put_uid(Uid::from_bits(uid), value)?;
            Ok(put.map_or_else(Outcome::absent, placed))
        })
    }

    pub fn erase_uid(&self, uid: u64) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.delete_uid(Uid::from_bits(uid))?, 0)))
    }
}
