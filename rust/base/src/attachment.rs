//! Taking a slot (`slot`): locks of another boot are reset, the first free byte is locked, what the
//! last owner left locked is freed, and the slot's record says who this is.
//!
//! 1. Where the file is not the one that the locks were last valid for (another boot, a copy), and
//!    nobody is attached: all locks are reset, all shards marked suspect, those of a durable map
//!    closed until they are made anew, the identity stored;
//! 2. the first free byte is locked;
//! 3. every lock word that names the slot is a dead owner's: it is marked suspect and freed;
//! 4. the page of the slot's record is made real, if it is not, and the record says who this is
//!    (`slot_record`); then the byte that says so is locked.
//!
//! Who holds the byte of a slot is alone in the last two steps. The first locks all bytes of slots
//! as one, so nobody attaches meanwhile; and since a lock that somebody holds then proves that
//! nothing is to be reset, who would reset holds the attach byte until it has a slot. Where the
//! identity is right, which is nearly always, nobody needs that byte: a process that was stopped
//! with it keeps only those waiting who would reset as well.

use crate::appearance;
use crate::atomic::Half;
use crate::byte_lock::ByteRange;
use crate::change_log::ChangeLog;
use crate::epochs::Epochs;
use crate::error::OpError;
use crate::fork::OwnDescriptor;
use crate::format::{
    FileHeader, Identity, LOCK_OFFSET, REPLACED_OFFSET, ROOT_CRASHED, ROOT_OFFSET, ROOT_REBUILDING,
    SUSPECT_OFFSET,
};
use crate::geometry::{PAGE_BYTES, SLOTS, SLOTS_NEAR};
use crate::lock_word;
use crate::map_file::MapFile;
use crate::region::Region;
use crate::slot_record::{Role, SlotRecord};
use crate::storage::Storage;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

/// How long attaching waits for others that reset locks, before it is an error.
pub(crate) const ATTACH_WAIT: Duration = Duration::from_secs(20);
const ATTACH_PAUSE: Duration = Duration::from_micros(200);

/// What it takes to take a slot.
pub(crate) struct Attachment {
    pub region: Arc<Region>,
    pub file: Arc<MapFile>,
    pub header: FileHeader,
    pub identity: Identity,
    /// As the creator of the handle gave it; `None`: what `/proc` says of each process.
    pub application: Option<String>,
}

/// Why no slot could be taken.
pub(crate) enum TakeError {
    Full,
    /// Somebody has all slots, to freeze the map.
    BeingFrozen,
    /// A frozen map has taken the place of the file.
    Replaced,
    System {
        call: &'static str,
        errno: i32,
    },
    Failed(OpError),
}

/// Says that a frozen map has the name of the file that a region maps: nobody takes a slot any
/// more. Who dies before this leaves the old file to those who have opened it already.
pub fn replaced(region: &Region) {
    if let Some(word) = region.word(REPLACED_OFFSET) {
        word.store(1, Release);
    }
}

impl Attachment {
    /// Takes the first slot that is free.
    pub fn take_slot(&self, own: &OwnDescriptor) -> Result<u32, TakeError> {
        let free = if self.locks_are_valid() { first_free_slot(own)? } else { None };
        match free {
            Some(slot) => Ok(slot),
            None => self.settle_identity_and_take_slot(own),
        }
    }

    pub fn is_replaced(&self) -> bool {
        self.region.word(REPLACED_OFFSET).is_none_or(|word| word.load(Acquire) != 0)
    }

    /// Whether the locks stem from this boot and this file.
    fn locks_are_valid(&self) -> bool {
        self.identity.matches(&Identity::load(&self.region))
    }

    /// As one, for those who find the locks not valid or all slots taken: the latter may be for a
    /// reset that is going on.
    fn settle_identity_and_take_slot(&self, own: &OwnDescriptor) -> Result<u32, TakeError> {
        lock_attach_byte(own)?;
        let slot = self.settle_identity(own).and_then(|()| free_slot_or_freezer(own));
        ByteRange::ATTACH.unlock(own);
        slot
    }

    /// Resets all locks if they stem from another boot or another file. Somebody attached proves
    /// that they do not, whatever the numbers say: some containers are told a boot id of their own.
    fn settle_identity(&self, own: &OwnDescriptor) -> Result<(), TakeError> {
        let all = ByteRange::ALL_SLOTS;
        if self.locks_are_valid() || !all.try_lock(own).map_err(failed("fcntl(F_OFD_SETLK)"))? {
            return Ok(());
        }
        self.for_each_lock(|lock, suspect| {
            suspect.store(lock_word::SUSPECT, Relaxed);
            lock.store(lock_word::FREE, Relaxed);
        });
        if self.header.durable {
            self.close_shards();
        }
        // Last: a death before this one makes the next process do it all again.
        self.identity.store(&self.region);
        all.unlock(own);
        Ok(())
    }

    /// The pages of a durable map may be those of different moments: says so to all who come, until
    /// each shard is made anew.
    fn close_shards(&self) {
        for shard in 0..self.header.geometry.shards() {
            let offset = self.header.geometry.shard_header(shard) + ROOT_OFFSET;
            if let Some(root) = self.region.word(offset) {
                root.store(root.load(Relaxed) | ROOT_REBUILDING | ROOT_CRASHED, Relaxed);
            }
        }
        Epochs::new(&self.region).fall_back();
    }

    /// Has the record of a slot that was just taken say who this is.
    pub fn introduce(&self, slot: u32, own: &OwnDescriptor, role: Role) -> Result<(), TakeError> {
        let geometry = &self.header.geometry;
        if slot >= SLOTS_NEAR {
            let storage = Storage::new(self.region.clone(), geometry, Some(self.file.clone()));
            let page = geometry.slot_record_page(slot);
            storage.ensure(page, PAGE_BYTES).map_err(TakeError::Failed)?;
        }
        let application = self.application.clone().unwrap_or_else(appearance::program);
        if let Some(record) = SlotRecord::at(&self.region, geometry, slot) {
            record.begin(&application, role);
        }
        // Nobody else locks that byte, but a stranger.
        ByteRange::record(slot).try_lock(own).map_err(failed("fcntl(F_OFD_SETLK)"))?;
        Ok(())
    }

    /// Frees what the dead owners of `slot` left locked.
    pub fn sweep(&self, slot: u32) {
        self.for_each_lock(|lock, suspect| lock_word::free_if_owned_by(slot, lock, suspect));
    }

    pub fn for_each_lock(&self, mut visit: impl FnMut(Half<'_>, Half<'_>)) {
        let log = ChangeLog::new(&self.region, &self.header.geometry);
        for (lock, suspect) in [Epochs::new(&self.region).lock_words(), log.lock_words()] {
            visit(lock, suspect);
        }
        for shard in 0..self.header.geometry.shards() {
            let header = self.header.geometry.shard_header(shard);
            let lock = self.region.half(header + LOCK_OFFSET);
            let suspect = self.region.half(header + SUSPECT_OFFSET);
            if let (Some(lock), Some(suspect)) = (lock, suspect) {
                visit(lock, suspect);
            }
        }
    }
}

pub(crate) fn failed(call: &'static str) -> impl Fn(io::Error) -> TakeError {
    move |error| TakeError::System { call, errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

/// Waits for other processes that reset locks, each for some microseconds.
fn lock_attach_byte(own: &OwnDescriptor) -> Result<(), TakeError> {
    let call = "fcntl(F_OFD_SETLK) on the attach byte";
    let begun = Instant::now();
    while !ByteRange::ATTACH.try_lock(own).map_err(failed(call))? {
        if begun.elapsed() > ATTACH_WAIT {
            return Err(TakeError::System { call, errno: libc::EAGAIN });
        }
        thread::sleep(ATTACH_PAUSE);
    }
    Ok(())
}

/// As `first_free_slot`, where they may all have been taken by somebody who freezes the map.
fn free_slot_or_freezer(own: &OwnDescriptor) -> Result<u32, TakeError> {
    let is_held = || ByteRange::FREEZER.held_elsewhere(own).map_err(failed("fcntl(F_OFD_GETLK)"));
    // Twice, since he may have been done in between.
    for _ in 0..2 {
        if let Some(slot) = first_free_slot(own)? {
            return Ok(slot);
        }
        if is_held()? {
            return Err(TakeError::BeingFrozen);
        }
    }
    Err(TakeError::Full)
}

/// Locks the first free byte. Those whose records share a page come one after the other, so that
/// few pages have to be real; among them, a process begins at a place of its own.
fn first_free_slot(own: &OwnDescriptor) -> Result<Option<u32>, TakeError> {
    let start = std::process::id() % SLOTS_NEAR;
    for first in (0..SLOTS).step_by(SLOTS_NEAR as usize) {
        for slot in (start..SLOTS_NEAR).chain(0..start).map(|near| first + near) {
            if ByteRange::slot(slot).try_lock(own).map_err(failed("fcntl(F_OFD_SETLK)"))? {
                return Ok(Some(slot));
            }
        }
    }
    Ok(None)
}
