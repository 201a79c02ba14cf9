//! The file header: magic, version, layout fingerprint, geometry, secret; and its verification.
//!
//! All fields are little-endian 8-byte words. `docs/format.md` lists every byte of the file.
//!
//! ```text
//! 0   magic "\x89SHFMAP\n"        56  max_bytes          112 reservation
//! 8   byte order mark             64  secret             120 checksum of words 0..15
//! 16  version                     72  creation time, ns  ...
//! 24  layout fingerprint          80  shards             1024 boot id, low half   (mutable)
//! 32  feature bits                88  slots              1032 boot id, high half  (mutable)
//! 40  file_bytes                  96  fixed lengths      1040 device              (mutable)
//! 48  window_bytes                104 checksum           1048 inode               (mutable)
//!                                                        1088 epochs and their lock (mutable)
//!                                                        1152 default age        (mutable)
//!                                                        1216 change log and its lock (mutable)
//!                                                        1280 replaced           (mutable)
//! ```
//!
//! Fixed lengths: those of all keys and values, if they are fixed. Reservation: what the map has
//! from creation on. A frozen map has no slots and reserves nothing: it has the bits of the shard
//! in UIDs at 96 and its fixed lengths at 112. Only a frozen one has the word at 104, the checksum
//! of all bytes behind the header page.

use crate::atomic::Ordering::Relaxed;
use crate::fixed_lengths::FixedLengths;
use crate::geometry::{self, Geometry};
use crate::region::Region;
use crate::reservation::Reservation;

/// The first eight bytes of every map.
pub const MAGIC: u64 = u64::from_le_bytes(*b"\x89SHFMAP\n");
/// Reads as something else on a machine of the other byte order.
pub const BYTE_ORDER_MARK: u64 = 0x0102_0304_0506_0708;
/// The version of the format that this library writes and reads.
pub const VERSION: u64 = 12;
/// Words that the checksum covers.
const CHECKED_WORDS: usize = 15;
/// Bytes of the immutable part, checksum included.
pub const HEADER_BYTES: usize = (CHECKED_WORDS + 1) * 8;
/// Offset of the identity words: boot id (two), device, inode.
pub const IDENTITY_OFFSET: u64 = 1024;
/// Offset of the words of `epochs`.
pub const EPOCHS_OFFSET: u64 = 1088;
/// Offset of the word of `default_age`.
pub const AGE_OFFSET: u64 = 1152;
/// Offset of the words of `change_log`.
pub const CHANGE_LOG_OFFSET: u64 = 1216;
/// Offset of the word that is not 0 once a frozen map has taken the place of the file.
pub const REPLACED_OFFSET: u64 = 1280;
/// Offset of the word whose two upper bits close a shard, from the start of a shard header.
pub const ROOT_OFFSET: u64 = 0;
/// The shard's index is being made anew, and means nothing to anybody else.
pub const ROOT_REBUILDING: u64 = 1 << 63;
/// It is made anew after a crash of the machine, from pages of different moments.
pub const ROOT_CRASHED: u64 = 1 << 62;
/// Feature bit: records are sealed, and `sync` makes them durable.
const FEATURE_DURABLE: u64 = 1;
/// Feature bit: a full map evicts keys.
const FEATURE_EVICTING: u64 = 2;
/// Feature bit: the file's name goes with the map's creator.
const FEATURE_TEMPORARY: u64 = 4;
/// Feature bit: nobody writes to the map any more.
const FEATURE_FROZEN: u64 = 8;
/// Feature bit: shards have pages from creation on that they do not give back.
const FEATURE_RESERVING: u64 = 16;
/// Feature bit: all keys have one length, and all values.
const FEATURE_FIXED: u64 = 32;
/// All of them that a map can have that is not frozen.
const FEATURES: u64 =
    FEATURE_DURABLE | FEATURE_EVICTING | FEATURE_TEMPORARY | FEATURE_RESERVING | FEATURE_FIXED;
/// Those that do not go with fixed lengths.
const NOT_FIXED: u64 = FEATURE_DURABLE | FEATURE_EVICTING;
/// The word of the header that fixed lengths are in.
const FIXED_WORD: usize = 12;
/// That of a frozen map.
const FROZEN_FIXED_WORD: usize = 14;
/// Offset of the lock's futex word, from the start of a shard header. A line that readers never
/// load.
pub const LOCK_OFFSET: u64 = 33 * 64;
/// Offset of the word beside it that says what to do under the lock, apart from what one came for:
/// bit 0, an owner died or panicked, look before you trust; bit 1, tell the change log.
pub const SUSPECT_OFFSET: u64 = LOCK_OFFSET + 4;
/// The first of these bits.
pub const NOTE_SUSPECT: u32 = 1;

/// What the layout fingerprint is computed from: the numbers that two builds must agree on;
/// MUST change with any of them, written here or not.
const LAYOUT: &str = "shf layout 12: page 4096, unit 8, \
    slots 1024x128: life 0, pid 8 and length of name 40, role 16, name from 32, counters from 64, \
    shard header 4608 every 4928, 68 KiB between windows, \
    lock, keys and intent from 2112, memory from 3712, counters from 3776, \
    durability from 3840, index from 3904, epochs at 1088, age at 1152, \
    change log at 1216, replaced at 1280, of 32768 hashes behind the slots, followed by bit 1 of suspect, \
    frozen: no slots, log, descriptors, chunks and gaps, shard bits of uids at 96, \
    stacks 127x4 from 4096 and chunks at 3808, len 3 bits, \
    pages of records in eights: descriptors 8x8, 2 chunks of 32 from 10 x shard on mod 64, \
    chunk plus one 25 + class 7, then 7 references, at most 1024 chunks, \
    bucket 64 = 2 words + 12 references, table 64 buckets, \
    reference 30 = cached hash bits + reference, displacement 2, tag 7 + access 1, \
    overflow 6, version 26, directory 512x1024, hash xxh3-64 seeded: \
    bucket 7..13, directory 13..32, shard from 52 on, \
    kept before keys from 256 bytes on, types in bits 28..32, live by bit 32, gaps by bit 31, \
    timed by bit 34, sealed by bit 35, deadline 0..48 and key 48..64 or turn 48..60 and used 60, \
    timed and hand from 3952, expired at 3816, elements at 3824, orphans above timed, \
    eviction from 4032 to 4064, list 6: first 0..32 and count 32..64, \
    element 7: uid 64 and index 32, seeded inverted, generation 36..56, version 56..64, \
    births above keys, births around by bit 61, \
    rebuilding by bit 63, crashed by bit 62, moves of tables from bit 8 on";

/// The immutable facts of a map, copied to private memory at attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Where everything lies.
    pub geometry: Geometry,
    /// Maximum of real bytes.
    pub max_bytes: u64,
    /// Key of the hash.
    pub secret: u64,
    /// Nanoseconds since 1970 at creation.
    pub created_ns: u64,
    /// Whether records are sealed, so that they can be made to survive a crash of the machine.
    pub durable: bool,
    /// Whether a full map evicts keys, so that there is room for others.
    pub evicting: bool,
    /// Whether the file's name goes with the map's creator.
    pub temporary: bool,
    /// The checksum of a frozen map; `None`: the map is not frozen.
    pub frozen: Option<u64>,
    /// What each shard has from creation on, and does not give back.
    pub reservation: Reservation,
    /// The lengths that all keys and values have, if they are fixed.
    pub fixed: Option<FixedLengths>,
}

/// A header field that does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the field.
    pub field: &'static str,
    /// What this library expects.
    pub expected: String,
    /// What the file says.
    pub found: String,
}

impl FileHeader {
    /// That of a map without any features.
    pub fn plain(geometry: Geometry, max_bytes: u64, secret: u64, created_ns: u64) -> FileHeader {
        FileHeader {
            geometry,
            max_bytes,
            secret,
            created_ns,
            durable: false,
            evicting: false,
            temporary: false,
            reservation: Reservation::default(),
            frozen: None,
            fixed: None,
        }
    }

    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut words = [0u64; CHECKED_WORDS + 1];
        words[0] = MAGIC;
        words[1] = BYTE_ORDER_MARK;
        words[2] = VERSION;
        words[3] = fingerprint();
        let feature = |set, bit| if set { bit } else { 0 };
        words[4] = feature(self.durable, FEATURE_DURABLE)
            | feature(self.evicting, FEATURE_EVICTING)
            | feature(self.temporary, FEATURE_TEMPORARY)
            | feature(self.reservation != Reservation::default(), FEATURE_RESERVING)
            | feature(self.frozen.is_some(), FEATURE_FROZEN)
            | feature(self.fixed.is_some(), FEATURE_FIXED);
        words[5] = self.geometry.file_bytes();
        words[6] = self.geometry.window_bytes();
        words[7] = self.max_bytes;
        words[8] = self.secret;
        words[9] = self.created_ns;
        words[10] = self.geometry.shards().into();
        words[14] = self.reservation.encode();
        match self.frozen {
            None => words[11] = geometry::SLOTS.into(),
            Some(checksum) => {
                words[12] = self.geometry.uid_shard_bits().into();
                words[13] = checksum;
            }
        }
        if let Some(fixed) = self.fixed {
            let word = if self.frozen.is_some() { FROZEN_FIXED_WORD } else { FIXED_WORD };
            words[word] = fixed.encode();
        }
        words[CHECKED_WORDS] = checksum(&words[..CHECKED_WORDS]);
        let mut bytes = [0; HEADER_BYTES];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads and verifies the header of a file that is `file_bytes` long.
    pub fn decode(bytes: &[u8; HEADER_BYTES], file_bytes: u64) -> Result<FileHeader, Mismatch> {
        let mut words = [0u64; CHECKED_WORDS + 1];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().expect("8 bytes"));
        }
        expect_hex("magic", MAGIC, words[0])?;
        expect_hex("byte order mark", BYTE_ORDER_MARK, words[1])?;
        expect("version", VERSION, words[2])?;
        expect_hex("layout fingerprint", fingerprint(), words[3])?;
        expect_hex("header checksum", checksum(&words[..CHECKED_WORDS]), words[CHECKED_WORDS])?;
        let is_frozen = words[4] & FEATURE_FROZEN != 0;
        // Of what changes a frozen map, there is nothing.
        let known = if is_frozen { FEATURE_FROZEN | FEATURE_FIXED } else { FEATURES };
        let is_fixed = words[4] & FEATURE_FIXED != 0;
        let features = words[4] & known & !if is_fixed { NOT_FIXED } else { 0 };
        expect_hex("feature bits", features, words[4])?;
        expect("process slots", if is_frozen { 0 } else { geometry::SLOTS.into() }, words[11])?;
        let half = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
        let (shards, uid_shard_bits) = (half(words[10]), half(words[12]));
        let geometry = match is_frozen {
            false => Geometry::new(shards, words[6]),
            true => Geometry::frozen(shards, words[6], uid_shard_bits),
        };
        let geometry = geometry.map_err(|bad| Mismatch {
            field: bad.field,
            expected: bad.expected.into(),
            found: bad.found.to_string(),
        })?;
        expect("file_bytes in the header", geometry.file_bytes(), words[5])?;
        expect("length of the file", geometry.file_bytes(), file_bytes)?;
        let fixed = is_fixed.then(|| words[if is_frozen { FROZEN_FIXED_WORD } else { FIXED_WORD }]);
        let reserved = if words[4] & FEATURE_RESERVING != 0 { words[14] } else { 0 };
        let reservation = Reservation::decode(reserved, &geometry).ok_or_else(|| Mismatch {
            field: "reservation",
            expected: format!("at most {} pages of a shard", geometry.pages()),
            found: format!("{reserved:#018x}"),
        })?;
        let fixed = fixed.map(|word| {
            FixedLengths::decode(word).ok_or_else(|| Mismatch {
                field: "fixed lengths",
                expected: format!("from 1 to {} bytes together", FixedLengths::BYTES_MAX),
                found: format!("{word:#018x}"),
            })
        });
        Ok(FileHeader {
            geometry,
            max_bytes: words[7],
            secret: words[8],
            created_ns: words[9],
            durable: words[4] & FEATURE_DURABLE != 0,
            evicting: words[4] & FEATURE_EVICTING != 0,
            temporary: words[4] & FEATURE_TEMPORARY != 0,
            frozen: is_frozen.then_some(words[13]),
            reservation,
            fixed: fixed.transpose()?,
        })
    }

    /// Stores the header at the front of a region.
    pub fn store(&self, region: &Region) {
        let bytes = region.bytes(0, HEADER_BYTES as u64).expect("a region holds its header");
        bytes.store_parts([&self.encode(), &[], &[]]);
    }
}

/// What the file was when its locks were last valid: boot id, device, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub [u64; 4]);

impl Identity {
    /// The identity that the map recorded.
    pub fn load(region: &Region) -> Identity {
        Identity(std::array::from_fn(|i| {
            region.word(IDENTITY_OFFSET + 8 * i as u64).map_or(0, |word| word.load(Relaxed))
        }))
    }

    /// Whether locks that were valid for one are valid for the other. A boot id of zeros is one
    /// that nobody could find out, and says nothing.
    pub fn matches(&self, other: &Identity) -> bool {
        let (ours, theirs) = (&self.0, &other.0);
        let boot = ours[..2] == theirs[..2] || ours[..2] == [0, 0] || theirs[..2] == [0, 0];
        boot && ours[2..] == theirs[2..]
    }

    /// Whether it tells one start of the machine from another.
    pub fn tells_boots(&self) -> bool {
        self.0[..2] != [0, 0]
    }

    /// Records the identity.
    pub fn store(&self, region: &Region) {
        for (i, value) in self.0.into_iter().enumerate() {
            if let Some(word) = region.word(IDENTITY_OFFSET + 8 * i as u64) {
                word.store(value, Relaxed);
            }
        }
    }
}

fn fingerprint() -> u64 {
    xxhash_rust::xxh3::xxh3_64(LAYOUT.as_bytes())
}

fn checksum(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

fn expect(field: &'static str, expected: u64, found: u64) -> Result<(), Mismatch> {
    let text = |value: u64| value.to_string();
    compare(field, expected, found, text)
}

fn expect_hex(field: &'static str, expected: u64, found: u64) -> Result<(), Mismatch> {
    compare(field, expected, found, |value| format!("{value:#018x}"))
}

fn compare(
    field: &'static str,
    expected: u64,
    found: u64,
    text: impl Fn(u64) -> String,
) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    Err(Mismatch { field, expected: text(expected), found: text(found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_maps_are_refused_by_name_whatever_the_checksum_says() {
        // Goal: P5 against a header that somebody made, not only damaged. Method: one word of it
        // changed, and the checksum that fits.
        let geometry = Geometry::new(4, 1 << 20).unwrap();
        let reservation = Reservation { record_pages: 5, index_pages: 6 };
        let header = FileHeader { reservation, ..FileHeader::plain(geometry, 1 << 20, 1, 2) };
        let file_bytes = geometry.file_bytes();
        let forged = |word: usize, value: u64| {
            let mut words = [0; CHECKED_WORDS + 1];
            for (word, bytes) in words.iter_mut().zip(header.encode().chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().unwrap());
            }
            words[word] = value;
            words[CHECKED_WORDS] = checksum(&words[..CHECKED_WORDS]);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            FileHeader::decode(&bytes.try_into().unwrap(), file_bytes)
        };
        let wrong = |word, value| {
            let Mismatch { field, found, .. } = forged(word, value).unwrap_err();
            (field, found)
        };
        assert_eq!(forged(8, 77).unwrap().secret, 77);
        assert_eq!(wrong(4, 64), ("feature bits", "0x0000000000000040".into()));
        assert_eq!(wrong(4, 8 | 1), ("feature bits", "0x0000000000000009".into()));
        assert_eq!(wrong(4, 8), ("process slots", "1024".into()));
        assert_eq!(wrong(5, 4096), ("file_bytes in the header", "4096".into()));
        for window_bytes in [0, 4096, (1 << 20) + 1, 16 << 30, u64::MAX] {
            assert_eq!(wrong(6, window_bytes), ("window_bytes", window_bytes.to_string()));
        }
        for shards in [0, 3, 8192] {
            assert_eq!(wrong(10, shards), ("shards", shards.to_string()));
        }
        let geometry = Geometry::frozen(2, 5 * geometry::PAGE_BYTES, 7).unwrap();
        let frozen = FileHeader { frozen: Some(9), ..FileHeader::plain(geometry, 3, 4, 5) };
        let file_bytes = geometry.file_bytes();
        assert_eq!(FileHeader::decode(&frozen.encode(), file_bytes), Ok(frozen));
        // What does not fit into 32 bits must not come out as another number that fits.
        assert_eq!(wrong(10, (1 << 32) + 4).0, "shards");
        assert_eq!(wrong(11, 512), ("process slots", "512".into()));
        assert_eq!(forged(8, 77).unwrap().reservation, reservation);
        assert_eq!(forged(4, 0).unwrap().reservation, Reservation::default(), "without the bit");
        assert_eq!(wrong(14, 1 << 31), ("reservation", "0x0000000080000000".into()));
        assert_eq!(wrong(14, u64::MAX).0, "reservation");
    }

    #[test]
    fn fixed_lengths_are_in_the_header_of_any_map_and_refused_where_none_can_have_them() {
        let fixed = FixedLengths { key_bytes: 16, value_bytes: 100 };
        let reservation = Reservation { record_pages: 5, index_pages: 6 };
        let plain = FileHeader::plain(Geometry::new(4, 1 << 20).unwrap(), 1 << 20, 1, 2);
        let frozen = Geometry::frozen(2, 5 * geometry::PAGE_BYTES, 7).unwrap();
        let frozen = FileHeader { frozen: Some(9), ..FileHeader::plain(frozen, 3, 4, 5) };
        for plain in [plain, FileHeader { reservation, ..plain }, frozen] {
            let header = FileHeader { fixed: Some(fixed), ..plain };
            let file_bytes = header.geometry.file_bytes();
            assert_eq!(FileHeader::decode(&header.encode(), file_bytes), Ok(header));
            let none = FixedLengths { key_bytes: 0, value_bytes: 0 };
            let forged = FileHeader { fixed: Some(none), ..plain };
            let wrong = FileHeader::decode(&forged.encode(), file_bytes).unwrap_err();
            assert_eq!((wrong.field, &wrong.found[..]), ("fixed lengths", "0x0000000000000000"));
            // Nobody made such a map.
            let forged = FileHeader { durable: true, ..header };
            let wrong = FileHeader::decode(&forged.encode(), file_bytes).unwrap_err();
            assert_eq!(wrong.field, "feature bits");
        }
    }
}
