//! Every tag-group implementation that this build has, against a loop that anybody can check.

use shf_engine::group::{SLOTS, SlotSet, fastest, portable};
use shf_tests::Random;

type Matching = fn(u64, u64, u8) -> SlotSet;

/// All implementations of this build, with their names.
fn implementations() -> Vec<(&'static str, Matching)> {
    vec![
        ("portable", portable::matching),
        ("fastest", fastest::matching),
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        ("sse2", shf_engine::group::sse2::matching),
        #[cfg(target_arch = "aarch64")]
        ("neon", shf_engine::group::neon::matching),
    ]
}

/// The definition: tags are bytes 0 to 7 of the one word and 0 to 3 of the other, without their
/// highest bit.
fn by_definition(low: u64, high: u64, tag: u8) -> u16 {
    let tags = [&low.to_le_bytes()[..], &high.to_le_bytes()[..4]].concat();
    assert_eq!(tags.len(), SLOTS);
    tags.iter()
        .enumerate()
        .filter(|(_, found)| **found & 0x7f == tag)
        .map(|(slot, _)| 1 << slot)
        .sum()
}

fn assert_agree(low: u64, high: u64, tag: u8) {
    let expected = by_definition(low, high, tag);
    for (name, matching) in implementations() {
        let found = matching(low, high, tag).0;
        assert_eq!(found, expected, "{name}: tag {tag:#x} in {low:#018x} {high:#018x}");
    }
}

/// The two words with one tag in one slot, and `fill` in all other bytes.
fn words(slot: usize, tag: u8, fill: u8) -> (u64, u64) {
    let mut bytes = [fill; 16];
    bytes[slot] = tag;
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    (word(0), word(8))
}

#[test]
fn a_single_tag_is_found_in_every_slot_and_no_other_tag_is() {
    // Goal: all slots, all stored bytes, access bit included, all tags that a key can have, and 0
    // for the empty slot. Method: exhaustive, over three kinds of neighbours; samples under Miri.
    let step = if cfg!(miri) { 101 } else { 1 };
    for slot in 0..SLOTS {
        for stored in (0..=255u8).step_by(step) {
            for tag in (0..=127u8).step_by(step) {
                for fill in [0, 0x80, 0xff] {
                    let (low, high) = words(slot, stored, fill);
                    assert_agree(low, high, tag);
                }
            }
            for fill in [0, 0x80, 0xff] {
                let (low, high) = words(slot, stored, fill);
                assert_agree(low, high, stored & 0x7f);
            }
        }
    }
}

#[test]
fn random_words_match_as_defined() {
    // Goal: no byte disturbs another. Method: random words, asked for tags that are in them, tags
    // one bit away from these, and any.
    let mut random = Random::from_env(4);
    for _ in 0..if cfg!(miri) { 60 } else { 300_000 } {
        let (low, high) = (random.next(), random.next());
        let there = low.to_le_bytes()[random.below(8) as usize] & 0x7f;
        let near = there ^ 1 << random.below(7);
        for tag in [there, near, (random.next() & 0x7f) as u8, 0] {
            assert_agree(low, high, tag);
        }
    }
}

#[test]
fn overflow_version_and_access_bits_are_no_part_of_a_match() {
    // Goal: what a reader compares does not change when only those change.
    let mut random = Random::from_env(5);
    for _ in 0..if cfg!(miri) { 60 } else { 100_000 } {
        let (low, high, tag) = (random.next(), random.next(), (random.next() & 0x7f) as u8);
        let access = random.next() & 0x8080_8080_8080_8080;
        let beyond = random.next() << 32;
        for (_, matching) in implementations() {
            let noisy = matching(low ^ access, high ^ beyond ^ (access & 0xffff_ffff), tag);
            assert_eq!(noisy, matching(low, high, tag));
        }
    }
}

#[test]
fn a_set_of_slots_is_walked_from_the_lowest_on() {
    for bits in 0..1u16 << SLOTS {
        if cfg!(miri) && bits % 241 != 0 {
            continue;
        }
        let expected: Vec<usize> = (0..SLOTS).filter(|slot| bits >> slot & 1 == 1).collect();
        assert_eq!(SlotSet(bits).collect::<Vec<_>>(), expected);
        assert_eq!(SlotSet(bits).first(), expected.first().copied());
    }
}
