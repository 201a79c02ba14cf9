//! A file as a crash left it, and what must be found in it.

use crate::Random;
use crate::map_file::MapFile;
use crate::process::{self, End};
use crate::reboot::engine;
use crate::reboot::expected::Expected;
use crate::reboot::judge::{self, Contents};
use crate::reboot::mixture::Mixture;
use shf_base::format::IDENTITY_OFFSET;
use shf_base::geometry::Geometry;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A crash.
pub struct Crash {
    /// The file that the disk holds.
    pub file: MapFile,
    /// Where everything lies in it.
    pub geometry: Geometry,
    /// What may be in it.
    pub expected: Expected,
    what: String,
    seed: u64,
}

impl Crash {
    /// Writes the file, under a name of its own.
    pub fn new(
        mixture: &Mixture,
        geometry: Geometry,
        expected: Expected,
        what: String,
        seed: u64,
    ) -> Crash {
        let file = new_file();
        mixture.write(&file.path());
        if seed & 1 != 0 {
            // Another boot as well as another inode.
            let image = OpenOptions::new().write(true).open(file.path()).unwrap();
            image.write_all_at(&seed.to_le_bytes(), IDENTITY_OFFSET).unwrap();
        }
        Crash { file, geometry, expected, what, seed }
    }

    /// Opens the file in a child and checks what is in it; panics with `which` when anything is
    /// wrong. The file is as the child leaves it.
    pub fn judge(&self, which: &str) {
        self.judge_by(which, |_| Ok(()));
    }

    /// As `judge`; nothing was torn.
    pub fn judge_whole(&self, which: &str) {
        self.judge_by(which, |lost| if lost == 0 { Ok(()) } else { Err(format!("{lost} lost")) });
    }

    fn judge_by(&self, which: &str, accept: impl Fn(usize) -> Result<(), String>) {
        let end = process::run(|| {
            let judged = self.open_and_judge(&accept);
            judged.inspect_err(|why| eprintln!("{why}")).is_ok()
        });
        if end != End::Exited(0) {
            self.keep();
            panic!("{which}: {end:?}; {}", self.what);
        }
    }

    fn open_and_judge(&self, accept: &impl Fn(usize) -> Result<(), String>) -> Result<(), String> {
        engine::assert_needs_recovery(&self.file)?;
        let map = engine::open(&self.file).map_err(|error| format!("opening: {error}"))?;
        accept(engine::lost(&map)?)?;
        let settled = judge::judge(&map, &self.expected)?;
        let found = judge::contents(&map)?;
        let mut random = Random::new(self.seed);
        match random.below(4) {
            0 => judge::exercise(&map, &self.file, &mut random),
            1 => self.open_again(map, &settled, &found),
            _ => Ok(()),
        }
    }

    fn open_again(
        &self,
        map: shf_engine::Map,
        settled: &Expected,
        found: &Contents,
    ) -> Result<(), String> {
        drop(map);
        let map = self.file.open_read_only();
        judge::settle(&map, settled)?;
        let again = judge::contents(&map)?;
        if again == *found { Ok(()) } else { Err("opened again, it has something else".into()) }
    }

    /// Keeps the file of a failure where `SHF_KEEP` says, before recovery if it can be made again.
    fn keep(&self) {
        if let Ok(folder) = std::env::var("SHF_KEEP") {
            let _ = std::fs::copy(self.file.path(), format!("{folder}/{}.shf", self.file.name()));
        }
    }
}

/// The file of a map under a name that no other crash has.
pub fn new_file() -> MapFile {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    MapFile::new(&format!("reboot-{}", NUMBER.fetch_add(1, Relaxed)))
}
