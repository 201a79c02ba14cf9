//! What the process in a seat does: random calls, each written down, until the round is over.

use super::cache;
use super::crew::Signals;
use super::keys::Key;
use super::lists::{self, LISTS};
use super::log::{ENTRIES, Log, NOTHING, REFUSED, TOO_LONG, TORN, What};
use super::mortals;
use super::run_delay::RunDelay;
use crate::Random;
use crate::clock::now;
use shf_engine::{Age, Condition, Map, OpError, Token, Value};
use std::thread::sleep;
use std::time::Duration;

/// One call in so many of a writer's is a clear.
const CALLS_PER_CLEAR: u64 = 600_000;
/// One in so many is a sync, which nobody notices but by what it does to memory.
const CALLS_PER_SYNC: u64 = 3000;
/// One in so many is one with a key that lives for some milliseconds.
const CALLS_PER_MORTAL: u64 = 8;
/// And one that is about a list.
const CALLS_PER_LIST: u64 = 6;
/// One in so many, of anybody, is one of the map that evicts.
const CALLS_PER_CACHE: u64 = 8;
/// An age that no run of this reaches.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Gets of a scanner between two walks, at most.
const GETS_PER_SCAN: u64 = 300;
/// Bytes of the buffer of gets that bring one.
const BUFFER_BYTES: usize = 4096;
/// Seconds in which a round must be over, else the process is ended by SIGALRM.
const WATCHDOG_SECONDS: u32 = 60;
/// A call that took longer says how long no processor was free.
const SLOW_NS: u64 = 5_000_000;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts, adds, deletes, clears, and gets.
    Writer,
    /// Gets.
    Reader,
    /// Walks over all keys, and gets.
    Scanner,
}

/// A process of the crew.
pub struct Worker<'m> {
    /// Its handle.
    pub map: &'m Map,
    /// Its handle of the map that evicts.
    pub cache: &'m Map,
    /// What it is for.
    pub role: Role,
    /// Which seat it has.
    pub seat: usize,
    /// That seat's log.
    pub log: Log,
    /// What the judge says.
    pub signals: Signals,
    /// Its choices.
    pub random: Random,
    /// How many keys there are.
    pub keys: u64,
    /// The round that it was started in.
    pub round: u64,
    /// Its first entry of that round.
    pub index: usize,
}

/// What a worker has in hand.
struct Hands {
    key: Vec<u8>,
    value: Vec<u8>,
    delay: RunDelay,
}

impl Worker<'_> {
    /// Works until it is killed.
    pub fn work(mut self) -> ! {
        let mut hands = Hands { key: Vec::new(), value: Vec::new(), delay: RunDelay::own() };
        loop {
            #[allow(unsafe_code)]
            // SAFETY: plain system call.
            unsafe {
                libc::alarm(WATCHDOG_SECONDS);
            }
            while self.signals.round() == (self.round, true) && self.index + self.room() < ENTRIES {
                self.act(&mut hands);
            }
            (self.round, self.index) = (self.next_round(), 0);
        }
    }

    /// Rests until a new round is on. One that came and went while nobody ran this process is over
    /// for it as well.
    fn next_round(&self) -> u64 {
        self.signals.rest(self.seat, self.round);
        loop {
            match self.signals.round() {
                (round, true) if round != self.round => return round,
                (round, false) => self.signals.rest(self.seat, round),
                _ => {}
            }
            sleep(Duration::from_micros(500));
        }
    }

    /// Entries that the longest call takes: each key of a walk, and again after a split.
    fn room(&self) -> usize {
        if self.role == Role::Scanner { 4 * self.keys as usize } else { 1 }
    }

    fn act(&mut self, hands: &mut Hands) {
        let key = Key::choose(self.keys, &mut self.random);
        match self.role {
            _ if self.random.below(CALLS_PER_CACHE) == 0 => self.use_cache(),
            Role::Scanner if self.random.below(GETS_PER_SCAN / 2) == 0 => self.scan(),
            Role::Writer if self.random.below(CALLS_PER_CLEAR) == 0 => self.clear(hands),
            Role::Writer if self.random.below(CALLS_PER_SYNC) == 0 => self.sync(),
            Role::Writer if self.random.below(CALLS_PER_MORTAL) == 0 => self.put_mortal(),
            _ if self.random.below(CALLS_PER_LIST) == 0 => self.call_list(hands),
            Role::Writer => self.write(key, hands),
            _ => self.get(key, hands),
        }
    }

    /// A call that is not written down.
    fn use_cache(&mut self) {
        let writes = self.role == Role::Writer;
        if let Err(error) = cache::call(self.cache, writes, &mut self.random) {
            panic!("a call on the map that evicts failed: {error}");
        }
    }

    /// A call that is not written down.
    fn put_mortal(&mut self) {
        match mortals::put(self.map, &mut self.random) {
            Ok(()) | Err(OpError::Busy) => {}
            Err(error) => panic!("a call failed: {error}"),
        }
    }

    fn write(&mut self, key: Key, hands: &mut Hands) {
        // In some rounds most keys go, so that tables merge that split in the others.
        let deletes_end = if self.round % 4 == 3 { 17 } else { 9 };
        let what = match self.random.below(20) {
            0..5 => return self.get(key, hands),
            draw if draw < deletes_end => [What::Delete, What::Take][(draw % 4 / 3) as usize],
            _ if key.is_counter() => What::Add,
            draw => [What::Put, What::Put, What::Insert, What::Swap][(draw % 4) as usize],
        };
        let puts = matches!(what, What::Put | What::Insert | What::Swap);
        // Told apart from all other values of this map.
        let number = (self.round << 32 | (self.seat as u64) << 24 | self.index as u64) as i64;
        let argument = if puts { number } else { 1 + self.random.below(1000) as i64 };
        let Hands { key: bytes, value, delay } = hands;
        key.write(bytes);
        if puts {
            key.write_value(number, value);
        }
        delay.look(self.index as u64);
        let (map, log, index) = (self.map, self.log, self.index);
        let found = |old: &[u8]| key.read_value(old).unwrap_or(TORN);
        // Or, of a put, with an age.
        let by_uid = self.random.below(4) == 0;
        let mut old = Vec::new();
        self.call(what, key, argument, delay, || match what {
            What::Put if by_uid => {
                let aged = map.put_for(bytes, Value::Bytes(value), Age::Of(DAY));
                aged.map(|placed| placed.replaced.into())
            }
            What::Put => map.put(bytes, value).map(|placed| placed.replaced.into()),
            What::Delete if by_uid => match map.uid(bytes)? {
                Some(uid) => map.delete_uid(uid).map(i64::from),
                None => Ok(0),
            },
            What::Delete => map.delete(bytes).map(i64::from),
            What::Take => map
                .take(bytes, &mut old)
                .map(|len| if len.is_some() { found(&old) } else { NOTHING }),
            What::Insert => {
                map.put_if(bytes, value, Condition::Absent).map(|put| put.is_some().into())
            }
            What::Swap => {
                let token = map.get_with_token(bytes, &mut old)?;
                let expected = if token.is_some() { found(&old) } else { NOTHING };
                if expected == TORN {
                    return Ok(TORN);
                }
                log.expect(index, expected);
                let condition = Condition::Token(token.unwrap_or(Token::ABSENT));
                map.put_if(bytes, value, condition).map(|put| put.is_some().into())
            }
            _ => map.add(bytes, argument),
        });
    }

    fn call_list(&mut self, hands: &mut Hands) {
        let key = lists::key(self.keys, self.random.below(LISTS));
        let what = lists::choose(&mut self.random, self.role == Role::Writer);
        let number = (self.round << 32 | (self.seat as u64) << 24 | self.index as u64) as i64;
        hands.delay.look(self.index as u64);
        let map = self.map;
        self.call(what, key, number, &mut hands.delay, || lists::call(map, key, what, number));
    }

    fn get(&mut self, key: Key, hands: &mut Hands) {
        let Hands { key: bytes, value, delay } = hands;
        let mut other = Vec::new();
        Key::choose(self.keys, &mut self.random).write(&mut other);
        key.write(bytes);
        let (map, how) = (self.map, self.random.below(8));
        let what = if how == 0 { What::Contains } else { What::Get };
        let number = |value: &[u8]| key.read_value(value).unwrap_or(TORN);
        self.call(what, key, 0, delay, || match how {
            0 => map.contains(bytes).map(i64::from),
            1..3 => {
                value.resize(BUFFER_BYTES, 0);
                match map.get_into(bytes, value) {
                    Ok(Some(len)) => Ok(number(&value[..len])),
                    Ok(None) => Ok(NOTHING),
                    Err(OpError::BufferTooSmall { .. }) => Ok(TOO_LONG),
                    Err(error) => Err(error),
                }
            }
            3 => {
                let mut got = NOTHING;
                let batch = [other.as_slice(), bytes.as_slice(), b"not there"];
                let found = map.get_many(&batch, |index, value| {
                    got = if index == 1 { number(value) } else { got };
                });
                found.map(|_| got)
            }
            4 => {
                let Some(uid) = map.uid(bytes)? else { return Ok(NOTHING) };
                let len = map.get_uid_to(uid, value)?;
                Ok(if len.is_some() { number(value) } else { NOTHING })
            }
            _ => map.get(bytes, value).map(|found| if found { number(value) } else { NOTHING }),
        });
    }

    fn clear(&mut self, hands: &mut Hands) {
        let map = self.map;
        hands.delay.look(0);
        let call = || map.clear().map(|keys| keys as i64);
        self.call(What::Clear, Key(0), 0, &mut hands.delay, call);
    }

    fn sync(&self) {
        match self.map.sync() {
            Ok(()) | Err(OpError::NotDurable | OpError::Busy) => {}
            Err(error) => panic!("a call failed: {error}"),
        }
    }

    /// Makes a call and writes it down.
    fn call(
        &mut self,
        what: What,
        key: Key,
        argument: i64,
        delay: &mut RunDelay,
        call: impl FnOnce() -> Result<i64, OpError>,
    ) {
        let begun = now();
        self.log.begin(self.index, what, key, argument, delay.looked(), begun);
        let answer = answer(call());
        let ended = now();
        let delay = if ended - begun > SLOW_NS { delay.since_look() } else { 0 };
        self.log.end(self.index, answer, delay, ended);
        self.index += 1;
    }

    fn scan(&mut self) {
        let (scan, begun) = (self.index, now());
        let most = if self.random.below(4) == 0 { self.random.below(self.keys) } else { u64::MAX };
        self.log.begin(scan, What::Scan, Key(0), 0, 0, begun);
        let (log, mut index, mut left, mut visited) = (self.log, scan + 1, begun, 0);
        let keys = self.keys;
        let done = self.map.for_each(&mut |key, value| {
            if mortals::is_one(key) || lists::is_one(keys, key) {
                return true;
            }
            // Between leaving the one before and coming here, the map had this key and value.
            let time = now();
            let known = Key::read(key);
            let number = known.and_then(|key| key.read_value(value)).unwrap_or(TORN);
            log.begin(index, What::Seen, known.unwrap_or(Key(0)), 0, 0, left);
            log.end(index, number, 0, time);
            (index, left, visited) = (index + 1, time, visited + 1);
            visited <= most && index + 1 < ENTRIES
        });
        let to_the_end = visited <= most && index + 1 < ENTRIES;
        self.log.end(scan, answer(done.map(|()| to_the_end.into())), 0, now());
        self.index = index;
    }
}

/// Only `Busy` is an answer that is counted on: it ends the process otherwise.
fn answer(answer: Result<i64, OpError>) -> i64 {
    match answer {
        Ok(answer) => answer,
        Err(OpError::Busy) => REFUSED,
        Err(error) => panic!("a call failed: {error}"),
    }
}
