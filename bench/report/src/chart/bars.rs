//! Bars: a panel for each workload, and in it a peer below another.

use super::Chart;
use super::canvas::{self, Error, Side, WIDTH};
use crate::figures::{Figure, Figures, MACHINE, Scene, distinct};
use crate::format;
use plotters::style::Color;

const PANELS_PER_ROW: usize = 2;
const NAME_WIDTH: i32 = 190;
const VALUE_WIDTH: i32 = 60;
const BAR_HEIGHT: i32 = 11;
const PEER_GAP: i32 = 5;
const TITLE_HEIGHT: i32 = 30;

/// A panel: for each peer some figures, the first of which is drawn strongest.
struct Panel<'f> {
    title: String,
    peers: Vec<(&'f str, Vec<Option<&'f Figure>>)>,
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        let bars = |figures: &Vec<_>| figures.len() as i32 * BAR_HEIGHT + PEER_GAP;
        TITLE_HEIGHT + self.peers.iter().map(|(_, figures)| bars(figures)).sum::<i32>() + 10
    }
}

/// The section core, with one process and with two.
pub fn throughput(figures: &Figures) -> Result<Option<Chart>, Error> {
    let scenes = figures.scenes("core");
    let Some(first) = scenes.first() else { return Ok(None) };
    // Other files may have other sizes; bars compare what is alike.
    let alike =
        |scene: &&&Scene| (scene.keys, scene.value_bytes) == (first.keys, first.value_bytes);
    let scenes: Vec<_> = scenes.iter().filter(alike).take(2).copied().collect();
    let title = format!(
        "Million operations a second, {} keys, values of {} bytes{}",
        format::short(first.keys),
        first.value_bytes,
        match scenes[..] {
            [one, two] => format!("; dark: {}, light: {} processes", one.processes, two.processes),
            _ => String::new(),
        }
    );
    draw(figures, "core", "throughput.svg", title, &scenes)
}

/// The section memory, in its first scene.
pub fn memory(figures: &Figures) -> Result<Option<Chart>, Error> {
    let scenes = figures.scenes("memory");
    let Some(&first) = scenes.first() else { return Ok(None) };
    let title = format!(
        "Memory over the bytes of keys and values, {} keys, values of {} bytes",
        format::short(first.keys),
        first.value_bytes
    );
    draw(figures, "memory", "memory.svg", title, &[first])
}

fn draw(
    figures: &Figures,
    section: &'static str,
    file: &str,
    title: String,
    scenes: &[&Scene],
) -> Result<Option<Chart>, Error> {
    let panels = panels(figures, section, scenes);
    let rows: Vec<_> = panels.chunks(PANELS_PER_ROW).collect();
    let height_of = |row: &[Panel<'_>]| row.iter().map(Panel::height).max().unwrap_or(0);
    let height = 40 + rows.iter().map(|row| height_of(row)).sum::<i32>();
    let svg = canvas::svg(height, |area| {
        canvas::text(area, (WIDTH / 2, 20), Side::Around, 15, &title)?;
        let width = WIDTH / PANELS_PER_ROW as i32;
        let mut top = 40;
        for row in rows {
            for (n, panel) in row.iter().enumerate() {
                draw_panel(figures, area, (n as i32 * width, top), width, panel)?;
            }
            top += height_of(row);
        }
        Ok(())
    })?;
    Ok(Some(Chart { section, file: file.into(), title, svg }))
}

fn panels<'f>(figures: &'f Figures, section: &'static str, scenes: &[&Scene]) -> Vec<Panel<'f>> {
    let here = figures.section(section).filter(|figure| *scenes[0] == figure.scene);
    let workloads = distinct(here.map(|figure| figure.workload.as_str()));
    workloads.into_iter().map(|workload| panel(figures, workload, scenes)).collect()
}

fn panel<'f>(figures: &'f Figures, workload: &str, scenes: &[&Scene]) -> Panel<'f> {
    let names = figures.peers.iter().map(|peer| peer.name.as_str());
    let peers = names.filter(|&name| name != MACHINE).map(|name| {
        (name, scenes.iter().map(|scene| figures.find(scene, name, workload)).collect::<Vec<_>>())
    });
    let measured = |(_, figures): &(&str, Vec<Option<_>>)| figures.iter().any(Option::is_some);
    Panel { title: workload.to_owned(), peers: peers.filter(measured).collect() }
}

fn draw_panel(
    figures: &Figures,
    area: &canvas::Area<'_>,
    (left, top): (i32, i32),
    width: i32,
    panel: &Panel<'_>,
) -> Result<(), Error> {
    let axis = left + NAME_WIDTH;
    canvas::text(area, (axis, top + TITLE_HEIGHT / 2), Side::RightOf, 14, &panel.title)?;
    let all = panel.peers.iter().flat_map(|(_, figures)| figures).flatten();
    let most = all.map(|figure| figure.median).fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(width - NAME_WIDTH - VALUE_WIDTH) / most;
    let mut y = top + TITLE_HEIGHT;
    for (name, bars) in &panel.peers {
        let middle = y + bars.len() as i32 * BAR_HEIGHT / 2;
        canvas::text(area, (axis - 6, middle), Side::LeftOf, 11, name)?;
        for (n, figure) in bars.iter().enumerate() {
            if let Some(figure) = figure {
                let end = axis + (figure.median * scale).round() as i32;
                let colour = canvas::colour(figures, name).mix(if n == 0 { 1.0 } else { 0.5 });
                canvas::block(area, (axis, y), (end, y + BAR_HEIGHT - 1), &colour)?;
                let value = format::number(figure.median);
                canvas::text(area, (end + 4, y + BAR_HEIGHT / 2), Side::RightOf, 10, &value)?;
            }
            y += BAR_HEIGHT;
        }
        y += PEER_GAP;
    }
    canvas::line(area, (axis, top + TITLE_HEIGHT - 3), (axis, y), canvas::INK)
}
