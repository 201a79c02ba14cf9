//! A frozen map becomes one that changes again.

use crate::age::Deadline;
use crate::kind::Kind;
use crate::map::Map;
use crate::opening::creation;
use crate::options::Options;
use crate::range::Elements;
use crate::take::DeadlineOf;
use crate::walk::{END, Names};
use shf_base::error::{OpError, OpenError};
use shf_base::open;
use std::path::Path;

impl Map {
    /// Makes the map `<folder>/<name>.shf` of the contents of a frozen one, `from`, that `snapshot`
    /// or `freeze` has written: folder and name. Its checksum is verified first. The options are
    /// those of any new map and may be others than those of the map that was frozen. Keys keep
    /// their values, with their types, and the moments that they expire at; those that have expired
    /// are left out. UIDs and tokens are new. Nobody sees the map before it is complete; then it is
    /// durable, if it is of that kind.
    ///
    /// Errors: those of `open_read_only` and `create`; `NotFrozen`; `Failed` where the file has not
    /// got its checksum (`Corrupt`), the keys do not fit (`NoSpace`), or the options fix lengths
    /// and something has another one (`WrongLength`), a type (`WrongType`) or an age (`NoAges`).
    pub fn restore(
        from: (&Path, &str),
        folder: &Path,
        name: &str,
        options: &Options,
    ) -> Result<Map, OpenError> {
        let any_lengths = Options { fixed: None, ..options.clone() };
        let frozen = Map::open_read_only(from.0, from.1, &any_lengths)?;
        let path = from.0.join(format!("{}.shf", from.1));
        if !frozen.is_frozen() {
            return Err(OpenError::NotFrozen { path });
        }
        let failed = |error| OpenError::Failed { path: path.clone(), error };
        if let Some(wrong) = frozen.verify().map_err(failed)?.first() {
            let what = "bytes that the checksum of the frozen map does not fit";
            let (shard, offset) = (wrong.shard, wrong.offset);
            return Err(failed(OpError::Corrupt { shard, offset, what }));
        }
        open::create_with(folder, name, &creation(options)?, |opened| {
            let map = Map::new(opened, options);
            let path = folder.join(format!("{name}.shf"));
            let filled = map.fill_from(&frozen);
            filled.map_err(|error| OpenError::Failed { path, error })?;
            Ok(map)
        })
    }

    /// Nobody else has this map yet.
    fn fill_from(&self, frozen: &Map) -> Result<(), OpError> {
        let default_age = self.default_age();
        // A list must not expire before it is whole.
        self.set_default_age(None)?;
        self.put_all_of(frozen)?;
        self.set_default_age(default_age)?;
        if self.facts.durable { self.sync() } else { Ok(()) }
    }

    fn put_all_of(&self, frozen: &Map) -> Result<(), OpError> {
        let (mut names, mut key, mut value) = (Names::new(), Vec::new(), Vec::new());
        let mut elements = Elements::new();
        for place in frozen.places() {
            let mut cursor = 0;
            while cursor < END {
                cursor = frozen.names(place, cursor, b"", &mut names)?;
                for &uid in &names {
                    let pair = frozen.pair_of_uid(uid, &mut key, &mut value)?;
                    let Some((_, _, kind)) = pair else { continue };
                    // It may have expired since.
                    let Some(deadline) = frozen.look_at_uid(uid, DeadlineOf)? else { continue };
                    if kind == Kind::List {
                        frozen.range(&key, 0, i64::MAX, &mut elements)?;
                        self.put_list(&key, &elements, deadline)?;
                    } else {
                        self.put_until(kind, &key, &value, deadline)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts a value that expires at a moment, if at all.
    fn put_until(
        &self,
        kind: Kind,
        key: &[u8],
        value: &[u8],
        deadline: Option<Deadline>,
    ) -> Result<(), OpError> {
        let hash = self.hash(key);
        let item = self.item(hash, kind, key, value, deadline)?;
        self.with_room(hash, || self.lock_place(self.fetch_bucket(hash))?.put(item)).map(drop)
    }

    /// Pushes the elements of a list that expires at a moment, if at all.
    fn put_list(
        &self,
        key: &[u8],
        elements: &Elements,
        deadline: Option<Deadline>,
    ) -> Result<(), OpError> {
        for element in elements.iter() {
            self.push(key, element)?;
        }
        self.expire_at(key, deadline)
    }
}
