//! How a step's rows belong to the organization: foreign keys that protect them, and parents whose keys must be captured.

use super::resolve::{Resolved, Steps};
use super::sequence::Sequence;
use crate::catalog::{Catalog, ForeignKey, OnDelete, TableId, TableInfo};
use crate::root::Root;
use crate::step::{PerStep, StepId};

/// For each step, whether a chain of enforced foreign keys leads from its rows to the organization's row.
pub(super) fn protected_steps(steps: &Steps<'_>, catalog: &Catalog, root: &Root) -> PerStep<bool> {
    let enforced = |child: &TableInfo, parent: TableId, pairs: &[(String, String)]| {
        let mut keys = catalog.foreign_keys.iter().filter(|k| k.child == child.id && k.parent == parent);
        keys.any(|k| k.holds() && k.joins(pairs))
    };
    let mut protected = steps.map(|_, _| false);
    // Parents may be declared after their children: repeat until nothing changes.
    loop {
        let mut changed = false;
        for (i, step) in steps.iter() {
            if protected[i] {
                continue;
            }
            let now = match (&step.organization, &step.referenced) {
                (Some(column), _) => enforced(step.info, root.id, &[(column.clone(), root.key.name().to_owned())]),
                // Its rows are locked. A row can join them only if a new row refers to it.
                (None, Some(referenced)) => referenced.referrers.iter().all(|(referrer, _)| protected[*referrer]),
                (None, None) => {
                    step.links.iter().all(|(p, pairs)| protected[*p] && enforced(step.info, steps[*p].info.id, pairs))
                }
            };
            if now {
                protected[i] = true;
                changed = true;
            }
        }
        if !changed {
            return protected;
        }
    }
}

/// For each step the columns that must be captured before the first delete: those by which a child is found that is
/// deleted later, or that no foreign key protects, so that it can be counted again when its parents are gone.
pub(super) fn captured_columns(
    steps: &Steps<'_>,
    sequence: &Sequence<'_>,
    protected: &PerStep<bool>,
) -> PerStep<Vec<String>> {
    let key = |step: &Resolved<'_>| step.referenced.as_ref().map(|r| r.key.clone());
    let mut captured = steps.map(|_, step| key(step).unwrap_or_default());
    for (child, step) in steps.iter() {
        for (parent, pairs) in &step.links {
            // Of some parents, only their captured keys tell which rows these are.
            let only_captured = steps[*parent].referenced.is_some();
            if only_captured || sequence.place(child) > sequence.place(*parent) || !protected[child] {
                add(&mut captured[*parent], pairs);
            }
        }
    }
    captured
}

/// The captured columns, and after them the columns of every parent by which a child is found. A child's rows are deleted
/// because of their parent, so the parent must be gone in the end: if it has moved to another organization meanwhile, its
/// children were that organization's.
pub(super) fn parent_keys(
    steps: &Steps<'_>,
    captured: &PerStep<Vec<String>>,
    protected: &PerStep<bool>,
) -> PerStep<Vec<String>> {
    let mut keys = captured.clone();
    for (parent, pairs) in steps.values().flat_map(|child| &child.links) {
        add(&mut keys[*parent], pairs);
    }
    // Rows that appear during the deletion may refer to further rows, which must not be left behind.
    for (id, referenced) in steps.iter().filter_map(|(id, step)| Some((id, step.referenced.as_ref()?))) {
        for (referrer, pairs) in referenced.referrers.iter().filter(|_| !protected[id]) {
            for (column, _) in pairs {
                if !keys[*referrer].contains(column) {
                    keys[*referrer].push(column.clone());
                }
            }
        }
    }
    keys
}

/// Adds the parent's columns that are not there yet.
fn add(columns: &mut Vec<String>, pairs: &[(String, String)]) {
    for (_, column) in pairs {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
}

/// Parents whose rows must be locked before their children are deleted: deleting them would change or delete a child that
/// appeared since, and nothing would find that child, or its child rows, any more.
pub(super) fn parents_to_lock(steps: &Steps<'_>, catalog: &Catalog, protected: &PerStep<bool>) -> Vec<TableId> {
    let loses = |child: StepId, key: &ForeignKey| match key.on_delete {
        OnDelete::SetNull | OnDelete::SetDefault => true,
        OnDelete::Cascade => steps.ids().any(|i| !protected[i] && is_below(steps, i, child)),
        OnDelete::NoAction | OnDelete::Restrict => false,
    };
    let keys = catalog.foreign_keys.iter().filter(|key| {
        steps.iter().any(|(c, child)| {
            child.info.id == key.child
                && child.links.iter().any(|(p, pairs)| {
                    steps[*p].info.id == key.parent
                        && pairs.iter().any(|(column, _)| key.child_columns.contains(column))
                })
                && loses(c, key)
        })
    });
    keys.map(|key| key.parent).collect()
}

fn is_below(steps: &Steps<'_>, i: StepId, ancestor: StepId) -> bool {
    steps[i].links.iter().any(|(p, _)| *p == ancestor || is_below(steps, *p, ancestor))
}

/// All steps, those from which the rows of others are found before these.
pub(super) fn parents_first(steps: &Steps<'_>) -> Vec<StepId> {
    let mut order: Vec<StepId> = steps.ids().collect();
    order.sort_by_key(|step| (depth_of(steps, *step), *step));
    order
}

/// How many steps lead from the organization to this one.
fn depth_of(steps: &Steps<'_>, i: StepId) -> usize {
    let referrers = steps[i].referenced.iter().flat_map(|r| &r.referrers);
    steps[i].links.iter().chain(referrers).map(|(p, _)| depth_of(steps, *p) + 1).max().unwrap_or(0)
}
