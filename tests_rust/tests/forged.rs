//! Damage made on purpose: what a stranger would write who knows the format.
#![cfg(not(any(miri, loom)))]

use shf_base::atomic::Ordering::Relaxed;
use shf_base::open::{Access, Opened, open};
use shf_engine::directory;
use shf_engine::hash::Hash;
use shf_engine::locate::{self, Located};
use shf_engine::place::{Field, Place};
use shf_engine::run::Run;
use shf_engine::{Map, OpError, Violation};
use shf_tests::map_file::MapFile;
use shf_tests::{assert_sound, secret};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// A map of one shard, and its file.
struct Scene {
    file: MapFile,
    map: Map,
    raw: File,
    peek: Opened,
    secret: u64,
}

impl Scene {
    fn new(what: &str) -> Scene {
        let file = MapFile::new(what);
        let (map, secret) = (file.create(1), secret());
        let raw = OpenOptions::new().read(true).write(true).open(file.path()).unwrap();
        let peek = open(file.folder(), file.name(), Access::ReadOnly, false).unwrap();
        Scene { file, map, raw, peek, secret }
    }

    fn place(&self) -> Place<'_> {
        Place::new(&self.peek.storage, &self.peek.header, 0)
    }

    /// File offset of a key's slot, what the slot holds, and the record that it leads to.
    fn slot(&self, key: &[u8]) -> (u64, u32, u32) {
        let place = self.place();
        let found = locate::key(place, Hash::of(key, self.secret), key).unwrap();
        let Located::Found(position, word, _) = found else { panic!("not there") };
        let offset = position.entry.table.slot_offset(position.bucket, position.slot);
        (offset, word, place.slot_format().reference(word))
    }

    fn store(&self, offset: u64, bytes: &[u8]) {
        self.raw.write_all_at(bytes, offset).unwrap();
    }

    fn word(&self, offset: u64) -> u64 {
        self.place().word(offset).unwrap().load(Relaxed)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.map.get(key, &mut value).unwrap().then_some(value)
    }

    /// The violation that says this, among others.
    fn violation(&self, what: &str) -> Violation {
        let found = self.map.verify().unwrap();
        let named = found.iter().find(|violation| violation.what.contains(what));
        named.unwrap_or_else(|| panic!("{what}: {found:#?}")).clone()
    }
}

#[test]
fn a_slot_that_leads_into_a_value_is_found_even_if_a_large_record_could_be_there() {
    // Goal: values are no records, whatever their bytes are: their pages are not their own. Method:
    // the bytes of a large record's header inside of a large value, and a slot that leads there.
    let scene = Scene::new("forged-large");
    let (small, large) = (b"small", b"large");
    scene.map.put(small, b"value").unwrap();
    scene.map.put(large, &[7; 40_000]).unwrap();
    let (slot, word, _) = scene.slot(small);
    let (_, _, reference) = scene.slot(large);
    let (outer, inner) = (scene.place().unit_offset(reference), reference + 64);
    let forged = [scene.word(outer), large.len() as u64, 20_000].map(u64::to_le_bytes);
    scene.store(scene.place().unit_offset(inner), forged.as_flattened());
    scene.store(slot, &scene.place().slot_format().with_reference(word, inner).to_le_bytes());

    let violation = scene.violation("large record inside of a page");
    assert_eq!(violation.offset, scene.place().unit_offset(inner));
    scene.map.repair().unwrap();
    assert_sound(&scene.map);
    assert_eq!(scene.get(small), Some(b"value".to_vec()));
    assert_eq!(scene.get(large).map(|value| value.len()), Some(40_000));
    drop(scene.file);
}

#[test]
fn lengths_that_no_record_can_have_cost_that_record_only() {
    // Goal: P5, no sum of lengths overflows. Method: each length of a large record beyond the
    // format's limit in turn, up to the largest number.
    let (small, large) = (b"small", b"large");
    for at in [8, 16] {
        for len in [(1 << 32) + 1, u64::MAX - 24, u64::MAX] {
            let scene = Scene::new("forged-lengths");
            scene.map.put(small, b"value").unwrap();
            scene.map.put(large, &[7; 40_000]).unwrap();
            let (_, _, reference) = scene.slot(large);
            scene.store(scene.place().unit_offset(reference) + at, &len.to_le_bytes());
            let found = scene.map.get(large, &mut Vec::new());
            assert!(matches!(found, Err(OpError::Corrupt { shard: 0, .. })), "{len}: {found:?}");
            assert_eq!(scene.get(small), Some(b"value".to_vec()));
            scene.map.repair().unwrap();
            assert_sound(&scene.map);
            assert_eq!((scene.get(small), scene.get(large)), (Some(b"value".to_vec()), None));
        }
    }
}

#[test]
fn a_small_record_that_says_it_is_larger_than_any_costs_that_record_only() {
    // Goal: as above, for the lengths in the header word. Method: the most that its bits can say.
    let scene = Scene::new("forged-small");
    scene.map.put(b"small", b"value").unwrap();
    scene.map.put(b"other", &[7; 40_000]).unwrap();
    let (_, _, reference) = scene.slot(b"small");
    let header = scene.place().unit_offset(reference);
    scene.store(header, &(scene.word(header) | 0x3fff << 14).to_le_bytes());
    let found = scene.map.get(b"small", &mut Vec::new());
    assert!(matches!(found, Err(OpError::Corrupt { shard: 0, .. })), "{found:?}");
    scene.map.repair().unwrap();
    assert_sound(&scene.map);
    assert_eq!(scene.get(b"small"), None);
    assert_eq!(scene.get(b"other"), Some(vec![7; 40_000]));
}

#[test]
fn the_text_of_a_violation_says_where_it_is() {
    // Goal: with the text alone one finds the bytes. Method: a slot of which a bit is changed, and
    // a counter, which has no slot.
    let scene = Scene::new("forged-text");
    for number in 0..10_000u64 {
        scene.map.put(&number.to_le_bytes(), b"").unwrap();
    }
    let (slot, word, _) = scene.slot(&77u64.to_le_bytes());
    scene.store(slot, &(word ^ 1 << 31).to_le_bytes());
    let violation = scene.violation("not where its key's hash belongs");
    let number = violation.slot.expect("of a slot");
    let table = scene.place().index_page(number.table);
    assert!((table..table + 4096).contains(&slot), "{number:?}");
    let text = violation.to_string();
    let place = format!(
        "shard 0, table {}, bucket {}, slot {}, ",
        number.table, number.bucket, number.slot
    );
    assert_eq!(violation.offset, slot);
    assert!(text.starts_with(&format!("{place}offset {slot:#x}: not where")), "{text}");

    let keys = scene.place().field_offset(shf_engine::place::Field::Keys);
    scene.store(keys, &3u64.to_le_bytes());
    let text = scene.violation("keys").to_string();
    let counted = "keys and elements: 10000 counted, the header says 3";
    assert_eq!(text, format!("shard 0, offset {keys:#x}: {counted}"));
}

#[test]
fn a_table_whose_depth_does_not_reach_its_index_is_not_split() {
    // Goal: no put makes a damaged directory lose keys. Method: the second table says that it has
    // none of the bits that lead to it; puts go on until it would have to split.
    let scene = Scene::new("forged-depth");
    let value = |number: u64| number.to_be_bytes();
    let put = |number: u64| scene.map.put(&number.to_le_bytes(), &value(number));
    let first = 3_000;
    for number in 0..first {
        put(number).unwrap();
    }
    let entry = directory::entry(&scene.place(), 1).unwrap().expect("a second table");
    let page = scene.place().level(0).load(Relaxed) - 1;
    let offset = scene.place().index_page(page) + 4;
    let mut stored = [0; 4];
    scene.raw.read_exact_at(&mut stored, offset).unwrap();
    assert_eq!(u32::from_le_bytes(stored) >> 27, entry.depth);
    scene.store(offset, &(entry.table.page + 1).to_le_bytes());

    let (done, error) = (first..).find_map(|number| Some((number, put(number).err()?))).unwrap();
    assert!(matches!(error, OpError::Corrupt { shard: 0, .. }), "{error:?}");
    let all_there =
        || (0..done).all(|number| scene.get(&number.to_le_bytes()) == Some(value(number).to_vec()));
    assert!(all_there());
    assert_eq!(scene.map.repair().unwrap().lost, Vec::new());
    assert_sound(&scene.map);
    assert!(all_there());
    put(done).unwrap();
}

#[test]
fn what_is_said_of_pages_above_the_top_counts_for_nothing() {
    // Goal: fresh blocks come from below the top. Method: a map that never had a record says that
    // they come from its first page, and there is a log run, as soon as the page is committed.
    let scene = Scene::new("forged-head");
    let log = Run::Log { pages: 3329, live: 9708, used: 493, kept: false };
    let descriptor = scene.map.geometry().window(0) + scene.map.geometry().descriptor(0);
    scene.store(scene.place().field_offset(Field::Head), &1u64.to_le_bytes());
    scene.store(descriptor, &log.encode().to_le_bytes());
    assert_sound(&scene.map);
    for key in 0..100u64 {
        scene.map.put(&key.to_le_bytes(), &[7; 200]).unwrap();
        assert_sound(&scene.map);
    }
    assert_eq!(scene.get(&3u64.to_le_bytes()), Some(vec![7; 200]));
}
