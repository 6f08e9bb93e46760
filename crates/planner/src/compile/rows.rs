//! Which rows of a step's table belong to the organization.

use super::ownership::parents_first;
use super::resolve::{Resolved, Steps};
use super::types::compared_as;
use crate::catalog::TableInfo;
use crate::identifier::Column;
use crate::root::Root;
use crate::row_set::{Exclusive, Link, Pair, RowSet};
use crate::step::{PerStep, StepId};

/// The rows of each step. Where all columns by which a row is found were captured of its parent, `captured` says so, it is
/// found by them: the parent may be gone.
pub(super) fn row_sets(steps: &Steps<'_>, root: &Root, captured: &PerStep<Vec<String>>) -> PerStep<RowSet> {
    let is_captured =
        |parent: StepId, pairs: &[(String, String)]| pairs.iter().all(|(_, column)| captured[parent].contains(column));
    steps.map(|id, _| row_set(steps, root, id, &is_captured))
}

/// The rows of each step before the first delete: only the keys of the rows to which only the organization's rows refer are
/// captured.
pub(super) fn live_row_sets(steps: &Steps<'_>, root: &Root) -> PerStep<RowSet> {
    let is_captured = |parent: StepId, pairs: &[(String, String)]| {
        let key = steps[parent].referenced.as_ref().map(|referenced| &referenced.key);
        key.is_some_and(|key| pairs.iter().map(|(_, column)| column).eq(key))
    };
    steps.map(|id, _| row_set(steps, root, id, &is_captured))
}

/// The rows of each step, by parents that are there and by those that were captured.
pub(super) fn late_row_sets(steps: &Steps<'_>, root: &Root, captured: &PerStep<Vec<String>>) -> PerStep<RowSet> {
    let mut sets = row_sets(steps, root, captured);
    for id in parents_first(steps) {
        let parents = through(steps, id, &sets);
        if let (RowSet::Through(links), RowSet::Through(present)) = (&mut sets[id], parents) {
            // Rows to which only the organization's rows refer are known by their captured keys alone.
            let present = present.into_iter().filter(|link| steps[link.parent].referenced.is_none());
            links.retain(|link| link.captured);
            links.extend(present);
        }
    }
    sets
}

fn row_set(
    steps: &Steps<'_>,
    root: &Root,
    id: StepId,
    is_captured: &impl Fn(StepId, &[(String, String)]) -> bool,
) -> RowSet {
    let step = &steps[id];
    if let Some(column) = &step.organization {
        let type_name = compared_as(&type_of(step.info, column), &root.key_type);
        return RowSet::Direct { column: Column::new(column), type_name };
    }
    if let Some(referenced) = &step.referenced {
        let key = referenced.key.iter().map(|c| (Column::new(c), type_of(step.info, c))).collect();
        return RowSet::Exclusive(Exclusive { step: id, table: step.info.table.clone(), key, outside: Vec::new() });
    }
    let link = |(parent, pairs): &(StepId, Vec<(String, String)>)| Link {
        captured: is_captured(*parent, pairs),
        ..link(steps, step, *parent, pairs, row_set(steps, root, *parent, is_captured))
    };
    RowSet::Through(step.links.iter().map(link).collect())
}

/// The rows of a step that are found by its parents' rows, which are these.
pub(super) fn through(steps: &Steps<'_>, id: StepId, rows: &PerStep<RowSet>) -> RowSet {
    let step = &steps[id];
    RowSet::Through(
        step.links.iter().map(|(parent, pairs)| link(steps, step, *parent, pairs, rows[*parent].clone())).collect(),
    )
}

fn link(steps: &Steps<'_>, step: &Resolved<'_>, parent: StepId, pairs: &[(String, String)], rows: RowSet) -> Link {
    Link {
        parent,
        table: steps[parent].info.table.clone(),
        rows,
        pairs: pairs.iter().map(|(child, column)| pair((step.info, child), (steps[parent].info, column))).collect(),
        captured: false,
        new: false,
    }
}

/// A column with the column whose values it is compared with.
pub(super) fn pair((child, column): (&TableInfo, &str), (parent, referred): (&TableInfo, &str)) -> Pair {
    let parent_type = type_of(parent, referred);
    Pair {
        child: Column::new(column),
        child_type: compared_as(&type_of(child, column), &parent_type),
        parent: Column::new(referred),
        parent_type,
    }
}

/// The type of a column.
pub(super) fn type_of(info: &TableInfo, column: &str) -> String {
    info.column(column).map_or_else(|| "text".to_owned(), |c| c.type_name.clone())
}
