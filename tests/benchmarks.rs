//! The benchmarks run, and docs/benchmarks.md shows what they measured.

use std::path::Path;
use std::sync::Arc;

use crate::suite::{Ours, Part, Report, Row, Scale, run, written};
use crate::support::{World, path};
use crate::tests;

tests![every_row_has_its_figures, the_document_shows_the_numbers];

/// The whole suite with small numbers, into a directory of its own.
async fn every_row_has_its_figures(world: Arc<World>) {
    let directory = tempfile::tempdir().expect("a directory");
    let parts = Part::all(Scale::Small);
    let report = Box::pin(run(&world, Scale::Small, &parts, None, directory.path(), |_| ())).await;
    assert_eq!(report.sections.len(), parts.len());
    let mut measured = 0;
    for (name, section) in &report.sections {
        assert!(!section.rows.is_empty(), "{name}");
        for row in &section.rows {
            assert_figures(name, row);
            measured += usize::from(matches!(row.ours, Ours::Measured(_)));
        }
    }
    assert!(measured > 10, "{measured} rows");
    let text = |file: &str| std::fs::read_to_string(directory.path().join(file)).expect("a file");
    let document = text("benchmarks.md");
    for row in report.sections.values().flat_map(|s| &s.rows) {
        assert!(document.contains(&format!("| {} | {} |", row.what, row.cells().join(" | "))), "{}", row.what);
    }
    for plot in ["growth", "memory", "beside", "bursts"] {
        assert!(text(&format!("benchmarks/{plot}.svg")).contains("</svg>"), "{plot}");
        assert!(document.contains(&format!("](benchmarks/{plot}.svg)")), "{plot}");
    }
    let read: Report = serde_json::from_str(&text("benchmarks/results.json")).expect("what was written");
    assert_eq!(read.sections.len(), report.sections.len());
}

/// Both sides are numbers, or the row says which configuration this build lacks.
fn assert_figures(part: &str, row: &Row) {
    match &row.ours {
        Ours::Measured(figure) => {
            assert!(figure.median() >= 0.0 && !figure.samples.is_empty(), "{row:?}");
            // What takes hours has no other side.
            assert_eq!(row.instead.is_empty(), part == "huge", "{row:?}");
        }
        Ours::Missing(why) => assert!(why.contains("cascade.batch"), "{row:?}"),
    }
    for figure in &row.instead {
        assert!(figure.median() >= 0.0 && !figure.samples.is_empty(), "{row:?}");
    }
}

/// Nobody writes a figure by hand: the page is what the program makes of docs/benchmarks/results.json.
async fn the_document_shows_the_numbers(_: Arc<World>) {
    let document = std::fs::read_to_string(path("docs/benchmarks.md")).expect("the page");
    assert!(document.contains(&written(Path::new(&path("docs")))), "run `make bench` again");
}
