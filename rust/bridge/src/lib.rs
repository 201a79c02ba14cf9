//! The bridge between the engine and its C++ interface: converts types, decides nothing.
//!
//! cxx carries errors as text only, and a panic in an exported function ends the process. So every
//! function here returns an `Outcome`, a plain structure with the engine's stable status code, and
//! catches unwinding (`guard`). Nothing is allocated on the way in or out; the text of a failure
//! is made only when C++ asks for it (`take_failure_text`).
//!
//! - `map`: the handle that C++ owns and its adapters
//! - `many`: those for batches
//! - `files`: maps without a name, and all maps of a folder
//! - `conditional`, `typed`, `named`, `scan`, `aging`, `lists`, `presence`: as the engine's files of
//!   these names
//! - `freezing`: those for snapshots and frozen maps
//! - `guard`: the one place where panics and errors become outcomes and texts
#![deny(unsafe_code)]

mod aging;
mod conditional;
mod files;
mod freezing;
mod guard;
mod lists;
mod many;
mod map;
mod named;
mod presence;
mod scan;
mod sink;
mod stats;
mod typed;

use files::list_maps;
use guard::take_failure_text;
use map::{Map, detached_map, remove_map};
use presence::Watch;
use stats::{stats_to_json, stats_to_json_with, stats_to_prometheus};

// What C++ sees, in the namespace `shf::bridge`.
#[allow(unsafe_code)] // cxx generates it
#[cxx::bridge(namespace = "shf::bridge")]
mod ffi {
    /// What a call did.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Outcome {
        /// A number of `shf::Status`.
        status: u32,
        /// The call's answer where it is yes or no.
        flag: bool,
        /// The call's answer where it is a number; with `kBufferTooSmall` the bytes needed.
        value: u64,
    }

    /// `shf::Options`, where 0 means that the engine chooses. A negative `patience_us` has no end;
    /// a negative `durable` means no; an age other than a duration has no end.
    struct Options<'a> {
        shards: u32,
        max_bytes: u64,
        expected_keys: u64,
        initial_bytes: u64,
        mode: u32,
        /// `u32::MAX`: the system chooses.
        group: u32,
        allow_any_file_system: bool,
        durable: i32,
        default_age: Age,
        evict: bool,
        temporary: bool,
        /// Whether the lengths that follow are fixed.
        is_fixed: bool,
        fixed_key_bytes: u32,
        fixed_value_bytes: u32,
        patience_us: i64,
        /// Empty: the program's name.
        application: &'a [u8],
        /// A number of `shf::Role`.
        role: u32,
    }

    /// `shf::Stats`.
    #[derive(Clone, Copy)]
    struct Stats {
        keys: u64,
        elements: u64,
        timed_keys: u64,
        committed_bytes: u64,
        max_bytes: u64,
        free_bytes_left: u64,
        apparent_bytes: u64,
        front_bytes: u64,
        descriptor_bytes: u64,
        live_bytes: u64,
        dead_bytes: u64,
        free_bytes: u64,
        unused_bytes: u64,
        index_bytes: u64,
        shards: u64,
        tables: u64,
        bucket_count: u64,
        max_bucket_count: u64,
        slots: u64,
        splits: u64,
        vacated_pages: u64,
        moved_records: u64,
        repairs: u64,
        expired_keys: u64,
        evicted_keys: u64,
        retries: u64,
        created_ns: u64,
        fixed_key_bytes: u64,
        fixed_value_bytes: u64,
    }

    /// `shf::NamedStats`.
    struct NamedStats<'a> {
        map_name: &'a [u8],
        stats: Stats,
        processes: &'a [ProcessView<'a>],
    }

    /// `shf::Process`, as C++ gives it.
    struct ProcessView<'a> {
        slot: u32,
        attached_ns: u64,
        pid: u32,
        application: &'a [u8],
        role: u32,
        counts: Counts,
        is_this: bool,
    }

    /// `shf::Counts`.
    #[derive(Clone, Copy)]
    struct Counts {
        hits: u64,
        misses: u64,
        puts: u64,
        deletes: u64,
        changes: u64,
        lists: u64,
        walks: u64,
        waits: u64,
    }

    /// `shf::Process`.
    struct Process {
        slot: u32,
        attached_ns: u64,
        pid: u32,
        application: String,
        role: u32,
        counts: Counts,
        is_this: bool,
    }

    /// `shf::Event`.
    struct Event {
        joined: bool,
        process: Process,
    }

    /// `shf::Violation`; table, bucket and slot are -1 where they do not matter.
    struct Violation {
        shard: u32,
        table: i32,
        bucket: i32,
        slot: i32,
        offset: u64,
        what: String,
    }

    /// `shf::Listed`; `status` is a number of `shf::Status`.
    struct Listed {
        name: String,
        status: u32,
        text: String,
        keys: u64,
        committed_bytes: u64,
        real_bytes: u64,
        apparent_bytes: u64,
        max_bytes: u64,
        /// Nanoseconds since 1970.
        created_ns: i64,
        durable: bool,
        evict: bool,
        temporary: bool,
        users: u32,
    }

    /// A key of a batch.
    struct Key<'a> {
        bytes: &'a [u8],
    }

    /// A key of a batch, and the value to put.
    struct Pair<'a> {
        key: &'a [u8],
        value: &'a [u8],
    }

    /// `shf::Placed`.
    #[derive(Clone, Copy)]
    struct Placed {
        replaced: bool,
        uid: u64,
    }

    /// `shf::Condition`: a number of `Condition::What`, and what goes with it.
    struct Condition<'a> {
        what: u32,
        value: &'a [u8],
        token: u64,
    }

    /// `shf::Age`: as `aging` numbers them, and of a duration how long it is.
    #[derive(Clone, Copy)]
    struct Age {
        what: u32,
        ms: u64,
    }

    /// A value, and a number of `shf::Type`.
    struct Value<'a> {
        bytes: &'a [u8],
        kind: u32,
    }

    /// Memory of the caller for the value of a key of a batch, and what became of it.
    struct Buffer<'a> {
        room: &'a mut [u8],
        /// The value's, whether it was copied or is too long.
        bytes: u64,
        /// A number of `shf::Status`.
        status: u32,
    }

    extern "Rust" {
        /// A handle that is attached to a map, or to none.
        type Map;

        /// Looks at a map again and again, as long as a handle has it.
        type Watch;

        fn watch(self: &Map) -> Box<Watch>;
        fn poll(self: &mut Watch, into: &mut Vec<Event>) -> Outcome;

        fn detached_map() -> Box<Map>;
        /// A second handle of the same map, which outlives this one if need be.
        fn share(self: &Map) -> Box<Map>;
        fn is_attached(self: &Map) -> bool;
        /// While other threads are in calls on it, too.
        fn detach(self: &Map);
        /// Detaches, then takes over what the other handle has, which nobody else may use.
        fn take_over(self: &Map, other: &Map);
        fn create(self: &Map, folder: &[u8], name: &[u8], options: &Options) -> Outcome;
        fn open(self: &Map, folder: &[u8], name: &[u8], options: &Options) -> Outcome;
        fn open_or_create(self: &Map, folder: &[u8], name: &[u8], options: &Options) -> Outcome;
        fn open_read_only(self: &Map, folder: &[u8], name: &[u8], options: &Options) -> Outcome;
        fn remove_map(folder: &[u8], name: &[u8]) -> Outcome;
        fn create_anonymous(self: &Map, options: &Options) -> Outcome;
        /// `descriptor` is open, or no descriptor.
        fn open_descriptor(
            self: &Map,
            descriptor: i32,
            read_only: bool,
            options: &Options,
        ) -> Outcome;
        /// `value`: a descriptor that belongs to the caller.
        fn descriptor(self: &Map) -> Outcome;
        fn list_maps(folder: &[u8], into: &mut Vec<Listed>) -> Outcome;

        /// An `Outcome` in one register, as of `get_into`: bit 60 says whether a value was
        /// replaced, the bits below are the UID.
        ///
        /// # Safety
        /// Each pointer is good for its number of bytes, and not null.
        unsafe fn put(
            self: &Map,
            key: *const u8,
            key_bytes: usize,
            value: *const u8,
            value_bytes: usize,
        ) -> u64;
        /// An `Outcome` in one register (`guard::Packed`), whose value is the full size. That
        /// and the pointers make the most frequent calls a tenth
        /// shorter.
        ///
        /// # Safety
        /// Each pointer is good for its number of bytes, and not null; the two do not overlap.
        unsafe fn get_into(
            self: &Map,
            key: *const u8,
            key_bytes: usize,
            into: *mut u8,
            into_bytes: usize,
        ) -> u64;
        /// `value`: the full size.
        fn get_to(self: &Map, key: &[u8], sink: Pin<&mut Sink>) -> Outcome;
        /// Copies the values of the first keys one behind the other to `room`; `sizes` gets the
        /// bytes of each, or `u64::MAX` where the key is not there, and `done` for how many
        /// keys, also when the next one failed. `flag`: all keys; else `value`: the bytes
        /// of the next value, for which there was no room any more.
        fn get_some(
            self: &Map,
            keys: &[Key],
            room: &mut [u8],
            sizes: &mut [u64],
            done: &mut usize,
        ) -> Outcome;
        /// Gets each key into the buffer of the same index. `value`: how many were copied.
        fn get_each_into(self: &Map, keys: &[Key], into: &mut [Buffer]) -> Outcome;
        /// `placed` gets what each put did, and `done` how many were done, also when the next one
        /// failed. `value`: how many replaced one.
        fn put_many(self: &Map, pairs: &[Pair], placed: &mut [Placed], done: &mut usize)
        -> Outcome;
        /// `flag`: there.
        fn contains(self: &Map, key: &[u8]) -> Outcome;
        /// `flag`: was there.
        fn erase(self: &Map, key: &[u8]) -> Outcome;
        /// `value`: the sum, two's complement.
        ///
        /// # Safety
        /// The pointer is good for its number of bytes, and not null.
        unsafe fn add(self: &Map, key: *const u8, key_bytes: usize, delta: i64) -> Outcome;
        /// As `add`, of an unsigned integer.
        fn add_unsigned(self: &Map, key: &[u8], delta: i64) -> Outcome;
        /// As `add`, of a double. `value`: the bits of the sum.
        fn add_double(self: &Map, key: &[u8], delta: f64) -> Outcome;

        /// `flag`: replaced one. `value`: the UID.
        fn put_value(self: &Map, key: &[u8], value: &Value) -> Outcome;
        /// As `put_value`. `ConditionNotMet`: nothing has changed.
        fn put_if(self: &Map, key: &[u8], value: &Value, condition: &Condition) -> Outcome;
        /// As `put_if`, of bytes; a key that is there keeps its age.
        fn put_if_keeping_age(
            self: &Map,
            key: &[u8],
            value: &[u8],
            condition: &Condition,
        ) -> Outcome;
        /// `flag`: deleted.
        fn erase_if(self: &Map, key: &[u8], condition: &Condition) -> Outcome;
        /// As `get_to`; the key is deleted.
        fn take(self: &Map, key: &[u8], sink: Pin<&mut Sink>) -> Outcome;
        /// `value`: the new size.
        fn append(self: &Map, key: &[u8], suffix: &[u8]) -> Outcome;
        /// As `get_to`; `token` gets the key's, or that of an absent one, and `kind` a number of
        /// `shf::Type`.
        fn get_with_token(
            self: &Map,
            key: &[u8],
            sink: Pin<&mut Sink>,
            token: &mut u64,
            kind: &mut u32,
        ) -> Outcome;
        /// `value`: a number of `shf::Type`.
        fn kind(self: &Map, key: &[u8]) -> Outcome;
        /// `value`: the bits of a number of this type, or 0 or 1.
        fn scalar(self: &Map, key: &[u8], kind: u32) -> Outcome;
        /// As `get_to`, of text.
        fn get_text(self: &Map, key: &[u8], sink: Pin<&mut Sink>) -> Outcome;

        /// As `put_value`.
        fn put_for(self: &Map, key: &[u8], value: &Value, age: Age) -> Outcome;
        /// As `put_if`.
        fn put_if_for(
            self: &Map,
            key: &[u8],
            value: &Value,
            condition: &Condition,
            age: Age,
        ) -> Outcome;
        /// `flag`: there.
        fn touch(self: &Map, key: &[u8], age: Age) -> Outcome;
        /// As `get_to`.
        fn get_and_touch(self: &Map, key: &[u8], age: Age, sink: Pin<&mut Sink>) -> Outcome;
        /// `flag`: not for ever. `value`: milliseconds.
        fn time_left(self: &Map, key: &[u8]) -> Outcome;
        /// `value`: keys deleted.
        fn reap(self: &Map) -> Outcome;
        /// As `time_left`.
        fn default_age(self: &Map) -> Outcome;
        /// As of `Options`.
        fn set_default_age(self: &Map, age: Age) -> Outcome;

        /// `value`: how many elements the list has then.
        fn push(self: &Map, key: &[u8], element: &[u8]) -> Outcome;
        /// As `push`.
        fn unshift(self: &Map, key: &[u8], element: &[u8]) -> Outcome;
        /// As `take`, of an element.
        fn pop(self: &Map, key: &[u8], sink: Pin<&mut Sink>) -> Outcome;
        /// As `pop`.
        fn shift(self: &Map, key: &[u8], sink: Pin<&mut Sink>) -> Outcome;
        /// `value`: how many elements there are; 0: the key is not there.
        fn length(self: &Map, key: &[u8]) -> Outcome;
        /// Visits the elements, with empty keys, once all of them are copied. `flag`: to the end;
        /// `value`: how many there are.
        fn range(self: &Map, key: &[u8], start: i64, end: i64, visitor: &Visitor) -> Outcome;

        /// `value`: the UID.
        fn uid(self: &Map, key: &[u8]) -> Outcome;
        /// `value`: 32 bits of a UID.
        fn short_of_uid(self: &Map, uid: u64) -> Outcome;
        /// `value`: the UID that has these, if one key alone has it.
        fn uid_of_short(self: &Map, bits: u32) -> Outcome;
        /// As `get_into`.
        ///
        /// # Safety
        /// The pointer is good for the number of bytes, and not null.
        unsafe fn get_uid_into(self: &Map, uid: u64, into: *mut u8, into_bytes: usize) -> u64;
        /// As `get_to`.
        fn get_uid_to(self: &Map, uid: u64, sink: Pin<&mut Sink>) -> Outcome;
        /// `value`: the full size.
        fn key_of_uid(self: &Map, uid: u64, sink: Pin<&mut Sink>) -> Outcome;
        /// `flag`: there.
        fn contains_uid(self: &Map, uid: u64) -> Outcome;
        /// Absent: nothing has changed.
        fn put_uid(self: &Map, uid: u64, value: &[u8]) -> Outcome;
        /// `flag`: was there.
        fn erase_uid(self: &Map, uid: u64) -> Outcome;

        /// The UIDs of the next keys, `count` of them, perhaps none, or `until_any`. `flag`: there
        /// are more; `value`: the next cursor.
        fn scan_names(
            self: &Map,
            cursor: u64,
            prefix: &[u8],
            until_any: bool,
            names: &mut [u64],
            count: &mut usize,
        ) -> Outcome;
        /// `value`: a number of `shf::Type`; `key_bytes` and `value_bytes` get the sizes.
        fn pair_of_uid(
            self: &Map,
            uid: u64,
            key: Pin<&mut Sink>,
            value: Pin<&mut Sink>,
            key_bytes: &mut usize,
            value_bytes: &mut usize,
        ) -> Outcome;
        /// Visits the pairs of a shard at one moment. `value`: how many shards there are.
        fn view(self: &Map, shard: u32, visitor: &EntryVisitor) -> Outcome;
        /// `value`: keys.
        fn size(self: &Map) -> Outcome;
        /// `value`: keys deleted.
        fn clear(self: &Map) -> Outcome;
        fn for_each(self: &Map, visitor: &Visitor) -> Outcome;
        fn stats(self: &Map, into: &mut Stats) -> Outcome;
        /// The slices are as long as the arrays of `shf::ProbeLengths`.
        fn probe_lengths(
            self: &Map,
            keys: &mut [u64],
            tables_by_depth: &mut [u64],
            tables_by_fill: &mut [u64],
        ) -> Outcome;
        fn verify(self: &Map, into: &mut Vec<Violation>) -> Outcome;
        /// `value`: keys in the rebuilt shards.
        fn repair(self: &Map, shards: &mut u32, lost: &mut Vec<Violation>) -> Outcome;
        fn sync(self: &Map) -> Outcome;
        fn processes(self: &Map, into: &mut Vec<Process>) -> Outcome;
        /// `value`: a number of `shf::Role`.
        fn role(self: &Map) -> Outcome;
        fn set_role(self: &Map, role: u32) -> Outcome;
        /// Absent: nothing was recovered. `value`: keys in the recovered shards.
        fn recovered(self: &Map, shards: &mut u32, lost: &mut Vec<Violation>) -> Outcome;
        fn set_lockable(self: &Map, lockable: bool) -> Outcome;
        /// `flag`: this thread takes locks.
        fn is_lockable(self: &Map) -> Outcome;
        /// `flag`: read-only.
        fn is_read_only(self: &Map) -> Outcome;

        /// `value`: the size of the text.
        fn stats_to_json(stats: &Stats, sink: Pin<&mut Sink>) -> Outcome;
        /// As `stats_to_json`.
        fn stats_to_json_with(
            stats: &Stats,
            processes: &[ProcessView],
            sink: Pin<&mut Sink>,
        ) -> Outcome;
        /// As `stats_to_json`.
        fn stats_to_prometheus(maps: &[NamedStats], sink: Pin<&mut Sink>) -> Outcome;
        /// `value`: keys.
        fn snapshot(self: &Map, folder: &[u8], name: &[u8], file_bytes: &mut u64) -> Outcome;
        fn freeze(self: &Map) -> Outcome;
        fn restore(
            self: &Map,
            from_folder: &[u8],
            from_name: &[u8],
            folder: &[u8],
            name: &[u8],
            options: &Options,
        ) -> Outcome;
        /// `flag`: frozen.
        fn is_frozen(self: &Map) -> Outcome;

        /// The text of this thread's last failure, once.
        fn take_failure_text() -> String;
    }

    unsafe extern "C++" {
        include!("shf/internal/sink.hpp");
        include!("shf/internal/visitor.hpp");

        /// C++ memory that grows.
        type Sink;
        /// Null, or that many bytes until the next call.
        #[cxx_name = "Room"]
        fn room(self: Pin<&mut Sink>, bytes: usize) -> *mut u8;
        #[cxx_name = "Grow"]
        fn grow(self: Pin<&mut Sink>, bytes: usize) -> *mut u8;

        /// The same, of whole entries.
        type EntryVisitor;
        /// # Safety
        /// Each pointer is good for its number of bytes during the call.
        #[cxx_name = "Visit"]
        unsafe fn visit_entry(
            self: &EntryVisitor,
            key: *const u8,
            key_bytes: usize,
            value: *const u8,
            value_bytes: usize,
            kind: u32,
            uid: u64,
        ) -> bool;

        /// A C++ function with its context.
        type Visitor;
        /// # Safety
        /// Each pointer is good for its number of bytes during the call.
        #[cxx_name = "Visit"]
        unsafe fn visit(
            self: &Visitor,
            key: *const u8,
            key_bytes: usize,
            value: *const u8,
            value_bytes: usize,
        ) -> bool;
    }
}
