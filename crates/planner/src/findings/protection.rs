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
    let mut steps: Vec<StepId> =
        cascade.into_iter().flat_map(Cascade::unprotected).map(|deleted| deleted.step).collect();
    steps.sort_unstable();
    for table in steps.iter().filter_map(|step| catalog.declared(&plan.steps.get(step.place())?.table)) {
        found.extend(unprotected(plan, catalog, table));
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
                    "ALTER TABLE {} VALIDATE CONSTRAINT {};{}",
                    table.table,
                    Column::new(&key.name),
                    catalog.table(key.parent).map(|parent| orphans((table, &key.child_columns), (parent, &key.parent_columns))).unwrap_or_default()
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

/// One finding for each way to the table whose first link is missing; if there is none, for the first way.
fn unprotected(plan: &Plan, catalog: &Catalog, table: &TableInfo) -> Vec<Finding> {
    let ways = plan.steps.iter().filter(|step| table.declared.contains(&step.table));
    let mut ways: Vec<(&Step, Link)> = ways.map(|step| (step, missing_link(plan, catalog, step, table))).collect();
    if ways.iter().any(|(_, link)| !link.above) {
        ways.retain(|(_, link)| !link.above);
    } else {
        ways.truncate(1);
    }
    let finding = |(step, link): (&Step, Link)| Finding {
        columns: step.path_columns(),
        remedy: link.remedy,
        ..Finding::warning(
            Kind::Unprotected,
            table,
            format!(
                "no chain of foreign keys leads from `{}` to the organization{}, so rows can appear while the organization is deleted. A deletion deactivates the organization first, waits drainSeconds, deletes, waits again and counts again",
                table.table.name(),
                link.what
            ),
        )
    };
    ways.into_iter().map(finding).collect()
}

/// A link of the chain that is missing.
struct Link {
    /// Why, in parentheses; may be empty.
    what: String,
    /// What adds it.
    remedy: Option<String>,
    /// It is not the first link, but one further up.
    above: bool,
}

impl Link {
    fn new(what: impl Into<String>, remedy: Option<String>) -> Self {
        Self { what: what.into(), remedy, above: false }
    }

    fn above(what: String) -> Self {
        Self { what, remedy: None, above: true }
    }
}

/// A comment that shows the rows on which a foreign key fails: they refer to no row.
fn orphans((child, columns): (&TableInfo, &[String]), (parent, keys): (&TableInfo, &[String])) -> String {
    let referring: Vec<String> = columns.iter().map(|c| format!("c.{} IS NOT NULL", Column::new(c))).collect();
    let joined: Vec<String> =
        columns.iter().zip(keys).map(|(c, p)| format!("p.{} = c.{}", Column::new(p), Column::new(c))).collect();
    format!(
        " -- if it fails, first delete the rows that refer to nothing: SELECT c.* FROM {} c WHERE {} AND NOT EXISTS (SELECT FROM {} p WHERE {});",
        child.table,
        referring.join(" AND "),
        parent.table,
        joined.join(" AND ")
    )
}

/// Which link of the chain is missing, and what adds it.
fn missing_link(plan: &Plan, catalog: &Catalog, step: &Step, table: &TableInfo) -> Link {
    let relation = |t: &TableInfo| catalog.properties(t.id).map(|t| t.relation).unwrap_or_default();
    if let Some(entity) = &step.referenced_by {
        return Link::above(format!(" (rows of the entity `{entity}`, which refer to it, are not protected)"));
    }
    let columns = step.path_columns();
    let parent = match &step.parent {
        None => catalog.declared(&plan.organization.table),
        Some(entity) => plan.steps.iter().find(|s| s.entity == *entity).and_then(|s| catalog.declared(&s.table)),
    };
    let Some(parent) = parent else { return Link::new("", None) };
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
        Some(key) if key.holds() => Link::above(format!(" (the chain breaks above `{}`)", parent.table.name())),
        Some(key) if key.enforcement == Enforcement::Disabled => Link::new(
            format!(" (the triggers of the constraint {} are disabled)", key.name),
            Some(format!(
                "ALTER TABLE {table} ENABLE TRIGGER ALL; ALTER TABLE {parent} ENABLE TRIGGER ALL; -- also enables your own triggers",
                table = table.table,
                parent = parent.table
            )),
        ),
        Some(key) => Link::new(
            format!(" (the constraint {} is not enforced)", key.name),
            Some(format!("ALTER TABLE {} ALTER CONSTRAINT {} ENFORCED;", table.table, Column::new(&key.name))),
        ),
        None if [table, parent].iter().any(|t| matches!(relation(t), Relation::View | Relation::Foreign)) => {
            Link::new(" (a view or a foreign table cannot have foreign keys)", None)
        }
        None if types_of(table, &columns) != types_of(parent, &parent_columns) => {
            Link::new(" (the types of its columns differ from those of the columns that they refer to)", None)
        }
        None if parent.part_of_key(&parent_columns.iter().map(String::as_str).collect::<Vec<_>>()) => {
            Link::new(" (no foreign key can refer to part of a key)", None)
        }
        None => Link::new(
            "",
            Some(format!(
                "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({});{}",
                table.table,
                quote_all(&columns),
                parent.table,
                quote_all(&parent_columns),
                orphans((table, &columns), (parent, &parent_columns))
            )),
        ),
    }
}
