//! Dots on a logarithmic axis: how long the slowest puts take, a peer below another.

use super::Chart;
use super::canvas::{self, Area, Error, GRID, Side, WIDTH};
use crate::figures::{Figures, MACHINE};
use crate::format;
use plotters::style::RGBColor;

/// What is shown, from the usual to the worst.
const SHARES: [(&str, RGBColor); 5] = [
    ("p50", RGBColor(0x1a, 0x98, 0x50)),
    ("p99", RGBColor(0x91, 0xbf, 0xdb)),
    ("p99.9", RGBColor(0x45, 0x75, 0xb4)),
    ("p99.99", RGBColor(0xfc, 0x8d, 0x59)),
    ("max", RGBColor(0xd7, 0x30, 0x27)),
];
const NAME_WIDTH: i32 = 220;
const MARGIN: i32 = 30;
const ROW_HEIGHT: i32 = 26;
const TOP: i32 = 70;

/// The section latency, in its first scene of each peer.
pub fn latency(figures: &Figures) -> Result<Option<Chart>, Error> {
    let names = figures.peers.iter().map(|peer| peer.name.as_str());
    let peers: Vec<_> = names
        .filter(|&name| name != MACHINE)
        .map(|name| (name, shares(figures, name)))
        .filter(|(_, dots)| !dots.is_empty())
        .collect();
    let all = || peers.iter().flat_map(|(_, dots)| dots).map(|(value, _)| *value);
    if all().next().is_none() {
        return Ok(None);
    }
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
    let (low, high) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let high = high.max(low + 1);
    let x = |value: f64| {
        let share = (value.log10() - f64::from(low)) / f64::from(high - low);
        NAME_WIDTH + (share * f64::from(WIDTH - NAME_WIDTH - MARGIN)).round() as i32
    };

    let title = "Latency of single puts while the store grows from empty".to_owned();
    let bottom = TOP + peers.len() as i32 * ROW_HEIGHT;
    let svg = canvas::svg(bottom + 40, |area| {
        canvas::text(area, (WIDTH / 2, 20), Side::Around, 15, &title)?;
        legend(area)?;
        for power in low..=high {
            let value = 10f64.powi(power);
            canvas::line(area, (x(value), TOP - 8), (x(value), bottom), GRID)?;
            let label = label(value);
            canvas::text(area, (x(value), bottom + 14), Side::Around, 11, &label)?;
        }
        for (n, (name, dots)) in peers.iter().enumerate() {
            let y = TOP + n as i32 * ROW_HEIGHT + ROW_HEIGHT / 2;
            canvas::text(area, (NAME_WIDTH - 10, y), Side::LeftOf, 11, name)?;
            let ends = [dots.first(), dots.last()].map(|dot| dot.map_or(0, |dot| x(dot.0)));
            canvas::line(area, (ends[0], y), (ends[1], y), canvas::colour(figures, name))?;
            for (value, colour) in dots {
                canvas::dot(area, (x(*value), y), *colour)?;
            }
        }
        Ok(())
    })?;
    Ok(Some(Chart { section: "latency", file: "latency.svg".into(), title, svg }))
}

/// What was measured of a peer. Durations of 0 have no place on the axis.
fn shares(figures: &Figures, peer: &str) -> Vec<(f64, RGBColor)> {
    let value = |share: &str| {
        let mut all = figures.section("latency").filter(|figure| figure.peer == peer);
        all.find(|figure| figure.workload == share).map(|figure| figure.median)
    };
    let measured = SHARES.iter().filter_map(|(share, colour)| Some((value(share)?, *colour)));
    measured.filter(|(value, _)| *value > 0.0).collect()
}

fn legend(area: &Area<'_>) -> Result<(), Error> {
    for (n, (share, colour)) in SHARES.iter().enumerate() {
        let at = (NAME_WIDTH + n as i32 * 90, 45);
        canvas::dot(area, at, *colour)?;
        canvas::text(area, (at.0 + 10, at.1), Side::RightOf, 12, share)?;
    }
    Ok(())
}

/// A power of ten on the axis.
fn label(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        v if v >= 1e9 => (v / 1e9, "s"),
        v if v >= 1e6 => (v / 1e6, "ms"),
        v if v >= 1e3 => (v / 1e3, "µs"),
        v => (v, "ns"),
    };
    format!("{} {unit}", format::grouped(value.round() as u64))
}
