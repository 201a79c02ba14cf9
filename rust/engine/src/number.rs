//! Values that are numbers: 8 bytes in a record, changed in place.

use crate::kind::Kind;
use shf_base::error::OpError;

/// A number that can be a value.
pub trait Number: Copy + sealed::Sealed {
    /// What can be added to it.
    type Delta: Copy;
    /// Its type.
    const KIND: Kind;
    /// What an absent key counts as.
    const ZERO: Self;
    /// From its 64 bits.
    fn of_bits(bits: u64) -> Self;
    /// Its 64 bits.
    fn bits(self) -> u64;
    /// The sum, or `Overflow`.
    fn plus(self, delta: Self::Delta) -> Result<Self, OpError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for u64 {}
    impl Sealed for f64 {}
}

impl Number for i64 {
    type Delta = i64;
    const KIND: Kind = Kind::Integer;
    const ZERO: i64 = 0;

    #[inline(always)]
    fn of_bits(bits: u64) -> i64 {
        bits as i64
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self as u64
    }

    #[inline(always)]
    fn plus(self, delta: i64) -> Result<i64, OpError> {
        self.checked_add(delta).ok_or(OpError::Overflow { value: self.into(), delta })
    }
}

impl Number for u64 {
    type Delta = i64;
    const KIND: Kind = Kind::Unsigned;
    const ZERO: u64 = 0;

    #[inline(always)]
    fn of_bits(bits: u64) -> u64 {
        bits
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }

    #[inline(always)]
    fn plus(self, delta: i64) -> Result<u64, OpError> {
        self.checked_add_signed(delta).ok_or(OpError::Overflow { value: self.into(), delta })
    }
}

impl Number for f64 {
    type Delta = f64;
    const KIND: Kind = Kind::Double;
    const ZERO: f64 = 0.0;

    #[inline(always)]
    fn of_bits(bits: u64) -> f64 {
        f64::from_bits(bits)
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits()
    }

    /// By the rules of IEEE 754, which know no overflow.
    #[inline(always)]
    fn plus(self, delta: f64) -> Result<f64, OpError> {
        Ok(self + delta)
    }
}
