//! References that are set to NULL before the first delete, so that tables which refer to each other in a cycle can be
//! deleted from one after the other. One statement for all of them is better, but not where a trigger expects to find the
//! rest in place, or changes rows that the same statement deletes.

use super::columns::{finds_rows, nullable};
use super::faults::Collector;
use super::resolve::Steps;

use crate::cascade::Detach;
use crate::catalog::{Catalog, ForeignKey, TableId};
use crate::identifier::Column;
use crate::order::{self, Edge};
use crate::root::Root;
use crate::row_set::{KeySource, RowSet, any_of};
use crate::statement::Writer;
use crate::step::PerStep;

/// Whether a trigger of the table fires on DELETE.
pub(super) fn has_trigger(catalog: &Catalog, table: TableId) -> bool {
    catalog.properties(table).is_some_and(|properties| properties.triggers.iter().any(|t| t.fires))
}

/// Whether a statement for this table alone is better than one for a cycle: a trigger fires on DELETE, or a rule adds to
/// the delete of the organization, which PostgreSQL accepts only in a statement of its own.
pub(super) fn is_better(catalog: &Catalog, table: TableId, root: &Root) -> bool {
    let rule = || catalog.properties(table).is_some_and(|properties| properties.rules.iter().any(|r| r.fires));
    has_trigger(catalog, table) || table == root.id && rule()
}

/// Foreign keys without which the edges form no cycle, by their place in the catalogue, each with its columns that can
/// be set to NULL. Returns `None` if a cycle has none.
pub(super) fn way_out(
    steps: &Steps<'_>,
    catalog: &Catalog,
    root: &Root,
    (count, mut edges): (usize, Vec<Edge>),
) -> Option<Vec<(usize, Vec<String>)>> {
    let mut found = Vec::new();
    while let Some(cycle) = order::cycle(count, &edges) {
        let keys = cycle.iter().filter_map(|edge| Some((edge.key?, &catalog.foreign_keys[edge.key?])));
        let (number, columns) = keys
            .map(|(number, key)| (number, key.child != root.id, columns(steps, catalog, root, key)))
            .filter(|(.., columns)| !columns.is_empty())
            // Prefer an UPDATE of the organizations' table: it changes one row.
            .min_by_key(|(_, not_root, _)| *not_root)
            .map(|(number, _, columns)| (number, columns))?;
        edges.retain(|edge| edge.key != Some(number));
        found.push((number, columns));
    }
    Some(found)
}

/// The columns of a foreign key that can be set to NULL without any other effect than that the reference is gone. One is
/// enough for that.
fn columns(steps: &Steps<'_>, catalog: &Catalog, root: &Root, key: &ForeignKey) -> Vec<String> {
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

/// The statements that set these references of exactly the organization's rows to NULL.
pub(super) fn detaches(
    broken: &[(&ForeignKey, Vec<String>)],
    steps: &Steps<'_>,
    catalog: &Catalog,
    root: &Root,
    held: &PerStep<RowSet>,
    faults: &mut Collector,
) -> Vec<Detach> {
    let organization = root.rows();
    let mut found = Vec::new();
    for (key, columns) in broken {
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
