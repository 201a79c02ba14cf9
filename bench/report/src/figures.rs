//! The figures of all files: one for each peer and workload of a scene.

use crate::input::{Kind, Peer, Row, Run};

/// Our map, as its name begins in whatever way it is used.
pub const OURS: &str = "SharedHashFile";
/// What the machine allows.
pub const MACHINE: &str = "machine";

/// Rows that differ in nothing but peer, workload and unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub section: String,
    pub keys: u64,
    pub value_bytes: u64,
    /// Or threads, of peers that live in one process.
    pub processes: u64,
}

/// The median of some runs.
#[derive(Clone, Debug)]
pub struct Figure {
    pub peer: String,
    pub scene: Scene,
    pub workload: String,
    pub unit: String,
    pub median: f64,
}

impl Figure {
    /// How far we are ahead: more than 1 when ours is the better figure.
    pub fn lead_over(&self, theirs: &Figure) -> f64 {
        let more_is_better = matches!(self.unit.as_str(), "Mops/s" | "hit rate");
        if more_is_better { self.median / theirs.median } else { theirs.median / self.median }
    }
}

/// All of them, in the order of the files.
pub struct Figures {
    pub peers: Vec<Peer>,
    all: Vec<Figure>,
}

impl Figures {
    /// Those of these files. Runs of one figure in several files are taken together.
    pub fn new(runs: &[Run]) -> Figures {
        let mut peers: Vec<Peer> = Vec::new();
        for peer in runs.iter().flat_map(|run| &run.peers) {
            match peers.iter_mut().find(|known| known.name == peer.name) {
                // A peer that was not measured in the first file tells its version in another one.
                Some(known) if known.version.is_empty() => *known = peer.clone(),
                Some(_) => {}
                None => peers.push(peer.clone()),
            }
        }
        let mut rows: Vec<Row> = Vec::new();
        for row in runs.iter().flat_map(|run| &run.rows) {
            let same = |known: &&mut Row| {
                let names = (&known.peer, &known.workload, &known.unit);
                names == (&row.peer, &row.workload, &row.unit) && scene(known) == scene(row)
            };
            match rows.iter_mut().find(same) {
                Some(known) => known.values.extend(&row.values),
                None => rows.push(row.clone()),
            }
        }
        let all = rows.iter().map(|row| Figure {
            peer: row.peer.clone(),
            scene: scene(row),
            workload: row.workload.clone(),
            unit: row.unit.clone(),
            median: median(&row.values),
        });
        Figures { peers, all: all.collect() }
    }

    /// Those of one section.
    pub fn section<'f>(&'f self, section: &'f str) -> impl Iterator<Item = &'f Figure> {
        self.all.iter().filter(move |figure| figure.scene.section == section)
    }

    /// The scenes of a section, in order.
    pub fn scenes<'f>(&'f self, section: &'f str) -> Vec<&'f Scene> {
        distinct(self.section(section).map(|figure| &figure.scene))
    }

    /// One figure.
    pub fn find(&self, scene: &Scene, peer: &str, workload: &str) -> Option<&Figure> {
        self.all.iter().find(|figure| {
            figure.peer == peer && figure.workload == workload && figure.scene == *scene
        })
    }

    /// Who sees what the peer holds.
    pub fn kind(&self, peer: &str) -> Option<Kind> {
        self.peers.iter().find(|known| known.name == peer).map(|known| known.kind)
    }
}

/// Whether this peer is our map, in some way to use it.
pub fn is_ours(peer: &str) -> bool {
    peer.starts_with(OURS)
}

/// Each one once, where it came first.
pub fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

fn scene(row: &Row) -> Scene {
    let (section, keys) = (row.section.clone(), row.keys);
    Scene { section, keys, value_bytes: row.value_bytes, processes: row.processes }
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}
