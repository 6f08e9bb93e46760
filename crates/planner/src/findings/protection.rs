//! Foreign keys that are missing, not enforced or not valid: rows that the database itself does not protect.

use crate::cascade::Cascade;
use crate::catalog::{Catalog, Enforcement, Relation, TableInfo};
use crate::finding::{Finding, Kind};
use crate::identifier::{Column, quote_all};
use crate::plan::{Plan, Step};
use crate::step::StepId;

pub(super) fn warnings_of_missing_protection(
    plan: &Plan,
    catalog: &Catalog,
    cascade: Option<&Cascade>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut steps: Vec<StepId> = cascade.into_iter().flat_map(Cascade::late_deletes).map(|d| d.step).collect();
    steps.sort_unstable();
    for step in steps.iter().filter_map(|step| plan.steps.get(step.place())) {
        if let Some(table) = catalog.declared(&step.table) {
            found.push(unprotected(plan, catalog, step, table));
        }
    }
    for key in catalog
        .foreign_keys
        .iter()
        .filter(|k| k.enforcement != Enforcement::NotEnforced && catalog.plan_tables.contains(&k.child))
    {
        let never_checked = catalog.properties(key.child).is_some_and(|t| t.not_valid.contains(&key.name));
        if never_checked && let Some(table) = catalog.table(key.child) {
            let name = table.table.name();
            found.push(Finding {
                columns: key.child_columns.clone(),
                constraint: Some(key.name.clone()),
                remedy: Some(format!(
                    "ALTER TABLE {} VALIDATE CONSTRAINT {};",
                    table.table,
                    Column::new(&key.name)
                )),
                ..Finding::warning(
                    Kind::NotValid,
                    table,
                    format!(
                        "the constraint {} of `{name}` is NOT VALID: older rows may refer to rows that do not exist, and no deletion finds such rows",
                        key.name
                    ),
                )
            });
        }
    }
    found
}

fn unprotected(plan: &Plan, catalog: &Catalog, step: &Step, table: &TableInfo) -> Finding {
    let (what, remedy) = missing_link(plan, catalog, step, table);
    Finding {
        columns: step.path_columns(),
        remedy,
        ..Finding::warning(
            Kind::Unprotected,
            table,
            format!(
                "no chain of foreign keys leads from `{}` to the organization{what}, so rows can appear while the organization is deleted. A deletion deactivates the organization first, waits drainSeconds, deletes, waits again and counts again",
                table.table.name()
            ),
        )
    }
}

/// Which link of the chain is missing, and what adds it.
fn missing_link(plan: &Plan, catalog: &Catalog, step: &Step, table: &TableInfo) -> (String, Option<String>) {
    let relation = |t: &TableInfo| catalog.properties(t.id).map(|t| t.relation).unwrap_or_default();
    if let Some(entity) = &step.referenced_by {
        return (format!(" (rows of the entity `{entity}`, which refer to it, are not protected)"), None);
    }
    let columns = step.path_columns();
    let parent = match &step.parent {
        None => catalog.declared(&plan.organization.table),
        Some(entity) => plan.steps.iter().find(|s| s.entity == *entity).and_then(|s| catalog.declared(&s.table)),
    };
    let Some(parent) = parent else { return (String::new(), None) };
    let parent_columns = match step {
        Step { organization: Some(_), .. } => vec![plan.organization.key.clone()],
        Step { column: Some(_), .. } => parent.unique_keys.iter().find(|k| k.len() == 1).cloned().unwrap_or_default(),
        _ => step.columns.values().cloned().collect(),
    };
    let key = catalog.foreign_keys.iter().find(|k| {
        k.child == table.id
            && k.partition.is_none()
            && k.parent == parent.id
            && k.child_columns.len() == columns.len()
            && k.child_columns.iter().all(|c| columns.contains(c))
    });
    let types_of = |info: &TableInfo, columns: &[String]| -> Vec<Option<String>> {
        columns.iter().map(|c| info.column(c).map(|c| c.type_name.clone())).collect()
    };
    match key {
        Some(key) if key.holds() => (format!(" (the chain breaks above `{}`)", parent.table.name()), None),
        Some(key) if key.enforcement == Enforcement::Disabled => (
            format!(" (the triggers of the constraint {} are disabled)", key.name),
            Some(format!(
                "ALTER TABLE {table} ENABLE TRIGGER ALL; ALTER TABLE {parent} ENABLE TRIGGER ALL; -- also enables your own triggers",
                table = table.table,
                parent = parent.table
            )),
        ),
        Some(key) => (
            format!(" (the constraint {} is not enforced)", key.name),
            Some(format!("ALTER TABLE {} ALTER CONSTRAINT {} ENFORCED;", table.table, Column::new(&key.name))),
        ),
        None if [table, parent].iter().any(|t| matches!(relation(t), Relation::View | Relation::Foreign)) => {
            (" (a view or a foreign table cannot have foreign keys)".to_owned(), None)
        }
        None if types_of(table, &columns) != types_of(parent, &parent_columns) => {
            (" (the types of its columns differ from those of the columns that they refer to)".to_owned(), None)
        }
        None => (
            String::new(),
            Some(format!(
                "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({});",
                table.table,
                quote_all(&columns),
                parent.table,
                quote_all(&parent_columns)
            )),
        ),
    }
}
