//! The header of a frozen shard, and what it counts.

use crate::directory;
use crate::frozen_index::FrozenIndex;
use crate::place::{Field, level_in_header, pair};
use shf_base::geometry::SHARD_HEADER_BYTES;

/// What lies in a frozen shard.
pub(crate) struct FrozenShard {
    /// Pages of records.
    pub record_pages: u32,
    /// Its index.
    pub index: FrozenIndex,
    /// Whether UIDs need a closer look, as where births come around.
    pub births_came_around: bool,
}

impl FrozenShard {
    /// Pages of records and index.
    pub fn pages(&self) -> u32 {
        self.record_pages + self.index.pages()
    }

    /// Keys, without the elements of lists.
    pub fn keys(&self) -> u64 {
        self.index.entries().iter().filter(|entry| !entry.element).count() as u64
    }

    /// The header of the shard, whose directory has this first level.
    pub fn header(&self, levels: &[(u32, u32)]) -> Vec<u8> {
        let entries = self.index.entries();
        let (all, keys) = (entries.len() as u64, self.keys());
        let timed = entries.iter().filter(|entry| entry.timed).count() as u64;
        let pages = pair(self.record_pages, self.index.pages());
        let mut header = vec![0; SHARD_HEADER_BYTES as usize];
        for (field, word) in [
            (Field::Root, directory::at_rest(self.index.depth(), self.births_came_around)),
            (Field::Limits, pages),
            (Field::Tops, pages),
            (Field::Keys, all),
            (Field::Elements, all - keys),
            (Field::Timed, timed),
            (Field::Tables, self.index.tables().into()),
        ] {
            header[field as usize..][..8].copy_from_slice(&word.to_le_bytes());
        }
        for &(level, page) in levels {
            header[level_in_header(level)..][..4].copy_from_slice(&page.to_le_bytes());
        }
        header
    }
}
