//! What is done with keys and their values, one or many: each in a map that nothing else is asked
//! of.
#![cfg(not(any(miri, loom)))]

mod conditions;
mod long_keys;
mod many;
mod uids;
mod values;
mod walks;
