//! Entries of a plan as lines of YAML.

use planner::infer::{Referred, Suggestions, Unread};
use planner::plan::{Reference, Step, Unclassified};
use planner::scalar;

/// Lines become no longer than this where they are lists.
const WIDTH: usize = 110;

/// A step as one line.
pub(super) struct Line {
    pub(super) table: String,
    pub(super) text: String,
}

/// The steps, one line each, with aligned fields.
pub(super) fn aligned(steps: &[Step]) -> Vec<Line> {
    let fields: Vec<[String; 5]> = steps
        .iter()
        .map(|step| {
            let (belongs, by) = match (&step.organization, &step.referenced_by, &step.parent) {
                (Some(column), ..) => (format!("organization: {}", scalar(column)), String::new()),
                (None, referenced_by, parent) => {
                    let by = if let Some(column) = &step.column {
                        format!("column: {}", scalar(column))
                    } else {
                        let pairs: Vec<String> =
                            step.columns.iter().map(|(c, p)| format!("{}: {}", scalar(c), scalar(p))).collect();
                        format!("columns: {{{}}}", pairs.join(", "))
                    };
                    let (field, entity) = match referenced_by {
                        Some(entity) => ("referencedBy", Some(entity)),
                        None => ("parent", parent.as_ref()),
                    };
                    (format!("{field}: {}", scalar(entity.map_or("", String::as_str))), by)
                }
            };
            let (entity, table) =
                (format!("entity: {}", scalar(&step.entity)), format!("table: {}", scalar(&step.table)));
            [entity, table, belongs, by, unless(step)]
        })
        .collect();
    let width = |i: usize| fields.iter().map(|f| f[i].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..5).map(width).collect();
    fields
        .iter()
        .zip(steps)
        .map(|(all, step)| {
            let shown: Vec<&String> = all.iter().filter(|f| !f.is_empty()).collect();
            let last = shown.len().saturating_sub(1);
            let cell = |(i, field): (usize, &&String)| {
                if i == last {
                    (*field).clone()
                } else {
                    format!("{:width$} ", format!("{field},"), width = widths[i] + 1)
                }
            };
            let text: String = shown.iter().enumerate().map(cell).collect();
            Line { table: step.table.clone(), text: format!("{{{text}}}") }
        })
        .collect()
}

/// The columns that keep a row of the step. Empty if there are none.
fn unless(step: &Step) -> String {
    let one = |r: &Reference| format!("{{table: {}, column: {}}}", scalar(&r.table), scalar(&r.column));
    let all: Vec<String> = step.unless.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("unless: [{}]", all.join(", ")) }
}

/// A table about which a person must decide, as an element of a list.
pub(super) fn unclassified(open: &Unclassified) -> String {
    let why = open.why.as_ref().map(|why| format!(", why: {}", scalar(why))).unwrap_or_default();
    format!("{{table: {}{why}}}", scalar(&open.table))
}

/// What a person can do with a table, as comments for the lines below it.
pub(super) fn suggestions(all: &Suggestions) -> Vec<String> {
    let steps = aligned(&all.steps).into_iter().map(|line| format!("#   as a step: - {}", comment(&line.text)));
    let inside = "#   no step finds rows by a value inside an array or JSON: keep the table, with a reason, and clear these values yourself";
    let polymorphic = "#   no step finds rows by a column that refers to several tables: as a step, name a view with a column for each of these tables (docs/configuration.md, Views); or keep the table, with a reason";
    let inside = all.inside.then(|| inside.to_owned());
    steps.chain(inside).chain(all.polymorphic.then(|| polymorphic.to_owned())).collect()
}

/// Names in lines, separated by commas.
pub(super) fn wrapped(names: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let name = if i + 1 < names.len() { format!("{name},") } else { name.clone() };
        match lines.last_mut() {
            Some(line) if line.chars().count() + name.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(&name);
            }
            _ => lines.push(name),
        }
    }
    lines
}

/// Which global tables could not be read, as comments. Empty if there is none.
pub(super) fn unread(tables: &[Unread]) -> Vec<String> {
    if tables.is_empty() {
        return Vec::new();
    }
    let of = |t: &Unread| comment(&format!("{} ({})", t.table, t.columns.join(", ")));
    let lines = wrapped(&tables.iter().map(of).collect::<Vec<_>>()).into_iter().map(|line| format!("#   {line}"));
    let head =
        "# The command compared only the names of these columns, because it could not read their values:".to_owned();
    std::iter::once(head).chain(lines).collect()
}

/// To which global tables the organizations' rows refer, as comments. Empty if there is none.
pub(super) fn referred(tables: &[Referred]) -> Vec<String> {
    if tables.is_empty() {
        return Vec::new();
    }
    let of = |t: &Referred| comment(&format!("{} ({})", t.table, t.by.join(", ")));
    let lines = wrapped(&tables.iter().map(of).collect::<Vec<_>>()).into_iter().map(|line| format!("#   {line}"));
    let head = "# Rows of organizations refer to these tables, from those in brackets. What is there for one organization only would stay:".to_owned();
    std::iter::once(head).chain(lines).collect()
}

/// Text that cannot end a comment.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_again_as_it_was_written() {
        let unless = |table: &str, column: &str| Reference { table: table.into(), column: column.into() };
        let step = Step {
            entity: "users".into(),
            table: "users".into(),
            referenced_by: Some("memberships".into()),
            column: Some("user_id".into()),
            unless: vec![unless("my, table", "no"), unless("b", "c}")],
            ..Step::default()
        };
        let line = aligned(std::slice::from_ref(&step)).remove(0).text;
        assert_eq!(serde_yaml::from_str::<Step>(&line).ok(), Some(step), "{line}");
    }
}
