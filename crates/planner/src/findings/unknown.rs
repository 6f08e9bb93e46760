//! Tables that the plan does not mention: no step, not kept, not global, not even unclassified. Nobody has thought about them.

use crate::catalog::Catalog;
use crate::finding::{Finding, Kind, Severity};
use crate::identifier::Table;
use crate::plan::{Plan, UnknownTables};
use crate::yaml::scalar;

/// Warnings, unless such a table is a fault. A table about which another finding says what to add has no second one.
pub(super) fn warnings_of_unknown_tables(
    plan: &Plan,
    catalog: &Catalog,
    faults: &[Finding],
    warnings: &[Finding],
) -> Vec<Finding> {
    match plan.unknown_tables {
        UnknownTables::Block => Vec::new(),
        UnknownTables::Warn => {
            let told: Vec<Finding> = faults.iter().chain(warnings).cloned().collect();
            tables(catalog, Severity::Warning, &told)
        }
    }
}

/// The tables that the plan does not mention, without those that another finding proposes to add.
pub(crate) fn tables(catalog: &Catalog, severity: Severity, told: &[Finding]) -> Vec<Finding> {
    let proposed = |name: &String| {
        let proposes = |f: &&Finding| matches!(f.kind, Kind::Unclassified | Kind::UndeclaredReference);
        told.iter().filter(proposes).any(|f| f.table.as_ref() == Some(name))
    };
    let names = catalog.unmentioned.iter().map(Table::name).filter(|name| !proposed(name));
    names.map(|name| finding(severity, name)).collect()
}

fn finding(severity: Severity, name: String) -> Finding {
    let message = format!("the plan does not mention the table `{name}`, so a deletion leaves its rows in place");
    let table = scalar(&name);
    let remedy = format!(
        "run `organization-operator plan init --update FILE`, or add to the plan (cascade): a step if rows of the table belong to an organization, a keep {{table: {table}, reason: ...}} if such rows stay, or {table} to `global` if it has no such rows"
    );
    Finding { remedy: Some(remedy), ..Finding::new(severity, Kind::UnknownTable, message).on(name) }
}

#[cfg(test)]
mod tests;
