//! Deaths of who creates a temporary map, and of who deletes its name.

use crate::KEY;
use crate::creation::{Call, Creation, NAME};
use crate::deaths::{self, Scene};
use crate::operation::repair;
use shf_engine::{Map, OpenError};
use shf_tests::assert_sound;
use shf_tests::mount::without_proc;
use shf_tests::process::{self, End};
use std::cell::RefCell;

/// What somebody dies in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Creating the map, using it, and dropping it.
    Creator,
    /// Each of the following, after the creator was killed.
    Open,
    OpenReadOnly,
    Create,
    OpenOrCreate,
    Remove,
    List,
    /// Dropping a handle from before that.
    Guest,
}

struct Temporary {
    creation: Creation,
    way: Way,
    died: usize,
    /// Of the process that dies in dropping it.
    guest: RefCell<Option<Map>>,
}

impl Temporary {
    fn new(what: &'static str, way: Way, unnamed: bool) -> Temporary {
        let mut creation = Creation::new(what, Call::OpenOrCreate, unnamed);
        creation.options.temporary = true;
        Temporary { creation, way, died: 2, guest: RefCell::new(None) }
    }

    /// Has a process create the map, and be killed after `meanwhile`.
    fn with_creator<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let creator = process::spawn(|| {
            process::end_with_parent();
            let map = self.creation.open_or_create().unwrap();
            map.put(KEY, &[1; 30]).unwrap();
            process::signal(std::process::id() as i32, libc::SIGSTOP);
            true
        });
        assert_eq!(process::wait_for_stop(creator), None);
        let done = meanwhile();
        process::signal(creator, libc::SIGKILL);
        assert_eq!(process::wait(creator), End::Killed(libc::SIGKILL));
        done
    }

    /// Whether looking at the name of a dead creator's map goes as it should.
    fn look(&self, way: Way) -> bool {
        let (folder, options) = (&self.creation.folder, &self.creation.options);
        let not_found = |error| matches!(error, Some(OpenError::NotFound { .. }));
        match way {
            Way::Open => not_found(Map::open(folder, NAME, options).err()),
            Way::OpenReadOnly => not_found(Map::open_read_only(folder, NAME, options).err()),
            Way::Remove => not_found(Map::remove(folder, NAME).err()),
            Way::List => Map::list(folder).is_ok_and(|listed| listed.is_empty()),
            Way::Creator | Way::Create => {
                Map::create(folder, NAME, options).is_ok_and(|map| repair(&map))
            }
            Way::OpenOrCreate => repair(&self.creation.open_or_create().unwrap()),
            Way::Guest => self.guest.take().is_some(),
        }
    }
}

impl Scene for Temporary {
    fn name(&self) -> &str {
        self.creation.name()
    }

    fn restore(&self) {
        self.creation.restore();
        if !matches!(self.way, Way::Creator | Way::Guest) {
            self.with_creator(|| ());
        }
    }

    fn ready(&self) {
        if self.way == Way::Guest {
            let open = || Map::open(&self.creation.folder, NAME, &self.creation.options).unwrap();
            *self.guest.borrow_mut() = Some(self.with_creator(open));
        }
    }

    fn operate(&self) -> bool {
        self.look(self.way)
    }

    fn recover(&self) -> bool {
        self.look(Way::OpenOrCreate)
    }

    fn keep(&self) -> Box<dyn Fn() + '_> {
        self.creation.keep()
    }

    fn judge(&self, step: &str, _thoroughly: bool) {
        let step = &format!("{}, {step}", self.name());
        self.creation.judge_folder(self.died, step);
        // Whoever has died: to the next one there is no map, and then no file.
        let path = self.creation.path();
        let looks = [Way::Open, Way::OpenReadOnly, Way::Remove, Way::List];
        let which = step.len() % looks.len();
        assert!(self.look(looks[which]), "{step}");
        assert!(!path.exists(), "{step}: {:?}", looks[which]);
        // And the name is good for another map, which lives.
        let map = self.creation.open_or_create().unwrap();
        map.put(b"one more", &[3; 50]).unwrap();
        assert_eq!(map.size(), 1, "{step}");
        assert_sound(&map);
        let guest = Map::open(&self.creation.folder, NAME, &self.creation.options).unwrap();
        drop(guest);
        assert!(path.exists(), "{step}");
        drop(map);
        assert!(!path.exists(), "{step}");
        self.creation.judge_folder(self.died, step);
    }
}

#[test]
fn a_temporary_map_is_gone_whatever_step_its_creator_dies_at() {
    deaths::run(&Temporary::new("create-temporary", Way::Creator, true), 30);
}

#[test]
fn a_temporary_map_under_a_name_is_gone_whatever_step_its_creator_dies_at() {
    // Goal: as above, where files without a name cannot be had; each death may leave one file.
    without_proc(|| {
        deaths::run(&Temporary::new("create-temporary-named", Way::Creator, false), 30);
    });
}

#[test]
fn the_name_of_a_dead_creators_map_goes_whoever_dies_in_deleting_it() {
    deaths::run(&Temporary::new("orphan-open", Way::Open, true), 3);
    deaths::run(&Temporary::new("orphan-open-read-only", Way::OpenReadOnly, true), 3);
    deaths::run(&Temporary::new("orphan-create", Way::Create, true), 30);
    deaths::run(&Temporary::new("orphan-open-or-create", Way::OpenOrCreate, true), 30);
    deaths::run(&Temporary::new("orphan-remove", Way::Remove, true), 3);
    deaths::run(&Temporary::new("orphan-list", Way::List, true), 3);
    deaths::run(&Temporary::new("orphan-guest", Way::Guest, true), 3);
}
