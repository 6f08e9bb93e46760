//! Which relations can be deleted from with what the plan promises.

use super::faults::Collector;
use crate::catalog::{Catalog, TableInfo, TableProperties};
use crate::plan::Plan;

/// Relations that the plan names and whose rows, or what hangs on them, escape what the plan knows.
pub(super) fn find(plan: &Plan, catalog: &Catalog, faults: &mut Collector) {
    let of_plan = |name: &String| *name == plan.organization.table || plan.steps.iter().any(|s| s.table == *name);
    let deleted: Vec<&TableInfo> = catalog.tables.iter().filter(|t| t.declared.iter().any(of_plan)).collect();
    for keep in &plan.keep {
        let Some(kept) = catalog.declared(&keep.table) else { continue };
        let whole = catalog.properties(kept.id).and_then(|t| t.partition_of.as_ref());
        if let Some(from) = deleted.iter().find(|t| t.id == kept.id || Some(&t.table.name()) == whole) {
            let (name, from) = (kept.table.name(), from.table.name());
            let why =
                if name == from { "is a step as well" } else { "is a partition of one that the plan deletes from" };
            faults.schema(
                format!("`{name}` is kept ({}), and {why}", keep.reason),
                Some(&name),
                Some(format!("take `{}` off the list `cascade.keep`, or `{from}` out of the steps", keep.table)),
            );
        }
    }
    for table in deleted {
        let name = table.table.name();
        for (message, remedy) in catalog.properties(table.id).map(|t| refused(&name, t)).unwrap_or_default() {
            faults.schema(message, Some(&name), Some(remedy));
        }
    }
}

fn refused(name: &str, properties: &TableProperties) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    for table in &properties.foreign {
        // PostgreSQL cannot lock it, and the other server commits by itself.
        let below = if table == name { String::new() } else { format!("a delete from `{name}` reaches `{table}`: ") };
        refused.push((
            format!("{below}`{table}` is a foreign table: its rows cannot be locked, and are not kept when the rest is rolled back"),
            format!("take `{name}` out of the plan (cascade), and erase its rows on the server that holds them"),
        ));
    }
    if let Some(whole) = &properties.partition_of {
        // Foreign keys to the whole hold for the part, and are the whole's alone in the catalogue.
        refused.push((
            format!("`{name}` is a partition of `{whole}`"),
            format!("name `{whole}` in the plan (cascade) instead of its partitions"),
        ));
    }
    if !properties.inheritance_children.is_empty() {
        // No key and no foreign key of a table holds for the tables that inherit from it; a delete reaches their rows.
        let heirs = properties.inheritance_children.iter().map(|h| format!("`{h}`")).collect::<Vec<_>>().join(", ");
        refused.push((
            format!("a delete from `{name}` reaches the tables that inherit from it ({heirs}), and no key or foreign key of `{name}` holds for them"),
            format!("make them partitions of `{name}`, or end the inheritance (ALTER TABLE ... NO INHERIT ...) and name each in the plan (cascade)"),
        ));
    }
    for table in &properties.reads {
        // What it shows changes while the rows of that table go: rows would be lost from sight before they are deleted.
        refused.push((
            format!("the view `{name}` reads `{table}`, from which the plan deletes"),
            format!("let `{name}` compute its columns from its own rows alone, such as CASE WHEN subject ~ '^org:[0-9]+$' THEN substr(subject, 5)::bigint END"),
        ));
    }
    for key in &properties.below {
        refused.push((
            format!(
                "a delete through the view `{name}` reaches rows of `{}` by the constraint {} (ON DELETE {}), which nothing looks at before",
                key.child,
                key.name,
                key.on_delete.as_str()
            ),
            format!("name `{}` and `{}` in the plan (cascade)", key.parent, key.child),
        ));
    }
    refused
}
