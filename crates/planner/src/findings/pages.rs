//! Rows that a large deletion cannot delete in pages for want of a privilege.

use crate::cascade::{Because, Cascade};
use crate::catalog::Catalog;
use crate::finding::{Finding, Kind};
use crate::identifier::{Column, quote};

/// A warning for each table whose rows the operator's role may not lock.
pub(super) fn warnings_of_pages(catalog: &Catalog, role: &str, cascade: Option<&Cascade>) -> Vec<Finding> {
    let Some(cascade) = cascade else { return Vec::new() };
    let lacking = |name: &String| cascade.not_paged.iter().any(|not| not.because == Because::Lock(name.clone()));
    let locked = catalog.tables.iter().filter(|table| lacking(&table.table.name()));
    locked
        .map(|table| {
            let name = table.table.name();
            let message = format!(
                "the role {role} may not lock rows of the table `{name}`, so rows that belong to them are not deleted in pages"
            );
            let column = table.unique_keys.first().and_then(|key| key.first()).or(table.columns.first().map(|c| &c.name));
            Finding {
                remedy: column.map(|column| {
                    format!("GRANT UPDATE ({}) ON {} TO {}; -- UPDATE on any column will do", Column::new(column), table.table, quote(role))
                }),
                ..Finding::warning(Kind::NotPaged, table, message)
            }
        })
        .collect()
}
