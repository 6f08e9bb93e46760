//! Tables that the plan does not delete from, but that refer to tables from which it deletes.

use crate::cascade::Cascade;
use crate::catalog::{Catalog, ForeignKey, TableInfo};
use crate::entity;
use crate::finding::{Finding, Kind, listed};
use crate::identifier::Column;
use crate::plan::Plan;
use crate::query::Query;
use crate::yaml::scalar;

pub(super) fn warnings_of_references(
    plan: &Plan,
    catalog: &Catalog,
    cascade: Option<&Cascade>,
    faults: &[Finding],
) -> Vec<Finding> {
    let blocks = |child: &TableInfo| {
        let name = child.table.name();
        faults.iter().any(|f| f.kind == Kind::Unclassified && f.table.as_ref() == Some(&name))
    };
    let entities = entity::proposed(plan, catalog);
    catalog
        .foreign_keys
        .iter()
        .filter(|key| !catalog.plan_tables.contains(&key.child))
        .filter_map(|key| {
            let (child, parent) = (catalog.table(key.child)?, catalog.table(key.parent)?);
            let entity = entities.get(&child.id).map_or_else(|| child.table.bare(), String::as_str);
            (!blocks(child)).then(|| warning(plan, cascade, entity, key, child, parent))
        })
        .collect()
}

fn warning(
    plan: &Plan,
    cascade: Option<&Cascade>,
    entity: &str,
    key: &ForeignKey,
    child: &TableInfo,
    parent: &TableInfo,
) -> Finding {
    let kept = plan.keep.iter().any(|k| child.declared.contains(&k.table));
    let global = child.as_global(plan);
    let name = child.table.name();
    let checks = cascade.and_then(|c| c.preflight.references.as_ref()).into_iter().flat_map(Query::subjects);
    let path = checks
        .filter(|c| c.constraint == key.name && c.table == name && c.path.len() > 2)
        .map(|c| format!("; the path to the organization is {}", c.path.join(" -> ")))
        .next()
        .unwrap_or_default();
    let effect = if key.on_delete.changes_rows() { ", because PostgreSQL would change these rows" } else { "" };
    let message = format!(
        "`{name}` {} refers to `{}` (constraint {}, ON DELETE {}), but the plan {}: the operator cannot delete an organization that has rows there{effect}{path}",
        listed(&key.child_columns),
        parent.table.name(),
        key.name,
        key.on_delete,
        match global {
            _ if kept => "keeps it",
            Some(_) => "lists it as global",
            None => "does not name it",
        },
    );
    let (kind, remedy) = if kept {
        let drop = format!(
            "ALTER TABLE {} DROP CONSTRAINT {}; -- or detach the rows of each organization before you delete it",
            key.partition.as_ref().unwrap_or(&child.table),
            Column::new(&key.name)
        );
        (Kind::KeptReference, drop)
    } else {
        let keep = format!("keep {{table: {}, reason: ...}}", scalar(&name));
        let step = step(plan, entity, key, child, parent).map(|step| format!("step {step} or a ")).unwrap_or_default();
        (
            Kind::UndeclaredReference,
            format!("{}add a {step}{keep} to the plan (cascade)", global.map(Plan::not_global).unwrap_or_default()),
        )
    };
    Finding {
        columns: key.child_columns.clone(),
        constraint: Some(key.name.clone()),
        remedy: Some(remedy),
        ..Finding::warning(kind, child, message)
    }
}

/// The step that would delete the referring rows. Returns `None` if only a person can know how they belong to an
/// organization.
fn step(plan: &Plan, entity: &str, key: &ForeignKey, child: &TableInfo, parent: &TableInfo) -> Option<String> {
    let head = format!("entity: {}, table: {}", scalar(entity), scalar(&child.table.name()));
    let of_organization = parent.declared.contains(&plan.organization.table);
    if of_organization && key.parent_columns == [plan.organization.key.clone()] {
        return Some(format!("{{{head}, organization: {}}}", scalar(&key.child_columns[0])));
    }
    let entity_of_parent = &plan.steps.iter().find(|s| parent.declared.contains(&s.table))?.entity;
    let columns = match key.child_columns.as_slice() {
        [only] => format!("column: {}", scalar(only)),
        several => {
            let pairs: Vec<String> =
                several.iter().zip(&key.parent_columns).map(|(c, p)| format!("{}: {}", scalar(c), scalar(p))).collect();
            format!("columns: {{{}}}", pairs.join(", "))
        }
    };
    Some(format!("{{{head}, parent: {}, {columns}}}", scalar(entity_of_parent)))
}
