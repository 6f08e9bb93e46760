//! Which relations the cascade cannot delete from.

use super::faults::Collector;
use crate::catalog::{Catalog, TableInfo, TableProperties};
use crate::plan::Plan;

/// Reports relations of the plan whose delete reaches rows that the plan does not know, and tables that the plan both
/// deletes from and keeps.
pub(super) fn report_relations(plan: &Plan, catalog: &Catalog, faults: &mut Collector) {
    let of_plan = |name: &String| *name == plan.organization.table || plan.steps.iter().any(|s| s.table == *name);
    let deleted: Vec<&TableInfo> = catalog.tables.iter().filter(|t| t.declared.iter().any(of_plan)).collect();
    let kept = plan.keep.iter().map(|k| (&k.table, "cascade.keep", Some(&k.reason)));
    for (declared, list, reason) in kept.chain(plan.global.iter().map(|name| (name, "cascade.global", None))) {
        let Some(left) = catalog.declared(declared) else { continue };
        let whole = catalog.properties(left.id).and_then(|t| t.partition_of.as_ref());
        if let Some(from) = deleted.iter().find(|t| t.id == left.id || Some(&t.table.name()) == whole) {
            let (name, from) = (left.table.name(), from.table.name());
            let but = if name == from {
                "the plan also deletes from it".to_owned()
            } else {
                format!("it is a partition of `{from}`, from which the plan deletes")
            };
            let leaves = match reason {
                Some(reason) => format!("keeps `{name}` ({reason})"),
                None => format!("lists `{name}` as global"),
            };
            faults.schema(
                format!("the plan {leaves}, but {but}"),
                Some(&name),
                Some(format!("remove `{declared}` from `{list}`, or remove `{from}` from the steps")),
            );
        }
    }
    for table in deleted {
        let name = table.table.name();
        for (message, remedy) in catalog.properties(table.id).map(|t| obstacles(&name, t)).unwrap_or_default() {
            faults.schema(message, Some(&name), Some(remedy));
        }
    }
}

/// Why the cascade cannot delete from the relation: each message with its remedy.
fn obstacles(name: &str, properties: &TableProperties) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for table in &properties.foreign {
        // PostgreSQL cannot lock it, and the other server commits on its own.
        let below = if table == name { String::new() } else { format!("a delete from `{name}` reaches `{table}`: ") };
        found.push((
            format!(
                "{below}`{table}` is a foreign table, whose rows PostgreSQL cannot lock and a rollback may not restore"
            ),
            format!("remove `{name}` from the plan (cascade), and delete its rows on the server that stores them"),
        ));
    }
    if let Some(whole) = &properties.partition_of {
        // Foreign keys to the whole table hold for the partition, but in the catalogue only the whole table has them.
        found.push((
            format!("`{name}` is a partition of `{whole}`"),
            format!("name `{whole}` in the plan (cascade) instead of its partitions"),
        ));
    }
    if !properties.inheritance_children.is_empty() {
        // A delete also deletes the rows of the children, for which no key and no foreign key of the table holds.
        let children = properties.inheritance_children.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
        found.push((
            format!("a delete from `{name}` reaches the tables that inherit from it ({children}), but no key or foreign key of `{name}` holds for them"),
            format!("make them partitions of `{name}`, or end the inheritance (ALTER TABLE ... NO INHERIT ...) and name each of them in the plan (cascade)"),
        ));
    }
    for table in &properties.reads {
        // The view changes while rows of that table are deleted: it could hide rows before the cascade deletes them.
        found.push((
            format!("the view `{name}` reads `{table}`, and the plan deletes from that table"),
            format!("change `{name}` so that it computes its columns from its own rows alone, for example with CASE WHEN subject ~ '^org:[0-9]+$' THEN substr(subject, 5)::bigint END"),
        ));
    }
    for key in &properties.below {
        found.push((
            format!(
                "a delete through the view `{name}` changes rows of `{}` by the constraint {} (ON DELETE {}), and the operator cannot check those rows first",
                key.child,
                key.name,
                key.on_delete
            ),
            format!("add `{}` and `{}` to the plan (cascade)", key.parent, key.child),
        ));
    }
    found
}
