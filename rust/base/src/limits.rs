//! What this process may take: length of files, memory of the machine, memory of control groups.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Longest file that this process may make, in bytes (`RLIMIT_FSIZE`). Beyond it the kernel sends
/// SIGXFSZ, so it is looked at first, each time: it may be changed from outside.
pub(crate) fn file_bytes_max() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Bytes of memory that this process can still take before the machine or a control group runs
/// out of it; `u64::MAX` where nothing says so.
pub(crate) fn memory_bytes_available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemAvailable:")?.checked_mul(1024));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.unwrap_or(u64::MAX).min(group_bytes_available(&groups))
}

/// The files of one version of the memory controller.
struct Controller {
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    inactive: &'static str,
}

const VERSION_2: Controller = Controller {
    mount: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    inactive: "inactive_file",
};

const VERSION_1: Controller = Controller {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
};

/// The least that any group above this process leaves; `groups` as in `/proc/self/cgroup`.
fn group_bytes_available(groups: &str) -> u64 {
    let lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let version_1 = controllers.split(',').any(|name| name == "memory");
        let controller = if version_1 {
            &VERSION_1
        } else if controllers.is_empty() {
            &VERSION_2
        } else {
            return None;
        };
        Some(available_along(controller, Path::new(controller.mount), path))
    });
    lines.min().unwrap_or(u64::MAX)
}

/// The least of a group and its parents up to the mount. In a container the path may be one of
/// the host that is not there; its own group is then the mount itself.
fn available_along(controller: &Controller, mount: &Path, path: &str) -> u64 {
    let relative = Path::new(path.trim_start_matches('/'));
    let groups = relative.ancestors().map(|group| mount.join(group));
    groups.map(|group| available_in(controller, &group).unwrap_or(u64::MAX)).min().unwrap_or(0)
}

/// Limit minus usage, where the usage does not count file pages that can be dropped at once.
fn available_in(controller: &Controller, group: &Path) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number(controller.limit)?;
    let usage = number(controller.usage)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let inactive = field(&stat, controller.inactive).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(inactive)))
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_on_the_way_up_decides() {
        // Goal: a limit of a parent counts, droppable file pages do not. Method: a folder that
        // looks like a control group tree.
        let mount = std::env::temp_dir().join(format!("shf-groups-{}", std::process::id()));
        let group = mount.join("a/b");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(mount.join("a/memory.max"), "1000\n").unwrap();
        fs::write(mount.join("a/memory.current"), "900\n").unwrap();
        fs::write(mount.join("a/memory.stat"), "anon 1\ninactive_file 300\n").unwrap();
        assert_eq!(available_along(&VERSION_2, &mount, "/a/b"), 400);
        assert_eq!(available_along(&VERSION_2, &mount, "/not/there"), u64::MAX);
        fs::remove_dir_all(&mount).unwrap();
    }

    #[test]
    fn this_machine_says_how_much_memory_it_has() {
        assert!(memory_bytes_available() > 0);
        assert_eq!(group_bytes_available("7:cpu,cpuacct:/x\n"), u64::MAX);
    }
}
