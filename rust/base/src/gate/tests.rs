//! Tests of gates: who is inside, and what goes when.

use super::*;
use crate::counts::Usage;
use crate::testing::fork;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Says when it is dropped.
struct Value(&'static AtomicBool, Usage);

impl Counted for Value {
    fn usage(&self) -> &Usage {
        &self.1
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.0.swap(true, SeqCst), "dropped twice");
    }
}

fn value() -> (Arc<Value>, &'static AtomicBool) {
    let dropped = Box::leak(Box::new(AtomicBool::new(false)));
    (Arc::new(Value(dropped, Usage::new())), dropped)
}

/// Whether threads let others run when they know where a gate leads and have not said so.
static PAUSING: AtomicBool = AtomicBool::new(false);

pub(super) fn about_to_enter() {
    if PAUSING.load(Relaxed) {
        thread::yield_now();
    }
}

#[test]
fn nobody_is_inside_when_a_gate_has_closed_however_often_it_opens_again() {
    // Goal: no use after it is taken away, and no thread that is shut out for ever. Method: more
    // threads than lie side by side enter all the time, with a pause where a gate that is closed
    // meanwhile matters, and look whether the value is still there.
    PAUSING.store(true, Relaxed);
    let (gate, over) = (Gate::<Value>::default(), AtomicBool::new(false));
    let (entered, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..80 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    for _ in 0..20 {
                        let Some(inside) = gate.enter() else { break };
                        let dropped = inside.0;
                        entered.fetch_add(1, Relaxed);
                        thread::yield_now();
                        failed.fetch_or(dropped.load(Relaxed), Relaxed);
                    }
                }
            });
        }
        for round in 0..60 {
            let (value, dropped) = value();
            gate.open(value);
            let before = entered.load(Relaxed);
            while entered.load(Relaxed) == before {
                thread::yield_now();
            }
            match round % 3 {
                // Opening it again closes it.
                0 => gate.open(self::value().0),
                _ => gate.close(),
            }
            assert!(dropped.load(SeqCst), "the value is gone when the gate has closed");
        }
        over.store(true, Relaxed);
    });
    gate.close();
    assert!(gate.enter().is_none());
    assert!(!failed.load(Relaxed), "it was gone while somebody was inside");
    PAUSING.store(false, Relaxed);
}

#[test]
fn a_gate_that_is_closed_from_inside_keeps_its_value_until_the_outermost_visit_ends() {
    let gate = Gate::default();
    let (first, dropped) = value();
    gate.open(first);
    let outer = gate.visit().unwrap();
    let inner = gate.visit().unwrap();
    gate.close();
    assert!(gate.enter().is_none());
    drop(inner);
    assert!(!dropped.load(SeqCst) && !outer.0.load(SeqCst));
    // Another one, opened and closed meanwhile, has nothing to do with it.
    let (second, second_dropped) = value();
    gate.open(second);
    gate.close();
    assert!(second_dropped.load(SeqCst) && !dropped.load(SeqCst));
    drop(outer);
    assert!(dropped.load(SeqCst));
}

#[test]
fn two_threads_that_close_a_gate_from_inside_do_not_wait_for_each_other() {
    let (gate, barrier) = (Gate::default(), std::sync::Barrier::new(2));
    let (value, dropped) = value();
    gate.open(value);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let visit = gate.visit().unwrap();
                barrier.wait();
                gate.close();
                barrier.wait();
                drop(visit);
            });
        }
    });
    assert!(dropped.load(SeqCst));
}

#[test]
fn a_thread_that_is_inside_many_times_at_once_has_left_only_when_it_left_all() {
    // Method: calls that interrupt each other, as those of signal handlers do, so many that they
    // need several lines; they end in another order than they began.
    let gate = Gate::default();
    let (value, dropped) = value();
    gate.open(value);
    let mut all: Vec<_> = (0..3 * ENTRIES).map(|_| gate.enter().unwrap()).collect();
    thread::scope(|scope| {
        let closing = scope.spawn(|| gate.close());
        while !all.is_empty() {
            assert!(!dropped.load(SeqCst) && !closing.is_finished(), "{} are inside", all.len());
            drop(all.remove(all.len() / 2));
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(dropped.load(SeqCst));
}

#[test]
fn what_was_shared_outlives_the_gate() {
    let gate = Gate::default();
    let (value, dropped) = value();
    gate.open(value);
    let shared = gate.share().unwrap();
    drop(gate);
    assert!(!dropped.load(SeqCst));
    drop(shared);
    assert!(dropped.load(SeqCst));
}

#[test]
fn a_child_that_was_forked_inside_waits_for_nobody() {
    // Goal: in the child of a thread that forks inside, as a signal handler may, only that thread is
    // inside, until it leaves. Method: as many threads as fill a block, and some, all inside.
    let gate = Gate::default();
    gate.open(value().0);
    let all = std::sync::Barrier::new(80);
    thread::scope(|scope| {
        for _ in 0..80 {
            scope.spawn(|| {
                let inside = gate.enter().unwrap();
                all.wait();
                let leave = || {
                    let is_inside = |entry: &&Entry| {
                        ptr::addr_eq(entry.0.load(SeqCst), ptr::from_ref(&*inside))
                    };
                    let entries = INSIDE.all().flat_map(Line::entries);
                    assert_eq!(entries.filter(is_inside).count(), 1);
                    // SAFETY: the child's own copy, which the parent's does not know of.
                    drop(unsafe { ptr::read(&inside) });
                    gate.close();
                };
                fork(leave).join();
                all.wait();
            });
        }
    });
}
