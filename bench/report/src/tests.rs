//! Known figures make a known page, and charts that name what they show.
//!
//! `REPORT_WRITE=1` writes the golden page anew.

use super::*;
use crate::chart::Chart;
use crate::figures::Figures;

const SMALL: &str = include_str!("../golden/small.json");
const GOLDEN: &str = include_str!("../golden/small.md");

fn page(json: &[&str]) -> (String, Vec<Chart>) {
    let runs: Vec<_> = json.iter().map(|json| input::parse(json).expect("known JSON")).collect();
    let figures = Figures::new(&runs);
    let charts = chart::all(&figures).expect("charts");
    let measured = page::measured(&runs, &figures, &charts, "benchmarks", true);
    (document::with_measured(None, &measured).expect("a page"), charts)
}

#[test]
fn known_figures_make_a_known_page() {
    let (page, _) = page(&[SMALL]);
    if std::env::var_os("REPORT_WRITE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/small.md");
        std::fs::write(path, &page).expect("the golden page can be written");
        return;
    }
    for (n, (found, expected)) in page.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", n + 1);
    }
    assert_eq!(page, GOLDEN);
}

#[test]
fn charts_are_well_formed_and_name_what_they_show() {
    let (_, charts) = page(&[SMALL]);
    let files: Vec<_> = charts.iter().map(|chart| chart.file.as_str()).collect();
    assert_eq!(files, ["throughput.svg", "latency.svg", "memory.svg", "hits.svg", "growth.svg"]);
    for chart in &charts {
        let svg = roxmltree::Document::parse(&chart.svg).expect("XML");
        assert_eq!(svg.root_element().tag_name().name(), "svg");
        let texts: Vec<_> = svg.descendants().filter_map(|node| node.text()).collect();
        let names = |text: &str| texts.iter().any(|found| found.trim() == text);
        let other = if chart.section == "hits" { "exact LRU" } else { "TBB concurrent_hash_map" };
        for peer in ["SharedHashFile", other] {
            assert!(names(peer), "{} does not name {peer}: {texts:?}", chart.file);
        }
        assert!(names(&chart.title), "{} does not tell its title", chart.file);
    }
    let growth = &charts[4].svg;
    assert!(growth.contains("machine: read 64 B, prefetched"), "no line of the machine's limit");
}

#[test]
fn the_same_figures_give_the_same_bytes() {
    let ((first, first_charts), (second, second_charts)) = (page(&[SMALL]), page(&[SMALL]));
    assert_eq!(first, second);
    let svgs = |charts: Vec<Chart>| charts.into_iter().map(|chart| chart.svg).collect::<Vec<_>>();
    assert_eq!(svgs(first_charts), svgs(second_charts));
}

#[test]
fn rows_of_several_files_are_put_together() {
    let other = SMALL.replace("\"values\": [26.9]", "\"values\": [20.9, 23.9]");
    assert_ne!(other, SMALL);
    let (page, _) = page(&[SMALL, &other]);
    assert!(page.contains("dashmap wins GET miss: 23.9 to 8.20 M/s"), "{page}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let error = |from: &str, to: &str| {
        assert!(SMALL.contains(from));
        input::parse(&SMALL.replacen(from, to, 1)).expect_err("it is wrong")
    };
    assert_eq!(error("\"format\": 1", "\"format\": 2"), "expected format 1, found format 2");
    let text = error("\"unit\": \"Mops/s\"", "\"unit\": \"Kops/s\"");
    assert!(text.ends_with("bytes or hit rate, found \"Kops/s\""), "{text}");
    let text = error("\"values\": [26.9]", "\"values\": []");
    assert!(text.contains("\"GET miss\" of \"dashmap\": expected one number or more"), "{text}");
    let text = error("\"peer\": \"dashmap\"", "\"peer\": \"dashmop\"");
    assert!(text.contains("of \"dashmop\": expected its peer among \"peers\""), "{text}");
    let text = error("\"kernel\"", "\"colonel\"");
    assert!(text.contains("missing field `kernel` at line"), "{text}");
    let text = input::parse("").expect_err("nothing");
    assert!(
        text.starts_with("expected the JSON that shf_bench_peers --json writes: EOF"),
        "{text}"
    );
}

#[test]
fn charts_are_linked_from_where_the_page_lies() {
    let link = |page: &str, charts: &str| super::link(Path::new(page), Path::new(charts));
    assert_eq!(link("docs/benchmarks.md", "docs/benchmarks/"), "benchmarks");
    assert_eq!(link("page.md", "charts"), "charts");
    assert_eq!(link("docs/page.md", "/elsewhere"), "/elsewhere");
}
