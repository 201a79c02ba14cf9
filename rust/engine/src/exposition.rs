//! The numbers of a map, and of those attached to it, in the text format of Prometheus, version
//! 0.0.4.
//!
//! Each block below is a family: its name with the unit at the end, its kind, a sentence, and one
//! sample for each set of labels. The encoder, which is that of the Prometheus client, writes the
//! lines and escapes what labels hold.

use crate::stats::Stats;
use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use shf_base::process::Process;

/// The media type of the text, for who sends it over HTTP.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A label and what it is.
type Label<'l> = (&'l str, &'l str);

/// The numbers of maps as families `shf_*` in the text format 0.0.4, with the name of its map,
/// which no other one of them has, as label `map` of each sample. Counters of events end in
/// `_total`. Prometheus keeps numbers as doubles: they are exact up to 2^53. Texts of several calls
/// do not make one together: a family has to be in one piece.
pub fn to_prometheus(maps: &[(&str, Stats)]) -> String {
    let maps: Vec<_> = maps.iter().map(|&(name, stats)| (name, stats, &[][..])).collect();
    to_prometheus_with(&maps)
}

/// As `to_prometheus`; for each map what `Map::processes` gave, or a part of it, makes one family
/// more, `shf_process_operations_total`, with the labels `map`, `process` (its slot, which tells it
/// from all others of the map), `pid`, `application`, `role` (`none`, `leader`, `consumer`) and
/// `operation`, a field of `Counts`. A slot is used again, then the counters begin at 0.
pub fn to_prometheus_with(maps: &[(&str, Stats, &[Process])]) -> String {
    let mut families = Families { maps, all: Vec::new() };
    families.contents();
    families.memory();
    families.index();
    families.events();
    families.processes();
    families.encode()
}

impl Stats {
    /// As `exposition::to_prometheus`, of one map.
    pub fn to_prometheus(&self, map_name: &str) -> String {
        to_prometheus(&[(map_name, *self)])
    }
}

/// The families of the maps, in the order of the text.
struct Families<'m> {
    maps: &'m [(&'m str, Stats, &'m [Process])],
    all: Vec<MetricFamily>,
}

impl Families<'_> {
    fn contents(&mut self) {
        self.gauge("shf_keys", "Keys in the map; a list is one key.", |stats| stats.keys);
        self.gauge(
            "shf_elements",
            "Elements of lists, and what lists that are gone have left behind.",
            |stats| stats.elements,
        );
        self.gauge("shf_timed_keys", "Keys that have an age.", |stats| stats.timed_keys);
        self.add(
            "shf_created_timestamp_seconds",
            MetricType::GAUGE,
            "When the map was created, since 1970.",
            |stats| [([], stats.created_ns as f64 / 1e9)],
        );
        self.add(
            "shf_fixed_bytes",
            MetricType::GAUGE,
            "The length of all keys, and of all values, of a map that has fixed them.",
            |stats| {
                let lengths = [("key", stats.fixed_key_bytes), ("value", stats.fixed_value_bytes)];
                let is_fixed = lengths.iter().any(|(_, bytes)| *bytes > 0);
                let all = lengths.map(|(of, bytes)| ([("of", of)], bytes as f64));
                all.into_iter().filter(move |_| is_fixed)
            },
        );
    }

    fn memory(&mut self) {
        self.gauge(
            "shf_committed_bytes",
            "Real memory that the map has taken from its file system.",
            |stats| stats.committed_bytes,
        );
        self.gauge("shf_max_bytes", "The most real memory that the map may take.", |stats| {
            stats.max_bytes
        });
        self.gauge(
            "shf_free_left_bytes",
            "What the map may still take up to its maximum.",
            |stats| stats.free_bytes_left,
        );
        self.gauge("shf_apparent_bytes", "Length of the file, most of which is holes.", |stats| {
            stats.apparent_bytes
        });
        self.add(
            "shf_memory_bytes",
            MetricType::GAUGE,
            "What the committed memory is used for; the kinds add up to all of it.",
            |stats| {
                let kinds = [
                    ("front", stats.front_bytes),
                    ("descriptors", stats.descriptor_bytes),
                    ("live", stats.live_bytes),
                    ("dead", stats.dead_bytes),
                    ("free", stats.free_bytes),
                    ("unused", stats.unused_bytes),
                    ("index", stats.index_bytes),
                ];
                kinds.map(|(kind, bytes)| ([("kind", kind)], bytes as f64))
            },
        );
    }

    fn index(&mut self) {
        self.gauge("shf_shards", "Shards, each with a lock of its own.", |stats| stats.shards);
        self.gauge("shf_tables", "One-page tables in the index.", |stats| stats.tables);
        self.gauge("shf_buckets", "Buckets in the index.", |stats| stats.bucket_count);
        self.gauge("shf_max_buckets", "The most buckets there could be.", |stats| {
            stats.max_bucket_count
        });
        self.gauge("shf_slots", "Slots of the buckets.", |stats| stats.slots);
        self.add(
            "shf_load_factor",
            MetricType::GAUGE,
            "The part of the slots that is in use, 0 to 1.",
            |stats| [([], stats.load_factor())],
        );
        self.add(
            "shf_max_load_factor",
            MetricType::GAUGE,
            "The most that the load factor can be.",
            |stats| [([], stats.max_load_factor())],
        );
    }

    fn events(&mut self) {
        self.counter("shf_splits_total", "Table splits since creation.", |stats| stats.splits);
        self.counter(
            "shf_vacated_pages_total",
            "Index pages given up since creation, by merges of tables.",
            |stats| stats.vacated_pages,
        );
        self.counter(
            "shf_moved_records_total",
            "Records moved by compaction since creation.",
            |stats| stats.moved_records,
        );
        self.counter(
            "shf_repairs_total",
            "Shards repaired after the death of a process, since creation.",
            |stats| stats.repairs,
        );
        self.counter(
            "shf_expired_keys_total",
            "Keys that had expired when they were deleted or replaced, since creation.",
            |stats| stats.expired_keys,
        );
        self.counter(
            "shf_evicted_keys_total",
            "Keys evicted because the map was full, since creation.",
            |stats| stats.evicted_keys,
        );
        self.counter(
            "shf_retries_total",
            "Looks that gets of this process made again because a writer was there.",
            |stats| stats.retries,
        );
    }

    fn processes(&mut self) {
        let mut all = Vec::new();
        for &(map_name, _, processes) in self.maps {
            for process in processes {
                let (slot, pid) = (process.slot.to_string(), process.pid.to_string());
                for (operation, count) in process.counts.named() {
                    let labels: [Label<'_>; 6] = [
                        ("map", map_name),
                        ("process", &slot),
                        ("pid", &pid),
                        ("application", &process.application),
                        ("role", process.role.name()),
                        ("operation", operation),
                    ];
                    let labels = labels.map(label).into();
                    all.push(sample(MetricType::COUNTER, labels, count as f64));
                }
            }
        }
        self.push(
            "shf_process_operations_total",
            MetricType::COUNTER,
            "Operations of each process that is attached, since it attached.",
            all,
        );
    }

    fn gauge(&mut self, name: &str, help: &str, number: fn(&Stats) -> u64) {
        self.add(name, MetricType::GAUGE, help, |stats| [([], number(stats) as f64)]);
    }

    fn counter(&mut self, name: &str, help: &str, number: fn(&Stats) -> u64) {
        self.add(name, MetricType::COUNTER, help, |stats| [([], number(stats) as f64)]);
    }

    /// A family with a sample of each map for each set of labels, that of the map first in each.
    fn add<'l, const LABELS: usize, Samples>(
        &mut self,
        name: &str,
        kind: MetricType,
        help: &str,
        samples: impl Fn(&Stats) -> Samples,
    ) where
        Samples: IntoIterator<Item = ([Label<'l>; LABELS], f64)>,
    {
        let mut all = Vec::new();
        for (map_name, stats, _) in self.maps {
            for (labels, value) in samples(stats) {
                let labels = std::iter::once(("map", *map_name)).chain(labels);
                all.push(sample(kind, labels.map(label).collect(), value));
            }
        }
        self.push(name, kind, help, all);
    }

    fn push(&mut self, name: &str, kind: MetricType, help: &str, all: Vec<Metric>) {
        // One without samples may not be in a text.
        if all.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(all);
        self.all.push(family);
    }

    fn encode(self) -> String {
        let encoded = TextEncoder::new().encode_to_string(&self.all);
        encoded.expect("each family has a name and samples, and memory takes what is written")
    }
}

fn label((name, value): Label<'_>) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}

fn sample(kind: MetricType, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}
