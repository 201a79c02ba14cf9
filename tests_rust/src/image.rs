//! The bytes of a map's file at one moment, to begin the same experiment again and again.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// All parts of a file that are real, zeros included: what was committed stays committed.
pub struct Image {
    file: File,
    path: PathBuf,
    parts: Vec<(u64, Vec<u8>)>,
}

impl Image {
    /// Remembers the file `<folder>/<name>.shf`.
    pub fn of(folder: &Path, name: &str) -> Image {
        let path = folder.join(format!("{name}.shf"));
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut parts = Vec::new();
        for (start, end) in extents(&file) {
            let mut part = vec![0; (end - start) as usize];
            file.read_exact_at(&mut part, start).unwrap();
            parts.push((start, part));
        }
        Image { file, path, parts }
    }

    /// Makes the file what it was; those who have it mapped see that.
    #[allow(unsafe_code)]
    pub fn restore(&self) {
        let len = self.file.metadata().unwrap().len();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain system call on an open file.
        let punched = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, 0, len as i64) };
        assert_eq!(punched, 0);
        for (at, part) in &self.parts {
            self.file.write_all_at(part, *at).unwrap();
        }
    }

    /// The remembered word at an offset; 0 in a hole.
    pub fn word(&self, offset: u64) -> u64 {
        let holds = |(at, part): &&(u64, Vec<u8>)| (*at..at + part.len() as u64).contains(&offset);
        self.parts.iter().find(holds).map_or(0, |(at, part)| {
            let bytes = &part[(offset - at) as usize..][..8];
            u64::from_le_bytes(bytes.try_into().unwrap())
        })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The parts of a sparse file that are real: where each begins and ends.
#[allow(unsafe_code)]
pub fn extents(file: &File) -> Vec<(u64, u64)> {
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
