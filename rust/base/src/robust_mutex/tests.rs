//! Tests of the lock: exclusion, suspicion, and the death of owners.

use super::*;
use crate::open::{Opened, heap};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The lock of the second shard.
fn mutex(opened: &Opened) -> RobustMutex<'_> {
    use crate::format::{LOCK_OFFSET, SUSPECT_OFFSET};
    let header = opened.header.geometry.shard_header(1);
    let half = |offset| opened.storage.region().half(header + offset).unwrap();
    RobustMutex::new(half(LOCK_OFFSET), half(SUSPECT_OFFSET))
}

fn on_heap() -> Opened {
    heap(2, 256 << 10, 1 << 20)
}

/// A counter that only the lock protects.
fn count(opened: &Opened, times: u32) {
    let counter = opened.storage.region().word(opened.header.geometry.window(0)).unwrap();
    for _ in 0..times {
        let guard = mutex(opened).lock(opened.presence.as_ref().unwrap(), None).unwrap();
        let before = counter.load(Relaxed);
        counter.store(before + 1, Relaxed);
        drop(guard);
    }
}

fn counted(opened: &Opened) -> u64 {
    opened.storage.region().word(opened.header.geometry.window(0)).unwrap().load(Relaxed)
}

#[test]
fn threads_exclude_each_other() {
    let opened = on_heap();
    let times = if cfg!(miri) { 20 } else { 100_000 };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| count(&opened, times));
        }
    });
    assert_eq!(counted(&opened), u64::from(4 * times));
}

#[test]
fn a_lock_that_is_held_is_not_taken_twice_and_not_suspect() {
    let opened = on_heap();
    let who = opened.presence.as_ref().unwrap();
    let guard = mutex(&opened).try_lock(who).unwrap().unwrap();
    assert!(!guard.suspect());
    assert!(mutex(&opened).try_lock(who).unwrap().is_none());
    drop(guard);
    assert!(mutex(&opened).try_lock(who).unwrap().is_some());
}

#[test]
fn a_panic_while_it_is_held_makes_it_suspect_until_cleared() {
    let opened = on_heap();
    let who = opened.presence.as_ref().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex(&opened).lock(who, None).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    let guard = mutex(&opened).lock(who, None).unwrap();
    assert!(guard.suspect());
    guard.clear_suspect();
    drop(guard);
    assert!(!mutex(&opened).lock(who, None).unwrap().suspect());
}

#[test]
fn a_word_that_names_no_slot_is_a_dead_owners() {
    let opened = on_heap();
    let who = opened.presence.as_ref().unwrap();
    for hostile in [WAITERS, 0xffff, 0x7fff_0001, u32::MAX] {
        mutex(&opened).lock.store(hostile, Relaxed);
        let guard = mutex(&opened).lock(who, None).unwrap();
        assert!(guard.suspect());
        guard.clear_suspect();
        drop(guard);
        mutex(&opened).lock.store(hostile, Relaxed);
        assert!(mutex(&opened).try_lock(who).unwrap().unwrap().suspect());
    }
}

#[cfg(not(miri))]
mod processes {
    use super::*;
    use crate::testing::{Name, fork, sleep_until_killed, wait_until};

    #[test]
    fn processes_exclude_each_other() {
        // Goal: no count is lost. Method: forked children, of which half use the inherited
        // handle and half their own, count under one lock.
        let (name, times) = (Name::new(), 50_000);
        let opened = name.create();
        let page = opened.header.geometry.window(0);
        opened.storage.commit(page, 4096).unwrap();
        let child = |number: u32| {
            fork(|| match number % 2 {
                0 => count(&opened, times),
                _ => count(&name.open(), times),
            })
        };
        let children: Vec<_> = (0..4).map(child).collect();
        children.into_iter().for_each(|child| child.join());
        assert_eq!(counted(&opened), u64::from(4 * times));
        assert!(!mutex(&opened).lock(opened.presence.as_ref().unwrap(), None).unwrap().suspect());
    }

    #[test]
    fn the_lock_of_a_killed_process_is_taken_over_and_suspect() {
        let name = Name::new();
        let opened = name.create();
        for blocking in [true, false] {
            let child = fork(|| {
                let own = name.open();
                std::mem::forget(mutex(&own).lock(own.presence.as_ref().unwrap(), None));
                sleep_until_killed();
            });
            wait_until(|| mutex(&opened).lock.load(Relaxed) != FREE);
            let who = opened.presence.as_ref().unwrap();
            assert!(mutex(&opened).try_lock(who).unwrap().is_none(), "the owner lives");
            child.kill();
            let guard = match blocking {
                true => mutex(&opened).lock(who, None).unwrap(),
                false => mutex(&opened).try_lock(who).unwrap().unwrap(),
            };
            assert!(guard.suspect());
            guard.clear_suspect();
        }
    }

    #[test]
    fn a_waiter_for_a_killed_process_gets_the_lock() {
        // Goal: somebody already asleep notices the death. Method: kill after the waiters bit
        // is set.
        let name = Name::new();
        let opened = name.create();
        let owner = fork(|| {
            let own = name.open();
            std::mem::forget(mutex(&own).lock(own.presence.as_ref().unwrap(), None));
            sleep_until_killed();
        });
        wait_until(|| mutex(&opened).lock.load(Relaxed) != FREE);
        let waiters: Vec<_> = (0..3).map(|_| fork(|| count(&opened, 1))).collect();
        opened.storage.commit(opened.header.geometry.window(0), 4096).unwrap();
        wait_until(|| mutex(&opened).lock.load(Relaxed) & WAITERS != 0);
        owner.kill();
        waiters.into_iter().for_each(|waiter| waiter.join());
        assert_eq!(counted(&opened), 3);
        assert!(mutex(&opened).lock(opened.presence.as_ref().unwrap(), None).unwrap().suspect());
    }

    #[test]
    fn a_waiter_that_is_killed_leaves_the_lock_to_its_owner() {
        // Goal: the waiters bit of somebody who is gone harms nobody. Method: the owner lives, and
        // several waiters are killed in their sleep; then the lock is given back and taken again.
        let name = Name::new();
        let opened = name.create();
        let who = opened.presence.as_ref().unwrap();
        let guard = mutex(&opened).lock(who, None).unwrap();
        for _ in 0..5 {
            let waiter = fork(|| drop(mutex(&opened).lock(who, None)));
            wait_until(|| mutex(&opened).lock.load(Relaxed) & WAITERS != 0);
            std::thread::sleep(3 * PROBE_AFTER);
            waiter.kill();
            assert_eq!(mutex(&opened).lock.load(Relaxed) & !WAITERS, who.slot().unwrap() + 1);
        }
        drop(guard);
        assert_eq!(mutex(&opened).lock.load(Relaxed), FREE);
        fork(|| assert!(!mutex(&opened).lock(who, None).unwrap().suspect())).join();
    }

    #[test]
    fn a_lock_survives_the_death_of_many_owners() {
        // Goal: no kill loses the lock or lets two in. Method: children count for ever and are
        // killed one after the other; each count is two stores that must agree under the lock
        // unless an owner died.
        let name = Name::new();
        let opened = name.create();
        let geometry = opened.header.geometry;
        opened.storage.commit(geometry.window(0), 4096).unwrap();
        let work = |rounds: u64| {
            let own = name.open();
            let first = own.storage.region().word(geometry.window(0)).unwrap();
            let second = own.storage.region().word(geometry.window(0) + 2048).unwrap();
            for _ in 0..rounds {
                let guard = mutex(&own).lock(own.presence.as_ref().unwrap(), None).unwrap();
                if guard.suspect() {
                    second.store(first.load(Relaxed), Relaxed);
                    guard.clear_suspect();
                }
                let count = first.load(Relaxed);
                assert_eq!(count, second.load(Relaxed));
                first.store(count + 1, Relaxed);
                second.store(count + 1, Relaxed);
            }
        };
        let steady = fork(|| work(200_000));
        for _ in 0..60 {
            let victim = fork(|| work(u64::MAX));
            let before = counted(&opened);
            wait_until(|| counted(&opened) > before + 50);
            victim.kill();
        }
        steady.join();
        work(1);
    }

    #[test]
    fn an_idle_child_does_not_keep_its_dead_parents_lock() {
        // Goal: a descriptor inherited by a living child is not the parent's life. Method: a
        // process locks, forks a child that does nothing, and is killed.
        let name = Name::new();
        let opened = name.create();
        let page = opened.header.geometry.window(0);
        opened.storage.commit(page, 4096).unwrap();
        // 1: the child runs, 2: it may end, 3: it lived to see that.
        let stage = opened.storage.region().word(page).unwrap();
        let parent = fork(|| {
            let own = name.open();
            std::mem::forget(mutex(&own).lock(own.presence.as_ref().unwrap(), None));
            let idle = fork(|| {
                stage.store(1, Relaxed);
                wait_until(|| stage.load(Relaxed) == 2);
                stage.store(3, Relaxed);
            });
            std::mem::forget(idle);
            sleep_until_killed();
        });
        wait_until(|| stage.load(Relaxed) == 1);
        parent.kill();
        assert!(mutex(&opened).lock(opened.presence.as_ref().unwrap(), None).unwrap().suspect());
        stage.store(2, Relaxed);
        wait_until(|| stage.load(Relaxed) == 3);
    }

    #[test]
    #[cfg(feature = "crash-points")]
    fn a_take_over_that_dies_at_any_step_loses_neither_lock_nor_suspicion() {
        // Goal: the order of the steps. Method: a lock with a dead owner, and a child that dies
        // before its n-th store on the way to taking it over and giving it back.
        let name = Name::new();
        let opened = name.create();
        let who = opened.presence.as_ref().unwrap();
        let page = opened.header.geometry.window(0);
        opened.storage.commit(page, 4096).unwrap();
        let owner = opened.storage.region().word(page).unwrap();
        let mut died = 0;
        loop {
            fork(|| {
                let own = name.open();
                let presence = own.presence.as_ref().unwrap();
                owner.store(presence.slot().unwrap().into(), Relaxed);
                std::mem::forget(mutex(&own).lock(presence, None));
            })
            .join();
            let child = fork(|| {
                // Who gets the slot of the dead one frees what he had locked, and takes over
                // nothing.
                if u64::from(who.slot().unwrap()) == owner.load(Relaxed) {
                    owner.store(u64::MAX, Relaxed);
                    return;
                }
                crate::crash::arm(died + 1);
                drop(mutex(&opened).lock(who, None).unwrap());
                crate::crash::arm(0);
            });
            let finished = !child.died();
            let guard = mutex(&opened).lock(who, None).unwrap();
            assert!(guard.suspect(), "step {}", died + 1);
            guard.clear_suspect();
            match finished {
                false => died += 1,
                true if owner.load(Relaxed) == u64::MAX => {}
                true => break,
            }
        }
        // The free word tried twice, the waiters bit, the suspicion, the word, the unlock.
        assert!(died >= 4, "{died}");
    }
}
