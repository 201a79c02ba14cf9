//! What a run is to do, and what it did.

use super::keys::Key;
use crate::Random;
use shf_engine::hash::Hash;
use std::fmt;
use std::time::Duration;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long, without the last round.
    pub time: Duration,
    /// From which all choices follow.
    pub seed: u64,
    /// How long a shard may be blocked after a death.
    pub stall_max: Duration,
    /// Processes that write.
    pub writers: usize,
    /// Processes that get, through handles that cannot write.
    pub readers: usize,
    /// Processes that walk over all keys.
    pub scanners: usize,
}

impl Plan {
    /// The usual crew.
    pub fn new(time: Duration, seed: u64) -> Plan {
        let stall_max = Duration::from_millis(100);
        Plan { time, seed, stall_max, writers: 4, readers: 1, scanners: 1 }
    }

    /// Processes at a time.
    pub fn seats(&self) -> usize {
        self.writers + self.readers + self.scanners
    }
}

/// A map of a run, as the seed wants it.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Its shards.
    pub shards: u32,
    /// Its keys.
    pub keys: u64,
    /// Its secret.
    pub secret: u64,
    /// Whether the last writer has little patience. Such a one takes over from the dead early, so
    /// in every other leg there is none.
    pub impatient: bool,
    /// Whether it is durable, and synced now and then.
    pub durable: bool,
    /// What the crew does follows from this.
    pub seed: u64,
}

impl Leg {
    /// The leg of this number.
    pub fn new(number: u64, random: &mut Random) -> Leg {
        Leg {
            shards: 1 << random.below(4),
            keys: 200 << random.below(5),
            secret: random.next(),
            impatient: number.is_multiple_of(2),
            durable: number % 4 >= 2,
            seed: random.next(),
        }
    }

    /// Where a key lies.
    pub fn shard(&self, key: Key) -> u32 {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        Hash::of(&bytes, self.secret).shard(self.shards)
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The plan's.
    pub seed: u64,
    /// How long.
    pub time: Duration,
    /// Rounds, and legs that they are part of.
    pub rounds: u64,
    /// Maps used, one after the other.
    pub legs: u64,
    /// Processes killed.
    pub kills: u64,
    /// Processes killed while they were stopped.
    pub killed_stopped: u64,
    /// Times that a process was stopped.
    pub stops: u64,
    /// Calls and visits of keys that were judged.
    pub calls: u64,
    /// Of these, calls on lists in rounds whose order could not be looked for: too many overlap.
    pub undecided: u64,
    /// Calls cut short by a death.
    pub cut_short: u64,
    /// Walks over all keys that came to their end.
    pub scans: u64,
    /// Calls of `clear`.
    pub clears: u64,
    /// Calls that answered `Busy`.
    pub refused: u64,
    /// Shards repaired.
    pub repairs: u64,
    /// Tables that were merged.
    pub merges: u64,
    /// Nanoseconds of the longest stall after a death.
    pub stall: u64,
    /// The longest before anything was taken off.
    pub stall_gross: u64,
    /// Most bytes committed at the end of a round.
    pub committed_bytes: u64,
    /// Most bytes of keys and values at the end of a round.
    pub payload_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "{:.0} s, seed {}: {} kills ({} while stopped), {} stops, {} repairs",
            self.time.as_secs_f64(),
            self.seed,
            self.kills,
            self.killed_stopped,
            self.stops,
            self.repairs
        )?;
        writeln!(
            f,
            "  {:.1} million calls in {} rounds on {} maps, {} undecided; {} cut short, {} refused, \
             {} walks, {} clears, {} merges",
            self.calls as f64 / 1e6,
            self.rounds,
            self.legs,
            self.undecided,
            self.cut_short,
            self.refused,
            self.scans,
            self.clears,
            self.merges
        )?;
        write!(
            f,
            "  longest stall after a death {:.1} ms ({:.1} ms with stops and scheduling); at most \
             {:.1} MiB committed, {:.1} MiB of keys and values",
            ms(self.stall),
            ms(self.stall_gross),
            mib(self.committed_bytes),
            mib(self.payload_bytes)
        )
    }
}
