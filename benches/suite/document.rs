//! The table in the terminal, and what a run writes: `results.json`, the plots, and the part of `benchmarks.md` between two
//! markers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use strum::IntoEnumIterator as _;

use super::figures::{Report, Row, Section};
use super::{Part, plots};

/// Between these two lines, everything is written by the run.
const BEGIN: &str = "<!-- BEGIN: written by `make bench` -->";
const END: &str = "<!-- END: written by `make bench` -->";
/// The document where a directory has none yet.
const DOCUMENT: &str = include_str!("../../docs/benchmarks.md");

/// What earlier runs measured, in this directory.
pub fn earlier(directory: &Path) -> Report {
    let path = directory.join("benchmarks/results.json");
    let text = fs::read_to_string(&path).ok();
    text.map_or_else(Report::default, |text| {
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}; remove the file", path.display()))
    })
}

/// Writes everything into a directory: `benchmarks.md`, `benchmarks/results.json` and `benchmarks/*.svg`.
pub fn write(report: &Report, directory: &Path) {
    let plots_in = directory.join("benchmarks");
    fs::create_dir_all(&plots_in).expect("a directory");
    let json = serde_json::to_string_pretty(report).expect("JSON");
    fs::write(plots_in.join("results.json"), json + "\n").expect("written");
    plots::draw(report, &plots_in).expect("drawn");
    let path = directory.join("benchmarks.md");
    let document = fs::read_to_string(&path).unwrap_or_else(|_| DOCUMENT.to_owned());
    let (before, rest) = document.split_once(BEGIN).expect("the first marker");
    let (_, after) = rest.split_once(END).expect("the second marker");
    let text = markdown(report);
    fs::write(path, format!("{before}{BEGIN}\n\n{text}{END}{after}")).expect("written");
}

/// What a page in this directory has between its markers, if it is that of the numbers there.
pub fn written(directory: &Path) -> String {
    format!("{BEGIN}\n\n{}{END}", markdown(&earlier(directory)))
}

fn markdown(report: &Report) -> String {
    let mut text = String::new();
    for part in Part::iter() {
        let name: &str = part.into();
        let Some(section) = report.sections.get(name) else { continue };
        let _ = write!(text, "### {name}\n\n{}.\n\n", section.machine.text());
        text.push_str("| | operator | instead | compared | target |\n|---|---|---|---|---|\n");
        for row in &section.rows {
            let _ = writeln!(text, "| {} | {} |", row.what, row.cells().join(" | "));
        }
        text.push('\n');
    }
    for name in plots::drawn(report) {
        let _ = writeln!(text, "![{name}](benchmarks/{name}.svg)\n");
    }
    text
}

/// The table for a terminal: a block for each row.
pub fn terminal(name: &str, section: &Section) -> String {
    let mut text = format!("{name}: {}.\n", section.machine.text());
    for row in &section.rows {
        let Row { what, .. } = row;
        let [ours, instead, times, target] = row.cells();
        let _ = write!(text, "\n{what}\n  operator  {ours}\n");
        for (label, cell) in [("instead", instead), ("compared", times), ("target", target)] {
            if !cell.is_empty() && cell != "-" {
                let _ = writeln!(text, "  {label:<9} {cell}");
            }
        }
    }
    text
}
