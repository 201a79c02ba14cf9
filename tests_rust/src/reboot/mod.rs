//! Unclean reboots, simulated: what a map's file may hold after the machine died, and whether all
//! that was synced is in it.
//!
//! *The disk.* The kernel writes dirty pages back whenever it likes, in any order. So after a crash
//! each page of the file is, independently of all others, what it was at some moment since the
//! beginning of the last flush that ended. Holes are pages of zeros.
//!
//! *The method.* Children work on a map. At their steps, and before and after what they flush, they
//! stop (`stepping`), and the parent takes a snapshot of the file (`disk`). A flush is no system
//! call there: a filter turns it into a signal, so that nobody has to guess where it begins and
//! ends (`flush`). Afterwards files are made whose pages come from different snapshots (`mixture`),
//! and opened under another name, hence with another inode, as after a reboot (`judge`).
//!
//! *The promise.* Before a child calls `sync` it notes which calls of all children were
//! acknowledged; when it returned, that is what is promised (`desk`). A key has one of the values
//! that it had at this moment or later (`expected`); a key that nobody called anything about since
//! has exactly the one. A list has what `list` says.
//!
//! Calls follow from a seed (`script`), so parent and child need not tell each other what they
//! were. `conductor` lets one child or several work and stop, `record` keeps what was seen
//! meanwhile, and makes crashes of it (`crash`).

pub mod conductor;
pub mod crash;
pub mod desk;
pub mod disk;
pub mod engine;
pub mod expected;
pub mod flush;
pub mod judge;
pub mod list;
pub mod member;
pub mod mixture;
pub mod record;
pub mod script;
pub mod state;
pub mod stepping;
