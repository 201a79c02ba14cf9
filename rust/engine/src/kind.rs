//! The type of a value, which its record says.

use shf_base::error::OpError;

/// The type of a value. The numbers are those of records' headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any bytes.
    Bytes = 0,
    /// A signed 64-bit integer.
    Integer = 1,
    /// An unsigned 64-bit integer.
    Unsigned = 2,
    /// A 64-bit floating-point number of IEEE 754.
    Double = 3,
    /// UTF-8.
    Text = 4,
    /// True or false, a byte 1 or 0.
    Boolean = 5,
    /// A list (`list`), whose elements are records of their own.
    List = 6,
    /// An element of a list (`element`). No key has such a value.
    Element = 7,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Bytes,
        Kind::Integer,
        Kind::Unsigned,
        Kind::Double,
        Kind::Text,
        Kind::Boolean,
        Kind::List,
        Kind::Element,
    ];

    /// The type with a number.
    #[inline(always)]
    pub fn of(number: u64) -> Option<Kind> {
        Kind::ALL.get(number as usize).copied()
    }

    /// The type whose number is in the lowest three bits.
    #[inline(always)]
    pub(crate) fn of_bits(bits: u64) -> Kind {
        Kind::ALL[(bits & 7) as usize]
    }

    /// Whether a value is a number.
    #[inline(always)]
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Unsigned | Kind::Double)
    }

    /// Whether a value is 8 bytes, little-endian, that are aligned and change in place.
    #[inline(always)]
    pub fn is_in_place(self) -> bool {
        self.is_number() || self == Kind::List
    }

    /// Whether a value of this type can have a length.
    #[inline(always)]
    pub fn takes(self, len: u64) -> bool {
        match self {
            Kind::Bytes | Kind::Text | Kind::Element => true,
            Kind::Boolean => len == 1,
            Kind::Integer | Kind::Unsigned | Kind::Double | Kind::List => len == 8,
        }
    }

    /// `WrongType` unless this is the type that is expected.
    #[inline(always)]
    pub fn expect(self, expected: Kind) -> Result<(), OpError> {
        if self == expected { Ok(()) } else { Err(self.is_not(expected)) }
    }

    /// `WrongType` unless this is a type of which a get can give the value: a list is none.
    #[inline(always)]
    pub fn expect_value(self) -> Result<(), OpError> {
        if self == Kind::List { Err(self.is_not(Kind::Bytes)) } else { Ok(()) }
    }

    #[cold]
    fn is_not(self, expected: Kind) -> OpError {
        OpError::WrongType { expected: expected.name(), found: self.name() }
    }

    /// The name that errors use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bytes => "bytes",
            Kind::Integer => "integer",
            Kind::Unsigned => "unsigned integer",
            Kind::Double => "double",
            Kind::Text => "text",
            Kind::Boolean => "boolean",
            Kind::List => "list",
            Kind::Element => "element of a list",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_each_type_leads_back_to_it() {
        for (number, kind) in (0..).zip(Kind::ALL) {
            assert_eq!((kind as u64, Kind::of(number)), (number, Some(kind)));
        }
        assert_eq!(Kind::of(Kind::ALL.len() as u64), None);
    }
}
