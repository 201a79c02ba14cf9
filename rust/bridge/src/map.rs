//! The handle that C++ owns: one adapter for each operation of the engine's map.

use crate::aging::duration;
use crate::ffi::{Options, Outcome, Sink, Violation, Visitor};
use crate::guard::{Failure, Packed, guard, silence_panics};
use crate::sink::SinkOfCpp;
use shf_engine::{
    FixedLengths, Gate, Inside, Map as EngineMap, OpError, OpenError, Role, Taken, Visit,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::slice;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Attached to a map of the engine, or to none. It may be detached, and attached anew, by one
/// thread while others are in calls on it: these finish, or are told.
#[derive(Default)]
pub struct Map {
    gate: Gate<EngineMap>,
}

/// Where the answer of a put says that it replaced a value; UIDs are below. `shf/map.hpp` knows it.
const REPLACED_SHIFT: u32 = 60;

/// The four ways to open a map have one type.
type Opener = fn(&Path, &str, &shf_engine::Options) -> Result<EngineMap, OpenError>;

/// C++ uses one handle from many threads.
const _: fn() = || {
    fn shareable<T: Send + Sync>() {}
    shareable::<EngineMap>();
};

pub fn detached_map() -> Box<Map> {
    Box::default()
}

pub fn remove_map(folder: &[u8], name: &[u8]) -> Outcome {
    silence_panics();
    guard(|| {
        EngineMap::remove(folder_path(folder), map_name(name)?)?;
        Ok(Outcome::done(true, 0))
    })
}

impl Map {
    pub fn share(&self) -> Box<Map> {
        let shared = Map::default();
        if let Some(engine) = self.gate.share() {
            shared.gate.open(engine);
        }
        Box::new(shared)
    }

    pub fn is_attached(&self) -> bool {
        self.gate.enter().is_some()
    }

    /// Returns when all other threads have left, and the map is closed, unless somebody else has
    /// it. From inside of a walk of its own, the walk's end does that.
    pub fn detach(&self) {
        guard(|| {
            self.give_locks_back();
            self.gate.close();
            Ok(Outcome::done(true, 0))
        });
    }

    /// Detaches, then attaches to what `other` is attached to, which it is not any more.
    pub fn take_over(&self, other: &Map) {
        guard(|| {
            self.give_locks_back();
            other.give_locks_back();
            let engine = other.gate.share();
            other.gate.close();
            match engine {
                Some(engine) => self.gate.open(engine),
                None => self.gate.close(),
            }
            Ok(Outcome::done(true, 0))
        });
    }

    pub fn create(&self, folder: &[u8], name: &[u8], options: &Options<'_>) -> Outcome {
        self.attach(EngineMap::create, folder, name, options)
    }

    pub fn open(&self, folder: &[u8], name: &[u8], options: &Options<'_>) -> Outcome {
        self.attach(EngineMap::open, folder, name, options)
    }

    pub fn open_or_create(&self, folder: &[u8], name: &[u8], options: &Options<'_>) -> Outcome {
        self.attach(EngineMap::open_or_create, folder, name, options)
    }

    pub fn open_read_only(&self, folder: &[u8], name: &[u8], options: &Options<'_>) -> Outcome {
        self.attach(EngineMap::open_read_only, folder, name, options)
    }

    /// # Safety
    /// Each pointer is good for its number of bytes, and not null.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn put(
        &self,
        key: *const u8,
        key_bytes: usize,
        value: *const u8,
        value_bytes: usize,
    ) -> u64 {
        // SAFETY: by the contract.
        let (key, value) = unsafe {
            (slice::from_raw_parts(key, key_bytes), slice::from_raw_parts(value, value_bytes))
        };
        let Packed(answer) = guard(|| {
            let engine = self.engine()?;
            let placed = engine.by(engine.lane()).put(key, value)?;
            debug_assert!(placed.uid.bits() >> REPLACED_SHIFT == 0);
            Ok(Packed(u64::from(placed.replaced) << REPLACED_SHIFT | placed.uid.bits()))
        });
        answer
    }

    /// # Safety
    /// Each pointer is good for its number of bytes, and not null; the two do not overlap.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn get_into(
        &self,
        key: *const u8,
        key_bytes: usize,
        into: *mut u8,
        into_bytes: usize,
    ) -> u64 {
        // SAFETY: by the contract.
        let (key, into) = unsafe {
            (slice::from_raw_parts(key, key_bytes), slice::from_raw_parts_mut(into, into_bytes))
        };
        let Packed(answer) = guard(|| {
            let engine = self.engine()?;
            Ok(match engine.by(engine.lane()).get_into(key, into)? {
                Some(bytes) => Packed(bytes as u64),
                None => Outcome::absent().into(),
            })
        });
        answer
    }

    #[inline]
    pub fn get_to(&self, key: &[u8], sink: Pin<&mut Sink>) -> Outcome {
        guard(|| {
            let engine = self.engine()?;
            Ok(Outcome::copied(engine.by(engine.lane()).get_to(key, &mut SinkOfCpp(sink))?))
        })
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> Outcome {
        guard(|| {
            let engine = self.engine()?;
            Ok(Outcome::done(engine.by(engine.lane()).contains(key)?, 0))
        })
    }

    #[inline]
    pub fn erase(&self, key: &[u8]) -> Outcome {
        guard(|| {
            let engine = self.engine()?;
            Ok(Outcome::done(engine.by(engine.lane()).delete(key)?, 0))
        })
    }

    /// # Safety
    /// The pointer is good for its number of bytes, and not null.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn add(&self, key: *const u8, key_bytes: usize, delta: i64) -> Outcome {
        // SAFETY: by the contract.
        let key = unsafe { slice::from_raw_parts(key, key_bytes) };
        guard(|| {
            let engine = self.engine()?;
            let sum: i64 = engine.by(engine.lane()).add_number(key, delta)?;
            Ok(Outcome::done(true, sum as u64))
        })
    }

    pub fn size(&self) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.size())))
    }

    pub fn clear(&self) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.clear()?)))
    }

    pub fn for_each(&self, visitor: &Visitor) -> Outcome {
        guard(|| {
            self.visit()?.for_each(&mut |key, value| {
                #[allow(unsafe_code)]
                // SAFETY: both pointers come from slices that outlive the call.
                unsafe {
                    visitor.visit(key.as_ptr(), key.len(), value.as_ptr(), value.len())
                }
            })?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn verify(&self, into: &mut Vec<Violation>) -> Outcome {
        guard(|| {
            into.extend(self.engine()?.verify()?.into_iter().map(Violation::from));
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn repair(&self, shards: &mut u32, lost: &mut Vec<Violation>) -> Outcome {
        guard(|| {
            let repaired = self.engine()?.repair()?;
            *shards = repaired.shards;
            lost.extend(repaired.lost.into_iter().map(Violation::from));
            Ok(Outcome::done(true, repaired.keys))
        })
    }

    pub fn sync(&self) -> Outcome {
        guard(|| {
            self.engine()?.sync()?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn recovered(&self, shards: &mut u32, lost: &mut Vec<Violation>) -> Outcome {
        guard(|| {
            let engine = self.engine()?;
            let Some(recovered) = engine.recovered() else { return Ok(Outcome::absent()) };
            *shards = recovered.shards;
            lost.extend(recovered.lost.iter().cloned().map(Violation::from));
            Ok(Outcome::done(true, recovered.keys))
        })
    }

    pub fn set_lockable(&self, lockable: bool) -> Outcome {
        guard(|| {
            self.engine()?.set_lockable(lockable)?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn is_lockable(&self) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.is_lockable(), 0)))
    }

    pub fn is_read_only(&self) -> Outcome {
        guard(|| Ok(Outcome::done(self.engine()?.is_read_only(), 0)))
    }

    pub(crate) fn weak(&self) -> Weak<EngineMap> {
        self.gate.share().as_ref().map_or_else(Weak::new, Arc::downgrade)
    }

    #[inline(always)]
    pub(crate) fn engine(&self) -> Result<Inside<'_, EngineMap>, Failure> {
        self.gate.enter().ok_or(Failure::NotAttached)
    }

    /// As `engine`, to call functions of C++ meanwhile, which may detach this handle.
    pub(crate) fn visit(&self) -> Result<Visit<'_, EngineMap>, Failure> {
        self.gate.visit().ok_or(Failure::NotAttached)
    }

    /// Before the gate closes: others who are inside may wait for locks that this thread keeps.
    fn give_locks_back(&self) {
        if let Some(engine) = self.gate.enter() {
            // A handle that only reads has none.
            let _ = engine.set_lockable(true);
        }
    }

    /// Lets `act` have the map for itself, while this handle is not attached. Whoever watches the
    /// map has lost it afterwards. `Busy`: another has a share of it, as a walk has, or this thread
    /// is in a walk of the handle.
    pub(crate) fn alone<R, E: Into<Failure>>(
        &self,
        act: impl FnOnce(&mut EngineMap) -> Result<R, E>,
    ) -> Result<R, Failure> {
        self.give_locks_back();
        let engine = match self.gate.take() {
            Taken::Value(engine) => engine,
            Taken::Inside => return Err(OpError::Busy.into()),
            Taken::Closed => return Err(Failure::NotAttached),
        };
        match Arc::try_unwrap(engine) {
            Ok(mut engine) => {
                let acted = act(&mut engine);
                self.gate.open(Arc::new(engine));
                acted.map_err(E::into)
            }
            Err(shared) => {
                self.gate.open(shared);
                Err(OpError::Busy.into())
            }
        }
    }

    fn attach(&self, opener: Opener, folder: &[u8], name: &[u8], options: &Options<'_>) -> Outcome {
        self.attach_to(|| {
            let options = engine_options(options)?;
            Ok(opener(folder_path(folder), map_name(name)?, &options)?)
        })
    }

    /// Attaches to what `open` opens.
    pub(crate) fn attach_to(&self, open: impl FnOnce() -> Result<EngineMap, Failure>) -> Outcome {
        silence_panics();
        guard(|| {
            let engine = Arc::new(open()?);
            self.give_locks_back();
            self.gate.open(engine);
            Ok(Outcome::done(true, 0))
        })
    }
}

impl From<shf_engine::Violation> for Violation {
    fn from(found: shf_engine::Violation) -> Violation {
        let number = |choose: fn(shf_engine::SlotNumber) -> u32| {
            found.slot.map_or(-1, |slot| choose(slot) as i32)
        };
        Violation {
            shard: found.shard,
            table: number(|slot| slot.table),
            bucket: number(|slot| slot.bucket),
            slot: number(|slot| slot.slot),
            offset: found.offset,
            what: found.what,
        }
    }
}

pub(crate) fn folder_path(folder: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(folder))
}

pub(crate) fn map_name(name: &[u8]) -> Result<&str, OpenError> {
    std::str::from_utf8(name).map_err(|_| OpenError::InvalidName {
        name: String::from_utf8_lossy(name).into_owned(),
        reason: "a name is UTF-8 text",
    })
}

pub(crate) fn engine_options(options: &Options<'_>) -> Result<shf_engine::Options, OpenError> {
    let application = std::str::from_utf8(options.application).map_err(|error| {
        let found = format!("other bytes after {}", error.valid_up_to());
        OpenError::InvalidOption { option: "application", expected: "UTF-8".into(), found }
    })?;
    let chosen = |value: u64| (value != 0).then_some(value);
    Ok(shf_engine::Options {
        shards: (options.shards != 0).then_some(options.shards),
        max_bytes: chosen(options.max_bytes),
        expected_keys: chosen(options.expected_keys),
        initial_bytes: chosen(options.initial_bytes),
        mode: Some(options.mode),
        group: (options.group != u32::MAX).then_some(options.group),
        allow_any_file_system: options.allow_any_file_system,
        patience: u64::try_from(options.patience_us).ok().map(Duration::from_micros),
        durable: match options.durable {
            0 => None,
            sign => Some(sign > 0),
        },
        default_age: duration(options.default_age),
        evict: options.evict,
        temporary: options.temporary,
        fixed: options.is_fixed.then_some(FixedLengths {
            key_bytes: options.fixed_key_bytes,
            value_bytes: options.fixed_value_bytes,
        }),
        application: (!application.is_empty()).then(|| application.into()),
        role: Role::of(options.role.into()),
        secret: None,
    })
}
