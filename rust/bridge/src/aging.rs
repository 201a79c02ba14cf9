//! Adapters for the age of keys.

use crate::conditional::{engine_condition, engine_value, placed, placed_if};
use crate::ffi::{Age, Condition, Outcome, Sink, Value};
use crate::guard::guard;
use crate::map::Map;
use crate::sink::SinkOfCpp;
use std::pin::Pin;
use std::time::Duration;

/// The numbers of `shf::Age`.
const NEVER: u32 = 1;
const DURATION: u32 = 2;

impl Map {
    pub fn put_for(&self, key: &[u8], value: &Value<'_>, age: Age) -> Outcome {
        guard(|| {
            let value = engine_value(value)?;
            Ok(placed(self.engine()?.put_for(key, value, engine_age(age))?))
        })
    }

    pub fn put_if_for(
        &self,
        key: &[u8],
        value: &Value<'_>,
        condition: &Condition<'_>,
        age: Age,
    ) -> Outcome {
        guard(|| {
            let (value, condition) = (engine_value(value)?, engine_condition(condition));
            let put = self.engine()?.put_if_for(key, value, condition, engine_age(age))?;
            Ok(placed_if(put))
        })
    }

    pub fn touch(&self, key: &[u8], age: Age) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.touch(key, engine_age(age))?, 0)))
    }

    pub fn get_and_touch(&self, key: &[u8], age: Age, sink: Pin<&mut Sink>) -> Outcome {
        guard(|| {
            let (age, sink) = (engine_age(age), &mut SinkOfCpp(sink));
            Ok(Outcome::copied(self.engine()?.get_and_touch(key, age, sink)?))
        })
    }

    pub fn time_left(&self, key: &[u8]) -> Outcome {
        guard(|| Ok(self.engine()?.time_left(key)?.map_or_else(Outcome::absent, how_long)))
    }

    pub fn reap(&self) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.reap()?)))
    }

    pub fn default_age(&self) -> Outcome {
        guard(|| Ok(how_long(self.engine()?.default_age())))
    }

    pub fn set_default_age(&self, age: Age) -> Outcome {
        guard(|| {
            self.engine()?.set_default_age(duration(age))?;
            Ok(Outcome::done(true, 0))
        })
    }
}

/// The duration that an age is; `None`: another one.
pub fn duration(age: Age) -> Option<Duration> {
    (age.what == DURATION).then(|| Duration::from_millis(age.ms))
}

fn engine_age(age: Age) -> shf_engine::Age {
    match duration(age) {
        Some(duration) => shf_engine::Age::Of(duration),
        None if age.what == NEVER => shf_engine::Age::Never,
        None => shf_engine::Age::Default,
    }
}

/// How long; `None`: for ever.
fn how_long(time: Option<Duration>) -> Outcome {
    Outcome::done(time.is_some(), time.map_or(0, |time| time.as_millis() as u64))
}
