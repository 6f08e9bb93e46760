//! What may refer to an organization's rows from outside its row sets.

use super::effort::Effort;
use super::resolve::Resolved;
use crate::cascade::Check;
use crate::catalog::{Catalog, ForeignKey, TableId, TableInfo};
use crate::identifier::{Column, Table};
use crate::limits::COUNT_LIMIT;
use crate::plan::Plan;
use crate::root::Root;
use crate::statement::{KeySource, RowSet, Statement, Writer, any_of, none_of};

/// A foreign key to look at before the first delete.
pub(super) struct Need<'a> {
    key: &'a ForeignKey,
    child: &'a TableInfo,
    parent: &'a TableInfo,
    kept: bool,
}

/// Foreign keys over which rows outside may refer to rows inside. Left out are those by which the child's row set is
/// defined: whatever refers over them is inside by construction.
pub(super) fn find<'a>(steps: &[Resolved<'_>], catalog: &'a Catalog, root: &Root, plan: &Plan) -> Vec<Need<'a>> {
    catalog
        .foreign_keys
        .iter()
        .filter(|key| key.parent == root.id || steps.iter().any(|s| s.info.id == key.parent))
        .filter(|key| !defines_rows(steps, key, root))
        .filter_map(|key| {
            let child = catalog.table(key.child)?;
            let kept = plan.keep.iter().any(|k| child.declared.contains(&k.table));
            Some(Need { key, child, parent: catalog.table(key.parent)?, kept })
        })
        .collect()
}

fn defines_rows(steps: &[Resolved<'_>], key: &ForeignKey, root: &Root) -> bool {
    let children = || steps.iter().filter(|s| s.info.id == key.child);
    if key.parent == root.id {
        return key.parent_columns == [root.key.name()]
            && children().any(|s| s.organization.as_ref().is_some_and(|c| key.child_columns == [c.clone()]));
    }
    let by_key = |pairs: &[(String, String)]| {
        pairs.len() == key.child_columns.len()
            && key
                .child_columns
                .iter()
                .zip(&key.parent_columns)
                .all(|(c, p)| pairs.iter().any(|(a, b)| a == c && b == p))
    };
    // Every way in which a parent row can be inside must also make the child inside.
    let mut parents = steps.iter().enumerate().filter(|(_, s)| s.info.id == key.parent);
    parents.all(|(p, _)| children().any(|s| s.links.iter().any(|(parent, pairs)| *parent == p && by_key(pairs))))
}

/// Tables whose rows must be locked before the check: deleting them would change rows that refer to them, so no such
/// row may appear between the check and the delete. Nor may one of the organization's own, which the check lets pass, become
/// another organization's meanwhile.
pub(super) fn to_lock(needs: &[Need<'_>]) -> Vec<TableId> {
    needs.iter().filter(|n| n.key.on_delete.changes_rows()).flat_map(|n| [n.parent.id, n.child.id]).collect()
}

/// Those that matter when only these tables are deleted from.
pub(super) fn into<'n, 'a>(needs: &'n [Need<'a>], tables: &[TableId]) -> Vec<&'n Need<'a>> {
    needs.iter().filter(|n| tables.contains(&n.parent.id)).collect()
}

/// One statement that counts, for each foreign key, the rows outside that refer to rows inside.
pub(super) fn statement(
    needs: &[&Need<'_>],
    steps: &[Resolved<'_>],
    rows: &[RowSet],
    root: &Root,
    effort: Effort<'_>,
) -> Option<(Statement, Vec<Check>)> {
    if needs.is_empty() {
        return None;
    }
    let organization = root.rows();
    let sets = |id: TableId| -> Vec<&RowSet> {
        if id == root.id {
            return vec![&organization];
        }
        (0..steps.len()).filter(|&i| steps[i].info.id == id).map(|i| &rows[i]).collect()
    };
    let mut writer = Writer::default();
    let mut checks = Vec::new();
    let mut columns = Vec::new();
    for need in needs {
        let inside_parent = any_of(&sets(need.parent.id), "p", &KeySource::Bound, &mut writer);
        let inside_child = sets(need.child.id);
        let outside = if inside_child.is_empty() {
            String::new()
        } else {
            format!(" AND {}", none_of(&inside_child, "c", &KeySource::Bound, &mut writer))
        };
        let joined = need
            .key
            .child_columns
            .iter()
            .zip(&need.key.parent_columns)
            .map(|(c, p)| format!("c.{} = p.{}", Column::new(c), Column::new(p)))
            .collect::<Vec<_>>()
            .join(" AND ");
        let rows = format!(
            "FROM {} c JOIN {} p ON {joined} WHERE {inside_parent}{outside}",
            need.child.table, need.parent.table
        );
        let count = format!("(SELECT count(*) FROM (SELECT 1 {rows} LIMIT {}) s)", COUNT_LIMIT + 1);
        columns.push(effort.bounded(count, need.child, std::iter::once(need.key.child_columns.as_slice())));
        checks.push(Check {
            constraint: need.key.name.clone(),
            table: need.child.table.name(),
            parent_table: need.parent.table.name(),
            parent_entity: steps.iter().find(|s| s.info.id == need.parent.id).map(|s| s.step.entity.clone()),
            on_delete: need.key.on_delete,
            in_plan: steps.iter().any(|s| s.info.id == need.child.id) || need.child.id == root.id,
            kept: need.kept,
            detach: detach(need),
            child_sql: need.child.table.to_string(),
            parent_sql: need.parent.table.to_string(),
            path: path(need, steps, root),
            condition: shown(&sets(need.parent.id), &inside_child, &joined),
        });
    }
    let sql = format!("SELECT ARRAY[{}]::bigint[] AS rows", columns.join(", "));
    Some((writer.finish(sql), checks))
}

/// The way from the referring table to the organization, by the first path of each step. Schemas are left out where all
/// tables are in the same one.
fn path(need: &Need<'_>, steps: &[Resolved<'_>], root: &Root) -> Vec<String> {
    let mut tables: Vec<&Table> = vec![&need.child.table];
    let mut at = steps.iter().find(|s| need.parent.id != root.id && s.info.id == need.parent.id);
    while let Some(step) = at {
        tables.push(&step.info.table);
        at = step.links.first().and_then(|(parent, _)| steps.get(*parent));
    }
    tables.push(&root.table);
    let one_schema = tables.iter().all(|t| t.schema() == root.table.schema());
    tables.into_iter().map(|t| if one_schema { t.bare().to_owned() } else { t.name() }).collect()
}

/// How a person detaches the referring rows without deleting them.
fn detach(need: &Need<'_>) -> Option<String> {
    let columns: Option<Vec<String>> = need
        .key
        .child_columns
        .iter()
        .map(|name| {
            let nullable = need.child.column(name).is_some_and(|column| column.nullable);
            nullable.then(|| format!("{} = NULL", Column::new(name)))
        })
        .collect();
    columns.map(|columns| columns.join(", "))
}

/// The condition for the same rows, for a person: `:key` stands for the organization's key.
fn shown(parent: &[&RowSet], child: &[&RowSet], joined: &str) -> String {
    let key = KeySource::Outer(":key".to_owned());
    let mut writer = Writer::default();
    let inside = any_of(parent, "p", &key, &mut writer);
    let outside =
        if child.is_empty() { String::new() } else { format!(" AND {}", none_of(child, "c", &key, &mut writer)) };
    format!("{joined} AND {inside}{outside}")
}
