//! What stands in the way of a deletion, and what clears it.

use super::compile::faults::join_remedies;
use super::compile::{COUNT_LIMIT, Check};
use super::failure::Failure;
use super::identifier::literal;
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
        ", which the plan keeps,"
    } else {
        ""
    };
    let effect = if check.on_delete.changes_rows() {
        format!(", and ON DELETE {} would change them", check.on_delete.as_str())
    } else {
        String::new()
    };
    // The organization itself is in the message already; a longer way needs to be told.
    let way = if check.path.len() > 2 { format!(": {}", check.path.join(" -> ")) } else { String::new() };
    let condition = check.condition.replace(":key", &literal(key));
    let (child, parent) = (&check.child_sql, &check.parent_sql);
    let remedy = match (&check.detach, check.in_plan, check.kept) {
        // Another organization's rows: only a person can know what they should refer to.
        (_, true, _) => {
            format!("SELECT c.* FROM {child} c JOIN {parent} p ON {condition}; -- then change what these rows refer to")
        }
        // Rows that are kept on purpose must not go; they can be detached.
        (Some(columns), false, true) => format!("UPDATE {child} c SET {columns} FROM {parent} p WHERE {condition};"),
        (None, false, true) => format!(
            "SELECT c.* FROM {child} c JOIN {parent} p ON {condition}; -- the plan keeps these rows and they cannot be detached: drop NOT NULL from the referring columns, or keep a copy of the rows elsewhere"
        ),
        (_, false, false) => {
            format!("DELETE FROM {child} c USING {parent} p WHERE {condition}; -- or add the table to the plan")
        }
    };
    ErrorCause {
        message: format!(
            "{number} {plural} in `{}`{whose} refer to `{}` (constraint {}){effect}{way}",
            check.table, check.parent_table, check.constraint
        ),
        entity: check.parent_entity.clone(),
        table: Some(check.table.clone()),
        constraint: Some(check.constraint.clone()),
        rows: Some(rows.min(COUNT_LIMIT)),
        remedy: Some(remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::OnDelete;

    fn check(kept: bool, detach: Option<&str>) -> Check {
        Check {
            constraint: "invoices_organization_id_fkey".into(),
            table: "public.invoices".into(),
            parent_table: "public.organizations".into(),
            parent_entity: None,
            on_delete: OnDelete::NoAction,
            in_plan: false,
            kept,
            detach: detach.map(str::to_owned),
            child_sql: "invoices".into(),
            parent_sql: "organizations".into(),
            path: vec!["invoices".into(), "organizations".into()],
            condition: "c.organization_id = p.id AND p.id = :key::text::uuid".into(),
        }
    }

    fn remedy(check: Check) -> String {
        blockers(&[check], &[3], "k").and_then(|f| f.remedy).expect("a remedy")
    }

    #[test]
    fn deleting_rows_that_the_plan_keeps_is_never_proposed() {
        let detached = remedy(check(true, Some("organization_id = NULL")));
        assert_eq!(
            detached,
            "UPDATE invoices c SET organization_id = NULL FROM organizations p WHERE c.organization_id = p.id AND p.id = 'k'::text::uuid;"
        );
        assert!(!remedy(check(true, None)).contains("DELETE"));
        assert!(remedy(check(false, None)).starts_with("DELETE FROM invoices"));
    }
}
