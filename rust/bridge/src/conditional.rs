//! Adapters for changes under a condition.

use crate::ffi::{Condition, Outcome, Sink, Value};
use crate::guard::{Failure, guard};
use crate::map::Map;
use crate::sink::SinkOfCpp;
use shf_engine::{OpError, Placed, Status, Token};
use std::pin::Pin;

/// The numbers of `shf::Condition`.
const ABSENT: u32 = 0;
const PRESENT: u32 = 1;
const VALUE: u32 = 2;

impl Map {
    pub fn put_value(&self, key: &[u8], value: &Value<'_>) -> Outcome {
        guard(|| Ok(placed(self.engine()?.put_value(key, engine_value(value)?)?)))
    }

    pub fn put_if(&self, key: &[u8], value: &Value<'_>, condition: &Condition<'_>) -> Outcome {
        guard(|| {
            let (value, condition) = (engine_value(value)?, engine_condition(condition));
            Ok(placed_if(self.engine()?.put_value_if(key, value, condition)?))
        })
    }

    pub fn put_if_keeping_age(
        &self,
        key: &[u8],
        value: &[u8],
        condition: &Condition<'_>,
    ) -> Outcome {
        guard(|| {
            let condition = engine_condition(condition);
            Ok(placed_if(self.engine()?.put_if_keeping_age(key, value, condition)?))
        })
    }

    pub fn erase_if(&self, key: &[u8], condition: &Condition<'_>) -> Outcome {
        guard(|| {
            let deleted = self.engine()?.delete_if(key, engine_condition(condition))?;
            Ok(Outcome::done(deleted, 0))
        })
    }

    pub fn take(&self, key: &[u8], sink: Pin<&mut Sink>) -> Outcome {
        guard(|| Ok(Outcome::copied(self.engine()?.take(key, &mut SinkOfCpp(sink))?)))
    }

    pub fn append(&self, key: &[u8], suffix: &[u8]) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.append(key, suffix)?)))
    }

    pub fn get_with_token(
        &self,
        key: &[u8],
        sink: Pin<&mut Sink>,
        token: &mut u64,
        kind: &mut u32,
    ) -> Outcome {
        *token = Token::ABSENT.bits();
        guard(|| {
            let found = self.engine()?.get_to_with_token(key, &mut SinkOfCpp(sink))?;
            let Some((bytes, found, its_kind)) = found else { return Ok(Outcome::absent()) };
            (*token, *kind) = (found.bits(), its_kind as u32);
            Ok(Outcome::copied(Some(bytes)))
        })
    }
}

/// What a put did.
pub fn placed(placed: Placed) -> Outcome {
    Outcome::done(placed.replaced, placed.uid.bits())
}

/// What a put did whose condition may not have held.
pub fn placed_if(put: Option<Placed>) -> Outcome {
    let not_met = Outcome { status: Status::ConditionNotMet as u32, flag: false, value: 0 };
    put.map_or(not_met, placed)
}

pub fn engine_condition<'a>(condition: &Condition<'a>) -> shf_engine::Condition<'a> {
    match condition.what {
        ABSENT => shf_engine::Condition::Absent,
        PRESENT => shf_engine::Condition::Present,
        VALUE => shf_engine::Condition::Value(condition.value),
        _ => shf_engine::Condition::Token(Token::from_bits(condition.token)),
    }
}

/// A value whose bytes are those of its type, but for text, which is checked.
pub fn engine_value<'a>(value: &Value<'a>) -> Result<shf_engine::Value<'a>, Failure> {
    use shf_engine::{Kind, Value};
    let number = || {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(value.bytes);
        u64::from_le_bytes(bytes)
    };
    Ok(match Kind::of(value.kind.into()) {
        Some(Kind::Integer) => Value::Integer(number() as i64),
        Some(Kind::Unsigned) => Value::Unsigned(number()),
        Some(Kind::Double) => Value::Double(f64::from_bits(number())),
        Some(Kind::Boolean) => Value::Boolean(value.bytes != [0]),
        Some(Kind::Text) => Value::Text(str::from_utf8(value.bytes).map_err(|error| {
            Failure::Operation(OpError::NotText { valid_bytes: error.valid_up_to() as u64 })
        })?),
        _ => Value::Bytes(value.bytes),
    })
}
