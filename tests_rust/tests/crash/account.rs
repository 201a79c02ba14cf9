//! Where the bytes of a shard are: the books that a death must not put into disorder.
//!
//! The checker sees to it that every unit below the top is live, dead, free or the unused end of a
//! log run, and that what is live is what the index refers to. What is left to compare is how much
//! there is of it.

use crate::{Contents, lists};
use shf_base::atomic::Ordering::Acquire;
use shf_base::format::FileHeader;
use shf_base::geometry::PAGE_UNITS;
use shf_base::open::Opened;
use shf_engine::intent::Intent;
use shf_engine::kind::Kind;
use shf_engine::place::{Field, Place, unpair};
use shf_engine::run::{self, Run};
use shf_engine::shape::Shape;
use shf_engine::{class, element, stacks};

/// What records take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Units of blocks in log runs.
    pub units: u64,
    /// Pages of large runs.
    pub pages: u64,
}

impl Live {
    /// What the records of a map with such contents take, whatever came before. `facts` are the
    /// map's, and `timed` says of a key whether it has an age.
    pub fn of(contents: &Contents, facts: &FileHeader, timed: impl Fn(&[u8]) -> bool) -> Live {
        let mut live = Live::default();
        let shape = |key_len, value_len, kind, timed| {
            Shape::fitting(facts, key_len, value_len, kind, timed).unwrap()
        };
        for (key, value) in contents {
            let (key_len, timed) = (key.len(), timed(key));
            let elements = lists::lengths_of(value);
            let (kind, value_len) = match elements {
                Some(_) => (Kind::List, 8),
                None => (Kind::Bytes, value.len() as u64),
            };
            live.add(shape(key_len, value_len, kind, timed));
            for value_len in elements.into_iter().flatten() {
                live.add(shape(element::KEY_BYTES, value_len, Kind::Element, false));
            }
        }
        live
    }

    fn add(&mut self, shape: Shape) {
        if shape.is_large() {
            self.pages += shape.pages();
        } else {
            self.units += u64::from(class::units(class::of_bytes(shape.bytes())));
        }
    }
}

/// The books of the only shard of a map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    pub live: Live,
    /// Unused units at the ends of log runs.
    pub ends: u64,
    /// Units of blocks that wait in stacks.
    pub waiting: u64,
    /// Tables of the index.
    pub tables: u64,
}

impl Account {
    pub fn of(peek: &Opened) -> Account {
        let place = place(peek);
        let intent = Intent::begin(place);
        let (top, _) = run::tops(&intent, place);
        let mut account = Account { tables: place.load(Field::Tables), ..Account::default() };
        let mut page = 0;
        while page < top {
            let run = run::at(&intent, place, page);
            match run {
                Run::Log { pages, live, used, .. } => {
                    account.live.units += u64::from(live);
                    account.ends += u64::from(pages) * PAGE_UNITS - u64::from(used);
                }
                Run::Large { pages } => account.live.pages += u64::from(pages),
                _ => {}
            }
            page += run.pages().max(1);
        }
        let block = |class, _| account.waiting += u64::from(class::units(class));
        stacks::check(place, block, |at, what| panic!("{at:#x}: {what}"));
        account
    }
}

/// The only shard of a map.
pub fn place(peek: &Opened) -> Place<'_> {
    Place::new(&peek.storage, &peek.header, 0)
}

/// What the header of the only shard counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counters {
    pub depth: u64,
    pub splits: u64,
    pub keys: u64,
    pub tables: u64,
    /// Index pages given up.
    pub vacated: u64,
    pub moved: u64,
    pub free_pages: u64,
    pub holes: u64,
    /// Committed pages.
    pub record_limit: u32,
    pub index_limit: u32,
    /// Pages in use.
    pub index_pages: u32,
    /// What names the second page of the directory.
    pub second_level: u32,
    pub swept_to: u64,
    pub born: u64,
    pub reused: u64,
}

impl Counters {
    pub fn of(peek: &Opened) -> Counters {
        let place = place(peek);
        let (record_limit, index_limit) = place.limits();
        Counters {
            depth: place.load(Field::Root) & 0xff,
            splits: place.load(Field::Splits),
            keys: place.load(Field::Keys),
            tables: place.load(Field::Tables),
            vacated: place.load(Field::Vacated),
            moved: place.load(Field::Moved),
            free_pages: place.load(Field::FreePages),
            holes: place.load(Field::Holes),
            record_limit,
            index_limit,
            index_pages: unpair(place.load(Field::Tops)).1,
            second_level: place.level(1).load(Acquire),
            swept_to: place.load(Field::Sweep),
            born: place.load(Field::Born),
            reused: place.load(Field::Reused),
        }
    }
}
