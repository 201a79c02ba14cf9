//! docs/format.md says the truth: its tables of offsets and its worked example, against the code.
#![cfg(not(any(miri, loom)))]

use shf_base::fixed_lengths::FixedLengths;
use shf_base::format::{
    AGE_OFFSET, BYTE_ORDER_MARK, CHANGE_LOG_OFFSET, EPOCHS_OFFSET, FileHeader, IDENTITY_OFFSET,
    LOCK_OFFSET, MAGIC, REPLACED_OFFSET, SUSPECT_OFFSET, VERSION,
};
use shf_base::geometry::{Geometry, SHARD_HEADER_STRIDE, SLOT_RECORD_BYTES, SLOTS, WINDOW_GAP};
use shf_base::open::HEAP_SECRET;
use shf_base::reservation::Reservation;
use shf_engine::hash::Hash;
use shf_engine::place::{Field, INTENT_ENTRIES, LEVEL_ENTRIES, Place};
use shf_engine::slot_word::SlotFormat;
use shf_tests::golden::Golden;
use shf_tests::map_file::MapFile;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> String {
    std::fs::read_to_string(project().join("docs/format.md")).unwrap()
}

/// Asserts that the document has each of these texts.
fn assert_says<'t>(texts: impl IntoIterator<Item = &'t str>) {
    let document = document();
    for text in texts {
        assert!(document.contains(text), "docs/format.md does not say: {text}");
    }
}

/// Asserts that the rows of the table after a heading, whose first cell is an offset, are these
/// offsets and names, all of them and in this order.
fn assert_table(heading: &str, expected: &[(u64, String)]) {
    let document = document();
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let offset = cells.next()?.strip_suffix('`')?.parse().ok()?;
        Some((offset, cells.next()?.to_string()))
    });
    assert_eq!(rows.collect::<Vec<_>>(), expected, "the table of {heading}");
}

#[test]
fn the_areas_of_the_file_lie_where_the_document_says() {
    let [two, many] = [(2, 1 << 20), (256, 1 << 30)].map(|(s, w)| Geometry::new(s, w).unwrap());
    let most = Geometry::new(512, 1 << 30).unwrap();
    assert!(two.shard_header(0) == most.shard_header(0) && SHARD_HEADER_STRIDE == 4928);
    assert_eq!((SLOTS, SLOT_RECORD_BYTES), (1024, 128));
    assert_says([
        &*format!("| slot records | `{}` | {}:", two.slot_record(0), 1024 * 128),
        &*format!("| ledger | `{}` |", two.ledger(0)),
        &*format!("| shard header 0 | `{}` with up to 512 shards", two.shard_header(0)),
        &*format!("| `{}` with 2 shards, `{}` with 256", two.window(0), many.window(0)),
        &*format!("| window i | one window and `{WINDOW_GAP}` bytes after"),
    ]);
    for (text, window_bytes) in [
        ("256 KiB", 256 << 10),
        ("1 MiB", 1 << 20),
        ("512 MiB", 512 << 20),
        ("1 GiB", 1 << 30),
        ("8 GiB", 8 << 30),
    ] {
        let geometry = Geometry::new(1, window_bytes).unwrap();
        let (pages, bits) = (geometry.pages_offset(), geometry.reference_bits());
        assert_says([&*format!("| {text} | `{pages}` | {bits} | {} |", 30 - bits)]);
    }
}

#[test]
fn the_words_of_the_header_are_the_documents() {
    let geometry = Geometry::new(4, 1 << 20).unwrap();
    // Each value differs from all others, so that it tells where it lies.
    let (max_bytes, secret, created_ns) = (111, 222, 333);
    let reservation = Reservation { record_pages: 444, index_pages: 555 };
    let plain = FileHeader::plain(geometry, max_bytes, secret, created_ns);
    let header = FileHeader { durable: true, reservation, ..plain };
    let bytes = header.encode();
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let named = [
        ("magic", MAGIC),
        ("byte order mark", BYTE_ORDER_MARK),
        ("version", VERSION),
        ("layout fingerprint", words[3]),
        ("feature bits", 17),
        ("file_bytes", geometry.file_bytes()),
        ("window_bytes", geometry.window_bytes()),
        ("max_bytes", 111),
        ("secret", 222),
        ("created_ns", 333),
        ("shards", 4),
        ("slots", SLOTS.into()),
        ("fixed lengths", 0),
        ("contents", 0),
        ("reservation", 444 | 555 << 32),
    ];
    for (index, (name, value)) in named.into_iter().enumerate() {
        assert_eq!(words[index], value, "{name}");
    }
    let offset = |(index, (name, _)): (usize, (&str, u64))| (index as u64 * 8, name.to_string());
    let mut table: Vec<_> = named.into_iter().enumerate().map(offset).collect();
    table.push((bytes.len() as u64 - 8, "checksum".into()));
    table.push((IDENTITY_OFFSET, "identity".into()));
    table.push((EPOCHS_OFFSET, "epochs".into()));
    table.push((AGE_OFFSET, "default age".into()));
    table.push((CHANGE_LOG_OFFSET, "change log".into()));
    table.push((REPLACED_OFFSET, "replaced".into()));
    assert_table("Header", &table);
    assert_says([
        &*format!("`{MAGIC:#018x}`"),
        &*format!("`{BYTE_ORDER_MARK:#018x}`"),
        &*format!("`{:#018x}`: XXH3-64", words[3]),
        &*format!("Format version {VERSION}."),
        &*format!("golden/format-{VERSION}.txt"),
    ]);
}

#[test]
fn fixed_lengths_and_half_a_header_are_where_the_document_says() {
    // Goal: the words of the header, and the bits of a record. Method: the headers of a map and of
    // a frozen one; a record as it lies in a map.
    let fixed = FixedLengths { key_bytes: 8, value_bytes: 4 };
    let word = |header: FileHeader, offset: usize| {
        u64::from_le_bytes(header.encode()[offset..offset + 8].try_into().unwrap())
    };
    let with = |header| FileHeader { fixed: Some(fixed), ..header };
    let plain = with(FileHeader::plain(Geometry::new(4, 1 << 20).unwrap(), 1, 2, 3));
    assert_eq!((word(plain, 32), word(plain, 96), word(plain, 112)), (1 << 5, 8 | 4 << 32, 0));
    let frozen = FileHeader::plain(Geometry::frozen(4, 1 << 20, 6).unwrap(), 1, 2, 3);
    let frozen = with(FileHeader { frozen: Some(4), ..frozen });
    let words = (word(frozen, 32), word(frozen, 96), word(frozen, 112));
    assert_eq!(words, (1 << 5 | 1 << 3, 6, 8 | 4 << 32));

    let file = MapFile::new("format-fixed");
    let map = file.create_fixed(1, 1 << 20, (8, 4));
    map.put(b"the key.", b"four").unwrap();
    let (geometry, mut record) = (map.geometry(), [0; 16]);
    let first = geometry.window(0) + geometry.pages_offset();
    let raw = std::fs::File::open(file.path()).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&raw, &mut record, first).unwrap();
    assert_eq!(&record[4..], b"the key.four");
    assert_eq!(u32::from_le_bytes(record[..4].try_into().unwrap()), 15 << 28);
}

#[test]
fn the_words_of_a_shard_header_are_the_documents() {
    let opened = shf_base::open::heap(1, 256 << 10, 1 << 20);
    let place = Place::new(&opened.storage, &opened.header, 0);
    let level = place.level_offset(0) - place.field_offset(Field::Root);
    let mut table = vec![
        (level, "Level".to_string()),
        (LOCK_OFFSET, "Lock".to_string()),
        (SUSPECT_OFFSET, "Suspect".to_string()),
        (Field::Dead as u64 + 8, "Intent".to_string()),
        (place.stack_offset(0) - place.field_offset(Field::Root), "Stacks".to_string()),
    ];
    use Field::*;
    let fields = [
        Root, Limits, Pending, Keys, Dead, Splits, Repairs, Moved, Tables, Chunks, Expired,
        Elements,
    ];
    let more = [Head, Tops, FreePages, Rotors, Evacuation, Retired, Reused, Sweep];
    let durable = [Epoch, Born, BornBefore, FreedBefore, Freed, DeadBefore];
    let holes = [Holes, Unsettled, Rested, Resting, RestBegan, Walked];
    let index = [Gap, Vacated, Rest, Kept, Turn, Pause, Timed, Hand];
    let eviction = [Turns, Evicted, Credit, EvictionHand];
    table.extend(
        fields
            .iter()
            .chain(&more)
            .chain(&eviction)
            .chain(&durable)
            .chain(&holes)
            .chain(&index)
            .map(|field| (*field as u64, format!("{field:?}"))),
    );
    table.sort();
    assert_table("Shard header", &table);
    assert_says([
        &*format!("{LEVEL_ENTRIES} half words, each an index page"),
        &*format!("| {INTENT_ENTRIES} entries of two words |"),
    ]);
    assert_eq!(level + u64::from(LEVEL_ENTRIES) * 4, 2064, "the end of the first level");
    assert_eq!(Field::Dead as u64 + 8 + INTENT_ENTRIES * 16, 3680, "the end of the intent");
}

#[test]
fn the_worked_example_is_what_the_golden_file_holds() {
    let path = project().join(format!("tests_rust/golden/format-{VERSION}.txt"));
    let golden = Golden::parse(&std::fs::read_to_string(path).unwrap());
    let word = |at: u64| golden.words.get(&at).copied().unwrap_or(0);
    let half = |at: u64| (word(at & !7) >> (at % 8 * 8)) as u32;
    let geometry = Geometry::new(word(80) as u32, word(48)).unwrap();
    let hash = Hash::of(b"text", HEAP_SECRET);
    let shard = hash.shard(geometry.shards());
    let (header, start) = (geometry.shard_header(shard), geometry.window(shard));
    let end = start + geometry.window_bytes();
    let index_page = |page: u32| end - (u64::from(page) + 1) * 4096;

    let (root, level) = (word(header), half(header + 16));
    let bits = root & 0xff;
    let entry_at = index_page(level - 1) + u64::from(hash.directory() & ((1 << bits) - 1)) * 4;
    let entry = half(entry_at);
    let (page, depth) = ((entry & 0x07ff_ffff) - 1, entry >> 27);
    let bucket = index_page(page) + hash.bucket() as u64 * 64;
    let tag = |slot: &u64| (word(bucket + slot / 8 * 8) >> (slot % 8 * 8)) as u8;
    let slot = (0..12).find(|slot| tag(slot) == hash.tag()).unwrap();
    let slot_at = bucket + 16 + slot * 4;
    let format = SlotFormat::new(&geometry);
    let (value, reference) = (half(slot_at), format.reference(half(slot_at)));
    let cached = value >> (geometry.reference_bits() + 2);
    let record = start + u64::from(reference) * 8;
    let (key, len) = (word(record) & 0x3fff, word(record) >> 14 & 0x3fff);
    assert_eq!(&word(record + 8).to_le_bytes()[..4], b"text");

    let directory = index_page(level - 1);
    let distance = format.distance(value);
    let lines = [
        format!("hash of \"text\" {:#018x}", hash.0),
        format!("shard {shard} header at {header:#x}, window at {start:#x} to {end:#x}"),
        format!("directory bits {:#x}", hash.directory()),
        format!("bucket, tag {}, {:#x}", hash.bucket(), hash.tag()),
        format!("{header:#x} Root {root:#x} one split, so one directory bit counts: entry 0"),
        format!(
            "{:#x} Level 0 {level} directory page: index page {}, at {directory:#x}",
            header + 16,
            level - 1,
        ),
        format!(
            "{entry_at:#x} entry 0 {entry:#x} table: index page {page}, at {:#x}, local depth {depth}",
            index_page(page),
        ),
        format!("{bucket:#x} bucket {} tags 0x28 is the tag of slot {slot}", hash.bucket()),
        format!(
            "{slot_at:#x} slot {slot} {value:#x} reference {reference:#x}, distance {distance}, \
             cached bits {cached:#x}"
        ),
        format!(
            "{record:#x} record header {:#x} type bytes, key of {key} bytes, value of {len}, \
             generation {:#x}",
            word(record),
            word(record) >> 36 & 0xffff
        ),
    ];
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let document = words(&document());
    for line in lines {
        assert!(document.contains(&words(&line)), "docs/format.md does not say: {line}");
    }
}
