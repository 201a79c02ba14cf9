//! Maps whose files have no name, descriptors of files, and the maps of a folder.

use crate::ffi::{Listed, Options, Outcome};
use crate::guard::{guard, silence_panics};
use crate::map::{Map, engine_options, folder_path};
use shf_engine::{Access, Map as EngineMap, OpenError};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::time::SystemTime;

pub fn list_maps(folder: &[u8], into: &mut Vec<Listed>) -> Outcome {
    silence_panics();
    guard(|| {
        into.extend(EngineMap::list(folder_path(folder))?.into_iter().map(Listed::from));
        Ok(Outcome::done(true, into.len() as u64))
    })
}

impl Map {
    pub fn create_anonymous(&self, options: &Options<'_>) -> Outcome {
        self.attach_to(|| Ok(EngineMap::anonymous(&engine_options(options)?)?))
    }

    #[allow(unsafe_code)]
    pub fn open_descriptor(
        &self,
        descriptor: i32,
        read_only: bool,
        options: &Options<'_>,
    ) -> Outcome {
        self.attach_to(|| {
            if descriptor < 0 {
                return Err(OpenError::InvalidOption {
                    option: "descriptor",
                    expected: "that of an open file".into(),
                    found: descriptor.to_string(),
                }
                .into());
            }
            // SAFETY: not -1. It stays open during the call or, where it is no open descriptor,
            // every call of the kernel with it fails.
            let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
            let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
            Ok(EngineMap::open_descriptor(descriptor, access, &engine_options(options)?)?)
        })
    }

    pub fn descriptor(&self) -> Outcome {
        guard(|| {
            let descriptor = self.engine()?.descriptor()?.into_raw_fd();
            Ok(Outcome::done(true, descriptor as u64))
        })
    }
}

impl From<shf_engine::Listed> for Listed {
    fn from(found: shf_engine::Listed) -> Listed {
        let name = found.name;
        match found.facts {
            Ok(facts) => Listed {
                name,
                status: shf_engine::Status::Ok as u32,
                text: String::new(),
                keys: facts.keys,
                committed_bytes: facts.committed_bytes,
                real_bytes: facts.real_bytes,
                apparent_bytes: facts.apparent_bytes,
                max_bytes: facts.max_bytes,
                created_ns: nanoseconds(facts.created),
                durable: facts.durable,
                evict: facts.evict,
                temporary: facts.temporary,
                users: facts.users,
            },
            Err(error) => Listed {
                name,
                status: error.status() as u32,
                text: error.to_string(),
                keys: 0,
                committed_bytes: 0,
                real_bytes: 0,
                apparent_bytes: 0,
                max_bytes: 0,
                created_ns: 0,
                durable: false,
                evict: false,
                temporary: false,
                users: 0,
            },
        }
    }
}

/// Since 1970, as far as they fit.
fn nanoseconds(moment: SystemTime) -> i64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
