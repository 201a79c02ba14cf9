//! A Rust library of somebody else: allocates, panics and catches its panic.

/// The sum of the first `count` numbers, found the long way.
#[no_mangle]
pub extern "C" fn neighbour_sum(count: u64) -> u64 {
    std::panic::set_hook(Box::new(|_| ()));
    let caught = std::panic::catch_unwind(|| panic!("caught at once"));
    let numbers: Vec<u64> = (1..=count).collect();
    if caught.is_err() {
        numbers.iter().sum()
    } else {
        0
    }
}
