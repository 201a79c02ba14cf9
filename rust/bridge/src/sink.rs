//! Memory of C++ that the engine copies to.

use crate::ffi::Sink;
use std::pin::Pin;

/// A sink of C++, which itself discards what is no value.
pub struct SinkOfCpp<'s>(pub Pin<&'s mut Sink>);

impl shf_engine::Sink for SinkOfCpp<'_> {
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        let data = self.0.as_mut().room(len);
        #[allow(unsafe_code)]
        // SAFETY: null, or memory of C++ for `len` bytes until the next call of the sink, for which
        // the slice has to be gone; the key lies elsewhere.
        (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(data, len) })
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        let data = self.0.as_mut().grow(len);
        #[allow(unsafe_code)]
        // SAFETY: as above.
        (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(data, len) })
    }

    fn discard(&mut self) {}
}
