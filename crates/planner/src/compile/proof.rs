//! What foreign keys prove about a deletion, so that nobody has to count it.
//!
//! A table is proven empty where an enforced foreign key of exactly the columns by which its rows are found leads to each of its
//! parents. When the parent's row goes, PostgreSQL itself searches the rows that refer to it, those of others that have
//! committed since among them, and refuses the delete if there is one (at once, at the end of the statement, or at COMMIT);
//! a session that is just adding one holds a lock on the parent's row. Afterwards no row can refer to it any more. A parent
//! whose row does not go is found by the count of captured keys that are still there. So by induction from the organization's
//! row, which exactly one delete removed, to the leaves: no row is left that is found by a parent that was the organization's.
//!
//! That holds for what PostgreSQL does by itself. A trigger or a rule can suppress a delete by which a foreign key takes rows
//! along (`ON DELETE CASCADE`), take rows along itself, or write rows past a foreign key. Where one may run, everything is
//! counted before and after.

use super::resolve::{Resolved, Steps};
use crate::catalog::{Catalog, OnDelete, Relation, TableId};
use crate::root::Root;
use crate::step::{PerStep, StepId};

/// Whether a trigger or a rule may change what the deletes do, or write something.
pub(super) fn may_interfere(steps: &Steps<'_>, catalog: &Catalog, root: &Root) -> bool {
    let inside = |id: TableId| id == root.id || steps.of_table(id).next().is_some();
    let interferes = |id: TableId| {
        catalog.properties(id).is_none_or(|table| {
            table.triggers.iter().any(|t| t.fires)
                || table.rules.iter().any(|r| r.fires)
                // Another server, the tables of a view and inheritance children have triggers of their own.
                || !matches!(table.relation, Relation::Table | Relation::Partitioned)
                || !table.foreign.is_empty()
                || !table.inheritance_children.is_empty()
        })
    };
    // An action runs triggers even if it finds no row: for UPDATE in the plan, for DELETE and UPDATE elsewhere.
    let acts = catalog.foreign_keys.iter().any(|key| {
        inside(key.parent)
            && (key.on_delete.detaches_rows() || (key.on_delete == OnDelete::Cascade && !inside(key.child)))
    });
    acts || interferes(root.id) || steps.values().any(|step| interferes(step.info.id))
}

/// For each step, whether foreign keys prove that no row of it is left once the organization's row and those of its parents are
/// gone. Only where nothing may interfere.
pub(super) fn proven(steps: &Steps<'_>, catalog: &Catalog, root: &Root) -> PerStep<bool> {
    let joined = |step: &Resolved<'_>, parent: TableId, pairs: &[(String, String)]| {
        let mut keys = catalog.foreign_keys.iter().filter(|k| k.child == step.info.id && k.parent == parent);
        keys.any(|k| k.holds() && k.joins(pairs))
    };
    let interferes = may_interfere(steps, catalog, root);
    steps.map(|_, step| {
        let by_parents = match (&step.organization, &step.referenced) {
            (Some(column), _) => joined(step, root.id, &[(column.clone(), root.key.name().to_owned())]),
            // By no parent at all: by what refers to it.
            (None, Some(_)) => false,
            (None, None) => step.links.iter().all(|(p, pairs)| joined(step, steps[*p].info.id, pairs)),
        };
        by_parents && !interferes
    })
}

/// Whether all steps of a step's table are proven.
pub(super) fn whole_table(steps: &Steps<'_>, proven: &PerStep<bool>, step: StepId) -> bool {
    steps.of_table(steps[step].info.id).all(|same| proven[same])
}
