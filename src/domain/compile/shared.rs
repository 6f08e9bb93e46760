//! Rows that the plan gives to two organizations at once. They can only come about where a table's rows are found in
//! more than one way: by an organization column or by a parent, or by parents in several tables.

use super::resolve::Resolved;
use crate::api::reason::Reason;
use crate::api::status::ErrorCause;
use crate::domain::catalog::TableId;
use crate::domain::failure::Failure;
use crate::domain::identifier::literal;
use crate::domain::statement::{KeySource, RowSet, Statement, Writer, any_of};

/// A table whose rows may belong to several organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRows {
    /// Its name.
    pub table: String,
    /// The entity under which its rows are counted.
    pub entity: String,
    /// Shows the rows to a person; `:key` stands for the organization's key.
    query: String,
}

/// One statement that counts such rows in each table that may have them.
pub(super) fn statement(steps: &[Resolved<'_>], live: &[RowSet]) -> Option<(Statement, Vec<SharedRows>)> {
    let mut writer = Writer::default();
    let (mut columns, mut tables) = (Vec::new(), Vec::new());
    let mut seen: Vec<TableId> = Vec::new();
    for step in steps {
        if seen.contains(&step.info.id) {
            continue;
        }
        seen.push(step.info.id);
        let same: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].info.id == step.info.id).collect();
        let mut ways: Vec<Option<TableId>> = Vec::new();
        for &i in &same {
            ways.extend(steps[i].organization.iter().map(|_| None));
            for (parent, _) in &steps[i].links {
                if same.len() > 1 || !ways.contains(&Some(steps[*parent].info.id)) {
                    ways.push(Some(steps[*parent].info.id));
                }
            }
        }
        if ways.len() < 2 {
            continue;
        }
        let sets: Vec<&RowSet> = same.iter().map(|&i| &live[i]).collect();
        let both = |key: &KeySource, others: &KeySource, writer: &mut Writer| {
            format!(
                "FROM {} t WHERE {} AND {}",
                step.info.table,
                any_of(&sets, "t", key, writer),
                any_of(&sets, "t", others, writer)
            )
        };
        let rows = both(&KeySource::Bound, &KeySource::Others, &mut writer);
        columns.push(format!("(SELECT count(*) FROM (SELECT 1 {rows} LIMIT {}) s)", super::COUNT_LIMIT + 1));
        let key = ":key".to_owned();
        let shown = both(&KeySource::Outer(key.clone()), &KeySource::NotOuter(key), &mut Writer::default());
        tables.push(SharedRows {
            table: step.info.table.name(),
            entity: step.step.entity.clone(),
            query: format!("SELECT t.* {shown}; -- then change these rows, so that each belongs to one organization"),
        });
    }
    let sql = format!("SELECT ARRAY[{}]::bigint[] AS rows", columns.join(", "));
    (!tables.is_empty()).then(|| (writer.finish(sql), tables))
}

/// Turns the numbers into one failure that names every table. None: every row belongs to one organization.
#[must_use]
pub fn shared_rows(tables: &[SharedRows], rows: &[i64], key: &str) -> Option<Failure> {
    let causes: Vec<ErrorCause> = tables
        .iter()
        .zip(rows)
        .filter(|(_, rows)| **rows > 0)
        .map(|(shared, rows)| {
            let limit = super::COUNT_LIMIT;
            let number = if *rows > limit { format!("{limit}+") } else { rows.to_string() };
            ErrorCause {
                message: format!("{number} in `{}`", shared.table),
                entity: Some(shared.entity.clone()),
                table: Some(shared.table.clone()),
                rows: Some((*rows).min(limit)),
                remedy: Some(shared.query.replace(":key", &literal(key))),
                ..ErrorCause::default()
            }
        })
        .collect();
    let first = causes.first()?.clone();
    let list = causes.iter().map(|c| c.message.as_str()).collect::<Vec<_>>().join(", ");
    let mut failure = Failure::new(
        Reason::ForeignKeyViolation,
        format!(
            "rows belong to this organization and, by another column, to another one as well: {list}. Nothing was deleted"
        ),
    );
    failure.entity = first.entity;
    failure.table = first.table;
    failure.rows = Some(causes.iter().filter_map(|c| c.rows).sum());
    failure.remedy = super::faults::join_remedies(&causes);
    failure.causes = causes;
    Some(failure)
}
