//! What the benchmark's C++ takes from Rust: latency histograms (`hdrhistogram`) and skewed random
//! numbers (`rand_distr`).

use hdrhistogram::Histogram as Hdr;
use shf_bench_random::zipf_numbers;

/// Significant decimal digits of a recorded duration.
const DIGITS: u8 = 2;
/// The longest duration that is told apart from longer ones: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

#[cxx::bridge(namespace = "bench::kit")]
mod ffi {
    /// A number of durations that are the same to two digits.
    #[derive(Clone, Copy)]
    struct Cell {
        nanoseconds: u64,
        count: u64,
    }

    extern "Rust" {
        type Histogram;

        fn new_histogram() -> Box<Histogram>;
        fn record(self: &mut Histogram, nanoseconds: u64);
        /// Adds what `cells` of another one says.
        fn add(self: &mut Histogram, cells: &[Cell]);
        /// What was recorded, in rising order.
        fn cells(self: &Histogram) -> Vec<Cell>;
        fn count(self: &Histogram) -> u64;
        /// The duration that this share of all, 0 to 1, stays at or below.
        fn quantile(self: &Histogram, share: f64) -> u64;

        /// `count` numbers below `bound`: the number r - 1 comes up in proportion to
        /// 1 / r ** exponent. Empty unless 0 < exponent < 20 and 0 < bound.
        fn zipf_numbers(bound: u64, exponent: f64, seed: u64, count: usize) -> Vec<u64>;
    }
}

use ffi::Cell;

pub struct Histogram(Hdr<u64>);

fn new_histogram() -> Box<Histogram> {
    Box::new(Histogram(Hdr::new_with_max(LONGEST_NS, DIGITS).expect("valid bounds")))
}

impl Histogram {
    fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    fn add(&mut self, cells: &[Cell]) {
        for cell in cells {
            self.0.saturating_record_n(cell.nanoseconds, cell.count);
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let recorded = self.0.iter_recorded();
        recorded
            .map(|step| Cell {
                nanoseconds: step.value_iterated_to(),
                count: step.count_since_last_iteration(),
            })
            .collect()
    }

    fn count(&self) -> u64 {
        self.0.len()
    }

    fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }
}
