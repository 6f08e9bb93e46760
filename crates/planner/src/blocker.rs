//! Rows that block the deletion of one organization, and what clears them.

use crate::cascade::{AmbiguousRows, Check, SharedRows};
use crate::finding::{Finding, Kind, Severity, listed};
use crate::identifier::literal;
use crate::limits::COUNT_LIMIT;

/// Rows that the deletion does not delete, but that refer to rows that it deletes: one finding for each foreign key over
/// which the preflight found any. `key` is the organization's.
#[must_use]
pub fn references(found: &[(&Check, i64)], key: &str) -> Vec<Finding> {
    found.iter().filter(|(_, rows)| *rows > 0).map(|(check, rows)| reference(check, *rows, key)).collect()
}

/// Rows that belong to this organization and to another one as well: one finding for each table in which the preflight
/// found any. `key` is the organization's.
#[must_use]
pub fn shared_rows(found: &[(&SharedRows, i64)], key: &str) -> Vec<Finding> {
    found
        .iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(shared, rows)| Finding {
            entity: Some(shared.entity.clone()),
            table: Some(shared.table.clone()),
            rows: Some((*rows).min(COUNT_LIMIT)),
            remedy: Some(for_key(&shared.query, key)),
            ..Finding::new(
                Severity::Blocks,
                Kind::SharedRows,
                format!(
                    "{} of `{}` {} to this organization by one column, but to another organization or to none by another column",
                    counted(*rows),
                    shared.table,
                    if *rows == 1 { "belongs" } else { "belong" }
                ),
            )
        })
        .collect()
}

/// SQL for a person, with the organization's key where `:key` stands for it. It always stands before a cast: elsewhere a
/// type may begin with the same letters (`::keys`).
fn for_key(sql: &str, key: &str) -> String {
    sql.replace(" :key::text", &format!(" {}::text", literal(key)))
}

/// Rows that are found by part of a parent's key, although a row outside has the same part: one finding for each way in which
/// the preflight found any. `key` is the organization's.
#[must_use]
pub fn ambiguous_rows(found: &[(&AmbiguousRows, i64)], key: &str) -> Vec<Finding> {
    found.iter().filter(|(_, rows)| *rows > 0).map(|(ambiguous, rows)| ambiguity(ambiguous, *rows, key)).collect()
}

fn ambiguity(ambiguous: &AmbiguousRows, rows: i64, key: &str) -> Finding {
    let AmbiguousRows { table, columns, parent_table, parent_columns, .. } = ambiguous;
    let (columns_text, parent_text) = (listed(columns), listed(parent_columns));
    Finding {
        entity: Some(ambiguous.entity.clone()),
        table: Some(table.clone()),
        columns: columns.clone(),
        rows: Some(rows.min(COUNT_LIMIT)),
        remedy: Some(format!(
            "{} -- then delete these rows or change what they refer to; or add the rest of the key to `{table}` as columns, and name them in the plan (columns)",
            for_key(&ambiguous.query, key)
        )),
        ..Finding::new(
            Severity::Blocks,
            Kind::AmbiguousRows,
            format!(
                "{} of `{table}` {} by {columns_text} to rows of `{parent_table}` that belong to this organization and to rows that belong to another organization or to none, because {parent_text} is only part of a key",
                counted(rows),
                if rows == 1 { "refers" } else { "refer" },
            ),
        )
    }
}

/// `1 row`, `3 rows`, `10000+ rows`.
pub(crate) fn counted(rows: i64) -> String {
    match rows {
        1 => "1 row".to_owned(),
        rows if rows > COUNT_LIMIT => format!("{COUNT_LIMIT}+ rows"),
        rows => format!("{rows} rows"),
    }
}

fn reference(check: &Check, rows: i64, key: &str) -> Finding {
    let whose = if check.in_plan {
        " of other organizations"
    } else if check.kept {
        ", which the plan keeps,"
    } else {
        ""
    };
    let effect = if check.on_delete.changes_rows() {
        format!(", and ON DELETE {} would change them", check.on_delete)
    } else {
        String::new()
    };
    // The message already names the parent; only a longer path adds something.
    let path = if check.path.len() > 2 { format!(": {}", check.path.join(" -> ")) } else { String::new() };
    let condition = for_key(&check.condition, key);
    let (child, parent) = (&check.child_sql, &check.parent_sql);
    let remedy = match (&check.detach, check.in_plan, check.kept) {
        // Rows of another organization: only a person can know what they should refer to.
        (_, true, _) => {
            format!("SELECT c.* FROM {child} c JOIN {parent} p ON {condition}; -- then change what these rows refer to")
        }
        // Nobody must delete rows that the plan keeps; they can be detached.
        (Some(columns), false, true) => format!("UPDATE {child} c SET {columns} FROM {parent} p WHERE {condition};"),
        (None, false, true) => format!(
            "SELECT c.* FROM {child} c JOIN {parent} p ON {condition}; -- the plan keeps these rows, and they cannot be detached: drop NOT NULL from the referring columns, or keep a copy of the rows elsewhere"
        ),
        (_, false, false) => {
            format!("DELETE FROM {child} c USING {parent} p WHERE {condition}; -- or add the table to the plan")
        }
    };
    Finding {
        entity: check.parent_entity.clone(),
        table: Some(check.table.clone()),
        constraint: Some(check.constraint.clone()),
        rows: Some(rows.min(COUNT_LIMIT)),
        remedy: Some(remedy),
        ..Finding::new(
            Severity::Blocks,
            Kind::ReferenceFromOutside,
            format!(
                "{} in `{}`{whose} {} to `{}` (constraint {}){effect}{path}",
                counted(rows),
                check.table,
                if rows == 1 { "refers" } else { "refer" },
                check.parent_table,
                check.constraint
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::OnDelete;

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

    fn remedy(check: &Check) -> String {
        references(&[(check, 3)], "k").remove(0).remedy.expect("a remedy")
    }

    #[test]
    fn deleting_rows_that_the_plan_keeps_is_never_proposed() {
        let detached = remedy(&check(true, Some("organization_id = NULL")));
        assert_eq!(
            detached,
            "UPDATE invoices c SET organization_id = NULL FROM organizations p WHERE c.organization_id = p.id AND p.id = 'k'::text::uuid;"
        );
        assert!(!remedy(&check(true, None)).contains("DELETE"));
        assert!(remedy(&check(false, None)).starts_with("DELETE FROM invoices"));
    }
}
