//! What a live schema means for deletions although it blocks none of them: warnings, each with what clears it.

mod indexes;
mod pages;
mod partitions;
mod protection;
mod references;
mod triggers;
pub(crate) mod unknown;

use crate::cascade::Cascade;
use crate::catalog::Catalog;
use crate::finding::Finding;
use crate::plan::Plan;

/// Every warning, by kind. A table that one of the `faults` names as unclassified gets no warning about its references.
pub(crate) fn warnings(
    (plan, catalog, role): (&Plan, &Catalog, &str),
    cascade: Option<&Cascade>,
    faults: &[Finding],
) -> Vec<Finding> {
    let mut warnings = references::warnings_of_references(plan, catalog, cascade, faults);
    warnings.extend(unknown::warnings_of_unknown_tables(plan, catalog, faults, &warnings));
    warnings.extend(indexes::warnings_of_missing_indexes(plan, catalog));
    warnings.extend(triggers::warnings_of_triggers_and_rules(plan, catalog, cascade));
    warnings.extend(protection::warnings_of_missing_protection(plan, catalog, cascade));
    warnings.extend(partitions::warnings_of_partitions(plan, catalog, cascade));
    warnings.extend(pages::warnings_of_pages(catalog, role, cascade));
    warnings.sort_by_key(|f| f.kind);
    warnings
}

#[cfg(test)]
mod tests;
