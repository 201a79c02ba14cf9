//! Adapters of snapshots and frozen maps.

use crate::ffi::{Options, Outcome};
use crate::guard::{Failure, guard, silence_panics};
use crate::map::{Map, engine_options, folder_path, map_name};
use shf_engine::{Map as EngineMap, OpError};
use std::sync::Arc;

impl Map {
    pub fn snapshot(&self, folder: &[u8], name: &[u8], file_bytes: &mut u64) -> Outcome {
        guard(|| {
            let snapshot = self.engine()?.snapshot(folder_path(folder), map_name(name)?)?;
            *file_bytes = snapshot.file_bytes;
            Ok(Outcome::done(true, snapshot.keys))
        })
    }

    pub fn freeze(&mut self) -> Outcome {
        guard(|| {
            let engine = self.engine.as_mut().ok_or(Failure::NotAttached)?;
            // A walk of another thread has a share of it.
            Arc::get_mut(engine).ok_or(OpError::Busy)?.freeze()?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn restore(
        &mut self,
        from_folder: &[u8],
        from_name: &[u8],
        folder: &[u8],
        name: &[u8],
        options: &Options,
    ) -> Outcome {
        silence_panics();
        guard(|| {
            let from = (folder_path(from_folder), map_name(from_name)?);
            let (folder, name) = (folder_path(folder), map_name(name)?);
            let engine = EngineMap::restore(from, folder, name, &engine_options(options))?;
            self.engine = Some(Arc::new(engine));
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn is_frozen(&self) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.is_frozen(), 0)))
    }
}
