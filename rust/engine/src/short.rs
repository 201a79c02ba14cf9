//! UIDs of 32 bits, as the original library has them: whose they are, as far as they tell.

use crate::directory;
use crate::hash::Hash;
use crate::place::Place;
use crate::read::Seen;
use crate::record::Record;
use crate::table::{Head, REACH, bucket_at};
use crate::uid::Uid;
use shf_base::atomic::Ordering::Acquire;
use shf_base::atomic::fence;
use shf_base::clock;
use shf_base::error::OpError;

/// The UID that has these short bits, if one key alone has it, in one look without a lock; the
/// outer `None`: a writer interfered. `hash` leads to it as far as its first `bits` directory bits
/// do.
pub fn find(
    place: &Place<'_>,
    hash: Hash,
    bits: u32,
    short: u32,
) -> Result<Option<Option<Uid>>, OpError> {
    let root = directory::root(place);
    let unchanged = || {
        fence(Acquire);
        directory::root(place) == root
    };
    let table = match directory::find_from(place, root, hash.directory()) {
        Ok(Some(entry)) if entry.depth <= bits => entry.table,
        other => return if unchanged() { other.map(|_| Some(None)) } else { Ok(None) },
    };
    let (shards, secret) = (place.geometry().uid_shards(), place.secret());
    let mut heads = [Head { low: 0, high: 0 }; REACH];
    let (mut found, mut distance) = (None, 0);
    loop {
        let number = bucket_at(hash.bucket(), distance);
        let bucket = table.bucket(number);
        let head = bucket.head();
        for slot in head.matching(hash.tag()) {
            let word = bucket.slot(slot);
            let seen = Seen::new(place, root, bucket, slot, word, head);
            let record = Record::at(place, place.slot_format().reference(word));
            let key = record.filter(|record| !record.is_element());
            let uid = key.map(|record| place.uid(record.hash(secret), record.stamp));
            let deadline = record.and_then(Record::deadline);
            let expired = deadline.is_some_and(|deadline| deadline.is_over(clock::wall_ms()));
            if !seen.unchanged() {
                return Ok(None);
            }
            if let Some(uid) = uid.filter(|uid| uid.short(shards) == short && !expired)
                && found.replace(uid).is_some()
            {
                return Ok(Some(None));
            }
        }
        heads[distance] = head;
        distance += 1;
        if head.overflow() == 0 || distance == REACH {
            break;
        }
    }
    let same = |(distance, head): (usize, Head)| {
        table.bucket(bucket_at(hash.bucket(), distance)).is_as(head)
    };
    fence(Acquire);
    let whole = heads.into_iter().enumerate().take(distance).all(same) && unchanged();
    Ok(whole.then_some(found))
}
