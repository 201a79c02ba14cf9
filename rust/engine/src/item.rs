//! A key with the value that it is going to have.

use crate::age::Deadline;
use crate::hash::Hash;
use crate::shape::Shape;

/// A key with the value that it is going to have, and for how long.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The hash of the key.
    pub hash: Hash,
    /// The shape of the record, which has these lengths.
    pub shape: Shape,
    /// When it expires, if its shape has a deadline.
    pub deadline: Deadline,
    /// The key.
    pub key: &'a [u8],
    /// The value. Of a number, its 8 bytes, little-endian.
    pub value: &'a [u8],
}

impl Item<'_> {
    /// The same with another deadline, if there is one. Its shape MUST have one then.
    #[inline(always)]
    pub fn until(self, deadline: Option<Deadline>) -> Self {
        Item { deadline: deadline.unwrap_or(self.deadline), ..self }
    }
}
