//! Tables of figures, and the sentences about who is ahead.

use crate::figures::{Figure, Figures, MACHINE, OURS, Scene, distinct, is_ours};
use crate::format;
use crate::input::Kind;
use std::fmt::Write;

/// Below this a peer is ahead; what is nearer to 1 would be written as 1.00.
const AHEAD: f64 = 0.995;

/// Where a column's figures come from.
struct Column<'f> {
    head: String,
    scene: &'f Scene,
    workload: &'f str,
}

/// All tables of a section, each with a title.
pub fn section(figures: &Figures, section: &str) -> String {
    match section {
        "growth" | "hits" => by_workload(figures, section),
        _ => by_scene(figures, section),
    }
}

/// What the numbers are, and those in brackets.
pub fn legend(figures: &Figures, section: &str) -> &'static str {
    let units = distinct(figures.section(section).map(|figure| figure.unit.as_str()));
    let contest = figures.section(section).any(|figure| figure.peer != OURS && is_contest(figure));
    if units == ["hit rate"] {
        return "In brackets: our figure over theirs.";
    }
    match (units.contains(&"Mops/s"), units.len() > 1, contest) {
        (true, false, true) => {
            "Million operations a second, medians. In brackets: our figure over theirs."
        }
        (true, false, false) => "Million operations a second, medians.",
        (true, true, _) if !units.contains(&"bytes") => {
            "Million operations a second, and nanoseconds, medians."
        }
        (true, true, _) => {
            "Million operations a second, and memory in bytes, medians. In brackets: our figure \
             over theirs, and for memory theirs over ours."
        }
        (false, _, true) => "Medians. In brackets: their figure over ours.",
        (false, _, false) => "Medians.",
    }
}

/// A table for each scene; its columns are workloads.
fn by_scene(figures: &Figures, section: &str) -> String {
    let mut text = String::new();
    for scene in figures.scenes(section) {
        let here = figures.section(section).filter(|figure| figure.scene == *scene);
        let workloads = distinct(here.map(|figure| figure.workload.as_str()));
        let columns: Vec<_> = workloads
            .into_iter()
            .map(|workload| Column { head: workload.to_owned(), scene, workload })
            .collect();
        add_table(&mut text, figures, &title(scene), &columns);
    }
    text
}

/// A table for each workload; its columns are numbers of keys.
fn by_workload(figures: &Figures, section: &str) -> String {
    let mut text = String::new();
    for workload in distinct(figures.section(section).map(|figure| figure.workload.as_str())) {
        let here = figures.section(section).filter(|figure| figure.workload == workload);
        let scenes = distinct(here.map(|figure| &figure.scene));
        let bytes = format!("{workload}, values of {} bytes", scenes[0].value_bytes);
        let columns: Vec<_> = scenes
            .into_iter()
            .map(|scene| Column { head: format::short(scene.keys), scene, workload })
            .collect();
        add_table(&mut text, figures, &bytes, &columns);
    }
    text
}

fn title(scene: &Scene) -> String {
    let processes = if scene.processes == 1 { "process" } else { "processes or threads" };
    format!(
        "{} keys, values of {} bytes, {} {processes}",
        format::short(scene.keys),
        format::grouped(scene.value_bytes),
        scene.processes,
    )
}

fn add_table(text: &mut String, figures: &Figures, title: &str, columns: &[Column<'_>]) {
    let peers = figures.peers.iter().map(|peer| peer.name.as_str());
    let find = |peer: &str, column: &Column<'_>| figures.find(column.scene, peer, column.workload);
    let mut wins = Vec::new();
    let mut lines = String::new();
    for peer in peers {
        if columns.iter().all(|column| find(peer, column).is_none()) {
            continue;
        }
        let mut won = Vec::new();
        let _ = write!(lines, "| {peer} |");
        for column in columns {
            let (figure, ours) = (find(peer, column), find(OURS, column));
            let _ = write!(lines, " {} |", cell(figure, ours));
            if let (Some(figure), Some(ours)) = (figure, ours)
                && wins_over(figure, ours)
            {
                won.push(win(figure, ours, column));
            }
        }
        lines.push('\n');
        if !won.is_empty() {
            wins.push(format!("{peer} wins {}; {}.", won.join(", "), but(figures, peer)));
        }
    }
    let heads: Vec<_> = columns.iter().map(|column| column.head.as_str()).collect();
    let _ = write!(text, "**{title}**\n\n| | {} |\n|---|", heads.join(" | "));
    let _ = write!(text, "{}\n{lines}\n", "--:|".repeat(columns.len()));
    for win in &wins {
        let _ = writeln!(text, "- {win}");
    }
    if !wins.is_empty() {
        text.push('\n');
    }
}

fn cell(figure: Option<&Figure>, ours: Option<&Figure>) -> String {
    let Some(figure) = figure else { return "–".into() };
    let value = format::cell(figure.median, &figure.unit);
    match ours {
        Some(ours) if figure.peer != OURS && is_contest(figure) => {
            let lead = ours.lead_over(figure);
            let lead = if lead.is_finite() { format!("{lead:.2}") } else { "–".into() };
            format!("{value} ({lead})")
        }
        _ => value,
    }
}

fn wins_over(figure: &Figure, ours: &Figure) -> bool {
    !is_ours(&figure.peer) && is_contest(figure) && ours.lead_over(figure) < AHEAD
}

/// What the machine allows, or did beside it, is nobody's merit.
fn is_contest(figure: &Figure) -> bool {
    figure.peer != MACHINE && !figure.workload.starts_with("beside")
}

/// What was won, and by how much.
fn win(figure: &Figure, ours: &Figure, column: &Column<'_>) -> String {
    let with = |figure: &Figure| format::with_unit(figure.median, &figure.unit);
    let theirs = match figure.unit.as_str() {
        "Mops/s" => format::number(figure.median),
        _ => with(figure),
    };
    let workload = column.workload;
    let at = if column.head == workload { String::new() } else { format!(" at {}", column.head) };
    format!("{workload}{at}: {theirs} to {}", with(ours))
}

/// What kind of store the winner is.
fn but(figures: &Figures, peer: &str) -> &'static str {
    match figures.kind(peer) {
        Some(Kind::Threads) => "it is not shared between processes",
        Some(Kind::Server) => "it is a server, which others ask",
        _ => "processes share it, as they share ours",
    }
}
