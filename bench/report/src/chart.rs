//! The charts, as SVG.

mod canvas;
mod bars;
mod dots;
mod lines;

use crate::figures::Figures;

/// One chart.
pub struct Chart {
    /// The section of the page that shows it.
    pub section: &'static str,
    /// The name of its file.
    pub file: String,
    /// What it shows.
    pub title: String,
    pub svg: String,
}

/// Those for which there are figures.
pub fn all(figures: &Figures) -> Result<Vec<Chart>, String> {
    let charts = [
        bars::throughput(figures),
        dots::latency(figures),
        bars::memory(figures),
        lines::hits(figures),
        lines::growth(figures),
    ];
    let charts: Result<Vec<_>, _> = charts.into_iter().collect();
    Ok(charts.map_err(|error| format!("a chart: {error}"))?.into_iter().flatten().collect())
}
