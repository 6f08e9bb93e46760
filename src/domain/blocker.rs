//! What stands in the way of a deletion, and what clears it.

use super::compile::faults::join_remedies;
use super::compile::{COUNT_LIMIT, Check};
use super::failure::Failure;
use super::identifier::{literal, quote};
use crate::api::reason::Reason;
use crate::api::status::ErrorCause;

/// Turns the numbers that the preflight found into one failure that names every blocker. None: nothing blocks.
#[must_use]
pub fn blockers(checks: &[Check], rows: &[i64], key: &str) -> Option<Failure> {
    let causes: Vec<ErrorCause> =
        checks.iter().zip(rows).filter(|(_, rows)| **rows > 0).map(|(check, rows)| cause(check, *rows, key)).collect();
    let first = causes.first()?.clone();
    let list = causes.iter().map(|c| c.message.as_str()).collect::<Vec<_>>().join("; ");
    let mut failure = Failure::new(
        Reason::ForeignKeyViolation,
        format!(
            "{} foreign key{} from outside the plan: {list}. Nothing was deleted",
            causes.len(),
            if causes.len() == 1 { " stands in the way" } else { "s stand in the way" }
        ),
    );
    failure.entity = first.entity;
    failure.table = first.table;
    failure.constraint = first.constraint;
    failure.rows = Some(causes.iter().filter_map(|c| c.rows).sum());
    failure.remedy = join_remedies(&causes);
    failure.causes = causes;
    Some(failure)
}

fn cause(check: &Check, rows: i64, key: &str) -> ErrorCause {
    let number = if rows > COUNT_LIMIT { format!("{COUNT_LIMIT}+") } else { rows.to_string() };
    let plural = if rows == 1 { "row" } else { "rows" };
    let whose = if check.in_plan {
        " of other organizations"
    } else if check.kept {
        " of a table that the plan keeps"
    } else {
        ""
    };
    let effect = if check.on_delete.changes_rows() {
        format!(", and ON DELETE {} would change them", check.on_delete.as_str())
    } else {
        String::new()
    };
    let condition = check.condition.replace(":key", &literal(key));
    let remedy = if check.in_plan {
        // Another organization's rows: only a person can know what they should refer to.
        format!(
            "SELECT c.* FROM {} c JOIN {} p ON {condition}; -- then change what these rows refer to",
            check.child_sql, check.parent_sql
        )
    } else if check.kept {
        match &check.detach {
            Some(detach) => format!(
                "UPDATE {} c SET {detach} FROM {} p WHERE {condition}; -- the rows are kept, and belong to nobody then",
                check.child_sql, check.parent_sql
            ),
            None => format!(
                "ALTER TABLE {} DROP CONSTRAINT {}; -- the rows are kept, and refer to nothing then",
                check.child_sql,
                quote(&check.constraint)
            ),
        }
    } else {
        format!(
            "DELETE FROM {} c USING {} p WHERE {condition}; -- or add the table to the plan",
            check.child_sql, check.parent_sql
        )
    };
    ErrorCause {
        message: format!(
            "{number} {plural} in `{}`{whose} refer to `{}` (constraint {}){effect}",
            check.table, check.parent_table, check.constraint
        ),
        entity: check.parent_entity.clone(),
        table: Some(check.table.clone()),
        constraint: Some(check.constraint.clone()),
        rows: Some(rows.min(COUNT_LIMIT)),
        remedy: Some(remedy),
    }
}
