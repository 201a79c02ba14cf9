//! Death at every step: which steps a process dies at, and at which steps its repairer.
//!
//! A test run tries some deaths of each scene. With `SHF_EXHAUSTIVE=1` it tries all of them, and
//! after each death every step of the repair, as long as the two numbers multiplied are at most
//! `PAIRS_MAX`; of more, the first and the last steps of each repair, and some that are drawn.

use shf_base::crash;
use shf_base::geometry::SLOTS_NEAR;
use shf_tests::Random;
use shf_tests::board::Board;
use shf_tests::process::{self, End};
use shf_tests::watchdog::Watchdog;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

/// Pairs of a death and a death of its repairer that an exhaustive run tries all of.
const PAIRS_MAX: u64 = 100_000;
/// Of more, so many of the first steps of each repair, the last one, and so many others, drawn.
const FIRST: u64 = 16;
const DRAWN: u64 = 64;
/// Deaths that a usual run tries of each scene;
const DEATHS_SHORT: u64 = 50;
/// and deaths of repairers, at random steps.
const PAIRS_SHORT: u64 = 50;
/// Of the former, one in so many is judged thoroughly.
const THOROUGH_SHORT: u64 = 4;

/// What happens, and what must be true after a death in it.
pub trait Scene {
    /// For messages.
    fn name(&self) -> &str;

    /// Brings about the state before.
    fn restore(&self);

    /// What a child does before the steps of `operate` count.
    fn ready(&self) {}

    /// What a child does before the steps of `recover` count.
    fn ready_to_recover(&self) {}

    /// What a child dies in; whether it went as it should.
    fn operate(&self) -> bool;

    /// What the next process does, and dies in as well; whether it went as it should.
    fn recover(&self) -> bool;

    /// Keeps the state of this moment; the closure brings it about again.
    fn keep(&self) -> Box<dyn Fn() + '_>;

    /// Panics unless all is as it should be after a death. `step` is for messages; `thoroughly`
    /// asks for checks that take longer.
    fn judge(&self, step: &str, thoroughly: bool);
}

/// Whether all deaths are asked for.
pub fn exhaustive() -> bool {
    std::env::var("SHF_EXHAUSTIVE").is_ok_and(|value| !matches!(&value[..], "" | "0"))
}

/// Tries deaths in a scene of at least `least` steps, and prints how many.
pub fn run(scene: &impl Scene, least: u64) {
    let deaths = Deaths {
        scene,
        board: Board::new(),
        avoided: RefCell::new(vec![std::process::id() % SLOTS_NEAR]),
        watchdog: Watchdog::new("a death, or what comes after it,"),
        random: RefCell::new(Random::from_env(3)),
    };
    deaths.run(least);
}

struct Deaths<'s, S: Scene> {
    scene: &'s S,
    board: Board,
    /// Slots that no child may take: it would find what their owners left, and count steps that
    /// the next child does not. (This process's, and those of who died in this experiment.)
    avoided: RefCell<Vec<u32>>,
    watchdog: Watchdog,
    random: RefCell<Random>,
}

/// Numbers on the board.
const STEPS: usize = 0;
const AGAIN: usize = 1;

impl<S: Scene> Deaths<'_, S> {
    fn run(&self, least: u64) {
        let begun = Instant::now();
        let name = self.scene.name();
        self.scene.restore();
        let steps = self.count(|| self.operate(0));
        assert!(steps >= least, "{name}: only {steps} steps");
        let stride = if exhaustive() { 1 } else { steps.div_ceil(DEATHS_SHORT) };
        let first = 1 + self.below(stride);
        let (mut deaths, mut pairs, mut longest, mut all) = (0, 0, 0, true);
        for n in (first..=steps).step_by(stride as usize) {
            self.kill_at(n);
            let dead = self.scene.keep();
            let thoroughly = exhaustive() || deaths % THOROUGH_SHORT == 0;
            self.judge(&format!("step {n} of {steps}"), thoroughly);
            deaths += 1;
            let (tried, long) = self.kill_repairs(n, steps, &dead);
            (pairs, longest, all) = (pairs + tried, longest.max(long), all && tried == long);
        }
        let which = if all { "all" } else { "chosen" };
        let seconds = begun.elapsed().as_secs_f64();
        // As `test-deaths.sh` reads it.
        println!(
            "{name}: {steps} steps, {deaths} deaths; repairs of up to {longest} steps, {pairs} \
             pairs, {which}; {seconds:.1} s"
        );
    }

    /// Lets the repairer after a death at step `n` die; how often, and how many steps it has.
    fn kill_repairs(&self, n: u64, steps: u64, dead: &dyn Fn()) -> (u64, u64) {
        dead();
        let long = self.count(|| self.recover(0));
        let chosen = self.choose(steps, long);
        let last = chosen.len() - 1;
        for (at, &m) in chosen.iter().enumerate() {
            dead();
            let (child, end) = self.recover(m);
            let step = format!("step {n} of {steps}, repair step {m} of {long}");
            assert_eq!(end, End::Killed(libc::SIGKILL), "{}, {step}", self.scene.name());
            self.avoided.borrow_mut().push(child % SLOTS_NEAR);
            self.judge(&step, exhaustive() && at == last);
            self.avoided.borrow_mut().pop();
        }
        (chosen.len() as u64, long)
    }

    /// Steps of a repair that are tried, of `long`.
    fn choose(&self, steps: u64, long: u64) -> Vec<u64> {
        if !exhaustive() {
            let draws = PAIRS_SHORT.div_ceil(steps.min(DEATHS_SHORT));
            return (0..draws).map(|_| 1 + self.below(long)).collect();
        }
        if steps * long <= PAIRS_MAX || long <= FIRST + DRAWN + 1 {
            return (1..=long).collect();
        }
        let mut chosen: BTreeSet<u64> = (1..=FIRST).chain([long]).collect();
        while (chosen.len() as u64) < FIRST + DRAWN + 1 {
            chosen.insert(FIRST + 1 + self.below(long - FIRST - 1));
        }
        chosen.into_iter().collect()
    }

    fn judge(&self, step: &str, thoroughly: bool) {
        self.scene.judge(step, thoroughly);
        self.watchdog.feed();
    }

    fn kill_at(&self, n: u64) {
        self.scene.restore();
        self.avoided.borrow_mut().truncate(1);
        let (child, end) = self.operate(n);
        assert_eq!(end, End::Killed(libc::SIGKILL), "{}: step {n}", self.scene.name());
        self.avoided.borrow_mut().push(child % SLOTS_NEAR);
    }

    /// The steps of work that nobody dies in.
    fn count(&self, work: impl FnOnce() -> (u32, End)) -> u64 {
        let (_, end) = work();
        assert_eq!(end, End::Exited(0), "{}", self.scene.name());
        self.board.get(STEPS)
    }

    fn operate(&self, n: u64) -> (u32, End) {
        self.child(n, || self.scene.ready(), || self.scene.operate())
    }

    fn recover(&self, m: u64) -> (u32, End) {
        self.child(m, || self.scene.ready_to_recover(), || self.scene.recover())
    }

    /// Runs work in a child that dies at step `n`; 0: it does not.
    fn child(&self, n: u64, ready: impl Fn(), work: impl Fn() -> bool) -> (u32, End) {
        loop {
            self.board.set(AGAIN, 0);
            let child = process::spawn(|| {
                if self.avoided.borrow().contains(&(std::process::id() % SLOTS_NEAR)) {
                    self.board.set(AGAIN, 1);
                    return true;
                }
                ready();
                crash::arm(n);
                let done = work();
                self.board.set(STEPS, crash::taken());
                crash::arm(0);
                done
            });
            let end = process::wait(child);
            if self.board.get(AGAIN) == 0 {
                return (child as u32, end);
            }
        }
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.borrow_mut().below(limit)
    }
}
