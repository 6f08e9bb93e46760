//! The tables of a large plan in groups, so that a person can read them on one screen.

use std::cmp::Reverse;

use super::view::{Rows, StepView, View};
use crate::commands::output::table;

/// Up to this many tables have a line each.
const TABLES: usize = 40;

/// At most this many groups have a line each.
const GROUPS: usize = 24;

/// Tables whose rows belong to the organization through the same table.
struct Group {
    name: String,
    tables: usize,
    protected: usize,
    rows: Rows,
}

impl View<'_> {
    /// Whether the tables are shown in groups.
    pub(super) fn grouped(&self) -> bool {
        !self.all && self.steps.len() > TABLES
    }

    /// A line for each group, in the order in which the plan names the tables that the ways go through.
    pub(super) fn groups(&self) -> String {
        let counted = self.preview.is_some();
        let cells = |cells: [String; 4]| -> Vec<String> {
            cells.into_iter().enumerate().filter(|(i, _)| *i != 2 || counted).map(|(_, cell)| cell).collect()
        };
        let mut lines = vec![cells(["GROUP", "TABLES", "ROWS", "PROTECTED"].map(str::to_owned))];
        for group in groups(&self.steps) {
            lines.push(cells([
                group.name,
                group.tables.to_string(),
                group.rows.to_string(),
                format!("{} of {}", group.protected, group.tables),
            ]));
        }
        let rows = self.organization_rows();
        lines.push(cells([self.organization.table.clone(), "1".to_owned(), rows.to_owned(), String::new()]));
        format!(
            "{}\n{} tables in groups. --all shows each of them, in the order of deletion.\n",
            table(&lines),
            self.steps.len()
        )
    }
}

/// Each table is in the group of the step that its way to the organization begins with. Tables with nothing below them are one
/// group for each column.
fn groups(steps: &[StepView<'_>]) -> Vec<Group> {
    let mut ways: Vec<(usize, Vec<&StepView<'_>>)> = Vec::new();
    for step in steps {
        match ways.iter_mut().find(|(through, _)| *through == step.through.0) {
            Some((_, tables)) => tables.push(step),
            None => ways.push((step.through.0, vec![step])),
        }
    }
    ways.sort_by_key(|(through, _)| *through);
    let mut groups: Vec<Group> = Vec::new();
    let mut alone: Vec<(&str, Vec<&StepView<'_>>)> = Vec::new();
    for (_, tables) in ways {
        let [first, below @ ..] = tables.as_slice() else { continue };
        let name = first.through.1;
        match below.len() {
            0 => match alone.iter_mut().find(|(by, _)| *by == first.belongs_by) {
                Some((_, others)) => others.push(first),
                None => alone.push((&first.belongs_by, vec![first])),
            },
            1 => groups.push(Group::of(format!("{name} and 1 table below it"), &tables)),
            n => groups.push(Group::of(format!("{name} and {n} tables below it"), &tables)),
        }
    }
    groups.extend(alone.into_iter().map(|(by, tables)| match tables.as_slice() {
        [only] => Group::of(only.table.to_owned(), &tables),
        _ => Group::of(format!("tables with nothing below them, by {by}"), &tables),
    }));
    without_the_smallest(groups)
}

/// The groups, and the smallest ones as one at the end if there are too many.
fn without_the_smallest(groups: Vec<Group>) -> Vec<Group> {
    if groups.len() <= GROUPS {
        return groups;
    }
    let mut largest: Vec<usize> = (0..groups.len()).collect();
    largest.sort_by_key(|i| Reverse(groups[*i].tables));
    largest.truncate(GROUPS - 1);
    let mut others = Group::of("other tables".to_owned(), &[]);
    let mut shown = Vec::new();
    for (i, group) in groups.into_iter().enumerate() {
        if largest.contains(&i) {
            shown.push(group);
        } else {
            others.tables += group.tables;
            others.protected += group.protected;
            others.rows = others.rows + group.rows;
        }
    }
    shown.push(others);
    shown
}

impl Group {
    fn of(name: String, tables: &[&StepView<'_>]) -> Self {
        Self {
            name,
            tables: tables.len(),
            protected: tables.iter().filter(|s| s.protected).count(),
            rows: tables.iter().filter_map(|s| s.rows).sum(),
        }
    }
}
