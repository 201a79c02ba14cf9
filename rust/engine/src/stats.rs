//! Counters of a map, summed over its shards.

/// A sum of every shard's counters, read without locks: each number is one that its shard had at
/// some time during the call, not all at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys in the map.
    pub keys: u64,
    /// Real bytes that the map has taken from its file system, headers included.
    pub committed_bytes: u64,
    /// The most that `committed_bytes` may become.
    pub max_bytes: u64,
    /// Bytes of deleted and replaced records whose memory has not been used again.
    pub dead_bytes: u64,
    /// Real bytes of record memory in free runs, ready to be used again.
    pub free_bytes: u64,
    /// One-page tables in the index.
    pub tables: u64,
    /// Table splits since creation.
    pub splits: u64,
    /// Shards repaired after the death of a process, since creation.
    pub repairs: u64,
    /// Records moved by compaction, since creation.
    pub moved_records: u64,
    /// Keys that have an age, or had one before they were given one of for ever; in a map that
    /// evicts, all.
    pub timed_keys: u64,
    /// Keys that had expired when they were deleted or replaced, since creation.
    pub expired_keys: u64,
    /// Keys that were evicted because the map was full, since creation.
    pub evicted_keys: u64,
    /// Looks that gets through this handle had to make again because a writer was there, in this
    /// process; a forked child goes on from its parent's number.
    pub retries: u64,
}
