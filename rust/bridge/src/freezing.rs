//! Adapters of snapshots and frozen maps.

use crate::ffi::{Options, Outcome};
use crate::guard::guard;
use crate::map::{Map, engine_options, folder_path, map_name};
use shf_engine::Map as EngineMap;

impl Map {
    pub fn snapshot(&self, folder: &[u8], name: &[u8], file_bytes: &mut u64) -> Outcome {
        guard(|| {
            let snapshot = self.engine()?.snapshot(folder_path(folder), map_name(name)?)?;
            *file_bytes = snapshot.file_bytes;
            Ok(Outcome::done(true, snapshot.keys))
        })
    }

    pub fn freeze(&self) -> Outcome {
        guard(|| {
            self.alone(EngineMap::freeze)?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn restore(
        &self,
        from_folder: &[u8],
        from_name: &[u8],
        folder: &[u8],
        name: &[u8],
        options: &Options<'_>,
    ) -> Outcome {
        self.attach_to(|| {
            let from = (folder_path(from_folder), map_name(from_name)?);
            let (folder, name) = (folder_path(folder), map_name(name)?);
            Ok(EngineMap::restore(from, folder, name, &engine_options(options)?)?)
        })
    }

    pub fn is_frozen(&self) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.is_frozen(), 0)))
    }
}
