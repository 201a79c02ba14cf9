//! The page: a part that is measured between two marks, and the rest, which is written by hand.

pub const BEGIN: &str = "<!-- measured: begin -->";
pub const END: &str = "<!-- measured: end -->";

/// What a page begins with that was not there.
const HEAD: &str = "\
# Benchmarks

What SharedHashFile reaches beside other stores, on one machine, with the same keys, the same values
and the same order of operations for all of them. `make bench-peers` measures it, `make bench-report`
makes this page; another machine gives other figures.

Stores that processes share, servers, and maps in the memory of one process solve different problems.
Each table says which one a store is; where one is faster than SharedHashFile, the text below the
table says so.

";

/// The page with another measured part; without a page a new one.
pub fn with_measured(old: Option<&str>, measured: &str) -> Result<String, String> {
    let part = format!("{BEGIN}\n\n{}\n\n{END}", measured.trim());
    let Some(old) = old else { return Ok(format!("{HEAD}{part}\n")) };
    let expected = format!("expected {BEGIN:?} once, and {END:?} once after it");
    let once = |mark: &str| match old.matches(mark).count() {
        1 => old.find(mark).ok_or_else(String::new),
        count => Err(format!("{expected}, found {mark:?} {count} times")),
    };
    let (begin, end) = (once(BEGIN)?, once(END)?);
    if end < begin {
        return Err(format!("{expected}, found them the other way round"));
    }
    Ok(format!("{}{part}{}", &old[..begin], &old[end + END.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_stays() {
        let new = with_measured(None, "1 M/s").expect("a new page");
        assert!(new.starts_with("# Benchmarks") && new.contains("1 M/s"));
        let old = format!("By hand.\n{BEGIN}\nold\n{END}\nBelow.\n");
        let page = with_measured(Some(&old), "new").expect("a page");
        assert_eq!(page, format!("By hand.\n{BEGIN}\n\nnew\n\n{END}\nBelow.\n"));
        assert_eq!(with_measured(Some(&page), "new").expect("the same page"), page);
    }

    #[test]
    fn a_page_without_its_marks_is_left_alone() {
        let error = with_measured(Some("By hand."), "new").expect_err("no marks");
        assert!(error.ends_with("found \"<!-- measured: begin -->\" 0 times"), "{error}");
        let error = with_measured(Some(&format!("{END}{BEGIN}")), "new").expect_err("wrong order");
        assert!(error.ends_with("the other way round"), "{error}");
    }
}
