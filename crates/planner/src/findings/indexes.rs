//! Columns by which rows are looked for, and that no index begins with: each row deleted costs a look through the whole
//! table. The most common reason why deletions take hours.

use crate::catalog::{Catalog, Enforcement, Relation, TableInfo};
use crate::finding::{Finding, Kind, listed};
use crate::identifier::Column;
use crate::plan::Plan;

/// Columns that are searched by, and why.
struct Search<'a> {
    table: &'a TableInfo,
    columns: Vec<String>,
    constraint: Option<String>,
    why: String,
}

pub(super) fn find(plan: &Plan, catalog: &Catalog) -> Vec<Finding> {
    let mut searches: Vec<Search<'_>> = Vec::new();
    for key in catalog.foreign_keys.iter().filter(|k| k.enforcement != Enforcement::NotEnforced) {
        if let (Some(table), Some(parent)) = (catalog.table(key.child), catalog.table(key.parent)) {
            searches.push(Search {
                table,
                columns: key.child_columns.clone(),
                constraint: Some(key.name.clone()),
                why: format!(
                    "for each row deleted from `{}` PostgreSQL looks for rows that refer to it (constraint {})",
                    parent.table.name(),
                    key.name
                ),
            });
        }
    }
    for step in &plan.steps {
        if let Some(table) = catalog.declared(&step.table) {
            let columns = step.path_columns();
            // A column that is missing is a fault already.
            if columns.iter().all(|c| table.column(c).is_some()) {
                let why = "the plan finds an organization's rows by it".to_owned();
                searches.push(Search { table, columns, constraint: None, why });
            }
        }
    }
    for table in plan.steps.iter().filter_map(|step| catalog.declared(&step.table)) {
        let of_table = || plan.steps.iter().filter(|s| table.declared.contains(&s.table));
        let found_by = |column: &String| of_table().any(|s| s.path_columns().contains(column));
        for column in plan.tenant_columns.iter().filter(|c| table.column(c).is_some() && !found_by(c)) {
            let why = "rows that say otherwise than the plan whose they are are looked for by it".to_owned();
            searches.push(Search { table, columns: vec![column.clone()], constraint: None, why });
        }
    }
    let mut found: Vec<(Search<'_>, Finding)> = Vec::new();
    for search in searches {
        let same = |(s, _): &(Search<'_>, Finding)| {
            s.table.id == search.table.id
                && s.columns.len() == search.columns.len()
                && s.columns.iter().all(|c| search.columns.contains(c))
        };
        if !found.iter().any(same)
            && let Some(finding) = finding(&search, catalog)
        {
            found.push((search, finding));
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

fn finding(search: &Search<'_>, catalog: &Catalog) -> Option<Finding> {
    let properties = catalog.properties(search.table.id)?;
    let table = &search.table.table;
    let columns = search.columns.iter().map(|c| Column::new(c).to_string()).collect::<Vec<_>>().join(", ");
    let remedy = match properties.relation {
        Relation::View | Relation::Foreign => return None,
        _ if properties.indexed(&search.columns) => return None,
        Relation::Table => format!("CREATE INDEX CONCURRENTLY ON {table} ({columns});"),
        Relation::Partitioned => {
            format!(
                "CREATE INDEX ON {table} ({columns}); -- not CONCURRENTLY on a partitioned table: writers wait for it"
            )
        }
    };
    Some(Finding {
        columns: search.columns.clone(),
        constraint: search.constraint.clone(),
        remedy: Some(remedy),
        ..Finding::warning(
            Kind::Unindexed,
            search.table,
            format!("no index of `{}` begins with {}, and {}", table.name(), listed(&search.columns), search.why),
        )
    })
}
