//! What the logs of a round say about each key, and whether an order explains it.

use super::keys::Key;
use super::lists::{self, LISTS};
use super::log::{Entry, NOTHING, REFUSED, TOO_LONG, TORN, What};
use super::plan::Report;
use crate::history::{Call, Event, ListCall, linearizable_from};

/// A key as the judge read it between two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its value, if it has one.
    pub value: Option<i64>,
    /// A time before.
    pub begun: u64,
    /// A time after.
    pub ended: u64,
}

/// How often one clear is believed to delete a key.
const CLEARINGS_MAX: u32 = 3;

/// The calls of a round.
#[derive(Default)]
pub struct Calls {
    /// By key.
    keys: Vec<(Key, Event)>,
    /// Those on lists, by their keys.
    pub lists: Vec<(Key, Event<ListCall>)>,
}

impl Calls {
    /// Those of the logs of all seats. `Err`: a value is torn.
    pub fn of(seats: &[Vec<Entry>], keys: u64, report: &mut Report) -> Result<Calls, String> {
        let mut calls = Calls::default();
        for (seat, entries) in seats.iter().enumerate() {
            if let Some(entry) = entries.iter().find(|entry| entry.answer == TORN) {
                return Err(format!("seat {seat}: a value is not what was put: {entry:?}"));
            }
            for (index, entry) in entries.iter().enumerate() {
                count(entry, report);
                match entry.what {
                    What::Scan => calls.add_unseen(entry, &entries[index + 1..], keys),
                    What::Clear => calls.add_to_all(*entry, keys),
                    _ => {
                        calls.keys.extend(event(entry).map(|event| (entry.key, event)));
                        calls.lists.extend(lists::event(entry).map(|event| (entry.key, event)));
                    }
                }
            }
        }
        Ok(calls)
    }

    /// A walk that came to its end did not meet these keys: each was not there at some time of it.
    fn add_unseen(&mut self, scan: &Entry, after: &[Entry], keys: u64) {
        if scan.answer != 1 || scan.ended == u64::MAX {
            return;
        }
        let mut seen = vec![false; keys as usize];
        for visit in after.iter().take_while(|entry| entry.what == What::Seen) {
            if let Some(seen) = seen.get_mut(visit.key.0 as usize) {
                *seen = true;
            }
        }
        let event = Event { begun: scan.begun, ended: scan.ended, call: Call::Get(None) };
        let unseen = (0..keys).filter(|&key| !seen[key as usize]);
        self.keys.extend(unseen.map(|key| (Key(key), event)));
    }

    /// A clear deletes each key at some time of it; where a table is begun anew, because it was
    /// split or merged meanwhile, those that were put again as well. One that is cut short, or
    /// gives up on the way, may have deleted any of them.
    fn add_to_all(&mut self, clear: Entry, keys: u64) {
        let ended = if clear.answer == REFUSED { u64::MAX } else { clear.ended };
        let event = Event { begun: clear.begun, ended, call: Call::Delete(None) };
        for _ in 0..CLEARINGS_MAX {
            self.keys.extend((0..keys).map(|key| (Key(key), event)));
            let of_list = Event { begun: clear.begun, ended, call: ListCall::Delete(None) };
            let lists = (0..LISTS).map(|list| lists::key(keys, list));
            self.lists.extend(lists.map(|key| (key, of_list)));
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        (self.keys.len() + self.lists.len()) as u64
    }

    /// Whether an order explains all calls, from one reading of all keys to the next.
    pub fn judge(mut self, before: &[Reading], after: &[Reading]) -> Result<(), String> {
        for (key, reading) in after.iter().enumerate() {
            let Reading { value, begun, ended } = *reading;
            self.keys.push((Key(key as u64), Event { begun, ended, call: Call::Get(value) }));
        }
        self.keys.sort_by_key(|(key, event)| (*key, event.begun));
        for of_key in self.keys.chunk_by(|one, other| one.0 == other.0) {
            let key = of_key[0].0;
            let reading = before.get(key.0 as usize).ok_or(format!("{key:?} was never put"))?;
            let events: Vec<Event> = of_key.iter().map(|(_, event)| *event).collect();
            linearizable_from(reading.value, &events).map_err(|why| format!("{key:?}: {why}"))?;
        }
        Ok(())
    }
}

/// A call on one key; none if it says nothing.
fn event(entry: &Entry) -> Option<Event> {
    let Entry { begun, ended, argument, expected, answer, .. } = *entry;
    let done = ended != u64::MAX;
    let found = |number: i64| (number != NOTHING).then_some(number);
    let call = match entry.what {
        _ if answer == REFUSED => return None,
        What::Put => Call::Put(argument, done.then_some(answer == 1)),
        What::Delete => Call::Delete(done.then_some(answer == 1)),
        What::Add => Call::Add(argument, done.then_some(answer)),
        What::Insert => Call::Insert(argument, done.then_some(answer == 1)),
        // It had not come to the put.
        What::Swap if !done && expected == 0 => return None,
        What::Swap => Call::Swap(found(expected), argument, done.then_some(answer == 1)),
        What::Take => Call::Take(done.then_some(found(answer))),
        // Reading that was cut short.
        _ if !done => return None,
        What::Contains => Call::Contains(answer == 1),
        What::Get | What::Seen if answer == TOO_LONG => Call::Contains(true),
        What::Get | What::Seen => Call::Get(found(answer)),
        _ => return None,
    };
    Some(Event { begun, ended, call })
}

fn count(entry: &Entry, report: &mut Report) {
    report.cut_short += u64::from(entry.ended == u64::MAX);
    report.refused += u64::from(entry.answer == REFUSED);
    report.scans += u64::from(entry.what == What::Scan && entry.answer == 1);
    report.clears += u64::from(entry.what == What::Clear);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Key = Key(1);
    const OTHER: Key = Key(2);

    fn entry(what: What, key: Key, times: (u64, u64), argument: i64, answer: i64) -> Entry {
        let (begun, ended) = times;
        Entry { what, key, begun, ended, argument, expected: 0, answer, delay: 0 }
    }

    fn readings(values: [Option<i64>; 3], begun: u64) -> Vec<Reading> {
        values.map(|value| Reading { value, begun, ended: begun + 1 }).to_vec()
    }

    /// From three empty keys to keys with these values, through these logs.
    fn judge(seats: &[Vec<Entry>], after: [Option<i64>; 3]) -> Result<(), String> {
        let calls = Calls::of(seats, 3, &mut Report::default())?;
        calls.judge(&readings([None; 3], 0), &readings(after, 1000))
    }

    #[test]
    fn an_acknowledged_write_is_there_at_the_end_and_one_cut_short_may_be() {
        // Goal and method: one put, answered, refused or cut short, and what is read in the end.
        let put = |ended, answer| vec![entry(What::Put, PUT, (10, ended), 7, answer)];
        let (there, gone) = ([None, Some(7), None], [None; 3]);
        assert_eq!(judge(&[put(20, 0)], there), Ok(()));
        assert!(judge(&[put(20, 0)], gone).is_err(), "lost");
        assert!(judge(&[put(20, 0)], [None, Some(8), None]).is_err(), "a value nobody put");
        assert!(judge(&[put(20, 1)], there).is_err(), "there was nothing to replace");
        assert_eq!(judge(&[put(20, REFUSED)], gone), Ok(()));
        assert!(judge(&[put(20, REFUSED)], there).is_err(), "refused, and happened");
        assert_eq!(judge(&[put(u64::MAX, 0)], there), Ok(()));
        assert_eq!(judge(&[put(u64::MAX, 0)], gone), Ok(()));
        let get = vec![entry(What::Get, PUT, (30, 31), 0, 7)];
        assert!(judge(&[put(u64::MAX, 0), get], gone).is_err(), "seen, and taken back");
    }

    #[test]
    fn a_swap_a_take_and_an_insert_depend_on_what_is_there() {
        // Goal and method: one of them after a put, made or not, and what is read in the end.
        let put = entry(What::Put, PUT, (10, 20), 7, 0);
        let then = |entry: Entry| vec![put, entry];
        let swap =
            |expected, answer| Entry { expected, ..entry(What::Swap, PUT, (30, 40), 8, answer) };
        let value = |number| [None, Some(number), None];
        assert_eq!(judge(&[then(swap(7, 1))], value(8)), Ok(()));
        assert!(judge(&[then(swap(7, 1))], value(7)).is_err(), "lost");
        assert!(judge(&[then(swap(6, 1))], value(8)).is_err(), "it had another value");
        assert!(judge(&[then(swap(7, 0))], value(7)).is_err(), "nothing was in the way");
        assert_eq!(judge(&[then(swap(6, 0))], value(7)), Ok(()));
        assert_eq!(judge(&[then(Entry { ended: u64::MAX, ..swap(7, 0) })], value(7)), Ok(()));
        assert_eq!(judge(&[then(Entry { ended: u64::MAX, ..swap(7, 0) })], value(8)), Ok(()));
        let insert = |answer| entry(What::Insert, PUT, (30, 40), 8, answer);
        assert_eq!(judge(&[then(insert(0))], value(7)), Ok(()));
        assert!(judge(&[then(insert(1))], value(8)).is_err(), "it was there");
        let take = |answer| entry(What::Take, PUT, (30, 40), 0, answer);
        assert_eq!(judge(&[then(take(7))], [None; 3]), Ok(()));
        assert!(judge(&[then(take(7))], value(7)).is_err(), "still there");
        assert!(judge(&[then(take(8))], [None; 3]).is_err(), "another value");
    }

    #[test]
    fn a_torn_value_is_told() {
        let get = entry(What::Get, PUT, (30, 31), 0, TORN);
        assert!(judge(&[vec![get]], [None; 3]).is_err_and(|why| why.contains("not what was put")));
        let seen = entry(What::Seen, PUT, (30, 31), 0, TORN);
        assert!(judge(&[vec![seen]], [None; 3]).is_err());
    }

    #[test]
    fn a_value_too_long_for_a_buffer_shows_that_the_key_is_there() {
        let put = entry(What::Put, PUT, (10, 20), 7, 0);
        let get = |key| vec![entry(What::Get, key, (30, 31), 0, TOO_LONG)];
        assert_eq!(judge(&[vec![put], get(PUT)], [None, Some(7), None]), Ok(()));
        assert!(judge(&[vec![put], get(OTHER)], [None, Some(7), None]).is_err());
    }

    #[test]
    fn a_walk_meets_what_is_there_from_its_beginning_to_its_end() {
        // Goal and method: walks that meet a key or do not, come to their end or do not, before,
        // during and after its put.
        let put = vec![entry(What::Put, PUT, (10, 20), 7, 0)];
        let walk = |begun, end| entry(What::Scan, Key(0), (begun, begun + 50), 0, end);
        let seen = |begun, number| entry(What::Seen, PUT, (begun, begun + 1), 0, number);
        let there = [None, Some(7), None];
        assert_eq!(judge(&[put.clone(), vec![walk(30, 1), seen(40, 7)]], there), Ok(()));
        assert!(judge(&[put.clone(), vec![walk(30, 1)]], there).is_err(), "not met");
        assert_eq!(judge(&[put.clone(), vec![walk(30, 0)]], there), Ok(()));
        assert_eq!(judge(&[put.clone(), vec![walk(15, 1)]], there), Ok(()));
        assert!(judge(&[put.clone(), vec![walk(0, 1), seen(5, 7)]], there).is_err(), "too early");
        assert!(judge(&[put, vec![walk(30, 1), seen(40, 8)]], there).is_err());
    }

    #[test]
    fn a_clear_deletes_what_is_there_from_its_beginning_to_its_end() {
        // Goal and method: a clear that ends, is refused or cut short, with a put before it and a
        // put during it.
        let puts =
            vec![entry(What::Put, PUT, (10, 20), 7, 0), entry(What::Put, OTHER, (35, 36), 8, 0)];
        let clear = |ended, answer| vec![entry(What::Clear, Key(0), (30, ended), 0, answer)];
        let both = [None, Some(7), Some(8)];
        for other in [None, Some(8)] {
            assert_eq!(judge(&[puts.clone(), clear(40, 2)], [None, None, other]), Ok(()));
        }
        assert!(judge(&[puts.clone(), clear(40, 2)], both).is_err());
        let deleted = |at| vec![entry(What::Contains, PUT, (at, at + 1), 0, 0)];
        let again = vec![entry(What::Put, PUT, (34, 35), 9, 0)];
        assert_eq!(
            judge(
                &[puts.clone(), deleted(33), again, deleted(37), clear(40, 2)],
                [None, None, Some(8)]
            ),
            Ok(())
        );
        for cut in [clear(u64::MAX, 0), clear(40, REFUSED)] {
            assert_eq!(judge(&[puts.clone(), cut.clone()], both), Ok(()));
            assert_eq!(judge(&[puts.clone(), cut], [None, None, Some(8)]), Ok(()));
        }
    }
}
