//! What the creator of a map decides.

use shf_base::appearance::Appearance;
use shf_base::error::OpenError;
use shf_base::fixed_lengths::FixedLengths;
use shf_base::geometry::{SHARDS_DEFAULT, SHARDS_MAX};
use shf_base::slot_record::Role;
use std::time::Duration;

/// Options of creation, and of a handle: `allow_any_file_system`, `patience`, `application` and
/// `role`. Opening an existing map takes all others from its file; `fixed`, if it says lengths, has
/// to be what the file says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shards, each with a lock and memory of its own: a power of two from 1 to 4096. Default:
    /// what suits `expected_keys`, else 256, fewer where each would get less than 1 MiB.
    pub shards: Option<u32>,
    /// The most real memory that the map may take, in bytes, at least 64 KiB. Default: the least of
    /// free file system, available memory and the memory limit of the control group.
    pub max_bytes: Option<u64>,
    /// Keys that the map will hold, roughly; chooses the number of shards when `shards` does not:
    /// a small map gets few, so that it stays small, a huge one many. And how much of
    /// `initial_bytes` is for the index. It takes no memory and is no limit.
    pub expected_keys: Option<u64>,
    /// Real memory that the map takes at its creation, in bytes, headers included, at most
    /// `max_bytes`: divided evenly among the shards, in whole pages, rounded up where `max_bytes`
    /// allows. As long as a shard has some of its part left, no put in it has to ask the file
    /// system for more, whatever that has left; and the map does not give it back, but where a map
    /// that evicts lends memory from shard to shard. The index gets what `expected_keys` need,
    /// without that an eighth, which is enough for records of 100 bytes and more. Creating takes
    /// time in proportion. Default: what an empty map needs, less than 2 MiB.
    pub initial_bytes: Option<u64>,
    /// Permission bits of the file, 0 to 0o777, taken as they are (the umask does not apply).
    /// Default: 0o600.
    pub mode: Option<u32>,
    /// Group of the file, by its number: for a map that only the members of a group share, with a
    /// `mode` of 0o660. Without root's powers it must be a group of this process. Default: the one
    /// that the system chooses for new files.
    pub group: Option<u32>,
    /// Create or open the map on a file system that is not known to be safe.
    pub allow_any_file_system: bool,
    /// Seal every record with a checksum, 16 bytes more, so that `Map::sync` can make the map
    /// survive a crash of the machine, and `Map::verify` knows values that a stranger changed.
    /// Default: on file systems that outlive the machine's next start, not on tmpfs.
    pub durable: Option<bool>,
    /// When the map is full, evict the keys that are worth the least, so that there is always room
    /// for others, of up to an eighth of `max_bytes`, key and value together. Not with `durable`,
    /// which keeps what was deleted until the next sync.
    pub evict: bool,
    /// Take the file's name away when the creator's handle is closed, or its process ends in any
    /// way, `kill -9` included: after that there is no map of this name for anybody who looks; who
    /// has it open keeps it. Not with `durable`.
    pub temporary: bool,
    /// The length of all keys and the length of all values, in bytes, from 1 to 2^32 together. Each
    /// record is 8 bytes smaller then where both lengths together, divided by 8, leave 1 to 4 and
    /// are more than 8, up to 256 bytes; beyond that for fewer lengths, and by more. Values are
    /// bytes, without types, lists and ages. Puts of other lengths are `WrongLength`; for all else
    /// a key of another length is one that is not there. Not with `durable`, which is off by
    /// default then, `evict` and `default_age`. Who opens the map need not say it; saying something
    /// else is `Incompatible`.
    pub fixed: Option<FixedLengths>,
    /// How long keys live that nobody gives an age, in milliseconds, of which parts are rounded up:
    /// 1 ms to 2^47 - 1 ms, some 4,400 years. `Map::set_default_age` changes it later, for all
    /// processes. Default: for ever.
    pub default_age: Option<Duration>,
    /// How long a writing operation of this handle waits while a living process, which may be
    /// stopped, holds the lock of a shard; then it answers `Busy` and has changed nothing (`clear`
    /// may have deleted some keys). Zero: it does not wait. Default: as long as that process
    /// lives. A dead owner's lock is taken over whatever this says.
    pub patience: Option<Duration>,
    /// The name that `Map::processes` says of this process: up to 32 bytes, without control
    /// characters. Default: that of the program, as `/proc/self/comm` has it, 15 bytes at most; a
    /// forked child is asked for its own. Handles that only read are not seen, and have none.
    pub application: Option<String>,
    /// The role of this process; `Map::set_role` changes it later. `Leader`: opening the map is
    /// `AlreadyLed` while another one leads. Handles that only read can have none.
    pub role: Role,
    /// Where the hash of every key begins. Default: random, so that nobody can choose keys that
    /// collide. For tests that must be repeatable.
    pub secret: Option<u64>,
}

/// Keys a shard should hold at least before another shard pays.
const KEYS_PER_SHARD_MIN: u64 = 1024;
/// Keys a shard should hold at most before more shards pay.
const KEYS_PER_SHARD_MAX: u64 = 1 << 22;

impl Options {
    /// How others see this process.
    pub(crate) fn appearance(&self) -> Appearance {
        Appearance { application: self.application.clone(), role: self.role }
    }

    /// The number of shards that these options ask for, if they do, or the error that names the
    /// bad one.
    pub fn shard_count(&self) -> Result<Option<u32>, OpenError> {
        let (shards, keys) = (self.shards, self.expected_keys);
        if let Some(shards) = shards {
            if !shards.is_power_of_two() || shards > SHARDS_MAX {
                return Err(OpenError::InvalidOption {
                    option: "shards",
                    expected: "a power of two from 1 to 4096".into(),
                    found: shards.to_string(),
                });
            }
            return Ok(Some(shards));
        }
        let Some(keys) = keys else { return Ok(None) };
        let few = (keys / KEYS_PER_SHARD_MIN).clamp(1, SHARDS_DEFAULT.into());
        let many = (keys / KEYS_PER_SHARD_MAX).clamp(1, SHARDS_MAX.into());
        Ok(Some(few.max(many).next_power_of_two() as u32))
    }
}
