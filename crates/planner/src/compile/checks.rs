//! What may refer to an organization's rows from outside its row sets.

use super::effort::Effort;
use super::resolve::Steps;
use crate::cascade::Check;
use crate::catalog::{Catalog, ForeignKey, TableId, TableInfo};
use crate::identifier::{Column, Table};
use crate::limits::{COUNT_LIMIT, capped_count};
use crate::plan::Plan;
use crate::query::Query;
use crate::root::Root;
use crate::row_set::{KeySource, RowSet, any_of, none_of};
use crate::statement::Writer;
use crate::step::PerStep;

/// A foreign key to check before the first delete.
pub(super) struct Need<'a> {
    key: &'a ForeignKey,
    child: &'a TableInfo,
    /// The child as SQL.
    child_sql: String,
    parent: &'a TableInfo,
    kept: bool,
    /// Only rows to which nothing outside refers are deleted from the parent, so there is nothing to count.
    of_exclusive: bool,
}

/// Foreign keys over which rows outside may refer to rows inside. Left out are those by which the child's row set is
/// defined: whatever refers over them is inside by construction.
pub(super) fn find<'a>(steps: &Steps<'_>, catalog: &'a Catalog, root: &Root, plan: &Plan) -> Vec<Need<'a>> {
    catalog
        .foreign_keys
        .iter()
        .filter(|key| key.parent == root.id || steps.of_table(key.parent).next().is_some())
        .filter(|key| !defines_rows(steps, key, root))
        .filter_map(|key| {
            let child = catalog.table(key.child)?;
            let kept = plan.keep.iter().any(|k| child.declared.contains(&k.table));
            let child_sql = catalog.rows_with_keys(child);
            let of_exclusive =
                key.parent != root.id && steps.of_table(key.parent).all(|step| steps[step].referenced.is_some());
            Some(Need { key, child, child_sql, parent: catalog.table(key.parent)?, kept, of_exclusive })
        })
        .collect()
}

fn defines_rows(steps: &Steps<'_>, key: &ForeignKey, root: &Root) -> bool {
    let children = || steps.of_table(key.child).map(|i| &steps[i]);
    if key.parent == root.id {
        return key.parent_columns == [root.key.name()]
            && children().any(|s| s.organization.as_ref().is_some_and(|c| key.child_columns == [c.clone()]));
    }
    // Every way in which a parent row can be inside must also make the child inside.
    let mut parents = steps.of_table(key.parent);
    parents.all(|p| children().any(|s| s.links.iter().any(|(parent, pairs)| *parent == p && key.joins(pairs))))
}

/// Tables whose rows must be locked before the check: deleting them would change rows that refer to them, so no such
/// row may appear between the check and the delete. Nor may one of the organization's own, which the check accepts, become
/// another organization's meanwhile.
pub(super) fn to_lock(needs: &[Need<'_>]) -> Vec<TableId> {
    needs.iter().filter(|n| n.key.on_delete.changes_rows()).flat_map(|n| [n.parent.id, n.child.id]).collect()
}

/// Those that matter when only these tables are deleted from.
pub(super) fn into<'n, 'a>(needs: &'n [Need<'a>], tables: &[TableId]) -> Vec<&'n Need<'a>> {
    needs.iter().filter(|n| tables.contains(&n.parent.id)).collect()
}

/// Counts, for each foreign key, the rows outside that refer to rows inside.
pub(super) fn query(
    needs: &[&Need<'_>],
    steps: &Steps<'_>,
    (rows, shown_rows): (&PerStep<RowSet>, &PerStep<RowSet>),
    root: &Root,
    effort: Effort<'_>,
) -> Option<Query<Check>> {
    let organization = root.rows();
    let sets = |id: TableId| of_table(id, rows, steps, (root, &organization));
    let shown_sets = |id: TableId| of_table(id, shown_rows, steps, (root, &organization));
    let mut writer = Writer::default();
    let mut numbers = Vec::new();
    for need in needs.iter().filter(|need| !need.of_exclusive) {
        let inside_parent = any_of(&not_exclusive(&sets(need.parent.id)), "p", &KeySource::Bound, &mut writer);
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
            need.child_sql, need.parent.table
        );
        let count = capped_count(&rows, COUNT_LIMIT);
        let count = effort.bounded(count, need.child, std::iter::once(need.key.child_columns.as_slice()));
        let check = Check {
            constraint: need.key.name.clone(),
            table: need.child.table.name(),
            parent_table: need.parent.table.name(),
            parent_entity: steps.of_table(need.parent.id).next().map(|i| steps[i].step.entity.clone()),
            on_delete: need.key.on_delete,
            in_plan: !inside_child.is_empty(),
            kept: need.kept,
            detach: detach(need),
            child_sql: need.child_sql.clone(),
            parent_sql: need.parent.table.to_string(),
            path: path(need, steps, root),
            condition: shown(&not_exclusive(&shown_sets(need.parent.id)), &shown_sets(need.child.id), &joined),
        };
        numbers.push((check, count));
    }
    Query::new(writer, numbers).if_any()
}

/// The sets that something outside may refer to.
fn not_exclusive<'r>(sets: &[&'r RowSet]) -> Vec<&'r RowSet> {
    sets.iter().filter(|set| !set.is_exclusive()).copied().collect()
}

/// The organization's rows of a table: one set for each step, or the `organization` itself.
fn of_table<'r>(
    id: TableId,
    rows: &'r PerStep<RowSet>,
    steps: &Steps<'_>,
    (root, organization): (&Root, &'r RowSet),
) -> Vec<&'r RowSet> {
    if id == root.id {
        return vec![organization];
    }
    steps.of_table(id).map(|i| &rows[i]).collect()
}

/// The way from the referring table to the organization, by the first path of each step. Schemas are left out where all
/// tables are in the same one.
fn path(need: &Need<'_>, steps: &Steps<'_>, root: &Root) -> Vec<String> {
    let mut tables: Vec<&Table> = vec![&need.child.table];
    let mut at = steps.of_table(need.parent.id).next();
    while let Some(step) = at.map(|i| &steps[i]) {
        tables.push(&step.info.table);
        let referrers = step.referenced.iter().flat_map(|r| &r.referrers);
        at = step.links.iter().chain(referrers).next().map(|(parent, _)| *parent);
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
