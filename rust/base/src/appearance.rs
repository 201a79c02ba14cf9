//! How a process wants to be seen by the others that are attached to its map.

use crate::error::OpenError;
use crate::slot_record::{APPLICATION_BYTES_MAX, Role};

/// How a process wants to be seen by the others.
#[derive(Clone, Debug, Default)]
pub struct Appearance {
    /// The name of its application, at most 32 bytes without control characters. Default: that of
    /// the program, as `/proc/self/comm` has it.
    pub application: Option<String>,
    /// Its role.
    pub role: Role,
}

impl Appearance {
    /// Refuses a name that no record has room for, and a role of who is not seen.
    pub(crate) fn check(&self, is_seen: bool) -> Result<(), OpenError> {
        let invalid = |option, expected: String, found| {
            Err(OpenError::InvalidOption { option, expected, found })
        };
        let name = self.application.as_deref().unwrap_or_default();
        if name.len() > APPLICATION_BYTES_MAX {
            let expected = format!("at most {APPLICATION_BYTES_MAX} bytes");
            return invalid("application", expected, format!("{} bytes", name.len()));
        }
        if let Some(at) = name.find(char::is_control) {
            let found = format!("one at byte {at}");
            return invalid("application", "no control characters".into(), found);
        }
        if !is_seen && self.role != Role::None {
            let expected = "None in a handle that only reads, which nobody sees".into();
            return invalid("role", expected, format!("{:?}", self.role));
        }
        Ok(())
    }
}

/// The name of this program, as far as it can be had and is a name.
pub(crate) fn program() -> String {
    let comm = std::fs::read("/proc/self/comm").unwrap_or_default();
    let name = String::from_utf8_lossy(&comm);
    let name = name.trim_end_matches('\n');
    let whole =
        |name: &&str| name.len() <= APPLICATION_BYTES_MAX && !name.contains(char::is_control);
    Some(name).filter(whole).unwrap_or_default().into()
}
