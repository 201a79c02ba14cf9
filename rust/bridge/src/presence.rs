//! Adapters for who is attached.

use crate::ffi::{Counts, Event, Outcome, Process};
use crate::guard::{Failure, guard};
use crate::map::Map;
use shf_engine::{Map as EngineMap, Role, Roll};
use std::sync::Weak;

/// Who was there at the last look, and the map, which it does not keep attached.
pub struct Watch {
    engine: Weak<EngineMap>,
    roll: Roll,
}

impl Map {
    pub fn processes(&self, into: &mut Vec<Process>) -> Outcome {
        guard(|| {
            into.extend(self.engine()?.processes()?.into_iter().map(Process::from));
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn role(&self) -> Outcome {
        guard(|| Ok(Outcome::done(true, self.engine()?.role() as u64)))
    }

    pub fn set_role(&self, role: u32) -> Outcome {
        guard(|| {
            self.engine()?.set_role(Role::of(role.into()))?;
            Ok(Outcome::done(true, 0))
        })
    }

    pub fn watch(&self) -> Box<Watch> {
        Box::new(Watch { engine: self.weak(), roll: Roll::default() })
    }
}

impl Watch {
    pub fn poll(&mut self, into: &mut Vec<Event>) -> Outcome {
        guard(|| {
            let engine = self.engine.upgrade().ok_or(Failure::NotAttached)?;
            into.extend(self.roll.call(engine.processes()?).into_iter().map(Event::from));
            Ok(Outcome::done(true, 0))
        })
    }
}

impl From<shf_engine::Process> for Process {
    fn from(found: shf_engine::Process) -> Process {
        Process {
            slot: found.slot,
            attached_ns: found.attached_ns,
            pid: found.pid,
            application: found.application,
            role: found.role as u32,
            counts: Counts::from(found.counts),
            is_this: found.is_this,
        }
    }
}

impl From<shf_engine::Counts> for Counts {
    fn from(counts: shf_engine::Counts) -> Counts {
        let shf_engine::Counts { hits, misses, puts, deletes, changes, lists, walks, waits } =
            counts;
        Counts { hits, misses, puts, deletes, changes, lists, walks, waits }
    }
}

impl From<shf_engine::Event> for Event {
    fn from(event: shf_engine::Event) -> Event {
        match event {
            shf_engine::Event::Joined(process) => Event { joined: true, process: process.into() },
            shf_engine::Event::Left(process) => Event { joined: false, process: process.into() },
        }
    }
}
