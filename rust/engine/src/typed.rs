//! Values with a type. A value is put with one, and asking for another one is an error.

use crate::age::Age;
use crate::condition::Condition;
use crate::kind::Kind;
use crate::map::Map;
use crate::number::Number;
use crate::shard::Placed;
use crate::sink::Sink;
use crate::take::{Nothing, ToSink, ToSlice, WithKind};
use shf_base::error::OpError;

/// A value with its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Any bytes.
    Bytes(&'a [u8]),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Double(f64),
    /// UTF-8.
    Text(&'a str),
    /// True or false.
    Boolean(bool),
}

impl Value<'_> {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Bytes(_) => Kind::Bytes,
            Value::Integer(_) => Kind::Integer,
            Value::Unsigned(_) => Kind::Unsigned,
            Value::Double(_) => Kind::Double,
            Value::Text(_) => Kind::Text,
            Value::Boolean(_) => Kind::Boolean,
        }
    }

    /// Calls `with` with the bytes that are kept.
    pub(crate) fn with_bytes<A>(&self, with: impl FnOnce(&[u8]) -> A) -> A {
        match self {
            Value::Bytes(bytes) => with(bytes),
            Value::Integer(number) => with(&number.to_le_bytes()),
            Value::Unsigned(number) => with(&number.to_le_bytes()),
            Value::Double(number) => with(&number.to_le_bytes()),
            Value::Text(text) => with(text.as_bytes()),
            Value::Boolean(boolean) => with(&[u8::from(*boolean)]),
        }
    }
}

impl Map {
    /// As `put`, of a value with a type.
    pub fn put_value(&self, key: &[u8], value: Value<'_>) -> Result<Placed, OpError> {
        self.put_for(key, value, Age::Default)
    }

    /// As `put_if`, of a value with a type.
    pub fn put_value_if(
        &self,
        key: &[u8],
        value: Value<'_>,
        condition: Condition<'_>,
    ) -> Result<Option<Placed>, OpError> {
        self.put_if_for(key, value, condition, Age::Default)
    }

    /// The type of the key's value; `None`: the key is not there.
    pub fn kind(&self, key: &[u8]) -> Result<Option<Kind>, OpError> {
        let found = self.read(self.hash(key), key, WithKind(Nothing))?;
        Ok(found.map(|((), kind)| kind))
    }

    /// The number under the key; `None`: the key is not there. `WrongType`: its value is no `N`.
    pub fn number<N: Number>(&self, key: &[u8]) -> Result<Option<N>, OpError> {
        let mut bytes = [0; 8];
        let found = self.small(key, N::KIND, &mut bytes)?;
        Ok(found.then(|| N::of_bits(u64::from_le_bytes(bytes))))
    }

    /// The boolean under the key; `None`: the key is not there. `WrongType`: its value is none.
    pub fn boolean(&self, key: &[u8]) -> Result<Option<bool>, OpError> {
        let mut byte = [0];
        Ok(self.small(key, Kind::Boolean, &mut byte)?.then(|| byte[0] != 0))
    }

    /// Replaces the contents of `into` with the text under the key, reusing its memory. False: the
    /// key is not there. `WrongType`: its value is no text, or was changed by a stranger and is no
    /// UTF-8. Unless the answer is true, `into` is empty.
    pub fn text(&self, key: &[u8], into: &mut String) -> Result<bool, OpError> {
        let mut bytes = std::mem::take(into).into_bytes();
        bytes.clear();
        let there = self.text_to(key, &mut bytes)?.is_some();
        match String::from_utf8(bytes) {
            Ok(text) => *into = text,
            Err(_) => Kind::Bytes.expect(Kind::Text)?,
        }
        Ok(there)
    }

    /// As `get_to`, of text, whose bytes are not looked at. `WrongType`: the value is none.
    pub fn text_to(&self, key: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, OpError> {
        let take = WithKind(ToSink(&mut *sink));
        let answer = match self.read(self.hash(key), key, take) {
            Ok(Some((copied, kind))) => kind.expect(Kind::Text).and(copied).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        if !matches!(answer, Ok(Some(_))) {
            sink.discard();
        }
        answer
    }

    /// Copies a value of a type that has as many bytes as `into`; whether the key is there.
    fn small(&self, key: &[u8], kind: Kind, into: &mut [u8]) -> Result<bool, OpError> {
        let take = WithKind(ToSlice(into));
        let found = self.read(self.hash(key), key, take)?;
        match found {
            Some((_, found)) => found.expect(kind).map(|()| true),
            None => Ok(false),
        }
    }
}
