//! Lines over a number of keys, on a logarithmic axis: a panel for each workload.

use super::Chart;
use super::canvas::{self, Area, Error, GRID, INK, Side, WIDTH};
use crate::figures::{Figures, MACHINE, distinct};
use crate::format;
use plotters::prelude::*;

const PANELS_PER_ROW: usize = 2;
const PANEL_HEIGHT: i32 = 280;
const TITLE_HEIGHT: i32 = 40;
const LEGEND_ROW_HEIGHT: i32 = 20;
const LEGENDS_PER_ROW: usize = 4;
/// What the machine's lines show, in panels of gets; the second one is pale.
const LIMITS: [&str; 2] = ["read 64 B, prefetched", "read 64 B, dependent"];

const PALE: RGBColor = RGBColor(0xc4, 0xcb, 0xd2);

/// One line: a name, a colour, and places.
struct Series {
    name: String,
    colour: RGBColor,
    points: Vec<(u64, f64)>,
}

/// The section growth.
pub fn growth(figures: &Figures) -> Result<Option<Chart>, Error> {
    chart(figures, "growth", "Growth with the number of keys")
}

/// The section hits.
pub fn hits(figures: &Figures) -> Result<Option<Chart>, Error> {
    chart(figures, "hits", "Hit rates by the keys that there is room for")
}

fn chart(figures: &Figures, section: &'static str, about: &str) -> Result<Option<Chart>, Error> {
    let stores = figures.section(section).filter(|figure| figure.peer != MACHINE);
    let workloads = distinct(stores.map(|figure| (figure.workload.as_str(), figure.unit.as_str())));
    if workloads.is_empty() {
        return Ok(None);
    }
    let panels: Vec<_> = workloads
        .iter()
        .map(|(workload, unit)| (format!("{workload}, {unit}"), series(figures, section, workload)))
        .collect();
    let names = distinct(
        panels.iter().flat_map(|(_, all)| all).map(|series| (series.name.clone(), series.colour)),
    );
    let legend_height = names.len().div_ceil(LEGENDS_PER_ROW) as i32 * LEGEND_ROW_HEIGHT;
    let rows = panels.len().div_ceil(PANELS_PER_ROW) as i32;
    let bytes = figures.scenes(section)[0].value_bytes;
    let title = format!("{about}, values of {bytes} bytes");
    let top = TITLE_HEIGHT + legend_height + 10;
    let svg = canvas::svg(top + rows * PANEL_HEIGHT, |area| {
        canvas::text(area, (WIDTH / 2, 20), Side::Around, 15, &title)?;
        legend(area, &names)?;
        let (_, below) = area.split_vertically(top);
        let places = below.split_evenly((rows as usize, PANELS_PER_ROW));
        for ((title, all), place) in panels.iter().zip(places) {
            draw_panel(&place, title, all)?;
        }
        Ok(())
    })?;
    Ok(Some(Chart { section, file: format!("{section}.svg"), title, svg }))
}

/// The lines of all peers, and in panels of gets what the machine allows.
fn series(figures: &Figures, section: &str, workload: &str) -> Vec<Series> {
    let line = |peer: &str, workload: &str, name: String| {
        let here = figures.section(section).filter(|figure| figure.peer == peer);
        let mut points: Vec<_> = here
            .filter(|figure| figure.workload == workload)
            .map(|figure| (figure.scene.keys, figure.median))
            .collect();
        points.sort_by_key(|(keys, _)| *keys);
        let second_limit = workload == LIMITS[1];
        let colour = if second_limit { PALE } else { canvas::colour(figures, peer) };
        Series { name, colour, points }
    };
    let names = figures.peers.iter().map(|peer| &peer.name).filter(|name| *name != MACHINE);
    let mut all: Vec<_> = names.map(|name| line(name, workload, name.clone())).collect();
    if workload.starts_with("GET") {
        all.extend(LIMITS.map(|limit| line(MACHINE, limit, format!("{MACHINE}: {limit}"))));
    }
    all.retain(|series| !series.points.is_empty());
    all
}

fn legend(area: &Area<'_>, names: &[(String, RGBColor)]) -> Result<(), Error> {
    let width = WIDTH / LEGENDS_PER_ROW as i32;
    for (n, (name, colour)) in names.iter().enumerate() {
        let (row, column) = ((n / LEGENDS_PER_ROW) as i32, (n % LEGENDS_PER_ROW) as i32);
        let at = (20 + column * width, TITLE_HEIGHT + 8 + row * LEGEND_ROW_HEIGHT);
        canvas::dot(area, at, *colour)?;
        canvas::text(area, (at.0 + 10, at.1), Side::RightOf, 11, name)?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, title: &str, all: &[Series]) -> Result<(), Error> {
    let points = || all.iter().flat_map(|series| &series.points);
    let least = points().map(|(keys, _)| *keys).min().unwrap_or(1).max(1);
    let most = points().map(|(keys, _)| *keys).max().unwrap_or(1).max(least * 2);
    let highest = points().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(28)
        .caption(title, ("sans-serif", 17).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(6)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_label_formatter(&|keys| format::short(*keys))
        .y_label_formatter(&|value| format::number(*value))
        .draw()?;
    for series in all {
        let style = series.colour.stroke_width(2);
        chart.draw_series(LineSeries::new(series.points.iter().copied(), style))?;
        let dot = |&point: &(u64, f64)| Circle::new(point, 3, series.colour.filled());
        chart.draw_series(series.points.iter().map(dot))?;
    }
    Ok(())
}
