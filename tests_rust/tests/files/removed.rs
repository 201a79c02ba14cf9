//! A map that is removed while others use it, and created again under the same name.

use shf_engine::{Map, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::time::Duration;

fn get(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    map.get(key, &mut value).unwrap().then_some(value)
}

#[test]
fn the_old_map_and_the_new_one_of_a_name_do_not_see_each_other() {
    // Goal: both work, in all processes that have them, grow, and are told apart by deaths. Method:
    // handles, children and readers of both; a writer of each is killed.
    let _watchdog = Watchdog::new("two maps of one name");
    let file = MapFile::new("removed");
    let old = file.create(4);
    let reader = file.open_read_only();
    old.put(b"which", b"the old one").unwrap();
    Map::remove(file.folder(), file.name()).unwrap();
    let gone = Map::open(file.folder(), file.name(), &Options::default()).err();
    assert_eq!(gone, Some(OpenError::NotFound { path: file.path() }));
    let new = file.create(2);
    assert_eq!(get(&new, b"which"), None);
    new.put(b"which", b"the new one").unwrap();
    for number in 0..20_000u32 {
        old.put(&number.to_le_bytes(), b"old").unwrap();
        if number % 2 == 0 {
            new.put(&number.to_le_bytes(), b"new").unwrap();
        }
    }
    assert_eq!((old.size(), new.size()), (20_001, 10_001));
    assert_eq!(get(&reader, b"which").unwrap(), b"the old one");
    assert_eq!(get(&file.open(), b"which").unwrap(), b"the new one");
    let child = || {
        old.put(b"child", b"of the old one").is_ok()
            && get(&new, b"child").is_none()
            && new.put(b"child", b"of the new one").is_ok()
    };
    assert_eq!(process::run(child), End::Exited(0));
    assert_eq!(get(&old, b"child").unwrap(), b"of the old one");
    assert_eq!(get(&new, b"child").unwrap(), b"of the new one");

    for map in [&old, &new] {
        let writer = process::spawn(|| {
            process::end_with_parent();
            (0u32..).all(|number| map.put(&(number % 100).to_le_bytes(), &[9; 40]).is_ok())
        });
        std::thread::sleep(Duration::from_millis(10));
        process::signal(writer, libc::SIGKILL);
        assert_eq!(process::wait(writer), End::Killed(libc::SIGKILL));
        for number in 0..200u32 {
            old.put(&number.to_le_bytes(), b"old").unwrap();
            new.put(&number.to_le_bytes(), b"new").unwrap();
        }
    }
    assert_sound(&old);
    assert_sound(&new);
    drop(old);
    assert_eq!(get(&reader, b"which").unwrap(), b"the old one");
    assert_eq!(get(&file.open(), b"which").unwrap(), b"the new one");
}

#[test]
fn a_name_can_be_given_to_many_maps_one_after_the_other_while_all_are_in_use() {
    let file = MapFile::new("removed-often");
    let maps: Vec<Map> = (0..30u32)
        .map(|number| {
            let map = file.create(1);
            map.put(b"number", &number.to_le_bytes()).unwrap();
            Map::remove(file.folder(), file.name()).unwrap();
            map
        })
        .collect();
    for (number, map) in maps.iter().enumerate() {
        assert_eq!(get(map, b"number").unwrap(), (number as u32).to_le_bytes());
        map.put(b"more", &vec![number as u8; 10_000]).unwrap();
        assert_sound(map);
    }
    let missing = Map::remove(file.folder(), file.name());
    assert_eq!(missing, Err(OpenError::NotFound { path: file.path() }));
}
