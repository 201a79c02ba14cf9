//! What a key may have.

use crate::Random;

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not there.
    Absent,
    /// A value that was put.
    Bytes(Value),
    /// A sum.
    Integer(i64),
}

/// A value that follows from two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What tells it from others; one in eight is all zeros.
    pub stamp: u64,
    /// Bytes.
    pub len: u32,
}

impl Value {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.len as usize;
        if self.stamp.is_multiple_of(8) {
            return vec![0; len];
        }
        let mut random = Random::new(self.stamp);
        let mut bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

impl State {
    /// Whether a get that found this found the state.
    pub fn is(&self, found: Option<&[u8]>) -> bool {
        match (self, found) {
            (State::Absent, found) => found.is_none(),
            (State::Bytes(value), Some(found)) => {
                value.len as usize == found.len() && value.bytes() == found
            }
            (State::Integer(sum), Some(found)) => sum.to_le_bytes() == found,
            (_, None) => false,
        }
    }
}
