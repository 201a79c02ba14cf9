//! Adapters for lists.

use crate::ffi::{Outcome, Sink, Visitor};
use crate::guard::guard;
use crate::map::Map;
use crate::sink::SinkOfCpp;
use shf_engine::Elements;
use std::pin::Pin;

impl Map {
    pub fn push(&self, key: &[u8], element: &[u8]) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.push(key, element)?)))
    }

    pub fn unshift(&self, key: &[u8], element: &[u8]) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.unshift(key, element)?)))
    }

    pub fn pop(&self, key: &[u8], sink: Pin<&mut Sink>) -> Outcome {
        guard(|| Ok(Outcome::copied(self.engine()?.pop(key, &mut SinkOfCpp(sink))?)))
    }

    pub fn shift(&self, key: &[u8], sink: Pin<&mut Sink>) -> Outcome {
        guard(|| Ok(Outcome::copied(self.engine()?.shift(key, &mut SinkOfCpp(sink))?)))
    }

    pub fn length(&self, key: &[u8]) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.length(key)?)))
    }

    pub fn range(&self, key: &[u8], start: i64, end: i64, visitor: &Visitor) -> Outcome {
        guard(|| {
            let mut elements = Elements::new();
            self.engine()?.range(key, start, end, &mut elements)?;
            let visit = |element: &[u8]| {
                #[allow(unsafe_code)]
                // SAFETY: both pointers come from slices that outlive the call.
                unsafe {
                    visitor.visit(b"".as_ptr(), 0, element.as_ptr(), element.len())
                }
            };
            Ok(Outcome::done(elements.iter().all(visit), elements.len() as u64))
        })
    }
}
