//! Adapters for values with a type.

use crate::ffi::{Outcome, Sink};
use crate::guard::guard;
use crate::map::Map;
use crate::sink::SinkOfCpp;
use shf_engine::Kind;
use std::pin::Pin;

impl Map {
    pub fn add_unsigned(&self, key: &[u8], delta: i64) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.add_number(key, delta)?)))
    }

    pub fn add_double(&self, key: &[u8], delta: f64) -> Outcome {
        guard(|| {
            let sum: f64 = self.engine()?.add_number(key, delta)?;
            Ok(Outcome::done(true, sum.to_bits()))
        })
    }

    pub fn kind(&self, key: &[u8]) -> Outcome {
        guard(|| {
            let kind = self.engine()?.kind(key)?;
            Ok(kind.map_or_else(Outcome::absent, |kind| Outcome::done(true, kind as u64)))
        })
    }

    pub fn scalar(&self, key: &[u8], kind: u32) -> Outcome {
        guard(|| {
            let engine = self.engine()?;
            let bits = match Kind::of(kind.into()) {
                Some(Kind::Integer) => engine.number::<i64>(key)?.map(|number| number as u64),
                Some(Kind::Unsigned) => engine.number::<u64>(key)?,
                Some(Kind::Double) => engine.number::<f64>(key)?.map(f64::to_bits),
                _ => engine.boolean(key)?.map(u64::from),
            };
            Ok(bits.map_or_else(Outcome::absent, |bits| Outcome::done(true, bits)))
        })
    }

    pub fn get_text(&self, key: &[u8], sink: Pin<&mut Sink>) -> Outcome {
        guard(|| Ok(Outcome::copied(self.engine()?.text_to(key, &mut SinkOfCpp(sink))?)))
    }
}
