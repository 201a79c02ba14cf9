//! Where every area of a map's file lies: configuration in, offsets out. Pure, checked arithmetic.
//!
//! ```text
//! 0        4 KiB          132 KiB      388 KiB                          align 64 KiB
//! | header | slot records | change log | ledger | shard header 0, ... | window 0 | gap | window 1 | ...
//!
//! window:
//! 0                        pages_offset                                       window_bytes
//! | descriptors and chunks | record pages 0, 1, 2 -->         <-- 2, 1, 0 index pages |
//!
//! descriptors and chunks, bytes:
//! 0                          64        96       128
//! | descriptors of 8 pages   | chunk   | chunk   | descriptors of the next 8 pages ...
//! ```
//!
//! Records grow from the front of the page area, index pages from its end; each side has its own
//! committed limit. Inside a window a record is named by a 30-bit reference in units of 8 bytes,
//! so a window holds at most 8 GiB; the two remaining bits of an index slot say how far from its
//! home bucket the key lies, and what the window does not need of the 30 bits caches hash bits.
//!
//! A frozen map, which nobody writes to, has neither slot records nor change log, no descriptors
//! and chunks, no gaps, and windows of any number of pages.

/// Bytes of a page, the unit in which memory is made real.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a reference unit.
pub const UNIT_BYTES: u64 = 8;
/// Units in a page.
pub const PAGE_UNITS: u64 = PAGE_BYTES / UNIT_BYTES;
/// Process slots of a map.
pub const SLOTS: u32 = 1024;
/// Bytes of one slot record: two cache lines, see `slot_record`.
pub const SLOT_RECORD_BYTES: u64 = 128;
/// Slots whose records share a page. Those of the first page are taken before all others, so that
/// it is the only one that nearly every map needs.
pub const SLOTS_NEAR: u32 = (PAGE_BYTES / SLOT_RECORD_BYTES) as u32;
/// Bytes of a shard header: a page of words, and a half word for each stack of free blocks.
pub const SHARD_HEADER_BYTES: u64 = PAGE_BYTES + 512;
/// From one shard header to the next: an odd number of cache lines, so that the same word of all
/// shards does not compete for few sets of the processor's caches.
pub const SHARD_HEADER_STRIDE: u64 = SHARD_HEADER_BYTES + 5 * 64;
/// Record pages whose descriptors share a page.
pub const DESCRIPTORS: u32 = 256;
/// Chunks of stacks in that page.
pub const CHUNKS: u32 = 64;
/// Bytes of a chunk.
pub const CHUNK_BYTES: u64 = 32;
/// Largest number of shards.
pub const SHARDS_MAX: u32 = 4096;
/// Shards of a map whose creator does not say.
pub const SHARDS_DEFAULT: u32 = 256;
/// Smallest window.
pub const WINDOW_BYTES_MIN: u64 = 256 << 10;
/// Largest window: 30 bits of 8-byte units.
pub const WINDOW_BYTES_MAX: u64 = 8 << 30;
/// Between two windows, holes for ever: an odd number of pages, so that the same page of all
/// windows does not compete for few sets of the processor's address translations
/// (docs/decisions/0022-windows-apart.md).
pub const WINDOW_GAP: u64 = 17 * PAGE_BYTES;
/// The largest record of a map that evicts is its maximum over this.
pub const EVICTING_FRACTION: u64 = 8;
/// Apparent length that a map's windows stay within unless its maximum asks for more.
pub const APPARENT_BYTES_DEFAULT: u64 = 128 << 30;

const SLOT_RECORDS_OFFSET: u64 = PAGE_BYTES;
/// Bytes of the ring of changes (`change_log`).
pub const CHANGE_LOG_BYTES: u64 = 256 << 10;
const CHANGE_LOG_OFFSET: u64 = SLOT_RECORDS_OFFSET + SLOTS as u64 * SLOT_RECORD_BYTES;
const LEDGER_OFFSET: u64 = CHANGE_LOG_OFFSET + CHANGE_LOG_BYTES;
/// The ledger of a frozen map.
const FROZEN_LEDGER_OFFSET: u64 = PAGE_BYTES;
const WINDOW_ALIGN: u64 = 64 << 10;

/// The two numbers that fix the place of everything, checked, and what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    shards: u32,
    uid_shard_bits: u32,
    reference_bits: u32,
    window_bytes: u64,
    window_gap: u64,
    ledger: u64,
    shard_headers: u64,
    windows: u64,
    pages_offset: u64,
    pages: u32,
    reference_mask: u32,
}

/// Why a pair of numbers is no geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGeometry {
    /// The field, by its name in the options.
    pub field: &'static str,
    /// What would have been right.
    pub expected: &'static str,
    /// What was there.
    pub found: u64,
}

impl Geometry {
    /// Checks that `shards` is a power of two from 1 to 4096 and `window_bytes` one from 256 KiB
    /// to 8 GiB.
    pub fn new(shards: u32, window_bytes: u64) -> Result<Geometry, BadGeometry> {
        if !shards.is_power_of_two() || shards > SHARDS_MAX {
            return Err(BadGeometry {
                field: "shards",
                expected: "a power of two from 1 to 4096",
                found: shards.into(),
            });
        }
        let range = WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX;
        if !window_bytes.is_power_of_two() || !range.contains(&window_bytes) {
            return Err(BadGeometry {
                field: "window_bytes",
                expected: "a power of two from 256 KiB to 8 GiB",
                found: window_bytes,
            });
        }
        let pages = window_bytes / PAGE_BYTES;
        let pages_offset = pages.div_ceil(DESCRIPTORS.into()) * PAGE_BYTES;
        let layout =
            Layout { ledger: LEDGER_OFFSET, align: WINDOW_ALIGN, gap: WINDOW_GAP, pages_offset };
        Ok(layout.of(shards, window_bytes, shards.ilog2()))
    }

    /// The geometry of a frozen map: as of another one, but for windows of any number of pages up
    /// to 8 GiB, and UIDs that have `uid_shard_bits` of the shard, those of the map that it was.
    pub fn frozen(
        shards: u32,
        window_bytes: u64,
        uid_shard_bits: u32,
    ) -> Result<Geometry, BadGeometry> {
        Geometry::new(shards, WINDOW_BYTES_MIN)?;
        let bits = shards.ilog2()..=SHARDS_MAX.ilog2();
        if !bits.contains(&uid_shard_bits) {
            return Err(BadGeometry {
                field: "bits of the shard in UIDs",
                expected: "as many as the shards need, up to 12",
                found: uid_shard_bits.into(),
            });
        }
        if !window_bytes.is_multiple_of(PAGE_BYTES)
            || !(PAGE_BYTES..=WINDOW_BYTES_MAX).contains(&window_bytes)
        {
            return Err(BadGeometry {
                field: "window_bytes",
                expected: "pages of 4096 bytes, from one up to 8 GiB",
                found: window_bytes,
            });
        }
        let layout =
            Layout { ledger: FROZEN_LEDGER_OFFSET, align: PAGE_BYTES, gap: 0, pages_offset: 0 };
        Ok(layout.of(shards, window_bytes, uid_shard_bits))
    }

    /// The geometry for at most `max_bytes` of real memory: windows of `apparent_bytes` together,
    /// but at least twice a shard's share, so that skew never matters, and four times
    /// `record_bytes`, which one shard must be able to hold in a row.
    pub fn choose(
        shards: u32,
        max_bytes: u64,
        apparent_bytes: u64,
        record_bytes: u64,
    ) -> Result<Geometry, BadGeometry> {
        Geometry::new(shards, WINDOW_BYTES_MIN)?;
        let share = max_bytes.div_ceil(shards.into()).max(1);
        let least = share.checked_mul(2).and_then(u64::checked_next_power_of_two);
        let least = least.unwrap_or(u64::MAX).max(WINDOW_BYTES_MIN);
        if least > WINDOW_BYTES_MAX {
            return Err(BadGeometry {
                field: "max_bytes",
                expected: "at most 4 GiB a shard; raise the option shards or lower max_bytes",
                found: max_bytes,
            });
        }
        let room = (apparent_bytes / u64::from(shards)).max(1);
        let record_room = (record_bytes.min(WINDOW_BYTES_MAX / 4) * 4).next_power_of_two();
        let least = least.max(record_room);
        let window = (1 << room.ilog2()).clamp(
            least,
            WINDOW_BYTES_MAX.min(share.saturating_mul(64).next_power_of_two()).max(least),
        );
        Geometry::new(shards, window)
    }

    /// Number of shards, a power of two.
    #[inline(always)]
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Bits that UIDs have of the shard, 0 to 12: as many as its number needs, in a frozen map
    /// those of the map that it was.
    #[inline(always)]
    pub fn uid_shard_bits(&self) -> u32 {
        self.uid_shard_bits
    }

    /// As many shards as UIDs tell apart: those of the map, or of that which a frozen one was.
    pub fn uid_shards(&self) -> u32 {
        1 << self.uid_shard_bits
    }

    /// Bytes of one window: a power of two, unless the map is frozen.
    #[inline(always)]
    pub fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// Bits that a reference in 8-byte units needs: up to 30, 15 at least unless the map is frozen.
    #[inline(always)]
    pub fn reference_bits(&self) -> u32 {
        self.reference_bits
    }

    /// The largest reference: `reference_bits` bits, all of them set.
    #[inline(always)]
    pub fn reference_mask(&self) -> u32 {
        self.reference_mask
    }

    /// Offset of the record of a process slot.
    pub fn slot_record(&self, slot: u32) -> u64 {
        assert!(slot < SLOTS);
        SLOT_RECORDS_OFFSET + u64::from(slot) * SLOT_RECORD_BYTES
    }

    /// Offset of a shard's word in the ledger: its committed pages.
    #[inline(always)]
    pub fn ledger(&self, shard: u32) -> u64 {
        debug_assert!(shard < self.shards);
        self.ledger + u64::from(shard) * 8
    }

    /// Offset of the ring of changes, of `CHANGE_LOG_BYTES`, in a map that is not frozen.
    pub fn change_log(&self) -> u64 {
        CHANGE_LOG_OFFSET
    }

    /// Offset of a shard's header.
    #[inline(always)]
    pub fn shard_header(&self, shard: u32) -> u64 {
        debug_assert!(shard < self.shards);
        self.shard_headers + u64::from(shard) * SHARD_HEADER_STRIDE
    }

    /// Bytes at the front of the file, before the first window.
    pub fn front_bytes(&self) -> u64 {
        (self.shard_headers + u64::from(self.shards) * SHARD_HEADER_STRIDE)
            .next_multiple_of(PAGE_BYTES)
    }

    /// Bytes of the front without the slot records behind their first page, which become real when
    /// more than `SLOTS_NEAR` processes are attached at a time, for the first time, and without the
    /// change log.
    pub fn front_real_bytes(&self) -> u64 {
        // The header, and the first page of slot records where there are some.
        self.ledger.min(2 * PAGE_BYTES) + self.front_bytes() - self.ledger
    }

    /// Offset of the page that a process slot's record lies in.
    pub fn slot_record_page(&self, slot: u32) -> u64 {
        self.slot_record(slot) / PAGE_BYTES * PAGE_BYTES
    }

    /// Offset of a shard's window.
    #[inline(always)]
    pub fn window(&self, shard: u32) -> u64 {
        debug_assert!(shard < self.shards);
        self.windows + u64::from(shard) * self.window_stride()
    }

    /// From one window to the next.
    #[inline(always)]
    pub fn window_stride(&self) -> u64 {
        self.window_bytes + self.window_gap
    }

    /// Apparent length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.window(self.shards - 1) + self.window_bytes()
    }

    /// Offset of the descriptor of a record page, from the start of a window.
    #[inline(always)]
    pub fn descriptor(&self, page: u32) -> u64 {
        u64::from(page / 8) * 128 + u64::from(page % 8) * 8
    }

    /// Offset of a chunk, from the start of the window of a shard. The first one lies in another
    /// line in each shard, for the processor's caches.
    #[inline(always)]
    pub fn chunk(&self, shard: u32, chunk: u32) -> u64 {
        let within = (chunk + shard * 10) % CHUNKS;
        let line = u64::from(chunk / CHUNKS) * PAGE_BYTES + u64::from(within / 2) * 128 + 64;
        line + u64::from(within % 2) * CHUNK_BYTES
    }

    /// Offset of the page area, from the start of a window.
    #[inline(always)]
    pub fn pages_offset(&self) -> u64 {
        self.pages_offset
    }

    /// Pages that records and index share in a window.
    #[inline(always)]
    pub fn pages(&self) -> u64 {
        self.pages.into()
    }

    /// The geometry with windows of half the size, or `None` below twice the shards' share.
    pub fn halved(&self, max_bytes: u64, record_bytes: u64) -> Option<Geometry> {
        let half = Geometry::new(self.shards, self.window_bytes() / 2).ok()?;
        let share = max_bytes.div_ceil(self.shards.into());
        let record_room = record_bytes.min(WINDOW_BYTES_MAX / 4) * 4;
        (half.window_bytes() / 2 >= share && half.window_bytes() >= record_room).then_some(half)
    }
}

/// What two kinds of map differ in.
struct Layout {
    ledger: u64,
    /// Of the first window.
    align: u64,
    /// Between two windows.
    gap: u64,
    /// In a window.
    pages_offset: u64,
}

impl Layout {
    fn of(self, shards: u32, window_bytes: u64, uid_shard_bits: u32) -> Geometry {
        let shard_headers = self.ledger + (u64::from(shards) * 8).next_multiple_of(PAGE_BYTES);
        let front_bytes = shard_headers + u64::from(shards) * SHARD_HEADER_STRIDE;
        let units = (window_bytes / UNIT_BYTES).next_power_of_two();
        Geometry {
            shards,
            uid_shard_bits,
            reference_bits: units.ilog2(),
            window_bytes,
            window_gap: self.gap,
            ledger: self.ledger,
            shard_headers,
            windows: front_bytes.next_multiple_of(self.align),
            pages_offset: self.pages_offset,
            pages: ((window_bytes - self.pages_offset) / PAGE_BYTES) as u32,
            reference_mask: (units - 1) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_map_has_no_more_than_its_pages() {
        for (shards, window) in [(1, PAGE_BYTES), (1, 3 * PAGE_BYTES), (4, WINDOW_BYTES_MAX)] {
            let g = Geometry::frozen(shards, window, 5).unwrap();
            assert!(PAGE_BYTES <= g.ledger(0) && g.ledger(shards - 1) + 8 <= g.shard_header(0));
            assert_eq!((g.front_real_bytes(), g.front_bytes()), (g.window(0), g.window(0)));
            assert_eq!(g.file_bytes(), g.front_bytes() + u64::from(shards) * window);
            assert_eq!((g.pages() * PAGE_BYTES, g.pages_offset()), (window, 0));
            assert!(1 << g.reference_bits() >= window / UNIT_BYTES && g.reference_bits() <= 30);
        }
        for (shards, window, bits, field) in [
            (3, PAGE_BYTES, 5, "shards"),
            (4, PAGE_BYTES, 1, "bits of the shard in UIDs"),
            (4, PAGE_BYTES, 13, "bits of the shard in UIDs"),
            (4, 0, 5, "window_bytes"),
            (4, PAGE_BYTES + 8, 5, "window_bytes"),
            (4, WINDOW_BYTES_MAX + PAGE_BYTES, 5, "window_bytes"),
        ] {
            assert_eq!(Geometry::frozen(shards, window, bits).unwrap_err().field, field);
        }
    }

    #[test]
    fn areas_follow_each_other_without_overlap() {
        for shards in [1, 2, 256, 4096] {
            for window in [WINDOW_BYTES_MIN, 1 << 30, WINDOW_BYTES_MAX] {
                let g = Geometry::new(shards, window).unwrap();
                assert!(g.slot_record(SLOTS - 1) + SLOT_RECORD_BYTES <= g.change_log());
                assert!(g.change_log() + CHANGE_LOG_BYTES <= g.ledger(0));
                assert!(g.ledger(shards - 1) + 8 <= g.shard_header(0));
                assert!(g.shard_header(shards - 1) + SHARD_HEADER_BYTES <= g.front_bytes());
                assert!(g.front_bytes() <= g.window(0));
                assert!(g.pages() >= 50, "{g:?}");
                assert_eq!(g.window_stride(), window + WINDOW_GAP);
                assert_eq!(g.file_bytes(), g.window(shards - 1) + window);
                let translations = |shard| g.window(shard) / PAGE_BYTES % 256;
                let mut differ: Vec<u64> = (0..shards.min(256)).map(translations).collect();
                differ.sort_unstable();
                differ.dedup();
                assert_eq!(differ.len() as u32, shards.min(256));
            }
        }
    }

    #[test]
    fn a_maximum_beyond_the_windows_names_the_option_to_raise() {
        let bad = Geometry::choose(1, 5 << 30, APPARENT_BYTES_DEFAULT, 0).unwrap_err();
        assert_eq!(bad.field, "max_bytes");
        assert!(
            Geometry::choose(256, 24 << 30, APPARENT_BYTES_DEFAULT, 0).unwrap().window_bytes()
                == 512 << 20
        );
        assert!(Geometry::choose(3, 1 << 30, APPARENT_BYTES_DEFAULT, 0).is_err());
    }
}
