//! What a disk may hold after a crash: each page as it was at some moment of a span.

use crate::Random;
use crate::reboot::disk::{Disk, Moment, Page};
use crate::reboot::record::Flushed;
use shf_base::geometry::{Geometry, PAGE_BYTES};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// From the beginning of the last flush that ended to the crash.
#[derive(Clone, Copy, Debug)]
pub struct Span<'f> {
    /// Flushes that ended, one of all pages among them.
    pub flushes: &'f [Flushed],
    /// The crash.
    pub last: Moment,
}

impl Span<'_> {
    /// The oldest moment that a page may be of.
    fn first(&self, page: u64) -> Moment {
        let flushed = self.flushes.iter().filter(|flush| flush.pages.contains(&page));
        flushed.map(|flush| flush.begun).max().expect("all pages were flushed")
    }

    /// The oldest moment that any page may be of.
    fn oldest(&self) -> Moment {
        self.flushes.iter().map(|flush| flush.begun).min().expect("there was a flush")
    }
}

/// Which pages are of which moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Any version of each, all as likely.
    Uniform,
    /// The oldest, but one page in so many.
    Old(u64),
    /// The newest, but one page in so many.
    New(u64),
    /// The oldest up to a page, the newest from there on; or the other way round.
    Cut {
        /// Whether the front is the newest.
        new_front: bool,
    },
    /// Each kind of page (`kind`) has a moment of its own, the first or the last more often.
    Kinds,
    /// All of one moment, which a disk holds that keeps the order of writes.
    Whole,
    /// Of one of two moments each.
    Two,
    /// The newest of all, without the pages that changed last: as a disk that lags behind.
    Lagging,
}

use Strategy::*;

/// Strategies, the likely ones more often.
const STRATEGIES: [Strategy; 13] = [
    Uniform,
    Uniform,
    Uniform,
    Old(4),
    Old(50),
    New(4),
    New(50),
    Cut { new_front: false },
    Cut { new_front: true },
    Kinds,
    Whole,
    Two,
    Lagging,
];

impl Strategy {
    /// One of them.
    pub fn any(random: &mut Random) -> Strategy {
        STRATEGIES[random.below(STRATEGIES.len() as u64) as usize]
    }
}

/// Kinds of pages: those at the front of the file one by one, then, for all shards alike,
/// descriptors, records, index.
const KINDS: usize = 15;

fn kind(geometry: &Geometry, page: u64) -> usize {
    let at = page * PAGE_BYTES;
    if at < geometry.window(0) {
        return match at {
            0 => 0,
            at if at < geometry.shard_header(0) => 1,
            at => 2 + (at - geometry.shard_header(0)) as usize / PAGE_BYTES as usize % (KINDS - 5),
        };
    }
    let inside = (at - geometry.window(0)) % geometry.window_stride();
    let middle = (geometry.pages_offset() + geometry.window_bytes()) / 2;
    let ends = [geometry.pages_offset(), middle];
    KINDS - 3 + ends.iter().filter(|end| inside >= **end).count()
}

/// A file after a crash.
pub struct Mixture {
    bytes: u64,
    pages: Vec<(u64, Page)>,
    /// Whether pages of zeros are real.
    zeros_are_real: bool,
}

impl Mixture {
    /// A file of so many bytes with these pages.
    pub fn new(bytes: u64, pages: Vec<(u64, Page)>) -> Mixture {
        Mixture { bytes, pages, zeros_are_real: false }
    }

    /// One of the many; the same for the same seed.
    pub fn of(
        disk: &Disk,
        geometry: &Geometry,
        span: Span<'_>,
        strategy: Strategy,
        random: &mut Random,
    ) -> Mixture {
        let (oldest, last) = (span.oldest(), span.last);
        let any = |random: &mut Random| oldest + random.below((last - oldest + 1) as u64) as usize;
        let kinds: Vec<_> = (0..KINDS)
            .map(|_| match random.below(4) {
                0 => oldest,
                1 => last,
                _ => any(random),
            })
            .collect();
        let (one, other) = (any(random), any(random));
        let numbers: Vec<u64> = disk.pages().collect();
        let cut = numbers[random.below(numbers.len() as u64) as usize];
        let mut choose = |page: u64| {
            let first = span.first(page);
            let at = |moment: Moment| disk.at(page, moment.max(first));
            let versions = disk.between(page, first, last);
            let drawn = versions[random.below(versions.len() as u64) as usize].clone();
            let (old, new) = (&versions[0], &versions[versions.len() - 1]);
            match strategy {
                Uniform => drawn,
                Old(pages) if random.below(pages) > 0 => old.clone(),
                New(pages) if random.below(pages) > 0 => new.clone(),
                Old(_) | New(_) => drawn,
                Cut { new_front } if (page < cut) == new_front => new.clone(),
                Cut { .. } => old.clone(),
                Kinds => at(kinds[kind(geometry, page)]),
                Whole => at(one),
                Two => at(if random.below(2) == 0 { one } else { other }),
                Lagging => versions[versions.len().saturating_sub(2)].clone(),
            }
        };
        let pages = numbers.iter().map(|page| (*page, choose(*page))).collect();
        Mixture { bytes: disk.bytes(), pages, zeros_are_real: random.below(2) == 0 }
    }

    /// Writes it to a new file.
    pub fn write(&self, path: &Path) {
        let file = File::create_new(path).unwrap();
        file.set_len(self.bytes).unwrap();
        for (number, page) in &self.pages {
            let at = number * PAGE_BYTES;
            match page {
                Some(page) => file.write_all_at(page, at).unwrap(),
                None if self.zeros_are_real => {
                    file.write_all_at(&[0; PAGE_BYTES as usize], at).unwrap();
                }
                None => {}
            }
        }
    }

    /// A page of it.
    pub fn page(&self, number: u64) -> &Page {
        let found = self.pages.iter().find(|(page, _)| *page == number);
        found.map_or(&None, |(_, page)| page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map_file::MapFile;

    #[test]
    fn each_kind_of_page_has_a_number_of_its_own() {
        let geometry = Geometry::new(2, 256 << 10).unwrap();
        let of = |offset: u64| kind(&geometry, offset / PAGE_BYTES);
        let window = geometry.window(1);
        assert_eq!((of(0), of(geometry.ledger(0)), of(geometry.shard_header(0))), (0, 1, 2));
        let index = window + geometry.window_bytes() - PAGE_BYTES;
        assert_eq!((of(window), of(window + geometry.pages_offset()), of(index)), (12, 13, 14));
    }

    #[test]
    fn pages_come_from_the_span_and_each_strategy_mixes_as_it_says() {
        // Goal: what is composed is possible, and different. Method: a map whose every page changes
        // between five snapshots.
        let file = MapFile::new("reboot-mixture");
        let map = file.create(1);
        let mut disk = Disk::of(&file.path());
        for round in 0..5 {
            (0..400u64).for_each(|key| _ = map.put(&key.to_le_bytes(), &[round; 100]).unwrap());
            disk.snapshot();
        }
        let flushes = [Flushed { begun: 1, pages: 0..u64::MAX }];
        let (span, mut random) = (Span { flushes: &flushes, last: 3 }, Random::new(7));
        let changed: Vec<u64> =
            disk.pages().filter(|page| disk.between(*page, 1, 3).len() > 1).collect();
        assert!(changed.len() > 4);
        for strategy in STRATEGIES {
            let (mut old, mut new) = (0, 0);
            for _ in 0..20 {
                let mixture = Mixture::of(&disk, map.geometry(), span, strategy, &mut random);
                for page in disk.pages() {
                    assert!(disk.between(page, 1, 3).contains(mixture.page(page)), "{strategy:?}");
                }
                let count = |moment| {
                    let as_then = |page: &&u64| *mixture.page(**page) == disk.at(**page, moment);
                    changed.iter().filter(as_then).count()
                };
                (old, new) = (old + count(1), new + count(3));
            }
            let all = 20 * changed.len();
            match strategy {
                Old(_) => assert!(old > all * 3 / 4 && old < all, "{old} of {all}"),
                New(_) => assert!(new > all * 3 / 4 && new < all, "{new} of {all}"),
                Lagging => assert_eq!(new, 0),
                _ => assert!(old > 0 && new > 0, "{strategy:?}: {old} and {new} of {all}"),
            }
        }
    }

    #[test]
    fn a_page_that_was_flushed_later_than_others_is_no_older_than_that() {
        // Goal: a flush of some pages counts for these alone. Method: as above, with a second flush
        // of the first page.
        let file = MapFile::new("reboot-flushed");
        let map = file.create(1);
        let mut disk = Disk::of(&file.path());
        let page = map.geometry().shard_header(0) / PAGE_BYTES;
        for round in 0..4 {
            (0..50u64).for_each(|key| _ = map.put(&key.to_le_bytes(), &[round; 100]).unwrap());
            map.add(b"sum", 1).unwrap();
            map.delete(&[round; 8]).unwrap();
            disk.snapshot();
        }
        let all = Flushed { begun: 0, pages: 0..u64::MAX };
        let flushes = [all, Flushed { begun: 2, pages: page..page + 1 }];
        let span = Span { flushes: &flushes, last: 3 };
        assert_eq!((span.first(page), span.first(page + 1), span.oldest()), (2, 0, 0));
        let mut random = Random::new(8);
        for strategy in STRATEGIES.into_iter().cycle().take(100) {
            let mixture = Mixture::of(&disk, map.geometry(), span, strategy, &mut random);
            assert!(disk.between(page, 2, 3).contains(mixture.page(page)), "{strategy:?}");
        }
    }

    #[test]
    fn a_file_of_one_moment_is_that_of_then() {
        // Goal: snapshots and files lose nothing. Method: the newest versions of all pages make a
        // good map with the same contents.
        let file = MapFile::new("reboot-newest");
        let map = file.create(2);
        let mut disk = Disk::of(&file.path());
        for key in 0..2000u64 {
            map.put(&key.to_le_bytes(), &vec![1; key as usize * 7 % 400]).unwrap();
            if key % 500 == 0 {
                disk.snapshot();
            }
        }
        let last = disk.snapshot();
        let flushes = [Flushed { begun: last, pages: 0..u64::MAX }];
        let span = Span { flushes: &flushes, last };
        let mixture = Mixture::of(&disk, map.geometry(), span, Uniform, &mut Random::new(1));
        let copy = MapFile::new("reboot-newest-copy");
        mixture.write(&copy.path());
        let map = copy.open();
        crate::assert_sound(&map);
        assert_eq!(map.size(), 2000);
    }
}
