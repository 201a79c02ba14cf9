//! How numbers are written.

/// Three digits that count.
pub fn number(value: f64) -> String {
    match value {
        v if v >= 99.95 => grouped(v.round() as u64),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// A number of things, its digits in groups of three.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number of keys, short: 100k, 10M.
pub fn short(value: u64) -> String {
    match value {
        v if v >= 1_000_000 && v.is_multiple_of(1_000_000) => format!("{}M", v / 1_000_000),
        v if v >= 1000 && v.is_multiple_of(1000) => format!("{}k", v / 1000),
        v => grouped(v),
    }
}

/// A figure with its unit, where a table does not say it.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "Mops/s" => format!("{} M/s", number(value)),
        "ns" => duration(value),
        "us" => duration(value * 1000.0),
        "bytes" => format!("{} bytes", number(value)),
        _ => number(value),
    }
}

/// A figure in a table's cell.
pub fn cell(value: f64, unit: &str) -> String {
    match unit {
        "ns" | "us" => with_unit(value, unit),
        _ => number(value),
    }
}

/// Nanoseconds, in the unit that suits them.
fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        v if v >= 999.5e6 => format!("{} s", number(v / 1e9)),
        v if v >= 999.5e3 => format!("{} ms", number(v / 1e6)),
        v if v >= 999.5 => format!("{} µs", number(v / 1e3)),
        v => format!("{v:.0} ns"),
    }
}

/// Bytes of memory of a machine.
pub fn memory(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        let written = [0.1234, 0.9996, 3.456, 9.996, 42.42, 99.96, 12_345.6].map(number);
        assert_eq!(written, ["0.123", "1.00", "3.46", "10.0", "42.4", "100", "12 346"]);
        assert_eq!([100_000, 10_000_000, 1234].map(short), ["100k", "10M", "1 234"]);
        let written = [250.0, 2345.0, 4_093_951.0, 2e9].map(|value| with_unit(value, "ns"));
        assert_eq!(written, ["250 ns", "2.35 µs", "4.09 ms", "2.00 s"]);
        assert_eq!(with_unit(51.5, "us"), "51.5 µs");
    }
}
