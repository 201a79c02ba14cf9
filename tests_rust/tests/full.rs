//! A map that has used up its maximum: what it says, and what it still takes.

use shf_engine::{Map, OpError};

/// Puts numbered keys with values of `len` bytes until one fails; how many, and the failure.
fn fill(map: &Map, from: u64, len: usize) -> (u64, OpError) {
    let value = vec![7; len];
    for key in from.. {
        if let Err(error) = map.put(&key.to_le_bytes(), &value) {
            return (key - from, error);
        }
    }
    unreachable!("a map has a maximum")
}

#[test]
fn no_space_names_what_was_needed_beyond_what_is_there() {
    // Goal: the number in the error is the growth that was refused. Method: a full map, then a small
    // value, which needs one page, and a large one, which needs its own pages at least.
    const PAGE: u64 = 4096;
    let map = Map::heap(1, 4 << 20, 1 << 20);
    let (keys, error) = fill(&map, 0, 100);
    assert!(keys > 3000, "{keys}");
    let max_bytes = 1 << 20;
    assert_eq!(error, OpError::NoSpace { needed_bytes: PAGE, max_bytes });
    let error = map.put(b"large", &vec![1; 10 * PAGE as usize]).unwrap_err();
    assert_eq!(error, OpError::NoSpace { needed_bytes: 11 * PAGE, max_bytes });
}
