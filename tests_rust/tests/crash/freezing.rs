//! Deaths of who takes a snapshot of a map, or freezes it.

use crate::deaths::{self, Scene};
use crate::lists::contents;
use crate::operation::repair;
use crate::{Contents, KEY};
use shf_base::crash;
use shf_engine::{Map, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::mount::without_proc;
use std::fs;
use std::path::PathBuf;

const NAME: &str = "map";
const COPY: &str = "copy";

/// A folder with a map, and perhaps an older snapshot. Removed at the end.
struct Freezing {
    what: &'static str,
    /// The map itself becomes frozen, not a copy.
    itself: bool,
    folder: PathBuf,
    kept: PathBuf,
    expected: Contents,
    owner: u32,
}

impl Freezing {
    fn new(what: &'static str, itself: bool) -> Freezing {
        let owner = std::process::id();
        let root = PathBuf::from(format!("/dev/shm/shf-test-{what}-{owner}"));
        let (folder, kept) = (root.join("folder"), root.join("kept"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&kept).unwrap();
        let mut scene = Freezing { what, itself, folder, kept, expected: Contents::new(), owner };
        scene.restore();
        scene.expected = contents(&scene.open());
        scene
    }

    fn open(&self) -> Map {
        Map::open(&self.folder, NAME, &Options::default()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    fn freeze(&self) -> bool {
        if !self.itself {
            return self.open().snapshot(&self.folder, COPY).is_ok();
        }
        match Map::open(&self.folder, NAME, &Options::default()) {
            Ok(mut map) => map.freeze().is_ok(),
            // Who died had done it, and nothing is left to die in.
            Err(OpenError::Frozen { .. }) => {
                crash::step();
                true
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Freezing {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            let _ = fs::remove_dir_all(self.folder.parent().unwrap());
        }
    }
}

impl Scene for Freezing {
    fn name(&self) -> &str {
        self.what
    }

    fn restore(&self) {
        for name in self.names() {
            fs::remove_file(self.folder.join(name)).unwrap();
        }
        let (max_bytes, secret) = (Some(1 << 20), Some(7));
        let options = Options { shards: Some(2), max_bytes, secret, ..Options::default() };
        let map = Map::create(&self.folder, NAME, &options).unwrap();
        map.put(b"old", &[1; 30]).unwrap();
        if !self.itself {
            map.snapshot(&self.folder, COPY).unwrap();
        }
        for key in 0..9u64 {
            map.put(&key.to_le_bytes(), &[key as u8; 40]).unwrap();
        }
        map.push(b"list", b"element").unwrap();
        map.put(KEY, &[2; 20_000]).unwrap();
        map.delete(b"old").unwrap();
    }

    fn operate(&self) -> bool {
        self.freeze()
    }

    fn recover(&self) -> bool {
        self.freeze()
    }

    /// Keeps the files themselves, under other names: a copy would be another map.
    fn keep(&self) -> Box<dyn Fn() + '_> {
        let names = self.names();
        for name in &names {
            let _ = fs::remove_file(self.kept.join(name));
            fs::hard_link(self.folder.join(name), self.kept.join(name)).unwrap();
        }
        let image = Map::open(&self.folder, NAME, &Options::default())
            .is_ok()
            .then(|| Image::of(&self.folder, NAME));
        Box::new(move || {
            for name in self.names() {
                fs::remove_file(self.folder.join(name)).unwrap();
            }
            for name in &names {
                fs::hard_link(self.kept.join(name), self.folder.join(name)).unwrap();
            }
            if let Some(image) = &image {
                image.restore();
            }
        })
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.what);
        let left = self.names().into_iter().filter(|name| name.starts_with('.')).count();
        // Of each death, what was about to take the place of an older one.
        assert!(left <= 2, "{step}: {left}");
        let map = Map::open_read_only(&self.folder, NAME, &Options::default()).unwrap();
        assert_eq!(contents(&map), self.expected, "{step}");
        if map.is_frozen() {
            assert!(self.itself, "{step}");
            return assert_eq!(map.verify(), Ok(vec![]), "{step}");
        }
        if !self.itself {
            // The older copy, or a whole new one.
            let copy = Map::open_read_only(&self.folder, COPY, &Options::default()).unwrap();
            assert_eq!(copy.verify(), Ok(vec![]), "{step}");
            let found = contents(&copy);
            let is_old = found.len() == 1 && found.contains_key(&b"old"[..]);
            assert!(is_old || found == self.expected, "{step}: {found:?}");
        }
        let map = self.open();
        assert!(repair(&map), "{step}");
        map.put(b"one more", &[3; 50]).unwrap();
        map.snapshot(&self.folder, COPY).unwrap();
        assert!(map.delete(b"one more").unwrap());
        assert_sound(&map);
        let copy = Map::open_read_only(&self.folder, COPY, &Options::default()).unwrap();
        assert_eq!(copy.size(), map.size() + 1, "{step}");
    }
}

#[test]
fn a_snapshot_survives_death_at_every_step() {
    // Goal: the map goes on as before, there is the older snapshot or the whole new one, and the
    // next one can be taken. Method: deaths at stores and system calls, the writing of the file
    // among them.
    deaths::run(&Freezing::new("snapshot", false), 60);
}

#[test]
fn a_snapshot_under_a_name_survives_death_at_every_step() {
    // Goal: as above, where files without a name cannot be had.
    without_proc(|| deaths::run(&Freezing::new("snapshot-named", false), 60));
}

#[test]
fn freezing_survives_death_at_every_step() {
    // Goal: the map is as it was or frozen as a whole.
    deaths::run(&Freezing::new("freeze", true), 60);
}
