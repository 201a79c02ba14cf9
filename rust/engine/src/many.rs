//! Batches: several gets or puts in one call, whose memory is fetched ahead (`ahead`).
//!
//! A batch is nothing but its single calls, one after the other, each with its own lookup,
//! validation or lock; no two locks are held at a time, and a batch as a whole is not atomic.

use crate::ahead::{self, Ahead, GROUP};
use crate::map::Map;
use crate::shard::Placed;
use crate::sink::Sink;
use shf_base::error::OpError;
use std::fmt;

/// Why a batch of puts ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManyError {
    /// The puts before, which are done. Those from the next one on were not tried.
    pub done: usize,
    /// Why the next one failed.
    pub error: OpError,
}

impl fmt::Display for PutManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} puts of the batch: {}", self.done, self.error)
    }
}

impl std::error::Error for PutManyError {}

impl Map {
    /// Gets each of the keys, in order, and calls `visit` with the index and the value of each that
    /// is there; returns how many. Each get is one of its own: the batch is no snapshot. Faster
    /// than single gets where the map is larger than the processor's caches.
    ///
    /// The value is a whole one in private memory, good during the call; nothing is locked then, so
    /// `visit` may use the map. Needs private memory for the largest value.
    ///
    /// Errors: as `get`, by the first key that has one. The keys before it were visited.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut visit: impl FnMut(usize, &[u8]),
    ) -> Result<usize, OpError> {
        let mut outcome = Ok(());
        let mut found = 0;
        self.get_many_to(keys, &mut Vec::new(), |index, value, answer| match answer {
            Ok(None) => true,
            Ok(Some(_)) => {
                found += 1;
                visit(index, value);
                true
            }
            Err(error) => {
                outcome = Err(error);
                false
            }
        });
        outcome.map(|()| found)
    }

    /// As `get_to` of each of the keys, in order, into one sink: after each, `next` gets the index,
    /// the sink and the answer, and returns whether to go on. So it can take the value out of the
    /// sink, or have it put the next one elsewhere.
    #[inline]
    pub fn get_many_to<K: AsRef<[u8]>, S: Sink>(
        &self,
        keys: &[K],
        sink: &mut S,
        mut next: impl FnMut(usize, &mut S, Result<Option<usize>, OpError>) -> bool,
    ) {
        let mut index = 0;
        for keys in keys.chunks(GROUP) {
            let mut group = [Ahead::NONE; GROUP];
            for ahead in self.fetch_ahead(keys.iter().map(AsRef::as_ref), &mut group) {
                let answer = self.by(&self.usage).get_hashed(ahead.hash, ahead.key, sink);
                if !next(index, sink, answer) {
                    return;
                }
                index += 1;
            }
        }
    }

    /// Puts each of the pairs, in order, so that of equal keys the last one wins; returns how many
    /// replaced a value. `placed` is called after each put with its index and what it did. Each put
    /// is one of its own: others may see some of them, and a death in between leaves the first
    /// ones.
    ///
    /// Errors: as `put`, by the first pair that has one, with the number of those before it.
    pub fn put_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(K, V)],
        mut placed: impl FnMut(usize, Placed),
    ) -> Result<usize, PutManyError> {
        let (mut done, mut replaced) = (0, 0);
        for pairs in pairs.chunks(GROUP) {
            let mut group = [Ahead::NONE; GROUP];
            let group = self.fetch_ahead(pairs.iter().map(|(key, _)| key.as_ref()), &mut group);
            for (ahead, (_, value)) in group.iter().zip(pairs) {
                let put = self.by(&self.usage).put_hashed(ahead.hash, ahead.key, value.as_ref());
                let put = put.map_err(|error| PutManyError { done, error })?;
                placed(done, put);
                replaced += usize::from(put.replaced);
                done += 1;
            }
        }
        Ok(replaced)
    }

    /// Hashes the keys of a group, and starts to fetch what operations on them will touch.
    #[inline(always)]
    fn fetch_ahead<'g, 'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        group: &'g mut [Ahead<'k>; GROUP],
    ) -> &'g [Ahead<'k>] {
        let mut count = 0;
        for (key, ahead) in keys.zip(group.iter_mut()) {
            *ahead = Ahead { key, hash: self.hash(key) };
            count += 1;
        }
        let group = &group[..count];
        if count > 1 {
            ahead::fetch(group, |hash| self.place(hash.shard_bits()));
        }
        group
    }
}
