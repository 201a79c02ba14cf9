//! One input: damage, then operations through handles, with more damage in between.

use super::bed::Bed;
use super::input::Input;
use super::model::{Model, elements};
use crate::damage::{AREAS, Area, Choices, Target, half, word};
use shf_base::format::{HEADER_BYTES, LOCK_OFFSET, SUSPECT_OFFSET};
use shf_base::open::Access;
use shf_engine::{Age, Map, OpError, Options, Value};
use std::sync::LazyLock;
use std::time::Duration;

/// Small keys of a map of one shard.
pub const KEYS: u64 = 600;
/// Large records, or ones with long keys.
pub const LARGE: u64 = 4;
/// Integers.
pub const INTEGERS: u64 = 8;
/// Lists.
pub const LISTS: u64 = 4;
/// Bytes of the values of a map with fixed lengths: its records have half a header.
pub const FIXED_BYTES: u32 = 12;
/// Keys of a batch: more than a group.
const MANY: u64 = 40;
/// An age that no run reaches.
const DAY: Age = Age::Of(Duration::from_secs(24 * 3600));
/// Steps of one input at most.
const STEPS_MAX: u32 = 300;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Words damaged.
    pub mutations: u64,
    /// Calls of a map's operations.
    pub operations: u64,
    /// Of these, on a map known to be sound, so that the answer was judged.
    pub judged: u64,
    /// Repairs that were made.
    pub repairs: u64,
}

/// A small key.
pub fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// One long enough to be hashed in pieces; every fourth is a large record by itself.
pub fn large_key(number: u64) -> Vec<u8> {
    let len = if number % 4 == 3 { 17_000 } else { 200 * (number % 3 + 1) };
    format!("large {number} ").into_bytes().into_iter().cycle().take(len as usize).collect()
}

/// The key of an integer.
pub fn integer_key(number: u64) -> Vec<u8> {
    format!("integer {number}").into_bytes()
}

/// The key of a list.
pub fn list_key(number: u64) -> Vec<u8> {
    format!("list {number}").into_bytes()
}

/// Restores the bed, and does what the input says. Panics when an answer is wrong.
pub fn run(bed: &Bed, input: &[u8]) -> Tally {
    bed.restore();
    let writer = attach(bed, Access::ReadWrite).expect("a whole map");
    let mut run = Run {
        bed,
        input: Input::new(input),
        writer,
        reader: None,
        model: None,
        tally: Tally::default(),
    };
    let before = run.input.below(24);
    (0..before).for_each(|_| run.damage());
    let mut steps = 0;
    while !run.input.is_empty() && steps < STEPS_MAX {
        steps += 1;
        run.step();
    }
    run.repair();
    run.tally
}

struct Run<'b> {
    bed: &'b Bed,
    input: Input<'b>,
    writer: Map,
    /// Takes the place of the writer for reading operations, where there is one.
    reader: Option<Map>,
    /// While the map is known to be sound.
    model: Option<Model>,
    tally: Tally,
}

impl Run<'_> {
    fn step(&mut self) {
        let choice = self.input.below(32);
        trace(|| format!("step {choice}{}", if self.model.is_some() { ", judged" } else { "" }));
        if choice >= 8 {
            self.tally.operations += 1;
            self.tally.judged += u64::from(self.model.is_some());
        }
        match choice {
            0..8 => self.damage(),
            8 => self.get(),
            9 => self.list(),
            10 => self.sync(),
            11 => self.get_into(),
            12 if self.input.below(2) == 0 => self.touch(),
            12 => self.contains(),
            13..17 => self.put(),
            17 | 18 => self.put_large(),
            19 | 20 => self.add(),
            21..24 => self.delete(),
            24 => self.clear(),
            25 => self.walk(),
            26 | 27 => self.verify(),
            28 => self.repair(),
            29 | 30 => self.attach(choice == 29),
            _ if self.input.below(2) == 0 => self.list(),
            _ => self.many(),
        }
    }

    /// The handle for reading operations.
    fn map(&self) -> &Map {
        self.reader.as_ref().unwrap_or(&self.writer)
    }

    fn damage(&mut self) {
        self.model = None;
        self.tally.mutations += 1;
        damage(self.bed, &mut self.input);
    }

    /// Opens the map as it is now, by handles that agree in what its header says. A header that is
    /// refused is taken back.
    fn attach(&mut self, reads: bool) {
        self.model = None;
        self.reader = None;
        let writer = attach(self.bed, Access::ReadWrite);
        self.writer = writer.unwrap_or_else(|| {
            for offset in (0..HEADER_BYTES as u64).step_by(8) {
                self.bed.store(word(offset), self.bed.original(offset));
            }
            attach(self.bed, Access::ReadWrite).expect("a right header")
        });
        if reads {
            self.reader = attach(self.bed, Access::ReadOnly);
        }
    }

    fn key(&mut self) -> Vec<u8> {
        match self.input.below(8) {
            0 => integer_key(self.input.below(INTEGERS + 2)),
            1 => large_key(self.input.below(LARGE + 2)),
            _ => key(self.input.below(KEYS + 100)).to_vec(),
        }
    }

    fn get(&mut self) {
        let (key, mut value) = (self.key(), Vec::new());
        let answer = self.map().get(&key, &mut value);
        if let Some(model) = &self.model {
            model.got(&key, answer.map(|found| found.then_some(value.as_slice())));
        }
    }

    fn get_into(&mut self) {
        let (key, mut buffer) = (self.key(), [0; 64]);
        let buffer = &mut buffer[..self.input.below(65) as usize];
        let answer = self.map().get_into(&key, buffer);
        if let Some(model) = &self.model {
            model.got_into(&key, buffer, answer);
        }
    }

    fn contains(&mut self) {
        let key = self.key();
        let answer = self.map().contains(&key);
        if let Some(model) = &self.model {
            model.contains(&key, answer);
        }
    }

    fn touch(&mut self) {
        let key = self.key();
        let answer = self.writer.touch(&key, DAY);
        if let Some(model) = &self.model {
            model.touch(&key, answer);
        }
    }

    fn put_value(&mut self, key: &[u8], len: u64) {
        let len = self.value_len(len);
        let value = vec![7; len as usize];
        let put = match value.len() % 3 {
            0 if len != u64::from(FIXED_BYTES) => {
                self.writer.put_for(key, Value::Bytes(&value), DAY)
            }
            _ => self.writer.put(key, &value),
        };
        let answer = put.map(|placed| placed.replaced);
        if let Some(model) = &mut self.model {
            model.put(key, &value, answer);
        }
    }

    /// In a map with fixed lengths nearly always the right one.
    fn value_len(&self, len: u64) -> u64 {
        let fixed = self.writer.stats().fixed_value_bytes;
        if fixed == 0 || len.is_multiple_of(16) { len } else { fixed }
    }

    fn put(&mut self) {
        let (key, len) = (self.key(), self.input.below(256));
        self.put_value(&key, len);
    }

    fn put_large(&mut self) {
        let (key, len) = (large_key(self.input.below(LARGE + 2)), self.input.below(1 << 15));
        self.put_value(&key, len);
    }

    /// Puts, deletes or gets of one key after the other, or of all in one batch: until tables split
    /// and memory is full.
    fn many(&mut self) {
        let (first, len) = (self.input.below(KEYS), self.input.below(256));
        let keys: Vec<_> = (first..first + MANY).map(key).collect();
        match len % 4 {
            0 => keys.iter().for_each(|key| self.delete_key(key)),
            1 => self.put_many(&keys, &vec![7; len as usize]),
            2 => self.get_many(&keys),
            _ => keys.iter().for_each(|key| self.put_value(key, len)),
        }
    }

    fn put_many(&mut self, keys: &[[u8; 8]], value: &[u8]) {
        let value = &vec![7; self.value_len(value.len() as u64) as usize];
        let pairs: Vec<_> = keys.iter().map(|key| (key, value)).collect();
        let mut answers = Vec::new();
        let put = self.writer.put_many(&pairs, |_, placed| answers.push(Ok(placed.replaced)));
        if let Err(failed) = put {
            assert_eq!(failed.done, answers.len());
            answers.push(Err(failed.error));
        }
        if let Some(model) = &mut self.model {
            keys.iter().zip(answers).for_each(|(key, answer)| model.put(key, value, answer));
        }
    }

    fn get_many(&mut self, keys: &[[u8; 8]]) {
        let mut answers = vec![None; keys.len()];
        let got = self.map().get_many(keys, |index, value| answers[index] = Some(value.to_vec()));
        if let Some(model) = &self.model {
            assert_eq!(got, Ok(answers.iter().flatten().count()), "a sound map");
            keys.iter()
                .zip(&answers)
                .for_each(|(key, answer)| model.got(key, Ok(answer.as_deref())));
        }
    }

    fn add(&mut self) {
        let (key, delta) = (self.key(), self.input.next() as i64);
        let answer = self.writer.add(&key, delta);
        if let Some(model) = &mut self.model {
            model.add(&key, delta, answer);
        }
    }

    /// Pushes, pops and a range of a list, or of a key that is something else.
    fn list(&mut self) {
        let key = match self.input.below(8) {
            0 => self.key(),
            number => list_key(number % LISTS),
        };
        for _ in 0..1 + self.input.below(8) {
            let (front, mut found) = (self.input.below(2) == 0, Vec::new());
            let draw = self.input.below(8);
            match draw {
                0..4 => {
                    let element = vec![5; self.input.below(1 << (draw * 4 + 2)) as usize];
                    let answer = match front {
                        true => self.writer.unshift(&key, &element),
                        false => self.writer.push(&key, &element),
                    };
                    if let Some(model) = &mut self.model {
                        model.push(&key, &element, front, answer);
                    }
                }
                4..7 => {
                    let answer = match front {
                        true => self.writer.shift(&key, &mut found),
                        false => self.writer.pop(&key, &mut found),
                    };
                    if let Some(model) = &mut self.model {
                        model.pop(&key, front, answer.map(|len| len.map(|_| found)));
                    }
                }
                _ => {
                    let _ = self.map().length(&key);
                    let answer = elements(self.map(), &key);
                    if let Some(model) = &self.model {
                        model.range(&key, answer);
                    }
                }
            }
        }
        if self.input.below(8) == 0 {
            self.delete_key(&key);
        }
    }

    fn delete(&mut self) {
        let key = self.key();
        self.delete_key(&key);
    }

    fn delete_key(&mut self, key: &[u8]) {
        let answer = self.writer.delete(key);
        if let Some(model) = &mut self.model {
            model.delete(key, answer);
        }
    }

    fn clear(&mut self) {
        let answer = self.writer.clear();
        if let Some(model) = &mut self.model {
            model.clear(answer);
        }
    }

    /// A walk, whose visitor damages the map as well.
    fn walk(&mut self) {
        let (bed, map) = (self.bed, self.reader.as_ref().unwrap_or(&self.writer));
        let mut left = self.input.below(4);
        if left > 0 {
            self.model = None;
        }
        let _ = (map.stats(), map.probe_lengths());
        let (input, mutations) = (&mut self.input, &mut self.tally.mutations);
        let walked = map.for_each(&mut |_, _| {
            if left > 0 {
                left -= 1;
                *mutations += 1;
                damage(bed, input);
            }
            true
        });
        if self.model.is_some() {
            assert_eq!(walked, Ok(()), "a walk over a sound map");
        }
    }

    fn sync(&mut self) {
        let answer = self.writer.sync();
        if self.model.is_some() {
            assert!(
                matches!(answer, Ok(()) | Err(OpError::NotDurable | OpError::Busy)),
                "{answer:?}"
            );
        }
    }

    /// What the checker says; when it finds nothing, the map is held to that.
    fn verify(&mut self) {
        let found = self.unlocked(|map| map.verify());
        if self.model.is_some() {
            assert_eq!(found, Ok(vec![]), "a sound map");
        } else if found == Ok(vec![]) {
            self.model = Some(Model::of(&self.writer));
        }
    }

    /// A repair that says it is done leaves nothing that the checker finds.
    fn repair(&mut self) {
        let repaired = self.unlocked(|map| map.repair());
        if self.model.is_some() {
            assert_eq!(repaired, Ok(Default::default()), "a sound map needs no repair");
        } else if repaired.is_ok() {
            self.tally.repairs += 1;
            assert_eq!(self.writer.verify(), Ok(vec![]), "after a repair");
            self.model = Some(Model::of(&self.writer));
        }
    }

    /// Asks again as if all owners of locks had died, where one is in the way.
    fn unlocked<T>(&self, ask: impl Fn(&Map) -> Result<T, OpError>) -> Result<T, OpError> {
        let answer = ask(&self.writer);
        if !matches!(answer, Err(OpError::Busy)) {
            return answer;
        }
        let geometry = self.bed.geometry();
        for header in (0..geometry.shards()).map(|shard| geometry.shard_header(shard)) {
            if self.bed.load(half(header + LOCK_OFFSET)) != 0 {
                self.bed.store(half(header + SUSPECT_OFFSET), 1);
                self.bed.store(half(header + LOCK_OFFSET), 0);
            }
        }
        ask(&self.writer)
    }
}

fn attach(bed: &Bed, access: Access) -> Option<Map> {
    // A living owner is never waited for: damage can make anybody one.
    let options = Options { patience: Some(Duration::ZERO), ..Options::default() };
    Map::of_region(bed.region(), access, &options).ok()
}

/// Damages one place: any word of what is in use or, now and then, an intent or the header as a
/// whole.
fn damage(bed: &Bed, input: &mut Input<'_>) {
    let shard = input.below(bed.geometry().shards().into()) as u32;
    match input.below(64) {
        0 | 1 => bed.forge_intent(input),
        2 => bed.forge_header(input),
        choice => {
            let area = AREAS[choice as usize % AREAS.len()];
            let spot = bed.spot(input, area, shard);
            let value = bed.value(input, spot);
            trace(|| format!("{area:?} at {:#x} was {:#x}", spot.offset, bed.load(spot)));
            trace(|| format!("    becomes {value:#x}"));
            bed.store(spot, value);
            if area == Area::Lock && !value.is_multiple_of(4) {
                // Nearly always its owner dies at once.
                bed.store(half(spot.offset), 0);
            }
        }
    }
}

/// Says what a round does, where `SHF_TRACE` is set.
fn trace(text: impl Fn() -> String) {
    static WANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("SHF_TRACE").is_some());
    if *WANTED {
        eprintln!("{}", text());
    }
}
