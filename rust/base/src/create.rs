//! Creates the file of a map: made without a name, completed, then linked into its place, so that
//! nobody ever sees half a map. A process that dies on the way leaves nothing behind or, where the
//! file system has no files without a name, one called `.shf-*.tmp`.

use crate::appearance::Appearance;
use crate::attach::{Opened, check_file_system, ensure_front};
use crate::cancellation::Uncancellable;
use crate::clock;
use crate::counts::Usage;
use crate::crash;
use crate::default_age::{self, AGE_MS_MAX, AGES_MS};
use crate::error::OpenError;
use crate::file_system;
use crate::format::{FileHeader, Identity};
use crate::geometry::{
    APPARENT_BYTES_DEFAULT, BadGeometry, EVICTING_FRACTION, Geometry, PAGE_BYTES, SHARDS_DEFAULT,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};
use crate::limits;
use crate::map_file::MapFile;
use crate::mapping;
use crate::place::Place;
use crate::region::Region;
use crate::slot::Presence;
use crate::storage::Storage;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatFs};
use rustix::fs::{Gid, access, fchmod, fchown, ftruncate, linkat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
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
/// All permission bits that a map can have.
const MODE_MAX: u32 = 0o777;
/// Names tried for a file that has to have one from the start.
const TEMPORARY_NAMES: u32 = 16;

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
    /// systems that survive it themselves.
    pub durable: Option<bool>,
    /// Evict keys when the map is full.
    pub evict: bool,
    /// How others see this process.
    pub appearance: Appearance,
}

/// Creates the map `name` in `folder`, which must exist, and opens it for writing.
/// `AlreadyExists` when somebody else was faster.
pub fn create(folder: &Path, name: &str, options: &CreateOptions) -> Result<Opened, OpenError> {
    let _uncancellable = Uncancellable::new();
    options.check()?;
    let place = Place::new(folder, name)?;
    let file_system = check_file_system(&place, &place.folder, options.allow_any_file_system)?;
    if statat(&place.folder, &place.file_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(OpenError::AlreadyExists { path: place.path });
    }
    let max_bytes = match options.max_bytes {
        Some(bytes) => bytes,
        None => {
            let bytes = default_max_bytes(&file_system, options.shards.unwrap_or(SHARDS_DEFAULT));
            // What is lent from one shard to another must not be the last that the file system has.
            if options.evict { bytes - bytes / SPARED_FRACTION } else { bytes }
        }
    };
    let shards = options.shards.unwrap_or_else(|| default_shards(max_bytes));
    let draft = Draft::new(&place).map_err(|errno| place.error("open", errno))?;
    let record_bytes = options.record_bytes(max_bytes);
    let (geometry, region) = map_whole(&place, &draft.file, shards, max_bytes, record_bytes)?;
    let file = draft.map_file().map_err(|error| place.error("fcntl(F_DUPFD)", error))?;
    let (file, region) = (Arc::new(file), Arc::new(region));
    let storage = Storage::new(region.clone(), &geometry, Some(file.clone()));
    ensure_front(&place, &storage, &geometry)?;

    let secret = options.secret.map_or_else(random, Ok);
    let secret = secret.map_err(|errno| place.error("getrandom", errno))?;
    let identity =
        file_system::identity(&draft.file).map_err(|error| place.error("fstat", error))?;
    let durable = options.is_durable(&file_system, &identity)?;
    let (created_ns, evicting) = (clock::wall_ns(), options.evict);
    let header = FileHeader { geometry, max_bytes, secret, created_ns, durable, evicting };
    header.store(&region);
    default_age::store(&region, options.age_ms);
    identity.store(&region);
    let (usage, appearance) = (Usage::new(), &options.appearance);
    let counts = usage.tally();
    let presence = Presence::take(&region, &file, header, identity, appearance, counts)?;
    // Only now: taking the slot opens the file again, which the final mode may not allow.
    let mode = Mode::from_raw_mode(options.mode);
    if let Some(group) = options.group {
        change_group(&place, &draft.file, group)?;
    }
    crash::step();
    fchmod(&draft.file, mode).map_err(|errno| place.error("fchmod", errno))?;
    if durable {
        // Who finds the name after a crash of the machine shall find a map.
        storage.flush(0, geometry.front_bytes()).map_err(|error| place.op_error(error))?;
    }
    draft.link(&place).map_err(|errno| place.error("link", errno))?;
    if durable {
        place.flush_folder()?;
    }
    file.moved(&place.path);
    Ok(Opened { storage, header, presence: Some(presence), usage })
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
        if self.evict && self.durable == Some(true) {
            return Err(OpenError::InvalidOption {
                option: "evict",
                expected: "false in a durable map, which gives no memory back before a sync".into(),
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

    /// Bytes of a record that one shard must be able to hold, whatever its share.
    fn record_bytes(&self, max_bytes: u64) -> u64 {
        if self.evict { max_bytes / EVICTING_FRACTION } else { 0 }
    }

    /// Whether the map will be durable. Who attaches after a crash of the machine must notice it.
    fn is_durable(&self, found: &StatFs, identity: &Identity) -> Result<bool, OpenError> {
        match (self.durable, identity.tells_boots()) {
            _ if self.evict => Ok(false),
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
    place: &Place,
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
                Err(error) => return Err(place.error("mmap", error)),
            },
            Err(Errno::FBIG) => OpenError::NoSpace { path: place.path.clone(), needed_bytes: len },
            Err(errno) => return Err(place.error("ftruncate", errno)),
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

fn random() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A file that is being made. Where the file system has none without a name, or `/proc` is
/// missing, through which one gets its name, it has a random one, removed again at the end.
struct Draft<'p> {
    place: &'p Place,
    file: File,
    temporary: Option<String>,
}

impl<'p> Draft<'p> {
    fn new(place: &'p Place) -> Result<Draft<'p>, Errno> {
        // The owner can open it again whatever the umask says.
        let mode = Mode::RUSR | Mode::WUSR;
        let (file, temporary) = match open_unnamed(place, mode) {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                let (file, name) = open_named(place, mode)?;
                (file, Some(name))
            }
            Err(errno) => return Err(errno),
        };
        let draft = Draft { place, file: File::from(file), temporary };
        crash::step();
        fchmod(&draft.file, mode)?;
        Ok(draft)
    }

    /// The file for use by the map; until it is linked it can be opened by its temporary name.
    fn map_file(&self) -> io::Result<MapFile> {
        let name = self.temporary.as_deref().unwrap_or(&self.place.file_name);
        MapFile::new(self.file.try_clone()?, &self.place.path.with_file_name(name))
    }

    /// Gives the finished file its name, unless that is taken.
    fn link(&self, place: &Place) -> Result<(), Errno> {
        let (folder, name) = (&place.folder, &place.file_name);
        crash::step();
        match &self.temporary {
            Some(temporary) => linkat(folder, temporary, folder, name, AtFlags::empty()),
            None => linkat(CWD, magic_link(&self.file), folder, name, AtFlags::SYMLINK_FOLLOW),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            crash::step();
            let _ = unlinkat(&self.place.folder, name, AtFlags::empty());
        }
    }
}

fn magic_link(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn open_unnamed(place: &Place, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    crash::step();
    let file = openat(&place.folder, ".", flags, mode)?;
    access(magic_link(&file), rustix::fs::Access::EXISTS)?;
    Ok(file)
}

fn open_named(place: &Place, mode: Mode) -> Result<(OwnedFd, String), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    for _ in 0..TEMPORARY_NAMES {
        let name = format!(".shf-{:016x}.tmp", random()?);
        crash::step();
        match openat(&place.folder, &name, flags, mode) {
            Err(Errno::EXIST) => continue,
            file => return Ok((file?, name)),
        }
    }
    Err(Errno::EXIST)
}
