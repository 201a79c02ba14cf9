//! A process's presence in a map: a slot whose byte lock dies with the process.
//!
//! Slot `i` belongs to the process that holds the lock on byte `i` of a range far behind the data
//! (`byte_lock`), through an open file description of its own, which no child shares (`fork`). A
//! lock word names a slot; whether its owner lives is asked of the kernel by trying that byte.
//! PIDs play no part: two containers may well use the same ones.
//!
//! `attachment` says how a slot is taken.
//!
//! A child that inherits a handle takes a slot of its own at its first write. The state it
//! inherited is left alone: its descriptor is closed already, its slot is the parent's.
#![allow(unsafe_code)]

use crate::appearance::Appearance;
use crate::attachment::{Attachment, TakeError, failed};
use crate::byte_lock::ByteRange;
use crate::cancellation::Uncancellable;
use crate::counts::{Counter, Tally};
use crate::error::{OpError, OpenError};
use crate::fork::{self, OwnDescriptor};
use crate::format::{FileHeader, Identity};
use crate::geometry::{Geometry, SLOTS};
use crate::map_file::MapFile;
use crate::region::Region;
use crate::slot_record::{Role, SlotRecord};
use std::io;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

/// This process's slot in a map, or the one that it will take after a fork. Any thread may use it.
pub struct Presence {
    region: Arc<Region>,
    geometry: Geometry,
    attachment: Option<Attachment>,
    tally: Tally,
    /// Never null, and never freed before `self`: older states hang off newer ones.
    current: AtomicPtr<State>,
}

/// The slot that one process took. Threads share it: once published, only flags and role change.
struct State {
    generation: u64,
    slot: u32,
    /// None for a region on the heap.
    descriptor: Option<OwnDescriptor>,
    /// The thread that keeps the locks of all shards, 0: none does.
    keeper: AtomicUsize,
    /// Whether the bytes of all slots are held (`Presence::alone`).
    alone: AtomicBool,
    /// Whether a thread is trying the byte of another slot. All threads share one open file, whose
    /// locks do not conflict with each other, so only one may try at a time.
    probing: AtomicBool,
    /// A number of `Role`.
    role: AtomicU32,
    /// Held while the role changes. A forked child has a state, and so one of these, of its own.
    changing_role: Mutex<()>,
    previous: *mut State,
}

/// Proof that the owner of a slot is dead; nobody can take the slot until it is dropped.
pub struct DeadOwner<'p> {
    state: &'p State,
    slot: u32,
}

/// Proof that nobody else has a slot. Only for the process that asked for it.
pub struct Alone<'p>(&'p State);

impl Presence {
    /// Takes a slot in the map that `file` and `region` are, frees what an earlier owner of that
    /// slot left locked, and resets all locks first if they stem from another boot or another file.
    /// Opening the file again needs the permission to write to it, now and in forked children.
    pub(crate) fn take(
        region: &Arc<Region>,
        file: &Arc<MapFile>,
        header: FileHeader,
        identity: Identity,
        appearance: &Appearance,
        tally: Tally,
    ) -> Result<Presence, OpenError> {
        let (region, file) = (region.clone(), file.clone());
        let application = appearance.application.clone();
        let attachment = Attachment { region, file, header, identity, application };
        match State::take(&attachment, appearance.role) {
            Ok(state) => {
                let (region, geometry) = (attachment.region.clone(), header.geometry);
                Ok(Presence::new(region, geometry, Some(attachment), tally, state))
            }
            Err(TakeError::Full) => Err(OpenError::TooManyProcesses { slots: SLOTS }),
            Err(TakeError::BeingFrozen) => {
                Err(OpenError::BeingFrozen { path: attachment.file.path().into() })
            }
            Err(TakeError::Replaced) => {
                Err(OpenError::Frozen { path: attachment.file.path().into() })
            }
            Err(TakeError::System { call, errno }) => {
                Err(OpenError::System { path: attachment.file.path().into(), call, errno })
            }
            Err(TakeError::Failed(OpError::NoSpace { needed_bytes, .. })) => {
                Err(OpenError::NoSpace { path: attachment.file.path().into(), needed_bytes })
            }
            Err(TakeError::Failed(error)) => {
                Err(OpenError::Failed { path: attachment.file.path().into(), error })
            }
        }
    }

    /// The presence in a region on the heap, which one process has for itself: slot 0, and nobody
    /// ever dies.
    pub(crate) fn single(region: &Arc<Region>, geometry: &Geometry, tally: Tally) -> Presence {
        if let Some(record) = SlotRecord::at(region, geometry, 0) {
            record.begin("", Role::None);
        }
        Presence::new(region.clone(), *geometry, None, tally, State::new(0, None, Role::None))
    }

    fn new(
        region: Arc<Region>,
        geometry: Geometry,
        attachment: Option<Attachment>,
        tally: Tally,
        state: State,
    ) -> Presence {
        let current = AtomicPtr::new(Box::into_raw(Box::new(state)));
        Presence { region, geometry, attachment, tally, current }
    }

    /// The slot of this process, from 0 to `SLOTS - 1`. A forked child takes one of its own here,
    /// at its first call; only that can fail.
    #[inline(always)]
    pub fn slot(&self) -> Result<u32, OpError> {
        let state = self.current();
        if state.generation == fork::generation() { Ok(state.slot) } else { self.renew() }
    }

    /// Whether `slot` answers at once: not in a child that has not called it yet.
    pub fn has_slot(&self) -> bool {
        self.current().generation == fork::generation()
    }

    /// Whether this thread keeps the locks of all shards (`keep_locks`).
    #[inline(always)]
    pub fn keeps_locks(&self) -> bool {
        let state = self.current();
        state.keeper.load(Relaxed) != 0 && state.is_keeper()
    }

    /// Whether any thread of this process does.
    pub fn has_keeper(&self) -> bool {
        let state = self.current();
        state.keeper.load(Relaxed) != 0 && state.generation == fork::generation()
    }

    /// Says whether this thread, which has all of them, keeps the locks of all shards. A forked
    /// child keeps none.
    pub fn keep_locks(&self, keep: bool) {
        self.current().keeper.store(if keep { this_thread() } else { 0 }, Relaxed);
    }

    /// The slot of this process, if it has one by now.
    pub fn own_slot(&self) -> Option<u32> {
        let state = self.current();
        (state.generation == fork::generation()).then_some(state.slot)
    }

    /// Adds to a counter of this process's record, if it has a slot by now.
    pub fn publish(&self, counter: usize, growth: u64) {
        if cfg!(loom) {
            // A model sets the map back before each execution, and no private counts: so executions
            // would differ.
            return;
        }
        let record = |slot| SlotRecord::at(&self.region, &self.geometry, slot);
        if let Some(record) = self.own_slot().and_then(record) {
            record.counter(counter).add(growth);
        }
    }

    /// Counts that a lock was waited for.
    pub(crate) fn note_wait(&self) {
        self.tally.count(Counter::Waits);
    }

    /// The role of this process. A forked child has its parent's, unless that leads.
    pub fn role(&self) -> Role {
        let state = self.current();
        let role = Role::of(state.role.load(Relaxed).into());
        if self.own_slot().is_some() { role } else { role.of_child() }
    }

    /// Changes the role of this process. `AlreadyLed`: another one leads, and lives. A forked child
    /// takes a slot first, which can fail as in `slot`.
    pub fn set_role(&self, role: Role) -> Result<(), OpError> {
        self.slot()?;
        let _uncancellable = Uncancellable::new();
        let state = self.current();
        let _changing = state.changing_role.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Role::of(state.role.load(Relaxed).into());
        if role == Role::Leader && before != Role::Leader {
            state.lead()?;
        }
        if let Some(record) = SlotRecord::at(&self.region, &self.geometry, state.slot) {
            record.set_role(role);
        }
        state.role.store(role as u32, Relaxed);
        if before == Role::Leader && role != Role::Leader {
            // Last: nobody else says that it leads while this record still does.
            state.follow();
        }
        Ok(())
    }

    /// Proof that no living process owns `slot`, or `None`: it has an owner, or is this process's
    /// own, or that cannot be found out at the moment. Two system calls.
    pub fn dead(&self, slot: u32) -> Option<DeadOwner<'_>> {
        let state = self.current();
        let descriptor = state.descriptor.as_ref().filter(|own| own.usable())?;
        if slot == state.slot || slot >= SLOTS {
            return None;
        }
        state.probing.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        if matches!(ByteRange::slot(slot).try_lock(descriptor), Ok(true)) {
            return Some(DeadOwner { state, slot });
        }
        state.probing.store(false, Release);
        None
    }

    /// Keeps others from taking a slot for as long as the answer lives; `None`: somebody has one
    /// besides this one.
    pub fn alone(&self) -> Result<Option<Alone<'_>>, OpError> {
        self.slot()?;
        let state = self.current();
        let Some(own) = &state.descriptor else { return Ok(Some(Alone(state))) };
        let call = "fcntl(F_OFD_SETLK)";
        let failed = |error: io::Error| OpError::System {
            call,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        if !ByteRange::FREEZER.try_lock(own).map_err(failed)? {
            return Ok(None);
        }
        let alone = Alone(state);
        // This one's own byte is no obstacle.
        let locked = ByteRange::ALL_SLOTS.try_lock(own).map_err(failed)?;
        state.alone.store(locked, Relaxed);
        Ok(locked.then_some(alone))
    }

    #[inline(always)]
    fn current(&self) -> &State {
        // SAFETY: never null, and freed only when `self` is dropped. Acquire pairs with `renew`.
        unsafe { &*self.current.load(Acquire) }
    }

    /// In a forked child. Several threads may come here at once, and the process may fork again
    /// meanwhile, so there is no lock: each takes a slot, and all but one give theirs back.
    #[cold]
    fn renew(&self) -> Result<u32, OpError> {
        let Some(attachment) = &self.attachment else { return Ok(self.current().slot) };
        let _uncancellable = Uncancellable::new();
        let inherited = self.current.load(Acquire);
        // SAFETY: as in `current`.
        let state = unsafe { &*inherited };
        if state.generation == fork::generation() {
            return Ok(state.slot);
        }
        let role = Role::of(state.role.load(Relaxed).into()).of_child();
        let mut state = State::take(attachment, role).map_err(|error| match error {
            TakeError::Full => OpError::TooManyProcesses { slots: SLOTS },
            TakeError::BeingFrozen => OpError::Busy,
            TakeError::Replaced => OpError::ReadOnly,
            TakeError::System { call, errno } => OpError::System { call, errno },
            TakeError::Failed(error) => error,
        })?;
        state.previous = inherited;
        let state = Box::into_raw(Box::new(state));
        match self.current.compare_exchange(inherited, state, AcqRel, Acquire) {
            // SAFETY: published by this thread, and freed only when `self` is dropped.
            Ok(_) => Ok(unsafe { (*state).slot }),
            Err(_) => {
                // SAFETY: made above and never published.
                drop(unsafe { Box::from_raw(state) });
                Ok(self.current().slot)
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = *self.current.get_mut();
        while !state.is_null() {
            // SAFETY: from `Box::into_raw`, reached once, and nobody borrows `self` any more.
            let owned = unsafe { Box::from_raw(state) };
            state = owned.previous;
        }
    }
}

/// A number that no other living thread has.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| ptr::from_ref(place) as usize)
}

impl State {
    #[cold]
    fn is_keeper(&self) -> bool {
        self.keeper.load(Relaxed) == this_thread() && self.generation == fork::generation()
    }

    fn new(slot: u32, descriptor: Option<OwnDescriptor>, role: Role) -> State {
        let (probing, alone) = (AtomicBool::new(false), AtomicBool::new(false));
        let (generation, keeper) = (fork::generation(), AtomicUsize::new(0));
        let (role, changing_role) = (AtomicU32::new(role as u32), Mutex::new(()));
        let previous = ptr::null_mut();
        State {
            generation,
            slot,
            descriptor,
            keeper,
            alone,
            probing,
            role,
            changing_role,
            previous,
        }
    }

    fn take(attachment: &Attachment, role: Role) -> Result<State, TakeError> {
        let own = OwnDescriptor::open(|| attachment.file.reopen())
            .map_err(failed("opening the map's file again"))?;
        let slot = attachment.take_slot(&own)?;
        // Where the rest fails, it gives all locks back.
        let state = State::new(slot, Some(own), role);
        // Who freezes a map holds the bytes of all slots until it says so.
        if attachment.is_replaced() {
            return Err(TakeError::Replaced);
        }
        attachment.sweep(slot);
        if role == Role::Leader {
            state.lead().map_err(TakeError::Failed)?;
        }
        if let Some(own) = &state.descriptor {
            attachment.introduce(slot, own, role)?;
        }
        Ok(state)
    }

    /// Takes the byte of who leads. It dies with the process, as the slot's does.
    fn lead(&self) -> Result<(), OpError> {
        let Some(descriptor) = &self.descriptor else { return Ok(()) };
        let failed = |errno| OpError::System { call: "fcntl(F_OFD_SETLK)", errno };
        if !descriptor.usable() {
            return Err(failed(libc::EBADF));
        }
        match ByteRange::LEADER.try_lock(descriptor) {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpError::AlreadyLed),
            Err(error) => Err(failed(error.raw_os_error().unwrap_or(libc::EIO))),
        }
    }

    fn follow(&self) {
        if let Some(own) = self.descriptor.as_ref().filter(|own| own.usable()) {
            ByteRange::LEADER.unlock(own);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let leads = *self.role.get_mut() == Role::Leader as u32;
        let own = self.descriptor.as_ref().filter(|own| own.usable());
        if let Some(own) = own {
            // Closing would do, were it not for a fork between forgetting the descriptor and
            // closing it, whose child keeps the open file. The record's byte first: it means
            // nothing without the slot's.
            ByteRange::record(self.slot).unlock(own);
            if leads {
                ByteRange::LEADER.unlock(own);
            }
            ByteRange::slot(self.slot).unlock(own);
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let Alone(state) = self;
        let had_all = state.alone.swap(false, Relaxed);
        if let Some(own) = state.descriptor.as_ref().filter(|own| own.usable()) {
            if had_all {
                ByteRange::slots_beside(state.slot).for_each(|beside| beside.unlock(own));
            }
            ByteRange::FREEZER.unlock(own);
        }
    }
}

impl Drop for DeadOwner<'_> {
    fn drop(&mut self) {
        let own = self.state.descriptor.as_ref().filter(|own| own.usable());
        // Who is alone holds all of them.
        if let Some(own) = own.filter(|_| !self.state.alone.load(Relaxed)) {
            ByteRange::slot(self.slot).unlock(own);
        }
        self.state.probing.store(false, Release);
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
