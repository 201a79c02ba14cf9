//! Creates the file of a map: made without a name, completed, then linked into its place, so that
//! nobody ever sees half a map. A process that dies on the way leaves nothing behind or, where the
//! file system has no files without a name, one called `.shf-*.tmp`.
//!
//! The file of an anonymous map lies in memory and never gets a name. It is sealed in its length,
//! so that nobody who is given a descriptor can cut it short under the others.

use crate::appearance::Appearance;
use crate::attach::{Opened, check_proc, ensure_front};
use crate::cancellation::Uncancellable;
use crate::clock;
use crate::counts::Usage;
use crate::crash;
use crate::default_age::{self, AGE_MS_MAX, AGES_MS};
use crate::draft::{Draft, open_in_memory, random, seal};
use crate::error::{OpError, OpenError};
use crate::examine::check_file_system;
use crate::file_system;
use crate::fixed_lengths::FixedLengths;
use crate::format::{FileHeader, Identity};
use crate::geometry::{
    APPARENT_BYTES_DEFAULT, BadGeometry, EVICTING_FRACTION, Geometry, PAGE_BYTES, SHARDS_DEFAULT,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};
use crate::limits;
use crate::map_file::{Access, MapFile, magic_link};
use crate::mapping;
use crate::place::{self, Place};
use crate::region::Region;
use crate::reservation::Reservation;
use crate::slot::Presence;
use crate::storage::Storage;
use crate::temporary::{self, Temporary};
use rustix::fs::{Gid, Mode, StatFs, fchmod, fchown, fstatfs, ftruncate};
use rustix::io::Errno;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

/// Smallest maximum of real bytes.
const MAX_BYTES_MIN: u64 = 64 << 10;
/// Real bytes beyond the front that a map needs to hold a first key.
const FIRST_KEY_BYTES: u64 = 48 << 10;
/// A shard that nobody asked for should get at least this much of the maximum.
const SHARD_BYTES_MIN: u64 = 1 << 20;
/// What a shard keeps of its memory whoever needs it: descriptors, a table, and the run that it
/// writes to.
const SHARD_BYTES_KEPT: u64 = 4 * PAGE_BYTES;
/// In a map that evicts, at most one of so many bytes is kept like that.
const KEPT_FRACTION: u64 = 4;
/// A map that evicts leaves this part of what it could have by default.
const SPARED_FRACTION: u64 = 4;
/// How often a file is given its name, where others give it to temporary maps, and die.
const ATTEMPTS: u32 = 100;
/// Permission bits of a map whose creator does not say.
pub const MODE_DEFAULT: u32 = 0o600;
/// All permission bits that a map can have.
const MODE_MAX: u32 = 0o777;

/// What the creator of a map decides.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Shards: a power of two from 1 to 4096. Default: 256, fewer where each would get less than
    /// 1 MiB of the maximum.
    pub shards: Option<u32>,
    /// The most real memory that the map may take, in bytes, from 64 KiB to 4 GiB a shard.
    /// Default: the least of what file system, machine and control groups leave.
    pub max_bytes: Option<u64>,
    /// Permission bits of the file, 0 to 0o777, taken as they are: the umask does not apply.
    pub mode: u32,
    /// Group of the file, by its number. Default: the one that the system chooses for new files.
    pub group: Option<u32>,
    /// Create the map on a file system that is not known to be safe.
    pub allow_any_file_system: bool,
    /// Secret of the hash function. Default: random.
    pub secret: Option<u64>,
    /// The default age of keys, in milliseconds, which may change later. Default: none.
    pub age_ms: Option<u64>,
    /// Seal records, so that they can be made to survive a crash of the machine. Default: on file
    /// systems that survive it themselves, where no other option is against it.
    pub durable: Option<bool>,
    /// Evict keys when the map is full.
    pub evict: bool,
    /// Take the file's name away when the creator closes the map, or ends in any way.
    pub temporary: bool,
    /// The lengths of all keys and values. Default: any.
    pub fixed: Option<FixedLengths>,
    /// Real memory that the map has from the beginning. Default: what an empty map needs.
    pub initial: Option<Initial>,
    /// How others see this process.
    pub appearance: Appearance,
}

/// A map that is made and has no name yet.
struct Made {
    opened: Opened,
    file: Arc<MapFile>,
    front_bytes: u64,
}

/// Real memory that a new map has before anybody sees it.
#[derive(Clone, Copy, Debug)]
pub struct Initial {
    /// How much, headers included; at most the maximum.
    pub bytes: u64,
    /// Keys that are expected, where that is known: how much of it the index gets.
    pub keys: Option<u64>,
    /// Makes it real.
    pub reserve: fn(&Storage, &FileHeader) -> Result<(), OpError>,
}

/// Creates the map `name` in `folder`, which must exist, and opens it for writing.
/// `AlreadyExists` when somebody else was faster.
pub fn create(folder: &Path, name: &str, options: &CreateOptions) -> Result<Opened, OpenError> {
    create_with(folder, name, options, Ok)
}

/// As `create`; `fill` gets the map before it has its name.
pub fn create_with<M>(
    folder: &Path,
    name: &str,
    options: &CreateOptions,
    fill: impl FnOnce(Opened) -> Result<M, OpenError>,
) -> Result<M, OpenError> {
    let _uncancellable = Uncancellable::new();
    options.check()?;
    let place = Place::new(folder, name)?;
    let allow_any = options.allow_any_file_system;
    let file_system = check_file_system(&place.path, &place.folder, allow_any)?;
    temporary::make_way(&place)?;
    let draft = Draft::new(&place).map_err(|errno| place.error("open", errno))?;
    let file = || draft.map_file().map_err(|error| place.error("fcntl(F_DUPFD)", error));
    let mut made = make(&place.path, &draft.file, file, &file_system, options)?;
    if options.temporary {
        made.opened.temporary = Some(Temporary::of_creator(&made.file)?);
    }
    // Only now: taking the slot opens the file again, which the final mode may not allow.
    let mode = Mode::from_raw_mode(options.mode);
    if let Some(group) = options.group {
        change_group(&place, &draft.file, group)?;
    }
    crash::step();
    fchmod(&draft.file, mode).map_err(|errno| place.error("fchmod", errno))?;
    let durable = made.opened.header.durable;
    if durable {
        // Who finds the name after a crash of the machine shall find a map.
        let flushed = made.opened.storage.flush(0, made.front_bytes);
        flushed.map_err(|error| place::op_error(&place.path, error))?;
    }
    let map = fill(made.opened)?;
    link(&draft, &place)?;
    made.file.moved(&place.path);
    if durable {
        place.flush_folder()?;
    }
    Ok(map)
}

/// Gives a file that is made its name. A temporary map may have come and gone under it meanwhile.
fn link(draft: &Draft<'_>, place: &Place) -> Result<(), OpenError> {
    for _ in 0..ATTEMPTS {
        match draft.link() {
            Err(Errno::EXIST) => temporary::make_way(place)?,
            done => return done.map_err(|errno| place.error("link", errno)),
        }
    }
    Err(OpenError::AlreadyExists { path: place.path.clone() })
}

/// Creates a map whose file has no name and goes with the last process that has it, and opens it
/// for writing. Others get it by inheritance or by a descriptor.
pub fn create_anonymous(options: &CreateOptions) -> Result<Opened, OpenError> {
    let _uncancellable = Uncancellable::new();
    options.check()?;
    options.check_anonymous()?;
    let path = Path::new("anonymous map");
    let file = open_in_memory().map_err(|errno| place::error(path, "memfd_create", errno))?;
    let file = File::from(file);
    check_proc(path, &file)?;
    let file_system = fstatfs(&file).map_err(|errno| place::error(path, "fstatfs", errno))?;
    let map_file = || {
        let found = fs::read_link(magic_link(&file)).and_then(|path| {
            // Nothing lies there; but this is what the kernel calls it.
            MapFile::new(file.try_clone()?, &path, Access::ReadWrite)
        });
        found.map_err(|error| place::error(path, "fcntl(F_DUPFD)", error))
    };
    let made = make(path, &file, map_file, &file_system, options)?;
    seal(&file).map_err(|errno| place::error(path, "fcntl(F_ADD_SEALS)", errno))?;
    Ok(made.opened)
}

/// Makes a map of an empty file, with this process attached.
fn make(
    path: &Path,
    file: &File,
    map_file: impl FnOnce() -> Result<MapFile, OpenError>,
    file_system: &StatFs,
    options: &CreateOptions,
) -> Result<Made, OpenError> {
    let max_bytes = options.max_bytes_on(file_system);
    let initial = options.initial.filter(|initial| initial.bytes > 0);
    let no_initial_space = |needed_bytes| OpenError::NoSpace { path: path.into(), needed_bytes };
    // A maximum that nobody asked for is what there is.
    if let Some(initial) = initial.filter(|initial| initial.bytes > max_bytes) {
        return Err(no_initial_space(initial.bytes));
    }
    let shards = options.shards.unwrap_or_else(|| default_shards(max_bytes));
    let record_bytes = options.record_bytes(max_bytes);
    let (geometry, region) = map_whole(path, file, shards, max_bytes, record_bytes)?;
    let (map_file, region) = (Arc::new(map_file()?), Arc::new(region));
    let storage = Storage::new(region.clone(), &geometry, Some(map_file.clone()));
    ensure_front(path, &storage, &geometry)?;

    let secret = options.secret.map_or_else(random, Ok);
    let secret = secret.map_err(|errno| place::error(path, "getrandom", errno))?;
    let identity =
        file_system::identity(file).map_err(|error| place::error(path, "fstat", error))?;
    let header = FileHeader {
        durable: options.is_durable(file_system, &identity)?,
        evicting: options.evict,
        temporary: options.temporary,
        fixed: options.fixed,
        reservation: initial.map_or(Reservation::default(), |initial| {
            Reservation::divide(&geometry, initial.bytes, max_bytes, initial.keys)
        }),
        ..FileHeader::plain(geometry, max_bytes, secret, clock::wall_ns())
    };
    header.store(&region);
    if let Some(initial) = initial {
        (initial.reserve)(&storage, &header).map_err(|error| match error {
            OpError::NoSpace { .. } => no_initial_space(initial.bytes),
            error => place::op_error(path, error),
        })?;
    }
    default_age::store(&region, options.age_ms);
    identity.store(&region);
    let usage = Usage::new();
    let (appearance, tally) = (&options.appearance, usage.tally());
    let presence = Presence::take(&region, &map_file, header, identity, appearance, tally)?;
    let presence = Some(presence);
    let front_bytes = geometry.front_bytes();
    let opened = Opened { storage, header, presence, usage, temporary: None, created: true };
    Ok(Made { opened, file: map_file, front_bytes })
}

impl CreateOptions {
    fn check(&self) -> Result<(), OpenError> {
        self.appearance.check(true)?;
        let shards = self.shards.unwrap_or(1);
        let smallest = Geometry::new(shards, WINDOW_BYTES_MIN).map_err(invalid)?;
        if let Some(max_bytes) = self.max_bytes {
            let mut least = MAX_BYTES_MIN.max(smallest.front_real_bytes() + FIRST_KEY_BYTES);
            if self.evict {
                let kept = smallest.front_real_bytes() + u64::from(shards) * SHARD_BYTES_KEPT;
                least = least.max(KEPT_FRACTION * kept);
            }
            if max_bytes < least {
                return Err(OpenError::InvalidOption {
                    option: "max_bytes",
                    expected: format!("at least {least} with {shards} shards"),
                    found: max_bytes.to_string(),
                });
            }
            let shards = self.shards.unwrap_or_else(|| default_shards(max_bytes));
            let record_bytes = self.record_bytes(max_bytes);
            Geometry::choose(shards, max_bytes, APPARENT_BYTES_DEFAULT, record_bytes)
                .map_err(invalid)?;
        }
        if let (Some(initial), Some(max_bytes)) = (self.initial, self.max_bytes)
            && initial.bytes > max_bytes
        {
            return Err(OpenError::InvalidOption {
                option: "initial_bytes",
                expected: format!("at most max_bytes, {max_bytes}"),
                found: initial.bytes.to_string(),
            });
        }
        if self.evict && self.durable == Some(true) {
            return Err(OpenError::InvalidOption {
                option: "evict",
                expected: "false in a durable map, which gives no memory back before a sync".into(),
                found: "true".into(),
            });
        }
        if self.temporary && self.durable == Some(true) {
            return Err(OpenError::InvalidOption {
                option: "temporary",
                expected: "false in a durable map, which outlives its creator".into(),
                found: "true".into(),
            });
        }
        if self.mode > MODE_MAX {
            return Err(OpenError::InvalidOption {
                option: "mode",
                expected: format!("at most {MODE_MAX:#o}"),
                found: format!("{:#o}", self.mode),
            });
        }
        if let Some(age_ms) = self.age_ms.filter(|age_ms| !AGES_MS.contains(age_ms)) {
            return Err(OpenError::InvalidOption {
                option: "default_age",
                expected: format!("from 1 to {AGE_MS_MAX} ms"),
                found: format!("{age_ms} ms"),
            });
        }
        if let Some(fixed) = self.fixed {
            self.check_fixed(fixed)?;
        }
        // To the kernel this number means that the group stays.
        if self.group == Some(u32::MAX) {
            return Err(OpenError::InvalidOption {
                option: "group",
                expected: format!("at most {}", u32::MAX - 1),
                found: u32::MAX.to_string(),
            });
        }
        Ok(())
    }

    /// Refuses lengths that no map can have, and what does not go with any.
    fn check_fixed(&self, fixed: FixedLengths) -> Result<(), OpenError> {
        let with = |what: &str| format!("no fixed lengths {what}");
        let expected = match self {
            _ if !fixed.are_possible() => {
                format!("from 1 to {} bytes, key and value together", FixedLengths::BYTES_MAX)
            }
            CreateOptions { durable: Some(true), .. } => with("in a durable map"),
            CreateOptions { evict: true, .. } => with("in a map that evicts"),
            CreateOptions { age_ms: Some(_), .. } => with("beside a default age"),
            _ => return Ok(()),
        };
        let found = fixed.to_string();
        Err(OpenError::InvalidOption { option: "fixed", expected, found })
    }

    /// Refuses what is about the name of a file, or about a disk.
    fn check_anonymous(&self) -> Result<(), OpenError> {
        let refused = |option, expected: &str, found: String| {
            let expected = format!("{expected} for an anonymous map");
            Err(OpenError::InvalidOption { option, expected, found })
        };
        match self {
            _ if self.mode != MODE_DEFAULT => {
                let expected = format!("{MODE_DEFAULT:#o}, which is not used,");
                refused("mode", &expected, format!("{:#o}", self.mode))
            }
            CreateOptions { group: Some(group), .. } => refused("group", "none", group.to_string()),
            CreateOptions { durable: Some(true), .. } => {
                refused("durable", "not true", "true".into())
            }
            CreateOptions { temporary: true, .. } => refused("temporary", "false", "true".into()),
            _ => Ok(()),
        }
    }

    /// The maximum of a map on a file system.
    fn max_bytes_on(&self, file_system: &StatFs) -> u64 {
        self.max_bytes.unwrap_or_else(|| {
            let bytes = default_max_bytes(file_system, self.shards.unwrap_or(SHARDS_DEFAULT));
            // What is lent from one shard to another must not be the last that the file system has.
            if self.evict { bytes - bytes / SPARED_FRACTION } else { bytes }
        })
    }

    /// Bytes of a record that one shard must be able to hold, whatever its share.
    fn record_bytes(&self, max_bytes: u64) -> u64 {
        if self.evict { max_bytes / EVICTING_FRACTION } else { 0 }
    }

    /// Whether the map will be durable. Who attaches after a crash of the machine must notice it.
    fn is_durable(&self, found: &StatFs, identity: &Identity) -> Result<bool, OpenError> {
        match (self.durable, identity.tells_boots()) {
            _ if self.evict || self.temporary || self.fixed.is_some() => Ok(false),
            (Some(true), false) => Err(OpenError::InvalidOption {
                option: "durable",
                expected: "true only where /proc tells the boot id".into(),
                found: "true, and no boot id".into(),
            }),
            (choice, tells) => Ok(choice.unwrap_or_else(|| tells && !file_system::is_tmpfs(found))),
        }
    }
}

fn invalid(bad: BadGeometry) -> OpenError {
    OpenError::InvalidOption {
        option: bad.field,
        expected: bad.expected.into(),
        found: bad.found.to_string(),
    }
}

/// The number of shards for a creator who does not say.
fn default_shards(max_bytes: u64) -> u32 {
    let affordable = (max_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_DEFAULT.into());
    1 << affordable.ilog2()
}

/// The least of free file system, available memory and control group limits; a control group kills
/// rather than refuse, so its limit is one of the map.
fn default_max_bytes(found: &StatFs, shards: u32) -> u64 {
    let bytes = file_system::free_bytes(found).min(limits::memory_bytes_available());
    bytes.clamp(MAX_BYTES_MIN, u64::from(shards) * (WINDOW_BYTES_MAX / 2))
}

/// Gives the file its length and maps it; with smaller windows where the file system, a limit on
/// files or the address space does not take the usual ones.
fn map_whole(
    path: &Path,
    file: &File,
    shards: u32,
    max_bytes: u64,
    record_bytes: u64,
) -> Result<(Geometry, Region), OpenError> {
    let mut geometry = Geometry::choose(shards, max_bytes, APPARENT_BYTES_DEFAULT, record_bytes)
        .map_err(invalid)?;
    loop {
        let len = geometry.file_bytes();
        let error = match set_length(file, len) {
            Ok(()) => match mapping::map(file, len, true) {
                Ok(region) => return Ok((geometry, region)),
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    OpenError::AddressSpace { needed_bytes: len }
                }
                Err(error) => return Err(place::error(path, "mmap", error)),
            },
            Err(Errno::FBIG) => OpenError::NoSpace { path: path.into(), needed_bytes: len },
            Err(errno) => return Err(place::error(path, "ftruncate", errno)),
        };
        geometry = geometry.halved(max_bytes, record_bytes).ok_or(error)?;
    }
}

fn set_length(file: &File, len: u64) -> Result<(), Errno> {
    // The kernel answers this with SIGXFSZ.
    if len > limits::file_bytes_max() {
        return Err(Errno::FBIG);
    }
    crash::step();
    ftruncate(file, len)
}

/// Gives the file to a group, before its mode says what that may do and before it has its name.
fn change_group(place: &Place, file: &File, group: u32) -> Result<(), OpenError> {
    crash::step();
    fchown(file, None, Some(Gid::from_raw(group))).map_err(|errno| match errno {
        // The latter for a group that this user namespace does not know.
        Errno::PERM | Errno::INVAL => OpenError::GroupDenied { path: place.path.clone(), group },
        errno => place.error("fchown", errno),
    })
}
