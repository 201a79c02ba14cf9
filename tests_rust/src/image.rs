//! The bytes of a map's file at one moment, to begin the same experiment again and again.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const PAGE: usize = 4096;

/// All pages of a file that are not zero.
pub struct Image {
    file: File,
    path: PathBuf,
    pages: Vec<(u64, Vec<u8>)>,
}

impl Image {
    /// Remembers the file `<folder>/<name>.shf`.
    pub fn of(folder: &Path, name: &str) -> Image {
        let path = folder.join(format!("{name}.shf"));
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut pages = Vec::new();
        for (start, end) in extents(&file) {
            for at in (start..end).step_by(PAGE) {
                let mut page = vec![0; PAGE];
                file.read_exact_at(&mut page, at).unwrap();
                if page.iter().any(|byte| *byte != 0) {
                    pages.push((at, page));
                }
            }
        }
        Image { file, path, pages }
    }

    /// Makes the file what it was; those who have it mapped see that.
    #[allow(unsafe_code)]
    pub fn restore(&self) {
        let len = self.file.metadata().unwrap().len();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain system call on an open file.
        let punched = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, 0, len as i64) };
        assert_eq!(punched, 0);
        for (at, page) in &self.pages {
            self.file.write_all_at(page, *at).unwrap();
        }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The parts of a sparse file that are real.
#[allow(unsafe_code)]
fn extents(file: &File) -> Vec<(u64, u64)> {
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        // SAFETY: plain system calls on an open file.
        let (start, end) = unsafe {
            let start = libc::lseek(file.as_raw_fd(), at, libc::SEEK_DATA);
            (start, libc::lseek(file.as_raw_fd(), start.max(0), libc::SEEK_HOLE))
        };
        if start < 0 {
            return parts;
        }
        parts.push((start as u64, end as u64));
        at = end;
    }
}
