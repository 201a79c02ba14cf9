//! How long a shard is blocked after a death.
//!
//! Calls that write to a shard take its lock. After the death of whoever held it, calls that wait
//! for it end again as soon as one of them has taken the lock over and repaired the shard. So for
//! each death and shard: from the death on, or from when the first of the waiting calls began, to
//! the end of the first call that ends. Deaths without the lock give short times, and do no harm.
//!
//! Not all of that is the engine's. Taken off is the time in which
//! - some process was stopped: it may be the owner, and is waited for as long as it lives;
//! - the judge wanted to wake up and was not let: the processors were busy with others;
//! - the calls that waited could have run and were not let, by the kernel's own account: the
//!   longest such time of those that ended, and those of all that may have held the lock meanwhile
//!   besides: calls that were cut short by a death, and clears.
//!
//! What remains must be less than `Plan::stall_max`. A lock that stays blocked is seen as well:
//! nothing of this grows with the time for which all waiting calls sleep.

use super::keys::Key;
use super::log::{Entry, REFUSED, What};

/// A call that wrote, and was answered or cut short.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Where.
    pub shard: u32,
    /// A time before.
    pub begun: u64,
    /// A time after, or that of the death.
    pub ended: u64,
    /// As that of an `Entry`.
    pub delay: u64,
}

impl Write {
    /// An answered call on one key; `shard` knows where that is.
    pub fn of(entry: &Entry, shard: impl Fn(Key) -> u32) -> Option<Write> {
        let Entry { key, begun, ended, delay, .. } = *entry;
        let writes = matches!(entry.what, What::Put | What::Delete | What::Add);
        let counts = writes && entry.answer != REFUSED && ended != u64::MAX;
        counts.then(|| Write { shard: shard(key), begun, ended, delay })
    }

    /// A clear, which takes one lock after the other.
    pub fn of_clear(entry: &Entry, shards: u32) -> impl Iterator<Item = Write> + use<> {
        let Entry { begun, ended, delay, .. } = *entry;
        let counts = entry.what == What::Clear && ended != u64::MAX;
        let shards = if counts { 0..shards } else { 0..0 };
        shards.map(move |shard| Write { shard, begun, ended, delay })
    }
}

/// What the judge did to the crew in a round, and what befell itself.
#[derive(Clone, Debug, Default)]
pub struct Disturbances {
    /// When processes had died.
    pub deaths: Vec<u64>,
    /// From when to when processes were stopped.
    pub stops: Vec<(u64, u64)>,
    /// From when to when the judge wanted to wake up.
    pub late: Vec<(u64, u64)>,
    /// What the dead did when they died; it ended with them.
    pub cut: Vec<Entry>,
}

/// The longest time that a shard was blocked after a death.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Nanoseconds of it that count.
    pub net: u64,
    /// Most nanoseconds before anything was taken off, of any stall.
    pub gross: u64,
    /// Which shard it was.
    pub shard: u32,
    /// When it began.
    pub begun: u64,
}

/// The longest stall of a round: from the calls that were answered, and others that may have held
/// the lock.
pub fn longest(
    shards: u32,
    writes: &[Write],
    others: &[Write],
    disturbances: &Disturbances,
) -> Stall {
    let mut longest = Stall::default();
    let off = union([&disturbances.stops[..], &disturbances.late].concat());
    for shard in 0..shards {
        let of_shard = |write: &&Write| write.shard == shard;
        let others: Vec<Write> = others.iter().filter(of_shard).copied().collect();
        let mut writes: Vec<Write> = writes.iter().filter(of_shard).copied().collect();
        writes.sort_unstable_by_key(|write| write.ended);
        for &death in &disturbances.deaths {
            let next = writes.partition_point(|write| write.ended <= death);
            let Some(end) = writes.get(next).map(|write| write.ended) else { continue };
            let waiting = || writes[next..].iter().filter(|write| write.begun < end);
            let begun = waiting().map(|write| write.begun).min().unwrap_or(end).max(death);
            let held = others.iter().filter(|write| write.begun < end && begun <= write.ended);
            let delay = waiting().map(|write| write.delay).max().unwrap_or(0)
                + held.map(|write| write.delay).sum::<u64>();
            let gross = end - begun;
            let net = gross.saturating_sub(overlap(&off, begun, end) + delay);
            longest.gross = longest.gross.max(gross);
            if net > longest.net {
                longest = Stall { net, shard, begun, ..longest };
            }
        }
    }
    longest
}

/// Intervals in order, without overlaps.
fn union(mut intervals: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    intervals.sort_unstable();
    let mut union: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in intervals {
        match union.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => union.push((begin, end)),
        }
    }
    union
}

/// How much of a time is in the intervals.
fn overlap(intervals: &[(u64, u64)], begun: u64, ended: u64) -> u64 {
    let common = |&(from, to): &(u64, u64)| to.min(ended).saturating_sub(from.max(begun));
    intervals.iter().map(common).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn write(shard: u32, begun: u64, ended: u64) -> Write {
        Write { shard, begun: begun * MS, ended: ended * MS, delay: 0 }
    }

    fn net(writes: &[Write], disturbances: &Disturbances) -> u64 {
        longest(2, writes, &[], disturbances).net / MS
    }

    #[test]
    fn a_shard_is_blocked_from_the_death_to_the_end_of_the_first_waiting_call() {
        // Goal and method: times that are known, of calls before, during and after a stall, in
        // the shard and in another one.
        let death = Disturbances { deaths: vec![10 * MS], ..Disturbances::default() };
        let calls = [write(0, 1, 2), write(0, 5, 215), write(0, 50, 214), write(1, 9, 12)];
        assert_eq!(net(&calls, &death), 204);
        assert_eq!(net(&[write(0, 1, 2), write(0, 100, 101)], &death), 1, "nobody waited");
        assert_eq!(net(&[write(0, 1, 2), write(1, 9, 12)], &death), 2, "nobody came");
        assert_eq!(net(&calls, &Disturbances::default()), 0, "nobody died");
    }

    #[test]
    fn what_is_not_the_engines_is_taken_off_once() {
        // Goal and method: as above; the same stall with stops, lateness and delays, overlapping.
        let calls = [write(0, 5, 210), Write { delay: 20 * MS, ..write(0, 50, 211) }];
        let stops = vec![(0, 20 * MS), (15 * MS, 30 * MS)];
        let late = vec![(25 * MS, 50 * MS), (205 * MS, 300 * MS)];
        let deaths = vec![10 * MS];
        let disturbances = Disturbances { deaths, stops, late, cut: Vec::new() };
        assert_eq!(net(&calls, &disturbances), 200 - 40 - 5 - 20);
        let cut = [(0, 1, 9), (0, 20, 90), (0, 60, 100), (1, 20, 90), (0, 215, 216)];
        let cut =
            cut.map(|(shard, begun, died)| Write { delay: 7 * MS, ..write(shard, begun, died) });
        let stall = longest(2, &calls, &cut, &disturbances);
        assert_eq!(stall.net / MS, 200 - 40 - 5 - 20 - 2 * 7);
        assert_eq!(stall.gross, 200 * MS);
    }
}
