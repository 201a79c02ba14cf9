//! Makes the page and the charts of the benchmark from the JSON that `shf_bench_peers` writes.
//!
//! The same files give the same page and the same charts, byte for byte. Of a page that is there,
//! only what lies between the two marks is replaced.
#![forbid(unsafe_code)]

mod input;
mod figures;
mod format;
mod table;
mod targets;
mod chart;
mod page;
mod document;

use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes the measured part of a page, and its charts.
#[derive(Parser)]
#[command(name = "shf_bench_report", version)]
struct Options {
    /// Files that shf_bench_peers wrote; the rows of all of them are put together
    #[arg(required = true)]
    json: Vec<PathBuf>,
    /// The page; what is written by hand in it stays
    #[arg(long)]
    out: PathBuf,
    /// The folder that the charts go to
    #[arg(long)]
    charts: PathBuf,
    /// Also compare the figures with what they were meant to become
    #[arg(long)]
    targets: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shf_bench_report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mut runs = Vec::new();
    for path in &options.json {
        let parsed = input::parse(&read(path)?);
        runs.push(parsed.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let figures = figures::Figures::new(&runs);
    let charts = chart::all(&figures)?;
    let folder = link(&options.out, &options.charts);
    let measured = page::measured(&runs, &figures, &charts, &folder, options.targets);
    let old = if options.out.exists() { Some(read(&options.out)?) } else { None };
    let page = document::with_measured(old.as_deref(), &measured)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    fs::create_dir_all(&options.charts)
        .map_err(|error| format!("{}: {error}", options.charts.display()))?;
    for chart in &charts {
        write(&options.charts.join(&chart.file), &chart.svg)?;
    }
    write(&options.out, &page)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The folder of the charts, as a link in the page names it.
fn link(page: &Path, charts: &Path) -> String {
    let folder = page.parent().unwrap_or(Path::new(""));
    charts.strip_prefix(folder).unwrap_or(charts).display().to_string()
}

#[cfg(test)]
mod tests;
