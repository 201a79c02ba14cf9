//! Who is attached to the map, what they do there, and who of them came and went.

use crate::map::Map;
use shf_base::error::OpError;
use shf_base::process::{self, Event, Process, Roll};
use shf_base::slot_record::Role;

/// Looks at a map again and again, and tells who came and who went.
pub struct Watch<'m> {
    map: &'m Map,
    roll: Roll,
}

impl Map {
    /// All processes that are attached for writing, this one among them, in order of their slots:
    /// one entry for each handle, and one for each forked child that has written through an
    /// inherited handle. Who was killed is not among them. Takes system calls in proportion to
    /// their number. Handles that only read may ask, and are not seen.
    ///
    /// Errors: `System`.
    pub fn processes(&self) -> Result<Vec<Process>, OpError> {
        self.publish_counts();
        process::processes(&self.storage, &self.facts.geometry, self.presence.as_ref())
    }

    /// The role of this process. A forked child has its parent's, unless that leads.
    pub fn role(&self) -> Role {
        self.presence.as_ref().map_or(Role::None, |presence| presence.role())
    }

    /// Changes the role of this process. One leads at most, until it has another role, drops its
    /// handle or dies: then the first one that asks does. In a forked child this takes a process
    /// slot of its own.
    ///
    /// Errors: `AlreadyLed`; `ReadOnly`; `TooManyProcesses`, `NoSpace`, `System`.
    pub fn set_role(&self, role: Role) -> Result<(), OpError> {
        self.writer()?.set_role(role)
    }

    /// Begins to watch who comes and goes. The first `poll` tells who is there.
    pub fn watch(&self) -> Watch<'_> {
        Watch { map: self, roll: Roll::default() }
    }
}

impl Watch<'_> {
    /// Who left and who joined since the last call, this process among them, each in order of their
    /// slots, and those who left first. Somebody who came and went in between is not told of; of
    /// one who took the slot of one who died, both are. Costs what `Map::processes` does; nobody
    /// needs to do anything for others to see that he died.
    ///
    /// Errors: `System`, after which the next call tells what this one did not.
    pub fn poll(&mut self) -> Result<Vec<Event>, OpError> {
        Ok(self.roll.call(self.map.processes()?))
    }
}
