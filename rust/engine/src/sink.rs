//! Where a get puts a value.

use shf_base::error::OpError;

/// Memory for a value whose length is known only during a get. A writer that interferes makes the
/// get ask again, perhaps for another length.
pub trait Sink {
    /// `len` bytes to copy the value to, if there is room for them already. Asked for as many
    /// again, it is the same memory, with what was copied to it.
    fn room(&mut self, len: usize) -> Option<&mut [u8]>;
    /// Makes room for a value that is `len` bytes long; `None`: there is no memory.
    fn grow(&mut self, len: usize) -> Option<&mut [u8]>;
    /// What was copied, if anything, is no value.
    fn discard(&mut self);
}

/// Memory for a value whose length does not change meanwhile.
pub fn room_for(sink: &mut impl Sink, len: usize) -> Result<&mut [u8], OpError> {
    let room = if sink.room(len).is_some() { sink.room(len) } else { sink.grow(len) };
    room.ok_or(OpError::OutOfMemory { bytes: len as u64 })
}

impl Sink for Vec<u8> {
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.capacity() {
            return None;
        }
        self.resize(len, 0);
        Some(self)
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        self.clear();
        self.try_reserve_exact(len).ok()?;
        self.room(len)
    }

    fn discard(&mut self) {
        self.clear();
    }
}
