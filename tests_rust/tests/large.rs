//! Keys and values as large as the format allows, and larger. What stores them runs only with
//! SHF_LARGE_TESTS set: it takes 9 GiB of memory for some seconds.
#![cfg(not(any(miri, loom)))]

use shf_engine::OpError;
use shf_engine::shape::PAYLOAD_BYTES_MAX;
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::watchdog::Watchdog;

const KEY: &[u8] = b"16 bytes of key.";
const MAX_BYTES: u64 = 5 << 30;

/// Fills a value so that each part of it tells where it belongs.
fn fill(value: &mut [u8], salt: u64) {
    for (index, word) in value.chunks_mut(8).enumerate() {
        let bytes = (index as u64 ^ salt).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

fn is_filled(value: &[u8], salt: u64) -> bool {
    value.chunks(8).enumerate().all(|(index, word)| {
        let bytes = (index as u64 ^ salt).to_le_bytes();
        *word == bytes[..word.len()]
    })
}

#[test]
fn a_key_and_value_of_the_most_bytes_come_and_go_and_one_byte_more_is_refused() {
    // Goal: lengths beside the format's limit of 2^32 bytes. Method: put, get, replaced and
    // deleted, every word compared; then the same with one byte too many.
    if std::env::var_os("SHF_LARGE_TESTS").is_none() {
        println!("skipped: SHF_LARGE_TESTS is not set");
        return;
    }
    let _watchdog = Watchdog::new("the largest value");
    let file = MapFile::new("large");
    let map = file.create_with(2, MAX_BYTES);
    let len = PAYLOAD_BYTES_MAX as usize - KEY.len();
    let mut value = vec![0; len + 1];
    fill(&mut value[..len], 1);
    assert!(!map.put(KEY, &value[..len]).unwrap().replaced);
    value.fill(0);
    assert_eq!(map.get_into(KEY, &mut value), Ok(Some(len)));
    assert!(is_filled(&value[..len], 1));
    assert!(map.put(KEY, b"small").unwrap().replaced);
    fill(&mut value[..len], 2);
    assert!(map.put(KEY, &value[..len]).unwrap().replaced, "its pages are used again");
    let refused = map.put(KEY, &value);
    assert!(
        matches!(refused, Err(OpError::TooLarge { needed_bytes, limit_bytes, .. })
            if needed_bytes == PAYLOAD_BYTES_MAX + 1 && limit_bytes == PAYLOAD_BYTES_MAX),
        "{refused:?}"
    );
    value.fill(0);
    assert_eq!(map.get_into(KEY, &mut value), Ok(Some(len)));
    assert!(is_filled(&value[..len], 2));
    assert_sound(&map);
    assert_eq!(map.delete(KEY), Ok(true));
    assert_eq!(map.contains(KEY), Ok(false));
    // A long key, the same limit.
    assert!(!map.put(&value[..len], KEY).unwrap().replaced);
    assert_eq!(map.contains(&value[..len]), Ok(true));
    assert!(matches!(map.put(&value[..len + 1], KEY), Err(OpError::TooLarge { .. })));
    assert_eq!(map.delete(&value[..len]), Ok(true));
    assert_sound(&map);
}

#[test]
fn what_the_format_cannot_hold_is_refused_whatever_the_maximum_is_and_not_read() {
    // Goal: the error says whether another maximum would help. Method: lengths around the format's
    // limit, of memory that is not real, and would be if anything read it.
    let file = MapFile::new("larger");
    let map = file.create(1);
    let refused = |key: &[u8], value: &[u8]| match map.put(key, value) {
        Err(OpError::TooLarge { needed_bytes, option, .. }) => (needed_bytes, option),
        other => panic!("{other:?}"),
    };
    let zeros = vec![0; PAYLOAD_BYTES_MAX as usize + 1];
    let most = &zeros[..PAYLOAD_BYTES_MAX as usize];
    let format = "none: this is the format's limit";
    assert_eq!(refused(b"", most), (PAYLOAD_BYTES_MAX, "max_bytes"));
    assert_eq!(refused(b"", &zeros), (PAYLOAD_BYTES_MAX + 1, format));
    assert_eq!(refused(b"k", most), (PAYLOAD_BYTES_MAX + 1, format));
    assert_eq!(refused(most, b"v"), (PAYLOAD_BYTES_MAX + 1, format));
    assert_eq!(map.size(), 0);
}
