//! Temporary maps: the name of the file goes with the map's creator, however that ends.
//!
//! The creator holds a lock on the *creator byte* of the file (`byte_lock`), through an open file
//! of its own, from before the file has its name until it has taken the name away. Nobody else ever
//! locks that byte. So whoever finds it free in a file that he has open knows that the creator is
//! gone, for good: the map is an *orphan*, and to him there is no map of that name.
//!
//! The name goes
//! - when the creator's handle is dropped;
//! - when the creator's process ends by `exit`, from a handler that it calls;
//! - after any other end, when somebody looks: who opens, creates, lists or removes what has the
//!   name, or drops a handle of the map.
//!
//! All of them delete it by `unlinking`, which spares a new map under the name. A forked child is
//! no creator: it has no byte, and its handle is a guest's.
//!
//! The handler may run while other threads use their maps, and in a child that was forked at any
//! moment, so the creators are in a list without a lock that only grows, as the descriptors of
//! `fork` are; who swaps a creator out of its entry, the handler or the handle, deletes the name.
#![allow(unsafe_code)]

use crate::byte_lock::ByteRange;
use crate::cancellation::Uncancellable;
use crate::error::OpenError;
use crate::examine::{read_header, regular_bytes};
use crate::file_system::FileId;
use crate::fork::OwnDescriptor;
use crate::map_file::MapFile;
use crate::place::{Place, error, read_error};
use crate::unlinking;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr};

/// How often a creator makes way for itself, where others make temporary maps and die.
const ATTEMPTS: u32 = 100;

static REGISTERED: AtomicBool = AtomicBool::new(false);
static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// What a handle of a temporary map does for its name when it is dropped.
pub struct Temporary {
    file: Arc<MapFile>,
    entry: Option<&'static Entry>,
}

/// A place for a creator that lives in this process, or in the one that this was forked from.
struct Entry {
    taken: AtomicBool,
    /// Null: none, or its name is being seen to.
    creator: AtomicPtr<Creator>,
    next: Option<&'static Entry>,
}

/// Who made a map.
struct Creator {
    file: Arc<MapFile>,
    /// Holds the creator byte.
    own: OwnDescriptor,
}

impl Temporary {
    /// For the creator of the map that `file` is, before the file has its name. Opening the file
    /// again needs the permission to write to it.
    pub(crate) fn of_creator(file: &Arc<MapFile>) -> Result<Temporary, OpenError> {
        let failed = |call| move |found: io::Error| error(file.path(), call, found);
        register_handler().map_err(failed("atexit"))?;
        let own = OwnDescriptor::open(|| file.reopen())
            .map_err(failed("opening the map's file again"))?;
        let locked = ByteRange::CREATOR.try_lock(&own).map_err(failed("fcntl(F_OFD_SETLK)"))?;
        // Nobody else knows the file.
        debug_assert!(locked);
        let entry = take_entry();
        let creator = Box::new(Creator { file: file.clone(), own });
        entry.creator.store(Box::into_raw(creator), Release);
        Ok(Temporary { file: file.clone(), entry: Some(entry) })
    }

    /// For anybody else who has the map.
    pub(crate) fn of_guest(file: &Arc<MapFile>) -> Temporary {
        Temporary { file: file.clone(), entry: None }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _uncancellable = Uncancellable::new();
        let creator = self.entry.and_then(Entry::creator);
        let ended = creator.is_some_and(|creator| creator.end());
        if let Some(entry) = self.entry {
            entry.taken.store(false, Release);
        }
        if !ended {
            // Whoever looks next tries it again.
            let _ = bury_if_orphan(&self.file);
        }
    }
}

impl Creator {
    /// Takes the name away, then gives the byte back. False: this process is not the creator, but a
    /// child of it; or it has closed the descriptor, and counts as gone.
    fn end(self) -> bool {
        if !self.own.usable() {
            return false;
        }
        // Where somebody else is at the name, it goes as well; whatever fails, others try again.
        let _ = Place::of(self.file.path()).and_then(|place| unlinking::unlink(&place, &self.own));
        // Closing would do, were it not for a fork at this moment (`slot`).
        ByteRange::CREATOR.unlock(&self.own);
        true
    }
}

/// Whether the creator of the temporary map that `file` is has gone. A descriptor for reading will
/// do.
pub(crate) fn is_orphan(file: impl AsFd, path: &Path) -> Result<bool, OpenError> {
    let held = ByteRange::CREATOR.held_elsewhere(file);
    Ok(!held.map_err(|error| read_error(path, "fcntl(F_OFD_GETLK)", error))?)
}

/// Deletes the name of an orphan, which `file` is, if it still has it. Waits for nobody: who is at
/// it deletes it as well.
pub(crate) fn bury(place: &Place, file: &File) -> Result<(), OpenError> {
    let id = FileId::of(file).map_err(|error| place.error("fstat", error))?;
    let own = unlinking::open_own(place)?;
    if FileId::of(&own).is_ok_and(|found| found == id) {
        unlinking::unlink(place, &own)?;
    }
    Ok(())
}

/// Has the name mean nothing, for who wants to create a map of it: deletes that of an orphan.
/// `AlreadyExists` when something else has the name.
pub(crate) fn make_way(place: &Place) -> Result<(), OpenError> {
    let exists = || OpenError::AlreadyExists { path: place.path.clone() };
    for _ in 0..ATTEMPTS {
        if !matches!(place.file_id(), Ok(Some(_))) {
            return Ok(());
        }
        let Ok(file) = place.open(OFlags::RDONLY).map(File::from) else { return Err(exists()) };
        let header = regular_bytes(&place.path, &file)
            .and_then(|file_bytes| read_header(&place.path, &file, file_bytes));
        if !header.is_ok_and(|header| header.temporary) || !is_orphan(&file, &place.path)? {
            return Err(exists());
        }
        match unlinking::open_own(place) {
            Ok(own) if FileId::of(&own).ok() == FileId::of(&file).ok() => {
                unlinking::unlink_waiting(place, &own)?;
            }
            // Another one by now, or none.
            Ok(_) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(exists())
}

/// For who has had the map that `file` is.
fn bury_if_orphan(file: &MapFile) -> Result<(), OpenError> {
    let failed = |found| error(file.path(), "opening the map's file again", found);
    let descriptor = file.descriptor().map_err(failed)?;
    if !is_orphan(descriptor, file.path())? {
        return Ok(());
    }
    let place = Place::of(file.path())?;
    let own = unlinking::open_own(&place)?;
    if FileId::of(&own).is_ok_and(|found| found == file.id()) {
        unlinking::unlink(&place, &own)?;
    }
    Ok(())
}

impl Entry {
    /// The creator, for one caller alone.
    fn creator(&self) -> Option<Creator> {
        let creator = self.creator.swap(ptr::null_mut(), AcqRel);
        // SAFETY: from `Box::into_raw`, and whoever swaps it out has it alone.
        (!creator.is_null()).then(|| *unsafe { Box::from_raw(creator) })
    }
}

/// Has `at_exit` run at the end of the process; once or, where two threads race, twice, which it
/// bears. Forked children inherit that.
fn register_handler() -> io::Result<()> {
    if REGISTERED.load(Acquire) {
        return Ok(());
    }
    // SAFETY: a function without arguments that does not unwind.
    if unsafe { libc::atexit(at_exit) } != 0 {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    REGISTERED.store(true, Release);
    Ok(())
}

extern "C" fn at_exit() {
    for creator in entries().filter_map(Entry::creator) {
        creator.end();
    }
}

/// All entries. They are never freed.
fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: null, or an entry, which lives for ever.
    let first: Option<&'static Entry> = unsafe { ENTRIES.load(Acquire).as_ref() };
    std::iter::successors(first, |entry| entry.next)
}

/// An entry for one creator.
fn take_entry() -> &'static Entry {
    let take = |entry: &&Entry| entry.taken.compare_exchange(false, true, AcqRel, Relaxed).is_ok();
    entries().find(take).unwrap_or_else(add_entry)
}

fn add_entry() -> &'static Entry {
    let entry = Box::into_raw(Box::new(Entry {
        taken: AtomicBool::new(true),
        creator: AtomicPtr::new(ptr::null_mut()),
        next: None,
    }));
    let mut head = ENTRIES.load(Acquire);
    loop {
        // SAFETY: not yet published, so nobody else reads or writes it; the head lives for ever.
        unsafe { (*entry).next = head.as_ref() };
        match ENTRIES.compare_exchange(head, entry, AcqRel, Acquire) {
            // SAFETY: leaked on purpose, never freed.
            Ok(_) => return unsafe { &*entry },
            Err(found) => head = found,
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
