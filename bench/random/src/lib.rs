//! Random numbers and orders that a seed decides: those of `random.hpp`, and skewed ones.
//!
//! What a program in Rust measures must have the same keys in the same order as the one in C++, so
//! the tests compare with numbers that `random.hpp` gave.
#![forbid(unsafe_code)]

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

/// The step of splitmix64.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const STIR: u64 = 0x94d0_49bb_1331_11eb;

/// The finalizer of MurmurHash3 in the variant "Mix13" of David Stafford: a bijection.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(STIR);
    x ^ (x >> 31)
}

/// A sequence of random numbers; the same seed gives the same ones (splitmix64).
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Random {
        Random { state: mix(seed) }
    }

    /// Any number.
    #[inline]
    pub fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform from 0 to `bound` - 1; `bound` MUST be below 2^32.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        scaled(self.any() >> 32, bound)
    }

    /// Two of them, from one step of the sequence.
    #[inline]
    pub fn below_both(&mut self, first: u64, second: u64) -> (u64, u64) {
        let any = self.any();
        (scaled(any >> 32, first), scaled(any & u64::from(u32::MAX), second))
    }
}

#[inline]
fn scaled(fraction: u64, bound: u64) -> u64 {
    debug_assert!(bound < 1 << 32);
    (fraction * bound) >> 32
}

/// An order in which each index below a count comes up once and neighbours are far apart: a
/// bijection on the next power of two, applied again while the result lies outside.
pub struct Shuffle {
    count: u64,
    salt: u64,
    bits: u32,
}

impl Shuffle {
    /// The order of this seed; `count` MUST be from 1 to 2^32.
    pub fn new(count: u64, seed: u64) -> Shuffle {
        assert!((1..=1 << 32).contains(&count), "an order of {count} indexes");
        let bits = count.next_power_of_two().trailing_zeros().max(2);
        Shuffle { count, salt: mix(seed) | 1, bits }
    }

    /// The index at this place; `place` MUST be below the count.
    #[inline]
    pub fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.count);
        let mask = (1 << self.bits) - 1;
        let mut index = place;
        loop {
            index = index.wrapping_mul(self.salt) & mask;
            index ^= index >> (self.bits / 2);
            index = index.wrapping_mul(STIR) & mask;
            index ^= index >> (self.bits / 2);
            if index < self.count {
                return index;
            }
        }
    }
}

/// `count` numbers below `bound`: the number r - 1 comes up in proportion to 1 / r ** exponent.
/// Empty unless 0 < exponent < 20 and 0 < bound.
pub fn zipf_numbers(bound: u64, exponent: f64, seed: u64, count: usize) -> Vec<u64> {
    if bound == 0 || !(exponent > 0.0 && exponent < 20.0) {
        return Vec::new();
    }
    let Ok(zipf) = Zipf::new(bound as f64, exponent) else { return Vec::new() };
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| (zipf.sample(&mut random) as u64).clamp(1, bound) - 1).collect()
}

#[cfg(test)]
mod tests;
