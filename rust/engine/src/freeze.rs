//! Snapshots: a copy of a map in a frozen file, while others go on; and the map itself, frozen.
//!
//! A frozen map is a map as any other, of as few shards as its records allow, of which nobody
//! changes anything (`frozen_records`, `frozen_index`): so it is read as any other is. Of each
//! shard it has what was there at one moment (`follow`).

use crate::directory;
use crate::follow;
use crate::frozen_index::FrozenIndex;
use crate::frozen_records::FrozenRecords;
use crate::frozen_shard::FrozenShard;
use crate::map::Map;
use crate::options::Options;
use crate::place::{Field, Place, unpair};
use crate::slot_word::SlotFormat;
use shf_base::attachment;
use shf_base::change_log::ChangeLog;
use shf_base::error::{OpError, OpenError};
use shf_base::format::FileHeader;
use shf_base::frozen::{self, FrozenFile, Named, Replaces};
use shf_base::geometry::{Geometry, PAGE_BYTES, WINDOW_BYTES_MAX};
use shf_base::slot::Presence;
use std::path::{Path, PathBuf};

/// Records and index that a frozen shard gets, at most, as far as is known when it is begun: half
/// of what it can have.
const SHARD_BYTES_MAX: u64 = WINDOW_BYTES_MAX / 2;
/// Keys that a frozen shard gets, at most, likewise: each needs some 20 bytes of private memory.
const SHARD_KEYS_MAX: u64 = if cfg!(feature = "crash-points") { 8 << 10 } else { 8 << 20 };

/// The least that one of several frozen shards has room for: addresses, not memory.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// What a frozen map has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Its keys.
    pub keys: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
}

impl Map {
    /// Writes a copy of the map to the file `<folder>/<name>.shf`: a frozen map, which may be
    /// opened for reading, on any file system, and made a map that changes again (`restore`). The
    /// folder must exist; a frozen map of that name is replaced, at once and as a whole.
    ///
    /// Others go on meanwhile. The copy has of each shard what was there at one moment; a change of
    /// a key that was acknowledged before the call is in it, one that was begun after it is not.
    /// Keys that have expired by then are not there. UIDs and tokens hold in the copy. Writers of a
    /// shard wait while some 64 KiB of it are copied, now and then; where they lap the change log
    /// three times, until the shard is copied as a whole. Other snapshots of the same map wait for
    /// the end of this one.
    ///
    /// Takes private memory for some 60 bytes a key, but of at most 8 million keys at a time unless
    /// a shard has more, and for the largest value; and 256 KiB of the map's file system, beside
    /// the map's maximum.
    ///
    /// Errors: `AlreadyExists` when something else has that name; as `create` for folder and name;
    /// `NoSpace`; `Failed`, as writing operations fail. Then what has the name is as it was, with
    /// one exception: a `System` that names the flush of the folder is told of a whole copy, which
    /// a crash of the machine may take away again, or put the older one into its place.
    pub fn snapshot(&self, folder: &Path, name: &str) -> Result<Frozen, OpenError> {
        let Named { answer, lasting } = self.write_frozen(folder, name, Replaces::Nothing)?;
        lasting.map(|()| answer)
    }

    /// Freezes the map: in place of its file there is a frozen map of the same contents, as small
    /// as it can be, and this handle is one for reading it. Nobody can write to it any more, and
    /// any number of processes can read it, also from a read-only file system. Who has the map open
    /// for reading keeps the old one; who wants to open it for writing meanwhile is told
    /// `BeingFrozen`. A temporary map becomes one that stays.
    ///
    /// Errors: `InUse` when anybody else has the map open for writing; `NotFound` when the file has
    /// no name any more, or never had one, as that of an anonymous map, of which `snapshot` makes a
    /// frozen one; as `snapshot`. Then the map is as it was, and this handle writes to it, unless
    /// `is_read_only`: then the map is frozen. `is_frozen` says that this handle is one of the
    /// frozen map, of which it is not sure that a crash of the machine leaves it there; without
    /// that, the frozen map could not be opened, and this handle reads the old file, which has the
    /// same contents and no name.
    pub fn freeze(&mut self) -> Result<(), OpenError> {
        let (folder, name) = self.own_place()?;
        let path = folder.join(format!("{name}.shf"));
        let failed = |error| OpenError::Failed { path: path.clone(), error };
        let presence = self.writer().map_err(failed)?;
        let alone = presence.alone().map_err(failed)?;
        if alone.is_none() {
            return Err(OpenError::InUse { path });
        }
        let named = self.write_frozen(&folder, &name, Replaces::Itself(&self.storage))?;
        // For those who have opened the file and got no slot yet, and children that wrote nothing
        // yet.
        attachment::replaced(self.storage.region());
        drop(alone);
        // Whatever comes now, no write goes to the file that was replaced.
        self.presence = None;
        *self = Map::open_read_only(&folder, &name, &Options::default())?;
        named.lasting
    }

    /// Whether the map is frozen.
    pub fn is_frozen(&self) -> bool {
        self.facts.frozen.is_some()
    }

    /// Folder and name of the map's file.
    fn own_place(&self) -> Result<(PathBuf, String), OpenError> {
        let path = self.storage.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        match (path.parent(), name) {
            (Some(folder), Some(name)) => Ok((folder.into(), name.into())),
            _ => Err(OpenError::NotFound { path: path.into() }),
        }
    }

    fn write_frozen(
        &self,
        folder: &Path,
        name: &str,
        replaces: Replaces<'_>,
    ) -> Result<Named<Frozen>, OpenError> {
        let path = folder.join(format!("{name}.shf"));
        let failed = |error| OpenError::Failed { path: path.clone(), error };
        let presence = self.writer().map_err(failed)?;
        let log = ChangeLog::new(self.storage.region(), self.geometry());
        let _follower = log.mutex().lock(presence, self.patience).map_err(failed)?;
        let forget = |place: Place<'_>| follow::forget(self.memory(place), presence, self.patience);
        self.places().try_for_each(forget).map_err(failed)?;
        let written = log.prepare(&self.storage).map_err(failed).and_then(|()| {
            frozen::write((folder, name), &self.storage, replaces, |file| {
                Freezing { map: self, presence, file }.write()
            })
        });
        if written.is_ok() || self.places().try_for_each(forget).is_ok() {
            log.release(&self.storage);
        }
        written
    }
}

/// A map that is being frozen.
struct Freezing<'a> {
    map: &'a Map,
    presence: &'a Presence,
    file: &'a FrozenFile<'a>,
}

impl Freezing<'_> {
    /// Writes the map, with larger windows or more shards where what others put meanwhile did not
    /// fit.
    fn write(&self) -> Result<(FileHeader, Frozen), OpenError> {
        let mut shards = self.shards();
        let mut room = self.room(shards);
        loop {
            let (full, max_bytes) = match self.write_as(shards, room) {
                Err(full @ OpenError::Failed { error: OpError::NoSpace { .. }, .. }) => {
                    (full, room)
                }
                done => return done,
            };
            if max_bytes < WINDOW_BYTES_MAX {
                room = (2 * max_bytes).min(WINDOW_BYTES_MAX);
            } else if shards < self.map.geometry().shards() {
                shards *= 2;
                room = self.room(shards);
            } else {
                return Err(full);
            }
            self.file.empty()?;
        }
    }

    fn write_as(&self, shards: u32, room: u64) -> Result<(FileHeader, Frozen), OpenError> {
        let failed = |error| self.file.failed(error);
        let bits = self.map.geometry().uid_shard_bits();
        let of_window = |bytes| {
            Geometry::frozen(shards, bytes, bits).map_err(|_| {
                failed(OpError::NoSpace { needed_bytes: bytes, max_bytes: WINDOW_BYTES_MAX })
            })
        };
        let mut geometry = of_window(room)?;
        let mut keys = 0;
        for shard in 0..shards {
            let frozen = self.collect(shard, &geometry)?;
            if shards == 1 {
                let pages = u64::from(frozen.pages()).max(1);
                geometry = of_window(pages * PAGE_BYTES)?;
            }
            keys += frozen.keys();
            self.place(shard, &geometry, &frozen)?;
        }
        let max_bytes = geometry.file_bytes();
        let facts = &self.map.facts;
        let plain = FileHeader::plain(geometry, max_bytes, facts.secret, facts.created_ns);
        let header = FileHeader { fixed: facts.fixed, ..plain };
        Ok((header, Frozen { keys, file_bytes: max_bytes }))
    }

    /// As few shards as their bytes and keys allow: a power of two, and no more than the map has.
    fn shards(&self) -> u32 {
        let all = self.map.geometry().shards();
        let fits = |shards: &u32| {
            (0..*shards).all(|shard| {
                let of = self.of(shard, *shards);
                let (bytes, keys) = of.fold((0, 0), |(bytes, keys), place| {
                    (bytes + bytes_in(place), keys + place.entries())
                });
                bytes <= SHARD_BYTES_MAX && keys <= SHARD_KEYS_MAX
            })
        };
        let counts = std::iter::successors(Some(1), |shards| Some(shards * 2));
        counts.take_while(|shards| *shards < all).find(fits).unwrap_or(all)
    }

    /// Bytes for the windows. One shard lies at the front whatever its size is; several need to
    /// know where others end, and get twice what the largest one needs as it is now, since others
    /// go on putting. What is left of it stays a hole.
    fn room(&self, shards: u32) -> u64 {
        if shards == 1 {
            return WINDOW_BYTES_MAX;
        }
        let bytes = |shard| self.of(shard, shards).map(bytes_in).sum::<u64>();
        let most = (0..shards).map(bytes).max().unwrap_or(0);
        (2 * most).clamp(ROOM_BYTES_MIN, WINDOW_BYTES_MAX).next_multiple_of(PAGE_BYTES)
    }

    /// The shards of the map that one of `shards` frozen ones gets.
    fn of(&self, shard: u32, shards: u32) -> impl Iterator<Item = Place<'_>> {
        let all = self.map.geometry().shards();
        (shard..all).step_by(shards as usize).map(|shard| self.map.place(shard))
    }

    /// Writes the records of a frozen shard, and plans its index.
    fn collect(&self, shard: u32, geometry: &Geometry) -> Result<FrozenShard, OpenError> {
        let bytes_max = geometry.window_bytes();
        let mut records = FrozenRecords::new(self.file, geometry.window(shard), bytes_max);
        // In different shards keys were born as often: that alone does not tell them apart any
        // more.
        let mut births_came_around = geometry.shards() < self.map.geometry().shards();
        for place in self.of(shard, geometry.shards()) {
            let source = (self.map.memory(place), self.presence, self.map.patience);
            follow::copy(source, self.file, &mut records)?;
            births_came_around |= directory::births_came_around(&place);
        }
        let (record_pages, entries) = records.finish()?;
        let index = FrozenIndex::new(shard, entries).map_err(|error| self.file.failed(error))?;
        Ok(FrozenShard { record_pages, index, births_came_around })
    }

    /// Writes index, header and ledger of a frozen shard.
    fn place(
        &self,
        shard: u32,
        geometry: &Geometry,
        frozen: &FrozenShard,
    ) -> Result<(), OpenError> {
        let (needed_bytes, max_bytes) =
            (u64::from(frozen.pages()) * PAGE_BYTES, geometry.window_bytes());
        if needed_bytes > max_bytes {
            return Err(self.file.failed(OpError::NoSpace { needed_bytes, max_bytes }));
        }
        let end = geometry.window(shard) + geometry.window_bytes();
        let levels = frozen.index.write(self.file, SlotFormat::new(geometry), end)?;
        self.file.write_at(&frozen.header(&levels), geometry.shard_header(shard))?;
        self.file.write_at(&u64::from(frozen.pages()).to_le_bytes(), geometry.ledger(shard))
    }
}

/// Bytes that the records and the index of a shard have now, at most.
fn bytes_in(place: Place<'_>) -> u64 {
    let (records, index) = unpair(place.load(Field::Tops));
    let pages = u64::from(records).saturating_sub(place.load(Field::FreePages)) + u64::from(index);
    pages.min(place.geometry().pages()) * PAGE_BYTES
}
