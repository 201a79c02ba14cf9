//! Adapters for walks.

use crate::ffi::{EntryVisitor, Outcome, Sink};
use crate::guard::guard;
use crate::map::Map;
use crate::sink::SinkOfCpp;
use shf_engine::{Cursor, Names, Uid};
use std::pin::Pin;

impl Map {
    pub fn scan_names(
        &self,
        cursor: u64,
        prefix: &[u8],
        until_any: bool,
        names: &mut [u64],
        count: &mut usize,
    ) -> Outcome {
        *count = 0;
        guard(|| {
            let (cursor, mut found) = (Cursor::from_bits(cursor), Names::new());
            let next = match until_any {
                true => self.engine()?.scan_next_names(cursor, prefix, &mut found)?,
                false => self.engine()?.scan_names(cursor, prefix, &mut found)?,
            };
            for (to, uid) in names.iter_mut().zip(&found) {
                *to = uid.bits();
            }
            *count = found.len();
            Ok(Outcome::done(next.is_some(), next.map_or(0, Cursor::bits)))
        })
    }

    pub fn pair_of_uid(
        &self,
        uid: u64,
        key: Pin<&mut Sink>,
        value: Pin<&mut Sink>,
        key_bytes: &mut usize,
        value_bytes: &mut usize,
    ) -> Outcome {
        guard(|| {
            let (mut key, mut value) = (SinkOfCpp(key), SinkOfCpp(value));
            let found = self.engine()?.pair_of_uid(Uid::from_bits(uid), &mut key, &mut value)?;
            let Some((key, value, kind)) = found else { return Ok(Outcome::absent()) };
            (*key_bytes, *value_bytes) = (key, value);
            Ok(Outcome::done(true, kind as u64))
        })
    }

    pub fn view(&self, shard: u32, visitor: &EntryVisitor) -> Outcome {
        guard(|| {
            let engine = self.visit()?;
            engine.view(shard, &mut |pair| {
                let (key, value) = (pair.key, pair.value);
                #[allow(unsafe_code)]
                // SAFETY: both pointers come from slices that outlive the call.
                unsafe {
                    visitor.visit_entry(
                        key.as_ptr(),
                        key.len(),
                        value.as_ptr(),
                        value.len(),
                        pair.kind as u32,
                        pair.uid.bits(),
                    )
                }
            })?;
            Ok(Outcome::done(true, engine.geometry().shards().into()))
        })
    }
}
