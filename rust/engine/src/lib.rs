//! A hash table in shared memory.
pub mod map;
pub mod options;
pub mod stats;
pub use map::{Map, Placed};
pub use options::Options;
pub use shf_base::error::{OpError, OpenError, Status};
pub use stats::Stats;
