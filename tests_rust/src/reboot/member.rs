//! A child that makes the calls of its script.

use crate::map_file::MapFile;
use crate::process;
use crate::reboot::desk::{Answer, Desk, Desks, Stop};
use crate::reboot::list::bytes;
use crate::reboot::script::{Call, Script};
use crate::reboot::{engine, flush, stepping};
use shf_engine::{Age, Map, OpError, Options, Value};
use std::thread::sleep;
use std::time::Duration;

/// An age that no run reaches.
const DAY: Age = Age::Of(Duration::from_secs(24 * 3600));

/// How a child comes to its map.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Makes it.
    Create(Options),
    /// Opens it after a crash of the machine.
    Recover,
    /// Opens it.
    Open,
}

/// Starts a child; its process id. It stops first before it opens the map.
pub fn spawn(file: &MapFile, desks: Desks, script: &Script, entry: &Entry) -> i32 {
    process::spawn(|| {
        let desk = desks.of(script.member);
        stepping::follow(desk);
        flush::simulate();
        stepping::stop(Stop::Ready);
        let map = open(file, entry);
        desk.say_opened();
        stepping::stop(Stop::Opened);
        // A call of a predecessor that was killed is not answered any more.
        if desk.begun() > desk.acknowledged() {
            desk.acknowledge(desk.begun(), Answer::Unknown);
        }
        for before in desk.begun()..script.calls.len() {
            sleep(script.pause);
            desk.begin(before + 1);
            let answer = perform(&map, file, desks, desk, script, &script.calls[before]);
            desk.acknowledge(before + 1, answer);
        }
        true
    })
}

fn open(file: &MapFile, entry: &Entry) -> Map {
    match entry {
        Entry::Create(options) => Map::create(file.folder(), file.name(), options).unwrap(),
        Entry::Open => file.open(),
        // A predecessor may have got so far that nothing is left to be recovered.
        Entry::Recover => {
            let map = file.open();
            if !engine::RECOVERY_SYNCS {
                engine::sync(&map, &file.path()).unwrap();
            }
            map
        }
    }
}

fn perform(
    map: &Map,
    file: &MapFile,
    desks: Desks,
    desk: Desk,
    script: &Script,
    call: &Call,
) -> Answer {
    let done = match call {
        Call::Put(key, value) => put(map, &script.key(*key), &value.bytes()),
        Call::Add(key, delta) => map.add(&script.key(*key), *delta).map(drop),
        Call::Delete(key) => map.delete(&script.key(*key)).map(drop),
        Call::Push(list, value) => map.push(&script.list_key(*list), &bytes(value)).map(drop),
        Call::Unshift(list, value) => map.unshift(&script.list_key(*list), &bytes(value)).map(drop),
        Call::Pop(list) => map.pop(&script.list_key(*list), &mut Vec::new()).map(drop),
        Call::Shift(list) => map.shift(&script.list_key(*list), &mut Vec::new()).map(drop),
        Call::End(list) => map.delete(&script.list_key(*list)).map(drop),
        Call::Clear => map.clear().map(drop),
        Call::Sync => sync(map, file, desks, desk),
    };
    use OpError::{NoSpace, System, TooLarge, WrongType};
    match done {
        Ok(()) => Answer::Done,
        Err(NoSpace { .. } | WrongType { .. } | TooLarge { .. }) => Answer::Refused,
        Err(System { errno: libc::EIO, .. }) if desk.flush_error() != 0 => Answer::Refused,
        Err(error) => panic!("{call:?}: {error}"),
    }
}

/// Puts a value, some of them with an age, some of these with another one afterwards.
fn put(map: &Map, key: &[u8], value: &[u8]) -> Result<(), OpError> {
    let aged = || map.put_for(key, Value::Bytes(value), DAY).map(drop);
    match value.len() % 4 {
        0 => aged(),
        1 => aged().and_then(|()| map.touch(key, DAY).map(drop)),
        _ => map.put(key, value).map(drop),
    }
}

fn sync(map: &Map, file: &MapFile, desks: Desks, desk: Desk) -> Result<(), OpError> {
    stepping::stop(Stop::BeforeSync);
    let acknowledged = desks.acknowledged();
    let synced = engine::sync(map, &file.path());
    if synced.is_ok() {
        desk.promise(acknowledged);
    }
    stepping::stop(Stop::AfterSync);
    synced
}
