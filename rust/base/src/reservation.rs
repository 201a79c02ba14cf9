//! What each shard of a map has from its creation on, whatever becomes of the file system: real
//! pages for records and for the index, which are not given back either. Pure arithmetic.

use crate::geometry::{DESCRIPTORS, Geometry, PAGE_BYTES};

/// Index pages that a shard with keys needs at least: a table, and one of directory entries.
const INDEX_PAGES_MIN: u64 = 2;
/// The part of a shard's pages that its index gets where nobody says how many keys there will be:
/// enough for records of some 100 bytes and more, also when all tables have just split.
const INDEX_FRACTION: u64 = 8;
/// Keys that one table holds at the least, on the average: when all have just split.
const KEYS_PER_TABLE: u64 = 288;

/// Real pages that each shard has from the creation of the map on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// For records; those of their descriptors come with them.
    pub record_pages: u32,
    /// For the index.
    pub index_pages: u32,
}

impl Reservation {
    /// Divides `initial_bytes`, headers included, among the shards of a map: rounded up to whole
    /// pages of each shard, or down where that would exceed `max_bytes`.
    pub fn divide(
        geometry: &Geometry,
        initial_bytes: u64,
        max_bytes: u64,
        expected_keys: Option<u64>,
    ) -> Reservation {
        let (front, shards) = (geometry.front_real_bytes(), u64::from(geometry.shards()));
        let all = |bytes: u64| bytes.saturating_sub(front);
        let pages = all(initial_bytes).div_ceil(shards * PAGE_BYTES);
        let pages = pages.min(all(max_bytes) / (shards * PAGE_BYTES));
        let keys = expected_keys.map(|keys| keys.div_ceil(shards).div_ceil(KEYS_PER_TABLE));
        // One page of directory entries for each 1024 tables.
        let index = keys.map_or(pages / INDEX_FRACTION, |tables| tables + tables.div_ceil(1024));
        let index = index.max(INDEX_PAGES_MIN).min(pages);
        let left = pages - index;
        let records = left - left.div_ceil(u64::from(DESCRIPTORS) + 1);
        // A page that is of no use without another one that describes it.
        let index = pages - records - records.div_ceil(DESCRIPTORS.into());
        let within = |pages: u64| pages.min(geometry.pages()) as u32;
        Reservation { record_pages: within(records), index_pages: within(index) }
    }

    /// In one word.
    pub fn encode(self) -> u64 {
        u64::from(self.record_pages) | u64::from(self.index_pages) << 32
    }

    /// From such a word; `None` where a window does not have so many pages.
    pub fn decode(word: u64, geometry: &Geometry) -> Option<Reservation> {
        let found = Reservation { record_pages: word as u32, index_pages: (word >> 32) as u32 };
        let pages = u64::from(found.record_pages) + u64::from(found.index_pages);
        (pages <= geometry.pages()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real pages that each shard takes for it.
    fn pages(reservation: Reservation) -> u64 {
        let Reservation { record_pages, index_pages } = reservation;
        u64::from(record_pages.div_ceil(DESCRIPTORS)) + u64::from(record_pages + index_pages)
    }

    #[test]
    fn all_pages_are_handed_out_and_no_more() {
        let geometry = Geometry::new(4, 64 << 20).unwrap();
        let front = geometry.front_real_bytes();
        for each in 0..2000u64 {
            let bytes = front + each * 4 * PAGE_BYTES;
            for keys in [None, Some(0), Some(10_000), Some(u64::MAX)] {
                let exact = Reservation::divide(&geometry, bytes, bytes, keys);
                assert_eq!(pages(exact), each, "{each} {keys:?}");
                let more = Reservation::divide(&geometry, bytes + 1, u64::MAX, keys);
                assert_eq!(pages(more), each + 1, "rounded up");
                let full = Reservation::divide(&geometry, bytes + 1, bytes + 1, keys);
                assert_eq!(full, exact, "but not beyond the maximum");
                assert_eq!(Reservation::decode(exact.encode(), &geometry), Some(exact));
            }
        }
        assert_eq!(Reservation::divide(&geometry, 1, 1, None), Reservation::default());
        assert_eq!(Reservation::decode(u64::MAX, &geometry), None);
    }
}
