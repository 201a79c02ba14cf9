//! One thread at work on one store.

use crate::store::Session;
use crate::workload::{KEY_BYTES, Key, Values, Workload, is_value};
use shf_bench_random::{Random, Shuffle, mix, zipf_numbers};

/// Skewed indexes are drawn before the clock runs; so many at most, which are then used over and
/// over.
const SKEWED_INDEXES_MAX: u64 = 1 << 24;
const SKEW: f64 = 0.99;

/// A thread, its session and its random numbers, which go on from phase to phase.
pub struct Worker<S> {
    work: Workload,
    session: S,
    n: u64,
    random: Random,
    skewed: Skewed,
    values: Values,
    found: Vec<u8>,
    error: Option<String>,
}

impl<S: Session> Worker<S> {
    /// The n-th thread's.
    pub fn new(work: Workload, session: S, n: u64) -> Worker<S> {
        Worker {
            work,
            session,
            random: Random::new(work.seed + n + 1),
            n,
            skewed: Skewed::default(),
            values: Values::new(&work),
            found: vec![0; work.bytes_most().max(8) as usize],
            error: None,
        }
    }

    /// What went wrong first.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Inserts the keys from `first` on.
    pub fn put_fresh(&mut self, first: u64, end: u64) {
        for index in first..end {
            self.put(index, self.work.value_bytes);
        }
    }

    /// Gets that hit, in uniform random order.
    pub fn get_hits(&mut self, count: u64) {
        self.gets(count, Worker::random_index);
    }

    /// Draws the numbers of so many skewed gets.
    pub fn draw_skewed(&mut self, count: u64) {
        self.skewed = Skewed::draw(&self.work, self.n, count);
    }

    /// Gets that hit, of skewed indexes, which MUST be drawn.
    pub fn get_skewed(&mut self, count: u64) {
        self.gets(count, |worker| worker.skewed.next());
    }

    /// Gets that miss.
    pub fn get_misses(&mut self, count: u64) {
        let mut done = 0;
        while done < count {
            let keys = (count - done).min(S::TOGETHER as u64) as usize;
            let found = self.miss(keys);
            match found {
                Ok(0) => {}
                Ok(_) => self.fail("a get found a key that was never put", done, ""),
                Err(error) => self.fail("get failed", done, &error.to_string()),
            }
            done += keys as u64;
        }
    }

    /// 98 % gets that hit, 2 % puts of the same size, over all keys.
    pub fn mixed(&mut self, count: u64) {
        for _ in 0..count {
            let (index, choice) = self.random.below_both(self.work.keys, 50);
            if choice == 0 {
                self.put(index, self.work.value_bytes);
            } else {
                self.get(index);
            }
        }
    }

    /// Replaces values by others of the same size, in uniform random order.
    pub fn update(&mut self, count: u64) {
        for _ in 0..count {
            let index = self.random_index();
            self.put(index, self.work.value_bytes);
        }
    }

    /// Replaces values by others of half to one and a half of the size.
    pub fn resize(&mut self, count: u64) {
        let (least, sizes) = (self.work.bytes_least(), self.work.sizes());
        for _ in 0..count {
            let index = self.random_index();
            let bytes = least + self.random.below(sizes);
            self.put(index, bytes);
        }
    }

    /// Replaces everything `rounds` times, each time in another order and with other sizes. Returns
    /// the bytes of keys and values that are in the store afterwards.
    pub fn replace_all(&mut self, rounds: u64) -> u64 {
        let mut payload = 0;
        for round in 0..rounds {
            let order = Shuffle::new(self.work.keys, self.work.seed * 8 + round);
            payload = self.work.keys * KEY_BYTES as u64;
            for place in 0..self.work.keys {
                let index = order.at(place);
                let bytes = self.work.size_of(index, round);
                self.put(index, bytes);
                payload += bytes;
            }
        }
        payload
    }

    /// Deletes nine of ten keys. Returns the bytes of keys and values that stay, whose sizes are
    /// those of this round of replacing.
    pub fn delete_most(&mut self, round: u64) -> u64 {
        let mut payload = 0;
        for index in 0..self.work.keys {
            if stays(index) {
                payload += KEY_BYTES as u64 + self.work.size_of(index, round);
                continue;
            }
            match self.session.delete(&self.work.key(index)) {
                Ok(true) => {}
                Ok(false) => self.fail("a delete missed", index, ""),
                Err(error) => self.fail("delete failed", index, &error.to_string()),
            }
        }
        payload
    }

    /// Replaces values of keys that stayed by others of the same size, that of this round.
    pub fn update_rest(&mut self, count: u64, round: u64) {
        let mut random = Random::new(self.work.seed);
        for _ in 0..count {
            let mut index = random.below(self.work.keys);
            while !stays(index) {
                index = random.below(self.work.keys);
            }
            self.put(index, self.work.size_of(index, round));
        }
    }

    /// Puts the value of a key in so many bytes.
    #[inline]
    pub fn put(&mut self, index: u64, bytes: u64) {
        let key = self.work.key(index);
        if let Err(error) = self.session.put(&key, self.values.at(index, bytes)) {
            self.fail("put failed", index, &error.to_string());
        }
    }

    #[inline]
    fn get(&mut self, index: u64) {
        match self.session.get(&self.work.key(index), &mut self.found) {
            Ok(Some(bytes)) => {
                if !is_value(&self.work, index, &self.found[..bytes]) {
                    self.fail("a get answered wrongly", index, "");
                }
            }
            Ok(None) => self.fail("a get missed", index, ""),
            Err(error) => self.fail("get failed", index, &error.to_string()),
        }
    }

    #[inline]
    fn gets(&mut self, count: u64, next: impl Fn(&mut Worker<S>) -> u64) {
        if S::TOGETHER == 1 {
            for _ in 0..count {
                let index = next(self);
                self.get(index);
            }
            return;
        }
        let mut indexes = Vec::with_capacity(S::TOGETHER);
        let mut keys = Vec::with_capacity(S::TOGETHER);
        let mut done = 0;
        while done < count {
            let end = (done + S::TOGETHER as u64).min(count);
            indexes.clear();
            indexes.extend((done..end).map(|_| next(self)));
            keys.clear();
            keys.extend(indexes.iter().map(|&index| self.work.key(index)));
            self.get_many(&indexes, &keys);
            done = end;
        }
    }

    fn get_many(&mut self, indexes: &[u64], keys: &[Key]) {
        let mut wrong = None;
        let found = self.session.get_many(keys, &mut self.found, |place, value| {
            if !is_value(&self.work, indexes[place], value) {
                wrong = Some(indexes[place]);
            }
        });
        match (found, wrong) {
            (Err(error), _) => self.fail("get failed", indexes[0], &error.to_string()),
            (_, Some(index)) => self.fail("a get answered wrongly", index, ""),
            (Ok(found), _) if found < keys.len() => self.fail("a get missed", indexes[0], ""),
            _ => {}
        }
    }

    /// How many of so many keys that were never put it finds.
    #[inline]
    fn miss(&mut self, keys: usize) -> Result<usize, S::Error> {
        if S::TOGETHER == 1 {
            let index = self.random_index();
            let key = self.work.missing_key(index);
            return Ok(self.session.get(&key, &mut self.found)?.is_some().into());
        }
        let keys: Vec<Key> =
            (0..keys).map(|_| self.work.missing_key(self.random.below(self.work.keys))).collect();
        self.session.get_many(&keys, &mut self.found, |_, _| {})
    }

    #[inline]
    fn random_index(&mut self) -> u64 {
        self.random.below(self.work.keys)
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, what: &str, index: u64, why: &str) {
        if self.error.is_none() {
            let colon = if why.is_empty() { "" } else { ": " };
            self.error = Some(format!("{what} at {index}{colon}{why}"));
        }
    }
}

/// Whether a key is one of those that are never deleted; the first one is.
#[inline]
fn stays(index: u64) -> bool {
    mix(index).is_multiple_of(10)
}

/// Indexes of which few come up often, over and over.
#[derive(Default)]
struct Skewed {
    indexes: Vec<u64>,
    next: usize,
}

impl Skewed {
    /// The n-th thread's. The most wanted ones are spread over all keys.
    fn draw(work: &Workload, n: u64, count: u64) -> Skewed {
        let spread = Shuffle::new(work.keys, work.seed);
        let count = count.clamp(1, SKEWED_INDEXES_MAX) as usize;
        let ranks = zipf_numbers(work.keys, SKEW, work.seed + n + 1, count);
        Skewed { indexes: ranks.into_iter().map(|rank| spread.at(rank)).collect(), next: 0 }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let index = self.indexes[self.next];
        self.next += 1;
        if self.next == self.indexes.len() {
            self.next = 0;
        }
        index
    }
}
