//! P5: whatever a file contains, at attach or later, nothing panics, hangs or leaves the mapping.
//!
//! Each round restores the file of a live map, damages some places of it, and runs every operation
//! through handles that were open before and through fresh ones, in a forked child. Answers may be
//! any value or typed error; the child must come back. `SHF_SEED` and `SHF_ROUNDS` choose other and
//! more rounds, `SHF_ROUND` a single one.
#![cfg(not(any(miri, loom)))]

mod operations;
mod scene;

use operations::*;
use scene::*;
use shf_base::geometry::PAGE_BYTES;
use shf_engine::place::{Field, INTENT_ENTRIES, LEVEL_ENTRIES};
use shf_engine::{Cursor, Names, OpError};
use shf_tests::Random;
use shf_tests::damage::*;
use shf_tests::image::Image;
use shf_tests::map_file::MapFile;
use shf_tests::process::{self, End};
use shf_tests::rounds::{Rounds, WATCHDOG_SECONDS, limit_private_memory};
use std::os::unix::fs::{FileExt, MetadataExt};

/// Rounds of one child.
const BATCH: u64 = 50;

fn survive(what: &str, shards: u32, seed: u64) {
    survive_in(&Scene::new(what, shards), what, seed);
}

fn survive_in(scene: &Scene, what: &str, seed: u64) {
    Rounds::from_env(seed, 500, BATCH).run(what, |random| {
        // The inherited handle takes a slot of its own before anything is damaged.
        scene.image.restore();
        let _ = scene.writer.delete(b"not there");
        scene.restore_and_damage(random, AREAS);
        scene.operate_all(random);
    });
}

#[test]
fn a_damaged_map_of_one_shard_is_survived_by_every_operation() {
    survive("hostile-one", 1, 101);
}

#[test]
fn a_damaged_map_of_two_shards_is_survived_by_every_operation() {
    survive("hostile-two", 2, 102);
}

#[test]
fn a_damaged_map_with_fixed_lengths_is_survived_by_every_operation() {
    survive_in(&Scene::fixed("hostile-fixed"), "hostile-fixed", 106);
}

#[test]
fn a_damaged_map_is_sound_after_a_repair() {
    repair_all(&Scene::new("hostile-repair", 2), "hostile-repair", 105);
}

#[test]
fn a_damaged_map_with_fixed_lengths_is_sound_after_a_repair() {
    repair_all(&Scene::fixed("hostile-repair-fixed"), "hostile-repair-fixed", 107);
}

/// Goal: whatever is damaged, a repair that says it is done leaves nothing that the checker finds
/// and nothing that an operation calls corrupt.
fn repair_all(scene: &Scene, what: &str, seed: u64) {
    let areas: Vec<Area> = AREAS.iter().copied().filter(|area| *area != Lock).collect();
    Rounds::from_env(seed, 500, BATCH).run(what, |random| {
        scene.image.restore();
        let _ = scene.writer.delete(b"not there");
        scene.restore_and_damage(random, &areas);
        match scene.writer.repair() {
            Ok(_) => {
                shf_tests::assert_sound(&scene.writer);
                assert_eq!(scene.writer.repair().unwrap().shards, 0);
            }
            Err(error) => assert!(matches!(error, OpError::NoSpace { .. }), "{error:?}"),
        }
    });
}

#[test]
fn damage_that_happens_meanwhile_is_survived_by_every_operation() {
    // Goal: what was checked is not loaded again. Method: a child damages words and puts them back,
    // some of them not, without pause, while two others operate. It leaves the lock word alone: put
    // back, that might name a living process.
    let scene = Scene::new("hostile-race", 1);
    let areas: Vec<Area> = AREAS.iter().copied().filter(|area| *area != Lock).collect();
    let vandal = process::spawn(|| {
        end_with_parent();
        let mut random = Random::new(6);
        loop {
            let (spot, value) = scene.choose(&mut random, &areas);
            let old = scene.load(spot);
            for _ in 0..random.below(64) {
                scene.store(spot, value);
                scene.store(spot, old);
            }
            if random.below(16) == 0 {
                scene.store(spot, value);
            }
        }
    });
    Rounds::from_env(103, 200, BATCH).run("hostile-race", |random| {
        scene.image.restore();
        let other = process::spawn(|| {
            end_with_parent();
            let mut random = Random::new(random.next());
            operate(&scene.writer, &mut random);
            operate(&scene.reader, &mut random);
            true
        });
        scene.operate_all(random);
        assert_eq!(process::wait(other), End::Exited(0), "the other process");
    });
    process::signal(vandal, libc::SIGKILL);
    assert_eq!(process::wait(vandal), End::Killed(libc::SIGKILL));
}

/// Has the kernel end this child together with its parent, however that ends; the watchdog of
/// children is for those that should come back by themselves.
#[allow(unsafe_code)]
fn end_with_parent() {
    // SAFETY: plain system calls on this child.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::alarm(0);
    }
}

#[test]
fn reads_of_a_damaged_map_make_no_hole_real() {
    // Goal: a reference that leads outside of the committed pages is not followed, not even into
    // the window's holes, which the mapping spans. Method: the file takes no more blocks after all
    // reads than before them. Damaged limits themselves are not part of it.
    let scene = Scene::new("hostile-holes", 1);
    let areas: Vec<Area> = AREAS.iter().copied().filter(|area| *area != Limits).collect();
    let blocks = || scene.image.file().metadata().unwrap().blocks();
    Rounds::from_env(104, 400, BATCH).run("hostile-holes", |random| {
        scene.restore_and_damage(random, &areas);
        let before = blocks();
        for read in READS {
            read(&scene.reader, random);
        }
        assert_eq!(blocks(), before, "blocks of the file");
    });
}

/// Runs `work` in a child that must come back in time and with little memory.
#[allow(unsafe_code)]
fn in_child(what: &str, work: impl FnOnce()) {
    let end = process::run(|| {
        limit_private_memory();
        // SAFETY: plain system call.
        unsafe { libc::alarm(WATCHDOG_SECONDS) };
        work();
        true
    });
    assert_eq!(end, End::Exited(0), "{what}");
}

fn is_corrupt<T>(result: &Result<T, OpError>) -> bool {
    matches!(result, Err(OpError::Corrupt { .. }))
}

#[test]
fn a_directory_that_leads_to_one_table_again_and_again_ends_a_walk() {
    // Goal: a walk is bounded by the pages of the map, not by what its directory says. Method: each
    // of the 2^19 entries names the same table, as one of full depth.
    let scene = Scene::new("hostile-directory", 1);
    let header = scene.geometry.shard_header(0);
    let window_end = scene.geometry.window(0) + scene.geometry.window_bytes();
    let directory_page = scene.image.word(header + 16) as u32;
    let table_entry = scene.image.word(window_end - u64::from(directory_page) * PAGE_BYTES);
    for entry in 0..LEVEL_ENTRIES.into() {
        scene.store(half(header + 16 + entry * 4), directory_page.into());
    }
    for entry in 0..PAGE_BYTES / 4 {
        let page = window_end - u64::from(directory_page) * PAGE_BYTES;
        scene.store(half(page + entry * 4), table_entry & ((1 << 27) - 1) | 19 << 27);
    }
    scene.store(word(header + Field::Root as u64), 19);
    in_child("walks", || {
        assert!(is_corrupt(&scene.reader.for_each(&mut |_, _| true)));
        let (mut names, mut cursor) = (Names::new(), Some(Cursor::START));
        let end = loop {
            let Some(from) = cursor else { break Ok(None) };
            match scene.reader.scan_next_names(from, b"", &mut names) {
                Ok(next) => cursor = next,
                end => break end,
            }
        };
        assert!(is_corrupt(&end));
        assert!(!scene.writer.verify().unwrap().is_empty());
        assert!(is_corrupt(&scene.writer.clear()));
    });
}

#[test]
fn records_that_overlap_take_no_more_time_and_memory_than_the_map() {
    // Goal: lengths that fit one by one, but not together, cost no more than the map. Method: every
    // slot of the only table leads to the same huge record, whose key is long as well.
    let file = MapFile::new("hostile-overlap");
    let map = file.create_with(1, 64 << 20);
    let huge = vec![1; 24 << 20];
    map.put(&huge, &huge).unwrap();
    let image = Image::of(file.folder(), file.name());
    let store = |offset, bytes: &[u8]| image.file().write_all_at(bytes, offset).unwrap();
    let geometry = *map.geometry();
    let (table, window) =
        (geometry.window(0) + geometry.window_bytes() - PAGE_BYTES, geometry.window(0));
    let reference = (geometry.pages_offset() / 8) as u32;
    for bucket in (table..table + PAGE_BYTES).step_by(64) {
        store(bucket, &[0x11; 12]);
        (0..12).for_each(|slot| store(bucket + 16 + slot * 4, &reference.to_le_bytes()));
    }
    assert_eq!(image.word(window + u64::from(reference) * 8) >> 33 & 1, 1, "a large record");
    in_child("overlap", || {
        let mut visits = 0;
        let stop = &mut |_: &[u8], _: &[u8]| {
            visits += 1;
            visits < 24
        };
        assert_eq!(map.for_each(stop), Ok(()), "memory for one record at a time");
        assert!(!map.verify().unwrap().is_empty());
        // Each of them finds its bucket full and splits the table, at depths with and without hash
        // bits in the slots.
        for number in 0..50u64 {
            let _ = map.put(&key(number), b"value");
        }
    });
}

#[test]
fn an_intent_that_finishes_many_splits_is_refused() {
    let scene = Scene::new("hostile-splits", 1);
    let header = scene.geometry.shard_header(0);
    for entry in 0..INTENT_ENTRIES {
        scene.store(word(header + Field::Dead as u64 + 8 + entry * 16), 2);
        scene.store(word(header + Field::Dead as u64 + 16 + entry * 16), 0);
    }
    scene.store(word(header + Field::Pending as u64), INTENT_ENTRIES);
    in_child("splits", || assert!(is_corrupt(&scene.writer.put(b"key", b"value"))));
}
