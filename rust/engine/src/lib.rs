//! A hash table in shared memory, for any number of processes and threads at once.
//!
//! One file, mapped once, holds a number of shards; each is a table of its own with its lock, its
//! directory, its one-page tables and its record memory. `docs/architecture.md` gives an order to
//! read them in, and follows one put, one get and one death through them.
//!
//! Modules use those above them; only `intent` knows `split` and `merge` as they know it, because
//! the last entry of a split's intent is to finish it, and the first one of a merge's to do it.
#![deny(unsafe_code)]

pub mod hash;
pub mod group;
pub mod class;
pub mod slot_word;
pub mod table;
pub mod stamp;
pub mod place;
pub mod seal;
pub mod key;
pub mod kind;
pub mod number;
pub mod list;
pub mod element;
pub mod shape;
pub mod age;
mod uses;
mod item;
pub mod record;
pub mod uid;
pub mod token;
pub mod condition;
pub mod intent;
pub mod quarantine;
mod life;
mod draft;
pub mod directory;
pub mod locate;
pub mod orphans;
pub mod ahead;
pub mod growth;
pub mod run;
pub mod holes;
pub mod block;
pub mod stacks;
pub mod sweep;
pub mod arena;
pub mod index_pages;
pub mod split;
pub mod merge;
pub mod compaction;
pub mod squeeze;
pub mod check;
mod check_memory;
pub mod link;
pub mod salvage;
pub mod sealed;
mod gaps;
pub mod rebuild;
pub mod repair;
pub mod shard;
mod hand;
mod expiry;
mod eviction;
mod emptying;
mod region;
mod room;
mod list_ends;
pub mod read;
mod short;
mod take;
pub mod walk;
pub mod stats;
pub mod options;
pub mod sink;
pub mod map;
mod opening;
mod usage;
mod aging;
mod conditional;
mod lists;
mod many;
mod named;
mod presence;
pub mod range;
mod scan;
mod sync;
mod typed;

pub use age::Age;
pub use check::{SlotNumber, Violation};
pub use condition::Condition;
pub use conditional::Change;
pub use kind::Kind;
pub use many::PutManyError;
pub use map::{Map, Repaired};
pub use number::Number;
pub use options::Options;
pub use presence::Watch;
pub use range::Elements;
pub use scan::{Cursor, Pair};
pub use shard::Placed;
pub use shf_base::counts::Counts;
pub use shf_base::error::{OpError, OpenError, Status};
pub use shf_base::gate::{Gate, Inside, Visit};
pub use shf_base::process::{Event, Process, Roll};
pub use shf_base::slot_record::Role;
pub use sink::Sink;
pub use stats::Stats;
pub use token::Token;
pub use typed::Value;
pub use uid::Uid;
pub use walk::Names;
