//! The order in which tables are deleted from, as far as foreign keys leave a choice, and which tables are deleted from by
//! one statement because foreign keys leave none.

use super::columns::{finds_rows, nullable};
use super::detach;
use super::resolve::Steps;
use crate::catalog::{Catalog, Enforcement, ForeignKey, OnDelete, TableId, TableInfo};
use crate::order::{self, Edge};
use crate::root::Root;
use crate::row_set::RowSet;
use crate::step::{PerStep, StepId};

/// What to run in which order.
pub(super) struct Sequence<'a> {
    /// What each statement deletes from, in the real order. The organization itself is part of exactly one.
    pub(super) sets: Vec<Set<'a>>,
    /// Foreign keys whose references are set to NULL first, each with its columns that can be NULL.
    pub(super) broken: Vec<(&'a ForeignKey, Vec<String>)>,
}

/// Tables that one statement deletes from: one, or several that refer to each other in a cycle.
pub(super) struct Set<'a> {
    /// As declared. Empty if it is the organization alone.
    pub(super) tables: Vec<TableSteps<'a>>,
    /// Whether the statement deletes the organization itself, too.
    pub(super) organization: bool,
}

/// A table with its steps, as declared.
#[derive(Clone)]
pub(super) struct TableSteps<'a> {
    pub(super) info: &'a TableInfo,
    pub(super) first: StepId,
    /// All of them, the first included.
    pub(super) steps: Vec<StepId>,
}

impl Set<'_> {
    /// Whether the statement deletes from one table, and nothing else.
    pub(super) fn is_single(&self) -> bool {
        self.tables.len() + usize::from(self.organization) == 1
    }

    /// The set of those of its tables that are wanted, without the organization. Returns `None` if there are none.
    pub(super) fn only(&self, wanted: impl Fn(&TableSteps<'_>) -> bool) -> Option<Self> {
        let tables: Vec<_> = self.tables.iter().filter(|same| wanted(same)).cloned().collect();
        (!tables.is_empty()).then_some(Self { tables, organization: false })
    }
}

impl TableSteps<'_> {
    /// The rows of each of its steps.
    pub(super) fn sets<'s>(&self, rows: &'s PerStep<RowSet>) -> Vec<&'s RowSet> {
        self.steps.iter().map(|step| &rows[*step]).collect()
    }
}

impl<'a> Sequence<'a> {
    /// The tables in the real order.
    pub(super) fn tables(&self) -> impl Iterator<Item = &TableSteps<'a>> {
        self.sets.iter().flat_map(|set| &set.tables)
    }

    /// The place of the statement that deletes the rows of this step.
    pub(super) fn place(&self, step: StepId) -> Option<usize> {
        self.sets.iter().position(|set| set.tables.iter().any(|table| table.steps.contains(&step)))
    }
}

/// Finds the order. There always is one: tables that refer to each other in a cycle go by one statement, at whose end
/// PostgreSQL checks the foreign keys that are checked at once, `RESTRICT` among them.
pub(super) fn find<'a>(steps: &Steps<'a>, catalog: &'a Catalog, root: &Root) -> Sequence<'a> {
    let mut tables: Vec<TableSteps<'a>> = Vec::new();
    for (i, step) in steps.iter() {
        match tables.iter_mut().find(|t| t.info.id == step.info.id) {
            Some(table) => table.steps.push(i),
            None => tables.push(TableSteps { info: step.info, first: i, steps: vec![i] }),
        }
    }
    // The organizations' own table counts as declared last.
    let organization = tables.len();
    let ids: Vec<TableId> = tables.iter().map(|t| t.info.id).chain([root.id]).collect();
    let mut edges = edges(steps, catalog, root, &ids);
    let mut broken = Vec::new();
    // A trigger may read the organization, so its table goes first if a cycle does not forbid it.
    let triggers = (0..organization).filter(|&node| detach::has_trigger(catalog, ids[node]));
    let wishes: Vec<Edge> = triggers.map(|first| Edge { first, then: organization, hard: true, key: None }).collect();
    for wishes in [Vec::new(), wishes] {
        let wanted: Vec<Edge> = edges.iter().cloned().chain(wishes).collect();
        for set in order::sets(ids.len(), &wanted).into_iter().filter(|set| set.len() > 1) {
            if !set.iter().any(|&node| detach::is_better(catalog, ids[node], root)) {
                continue;
            }
            let inside = |e: &&Edge| set.contains(&e.first) && set.contains(&e.then);
            let inside = wanted.iter().filter(inside).cloned().collect();
            let keys = detach::way_out(steps, catalog, root, (ids.len(), inside)).unwrap_or_default();
            edges.retain(|e| !keys.iter().any(|(number, _)| Some(*number) == e.key));
            broken.extend(keys.into_iter().map(|(number, columns)| (&catalog.foreign_keys[number], columns)));
        }
    }
    let sets = order::order(ids.len(), &edges).into_iter().map(|set| Set {
        tables: set.iter().filter_map(|&node| tables.get(node)).cloned().collect(),
        organization: set.contains(&organization),
    });
    Sequence { sets: sets.collect(), broken }
}

/// The order that the foreign keys among these tables require.
fn edges(steps: &Steps<'_>, catalog: &Catalog, root: &Root, tables: &[TableId]) -> Vec<Edge> {
    let node = |id: TableId| tables.iter().position(|table| *table == id);
    let edge = |(number, key): (usize, &ForeignKey)| {
        // A check at COMMIT asks for no order.
        if key.enforcement == Enforcement::NotEnforced || key.on_delete == OnDelete::NoAction && key.deferrable {
            return None;
        }
        let (first, then) = (node(key.child)?, node(key.parent)?);
        let hard = match key.on_delete {
            OnDelete::SetNull => {
                let child = catalog.table(key.child)?;
                is_path(steps, key) || nullable(child, key).len() < key.child_columns.len()
            }
            _ => true,
        };
        // The organization goes before its rows only if a hard edge requires it.
        (hard || key.child != root.id).then_some(Edge { first, then, hard, key: Some(number) })
    };
    catalog.foreign_keys.iter().enumerate().filter_map(edge).collect()
}

/// Whether rows are found by a column of this foreign key: setting it to NULL would lose them.
fn is_path(steps: &Steps<'_>, key: &ForeignKey) -> bool {
    key.child_columns.iter().any(|column| finds_rows(steps, key.child, column))
}
