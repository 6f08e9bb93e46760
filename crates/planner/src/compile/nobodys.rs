//! Rows of no organization: every column that would say to which one they belong is NULL. No deletion finds them.

use super::resolve::Steps;
use super::shared::unused;
use crate::cascade::NobodysRows;
use crate::catalog::{Catalog, Relation};
use crate::identifier::Column;
use crate::limits::COUNT_LIMIT;
use crate::query::Query;
use crate::root::Root;
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
        let mut ways: Vec<Vec<String>> = Vec::new();
        for step in steps.of_table(info.id).map(|i| &steps[i]) {
            ways.extend(step.organization.iter().map(|column| vec![column.clone()]));
            ways.extend(step.links.iter().map(|(_, pairs)| pairs.iter().map(|(child, _)| child.clone()).collect()));
        }
        // A column by which no step finds rows says whose they are all the same.
        let by_column = unused(tenant_columns, steps, info, catalog, root);
        ways.extend(by_column.iter().filter_map(|rows| Some(vec![rows.column()?.to_owned()])));
        for way in &mut ways {
            way.retain(|column| info.column(column).is_some_and(|c| c.nullable));
        }
        let mut each = Vec::new();
        for way in ways {
            if !each.contains(&way) {
                each.push(way);
            }
        }
        if each.iter().any(Vec::is_empty) {
            continue;
        }
        let null = |way: &Vec<String>| {
            let columns: Vec<String> = way.iter().map(|c| format!("t.{} IS NULL", Column::new(c))).collect();
            if columns.len() == 1 { columns.concat() } else { format!("({})", columns.join(" OR ")) }
        };
        let condition = each.iter().map(null).collect::<Vec<_>>().join(" AND ");
        let rows = format!("FROM {} t WHERE {condition}", info.table);
        let count = format!("(SELECT count(*) FROM (SELECT 1 {rows} LIMIT {}) s)", COUNT_LIMIT + 1);
        let nobodys = NobodysRows {
            table: info.table.name(),
            entity: first.step.entity.clone(),
            ways: each,
            query: format!("SELECT t.* {rows};"),
        };
        queries.push(Query::new(Writer::default(), vec![(nobodys, count)]));
    }
    queries
}
