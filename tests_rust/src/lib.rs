//! Shared helpers of the tests: a seeded generator, decoded operations, and checks of a map.

pub mod board;
pub mod clock;
pub mod damage;
pub mod descriptors;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod golden;
pub mod history;
pub mod image;
pub mod map_file;
pub mod mount;
pub mod process;
#[cfg(all(feature = "crash-points", not(any(miri, loom))))]
pub mod reboot;
pub mod rounds;
#[cfg(not(any(miri, loom)))]
pub mod torture;
pub mod watchdog;

use shf_engine::Map;

/// A small generator with a printed seed (SplitMix64, by Sebastiano Vigna).
pub struct Random(u64);

impl Random {
    /// The generator for `SHF_SEED`, or for `default` when that is not set; prints the seed.
    pub fn from_env(default: u64) -> Random {
        let seed = std::env::var("SHF_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(default);
        println!("seed {seed} (set SHF_SEED to repeat)");
        Random(seed)
    }

    /// The generator for a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// The secret of a test's maps, by `SHF_SEED`: with a random one, what splits and who neighbours
/// whom would differ from run to run.
pub fn secret() -> u64 {
    Random::from_env(11).next()
}

/// Panics with every violation that the checker finds.
pub fn assert_sound(map: &Map) {
    let violations = map.verify().expect("the checker gets every lock");
    assert!(violations.is_empty(), "{violations:#?}");
}
