//! Who is attached to a map, and who came and went.
//!
//! The kernel says which slots have an owner that lives (`byte_lock`), their records say who that
//! is (`slot_record`). Process ids play no part in it: one that a record names may be another
//! process here, or nobody, since containers count for themselves.

use crate::byte_lock::ByteRange;
use crate::cancellation::Uncancellable;
use crate::counts::Counts;
use crate::error::OpError;
use crate::geometry::{Geometry, PAGE_BYTES};
use crate::slot::Presence;
use crate::slot_record::{Role, Said, SlotRecord};
use crate::storage::Storage;

/// A process that is attached to a map for writing; one that has the map open several times is so
/// several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its slot, 0 to 1023, which may be another one's once it is gone.
    pub slot: u32,
    /// Nanoseconds since 1970 when it attached; in a forked child, when it first wrote. With the
    /// slot it names this life, and no other one.
    pub attached_ns: u64,
    /// Its process id, as it sees itself: in another container it may be anybody's.
    pub pid: u32,
    /// The name of its application, up to 32 bytes as it gave them, without control characters.
    pub application: String,
    /// Its role.
    pub role: Role,
    /// What it has done, as far as it has published that.
    pub counts: Counts,
    /// Whether it is the handle that was asked.
    pub is_this: bool,
}

/// What has become of a process since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there now.
    Joined(Process),
    /// It is gone, of its own will or not; what was last seen of it.
    Left(Process),
}

/// Those who were there at the last look.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    /// In order of their slots.
    known: Vec<Process>,
}

/// All processes that are attached for writing, in order of their slots. Each was there at some
/// time during the call. Takes system calls in proportion to their number.
pub fn processes(
    storage: &Storage,
    geometry: &Geometry,
    own: Option<&Presence>,
) -> Result<Vec<Process>, OpError> {
    let _uncancellable = Uncancellable::new();
    let this = own.and_then(Presence::own_slot);
    let slots = if storage.has_file() {
        ByteRange::ALL_RECORDS.holders(storage.file()?).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            OpError::System { call: "fcntl(F_OFD_GETLK)", errno }
        })?
    } else {
        this.into_iter().collect()
    };
    let process = |slot: u32| {
        // Reading a hole could be SIGBUS. Where an owner is one, none is.
        if !storage.is_real(geometry.slot_record_page(slot), PAGE_BYTES) {
            return None;
        }
        let said = SlotRecord::at(storage.region(), geometry, slot)?.read()?;
        let Said { life, pid, role, application, counters } = said;
        let (counts, is_this) = (Counts::from(counters), this == Some(slot));
        Some(Process { slot, attached_ns: life, pid, application, role, counts, is_this })
    };
    Ok(slots.into_iter().filter_map(process).collect())
}

impl Process {
    /// Which life it is.
    fn life(&self) -> (u32, u64) {
        (self.slot, self.attached_ns)
    }
}

impl Roll {
    /// Compares those who are `present` now, in order of their slots, with those of the last time;
    /// first those who left. A slot that was used again meanwhile has both.
    pub fn call(&mut self, present: Vec<Process>) -> Vec<Event> {
        let among = |all: &[Process], one: &Process| {
            all.binary_search_by_key(&one.life(), Process::life).is_ok()
        };
        let known = std::mem::replace(&mut self.known, present);
        let joined = self.known.iter().filter(|one| !among(&known, one)).cloned();
        let joined: Vec<Event> = joined.map(Event::Joined).collect();
        let left = known.into_iter().filter(|one| !among(&self.known, one));
        left.map(Event::Left).chain(joined).collect()
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    fn process(slot: u32, attached_ns: u64) -> Process {
        let (application, role) = ("test".into(), Role::None);
        let (pid, counts, is_this) = (1, Counts::default(), false);
        Process { slot, attached_ns, pid, application, role, counts, is_this }
    }

    #[test]
    fn a_slot_that_was_used_again_has_one_who_left_and_one_who_joined() {
        use Event::{Joined, Left};
        let mut roll = Roll::default();
        let (a, b, c, d) = (process(1, 10), process(2, 5), process(1, 11), process(7, 1));
        let joined = [Joined(a.clone()), Joined(b.clone())];
        assert_eq!(roll.call(vec![a.clone(), b.clone()]), joined);
        assert_eq!(roll.call(vec![a.clone(), b.clone()]), []);
        let changed = [Left(a), Joined(c.clone()), Joined(d.clone())];
        assert_eq!(roll.call(vec![c.clone(), b.clone(), d.clone()]), changed);
        assert_eq!(roll.call(Vec::new()), [Left(c), Left(b), Left(d)]);
    }
}
