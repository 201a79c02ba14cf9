//! Measures what the command line asks for, and puts it into one JSON object.

use crate::command_line::{Options, StoreName};
use crate::store::Store;
use crate::stores::{DashStore, PapayaStore, ShfStore};
use crate::{latency, lock, memory, throughput, versions};
use serde_json::{Map, Value, json};
use std::process::{Command, Stdio};

/// The object to print.
pub fn run(options: &Options) -> Result<Value, String> {
    let parts = options.parts();
    if parts.len() > 1 {
        return Ok(Value::Object(in_processes(&parts)?));
    }
    match options.store {
        StoreName::Dashmap => measure::<DashStore>(options),
        StoreName::Papaya => measure::<PapayaStore>(options),
        StoreName::Shf => measure::<ShfStore>(options),
        StoreName::ShfMany => measure::<ShfStore<32>>(options),
    }
}

fn measure<S: Store>(options: &Options) -> Result<Value, String> {
    let mut figures = json!({
        "store": options.store.to_string(),
        "version": versions::of(S::PACKAGE),
        "configuration": S::CONFIGURATION,
    });
    if !options.phases.is_empty() {
        figures["mops"] = json!(throughput::measure::<S>(options)?);
    }
    if options.latency {
        figures["latency_ns"] = json!(latency::measure::<S>(options)?);
    }
    if options.memory {
        figures["memory"] = json!(memory::measure::<S>(options)?);
    }
    if options.lock {
        figures["lock_ns"] = json!(lock::measure(&options.folder)?);
    }
    Ok(figures)
}

/// Has a process of its own measure each part, so that none finds memory that another one used.
fn in_processes(parts: &[Options]) -> Result<Map<String, Value>, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut figures = Map::new();
    for part in parts {
        let output = Command::new(&program)
            .args(part.arguments())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(format!("a part of the measurement ended with {}", output.status));
        }
        match serde_json::from_slice(&output.stdout) {
            Ok(Value::Object(mut object)) => figures.append(&mut object),
            _ => return Err("a part of the measurement printed no JSON object".into()),
        }
    }
    Ok(figures)
}
