//! Tests of the errors: what their texts and their codes say.

use super::*;

/// What a text must contain, besides the words around it.
type Facts = &'static [&'static str];

fn assert_tells(text: &str, status: Status, code: u32, facts: Facts) {
    assert_eq!(status as u32, code, "{text}");
    for fact in facts {
        assert!(text.contains(fact), "`{fact}` is missing: {text}");
    }
}

#[test]
fn every_error_of_opening_has_its_stable_code_and_tells_its_facts() {
    // Goal: codes are never renumbered, and no fact of an error is left out of its text. Method: an
    // error of each kind whose facts are unlike each other, with the code as it was first given.
    let path = || PathBuf::from("/folder/map.shf");
    let cases: &[(OpenError, u32, Facts)] = &[
        (OpenError::InvalidName { name: "a/b".into(), reason: "no" }, 3, &["\"a/b\"", "no"]),
        (
            OpenError::InvalidOption {
                option: "mode",
                expected: "at most 0o777".into(),
                found: "0o1000".into(),
            },
            2,
            &["mode", "expected at most 0o777", "found 0o1000"],
        ),
        (OpenError::NotFound { path: path() }, 4, &["/folder/map.shf"]),
        (OpenError::AlreadyExists { path: path() }, 5, &["/folder/map.shf", "exists"]),
        (
            OpenError::PermissionDenied { path: path(), wanted: "write" },
            6,
            &["/folder/map.shf", "write access"],
        ),
        (
            OpenError::UnsupportedFileSystem { path: path(), f_type: 0x6969 },
            7,
            &["/folder/map.shf", "0x6969", "allow_any_file_system"],
        ),
        (
            OpenError::NoSpace { path: path(), needed_bytes: 77_824 },
            8,
            &["/folder/map.shf", "77824 bytes"],
        ),
        (
            OpenError::Incompatible {
                path: path(),
                field: "version",
                expected: "3".into(),
                found: "77".into(),
            },
            9,
            &["/folder/map.shf", "version", "expected 3", "found 77"],
        ),
        (OpenError::AddressSpace { needed_bytes: 4_567_890 }, 16, &["4567890 bytes"]),
        (OpenError::TooManyProcesses { slots: 1024 }, 17, &["1024"]),
        (OpenError::Frozen { path: path() }, 13, &["/folder/map.shf", "frozen", "writing"]),
        (OpenError::NotFrozen { path: path() }, 9, &["/folder/map.shf", "frozen", "change"]),
        (OpenError::InUse { path: path() }, 11, &["/folder/map.shf", "no other handle"]),
        (OpenError::BeingFrozen { path: path() }, 11, &["/folder/map.shf", "being frozen"]),
        (
            OpenError::System { path: path(), call: "fstat", errno: libc::EIO },
            19,
            &["/folder/map.shf", "fstat", "Input/output error"],
        ),
    ];
    for (error, code, facts) in cases {
        assert_tells(&error.to_string(), error.status(), *code, facts);
    }
}

#[test]
fn every_error_of_an_operation_has_its_stable_code_and_tells_its_facts() {
    // Goal and method: as above.
    let cases: &[(OpError, u32, Facts)] = &[
        (
            OpError::TooLarge { needed_bytes: 5_000, limit_bytes: 4_000, option: "max_bytes" },
            14,
            &["5000 bytes", "at most 4000", "max_bytes"],
        ),
        (
            OpError::NoSpace { needed_bytes: 45_056, max_bytes: 1_048_576 },
            8,
            &["45056 more bytes", "1048576 bytes"],
        ),
        (OpError::Busy, 11, &["busy"]),
        (
            OpError::WrongType { expected: "integer", found: "bytes" },
            12,
            &["expected integer", "found bytes"],
        ),
        (OpError::Overflow { value: -9, delta: 42 }, 22, &["adding 42 to -9"]),
        (OpError::ReadOnly, 13, &["reading only"]),
        (
            OpError::Corrupt { shard: 3, offset: 81_920, what: "directory too deep" },
            10,
            &["shard 3", "offset 81920", "directory too deep"],
        ),
        (OpError::HashCollisions { shard: 17 }, 18, &["shard 17"]),
        (OpError::OutOfMemory { bytes: 123_456 }, 16, &["123456 bytes"]),
        (
            OpError::BufferTooSmall { needed_bytes: 100, found_bytes: 64 },
            15,
            &["expected 100 bytes", "found 64"],
        ),
        (OpError::TooManyProcesses { slots: 1024 }, 17, &["1024"]),
        (OpError::AlreadyLed, 26, &["leads already"]),
        (
            OpError::System { call: "fallocate", errno: libc::EIO },
            19,
            &["fallocate", "Input/output error"],
        ),
    ];
    for (error, code, facts) in cases {
        assert_tells(&error.to_string(), error.status(), *code, facts);
    }
}
