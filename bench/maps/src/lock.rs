//! How long the lock of a shard takes where nobody else wants it.

use shf_base::appearance::Appearance;
use shf_base::format::{LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::open::{CreateOptions, create, remove};
use shf_base::robust_mutex::RobustMutex;
use std::path::Path;
use std::time::Instant;

const LOCKS: u32 = 20_000_000;

/// Nanoseconds of a lock and unlock, in a map of its own.
pub fn measure(folder: &Path) -> Result<f64, String> {
    let name = format!("shf-bench-lock-{}", std::process::id());
    let options = CreateOptions {
        shards: Some(1),
        max_bytes: Some(1 << 20),
        mode: 0o600,
        group: None,
        allow_any_file_system: false,
        secret: None,
        age_ms: None,
        durable: Some(false),
        evict: false,
        temporary: false,
        initial: None,
        fixed: None,
        appearance: Appearance::default(),
    };
    let opened = create(folder, &name, &options).map_err(|error| error.to_string())?;
    remove(folder, &name).map_err(|error| error.to_string())?;
    let header = opened.storage.shard(0).0;
    let half = |offset: u64| header.half((offset / 4) as usize);
    let mutex = RobustMutex::new(half(LOCK_OFFSET), half(SUSPECT_OFFSET));
    let who = opened.presence.as_ref().ok_or("a map that was created can be written to")?;
    let begin = Instant::now();
    for _ in 0..LOCKS {
        drop(mutex.lock(who, None).map_err(|error| error.to_string())?);
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / f64::from(LOCKS))
}
