//! All versions that the pages of a sparse file had, as snapshots found them.

use crate::image::extents;
use shf_base::geometry::PAGE_BYTES;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// The bytes of a page; `None`: zeros, or a hole.
pub type Page = Option<Rc<[u8]>>;

/// Number of a snapshot, from 0 on.
pub type Moment = usize;

/// The versions of each page that was ever anything but zeros, with the moment of the first
/// snapshot that found each; in order.
pub struct Disk {
    file: File,
    bytes: u64,
    pages: BTreeMap<u64, Vec<(Moment, Page)>>,
    moments: Moment,
}

impl Disk {
    /// The disk of a file, without snapshots yet.
    pub fn of(path: &Path) -> Disk {
        let file = File::open(path).unwrap();
        let bytes = file.metadata().unwrap().len();
        Disk { file, bytes, pages: BTreeMap::new(), moments: 0 }
    }

    /// Takes a snapshot. Nobody may write meanwhile.
    pub fn snapshot(&mut self) -> Moment {
        let moment = self.moments;
        self.moments += 1;
        let mut seen = Vec::new();
        for (start, end) in extents(&self.file) {
            let mut bytes = vec![0; (end - start) as usize];
            self.file.read_exact_at(&mut bytes, start).unwrap();
            for (index, page) in bytes.chunks(PAGE_BYTES as usize).enumerate() {
                let number = start / PAGE_BYTES + index as u64;
                seen.push(number);
                self.note(moment, number, page);
            }
        }
        let mut seen = seen.into_iter().peekable();
        let holes = self.pages.iter_mut().filter(|(number, _)| {
            while seen.next_if(|real| real < number).is_some() {}
            seen.peek() != Some(number)
        });
        for (_, versions) in holes {
            if versions.last().is_some_and(|(_, page)| page.is_some()) {
                versions.push((moment, None));
            }
        }
        moment
    }

    fn note(&mut self, moment: Moment, number: u64, page: &[u8]) {
        let zero = page.iter().all(|byte| *byte == 0);
        let versions = self.pages.entry(number).or_default();
        let last = versions.last().and_then(|(_, last)| last.as_deref());
        if last != (!zero).then_some(page) {
            versions.push((moment, (!zero).then(|| page.into())));
        }
        if versions.is_empty() {
            self.pages.remove(&number);
        }
    }

    /// Apparent length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Snapshots so far.
    pub fn moments(&self) -> Moment {
        self.moments
    }

    /// Numbers of the pages that have versions.
    pub fn pages(&self) -> impl Iterator<Item = u64> {
        self.pages.keys().copied()
    }

    /// A page as it was at a moment.
    pub fn at(&self, number: u64, moment: Moment) -> Page {
        let versions = self.pages.get(&number).map_or(&[][..], |versions| versions);
        let later = versions.partition_point(|(since, _)| *since <= moment);
        later.checked_sub(1).and_then(|index| versions[index].1.clone())
    }

    /// The different versions of a page from one moment to another, the first one's first.
    pub fn between(&self, number: u64, first: Moment, last: Moment) -> Vec<Page> {
        let versions = self.pages.get(&number).map_or(&[][..], |versions| versions);
        let later = versions.iter().filter(|(since, _)| (first + 1..=last).contains(since));
        let later = later.map(|(_, page)| page.clone());
        std::iter::once(self.at(number, first)).chain(later).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map_file::MapFile;
    use std::fs::OpenOptions;

    #[test]
    fn each_version_of_a_page_is_kept_once_and_holes_are_zeros() {
        let file = MapFile::new("reboot-disk");
        let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
        let map = options.open(file.path()).unwrap();
        map.set_len(10 * PAGE_BYTES).unwrap();
        let mut disk = Disk::of(&file.path());
        let write = |page: u64, byte| map.write_all_at(&[byte], page * PAGE_BYTES + 7).unwrap();
        let byte = |page: &Page| page.as_ref().map_or(0, |page| page[7]);
        assert_eq!(disk.snapshot(), 0);
        write(2, 1);
        write(9, 0);
        assert_eq!(disk.snapshot(), 1);
        write(3, 5);
        assert_eq!(disk.snapshot(), 2);
        write(2, 4);
        assert_eq!(disk.snapshot(), 3);
        map.set_len(0).unwrap();
        map.set_len(10 * PAGE_BYTES).unwrap();
        assert_eq!(disk.snapshot(), 4);
        assert_eq!((disk.moments(), disk.bytes()), (5, 10 * PAGE_BYTES));
        assert_eq!(disk.pages().collect::<Vec<_>>(), [2, 3]);
        let of = |page, first, last| -> Vec<u8> {
            disk.between(page, first, last).iter().map(byte).collect()
        };
        assert_eq!(
            (of(2, 0, 4), of(2, 1, 3), of(2, 2, 2)),
            (vec![0, 1, 4, 0], vec![1, 4], vec![1])
        );
        assert_eq!((of(3, 0, 4), of(9, 0, 4)), (vec![0, 5, 0], vec![0]));
        assert_eq!((byte(&disk.at(2, 3)), byte(&disk.at(2, 4))), (4, 0));
    }
}
