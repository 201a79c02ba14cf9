//! Where errors and panics become outcomes, and keep their facts until C++ asks for the text.

use crate::ffi::Outcome;
use shf_engine::{OpError, OpenError, Status};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Why a call failed.
pub enum Failure {
    /// The handle is attached to nothing.
    NotAttached,
    /// The map could not be opened.
    Open(OpenError),
    /// The operation failed.
    Operation(OpError),
    /// The engine panicked, with this text.
    Panic(String),
}

thread_local! {
    static LAST: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Failure::Open(error)
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Failure::Operation(error)
    }
}

impl Outcome {
    /// Success with an answer.
    pub fn done(flag: bool, value: u64) -> Outcome {
        Outcome { status: Status::Ok as u32, flag, value }
    }

    /// The size of what was copied, if the key is there.
    pub fn copied(bytes: Option<usize>) -> Outcome {
        bytes.map_or_else(Outcome::absent, |bytes| Outcome::done(true, bytes as u64))
    }

    /// The key is not there.
    pub fn absent() -> Outcome {
        outcome(Status::Absent)
    }
}

/// An outcome in one register, as `shf/map.hpp` knows it. What went well is below `FAILED`; what
/// did not has the status in eight of the bits below and its `value`, less than 2^53, in the
/// others.
pub struct Packed(pub u64);

const FAILED: u64 = 7 << 61;
const STATUS_SHIFT: u32 = 53;

impl From<Outcome> for Packed {
    fn from(outcome: Outcome) -> Packed {
        Packed(FAILED | u64::from(outcome.status) << STATUS_SHIFT | outcome.value)
    }
}

/// Runs one exported function: an error or a panic becomes an outcome, and its facts are kept for
/// `take_failure_text`.
#[inline(always)]
pub fn guard<A: From<Outcome>>(call: impl FnOnce() -> Result<A, Failure>) -> A {
    // The engine restores its own invariants when it unwinds (the shard is marked for repair), so
    // nothing broken can be seen through what the closure borrows.
    let call = AssertUnwindSafe(|| call().unwrap_or_else(|failure| failed(failure).into()));
    // The hook has remembered the text of a panic.
    panic::catch_unwind(call).unwrap_or_else(|payload| panicked(payload).into())
}

/// The text of this thread's last failure, once; empty when there is none.
pub fn take_failure_text() -> String {
    let text = || match LAST.try_with(RefCell::take) {
        Ok(Some(failure)) => failure.text(),
        _ => String::new(),
    };
    panic::catch_unwind(text).unwrap_or_default()
}

/// Keeps a panic of the engine from printing; `guard` reports it to the caller instead. The hook is
/// that of this library's own copy of the Rust runtime, which no other Rust code shares.
pub fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            remember(Failure::Panic(format!("{} at {place}", panic_text(info.payload()))));
        }));
    });
}

impl Failure {
    fn status(&self) -> Status {
        match self {
            Failure::NotAttached => Status::NotAttached,
            Failure::Open(error) => error.status(),
            Failure::Operation(error) => error.status(),
            Failure::Panic(_) => Status::Internal,
        }
    }

    fn text(&self) -> String {
        match self {
            Failure::NotAttached => "not attached to a map".into(),
            Failure::Open(error) => error.to_string(),
            Failure::Operation(error) => error.to_string(),
            Failure::Panic(text) => format!("internal error, please report it: {text}"),
        }
    }
}

/// Drops what a panic threw. If that panics again the process ends here, as it would where C++
/// begins; and short calls need not prepare for it, since this never unwinds.
#[cold]
#[inline(never)]
#[allow(improper_ctypes_definitions)] // called from here alone
extern "C" fn panicked(payload: Box<dyn Any + Send>) -> Outcome {
    drop(payload);
    outcome(Status::Internal)
}

#[cold]
fn failed(failure: Failure) -> Outcome {
    let outcome = outcome(failure.status());
    match failure {
        // An expected answer of a call that never allocates: C++ has a text of its own for it.
        Failure::Operation(OpError::BufferTooSmall { needed_bytes, .. }) => {
            Outcome { value: needed_bytes, ..outcome }
        }
        failure => {
            remember(failure);
            outcome
        }
    }
}

fn outcome(status: Status) -> Outcome {
    Outcome { status: status as u32, flag: false, value: 0 }
}

fn remember(failure: Failure) {
    // A thread that is ending has no place for the text any more; the status remains.
    let _ = LAST.try_with(|last| last.replace(Some(failure)));
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a text").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_text_that_names_the_place() {
        silence_panics();
        let outcome: Outcome = guard(|| panic!("table {} is upside down", 7));
        assert_eq!(outcome.status, Status::Internal as u32);
        let text = take_failure_text();
        assert!(text.contains("table 7 is upside down at "), "{text}");
        assert!(text.contains("guard.rs"), "{text}");
        assert_eq!(take_failure_text(), "");
    }

    #[test]
    fn an_error_keeps_its_status_and_its_text() {
        let outcome: Outcome = guard(|| Err(OpError::ReadOnly.into()));
        assert_eq!(outcome.status, Status::ReadOnly as u32);
        assert_eq!(take_failure_text(), OpError::ReadOnly.to_string());
        assert_eq!(
            guard::<Outcome>(|| Err(Failure::NotAttached)).status,
            Status::NotAttached as u32
        );
        assert_eq!(take_failure_text(), "not attached to a map");
    }

    #[test]
    fn a_short_buffer_says_the_bytes_needed_and_leaves_no_text() {
        let error = OpError::BufferTooSmall { needed_bytes: 42, found_bytes: 7 };
        let outcome: Outcome = guard(|| Err(error.into()));
        assert_eq!((outcome.status, outcome.value), (Status::BufferTooSmall as u32, 42));
        assert_eq!(take_failure_text(), "");
    }
}
