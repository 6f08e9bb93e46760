//! How commands print.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::error::CommandError;
use crate::domain::Failure;

/// How a command prints its result.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Format of the result
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// For a program
    Json,
}

impl OutputArgs {
    /// Prints `value` as JSON, or what `text` returns.
    ///
    /// # Errors
    /// Fails if a value has no JSON; all of ours have.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        match self.output {
            Format::Text => print!("{}", text()),
            Format::Json => {
                println!("{}", serde_json::to_string_pretty(value).map_err(|e| CommandError(e.to_string()))?);
            }
        }
        Ok(())
    }
}

/// Rows as aligned columns; the first row is the head. Columns of numbers are aligned to the right.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cells = |i: usize| rows.iter().filter_map(move |r| r.get(i));
    let is_number = |cell: &String| cell.is_empty() || cell.trim_end_matches('+').parse::<i64>().is_ok();
    let shapes: Vec<(usize, bool)> = (0..columns)
        .map(|i| {
            let width = cells(i).map(|c| c.chars().count()).max().unwrap_or_default();
            (width, cells(i).skip(1).all(is_number) && cells(i).skip(1).any(|c| !c.is_empty()))
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&shapes).map(|(cell, (width, to_the_right))| {
            if *to_the_right { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(|row| line(row) + "\n").collect()
}

/// A failure for a person: its reason, what happened, and what clears it.
#[must_use]
pub fn explained(failure: &Failure) -> String {
    let mut text = format!("{} ({})\n", failure.reason, failure.reason.code());
    if failure.causes.len() > 1 {
        for cause in &failure.causes {
            text.extend([format!("- {}\n", cause.message)]);
            text += &indented(cause.remedy.as_deref().unwrap_or_default(), "    ");
        }
        return text;
    }
    text.extend([format!("  {}\n", failure.message())]);
    if let Some(remedy) = &failure.remedy {
        text.extend([format!("Remedy:\n{}", indented(remedy, "  "))]);
    }
    text
}

fn indented(text: &str, by: &str) -> String {
    text.lines().flat_map(|line| [by, line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let rows = [vec!["NAME".into(), "ROWS".into(), "X".into()], vec!["ärger".into(), "7+".into(), String::new()]];
        assert_eq!(table(&rows), "NAME   ROWS  X\närger    7+\n");
    }
}
