//! What a process says of itself in the record of its slot, for others to read.
//!
//! ```text
//! line 1   0 life   8 pid, length of the name   16 role   24 (0)   32 name, 32 bytes
//! line 2   64 eight counters, which only the owner of the slot adds to
//! ```
//!
//! *Life* is the moment at which the slot was taken, in nanoseconds since 1970; slot and life
//! together name one life of a process in the map. A record says something only while its owner
//! holds a byte lock beside that of the slot, which it takes once the record is whole
//! (`byte_lock`): so what a dead owner left is never taken for a living one's. Whoever reads while
//! that lock passes from one owner to the next sees it by the life, which is 0 while the rest is
//! stored, and read before and after.
//!
//! Nothing but `process` looks at records. Whatever one says, it is shown and not believed: numbers
//! are numbers, text is made UTF-8 without control characters, and who lives and who leads is asked
//! of the kernel.

use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::atomic::{Bytes, Word, fence};
use crate::clock;
use crate::counts::COUNTERS;
use crate::geometry::{Geometry, SLOT_RECORD_BYTES};
use crate::region::Region;

/// Bytes of an application's name, at most.
pub const APPLICATION_BYTES_MAX: usize = 32;

const LIFE: usize = 0;
const PID: usize = 1;
const ROLE: usize = 2;
const NAME: usize = 4;
const NAME_WORDS: usize = APPLICATION_BYTES_MAX / 8;
const FIRST_COUNTER: usize = 8;
/// Where the length of the name begins in the word of the pid.
const NAME_LEN_SHIFT: u32 = 32;
/// How often a record is read that changes meanwhile.
const ATTEMPTS: u32 = 8;

const _: () = assert!((FIRST_COUNTER + COUNTERS) * 8 == SLOT_RECORD_BYTES as usize);
const _: () = assert!(NAME + NAME_WORDS == FIRST_COUNTER);

/// What a process does in a map, as far as others should know.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nothing in particular.
    #[default]
    None = 0,
    /// It leads the others. One process at most does.
    Leader = 1,
    /// It consumes what others produce.
    Consumer = 2,
}

impl Role {
    /// The role of a number; `None` of one that is none's.
    pub fn of(number: u64) -> Role {
        match number {
            1 => Role::Leader,
            2 => Role::Consumer,
            _ => Role::None,
        }
    }

    /// What it is called in texts.
    pub fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Leader => "leader",
            Role::Consumer => "consumer",
        }
    }

    /// What a forked child has of its parent's role: only one leads.
    pub(crate) fn of_child(self) -> Role {
        if self == Role::Leader { Role::None } else { self }
    }
}

/// What a record says, made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub life: u64,
    pub pid: u32,
    pub role: Role,
    pub application: String,
    pub counters: [u64; COUNTERS],
}

/// The record of a slot.
#[derive(Clone, Copy)]
pub(crate) struct SlotRecord<'r>(Bytes<'r>);

impl<'r> SlotRecord<'r> {
    /// The record of `slot`, whose page MUST be real.
    pub fn at(region: &'r Region, geometry: &Geometry, slot: u32) -> Option<SlotRecord<'r>> {
        region.bytes(geometry.slot_record(slot), SLOT_RECORD_BYTES).map(SlotRecord)
    }

    /// Begins a life. The caller has just taken the slot.
    pub fn begin(self, application: &str, role: Role) {
        let before = self.0.word(LIFE).load(Relaxed);
        self.0.word(LIFE).store(0, Relaxed);
        // Who sees anything of what follows sees the life that is 0, or a later one: pairs with the
        // fence in `read`.
        fence(Release);
        let mut name = [0; APPLICATION_BYTES_MAX];
        let len = application.len().min(name.len());
        name[..len].copy_from_slice(&application.as_bytes()[..len]);
        let pid = u64::from(std::process::id()) | (len as u64) << NAME_LEN_SHIFT;
        self.0.word(PID).store(pid, Relaxed);
        self.set_role(role);
        for (at, bytes) in name.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
            self.0.word(NAME + at).store(word, Relaxed);
        }
        for counter in 0..COUNTERS {
            self.counter(counter).store(0, Relaxed);
        }
        let now = clock::wall_ns().max(1);
        // Whatever the clock says, it is another life. Release pairs with the acquire in `read`.
        self.0.word(LIFE).store(now + u64::from(now == before), Release);
    }

    pub fn set_role(self, role: Role) {
        self.0.word(ROLE).store(role as u64, Relaxed);
    }

    /// One of the counters.
    pub fn counter(self, which: usize) -> Word<'r> {
        self.0.word(FIRST_COUNTER + which)
    }

    /// What the record says; `None` while it passes to another owner.
    pub fn read(self) -> Option<Said> {
        let load = |word: usize| self.0.word(word).load(Relaxed);
        for _ in 0..ATTEMPTS {
            let life = self.0.word(LIFE).load(Acquire);
            let (pid, role) = (load(PID), load(ROLE));
            let name: [u64; NAME_WORDS] = std::array::from_fn(|at| load(NAME + at));
            let counters = std::array::from_fn(|at| load(FIRST_COUNTER + at));
            // Pairs with the fence in `begin`: of a later life nothing was read, or it shows now.
            fence(Acquire);
            if life != 0 && load(LIFE) == life {
                let len = (pid >> NAME_LEN_SHIFT).min(APPLICATION_BYTES_MAX as u64) as usize;
                let name: Vec<u8> = name.into_iter().flat_map(u64::to_le_bytes).collect();
                let (pid, role) = (pid as u32, Role::of(role));
                let application = harmless(&name[..len]);
                return Some(Said { life, pid, role, application, counters });
            }
        }
        None
    }
}

/// Text that a terminal or a log can show, of whatever bytes.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_its_owner_said_and_another_life_each_time() {
        let geometry = Geometry::new(1, 256 << 10).unwrap();
        let region = Region::heap(geometry.file_bytes()).unwrap();
        let record = SlotRecord::at(&region, &geometry, 33).unwrap();
        assert_eq!(record.read(), None);
        let name = "\u{fc}ber die ganze Breite des Namens"; // 32 bytes
        record.begin(&name[..32], Role::Consumer);
        let first = record.read().unwrap();
        assert_eq!((first.role, &*first.application), (Role::Consumer, &name[..32]));
        assert_eq!((first.pid, first.counters), (std::process::id(), [0; COUNTERS]));
        record.counter(3).store(7, Relaxed);
        record.set_role(Role::Leader);
        let same = record.read().unwrap();
        assert_eq!((same.life, same.role, same.counters[3]), (first.life, Role::Leader, 7));
        record.begin("", Role::None);
        let second = record.read().unwrap();
        assert_ne!(second.life, first.life);
        assert_eq!((&*second.application, second.counters), ("", [0; COUNTERS]));
    }

    #[test]
    fn forged_records_are_shown_without_harm() {
        // Goal: P5. Method: a length beyond the name, bytes that are no text, numbers that are no
        // role.
        let geometry = Geometry::new(1, 256 << 10).unwrap();
        let region = Region::heap(geometry.file_bytes()).unwrap();
        let record = SlotRecord::at(&region, &geometry, 0).unwrap();
        for word in 0..SLOT_RECORD_BYTES / 8 {
            let value = if word == 4 { u64::from_le_bytes(*b"\x1b[2J\n\0ab") } else { u64::MAX };
            region.word(geometry.slot_record(0) + word * 8).unwrap().store(value, Relaxed);
        }
        let said = record.read().unwrap();
        assert_eq!((said.pid, said.role, said.life), (u32::MAX, Role::None, u64::MAX));
        assert!(said.application.starts_with("\u{fffd}[2J\u{fffd}\u{fffd}ab\u{fffd}"));
        assert!(!said.application.contains(char::is_control));
        record.begin("next", Role::None);
        assert_eq!(record.read().unwrap().application, "next");
    }
}
