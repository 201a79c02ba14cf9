//! Golden files: the bytes of a map's file as text, so that a change of the format shows in review.
//!
//! ```text
//! # a comment
//! length 00000000002a0000
//! 000000000 0a50414d46485389 0102030405060708 ...    offset, then words that follow each other
//! ```
//!
//! All numbers are hexadecimal, words as a little-endian machine reads them. What is not listed is
//! zero.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const PAGE_BYTES: u64 = 4096;
/// Words of a line, at most: a cache line.
const LINE_WORDS: u64 = 8;

/// The words of a file that are not zero, by their offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    /// Bytes of the file.
    pub len: u64,
    /// Offset and value.
    pub words: BTreeMap<u64, u64>,
}

impl Golden {
    /// Reads a file; holes cost their length in time, so it is for small maps.
    pub fn of(path: &Path) -> Golden {
        let file = File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        let (mut words, mut page) = (BTreeMap::new(), [0; PAGE_BYTES as usize]);
        for start in (0..len).step_by(PAGE_BYTES as usize) {
            file.read_exact_at(&mut page, start).unwrap();
            for (index, bytes) in page.chunks_exact(8).enumerate() {
                let word = u64::from_le_bytes(bytes.try_into().unwrap());
                if word != 0 {
                    words.insert(start + index as u64 * 8, word);
                }
            }
        }
        Golden { len, words }
    }

    /// Makes the file, which must not exist.
    pub fn expand(&self, path: &Path) {
        let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
        file.set_len(self.len).unwrap();
        for (offset, word) in &self.words {
            file.write_all_at(&word.to_le_bytes(), *offset).unwrap();
        }
    }

    /// Forgets what lies in `len` bytes from `start` on.
    pub fn forget(&mut self, start: u64, len: u64) {
        self.words.retain(|offset, _| !(start..start + len).contains(offset));
    }

    /// The text of a golden file, under a comment.
    pub fn text(&self, comment: &str) -> String {
        let mut text = format!("# {comment}\nlength {:016x}", self.len);
        let mut next = None;
        for (offset, word) in &self.words {
            if next != Some(*offset) || offset % (8 * LINE_WORDS) == 0 {
                write!(text, "\n{offset:09x}").unwrap();
            }
            write!(text, " {word:016x}").unwrap();
            next = Some(offset + 8);
        }
        text + "\n"
    }

    /// Reads the text of a golden file.
    pub fn parse(text: &str) -> Golden {
        let number = |text: &str| u64::from_str_radix(text, 16).expect("a hexadecimal number");
        let mut golden = Golden { len: 0, words: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (start, words) = line.split_once(' ').expect("two columns");
            if start == "length" {
                golden.len = number(words);
                continue;
            }
            for (index, word) in words.split(' ').enumerate() {
                golden.words.insert(number(start) + index as u64 * 8, number(word));
            }
        }
        golden
    }
}
