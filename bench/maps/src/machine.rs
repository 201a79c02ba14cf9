//! What the system is told and asked.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that this thread may use, in order.
pub fn processors() -> Result<Vec<usize>, String> {
    let allowed = sched_getaffinity(None).map_err(|error| format!("sched_getaffinity: {error}"))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).collect())
}

/// Has this thread run on the n-th of these processors, or, when they are fewer, from the first one
/// on again.
pub fn pin(processors: &[usize], n: usize) -> Result<(), String> {
    let mut only = CpuSet::new();
    only.set(processors[n % processors.len()]);
    sched_setaffinity(None, &only).map_err(|error| format!("sched_setaffinity: {error}"))
}

/// Real bytes of this process that no file stands behind.
pub fn private_bytes() -> Result<u64, String> {
    let path = "/proc/self/statm";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut pages = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
    match (pages.next(), pages.next(), pages.next()) {
        (Some(_), Some::<u64>(resident), Some(shared)) => {
            Ok(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
        }
        _ => Err(format!("{path}: expected three numbers, found {text:?}")),
    }
}
