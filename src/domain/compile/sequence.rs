//! In which order the steps run, as far as foreign keys leave a choice.

use super::faults::Faults;
use super::resolve::Resolved;
use super::root::Root;
use crate::domain::catalog::{Catalog, ForeignKey, OnDelete};
use crate::domain::identifier::Column;
use crate::domain::order::{self, Edge};

pub(super) fn find_order(
    steps: &[Resolved<'_>],
    catalog: &Catalog,
    root: &Root,
    faults: &mut Faults,
) -> Option<Vec<usize>> {
    let mut edges = Vec::new();
    for key in catalog.foreign_keys.iter().filter(|k| k.enforced) {
        // A check at COMMIT asks for no order.
        if key.on_delete == OnDelete::NoAction && key.deferrable {
            continue;
        }
        if key.child == root.id && key.parent != root.id {
            if !matches!(key.on_delete, OnDelete::SetNull | OnDelete::SetDefault) {
                refers_to_a_step(steps, key, faults);
                return None;
            }
            continue;
        }
        for (c, child) in steps.iter().enumerate().filter(|(_, s)| s.info.id == key.child) {
            for (p, _) in steps.iter().enumerate().filter(|(_, s)| s.info.id == key.parent) {
                edges.push(Edge {
                    first: c,
                    then: p,
                    hard: !matches!(key.on_delete, OnDelete::SetNull | OnDelete::SetDefault) || is_path(child, key),
                    constraint: key.name.clone(),
                });
            }
        }
    }
    match order::order(steps.len(), &edges) {
        Ok(order) => Some(order),
        Err(cycle) => {
            let way: Vec<String> = cycle
                .iter()
                .map(|e| {
                    format!(
                        "`{}` ({}) refers to `{}`",
                        steps[e.first].step.table, e.constraint, steps[e.then].step.table
                    )
                })
                .collect();
            let first = cycle.first();
            faults.schema(
                format!("foreign keys form a cycle, so no order of deletion exists: {}", way.join(", ")),
                first.map(|e| steps[e.first].step.table.as_str()),
                first.map(|e| {
                    format!(
                        "ALTER TABLE {} ALTER CONSTRAINT {} DEFERRABLE;",
                        steps[e.first].info.table,
                        Column::new(&e.constraint)
                    )
                }),
            );
            None
        }
    }
}

fn refers_to_a_step(steps: &[Resolved<'_>], key: &ForeignKey, faults: &mut Faults) {
    let Some(parent) = steps.iter().find(|s| s.info.id == key.parent) else { return };
    faults.schema(
        format!(
            "the organization's own row refers to `{}` (constraint {}, ON DELETE {}), so neither can go first",
            parent.step.table,
            key.name,
            key.on_delete.as_str()
        ),
        Some(&parent.step.table),
        Some(format!(
            "make the constraint {} DEFERRABLE with ON DELETE NO ACTION, or ON DELETE SET NULL",
            Column::new(&key.name)
        )),
    );
}

/// Whether this foreign key is how the step's rows are found: setting it to NULL would lose them.
fn is_path(child: &Resolved<'_>, key: &ForeignKey) -> bool {
    child.organization.iter().any(|c| key.child_columns.contains(c))
        || child.links.iter().any(|(_, pairs)| pairs.iter().any(|(c, _)| key.child_columns.contains(c)))
}
