//! Gaps in lists: indices without an element, as damage or a crash of the machine leaves them. Who
//! makes the index anew closes them, before anybody else may look.
//!
//! After a crash of the machine, lists are made shorter first (`narrow`). A list may say, as its
//! record was written at any moment, that it has elements which the disk never got; these were all
//! pushed after the last sync (`list_ends`). What was there at the sync, and was not removed, is in
//! every list that is found of the key: so it lies in what these have in common, and that has no
//! gap. The list keeps what lies there and what goes on from there without a gap. The rest is among
//! what was pushed since, and need not have been kept. This comes before the other records of the
//! key are retired, so that who dies on the way leaves the next one the same to do.
//!
//! What a list does not keep is deleted, and the disk gets that before anybody can push: else,
//! after another crash, an element that the list had before the first one might be found under the
//! index of a new one that the disk did not get.
//!
//! What gaps there are then, damage has made (`close`). The elements behind one move down, in
//! order: each is given another index where it lies, by one intent that changes its slot as well.
//! The word of the list comes last. Who goes on after a death finds the elements in the same order,
//! some of them moved, and ends with the same. A list without any elements is deleted. All elements
//! that no list has any more are counted as orphans.

use crate::arena;
use crate::check::Violation;
use crate::element::ElementKey;
use crate::growth::{self, Memory};
use crate::intent::Intent;
use crate::kind::Kind;
use crate::link;
use crate::list::List;
use crate::locate;
use crate::orphans;
use crate::place::{Field, Place, pair, unpair};
use crate::rebuild;
use crate::record::Record;
use crate::salvage::push;
use shf_base::error::OpError;

/// The elements of all lists of a shard, sorted.
struct Elements(Vec<(ElementKey, u32)>);

impl Elements {
    /// Those among some records that `which` says.
    fn of(
        place: Place<'_>,
        references: &[u32],
        which: impl Fn(&Record<'_>) -> bool,
    ) -> Result<Elements, OpError> {
        let mut elements = Vec::new();
        for &reference in references {
            let record = Record::at(&place, reference).filter(&which);
            if let Some(key) = record.and_then(Record::element_key) {
                push(&mut elements, (key, reference))?;
            }
        }
        elements.sort_unstable();
        elements.dedup_by_key(|(key, _)| *key);
        Ok(Elements(elements))
    }

    /// Those of a list, in its order.
    fn of_list(&self, uid: u64, list: List) -> Result<Vec<(ElementKey, u32)>, OpError> {
        let start = self.0.partition_point(|(key, _)| key.list < uid);
        let all = self.0[start..].iter().take_while(|(key, _)| key.list == uid);
        let mut elements = Vec::new();
        for &element in all.filter(|(key, _)| list.covers(key.index)) {
            push(&mut elements, element)?;
        }
        elements.sort_unstable_by_key(|(key, _)| list.place_of(key.index));
        Ok(elements)
    }
}

/// After a crash of the machine: makes lists shorter that say more than there is. `references` are
/// the records that were found, in an order in which the one of each key that stays comes first.
pub fn narrow(place: Place<'_>, references: &[u32]) -> Result<(), OpError> {
    let elements = Elements::of(place, references, |_| true)?;
    let mut lists = Vec::new();
    for (&reference, order) in references.iter().zip(0u32..) {
        let record = Record::at(&place, reference);
        if let Some(record) = record.filter(|record| record.shape.traits.kind() == Kind::List) {
            let uid = place.uid(record.hash(place.secret()), record.stamp).bits();
            push(&mut lists, (uid, order, reference))?;
        }
    }
    lists.sort_unstable();
    for of_one in lists.chunk_by(|(uid, ..), (other, ..)| uid == other) {
        let Some(first) = Record::at(&place, of_one[0].2) else { continue };
        let others = of_one[1..].iter().filter_map(|(_, _, reference)| {
            Record::at(&place, *reference).filter(|record| record.has_key_of(first))
        });
        let (list, uid) = (first.list(), of_one[0].0);
        let mut common = (0, i64::from(list.count));
        for other in others.map(Record::list) {
            let start = i64::from(list.place_of(other.first) as i32);
            common = (common.0.max(start), common.1.min(start + i64::from(other.count)));
        }
        if common.0 >= common.1 {
            common = (0, 0);
        }
        if let Some(narrowed) = narrowed(list, common, &elements.of_list(uid, list)?)
            && narrowed != list
        {
            first.mend_list(narrowed);
        }
    }
    Ok(())
}

/// The part of a list that has what lies in the places `common` and goes on from there without a
/// gap; where nothing lies there, its first elements without a gap. `None`: it has no elements.
fn narrowed(list: List, (start, end): (i64, i64), elements: &[(ElementKey, u32)]) -> Option<List> {
    let place = |at: usize| i64::from(list.place_of(elements[at].0.index));
    let from = (0..elements.len()).find(|&at| (start..end).contains(&place(at))).unwrap_or(0);
    elements.first()?;
    let (mut first, mut last) = (from, from);
    while first > 0 && place(first - 1) + 1 == place(first) {
        first -= 1;
    }
    while last + 1 < elements.len() && (place(last) + 1 == place(last + 1) || place(last + 1) < end)
    {
        last += 1;
    }
    let count = (place(last) - place(first) + 1) as u32;
    Some(List { first: elements[first].0.index, count })
}

/// Closes the gaps in all lists of a shard whose index is being made anew, and counts the orphans,
/// or deletes them after a crash of the machine; returns what was lost. `references` are its
/// records.
pub fn close(
    memory: Memory<'_>,
    references: &[u32],
    crashed: bool,
) -> Result<Vec<Violation>, OpError> {
    let place = memory.place;
    let elements = Elements::of(place, references, |record| record.is_live())?;
    let mut lost = Vec::new();
    for &reference in references {
        let Some(record) = Record::at(&place, reference) else { continue };
        if record.shape.traits.kind() != Kind::List || !record.is_live() {
            continue;
        }
        let hash = record.hash(place.secret());
        let (uid, list) = (place.uid(hash, record.stamp).bits(), record.list());
        let mut kept = 0;
        for (key, reference) in elements.of_list(uid, list)? {
            let index = list.index_of(kept);
            match move_to(memory, reference, key, index) {
                Ok(()) => kept += 1,
                Err(OpError::HashCollisions { .. }) => {
                    erase(place, reference)?;
                    let what = "an element of too many with the same hash".into();
                    lost.push(Violation::new(place.shard(), place.unit_offset(reference), what));
                }
                Err(error) => return Err(error),
            }
        }
        if kept == 0 {
            erase(place, reference)?;
            let what = "a list without elements".into();
            lost.push(Violation::new(place.shard(), place.unit_offset(reference), what));
        } else if kept != list.count {
            record.mend_list(List { count: kept, ..list });
        }
    }
    let (mut orphans, has_elements) = (0, !elements.0.is_empty());
    for (_, reference) in elements.0 {
        let Some(record) = Record::at(&place, reference).filter(|record| record.is_live()) else {
            continue;
        };
        if orphans::is_one(place, &record)? {
            if crashed {
                erase(place, reference)?;
            } else {
                orphans += 1;
            }
        }
    }
    let (timed, _) = unpair(place.load(Field::Timed));
    place.store(Field::Timed, pair(timed, orphans));
    if crashed && has_elements {
        for (offset, len) in growth::committed_areas(place) {
            memory.storage.flush(offset, len)?;
        }
    }
    Ok(lost)
}

/// Gives an element another index, unless it is the one that it has.
fn move_to(memory: Memory<'_>, reference: u32, key: ElementKey, index: u32) -> Result<(), OpError> {
    if key.index == index {
        return Ok(());
    }
    let (place, target) = (memory.place, ElementKey { index, ..key });
    let offset = place.unit_offset(reference);
    let hash = target.hash(place.secret());
    let damaged = || place.corrupt(offset, "an element changed while its shard was locked");
    let free = rebuild::slot_for(memory, hash, || locate::element(place, hash, target))?;
    let (Some(position), Some(record)) = (free, Record::at(&place, reference)) else {
        return Err(damaged());
    };
    let old = locate::reference(place, key.hash(place.secret()), reference)?;
    let (old, _) = old.ok_or_else(damaged)?;
    let mut intent = Intent::begin(place);
    record.set_index(&mut intent, place, key, index);
    link::leave(&mut intent, old, false);
    let position = link::after(&intent, position);
    link::enter(&mut intent, place, position, hash, reference, false);
    intent.commit()
}

/// Deletes a list or an element.
fn erase(place: Place<'_>, reference: u32) -> Result<(), OpError> {
    let Some(record) = Record::at(&place, reference) else { return Ok(()) };
    let found = locate::reference(place, record.hash(place.secret()), reference)?;
    let Some((position, _)) = found else { return Ok(()) };
    let mut intent = Intent::begin(place);
    link::leave(&mut intent, position, record.shape.traits.timed());
    if record.is_element() {
        orphans::count_element_gone(&mut intent);
    }
    arena::retire(&mut intent, place, reference, record)?;
    intent.commit()
}
