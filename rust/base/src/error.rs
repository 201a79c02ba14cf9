//! The errors of opening a map and of using one, and the stable codes that cross the C++ border.

use std::fmt;
use std::path::PathBuf;

/// A stable number for each kind of outcome; never renumbered, only added to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The key is not in the map. Not an error.
    Absent = 1,
    /// An argument is outside what the call takes.
    InvalidArgument = 2,
    /// The map's name is not a plain file name.
    InvalidName = 3,
    /// There is no such map or folder.
    NotFound = 4,
    /// The map exists already.
    AlreadyExists = 5,
    /// The operating system denies the access.
    PermissionDenied = 6,
    /// The file system is not one that maps are safe on.
    UnsupportedFileSystem = 7,
    /// File system, memory limit or the map's maximum is used up.
    NoSpace = 8,
    /// The file is not a map, or a map of another version, layout, byte order or length; or it was
    /// cut short while it was open.
    Incompatible = 9,
    /// The map's contents contradict themselves.
    Corrupt = 10,
    /// Running writers or a stopped one kept the operation from finishing within its bound.
    Busy = 11,
    /// The value has another type than the operation needs.
    WrongType = 12,
    /// The map is open for reading only.
    ReadOnly = 13,
    /// Key and value are longer than the map can hold.
    TooLarge = 14,
    /// The caller's buffer is too small. It is as it was, unless a writer changed the key during
    /// the call: then it may hold a part of what the key had before.
    BufferTooSmall = 15,
    /// The process is out of private memory.
    OutOfMemory = 16,
    /// All process slots of the map are taken.
    TooManyProcesses = 17,
    /// Too many keys share all bits of their hash.
    HashCollisions = 18,
    /// The operating system failed in a way that has no code of its own.
    System = 19,
    /// The handle is not attached to a map.
    NotAttached = 20,
    /// The library itself failed; please report it.
    Internal = 21,
    /// A number would leave the range of its type.
    Overflow = 22,
    /// The map was not created as a durable one.
    NotDurable = 23,
    /// The map has to be opened for writing once, after a crash of the machine or as a copy.
    NeedsRecovery = 24,
    /// The condition of a change did not hold, and nothing has changed. Not an error.
    ConditionNotMet = 25,
    /// Another process leads the others already.
    AlreadyLed = 26,
    /// Key or value have not got the length that the map has fixed.
    WrongLength = 27,
}

/// Why a map could not be created or opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// `name` is not a plain file name; `reason` says what is wrong with it.
    InvalidName {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A creation option is outside its range.
    InvalidOption {
        /// Its name in the options.
        option: &'static str,
        /// The range.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// No such file or folder.
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// The map exists already and creation was asked for.
    AlreadyExists {
        /// The map's file.
        path: PathBuf,
    },
    /// The operating system denies `wanted` access.
    PermissionDenied {
        /// The map's file or its folder.
        path: PathBuf,
        /// `read` or `write`.
        wanted: &'static str,
    },
    /// The operating system does not let this process give the map's file to a group.
    GroupDenied {
        /// The map's file.
        path: PathBuf,
        /// The group that was asked for.
        group: u32,
    },
    /// The folder lies on a file system that maps are not safe on.
    UnsupportedFileSystem {
        /// The map's file.
        path: PathBuf,
        /// The file system's type, as `statfs` says it.
        f_type: u64,
    },
    /// The first bytes of the map could not be made real.
    NoSpace {
        /// The map's file.
        path: PathBuf,
        /// Bytes that could not be had.
        needed_bytes: u64,
    },
    /// A field of the file does not say what this library expects.
    Incompatible {
        /// The file.
        path: PathBuf,
        /// Which fact about the file is wrong, such as `version`.
        field: &'static str,
        /// What this library reads.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The address space has no room for the mapping.
    AddressSpace {
        /// Bytes of the smallest mapping that was tried.
        needed_bytes: u64,
    },
    /// All process slots are taken.
    TooManyProcesses {
        /// How many there are.
        slots: u32,
    },
    /// A durable map was last used before the machine's last start, or is a copy: whoever opens it
    /// for writing recovers it. Opening it for reading only cannot.
    NeedsRecovery {
        /// The map's file.
        path: PathBuf,
    },
    /// The map is frozen, and nobody can write to it any more: open it for reading.
    Frozen {
        /// The map's file.
        path: PathBuf,
    },
    /// The map is just being frozen: soon it is, and can be opened for reading, or it is not and
    /// can be opened again.
    BeingFrozen {
        /// The map's file.
        path: PathBuf,
    },
    /// The map is not frozen, which is needed here.
    NotFrozen {
        /// The map's file.
        path: PathBuf,
    },
    /// Others have the map open, who would not see what becomes of it.
    InUse {
        /// The map's file.
        path: PathBuf,
    },
    /// A file without a name can be opened again through `/proc` only, which is not mounted.
    ProcMissing {
        /// The file, as the kernel or its descriptor names it.
        path: PathBuf,
    },
    /// Something that opening has to do in the map failed, such as recovering it.
    Failed {
        /// The map's file.
        path: PathBuf,
        /// How.
        error: OpError,
    },
    /// Any other failure of a system call.
    System {
        /// The map's file or its folder.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// Its error number.
        errno: i32,
    },
}

/// Why an operation on an open map failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpError {
    /// Key and value need more bytes than one shard can hold; `option` names what to raise.
    TooLarge {
        /// Bytes of key and value, or of the record that would hold them.
        needed_bytes: u64,
        /// Bytes that fit.
        limit_bytes: u64,
        /// The option that raises the limit, or why none does.
        option: &'static str,
    },
    /// File system, memory limit or the map's maximum is used up.
    NoSpace {
        /// Bytes that the shard would have needed in all, on the side that wanted to grow.
        needed_bytes: u64,
        /// The map's maximum of real bytes.
        max_bytes: u64,
    },
    /// The bound on waiting or on retries was reached.
    Busy,
    /// The stored value has another type.
    WrongType {
        /// The type that the operation works on.
        expected: &'static str,
        /// The type of the value.
        found: &'static str,
    },
    /// A key or a value has another length than the map has fixed for all of them.
    WrongLength {
        /// `key` or `value`.
        of: &'static str,
        /// The length that the map has fixed, in bytes.
        expected_bytes: u64,
        /// That of the key or value, in bytes.
        found_bytes: u64,
    },
    /// A key was to get an age, in a map with fixed lengths, which has no room for one.
    NoAges,
    /// A number would leave the range of a signed 64-bit integer.
    Overflow {
        /// The number in the map, which stays.
        value: i128,
        /// What was to be added.
        delta: i64,
    },
    /// What was to be text is no UTF-8.
    NotText {
        /// Bytes at its beginning that are.
        valid_bytes: u64,
    },
    /// An age is outside its range.
    InvalidAge {
        /// In milliseconds.
        found_ms: u64,
        /// The longest, in milliseconds; 1 is the shortest.
        max_ms: u64,
    },
    /// The handle may not write.
    ReadOnly,
    /// The map was not created as a durable one, so it cannot be made to survive a crash of the
    /// machine.
    NotDurable,
    /// The shard contradicts itself at `offset` bytes into the file.
    Corrupt {
        /// The shard.
        shard: u32,
        /// Bytes into the file.
        offset: u64,
        /// What does not hold there.
        what: &'static str,
    },
    /// Too many keys share all bits of their hash.
    HashCollisions {
        /// The shard.
        shard: u32,
    },
    /// Private memory is used up.
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// The caller's buffer is too small for the value. It is as it was, unless a writer changed the
    /// key during the call: then it may hold a part of what the key had before.
    BufferTooSmall {
        /// Bytes of the value.
        needed_bytes: u64,
        /// Bytes of the buffer.
        found_bytes: u64,
    },
    /// All process slots are taken.
    TooManyProcesses {
        /// How many there are.
        slots: u32,
    },
    /// Another process, or another handle of this one, leads, and lives.
    AlreadyLed,
    /// Somebody cut the map's file short while it is mapped; nothing grew.
    Truncated {
        /// Bytes of the file as it was when it was mapped.
        expected_bytes: u64,
        /// Bytes that it has now.
        found_bytes: u64,
    },
    /// A system call failed.
    System {
        /// The system call.
        call: &'static str,
        /// Its error number.
        errno: i32,
    },
}

impl OpenError {
    /// The stable code of this error.
    pub fn status(&self) -> Status {
        match self {
            OpenError::InvalidName { .. } => Status::InvalidName,
            OpenError::InvalidOption { .. } => Status::InvalidArgument,
            OpenError::NotFound { .. } => Status::NotFound,
            OpenError::AlreadyExists { .. } => Status::AlreadyExists,
            OpenError::PermissionDenied { .. } | OpenError::GroupDenied { .. } => {
                Status::PermissionDenied
            }
            OpenError::UnsupportedFileSystem { .. } => Status::UnsupportedFileSystem,
            OpenError::NoSpace { .. } => Status::NoSpace,
            OpenError::Incompatible { .. } => Status::Incompatible,
            OpenError::AddressSpace { .. } => Status::OutOfMemory,
            OpenError::TooManyProcesses { .. } => Status::TooManyProcesses,
            OpenError::NeedsRecovery { .. } => Status::NeedsRecovery,
            OpenError::Frozen { .. } => Status::ReadOnly,
            OpenError::NotFrozen { .. } => Status::Incompatible,
            OpenError::InUse { .. } | OpenError::BeingFrozen { .. } => Status::Busy,
            OpenError::Failed { error, .. } => error.status(),
            OpenError::ProcMissing { .. } | OpenError::System { .. } => Status::System,
        }
    }
}

impl OpError {
    /// The stable code of this error.
    pub fn status(&self) -> Status {
        match self {
            OpError::TooLarge { .. } => Status::TooLarge,
            OpError::NoSpace { .. } => Status::NoSpace,
            OpError::Busy => Status::Busy,
            OpError::WrongType { .. } => Status::WrongType,
            OpError::Overflow { .. } => Status::Overflow,
            OpError::WrongLength { .. } => Status::WrongLength,
            OpError::NotText { .. } | OpError::InvalidAge { .. } | OpError::NoAges => {
                Status::InvalidArgument
            }
            OpError::ReadOnly => Status::ReadOnly,
            OpError::NotDurable => Status::NotDurable,
            OpError::Corrupt { .. } => Status::Corrupt,
            OpError::HashCollisions { .. } => Status::HashCollisions,
            OpError::OutOfMemory { .. } => Status::OutOfMemory,
            OpError::BufferTooSmall { .. } => Status::BufferTooSmall,
            OpError::TooManyProcesses { .. } => Status::TooManyProcesses,
            OpError::AlreadyLed => Status::AlreadyLed,
            OpError::Truncated { .. } => Status::Incompatible,
            OpError::System { .. } => Status::System,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InvalidName { name, reason } => {
                write!(f, "invalid map name {name:?}: {reason}")
            }
            OpenError::InvalidOption { option, expected, found } => {
                write!(f, "option {option}: expected {expected}, found {found}")
            }
            OpenError::NotFound { path } => write!(f, "{}: no such map or folder", path.display()),
            OpenError::AlreadyExists { path } => {
                write!(f, "{}: the map exists already", path.display())
            }
            OpenError::PermissionDenied { path, wanted } => {
                write!(f, "{}: permission denied, {wanted} access is needed", path.display())
            }
            OpenError::GroupDenied { path, group } => write!(
                f,
                "{}: option group: this process may not give the file to group {group}, which it \
                 is no member of",
                path.display()
            ),
            OpenError::UnsupportedFileSystem { path, f_type } => write!(
                f,
                "{}: expected tmpfs, ext4 or xfs, found file system type {f_type:#x} \
                 (option allow_any_file_system overrides)",
                path.display()
            ),
            OpenError::NoSpace { path, needed_bytes } => {
                write!(
                    f,
                    "{}: no space for the first {needed_bytes} bytes: the file system or a limit \
                     on memory or file lengths is used up",
                    path.display()
                )
            }
            OpenError::Incompatible { path, field, expected, found } => {
                write!(f, "{}: {field}: expected {expected}, found {found}", path.display())
            }
            OpenError::AddressSpace { needed_bytes } => {
                write!(f, "no room in the address space for a mapping of {needed_bytes} bytes")
            }
            OpenError::TooManyProcesses { slots } => {
                write!(f, "all {slots} process slots of the map are taken")
            }
            OpenError::NeedsRecovery { path } => write!(
                f,
                "{}: the map was last used before the machine's last start, or is a copy: open it \
                 for writing once, which recovers it",
                path.display()
            ),
            OpenError::Frozen { path } => write!(
                f,
                "{}: the map is frozen: expected to be opened for reading, found for writing",
                path.display()
            ),
            OpenError::BeingFrozen { path } => {
                write!(f, "{}: expected a map that changes, found one being frozen", path.display())
            }
            OpenError::NotFrozen { path } => {
                write!(f, "{}: expected a frozen map, found one that can change", path.display())
            }
            OpenError::InUse { path } => {
                write!(f, "{}: expected no other handle that may write, found some", path.display())
            }
            OpenError::ProcMissing { path } => write!(
                f,
                "{}: expected /proc, through which a map without a name is opened again, found none",
                path.display()
            ),
            OpenError::Failed { path, error } => write!(f, "{}: {error}", path.display()),
            OpenError::System { path, call, errno } => {
                write!(f, "{}: {call}: {}", path.display(), system_text(*errno))
            }
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpError::TooLarge { needed_bytes, limit_bytes, option } => write!(
                f,
                "key and value need {needed_bytes} bytes, at most {limit_bytes} fit \
                 (option {option})"
            ),
            OpError::NoSpace { needed_bytes, max_bytes } => write!(
                f,
                "no space for {needed_bytes} more bytes: the file system, a limit on memory or file \
                 lengths, or the map's maximum of {max_bytes} bytes is used up"
            ),
            OpError::Busy => {
                write!(
                    f,
                    "busy: another writer, running or stopped, kept the operation from \
                           finishing in time"
                )
            }
            OpError::WrongType { expected, found } => {
                write!(f, "wrong type: expected {expected}, found {found}")
            }
            OpError::WrongLength { of, expected_bytes, found_bytes } => write!(
                f,
                "length of the {of}: expected {expected_bytes} bytes, found {found_bytes} \
                 (the map was created with fixed lengths)"
            ),
            OpError::NoAges => write!(
                f,
                "an age: expected none, because the map was created with fixed lengths, found one"
            ),
            OpError::Overflow { value, delta } => {
                write!(
                    f,
                    "adding {delta} to {value} leaves the range of the value's 64-bit integer"
                )
            }
            OpError::InvalidAge { found_ms, max_ms } => {
                write!(f, "an age of {found_ms} ms, but it has to be from 1 to {max_ms} ms")
            }
            OpError::NotText { valid_bytes } => {
                write!(f, "text: expected UTF-8, found other bytes after {valid_bytes}")
            }
            OpError::ReadOnly => write!(f, "the map is open for reading only"),
            OpError::NotDurable => {
                write!(f, "the map was created without the option durable")
            }
            OpError::Corrupt { shard, offset, what } => {
                write!(f, "corrupt map: shard {shard}, offset {offset}: {what}")
            }
            OpError::HashCollisions { shard } => {
                write!(f, "shard {shard}: too many keys share all bits of their hash")
            }
            OpError::OutOfMemory { bytes } => {
                write!(f, "out of memory: {bytes} bytes of private memory are needed")
            }
            OpError::BufferTooSmall { needed_bytes, found_bytes } => {
                write!(f, "buffer too small: expected {needed_bytes} bytes, found {found_bytes}")
            }
            OpError::TooManyProcesses { slots } => {
                write!(f, "all {slots} process slots of the map are taken")
            }
            OpError::AlreadyLed => {
                write!(f, "another process leads already, or another handle of this one")
            }
            OpError::Truncated { expected_bytes, found_bytes } => write!(
                f,
                "the map's file was cut short while it was open: expected {expected_bytes} bytes, \
                 found {found_bytes}"
            ),
            OpError::System { call, errno } => write!(f, "{call}: {}", system_text(*errno)),
        }
    }
}

impl std::error::Error for OpenError {}
impl std::error::Error for OpError {}

fn system_text(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

#[cfg(test)]
mod tests;
