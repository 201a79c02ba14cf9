//! Deaths in the operations on keys that have an age, and in reaping.

use crate::KEY;
use crate::experiment::Experiment;
use crate::operation::{HOUR, Operation, fill, fill_with_key};
use shf_engine::{Age, Map, Value};

/// `prepare`, in a map whose keys live for a day.
fn aging(prepare: impl FnOnce(&Map)) -> impl FnOnce(&Map) {
    move |map| {
        map.set_default_age(Some(24 * HOUR)).unwrap();
        prepare(map);
    }
}

/// `fill`, and some keys, `KEY` among them, that have expired two hours later.
fn with_mortals(map: &Map) {
    fill(map);
    for key in [KEY, b"an hour", b"another", &[7; 300]] {
        map.put_for(key, Value::Bytes(&[8; 40]), Age::Of(HOUR)).unwrap();
    }
}

fn later(operation: Operation) -> Operation {
    Operation::Later(Box::new(operation))
}

#[test]
fn changes_of_keys_with_an_age_survive_death_at_every_step() {
    // Goal: P2 for puts and deletes of records with a deadline, and for giving a new one.
    let new =
        |name: &str, prepare: fn(&Map), operation| Experiment::new(name, aging(prepare), operation);
    new("aged-new", fill, Operation::put(30)).run(20);
    new("aged-replace", |map| fill_with_key(30)(map), Operation::put(90)).run(20);
    new("aged-large", |map| fill_with_key(30_000)(map), Operation::put(20_000)).run(20);
    new("aged-delete", |map| fill_with_key(30)(map), Operation::delete()).run(20);
    new("aged-add", fill, Operation::Add(KEY.to_vec(), 5)).run(20);
    new("touch", |map| fill_with_key(30)(map), Operation::Touch(KEY.to_vec())).run(1);
    Experiment::durable("aged-durable", aging(fill_with_key(30)), Operation::put(90)).run(20);
    let touch = Operation::Touch(KEY.to_vec());
    Experiment::durable("touch-durable", aging(fill_with_key(30)), touch).run(1);
}

#[test]
fn what_becomes_of_expired_keys_survives_death_at_every_step() {
    // Goal: P2 where an expired key is put anew, deleted, or reaped: it is there as before, for
    // a clock that is set back, or gone, or there anew. Method: operations with a clock that is two
    // hours ahead, judged with one that is not.
    let new = |name: &str, operation| Experiment::new(name, aging(with_mortals), later(operation));
    new("expired-put", Operation::put(60)).run(20);
    new("expired-add", Operation::Add(KEY.to_vec(), 5)).run(20);
    new("expired-delete", Operation::delete()).run(20);
    new("reap", Operation::Reap).run(60);
    let put = later(Operation::put(60));
    Experiment::durable("expired-durable", aging(with_mortals), put).run(20);
}
