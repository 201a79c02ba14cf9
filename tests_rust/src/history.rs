//! Histories of one key, and whether they are linearizable.
//!
//! A history is what each process did, one call after the other, with the time before and after. It
//! is linearizable when every call can be given a moment between its two times such that, made in
//! the order of these moments, each call answers what it did answer. (Herlihy and Wing, 1990; the
//! search is that of Wing and Gong, 1993, with the memory of Lowe, 2017.)
//!
//! As a process makes one call at a time, the calls that have been given their moment are a prefix
//! of each process's: a *configuration* is the lengths of these prefixes and the value that the key
//! has after them. From all configurations of k calls follow those of k + 1; two ways to the same
//! one are one, so their number stays near the number of calls that overlap.

use std::collections::HashSet;

/// A call and its answer; no answer where the caller was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Puts a value; whether it replaced one.
    Put(i64, Option<bool>),
    /// Gets the value, if there is one.
    Get(Option<i64>),
    /// Deletes; whether the key was there.
    Delete(Option<bool>),
    /// Adds; the sum.
    Add(i64, Option<i64>),
}

/// A call with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Some time before the call.
    pub begun: u64,
    /// Some time after it; the last of all times where the caller was killed.
    pub ended: u64,
    /// What was called.
    pub call: Call,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration {
    done: Vec<usize>,
    value: Option<i64>,
}

impl Call {
    /// The value after the call on a key with this value; `None`: it would not have answered so.
    fn apply(self, value: Option<i64>) -> Option<Option<i64>> {
        let answers = |right: bool, after| right.then_some(after);
        let there = value.is_some();
        match self {
            Call::Put(new, replaced) => answers(replaced.is_none_or(|r| r == there), Some(new)),
            Call::Get(found) => answers(found == value, value),
            Call::Delete(found) => answers(found.is_none_or(|found| found == there), None),
            Call::Add(delta, sum) => {
                let right = value.unwrap_or(0) + delta;
                answers(sum.is_none_or(|sum| sum == right), Some(right))
            }
        }
    }
}

/// Whether the history of a key that is not there at first is linearizable: one list of events per
/// process, in order. `Err` says how many calls can be explained, and the calls beyond.
pub fn linearizable(processes: &[Vec<Event>]) -> Result<(), String> {
    let start = Configuration { done: vec![0; processes.len()], value: None };
    let mut reached = HashSet::from([start]);
    for explained in 0.. {
        if reached.iter().any(|configuration| is_end(processes, configuration)) {
            return Ok(());
        }
        let next: HashSet<_> = reached.iter().flat_map(|from| followers(processes, from)).collect();
        if next.is_empty() {
            return Err(complaint(processes, explained, &reached));
        }
        reached = next;
    }
    unreachable!("each step explains one more call")
}

/// Whether only calls without an answer are left: those need not have happened.
fn is_end(processes: &[Vec<Event>], configuration: &Configuration) -> bool {
    let next = |(events, &done): (&Vec<Event>, &usize)| events.get(done).copied();
    let mut left = processes.iter().zip(&configuration.done).filter_map(next);
    left.all(|event| event.ended == u64::MAX)
}

/// The configurations that one more call leads to: one that began before each other one that is
/// left ended.
fn followers(processes: &[Vec<Event>], from: &Configuration) -> Vec<Configuration> {
    let next = || processes.iter().zip(&from.done).map(|(events, &done)| events.get(done));
    let first_end = next().flatten().map(|event| event.ended).min().unwrap_or(0);
    let mut followers = Vec::new();
    for (process, event) in next().enumerate() {
        let Some(event) = event.filter(|event| event.begun <= first_end) else { continue };
        if let Some(value) = event.call.apply(from.value) {
            let mut done = from.done.clone();
            done[process] += 1;
            followers.push(Configuration { done, value });
        }
    }
    followers
}

fn complaint(
    processes: &[Vec<Event>],
    explained: usize,
    reached: &HashSet<Configuration>,
) -> String {
    let mut text = format!("{explained} calls can be explained, no further one of:");
    for configuration in reached.iter().take(3) {
        text += &format!("\nwith the value {:?}", configuration.value);
        for (process, (events, &done)) in processes.iter().zip(&configuration.done).enumerate() {
            if let Some(event) = events.get(done) {
                text += &format!("\n  process {process}: {event:?}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(begun: u64, ended: u64, call: Call) -> Event {
        Event { begun, ended, call }
    }

    #[test]
    fn histories_that_some_order_explains_are_taken() {
        // Goal: overlapping calls may be ordered either way, and calls of the dead may have
        // happened or not. Method: small histories with a known order.
        let put = event(0, 10, Call::Put(1, Some(false)));
        let hit = event(2, 4, Call::Get(Some(1)));
        let miss = event(2, 4, Call::Get(None));
        let late = event(5, 20, Call::Delete(Some(true)));
        assert_eq!(linearizable(&[vec![put], vec![hit]]), Ok(()));
        assert_eq!(linearizable(&[vec![put], vec![miss, late]]), Ok(()));
        let killed = event(0, u64::MAX, Call::Put(1, None));
        for call in [Call::Get(None), Call::Get(Some(1))] {
            assert_eq!(linearizable(&[vec![killed], vec![event(50, 60, call)]]), Ok(()));
        }
        let add = |begun, sum| event(begun, begun + 10, Call::Add(2, Some(sum)));
        assert_eq!(linearizable(&[vec![add(0, 4)], vec![add(5, 2)]]), Ok(()));
        assert_eq!(linearizable(&[]), Ok(()));
    }

    #[test]
    fn histories_that_no_order_explains_are_refused() {
        // Goal: the checker sees what it is there for. Method: one small history for each fault.
        let put = |begun, value, replaced| event(begun, begun + 2, Call::Put(value, replaced));
        let get = |begun, found| event(begun, begun + 2, Call::Get(found));
        let add = |begun, sum| event(begun, begun + 2, Call::Add(1, Some(sum)));
        let (first, second) = (put(0, 1, Some(false)), put(10, 2, Some(true)));
        let bad: [(&str, Vec<Vec<Event>>); 8] = [
            ("stale read", vec![vec![first, second], vec![get(20, Some(1))]]),
            ("lost put", vec![vec![first], vec![get(20, None)]]),
            ("read from the future", vec![vec![put(20, 1, Some(false))], vec![get(0, Some(1))]]),
            ("lost update", vec![vec![add(0, 1)], vec![add(1, 1)]]),
            (
                "back and forth",
                vec![
                    vec![event(0, 50, Call::Put(1, Some(false)))],
                    vec![get(10, Some(1)), get(20, None)],
                ],
            ),
            (
                "deleted twice",
                vec![
                    vec![first, event(10, 12, Call::Delete(Some(true)))],
                    vec![event(10, 12, Call::Delete(Some(true)))],
                ],
            ),
            ("two inserts", vec![vec![first], vec![put(0, 2, Some(false))]]),
            (
                "put by a dead process taken back",
                vec![
                    vec![event(0, u64::MAX, Call::Put(1, None))],
                    vec![get(10, Some(1)), get(20, None)],
                ],
            ),
        ];
        for (fault, history) in bad {
            assert!(linearizable(&history).is_err(), "{fault}");
        }
    }
}
