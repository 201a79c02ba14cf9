//! Walks over all keys, and over those of one shard at one moment.

use crate::directory::Entry;
use crate::kind::Kind;
use crate::map::Map;
use crate::place::Place;
use crate::record::Record;
use crate::shard::Locked;
use crate::sink::Sink;
use crate::take::{PairToSinks, WithKind};
use crate::uid::Uid;
use crate::walk::{self, Bound, END, Names};
use bumpalo::Bump;
use shf_base::error::OpError;

/// A key and its value, in private memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The bytes of its value. Of a list, its length: 8 bytes, little-endian.
    pub value: &'a [u8],
    /// The type of the value.
    pub kind: Kind,
    /// A name for this life of the key.
    pub uid: Uid,
}

/// How far a scan has come: 64 bits that mean something in one map, whoever scans, for as long as
/// the map lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

/// Bits of a cursor that say where in a shard.
const PLACE_BITS: u32 = END.ilog2();

impl Cursor {
    /// Where scans begin.
    pub const START: Cursor = Cursor(0);

    /// The cursor with these bits, which `bits` gave; with others a scan begins somewhere.
    pub fn from_bits(bits: u64) -> Cursor {
        Cursor(bits)
    }

    /// The bits that say it all.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The shard, as far as it is one of the map's.
    fn shard(self) -> u32 {
        (self.0 >> PLACE_BITS) as u32
    }
}

impl Map {
    /// Calls `visit` for each key and value, on private copies and outside of any lock, so that it
    /// may use the map; stops when it returns false. A key that is there from beginning to end is
    /// visited once; one that comes, goes or comes again meanwhile at most once for each of its
    /// lives. A value is one that the key has at some time during the call.
    /// Needs private memory for one key and value at a time.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), OpError> {
        self.for_each_with(b"", &mut |pair| visit(pair.key, pair.value))
    }

    /// As `for_each`, of the keys that begin with `prefix`. Looks at all keys of the map.
    pub fn for_each_with(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(Pair<'_>) -> bool,
    ) -> Result<(), OpError> {
        self.count_walk();
        let (mut names, mut pair) = (Names::new(), (Vec::new(), Vec::new()));
        for place in self.places() {
            let (mut cursor, mut bound) = (0, Bound::new(place));
            while cursor < END {
                cursor = self.names(place, cursor, prefix, &mut names)?;
                if cursor < END {
                    bound.visit()?;
                }
                if !self.visit(&names, &mut pair, visit)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Visits the keys of the map piece by piece: a call visits those at the cursor, some hundreds
    /// at most, perhaps none, and returns the cursor behind them; `None`: these were the last. A
    /// key that is there from the first call to the last is visited once, also when the cursor is
    /// kept for long or given to another process. What `visit` returns and may do, and what is
    /// visited, is as for `for_each_with`; when it stops, the rest of the piece is passed over.
    pub fn scan(
        &self,
        cursor: Cursor,
        prefix: &[u8],
        visit: &mut dyn FnMut(Pair<'_>) -> bool,
    ) -> Result<Option<Cursor>, OpError> {
        let mut names = Names::new();
        let next = self.scan_names(cursor, prefix, &mut names)?;
        self.visit(&names, &mut (Vec::new(), Vec::new()), visit)?;
        Ok(next)
    }

    /// As `scan`, of the UIDs: each names a key that was there, to be looked up when one likes.
    pub fn scan_names(
        &self,
        cursor: Cursor,
        prefix: &[u8],
        names: &mut Names,
    ) -> Result<Option<Cursor>, OpError> {
        names.clear();
        self.count_walk();
        let (shard, at) = (cursor.0 >> PLACE_BITS, cursor.0 as u32 & (END - 1));
        let shards = u64::from(self.facts.geometry.shards());
        if shard >= shards {
            return Ok(None);
        }
        let next = self.names(self.place(shard as u32), at, prefix, names)?;
        let next = (shard << PLACE_BITS) + u64::from(next);
        Ok((next < shards << PLACE_BITS).then_some(Cursor(next)))
    }

    /// As `scan_names`, but goes on until there are names. So a call may look at the whole map, but
    /// not at more: where the directory is forged to lead on and on, it is `Corrupt`.
    pub fn scan_next_names(
        &self,
        cursor: Cursor,
        prefix: &[u8],
        names: &mut Names,
    ) -> Result<Option<Cursor>, OpError> {
        let (mut cursor, mut within): (_, Option<(u32, Bound<'_>)>) = (cursor, None);
        loop {
            let next = self.scan_names(cursor, prefix, names)?;
            let (Some(next), true) = (next, names.is_empty()) else { return Ok(next) };
            match &mut within {
                Some((shard, bound)) if *shard == next.shard() => bound.visit()?,
                _ => within = Some((next.shard(), Bound::new(self.place(next.shard())))),
            }
            cursor = next;
        }
    }

    /// Key, value and type of what a UID names, key and value to where the sinks say, with their
    /// lengths; `None`: it is not there. In a map that evicts this is no use of the key.
    pub fn pair_of_uid(
        &self,
        uid: Uid,
        key: &mut impl Sink,
        value: &mut impl Sink,
    ) -> Result<Option<(usize, usize, Kind)>, OpError> {
        let take = WithKind(PairToSinks(&mut *key, &mut *value));
        let answer = match self.look_at_uid(uid, take) {
            Ok(Some((Ok((key, value)), kind))) => Ok(Some((key, value, kind))),
            Ok(Some((Err(error), _))) | Err(error) => Err(error),
            Ok(None) => Ok(None),
        };
        if !matches!(answer, Ok(Some(_))) {
            key.discard();
            value.discard();
        }
        answer
    }

    /// Calls `visit` for each key and value that a shard has at one moment of the call; stops when
    /// it returns false. The shard is locked while they are copied, which takes time and private
    /// memory in proportion to it, and not while `visit` runs. Shards are numbered from 0 on, see
    /// `geometry`; others have nothing.
    ///
    /// Errors: `ReadOnly`, `Busy`, `OutOfMemory`.
    pub fn view(&self, shard: u32, visit: &mut dyn FnMut(Pair<'_>) -> bool) -> Result<(), OpError> {
        self.writer()?;
        if shard >= self.facts.geometry.shards() {
            return Ok(());
        }
        let (scratch, mut pairs) = (Bump::new(), Vec::new());
        let locked = self.lock(shard)?;
        let place = locked.place();
        // All slots of a damaged shard may lead to the same huge record.
        let mut bytes_left = place.records_bytes_max();
        walk::tables(place, |entry| {
            copy_table(&locked, entry, &mut bytes_left, &scratch, &mut pairs).map(|()| true)
        })?;
        drop(locked);
        self.count_walk();
        for pair in pairs {
            if !visit(pair) {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn names(
        &self,
        place: Place<'_>,
        cursor: u32,
        prefix: &[u8],
        names: &mut Names,
    ) -> Result<u32, OpError> {
        let shard = self.place(place.shard());
        walk::names(shard, cursor, prefix, &|| self.try_lock(shard), names)
    }

    /// Visits those of the named keys that are still there.
    fn visit(
        &self,
        names: &Names,
        (key, value): &mut (Vec<u8>, Vec<u8>),
        visit: &mut dyn FnMut(Pair<'_>) -> bool,
    ) -> Result<bool, OpError> {
        for &uid in names {
            let Some((_, _, kind)) = self.pair_of_uid(uid, key, value)? else { continue };
            if !visit(Pair { key, value, kind, uid }) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Copies the pairs of a table. The caller holds the lock.
fn copy_table<'s>(
    locked: &Locked<'_>,
    entry: Entry<'_>,
    bytes_left: &mut u64,
    scratch: &'s Bump,
    pairs: &mut Vec<Pair<'s>>,
) -> Result<(), OpError> {
    let (place, table) = (locked.place(), entry.table);
    for bucket in 0..crate::table::BUCKETS {
        for slot in table.head(bucket).occupied() {
            let reference = place.slot_format().reference(table.slot(bucket, slot));
            let at = table.slot_offset(bucket, slot);
            let Some(record) = Record::at(&place, reference) else {
                return Err(place.corrupt(at, "slot without a record"));
            };
            if locked.has_expired(&record) || record.is_element() {
                continue;
            }
            *bytes_left = bytes_left
                .checked_sub(record.shape.bytes())
                .ok_or_else(|| place.corrupt(at, "more records than there is memory for them"))?;
            let key = buffer(scratch, record.shape.key_len)?;
            let value = buffer(scratch, record.shape.value_len)?;
            record.copy_key(key);
            record.copy_value(value);
            let uid = place.uid(record.hash(place.secret()), record.stamp);
            let bytes = size_of::<Pair<'_>>() as u64;
            pairs.try_reserve(1).map_err(|_| OpError::OutOfMemory { bytes })?;
            pairs.push(Pair { key, value, kind: record.shape.traits.kind(), uid });
        }
    }
    Ok(())
}

fn buffer(scratch: &Bump, len: u64) -> Result<&mut [u8], OpError> {
    let len_bytes = len as usize;
    scratch.try_alloc_slice_fill_copy(len_bytes, 0).map_err(|_| OpError::OutOfMemory { bytes: len })
}
