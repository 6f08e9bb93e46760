//! Columns by which PostgreSQL or the operator searches rows, and with which no index begins: each search scans the whole
//! table. This is the most common reason for deletions that take hours.

use crate::catalog::{Catalog, Enforcement, Relation, TableInfo};
use crate::finding::{Finding, Kind, listed};
use crate::identifier::quote_all;
use crate::plan::Plan;

/// A search for rows by columns of a table.
struct Search<'a> {
    table: &'a TableInfo,
    columns: Vec<String>,
    constraint: Option<String>,
    /// What it costs without an index, after "so PostgreSQL".
    cost: String,
}

pub(super) fn warnings_of_missing_indexes(plan: &Plan, catalog: &Catalog) -> Vec<Finding> {
    let mut searches: Vec<Search<'_>> = Vec::new();
    for key in catalog.foreign_keys.iter().filter(|k| k.enforcement != Enforcement::NotEnforced) {
        if let (Some(table), Some(parent)) = (catalog.table(key.child), catalog.table(key.parent)) {
            searches.push(Search {
                table,
                columns: key.child_columns.clone(),
                constraint: Some(key.name.clone()),
                cost: format!(
                    "scans the whole table for each row that it deletes from `{}` (constraint {})",
                    parent.table.name(),
                    key.name
                ),
            });
        }
    }
    for step in &plan.steps {
        if let Some(table) = catalog.declared(&step.table) {
            let columns = step.path_columns();
            // A missing column is a fault already. Rows of a step with `referencedBy` are found by their key.
            if step.referenced_by.is_none() && columns.iter().all(|c| table.column(c).is_some()) {
                let cost = "scans the whole table to find the rows of an organization".to_owned();
                searches.push(Search { table, columns, constraint: None, cost });
            }
        }
    }
    let unless = plan.steps.iter().flat_map(|step| step.unless.iter().map(|reference| (&step.table, reference)));
    for (referred, reference) in unless {
        if let Some(table) = catalog.declared(&reference.table)
            && table.column(&reference.column).is_some()
        {
            let cost = format!("scans the whole table to find rows that refer to `{referred}`");
            searches.push(Search { table, columns: vec![reference.column.clone()], constraint: None, cost });
        }
    }
    for table in plan.steps.iter().filter_map(|step| catalog.declared(&step.table)) {
        let of_table = || plan.steps.iter().filter(|s| table.declared.contains(&s.table));
        let found_by = |column: &String| of_table().any(|s| s.path_columns().contains(column));
        for column in plan.tenant_columns.iter().filter(|c| table.column(c).is_some() && !found_by(c)) {
            let cost = "scans the whole table to find rows that belong to two organizations".to_owned();
            searches.push(Search { table, columns: vec![column.clone()], constraint: None, cost });
        }
    }
    searches.extend(proofs(plan, catalog));
    let mut warned: Vec<(Search<'_>, Finding)> = Vec::new();
    for search in searches {
        let same = |(s, _): &(Search<'_>, Finding)| {
            s.table.id == search.table.id
                && s.columns.len() == search.columns.len()
                && s.columns.iter().all(|c| search.columns.contains(c))
        };
        if !warned.iter().any(same)
            && let Some(warning) = warning(&search, catalog)
        {
            warned.push((search, warning));
        }
    }
    warned.into_iter().map(|(_, warning)| warning).collect()
}

/// Searches in parents' tables for other rows that have the same part of a key.
fn proofs<'a>(plan: &'a Plan, catalog: &'a Catalog) -> impl Iterator<Item = Search<'a>> {
    plan.steps.iter().flat_map(move |step| {
        let columns: Vec<&str> = step.columns.values().map(String::as_str).collect();
        let parents = plan.steps.iter().filter(|other| step.parent.as_ref() == Some(&other.entity));
        parents.filter_map(move |parent| {
            let table = catalog.declared(&parent.table)?;
            table.part_of_key(&columns).then(|| Search {
                table,
                columns: step.columns.values().cloned().collect(),
                constraint: None,
                cost: format!(
                    "scans all of `{}`{} in each deletion to prove that no other organization's row has the same part of the key",
                    table.table.name(),
                    size(catalog.properties(table.id).map_or(0, |p| p.size))
                ),
            })
        })
    })
}

/// ` (more than 100 MB)`: a power of ten, so that a table that grows does not make a new finding every day. Nothing if it is
/// not known.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return String::new();
    }
    let power = bytes.ilog10();
    let unit = usize::try_from(power / 3 - 1).unwrap_or_default().min(UNITS.len() - 1);
    format!(" (more than {} {})", 10_i64.pow(power % 3), UNITS[unit])
}

/// Returns `None` if an index serves the search, or if the table cannot have one.
fn warning(search: &Search<'_>, catalog: &Catalog) -> Option<Finding> {
    let properties = catalog.properties(search.table.id)?;
    let (table, columns) = (&search.table.table, quote_all(&search.columns));
    let remedy = match properties.relation {
        Relation::View | Relation::Foreign => return None,
        _ if properties.indexed(&search.columns) => return None,
        Relation::Table => format!("CREATE INDEX CONCURRENTLY ON {table} ({columns});"),
        Relation::Partitioned => format!(
            "CREATE INDEX ON {table} ({columns}); -- blocks writes while it runs: a partitioned table does not support CONCURRENTLY"
        ),
    };
    Some(Finding {
        columns: search.columns.clone(),
        constraint: search.constraint.clone(),
        remedy: Some(remedy),
        ..Finding::warning(
            Kind::Unindexed,
            search.table,
            format!(
                "no index of `{}` begins with {}, so PostgreSQL {}",
                table.name(),
                listed(&search.columns),
                search.cost
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_power_of_ten() {
        for (bytes, expected) in [
            (0, ""),
            (999, ""),
            (8192, " (more than 1 kB)"),
            (999_999, " (more than 100 kB)"),
            (1_000_000, " (more than 1 MB)"),
            (123_456_789, " (more than 100 MB)"),
            (12_000_000_000, " (more than 10 GB)"),
            (i64::MAX, " (more than 1 PB)"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }
}
