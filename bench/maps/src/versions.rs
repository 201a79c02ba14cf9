//! The versions of the packages that are measured.

/// What this program was built from.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of a package, or "unknown".
pub fn of(package: &str) -> &'static str {
    let line = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|&found| found != line);
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.map_or("unknown", |quoted| quoted.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_measured_package_has_a_version() {
        for package in ["dashmap", "papaya", "shf-engine"] {
            assert!(super::of(package).starts_with(|first: char| first.is_ascii_digit()));
        }
        assert_eq!(super::of("dash"), "unknown");
    }
}
