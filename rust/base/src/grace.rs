//! How long memory rests before it is given back to the file system.
//!
//! A reader may still look at memory that was freed after it loaded the reference. It notices, and
//! answers nothing wrong; but memory that is a hole by then is made real again by its look, and
//! where there is no memory left, that look is SIGBUS. So memory rests for a second first. A reader
//! that is stopped for longer, between a load and the next one, and goes on when the file system
//! has not one page left, is not protected.
//!
//! A moment is read from two clocks: one that nobody can set, but that differs between time
//! namespaces, and one that is the same everywhere, but can be set. What both say is right unless
//! both fail at once.

/// The rest, in milliseconds.
const REST_MS: u32 = 1000;
/// What is longer than this was not measured by the same clock: half of what 32 bits count.
const LONGEST_MS: u32 = u32::MAX / 2;

/// A moment: milliseconds of both clocks, 32 bits of each. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

/// What a rest that began at some moment has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is over.
    Over,
    /// It is not over yet.
    Going,
    /// Nobody can tell: one of the clocks was set back, or the machine started anew.
    Unknown,
}

impl Moment {
    /// This moment, to a few milliseconds.
    pub fn now() -> Moment {
        let fixed = milliseconds(libc::CLOCK_MONOTONIC_COARSE);
        let common = milliseconds(libc::CLOCK_REALTIME_COARSE);
        Moment((u64::from(fixed) | u64::from(common) << 32).max(1))
    }

    /// The moment that `to_word` packed.
    pub fn from_word(word: u64) -> Moment {
        Moment(word)
    }

    /// Packs the moment into a word, which is not 0.
    pub fn to_word(self) -> u64 {
        self.0
    }

    /// What a rest has come to now that began at this moment.
    pub fn rest(self, now: Moment) -> Rest {
        let rest = rest_ms();
        let fixed = (now.0 as u32).wrapping_sub(self.0 as u32);
        let common = ((now.0 >> 32) as u32).wrapping_sub((self.0 >> 32) as u32);
        match fixed.max(common) {
            longest if longest > LONGEST_MS => Rest::Unknown,
            _ if fixed.min(common) >= rest => Rest::Over,
            _ => Rest::Going,
        }
    }
}

#[cfg(feature = "crash-points")]
thread_local! {
    static REST_OF_TEST_MS: std::cell::Cell<u32> = const { std::cell::Cell::new(REST_MS) };
}

/// For what this thread frees, and its children: memory rests for so many milliseconds.
#[cfg(feature = "crash-points")]
pub fn set_rest(milliseconds: u32) {
    REST_OF_TEST_MS.set(milliseconds);
}

#[inline(always)]
fn rest_ms() -> u32 {
    #[cfg(feature = "crash-points")]
    return REST_OF_TEST_MS.get();
    #[cfg(not(feature = "crash-points"))]
    REST_MS
}

#[allow(unsafe_code)]
fn milliseconds(clock: libc::clockid_t) -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: stores the time into a structure of this function. A clock that is not there leaves
    // 0.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1000).wrapping_add(time.tv_nsec as u64 / 1_000_000) as u32
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    fn moment(fixed: u32, common: u32) -> Moment {
        Moment::from_word(u64::from(fixed) | u64::from(common) << 32)
    }

    #[test]
    fn a_rest_is_over_when_both_clocks_say_so() {
        let begun = moment(u32::MAX - 100, 5000);
        for (fixed, common, expected) in [
            (u32::MAX - 100, 5000, Rest::Going),
            (898, 5999, Rest::Going),
            (899, 5999, Rest::Going),
            (898, 6000, Rest::Going),
            (899, 6000, Rest::Over),
            (u32::MAX - 101, 9000, Rest::Unknown),
            (5000, 4999, Rest::Unknown),
        ] {
            assert_eq!(begun.rest(moment(fixed, common)), expected, "{fixed} {common}");
        }
    }

    #[test]
    fn a_moment_is_followed_by_later_ones() {
        let begun = Moment::now();
        assert_eq!(begun, Moment::from_word(begun.to_word()));
        assert_eq!(begun.rest(begun), Rest::Going);
        while begun.rest(Moment::now()) != Rest::Over {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
