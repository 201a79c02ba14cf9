//! What has to be the case for a change to be made.

use crate::kind::Kind;
use crate::record::Record;
use crate::token::Token;
use shf_base::error::OpError;

/// What a key must have at the moment of a change, for the change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// The key is not there.
    Absent,
    /// The key is there.
    Present,
    /// The key has this value, of any type that has these bytes. Compares all of it. A list is
    /// `WrongType`.
    Value(&'a [u8]),
    /// The key has not changed since it had this token (`Map::get_with_token`). Hashes its value,
    /// unless it has.
    Token(Token),
}

impl Condition<'_> {
    /// Whether it holds for a key that has this record, or none. The caller holds the lock.
    /// `WrongType` where it is about the value, and that is a list.
    pub(crate) fn holds(self, record: Option<Record<'_>>, secret: u64) -> Result<bool, OpError> {
        Ok(match (self, record) {
            (Condition::Absent, record) => record.is_none(),
            (Condition::Present, record) => record.is_some(),
            (Condition::Value(expected), Some(record)) => {
                record.shape.traits.kind().expect_value()?;
                record.value_is(expected)
            }
            (Condition::Value(_), None) => false,
            // Nobody has the token of a list.
            (Condition::Token(_), Some(record)) if record.shape.traits.kind() == Kind::List => {
                false
            }
            (Condition::Token(token), Some(record)) => token.is_of(record, secret),
            (Condition::Token(token), None) => token == Token::ABSENT,
        })
    }
}
