//! The records of a frozen shard, while it is made: written one behind the other, and which of them
//! counts for which key.
//!
//! ```text
//! window, bytes   0                      pages * 4096
//!                 | record | record | ... | index pages, the first one last |
//! ```
//!
//! A record is as in a map that is not durable and does not evict, without gaps, whatever its size.
//! It keeps its stamp, so UIDs and tokens hold. One that does not count any more, because its key
//! changed while the map was copied, stays where it is, and nothing refers to it.

use crate::age::{Above, Deadline};
use crate::draft::Front;
use crate::hash::Hash;
use crate::item::Item;
use crate::kind::Kind;
use crate::record::Record;
use crate::shape::Shape;
use crate::traits::Traits;
use hashbrown::HashTable;
use shf_base::error::{OpError, OpenError};
use shf_base::frozen::FrozenFile;
use shf_base::geometry::{PAGE_BYTES, UNIT_BYTES};

/// Bytes that wait to be written, at least.
const BUFFER_BYTES: usize = 1 << 20;

/// A record that counts.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The hash of its key.
    pub hash: Hash,
    /// Where it lies, in units from the start of the window.
    pub reference: u32,
    /// Whether it has a deadline.
    pub timed: bool,
    /// Whether it is an element of a list.
    pub element: bool,
}

/// The records of a frozen shard.
pub(crate) struct FrozenRecords<'f> {
    file: &'f FrozenFile<'f>,
    /// Where the window begins in the file, in bytes.
    window: u64,
    /// The most bytes that records may take.
    bytes_max: u64,
    /// Bytes that are written to the file; the buffer comes behind them.
    written: u64,
    buffer: Vec<u8>,
    entries: HashTable<Entry>,
}

/// A length of the records, to go back to.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl<'f> FrozenRecords<'f> {
    /// None yet.
    pub fn new(file: &'f FrozenFile<'f>, window: u64, bytes_max: u64) -> FrozenRecords<'f> {
        let (buffer, entries) = (Vec::new(), HashTable::new());
        FrozenRecords { file, window, bytes_max, written: 0, buffer, entries }
    }

    /// Copies a record, whose key has this hash, without having it count. Nobody may change its
    /// lengths meanwhile, or the copy is to be taken back (`take_back`) if somebody did.
    pub fn append(&mut self, hash: Hash, record: &Record<'_>) -> Result<Entry, OpError> {
        let deadline = record.deadline().filter(|deadline| *deadline != Deadline::NEVER);
        let old = record.shape;
        let traits = match old.traits.half() {
            true => old.traits,
            false => Traits::new(old.traits.kind(), false, deadline.is_some()),
        };
        let shape = Shape { traits, ..old };
        let number = if shape.traits.kind().is_in_place() { record.number() } else { 0 };
        let (deadline, value) = (deadline.unwrap_or(Deadline::NEVER), number.to_le_bytes());
        let item = Item { hash, shape, deadline, key: &[], value: &value };
        let header = shape.live_header(record.stamp_now());
        let front = Front::new(header, &item, None, Above::Nothing);
        let start = self.bytes();
        let bytes = shape.bytes().next_multiple_of(UNIT_BYTES);
        if start + bytes > self.bytes_max {
            let max_bytes = self.bytes_max;
            return Err(OpError::NoSpace { needed_bytes: start + bytes, max_bytes });
        }
        let (from, bytes) = (self.buffer.len(), bytes as usize);
        let reserved = self.buffer.try_reserve(bytes);
        reserved.map_err(|_| OpError::OutOfMemory { bytes: bytes as u64 })?;
        self.buffer.resize(from + bytes, 0);
        let room = &mut self.buffer[from..];
        let (front_room, room) = room.split_at_mut(front.bytes().len());
        front_room.copy_from_slice(front.bytes());
        let (key, room) = room.split_at_mut(shape.key_len as usize);
        record.copy_key(key);
        if !shape.traits.kind().is_in_place() {
            record.copy_value(&mut room[..shape.value_len as usize]);
        }
        let (reference, element) =
            ((start / UNIT_BYTES) as u32, shape.traits.kind() == Kind::Element);
        Ok(Entry { hash, reference, timed: shape.traits.timed(), element })
    }

    /// Makes room for so many more that count, and some.
    pub fn reserve(&mut self, entries: u64) -> Result<(), OpError> {
        let more = entries.saturating_add(entries / 8 + 64);
        let bytes = more.saturating_mul(size_of::<Entry>() as u64);
        let reserved = self.entries.try_reserve(more as usize, |entry| spread(entry.hash));
        reserved.map_err(|_| OpError::OutOfMemory { bytes })
    }

    /// Has a record count, beside others with the same hash.
    pub fn enter(&mut self, entry: Entry) -> Result<(), OpError> {
        let bytes = size_of::<Entry>() as u64;
        let reserved = self.entries.try_reserve(1, |entry| spread(entry.hash));
        reserved.map_err(|_| OpError::OutOfMemory { bytes })?;
        self.entries.insert_unique(spread(entry.hash), entry, |entry| spread(entry.hash));
        Ok(())
    }

    /// Whether a record of a key with this hash counts.
    pub fn has(&self, hash: Hash) -> bool {
        self.entries.find(spread(hash), |entry| entry.hash == hash).is_some()
    }

    /// Has no record of a key with this hash count any more.
    pub fn forget(&mut self, hash: Hash) {
        while let Ok(found) = self.entries.find_entry(spread(hash), |entry| entry.hash == hash) {
            found.remove();
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// A mark to go back to.
    pub fn mark(&self) -> Mark {
        Mark(self.bytes())
    }

    /// Takes back all that was copied since a mark, and has none of it count.
    pub fn rewind(&mut self, mark: Mark) {
        let bytes = mark.0;
        self.buffer.truncate(bytes.saturating_sub(self.written) as usize);
        self.written = self.written.min(bytes);
        self.entries.retain(|entry| u64::from(entry.reference) * UNIT_BYTES < bytes);
    }

    /// Takes back one copy, that of the last record, which does not count yet.
    pub fn take_back(&mut self, mark: Mark) {
        debug_assert!(mark.0 >= self.written);
        self.buffer.truncate((mark.0 - self.written) as usize);
    }

    /// Writes what waits to be written, once it is enough of it.
    pub fn flush_some(&mut self) -> Result<(), OpenError> {
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        self.file.write_at(&self.buffer, self.window + self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes all, up to the end of a page; the pages, and the records that count.
    pub fn finish(mut self) -> Result<(u32, Vec<Entry>), OpenError> {
        let end = self.bytes().next_multiple_of(PAGE_BYTES);
        self.buffer.resize((end - self.written) as usize, 0);
        self.flush()?;
        let mut entries = Vec::new();
        let bytes = (self.entries.len() * size_of::<Entry>()) as u64;
        let reserved = entries.try_reserve_exact(self.entries.len());
        reserved.map_err(|_| self.file.failed(OpError::OutOfMemory { bytes }))?;
        entries.extend(self.entries);
        Ok(((end / PAGE_BYTES) as u32, entries))
    }
}

/// A hash whose upper bits are as good as its lower ones, for the private table: those of one shard
/// have some of them in common.
fn spread(hash: Hash) -> u64 {
    hash.0.rotate_left(32) ^ hash.0
}
