//! The same numbers as `random.hpp`: what is expected here was printed by a program that includes
//! it.

use super::*;

#[test]
fn a_seed_gives_the_same_numbers_as_in_cpp() {
    let mut random = Random::new(1);
    assert_eq!([random.below(1_000_000), random.below(1_000_000)], [749_748, 372_393]);
    assert_eq!(Random::new(1).below_both(1_000_000, 50), (749_748, 43));
    assert_eq!([random.any(), random.any()], [0x7033_5fc3_daf3_d8a7, 0xf440_fe3b_62c7_9d2c]);
}

#[test]
fn an_order_is_the_same_as_in_cpp_and_has_each_index_once() {
    let order = Shuffle::new(1000, 8);
    assert_eq!([order.at(0), order.at(1), order.at(2), order.at(999)], [0, 35, 70, 765]);
    for count in [1, 2, 5, 64, 1000] {
        let order = Shuffle::new(count, 3);
        let mut indexes: Vec<u64> = (0..count).map(|place| order.at(place)).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn skewed_numbers_prefer_the_first_and_repeat_with_their_seed() {
    let numbers = zipf_numbers(1000, 0.99, 5, 10_000);
    assert_eq!(numbers, zipf_numbers(1000, 0.99, 5, 10_000));
    assert!(numbers.iter().all(|&number| number < 1000));
    let times = |wanted| numbers.iter().filter(|&&number| number == wanted).count();
    assert!(times(0) > times(10) && times(10) > times(500));
    assert!(zipf_numbers(0, 0.99, 5, 10).is_empty() && zipf_numbers(10, 0.0, 5, 10).is_empty());
}
