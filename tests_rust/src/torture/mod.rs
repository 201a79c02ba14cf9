//! Torture: processes that use a map at the same time, and are killed and stopped at random
//! moments, many a second, under the eyes of a judge.
//!
//! The process that runs this is the judge. It forks a *crew*: writers, readers and scanners, one
//! in each *seat*; who is killed is replaced. Each writes what it is about to do, and what came of
//! it, into the *log* of its seat, which is memory of the judge's: what it wrote before its death
//! stays.
//!
//! It goes on in *rounds* of a part of a second. At the end of a round all come to rest, and the
//! judge looks at
//! - the map: `Map::verify` finds nothing;
//! - each key: it reads it, and an order of all calls of the round explains all answers, that
//!   reading, and what the key had when the round began (`history`). A lost write, a value that
//!   comes back, a torn value, a call that answered `Busy` and happened nevertheless have none;
//! - the time: on no shard did calls that wait for its lock wait longer than `Plan::stall_max`
//!   after a death (`stall`);
//! - the memory: no more bytes are committed than the keys can need.
//!
//! Some keys are lists (`lists`), of which an order is looked for as well. Beside the keys that are
//! judged so, there are some that live for milliseconds (`mortals`): when all rest, these are gone,
//! and the map counts none of them. And beside that map there is a small one that evicts (`cache`).
//!
//! Some rounds make a *leg*, with a map of its own, so that growth and splits come back. All
//! choices follow from the seed; what they meet with does not.

mod cache;
mod crew;
mod judge;
mod keys;
mod lists;
mod log;
mod mortals;
mod plan;
mod run;
mod run_delay;
mod stall;
mod worker;

pub use plan::{Plan, Report};
pub use run::run;
