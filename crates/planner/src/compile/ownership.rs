//! What ties a step's rows to the organization: foreign keys that fence them, and parents whose keys must be captured.

use super::resolve::Resolved;
use super::sequence::Sequence;
use crate::catalog::{Catalog, ForeignKey, OnDelete, TableId, TableInfo};
use crate::root::Root;

/// For each step, whether a chain of enforced foreign keys ties its rows to the organization's row.
pub(super) fn protected_steps(steps: &[Resolved<'_>], catalog: &Catalog, root: &Root) -> Vec<bool> {
    let tied = |child: &TableInfo, parent: u32, pairs: &[(&str, &str)]| {
        catalog.foreign_keys.iter().any(|k| {
            k.holds()
                && k.child == child.id
                && k.parent == parent
                && k.child_columns.len() == pairs.len()
                && k.child_columns.iter().zip(&k.parent_columns).all(|(c, p)| pairs.contains(&(c.as_str(), p.as_str())))
        })
    };
    let mut protected = vec![false; steps.len()];
    // Parents may be declared after their children: repeat until nothing changes.
    loop {
        let mut changed = false;
        for (i, step) in steps.iter().enumerate() {
            if protected[i] {
                continue;
            }
            let now = match &step.organization {
                Some(column) => tied(step.info, root.id, &[(column, root.key.name())]),
                None => step.links.iter().all(|(p, pairs)| {
                    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(c, k)| (c.as_str(), k.as_str())).collect();
                    protected[*p] && tied(step.info, steps[*p].info.id, &pairs)
                }),
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
/// deleted later, or that nothing fences, so that it can be counted again when its parents are gone.
pub(super) fn captured_columns(
    steps: &[Resolved<'_>],
    sequence: &Sequence<'_>,
    protected: &[bool],
) -> Vec<Vec<String>> {
    let mut captured = vec![Vec::new(); steps.len()];
    for (c, child) in steps.iter().enumerate() {
        for (p, pairs) in &child.links {
            if sequence.place(c) > sequence.place(*p) || !protected[c] {
                for (_, column) in pairs {
                    if !captured[*p].contains(column) {
                        captured[*p].push(column.clone());
                    }
                }
            }
        }
    }
    captured
}

/// The captured columns, and after them the columns of every parent by which a child is found. A child's rows are deleted
/// because of their parent, so the parent must be gone in the end: if it has moved to another organization meanwhile, its
/// children were that organization's.
pub(super) fn parent_keys(steps: &[Resolved<'_>], captured: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut keys = captured.to_vec();
    for (p, pairs) in steps.iter().flat_map(|child| &child.links) {
        for (_, column) in pairs {
            if !keys[*p].contains(column) {
                keys[*p].push(column.clone());
            }
        }
    }
    keys
}

/// Parents whose rows must be locked before their children are deleted: deleting them would change or delete a child that
/// appeared since, and nothing would find that child, or what is below it, any more.
pub(super) fn parents_to_lock(steps: &[Resolved<'_>], catalog: &Catalog, protected: &[bool]) -> Vec<TableId> {
    let loses = |child: usize, key: &ForeignKey| match key.on_delete {
        OnDelete::SetNull | OnDelete::SetDefault => true,
        OnDelete::Cascade => (0..steps.len()).any(|i| !protected[i] && is_below(steps, i, child)),
        OnDelete::NoAction | OnDelete::Restrict => false,
    };
    let keys = catalog.foreign_keys.iter().filter(|key| {
        steps.iter().enumerate().any(|(c, child)| {
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

fn is_below(steps: &[Resolved<'_>], i: usize, ancestor: usize) -> bool {
    steps[i].links.iter().any(|(p, _)| *p == ancestor || is_below(steps, *p, ancestor))
}

pub(super) fn depth_of(steps: &[Resolved<'_>], i: usize) -> usize {
    steps[i].links.iter().map(|(p, _)| depth_of(steps, *p) + 1).max().unwrap_or(0)
}
