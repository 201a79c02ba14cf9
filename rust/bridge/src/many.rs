//! The adapters for batches. C++ makes groups of a bounded number of keys, on its stack.

use crate::ffi::{Buffer, Key, Outcome, Pair, Placed};
use crate::guard::guard;
use crate::map::Map;
use shf_engine::ahead::GROUP;
use shf_engine::{Sink, Status};

/// What `sizes` says of a key that is not there.
const NO_VALUE: u64 = u64::MAX;

impl Map {
    pub fn get_some(
        &self,
        keys: &[Key<'_>],
        room: &mut [u8],
        sizes: &mut [u64],
        done: &mut usize,
    ) -> Outcome {
        *done = 0;
        guard(|| {
            let mut left = Left { room, needed: None };
            let mut failed = None;
            self.engine()?.get_many_to(keys, &mut left, |index, left, answer| {
                sizes[index] = match answer {
                    Ok(found) => found.map_or(NO_VALUE, |bytes| left.take(bytes)),
                    Err(error) => {
                        failed = left.needed.is_none().then_some(error);
                        return false;
                    }
                };
                *done = index + 1;
                true
            });
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(Outcome::done(left.needed.is_none(), left.needed.unwrap_or(0))),
            }
        })
    }

    pub fn get_each_into(&self, keys: &[Key<'_>], into: &mut [Buffer<'_>]) -> Outcome {
        guard(|| {
            let mut found = 0;
            let mut each = Each { buffers: into, index: 0, needed: None };
            self.engine()?.get_many_to(keys, &mut each, |index, each, answer| {
                let buffer = &mut each.buffers[index];
                (buffer.status, buffer.bytes) = match (answer, each.needed.take()) {
                    (Ok(Some(bytes)), _) => (Status::Ok as u32, bytes as u64),
                    (Ok(None), _) => (Status::Absent as u32, 0),
                    (Err(_), Some(needed)) => (Status::BufferTooSmall as u32, needed),
                    (Err(error), None) => (error.status() as u32, 0),
                };
                found += u64::from(buffer.status == Status::Ok as u32);
                each.index = index + 1;
                true
            });
            Ok(Outcome::done(true, found))
        })
    }

    pub fn put_many(&self, pairs: &[Pair<'_>], placed: &mut [Placed], done: &mut usize) -> Outcome {
        *done = 0;
        guard(|| {
            let engine = self.engine()?;
            let mut replaced = 0;
            for pairs in pairs.chunks(GROUP) {
                let mut group: [(&[u8], &[u8]); GROUP] = [(&[], &[]); GROUP];
                for (pair, given) in group.iter_mut().zip(pairs) {
                    *pair = (given.key, given.value);
                }
                let put = engine.put_many(&group[..pairs.len()], |_, put| {
                    placed[*done] = Placed { replaced: put.replaced, uid: put.uid.bits() };
                    *done += 1;
                });
                replaced += put.map_err(|failed| failed.error)?;
            }
            Ok(Outcome::done(true, replaced as u64))
        })
    }
}

/// What values, one behind the other, have left of a buffer.
struct Left<'r> {
    room: &'r mut [u8],
    /// The bytes of a value that is longer than that.
    needed: Option<u64>,
}

impl Left<'_> {
    /// Keeps the value of `bytes` that was copied; returns its bytes.
    fn take(&mut self, bytes: usize) -> u64 {
        self.room = &mut std::mem::take(&mut self.room)[bytes..];
        bytes as u64
    }
}

impl Sink for Left<'_> {
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.room.get_mut(..len)
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        self.needed = Some(len as u64);
        None
    }

    fn discard(&mut self) {}
}

/// A buffer for each value.
struct Each<'b, 'a> {
    buffers: &'b mut [Buffer<'a>],
    /// The one that is next.
    index: usize,
    /// The bytes of a value that it is too small for.
    needed: Option<u64>,
}

impl Sink for Each<'_, '_> {
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.buffers.get_mut(self.index)?.room.get_mut(..len)
    }

    fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        self.needed = Some(len as u64);
        None
    }

    fn discard(&mut self) {}
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}
