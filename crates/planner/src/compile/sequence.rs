//! The order in which tables are deleted from, as far as foreign keys leave a choice, and the references that must be set
//! to NULL first because they leave none.

use super::faults::Collector;
use super::resolve::{Resolved, Steps};
use crate::cascade::Detach;
use crate::catalog::{Catalog, Enforcement, ForeignKey, OnDelete, TableId, TableInfo};
use crate::identifier::Column;
use crate::order::{self, Edge};
use crate::root::Root;
use crate::statement::{KeySource, RowSet, Writer, any_of};
use crate::step::{PerStep, StepId};

/// What to run in which order.
pub(super) struct Sequence<'a> {
    /// The tables in the real order.
    pub(super) tables: Vec<TableSteps<'a>>,
    /// Foreign keys that no order honours, each with its columns that can be NULL.
    pub(super) broken: Vec<(&'a ForeignKey, Vec<String>)>,
}

/// A table with its steps, as declared.
#[derive(Clone)]
pub(super) struct TableSteps<'a> {
    pub(super) info: &'a TableInfo,
    pub(super) first: StepId,
    /// All of them, the first included.
    pub(super) steps: Vec<StepId>,
}

impl TableSteps<'_> {
    /// The rows of each of its steps.
    pub(super) fn sets<'s>(&self, rows: &'s PerStep<RowSet>) -> Vec<&'s RowSet> {
        self.steps.iter().map(|step| &rows[*step]).collect()
    }
}

impl Sequence<'_> {
    /// The place of a step in the order.
    pub(super) fn place(&self, step: StepId) -> Option<usize> {
        self.tables.iter().position(|table| table.steps.contains(&step))
    }
}

/// Finds the order. Returns `None` if there is none; the fault says why.
pub(super) fn find<'a>(
    steps: &Steps<'a>,
    catalog: &'a Catalog,
    root: &Root,
    faults: &mut Collector,
) -> Option<Sequence<'a>> {
    let mut tables: Vec<TableSteps<'a>> = Vec::new();
    for (i, step) in steps.iter() {
        match tables.iter_mut().find(|t| t.info.id == step.info.id) {
            Some(table) => table.steps.push(i),
            None => tables.push(TableSteps { info: step.info, first: i, steps: vec![i] }),
        }
    }
    let node = |id: TableId| tables.iter().position(|t| t.info.id == id);
    let (mut edges, mut broken) = (Vec::new(), Vec::new());
    for (number, key) in catalog.foreign_keys.iter().enumerate() {
        // A check at COMMIT asks for no order.
        if key.enforcement == Enforcement::NotEnforced || key.on_delete == OnDelete::NoAction && key.deferrable {
            continue;
        }
        let (Some(child), Some(parent)) = (catalog.table(key.child), node(key.parent)) else { continue };
        let hard = match key.on_delete {
            OnDelete::SetNull => is_path(steps, key) || nullable(child, key).len() < key.child_columns.len(),
            _ => true,
        };
        if key.child == root.id {
            // The organization goes last, so whatever it refers to goes before it.
            if hard {
                let columns = detachable(steps, catalog, root, key);
                if columns.is_empty() && may_default(steps, key) {
                    continue;
                }
                if columns.is_empty() {
                    refers_to_a_step(child, &steps[tables[parent].first], key, faults);
                    return None;
                }
                broken.push((key, columns));
            }
        } else if let Some(first) = node(key.child) {
            edges.push(Edge { first, then: parent, hard, key: number });
        }
    }
    loop {
        let cycle = match order::order(tables.len(), &edges) {
            Ok(order) => {
                let tables = order.into_iter().map(|i| tables[i].clone()).collect();
                return Some(Sequence { tables, broken });
            }
            Err(cycle) => cycle,
        };
        let keys: Vec<&ForeignKey> = cycle.iter().map(|e| &catalog.foreign_keys[e.key]).collect();
        let way_out = cycle.iter().zip(&keys).find_map(|(edge, key)| {
            let columns = detachable(steps, catalog, root, key);
            (!columns.is_empty()).then_some((edge.key, *key, columns))
        });
        let number = if let Some((number, key, columns)) = way_out {
            broken.push((key, columns));
            number
        } else if let Some((edge, _)) = cycle.iter().zip(&keys).find(|(_, key)| may_default(steps, key)) {
            edge.key
        } else {
            no_order(catalog, &keys, faults);
            return None;
        };
        edges.retain(|e| e.key != number);
    }
}

/// Whether rows are found by a column of this foreign key: setting it to NULL would lose them.
fn is_path(steps: &Steps<'_>, key: &ForeignKey) -> bool {
    key.child_columns.iter().any(|column| finds_rows(steps, key.child, column))
}

/// Whether the database may be left to set the referring columns to their default. It fails where no row fits.
fn may_default(steps: &Steps<'_>, key: &ForeignKey) -> bool {
    key.on_delete == OnDelete::SetDefault && !is_path(steps, key)
}

/// Whether rows of this table, or their child rows, are found by this column.
fn finds_rows(steps: &Steps<'_>, table: TableId, column: &String) -> bool {
    steps.values().any(|step| {
        let own = step.info.id == table
            && (step.organization.as_ref() == Some(column)
                || step.links.iter().any(|(_, pairs)| pairs.iter().any(|(child, _)| child == column)));
        let below = step
            .links
            .iter()
            .any(|(parent, pairs)| steps[*parent].info.id == table && pairs.iter().any(|(_, parent)| parent == column));
        own || below
    })
}

fn nullable<'k>(child: &TableInfo, key: &'k ForeignKey) -> Vec<&'k String> {
    let null = |name: &&String| child.column(name).is_some_and(|c| c.nullable);
    key.child_columns.iter().filter(null).collect()
}

/// The columns of a foreign key that can be set to NULL without any other effect than that the reference is gone. One is
/// enough for that.
fn detachable(steps: &Steps<'_>, catalog: &Catalog, root: &Root, key: &ForeignKey) -> Vec<String> {
    let Some(child) = catalog.table(key.child) else { return Vec::new() };
    let referred = |column: &String| {
        catalog.foreign_keys.iter().any(|k| k.parent == key.child && k.parent_columns.contains(column))
    };
    nullable(child, key)
        .into_iter()
        .filter(|c| !(key.child == root.id && *c == root.key.name()))
        .filter(|c| !finds_rows(steps, key.child, c) && !referred(c))
        .cloned()
        .collect()
}

/// The statements that set the broken references of exactly the organization's rows to NULL.
pub(super) fn detaches(
    sequence: &Sequence<'_>,
    steps: &Steps<'_>,
    catalog: &Catalog,
    root: &Root,
    held: &PerStep<RowSet>,
    faults: &mut Collector,
) -> Vec<Detach> {
    let organization = root.rows();
    let mut found = Vec::new();
    for (key, columns) in &sequence.broken {
        let Some(child) = catalog.table(key.child) else { continue };
        faults.updates(child, columns);
        let sets: Vec<&RowSet> = if child.id == root.id {
            vec![&organization]
        } else {
            steps.of_table(child.id).map(|i| &held[i]).collect()
        };
        let mut writer = Writer::default();
        let rows = any_of(&sets, "t", &KeySource::Bound, &mut writer);
        let columns_sql: Vec<Column> = columns.iter().map(Column::new).collect();
        let set: Vec<String> = columns_sql.iter().map(|c| format!("{c} = NULL")).collect();
        let unset: Vec<String> = columns_sql.iter().map(|c| format!("t.{c} IS NOT NULL")).collect();
        let sql = format!("UPDATE {} t SET {} WHERE {rows} AND ({})", child.table, set.join(", "), unset.join(" OR "));
        found.push(Detach {
            table: child.table.name(),
            columns: columns.clone(),
            constraint: key.name.clone(),
            statement: writer.finish(sql),
        });
    }
    found
}

fn no_order(catalog: &Catalog, cycle: &[&ForeignKey], faults: &mut Collector) {
    let table = |id: TableId| catalog.table(id).map(|t| t.table.name()).unwrap_or_default();
    let way: Vec<String> = cycle
        .iter()
        .map(|key| {
            let (child, parent) = (table(key.child), table(key.parent));
            format!("`{child}` refers to `{parent}` (constraint {}, ON DELETE {})", key.name, key.on_delete)
        })
        .collect();
    let easiest = cycle.iter().find(|k| k.on_delete == OnDelete::NoAction).or_else(|| cycle.first());
    faults.schema(
        format!(
            "foreign keys form a cycle, and none of them can be NULL or checked at COMMIT, so no order of deletion exists: {}",
            way.join(", ")
        ),
        easiest.map(|key| table(key.child)).as_deref(),
        easiest.and_then(|key| make_deferrable(catalog, key)),
    );
}

fn refers_to_a_step(child: &TableInfo, parent: &Resolved<'_>, key: &ForeignKey, faults: &mut Collector) {
    let column = key.child_columns.first().map(Column::new);
    faults.schema(
        format!(
            "the organization's own row refers to `{}` (constraint {}, ON DELETE {}) and the reference cannot be NULL, so they form a cycle in which neither can be deleted first",
            parent.step.table,
            key.name,
            key.on_delete
        ),
        Some(&parent.step.table),
        column.map(|column| format!("ALTER TABLE {} ALTER COLUMN {column} DROP NOT NULL;", child.table)),
    );
}

/// The SQL after which this foreign key asks for no order.
fn make_deferrable(catalog: &Catalog, key: &ForeignKey) -> Option<String> {
    let (child, parent) = (&catalog.table(key.child)?.table, &catalog.table(key.parent)?.table);
    let child = key.partition.as_ref().unwrap_or(child);
    let name = Column::new(&key.name);
    if key.on_delete == OnDelete::NoAction {
        return Some(format!("ALTER TABLE {child} ALTER CONSTRAINT {name} DEFERRABLE;"));
    }
    let list = |columns: &[String]| columns.iter().map(|c| Column::new(c).to_string()).collect::<Vec<_>>().join(", ");
    Some(format!(
        "ALTER TABLE {child} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {parent} ({}) DEFERRABLE;",
        list(&key.child_columns),
        list(&key.parent_columns)
    ))
}
