//! Deaths of who creates a map, or removes one.

use crate::KEY;
use crate::deaths::{self, Scene};
use crate::lists::contents;
use crate::operation::repair;
use shf_base::crash;
use shf_engine::{Map, OpenError, Options};
use shf_tests::assert_sound;
use shf_tests::image::Image;
use shf_tests::mount::without_proc;
use shf_tests::process::{self, End, Stopping};
use shf_tests::watchdog::Watchdog;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

pub const NAME: &str = "map";
const FILE: &str = "map.shf";
const OTHER_KEY: &[u8] = b"the next one's key";

/// What somebody dies in.
#[derive(Clone, Copy, PartialEq)]
pub enum Call {
    Create,
    OpenOrCreate,
    Remove,
}

/// A folder for one map, and beside it one for what is kept. Removed at the end.
pub struct Creation {
    what: &'static str,
    call: Call,
    pub folder: PathBuf,
    kept: PathBuf,
    /// Whether files without a name can be had, so that nobody leaves one with a name.
    unnamed: bool,
    pub options: Options,
    owner: u32,
}

impl Creation {
    pub fn new(what: &'static str, call: Call, unnamed: bool) -> Creation {
        let owner = std::process::id();
        let root = PathBuf::from(format!("/dev/shm/shf-test-{what}-{owner}"));
        let (folder, kept) = (root.join("folder"), root.join("kept"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&kept).unwrap();
        // Here: a child may not print the seed while another thread of the test prints something.
        let (max_bytes, secret) = (Some(256 << 10), Some(shf_tests::secret()));
        // The group that it gets anyway; so giving it is a step that somebody dies before.
        let group = Some(fs::metadata(&folder).unwrap().gid());
        let options = Options { shards: Some(2), max_bytes, secret, group, ..Options::default() };
        Creation { what, call, folder, kept, unnamed, options, owner }
    }

    pub fn open_or_create(&self) -> Result<Map, OpenError> {
        Map::open_or_create(&self.folder, NAME, &self.options)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The names in the folder, but for the map's.
    fn others(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name != FILE).collect()
    }

    /// Nothing but the map's file and, where there are no files without a name, what `died`
    /// processes left.
    pub fn judge_folder(&self, died: usize, step: &str) {
        let others = self.others();
        let left = if self.unnamed { 0 } else { died };
        assert!(others.len() <= left, "{step}: {others:?}");
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            let _ = fs::remove_dir_all(self.folder.parent().unwrap());
        }
    }
}

impl Scene for Creation {
    fn name(&self) -> &str {
        self.what
    }

    fn restore(&self) {
        for name in self.others().into_iter().chain([FILE.into()]) {
            let _ = fs::remove_file(self.folder.join(name));
        }
        if self.call == Call::Remove {
            self.open_or_create().unwrap().put(KEY, &[1; 30]).unwrap();
        }
    }

    fn operate(&self) -> bool {
        match self.call {
            // With a first call, so that somebody dies right after the link as well.
            Call::Create => repair(&Map::create(&self.folder, NAME, &self.options).unwrap()),
            Call::OpenOrCreate => repair(&self.open_or_create().unwrap()),
            Call::Remove => {
                Map::remove(&self.folder, NAME).unwrap();
                repair(&self.open_or_create().unwrap())
            }
        }
    }

    fn recover(&self) -> bool {
        repair(&self.open_or_create().unwrap())
    }

    /// Keeps the file itself, under another name: a copy would be another map.
    fn keep(&self) -> Box<dyn Fn() + '_> {
        let (path, kept) = (self.path(), self.kept.join(FILE));
        let _ = fs::remove_file(&kept);
        let image = path.exists().then(|| Image::of(&self.folder, NAME));
        if image.is_some() {
            fs::hard_link(&path, &kept).unwrap();
        }
        let others = self.others();
        Box::new(move || {
            let _ = fs::remove_file(&path);
            let new = self.others().into_iter().filter(|name| !others.contains(name));
            new.for_each(|name| fs::remove_file(self.folder.join(name)).unwrap());
            if let Some(image) = &image {
                image.restore();
                fs::hard_link(&kept, &path).unwrap();
            }
        })
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.what);
        self.judge_folder(2, step);
        // Whoever opens it finds no map, or a whole one.
        match Map::open(&self.folder, NAME, &self.options) {
            Err(OpenError::NotFound { .. }) => assert!(!self.path().exists(), "{step}"),
            Err(error) => panic!("{step}: {error}"),
            Ok(map) => {
                assert_sound(&map);
                // The old map or, after a removal, a new one.
                let all = contents(&map);
                let old = self.call == Call::Remove && all.len() == 1 && all.contains_key(KEY);
                assert!(old || all.is_empty(), "{step}: {all:?}");
                let there = Map::create(&self.folder, NAME, &self.options);
                let there = matches!(there, Err(OpenError::AlreadyExists { .. }));
                assert!(there, "{step}: created twice");
            }
        }
        let map = self.open_or_create().unwrap();
        map.put(b"one more", &[3; 50]).unwrap();
        assert_sound(&map);
        let real_bytes = fs::metadata(self.path()).unwrap().blocks() * 512;
        assert_eq!(real_bytes, map.stats().committed_bytes, "{step}");
        self.judge_folder(2, step);
    }
}

impl Creation {
    /// Stops a creator before step `n`, has another process create the map, and lets the first go
    /// on. False: it has fewer steps.
    fn race_at(&self, n: u64) -> bool {
        self.restore();
        let first = process::spawn(|| {
            crash::arm_stop(n);
            self.open_or_create().unwrap().put(KEY, &[1; 30]).is_ok()
        });
        if let Some(end) = process::wait_for_stop(first) {
            assert_eq!(end, End::Exited(0), "step {n}");
            return false;
        }
        let first = Stopping::new(first);
        match Map::open_read_only(&self.folder, NAME, &self.options) {
            Err(OpenError::NotFound { .. }) => {}
            Err(error) => panic!("step {n}: {error}"),
            Ok(map) => assert!(contents(&map).len() <= 1, "step {n}"),
        }
        // Where it is stopped with a lock of the map that it made, it goes on first.
        let made = self.path().exists();
        let put = || self.open_or_create().unwrap().put(OTHER_KEY, &[2; 30]).is_ok();
        let second = process::spawn(put);
        if made {
            first.go_on();
            assert_eq!(process::wait(second), End::Exited(0), "step {n}");
        } else {
            assert_eq!(process::wait(second), End::Exited(0), "step {n}");
            first.go_on();
        }
        assert_eq!(first.wait(), End::Exited(0), "step {n}");
        let map = Map::open(&self.folder, NAME, &self.options).unwrap();
        assert_sound(&map);
        let both = [KEY, OTHER_KEY].map(|key| map.contains(key));
        assert_eq!(both, [Ok(true), Ok(true)], "step {n}: two maps");
        assert_eq!(self.others(), [""; 0], "step {n}");
        true
    }
}

#[test]
fn a_creation_survives_death_at_every_step() {
    // Goal: nobody sees half a map, nothing is left behind, and the next one creates it. Method:
    // deaths from the first system call to the end of a first operation.
    deaths::run(&Creation::new("create", Call::Create, true), 30);
    deaths::run(&Creation::new("open-or-create", Call::OpenOrCreate, true), 30);
    let mut with_memory = Creation::new("create-with-memory", Call::OpenOrCreate, true);
    with_memory.options.initial_bytes = Some(200 << 10);
    deaths::run(&with_memory, 40);
}

#[test]
fn a_creation_under_a_name_survives_death_at_every_step() {
    // Goal: as above, where files without a name cannot be had; each death may leave one file.
    without_proc(|| deaths::run(&Creation::new("create-named", Call::Create, false), 30));
}

#[test]
fn a_removal_survives_death_at_every_step() {
    // Goal: a map is there or gone, and another one can be made in its place.
    deaths::run(&Creation::new("remove", Call::Remove, true), 30);
}

#[test]
fn a_creator_that_stops_at_any_step_and_goes_on_gets_the_map_of_who_was_faster() {
    // Goal: open-or-create races to one map, wherever one of two is held up.
    let watchdog = Watchdog::new("a race to create");
    let creation = Creation::new("race", Call::OpenOrCreate, true);
    let mut n = 1;
    while creation.race_at(n) {
        watchdog.feed();
        n += 1;
    }
    println!("raced at {} steps", n - 1);
    assert!(n > 30, "{n}");
}
