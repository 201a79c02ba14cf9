//! A table: one 4 KiB index page of 64 buckets, each a cache line of twelve slots.
//!
//! ```text
//! bucket, bytes     0         8              12                                  16      64
//!                   | tags 0-7 | tags 8-11    | overflow: 6 bits, version: 26 bits | 12 slots |
//!                     word 0     word 1 (low)   word 1 (high)
//! ```
//!
//! A key lies in its home bucket or in one of the next two (`REACH`), and stays in its slot as long
//! as it lives and its table is not merged. `overflow` of a bucket counts the keys that passed it
//! by because it was full: a key at distance n is counted in each of the n buckets from its home
//! on. It is exact, so a lookup that misses stops at the first bucket whose count is 0.
//!
//! Every change of a bucket that a reader could see raises its version, last. Versions count as
//! long as the page is this table; that it is not any more, the root tells (`directory`).

use crate::group::{self, SLOTS, SlotSet};
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::{Half, Line, Page};

/// Buckets of a table.
pub const BUCKETS: usize = 64;
/// Buckets that a key may lie in: its home and the two after it.
pub const REACH: usize = 3;
const BUCKET_BYTES: u64 = 64;
const VERSION_SHIFT: u32 = 38;
const OVERFLOW_SHIFT: u32 = 32;
const OVERFLOW_MAX: u64 = 63;
/// The bits of a tag below the one that says that its key was used.
pub const TAG_MASK: u8 = 0x7f;
const ACCESS_SHIFT: usize = 7;

/// The two words at the front of a bucket, as loaded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Tags 0 to 7.
    pub low: u64,
    /// Tags 8 to 11, overflow, version.
    pub high: u64,
}

impl Head {
    /// The slots that may hold a key with this tag.
    #[inline(always)]
    pub fn matching(self, tag: u8) -> SlotSet {
        group::fastest::matching(self.low, self.high, tag)
    }

    /// The slots that hold nothing.
    #[inline(always)]
    pub fn empty(self) -> SlotSet {
        self.matching(0)
    }

    /// The slots that hold a key.
    #[inline(always)]
    pub fn occupied(self) -> SlotSet {
        SlotSet(!self.empty().0 & ((1 << SLOTS) - 1))
    }

    /// Keys that passed this bucket by.
    #[inline(always)]
    pub fn overflow(self) -> u64 {
        self.high >> OVERFLOW_SHIFT & OVERFLOW_MAX
    }

    /// The tag of a slot, without its access bit.
    #[inline(always)]
    pub fn tag(self, slot: usize) -> u8 {
        let word = if slot < 8 { self.low } else { self.high };
        (word >> (slot % 8 * 8)) as u8 & TAG_MASK
    }

    /// The tag of a slot, with its access bit.
    #[inline(always)]
    pub fn marked_tag(self, slot: usize) -> u8 {
        self.tag(slot) | u8::from(self.is_accessed(slot)) << ACCESS_SHIFT
    }

    /// Whether the key in a slot was used since the access bit of its tag was cleared.
    #[inline(always)]
    pub fn is_accessed(self, slot: usize) -> bool {
        let word = if slot < 8 { self.low } else { self.high };
        word >> (slot % 8 * 8 + ACCESS_SHIFT) & 1 != 0
    }

    /// With another tag in a slot, which may have its access bit; 0 empties it.
    #[inline(always)]
    pub fn with_tag(self, slot: usize, tag: u8) -> Head {
        let shift = slot % 8 * 8;
        let put = |word: u64| word & !(0xff << shift) | u64::from(tag) << shift;
        if slot < 8 {
            Head { low: put(self.low), ..self }
        } else {
            Head { high: put(self.high), ..self }
        }
    }

    /// With another overflow count, held within 0 to 63.
    #[inline(always)]
    pub fn with_overflow(self, overflow: u64) -> Head {
        let kept = self.high & !(OVERFLOW_MAX << OVERFLOW_SHIFT);
        Head { high: kept | overflow.min(OVERFLOW_MAX) << OVERFLOW_SHIFT, ..self }
    }

    /// With the next version.
    #[inline(always)]
    pub fn bumped(self) -> Head {
        Head { high: self.high.wrapping_add(1 << VERSION_SHIFT), ..self }
    }

    /// A head that holds nothing but this one's version.
    pub fn emptied(self) -> Head {
        Head { low: 0, high: self.high >> VERSION_SHIFT << VERSION_SHIFT }
    }
}

/// The home bucket and the two after it, which wrap around.
#[inline(always)]
pub fn bucket_at(home: usize, distance: usize) -> usize {
    (home + distance) % BUCKETS
}

/// A bucket of a table whose page is committed.
#[derive(Clone, Copy)]
pub struct Bucket<'m> {
    line: Line<'m>,
}

impl<'m> Bucket<'m> {
    /// Loads the head: the version word first, acquire, paired with the release of every store into
    /// a bucket.
    #[inline(always)]
    pub fn head(self) -> Head {
        let high = self.line.word(1).load(Acquire);
        let low = self.line.word(0).load(Acquire);
        Head { low, high }
    }

    /// Whether the version is still that of a head; call after `fence(Acquire)`.
    #[inline(always)]
    pub fn is_as(self, head: Head) -> bool {
        (self.line.word(1).load(Acquire) ^ head.high) >> VERSION_SHIFT == 0
    }

    /// Loads a slot.
    #[inline(always)]
    pub fn slot(self, slot: usize) -> u32 {
        self.half(slot).load(Acquire)
    }

    /// A slot's half word.
    #[inline(always)]
    fn half(self, slot: usize) -> Half<'m> {
        self.line.half(4 + slot)
    }
}

/// A table whose page is committed.
#[derive(Clone, Copy)]
pub struct Table<'m> {
    bytes: Page<'m>,
    /// File offset of the page.
    offset: u64,
    /// Number of the index page.
    pub page: u32,
}

impl<'m> Table<'m> {
    /// The table in an index page at a file offset.
    #[inline(always)]
    pub fn new(bytes: Page<'m>, offset: u64, page: u32) -> Table<'m> {
        Table { bytes, offset, page }
    }

    /// A bucket, whose number wraps around.
    #[inline(always)]
    pub fn bucket(self, bucket: usize) -> Bucket<'m> {
        Bucket { line: self.bytes.line(bucket) }
    }

    /// Loads the head of a bucket.
    #[inline(always)]
    pub fn head(self, bucket: usize) -> Head {
        self.bucket(bucket).head()
    }

    /// Loads a slot.
    #[inline(always)]
    pub fn slot(self, bucket: usize, slot: usize) -> u32 {
        self.bucket(bucket).slot(slot)
    }

    /// A slot's half word.
    #[inline(always)]
    pub fn half(self, bucket: usize, slot: usize) -> Half<'m> {
        self.bucket(bucket).half(slot)
    }

    /// File offset of a slot.
    #[inline(always)]
    pub fn slot_offset(self, bucket: usize, slot: usize) -> u64 {
        self.low_offset(bucket) + 16 + slot as u64 * 4
    }

    /// File offset of a bucket's first word.
    #[inline(always)]
    pub fn low_offset(self, bucket: usize) -> u64 {
        self.offset + bucket as u64 * BUCKET_BYTES
    }

    /// File offset of a bucket's second word.
    #[inline(always)]
    pub fn high_offset(self, bucket: usize) -> u64 {
        self.low_offset(bucket) + 8
    }

    /// Says of the key in a slot whether it was used, which is nothing that readers compare. The
    /// caller holds the lock, and nothing is pending.
    pub fn store_access(self, bucket: usize, slot: usize, accessed: bool) {
        use shf_base::atomic::Ordering::Release;
        let mut head = self.head(bucket);
        let (word, bit) = (bucket * 8 + slot / 8, 1 << (slot % 8 * 8 + ACCESS_SHIFT));
        let half = if slot < 8 { &mut head.low } else { &mut head.high };
        *half = if accessed { *half | bit } else { *half & !bit };
        self.bytes.word(word).store(*half, Release);
    }

    /// Stores a whole head, the version word last. For pages not published, and for split and
    /// repair, whose stores can be made again.
    pub fn store_head(self, bucket: usize, head: Head) {
        use shf_base::atomic::Ordering::Release;
        self.bytes.word(bucket * 8).store(head.low, Release);
        self.bytes.word(bucket * 8 + 1).store(head.high, Release);
    }
}
