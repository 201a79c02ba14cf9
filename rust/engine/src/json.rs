//! The numbers of a map, and of the processes that are attached to it, as JSON.

use crate::stats::Stats;
use serde_json::{Map, Value, json};
use shf_base::process::Process;

impl Stats {
    /// An object with all numbers under the names of the fields, and the two load factors, in one
    /// line. Whole numbers are exact; readers that know doubles only lose what is beyond 2^53.
    pub fn to_json(&self) -> String {
        Value::Object(self.object()).to_string()
    }

    /// As `to_json`, with an array `processes` of what `Map::processes` gave: an object for each,
    /// with the names of its fields. Its counters are an object of their own, its role is `none`,
    /// `leader` or `consumer`.
    pub fn to_json_with(&self, processes: &[Process]) -> String {
        let mut object = self.object();
        object.insert("processes".into(), processes.iter().map(process).collect());
        Value::Object(object).to_string()
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, number) in self.numbers() {
            object.insert(name.into(), number.into());
        }
        object.insert("load_factor".into(), self.load_factor().into());
        object.insert("max_load_factor".into(), self.max_load_factor().into());
        object
    }
}

fn process(process: &Process) -> Value {
    let named = process.counts.named().into_iter();
    let counts: Map<_, _> = named.map(|(name, count)| (name.into(), count.into())).collect();
    json!({
        "slot": process.slot,
        "attached_ns": process.attached_ns,
        "pid": process.pid,
        "application": process.application,
        "role": process.role.name(),
        "counts": counts,
        "is_this": process.is_this,
    })
}
