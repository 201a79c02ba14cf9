//! Takes the name of a map's file away, and never that of another file; or gives it to a file that
//! takes the other one's place.
//!
//! A name can come to mean another file at any time: one process removes the map, the next one
//! makes a new map of that name. Who removes what is under a name, whatever it is, does not care.
//! But who means one file, as those do who delete a temporary map, first looks at what the name
//! means, and must not meet a new map when he deletes it a moment later. So each of them does both
//! under a lock on the *name byte* of the file that he means (`byte_lock`), and so do
//! `open::remove` and who puts a frozen map into the file's place: then the name cannot be taken
//! away in between, and what is not taken away is not given to another file.
//!
//! That leaves what does not know of the lock, such as `rm`, or may not take it: `remove` by a
//! process that may not write to the file.

use crate::byte_lock::ByteRange;
use crate::crash;
use crate::error::OpenError;
use crate::file_system::FileId;
use crate::fork::OwnDescriptor;
use crate::place::Place;
use rustix::fs::{AtFlags, OFlags, unlinkat};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for others that delete the same name, each for some microseconds.
const WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_micros(200);

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlinked {
    /// It is deleted.
    Done,
    /// It meant nothing any more, or another file.
    Other,
    /// Somebody else was at it.
    Busy,
}

/// What has the name, through an open file of this process alone, for locks.
pub(crate) fn open_own(place: &Place) -> Result<OwnDescriptor, OpenError> {
    let open = || Ok(place.open(OFlags::RDWR)?);
    OwnDescriptor::open(open).map_err(|error| place.error("open", error))
}

/// Deletes the name if it means the file that `own` is. Waits for nobody.
pub(crate) fn unlink(place: &Place, own: &OwnDescriptor) -> Result<Unlinked, OpenError> {
    let Some(name) = NameLock::try_new(place, own)? else { return Ok(Unlinked::Busy) };
    if !name.means_file()? {
        return Ok(Unlinked::Other);
    }
    match delete(place) {
        Ok(()) => Ok(Unlinked::Done),
        // By somebody who takes no locks.
        Err(OpenError::NotFound { .. }) => Ok(Unlinked::Other),
        Err(error) => Err(error),
    }
}

/// The name byte of a file, locked. Given back when it is dropped.
pub(crate) struct NameLock<'o> {
    place: &'o Place,
    own: &'o OwnDescriptor,
}

impl<'o> NameLock<'o> {
    /// Locks that of the file that `own` is; `None`: somebody else has it.
    fn try_new(place: &'o Place, own: &'o OwnDescriptor) -> Result<Option<Self>, OpenError> {
        let locked = ByteRange::NAME.try_lock(own);
        let locked = locked.map_err(|error| place.error("fcntl(F_OFD_SETLK)", error))?;
        Ok(locked.then_some(NameLock { place, own }))
    }

    /// As that, but waits.
    pub fn new(place: &'o Place, own: &'o OwnDescriptor) -> Result<Self, OpenError> {
        let begun = Instant::now();
        loop {
            match NameLock::try_new(place, own)? {
                Some(locked) => return Ok(locked),
                None if begun.elapsed() > WAIT => return Err(busy(place)),
                None => thread::sleep(PAUSE),
            }
        }
    }

    /// Whether the name means the file. If so, that stays.
    pub fn means_file(&self) -> Result<bool, OpenError> {
        let id = FileId::of(self.own).map_err(|error| self.place.error("fstat", error))?;
        let found = self.place.file_id().map_err(|errno| self.place.error("fstatat", errno))?;
        Ok(found == Some(id))
    }
}

impl Drop for NameLock<'_> {
    fn drop(&mut self) {
        ByteRange::NAME.unlock(self.own);
    }
}

/// As `unlink`, but waits for others that delete the same name.
pub(crate) fn unlink_waiting(place: &Place, own: &OwnDescriptor) -> Result<Unlinked, OpenError> {
    let begun = Instant::now();
    loop {
        match unlink(place, own)? {
            Unlinked::Busy if begun.elapsed() > WAIT => return Err(busy(place)),
            Unlinked::Busy => thread::sleep(PAUSE),
            done => return Ok(done),
        }
    }
}

/// Deletes the name, whatever it means.
pub(crate) fn delete(place: &Place) -> Result<(), OpenError> {
    crash::step();
    unlinkat(&place.folder, &place.file_name, AtFlags::empty())
        .map_err(|errno| place.error("unlink", errno))
}

/// The error of having waited for too long.
pub(crate) fn busy(place: &Place) -> OpenError {
    let (path, call) = (place.path.clone(), "fcntl(F_OFD_SETLK) on the name byte");
    OpenError::System { path, call, errno: libc::EAGAIN }
}
