//! How commands print.

use clap::ValueEnum;
use serde::Serialize;

use super::CommandError;
use crate::domain::Failure;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for a person
    #[default]
    Text,
    /// JSON for a program
    Json,
}

/// Lines of columns, as wide as they need to be. The last column may have any length.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> =
        (0..columns).map(|i| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(|row| line(row) + "\n").collect()
}

/// A failure for a person: the word, what happened, and what clears it.
#[must_use]
pub fn explained(failure: &Failure) -> String {
    let mut text = format!("{} ({})\n", failure.reason, failure.reason.code());
    if failure.causes.len() > 1 {
        for cause in &failure.causes {
            text += &format!("- {}\n", cause.message);
            text += &indented(cause.remedy.as_deref().unwrap_or_default(), "    ");
        }
        return text;
    }
    text += &format!("  {}\n", failure.message);
    if let Some(remedy) = &failure.remedy {
        text += &format!("Remedy:\n{}", indented(remedy, "  "));
    }
    text
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// JSON with a line end.
///
/// # Errors
/// Fails when a value has no JSON, which none of ours does.
pub fn json(value: &impl Serialize) -> Result<String, CommandError> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|e| CommandError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let rows = [vec!["a".into(), "b".into()], vec!["ärger".into(), String::new()]];
        assert_eq!(table(&rows), "a      b\närger\n");
    }
}
