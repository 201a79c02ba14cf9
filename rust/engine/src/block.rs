//! Blocks: the memory of a log run, one after the other, whether a slot refers to them or not.
//!
//! The size of a block follows from the header of the record in it, which is stored whole, by one
//! store, before anything else of the record; where a block is cut in two, the header of the rest
//! is stored first. So a run can be walked block by block after a death at any moment. A block is
//! free when it is a gap, or its record not live (`record`).

use crate::class;
use crate::locate::{self, Position};
use crate::place::Place;
use crate::record::Record;
use shf_base::error::OpError;

/// A block of a log run.
#[derive(Clone, Copy)]
pub struct Block<'m> {
    /// Where it begins.
    pub reference: u32,
    /// Its size.
    pub units: u32,
    /// What lies in it; nothing in a gap.
    pub record: Option<Record<'m>>,
}

/// The block at a reference inside a log run; `None` where the bytes make no sense.
pub fn at<'m>(place: &Place<'m>, reference: u32) -> Option<Block<'m>> {
    if let Some(units) = Record::gap_units(place, reference) {
        return (units != 0).then_some(Block { reference, units, record: None });
    }
    let record = Record::at(place, reference).filter(|record| !record.shape.is_large())?;
    let units = class::units(class::of_bytes(record.shape.bytes()));
    Some(Block { reference, units, record: Some(record) })
}

impl<'m> Block<'m> {
    /// The class that the block is good for, if it has the size of one.
    pub fn class(self) -> Option<usize> {
        let class = class::of_bytes((u64::from(self.units) * 8).min(class::SMALL_BYTES_MAX));
        (class::units(class) == self.units).then_some(class)
    }

    /// Whether no slot refers to it.
    pub fn is_free(self) -> bool {
        !self.record.is_some_and(Record::is_live)
    }

    /// The record that a slot refers to, and the slot with what it holds; `None` for a free block.
    /// The caller holds the lock.
    pub fn slot(
        self,
        place: Place<'m>,
    ) -> Result<Option<(Record<'m>, Position<'m>, u32)>, OpError> {
        let Some(record) = self.record.filter(|record| record.is_live()) else { return Ok(None) };
        match locate::reference(place, record.hash(place.secret()), self.reference)? {
            Some((position, word)) => Ok(Some((record, position, word))),
            None => Err(place.corrupt(place.unit_offset(self.reference), "record without a slot")),
        }
    }
}
