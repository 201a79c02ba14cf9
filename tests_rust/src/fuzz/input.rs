//! The bytes of a fuzzer as a source of choices.

use crate::damage::Choices;

/// What is left of an input. At its end every choice is 0.
///
/// A choice takes as many bytes as its range needs, so that a change of one byte changes one
/// choice.
pub struct Input<'i>(&'i [u8]);

impl Input<'_> {
    /// The choices that `bytes` make.
    pub fn new(bytes: &[u8]) -> Input<'_> {
        Input(bytes)
    }

    /// Whether all choices were made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, bytes: usize) -> u64 {
        let (taken, left) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = left;
        taken.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

impl Choices for Input<'_> {
    fn next(&mut self) -> u64 {
        self.take(8)
    }

    fn below(&mut self, limit: u64) -> u64 {
        let bits = u64::BITS - (limit - 1).leading_zeros();
        self.take(bits.div_ceil(8) as usize) % limit
    }
}
