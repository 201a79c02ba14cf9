//! The numbers of a map as JSON.

use crate::stats::Stats;
use serde_json::{Map, Value};

impl Stats {
    /// An object with all numbers under the names of the fields, and the two load factors, in one
    /// line. Whole numbers are exact; readers that know doubles only lose what is beyond 2^53.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        for (name, number) in self.numbers() {
            object.insert(name.into(), number.into());
        }
        object.insert("load_factor".into(), self.load_factor().into());
        object.insert("max_load_factor".into(), self.max_load_factor().into());
        Value::Object(object).to_string()
    }
}
