//! The numbers of a map as others read them: JSON, and the text format of Prometheus.

use serde_json::Value;
use shf_engine::exposition::{CONTENT_TYPE, to_prometheus, to_prometheus_with};
use shf_engine::stats::Stats;
use shf_engine::{Counts, Map, Process, Role};
use std::collections::{BTreeMap, HashSet};

/// A name that has everything that the format escapes, and what it does not.
const HOSTILE: &str = "a \"map\"\\ of\n{two=\"lines\"} 1\r\t\u{e9}\\n# HELP x y";

/// Labels, and the value.
type Sample = (BTreeMap<String, String>, f64);

/// A family of a text.
#[derive(Debug)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Takes what `accept` takes from the front of a text.
fn take<'t>(text: &mut &'t str, accept: impl Fn(usize, char) -> bool) -> &'t str {
    let end = text.char_indices().find(|(at, c)| !accept(*at, *c)).map_or(text.len(), |(at, _)| at);
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

fn name<'t>(text: &mut &'t str) -> &'t str {
    let taken =
        take(text, |at, c| c.is_ascii_alphabetic() || c == '_' || at > 0 && c.is_ascii_digit());
    assert!(!taken.is_empty(), "no name in {text:?}");
    taken
}

fn expect(text: &mut &str, what: &str) {
    *text = text.strip_prefix(what).unwrap_or_else(|| panic!("{what:?} expected in {text:?}"));
}

/// What stands between quotes.
fn quoted(text: &mut &str) -> String {
    let mut value = String::new();
    expect(text, "\"");
    loop {
        value += take(text, |_, c| c != '"' && c != '\\');
        let mut rest = text.chars();
        match (rest.next().expect("quotes are closed"), rest.next()) {
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some(escaped @ ('\\' | '"'))) => value.push(escaped),
            ('\\', other) => panic!("escape {other:?}"),
            _ => {
                expect(text, "\"");
                return value;
            }
        }
        *text = rest.as_str();
    }
}

fn sample(mut line: &str) -> (String, Sample) {
    let (text, mut labels) = (&mut line, BTreeMap::new());
    let of = name(text).to_string();
    if text.starts_with('{') {
        expect(text, "{");
        while !text.starts_with('}') {
            let label = name(text).to_string();
            expect(text, "=");
            assert_eq!(labels.insert(label, quoted(text)), None, "a label twice");
            if !text.starts_with('}') {
                expect(text, ",");
            }
        }
        expect(text, "}");
    }
    expect(text, " ");
    (of, (labels, text.parse().expect("a number and nothing behind it")))
}

/// Reads a text by the letter of the format: HELP, then TYPE, then the samples of a family, in one
/// piece; no series twice; the last line ended.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut current, mut series) = (String::new(), HashSet::new());
    assert!(text.ends_with('\n'));
    let mut lines = text.strip_suffix('\n').unwrap().split('\n');
    while let Some(mut line) = lines.next() {
        if line.starts_with("# ") {
            expect(&mut line, "# HELP ");
            current = name(&mut line).into();
            expect(&mut line, " ");
            let help = line.to_string();
            let mut line = lines.next().expect("TYPE after HELP");
            expect(&mut line, "# TYPE ");
            assert_eq!(name(&mut line), current);
            expect(&mut line, " ");
            assert!(["gauge", "counter"].contains(&line), "{line}");
            let family = Family { help, kind: line.into(), samples: Vec::new() };
            assert!(families.insert(current.clone(), family).is_none(), "{current} twice");
            continue;
        }
        let (of, (labels, value)) = sample(line);
        assert_eq!(of, current, "a sample away from its family");
        assert!(series.insert((of, labels.clone())), "a series twice: {line}");
        families.get_mut(&current).unwrap().samples.push((labels, value));
    }
    families
}

/// A map in which all sorts of things have happened, so that few numbers are 0 or alike.
fn eventful() -> Map {
    let map = Map::heap(2, 4 << 20, 3 << 20);
    for key in 0..20_000u64 {
        if map.put(&key.to_le_bytes(), &[1; 60]).is_err() {
            break;
        }
    }
    for key in 0..4000u64 {
        map.delete(&(key * 2).to_le_bytes()).unwrap();
    }
    for _ in 0..3 {
        map.push(b"list", b"element").unwrap();
    }
    map
}

/// Asserts that nothing of the structure is missing; what is written here is compared one by one.
fn fields(stats: &Stats) -> Vec<(&'static str, u64)> {
    let debug = format!("{stats:?}");
    let fields = vec![
        ("keys", stats.keys),
        ("elements", stats.elements),
        ("timed_keys", stats.timed_keys),
        ("committed_bytes", stats.committed_bytes),
        ("max_bytes", stats.max_bytes),
        ("free_bytes_left", stats.free_bytes_left),
        ("apparent_bytes", stats.apparent_bytes),
        ("front_bytes", stats.front_bytes),
        ("descriptor_bytes", stats.descriptor_bytes),
        ("live_bytes", stats.live_bytes),
        ("dead_bytes", stats.dead_bytes),
        ("free_bytes", stats.free_bytes),
        ("unused_bytes", stats.unused_bytes),
        ("index_bytes", stats.index_bytes),
        ("shards", stats.shards),
        ("tables", stats.tables),
        ("bucket_count", stats.bucket_count),
        ("max_bucket_count", stats.max_bucket_count),
        ("slots", stats.slots),
        ("splits", stats.splits),
        ("vacated_pages", stats.vacated_pages),
        ("moved_records", stats.moved_records),
        ("repairs", stats.repairs),
        ("expired_keys", stats.expired_keys),
        ("evicted_keys", stats.evicted_keys),
        ("retries", stats.retries),
        ("created_ns", stats.created_ns),
        ("fixed_key_bytes", stats.fixed_key_bytes),
        ("fixed_value_bytes", stats.fixed_value_bytes),
    ];
    assert_eq!(debug.matches(": ").count(), fields.len(), "{debug}");
    fields
}

#[test]
fn json_has_every_number_under_its_name() {
    let mut stats = eventful().stats();
    // What a double does not hold.
    stats.created_ns = u64::MAX - 1;
    let json = stats.to_json();
    assert!(!json.contains('\n'));
    let Value::Object(mut object) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
    for (name, number) in fields(&stats) {
        assert_eq!(object.remove(name), Some(number.into()), "{name} in {json}");
    }
    assert_eq!(object.remove("load_factor"), Some(stats.load_factor().into()));
    assert_eq!(object.remove("max_load_factor"), Some(1.0.into()));
    assert!(object.is_empty(), "{object:?}");
}

#[test]
fn the_text_for_prometheus_keeps_to_the_format_and_has_every_number() {
    let stats = eventful().stats();
    let text = stats.to_prometheus(HOSTILE);
    let mut families = parse(&text);
    let mut one = |name: &str, kind: &str, value: f64| {
        let family = families.remove(name).unwrap_or_else(|| panic!("{name} in {text}"));
        assert_eq!((family.kind.as_str(), family.help.is_empty()), (kind, false), "{name}");
        let labels = BTreeMap::from([("map".to_string(), HOSTILE.to_string())]);
        assert_eq!(family.samples, [(labels, value)], "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    };
    for (name, value) in [
        ("shf_keys", stats.keys),
        ("shf_elements", stats.elements),
        ("shf_timed_keys", stats.timed_keys),
        ("shf_committed_bytes", stats.committed_bytes),
        ("shf_max_bytes", stats.max_bytes),
        ("shf_free_left_bytes", stats.free_bytes_left),
        ("shf_apparent_bytes", stats.apparent_bytes),
        ("shf_shards", stats.shards),
        ("shf_tables", stats.tables),
        ("shf_buckets", stats.bucket_count),
        ("shf_max_buckets", stats.max_bucket_count),
        ("shf_slots", stats.slots),
    ] {
        one(name, "gauge", value as f64);
    }
    for (name, value) in [
        ("shf_splits_total", stats.splits),
        ("shf_vacated_pages_total", stats.vacated_pages),
        ("shf_moved_records_total", stats.moved_records),
        ("shf_repairs_total", stats.repairs),
        ("shf_expired_keys_total", stats.expired_keys),
        ("shf_evicted_keys_total", stats.evicted_keys),
        ("shf_retries_total", stats.retries),
    ] {
        one(name, "counter", value as f64);
    }
    one("shf_load_factor", "gauge", stats.load_factor());
    one("shf_max_load_factor", "gauge", 1.0);
    one("shf_created_timestamp_seconds", "gauge", stats.created_ns as f64 / 1e9);
    let memory = families.remove("shf_memory_bytes").unwrap();
    let kinds: BTreeMap<_, _> = memory
        .samples
        .iter()
        .map(|(labels, bytes)| {
            assert_eq!((labels.len(), labels["map"].as_str()), (2, HOSTILE));
            (labels["kind"].as_str(), *bytes as u64)
        })
        .collect();
    let expected = [
        ("front", stats.front_bytes),
        ("descriptors", stats.descriptor_bytes),
        ("live", stats.live_bytes),
        ("dead", stats.dead_bytes),
        ("free", stats.free_bytes),
        ("unused", stats.unused_bytes),
        ("index", stats.index_bytes),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
    assert_eq!(kinds.values().sum::<u64>(), stats.committed_bytes);
    assert!(families.is_empty(), "{families:?}");
    assert_eq!(CONTENT_TYPE, "text/plain; version=0.0.4");
}

fn process(slot: u32, application: &str, role: Role, first: u64) -> Process {
    let counts = Counts::from(std::array::from_fn(|at| first + at as u64));
    let application = application.into();
    Process { slot, attached_ns: 5, pid: 77, application, role, counts, is_this: slot == 3 }
}

const OPERATIONS: [&str; 8] =
    ["hits", "misses", "puts", "deletes", "changes", "lists", "walks", "waits"];

#[test]
fn the_text_for_prometheus_has_the_counters_of_each_process_in_one_family() {
    let stats = eventful().stats();
    let first = [process(3, HOSTILE, Role::Leader, 100), process(1000, "", Role::None, 200)];
    let second = [process(3, "other", Role::Consumer, 300)];
    let text =
        to_prometheus_with(&[("a", stats, &first), ("b", stats, &second), ("c", stats, &[])]);
    let mut families = parse(&text);
    let family = families.remove("shf_process_operations_total").unwrap();
    assert_eq!((family.kind.as_str(), family.help.is_empty()), ("counter", false));
    let mut expected = Vec::new();
    for (map, slot, application, role, from) in [
        ("a", "3", HOSTILE, "leader", 100),
        ("a", "1000", "", "none", 200),
        ("b", "3", "other", "consumer", 300),
    ] {
        for (at, operation) in OPERATIONS.into_iter().enumerate() {
            let labels = [
                ("map", map),
                ("process", slot),
                ("pid", "77"),
                ("application", application),
                ("role", role),
                ("operation", operation),
            ];
            let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
            expected.push((BTreeMap::from(labels), (from + at) as f64));
        }
    }
    assert_eq!(family.samples, expected);
    let without = parse(&to_prometheus(&[("a", stats), ("b", stats), ("c", stats)]));
    let names = |families: &BTreeMap<String, Family>| families.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&families), names(&without), "the rest is as without processes");
}

#[test]
fn json_has_an_object_for_each_process() {
    let stats = eventful().stats();
    let json = stats.to_json_with(&[process(3, HOSTILE, Role::Leader, 100)]);
    let Value::Object(mut object) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
    let counts: BTreeMap<_, _> = OPERATIONS.into_iter().zip(100..).collect();
    let expected = serde_json::json!([{
        "slot": 3, "attached_ns": 5, "pid": 77, "application": HOSTILE, "role": "leader",
        "counts": counts, "is_this": true,
    }]);
    assert_eq!(object.remove("processes"), Some(expected));
    let rest: Value = serde_json::from_str(&stats.to_json()).unwrap();
    assert_eq!(Value::Object(object), rest, "the rest is as without processes");
}
