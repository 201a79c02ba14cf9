//! A list, as the record of its key has it: one word, which says which elements there are.
//!
//! ```text
//! bit 0              32       64
//!     | first index  | count  |
//! ```
//!
//! The elements (`element`) have the indices from `first` on, which come around after 2^32. A push
//! or a pop at either end changes the word, and nothing else of the list but the element at that
//! end. So the length is one load, and a change of the list is one store.
//!
//! Invariant, whenever no intent is pending: count > 0, and each index from `first` on, `count` of
//! them, has its element. No shard holds 2^32 records, whose references have 32 bits in units of 8
//! bytes; so neither number comes to an end.

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// That of the first element.
    Front,
    /// That of the last one.
    Back,
}

/// Which elements a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// The index of the first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl List {
    /// A list that begins, with one element.
    pub const BEGUN: List = List { first: 0, count: 1 };

    /// Unpacks the word of a record.
    #[inline(always)]
    pub fn of_word(word: u64) -> List {
        List { first: word as u32, count: (word >> 32) as u32 }
    }

    /// Packs it for a record.
    #[inline(always)]
    pub fn word(self) -> u64 {
        u64::from(self.first) | u64::from(self.count) << 32
    }

    /// Whether the list has an element with this index.
    #[inline(always)]
    pub fn covers(self, index: u32) -> bool {
        self.place_of(index) < self.count
    }

    /// How many elements lie before the one with an index.
    #[inline(always)]
    pub fn place_of(self, index: u32) -> u32 {
        index.wrapping_sub(self.first)
    }

    /// The index of the element that so many lie before.
    #[inline(always)]
    pub fn index_of(self, place: u32) -> u32 {
        self.first.wrapping_add(place)
    }

    /// The index of an element that is added, and the list with it; `None`: the count ends here.
    pub fn with_one_more(self, end: End) -> Option<(u32, List)> {
        let count = self.count.checked_add(1)?;
        let first = match end {
            End::Front => self.first.wrapping_sub(1),
            End::Back => self.first,
        };
        let list = List { first, count };
        Some((list.at(end), list))
    }

    /// The index of the element at an end, and the list without it; `None`: there is none.
    pub fn with_one_less(self, end: End) -> Option<(u32, List)> {
        let count = self.count.checked_sub(1)?;
        let first = match end {
            End::Front => self.first.wrapping_add(1),
            End::Back => self.first,
        };
        Some((self.at(end), List { first, count }))
    }

    /// The index of the element at an end of a list that has one.
    fn at(self, end: End) -> u32 {
        match end {
            End::Front => self.first,
            End::Back => self.index_of(self.count.wrapping_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_at_an_end_is_what_goes_there_also_where_indices_come_around() {
        for first in [0, 1, u32::MAX - 1, u32::MAX] {
            let mut list = List { first, count: 1 };
            let mut added = Vec::new();
            for end in [End::Front, End::Back, End::Back, End::Front, End::Front] {
                let (index, more) = list.with_one_more(end).unwrap();
                assert!(!list.covers(index) && more.covers(index));
                assert_eq!(List::of_word(more.word()), more);
                (list, _) = (more, added.push((end, index)));
            }
            while let Some((end, index)) = added.pop() {
                let (gone, less) = list.with_one_less(end).unwrap();
                assert_eq!((gone, less.covers(gone)), (index, false));
                list = less;
            }
            assert_eq!(list, List { first, count: 1 });
        }
    }

    #[test]
    fn the_count_has_two_ends() {
        let most = List { first: 5, count: u32::MAX };
        assert_eq!(most.with_one_more(End::Back), None);
        assert_eq!(List { first: 5, count: 0 }.with_one_less(End::Front), None);
    }
}
