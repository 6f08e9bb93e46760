//! Rows whose columns disagree about the organization that they belong to. A table can have such rows only if its rows are
//! found in more than one way: by an organization column or by a parent, or by parents in several tables.

use super::effort::Effort;
use super::resolve::Steps;
use super::types;
use crate::cascade::SharedRows;
use crate::catalog::{Catalog, TableInfo};
use crate::identifier::Column;
use crate::limits::{COUNT_LIMIT, capped_count};
use crate::query::Query;
use crate::root::Root;
use crate::row_set::{KeySource, RowSet, none_of};
use crate::statement::Writer;
use crate::step::{PerStep, StepId};

/// Counts such rows in each table that may have them.
pub(super) fn query(
    tenant_columns: &[String],
    steps: &Steps<'_>,
    (live, shown): (&PerStep<RowSet>, &PerStep<RowSet>),
    catalog: &Catalog,
    root: &Root,
    effort: Effort<'_>,
) -> Option<Query<SharedRows>> {
    let mut writer = Writer::default();
    let mut numbers = Vec::new();
    for (_, step) in steps.first_of_tables() {
        let same: Vec<StepId> = steps.of_table(step.info.id).collect();
        let by_column = unused(tenant_columns, steps, step.info, catalog, root);
        // One condition for each pair of ways: PostgreSQL joins each, but scans if several are under an OR.
        let conditions = |rows: &PerStep<RowSet>, key: &KeySource, others: &KeySource, writer: &mut Writer| {
            let ways: Vec<RowSet> = same.iter().flat_map(|&i| rows[i].ways()).collect();
            let sets: Vec<&RowSet> = same.iter().map(|&i| &rows[i]).collect();
            let mut conditions = Vec::new();
            let mut both = |one: &RowSet, other: &RowSet, writer: &mut Writer| {
                conditions.push(format!(
                    "{} AND {}",
                    one.condition("t", key, writer),
                    other.condition("t", others, writer)
                ));
            };
            for (i, one) in ways.iter().enumerate() {
                let of_others = |other: &RowSet| !other.is_exclusive() && !one.is_same_way(other);
                for (_, other) in ways.iter().enumerate().filter(|(j, other)| i != *j && of_others(other)) {
                    both(one, other, writer);
                }
                for column in &by_column {
                    both(one, column, writer);
                }
            }
            for column in &by_column {
                let by_key = column.condition("t", key, writer);
                conditions.push(format!("{by_key} AND {}", none_of(&sets, "t", key, writer)));
            }
            conditions
        };
        let counted = conditions(live, &KeySource::Bound, &KeySource::Others, &mut writer);
        if counted.is_empty() {
            continue;
        }
        let table = &step.info.table;
        let counts =
            counted.iter().map(|condition| capped_count(&format!("FROM {table} t WHERE {condition}"), COUNT_LIMIT));
        // The other ways are not checked: every count searches by them anyway.
        let searches: Vec<[String; 1]> = by_column.iter().filter_map(|c| Some([c.column()?.to_owned()])).collect();
        let count = format!("({})", counts.collect::<Vec<_>>().join(" + "));
        let count = effort.bounded(count, step.info, searches.iter().map(<[String; 1]>::as_slice));
        let off = match by_column.as_slice() {
            [] => "",
            _ => "; or remove a column that does not hold an organization's key from cascade.tenantColumns",
        };
        let key = ":key".to_owned();
        let shown =
            conditions(shown, &KeySource::Outer(key.clone()), &KeySource::NotOuter(key), &mut Writer::default());
        let shown = shown.iter().map(|c| format!("({c})")).collect::<Vec<_>>().join(" OR ");
        let shared = SharedRows {
            table: step.info.table.name(),
            entity: step.step.entity.clone(),
            query: format!(
                "SELECT t.* FROM {table} t WHERE {shown}; -- then change these rows, so that each belongs to one organization{off}"
            ),
        };
        numbers.push((shared, count));
    }
    Query::new(writer, numbers).if_any()
}

/// Columns of the table that say whose its rows are, and by which no step finds them.
pub(super) fn unused(
    tenant_columns: &[String],
    steps: &Steps<'_>,
    info: &TableInfo,
    catalog: &Catalog,
    root: &Root,
) -> Vec<RowSet> {
    let Some(organizations) = catalog.table(root.id) else { return Vec::new() };
    let used = |name: &String| {
        steps.of_table(info.id).any(|i| {
            // One of several columns that lead to a parent may be there without the others.
            let by_link = steps[i].links.iter().any(|(_, pairs)| pairs.len() == 1 && pairs[0].0 == *name);
            by_link || steps[i].organization.as_ref() == Some(name)
        })
    };
    tenant_columns
        .iter()
        .filter(|name| !used(name) && root.refers_elsewhere(info.id, name, catalog).is_none())
        .filter_map(|name| {
            let (column, key) = (info.column(name)?, organizations.column(root.key.name())?);
            // Of another type: it holds something else, whatever it is called.
            types::disagreement((info, column), (organizations, key)).is_none().then(|| RowSet::Direct {
                column: Column::new(name),
                type_name: types::compared_as(&column.type_name, &root.key_type),
            })
        })
        .collect()
}
