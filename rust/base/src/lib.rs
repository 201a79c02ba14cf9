//! Memory, layout and synchronisation for maps in shared memory; knows no hash table.
//!
//! Read in the order of the modules below: each uses only those above it.
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("SharedHashFile needs a 64-bit little-endian Linux");

pub mod error;
pub mod crash;
mod veil;
pub mod atomic;
pub mod region;
pub mod geometry;
pub mod reservation;
pub mod fixed_lengths;
pub mod format;
mod cancellation;
mod limits;
mod file_system;
mod mapping;
#[cfg(feature = "fuzzing")]
pub mod guarded;
mod thread_number;
mod per_thread;
mod numbers;
pub mod counts;
pub mod gate;
mod fork;
mod map_file;
mod byte_lock;
mod lock_word;
pub mod slot_record;
pub mod appearance;
pub mod attachment;
pub mod slot;
pub mod robust_mutex;
pub mod epochs;
pub mod grace;
pub mod clock;
pub mod default_age;
pub mod shards;
pub mod storage;
pub mod change_log;
pub mod process;
mod place;
mod examine;
mod unlinking;
mod temporary;
mod attach;
mod draft;
mod create;
pub mod frozen;
pub mod listing;
pub mod open;
#[cfg(all(test, not(any(loom, miri))))]
mod testing;
