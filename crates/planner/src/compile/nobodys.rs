//! Rows of no organization: every column that would say to which one they belong is NULL. No deletion finds them.

use super::resolve::Steps;
use super::shared::unused;
use crate::cascade::NobodysRows;
use crate::catalog::{Catalog, Relation, TableInfo};
use crate::identifier::Column;
use crate::limits::{COUNT_LIMIT, capped_count};
use crate::query::Query;
use crate::root::Root;
use crate::row_set::{RowSet, any_true};
use crate::statement::Writer;

/// Counts such rows, in a query of its own for each table that may have them: each scans its table if no index helps. A view
/// has none: it makes the column itself, and leaves it NULL where a row is no organization's.
pub(super) fn queries(
    tenant_columns: &[String],
    steps: &Steps<'_>,
    catalog: &Catalog,
    root: &Root,
) -> Vec<Query<NobodysRows>> {
    let mut queries = Vec::new();
    for (_, first) in steps.first_of_tables() {
        let info = first.info;
        let own_rows = catalog
            .properties(info.id)
            .is_none_or(|table| matches!(table.relation, Relation::Table | Relation::Partitioned));
        // Rows to which others refer have no column of their own that says whose they are.
        let referenced = steps.of_table(info.id).any(|i| steps[i].step.referenced_by.is_some());
        if !own_rows || referenced {
            continue;
        }
        let ways = nullable_ways(steps, info, &unused(tenant_columns, steps, info, catalog, root));
        if ways.iter().any(Vec::is_empty) {
            continue;
        }
        let condition = ways.iter().map(|way| null(way)).collect::<Vec<_>>().join(" AND ");
        let rows = format!("FROM {} t WHERE {condition}", info.table);
        let count = capped_count(&rows, COUNT_LIMIT);
        let nobodys = NobodysRows {
            table: info.table.name(),
            entity: first.step.entity.clone(),
            ways,
            query: format!("SELECT t.* {rows};"),
        };
        queries.push(Query::new(Writer::default(), vec![(nobodys, count)]));
    }
    queries
}

/// For each way in which a row can belong to an organization, the columns that may be NULL. `by_column` are columns of the
/// table by which no step finds rows.
fn nullable_ways(steps: &Steps<'_>, info: &TableInfo, by_column: &[RowSet]) -> Vec<Vec<String>> {
    let mut ways: Vec<Vec<String>> = Vec::new();
    for step in steps.of_table(info.id).map(|i| &steps[i]) {
        ways.extend(step.organization.iter().map(|column| vec![column.clone()]));
        ways.extend(step.links.iter().map(|(_, pairs)| pairs.iter().map(|(child, _)| child.clone()).collect()));
    }
    // Such a column says whose the rows are as well.
    ways.extend(by_column.iter().filter_map(|rows| Some(vec![rows.column()?.to_owned()])));
    let mut each = Vec::new();
    for mut way in ways {
        way.retain(|column| info.column(column).is_some_and(|c| c.nullable));
        if !each.contains(&way) {
            each.push(way);
        }
    }
    each
}

/// The condition that one of these columns is NULL.
fn null(way: &[String]) -> String {
    let columns: Vec<String> = way.iter().map(|c| format!("t.{} IS NULL", Column::new(c))).collect();
    any_true(&columns)
}
