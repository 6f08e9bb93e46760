//! A compiled plan as text for a person.

use super::view::{Counts, Organization, StepView, View};
use crate::commands::output::{explained, table};
use planner::finding::{NAMED, some_of};

impl View<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = table(&self.head());
        if !self.steps.is_empty() {
            text += "\n";
            text += &if self.grouped() { self.groups() } else { table(&self.lines()) };
        }
        let named = if self.grouped() { NAMED } else { usize::MAX };
        for kept in self.keep.iter().take(named) {
            text.extend([format!("\nkept: {} ({})", kept.table, kept.reason)]);
        }
        if self.keep.len() > named {
            text.extend([format!("\nkept: {} more tables", self.keep.len() - named)]);
        }
        if !self.keep.is_empty() {
            text += "\n";
        }
        for set in &self.sets {
            text.extend([format!(
                "\nDeleted by one statement, because they refer to each other: {}.\n",
                set.join(", ")
            )]);
        }
        if !self.partitions.is_empty() {
            text.extend([format!(
                "\nRemoved with their partition, where it can hold only this organization's rows: {}.\n",
                self.partitions.join(", ")
            )]);
        }
        let unprotected: Vec<&str> = self.steps.iter().filter(|s| !s.protected).map(|s| s.table).collect();
        if !unprotected.is_empty() {
            text.extend([format!(
                "\nNot protected by a foreign key: {}. A deletion waits for open transactions to drain, and counts again.\n",
                if self.grouped() { some_of(&unprotected) } else { unprotected.join(", ") }
            )]);
        }
        text += &self.in_pages();
        if let Some(unknown) = &self.unknown {
            text.extend([format!("\n{unknown}\n")]);
        }
        let of_steps = self.steps.iter().filter_map(|s| s.sql.as_ref());
        for sql in self.in_pages.iter().chain(&self.before).chain(of_steps).chain(&self.after) {
            text.extend([format!("\n-- {}\n", sql.what)]);
            for parameter in &sql.parameters {
                text.extend([format!("--   {parameter}\n")]);
            }
            text.extend([format!("{};\n", sql.text)]);
        }
        if let Some(fault) = &self.fault {
            text.extend([format!("\nThis plan cannot be used to delete: {}", explained(fault))]);
        }
        text
    }

    /// From which tables a large deletion deletes in pages, and why not from the others.
    fn in_pages(&self) -> String {
        let mut text = String::new();
        if !self.pages.is_empty() {
            let from = if self.grouped() {
                format!("{} of {} tables", self.pages.len(), self.pages.len() + self.not_paged.len())
            } else {
                self.pages.join(", ")
            };
            text.extend([format!("\nIf the organization is large, rows are deleted in pages from: {from}.\n")]);
        }
        if !self.not_paged.is_empty() {
            let named = if self.grouped() { NAMED } else { usize::MAX };
            text += "\nNot deleted in pages, but in the last transaction:\n";
            let lines = self.not_paged.iter().take(named);
            text.extend(lines.map(|not| format!("  {}: {}\n", not.table, not.because)));
            if self.not_paged.len() > named {
                text.extend([format!("  and {} more tables\n", self.not_paged.len() - named)]);
            }
        }
        text
    }

    fn head(&self) -> Vec<Vec<String>> {
        let line = |name: &str, value: String| vec![name.to_owned(), value];
        let Organization { table, key, key_type, switched_off_by, .. } = &self.organization;
        let key_type = key_type.as_ref().map(|t| format!(" ({t})")).unwrap_or_default();
        let off = switched_off_by
            .as_ref()
            .map_or_else(|| "cannot be deactivated".to_owned(), |by| format!("deactivated by {by}"));
        let mut lines = vec![line("organization", format!("{table}, key {key}{key_type}, {off}"))];
        if let Some(digest) = self.digest {
            lines.push(line("plan", digest.to_owned()));
        }
        if !self.steps.is_empty() {
            let when = if self.deferred_constraints { "checked at COMMIT where deferrable" } else { "checked at once" };
            let outside = format!("{when}; {} from outside checked before the first delete", self.checks);
            lines.push(line("foreign keys", outside));
        }
        if let Some(counts) = &self.preview {
            let Counts { organization_key, state, total, .. } = counts;
            lines.push(line("deletes", format!("{organization_key} ({state}) and {total} rows that belong to it")));
        }
        lines
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let counted = self.preview.is_some();
        let cells = |cells: [String; 7]| -> Vec<String> {
            cells.into_iter().enumerate().filter(|(i, _)| *i != 3 || counted).map(|(_, cell)| cell).collect()
        };
        let head = ["#", "TABLE", "ENTITY", "ROWS", "PROTECTED", "CAPTURED", "BELONGS BY"].map(str::to_owned);
        let mut lines = vec![cells(head)];
        let place = self.steps.partition_point(|step| Some(step.statement) <= self.organization.statement);
        let (until, later) = self.steps.split_at(place);
        let line = |step: &StepView<'_>| {
            let mut captured = step.captured.join(", ");
            if step.locked {
                captured += if captured.is_empty() { "locked" } else { " (locked)" };
            }
            cells([
                step.statement.to_string(),
                step.table.to_owned(),
                step.entity.to_owned(),
                step.rows.map(|rows| rows.to_string()).unwrap_or_default(),
                if step.protected { "yes" } else { "no" }.to_owned(),
                captured,
                step.belongs_by.clone(),
            ])
        };
        lines.extend(until.iter().map(line));
        lines.push(cells(self.organization_line(until, later)));
        lines.extend(later.iter().map(line));
        lines
    }

    /// How many rows of the organizations' own table a deletion would delete. Empty if nothing was counted.
    pub(super) fn organization_rows(&self) -> &'static str {
        match &self.preview {
            None => "",
            Some(counts) if counts.present => "1",
            Some(_) => "0",
        }
    }

    /// The organization's own row: last by itself, or with the number of its statement.
    fn organization_line(&self, until: &[StepView<'_>], later: &[StepView<'_>]) -> [String; 7] {
        let Organization { table, key, statement, .. } = &self.organization;
        let alone = until.last().is_none_or(|step| Some(step.statement) != *statement);
        let (number, by) = if alone && later.is_empty() {
            (String::new(), format!("{key}, last"))
        } else {
            (statement.map(|n| n.to_string()).unwrap_or_default(), key.clone())
        };
        let rows = self.organization_rows();
        [number, table.clone(), String::new(), rows.to_owned(), String::new(), String::new(), by]
    }
}
