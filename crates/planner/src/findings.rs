//! What a live schema means for deletions although it blocks none of them: warnings, each with what clears it.

mod indexes;
mod protection;
mod references;
mod triggers;

use crate::cascade::Cascade;
use crate::catalog::Catalog;
use crate::finding::Finding;
use crate::plan::Plan;

/// Every warning, by kind. `faults` are known already.
pub(crate) fn find(plan: &Plan, catalog: &Catalog, cascade: Option<&Cascade>, faults: &[Finding]) -> Vec<Finding> {
    let mut warnings = references::find(plan, catalog, cascade, faults);
    warnings.extend(indexes::find(plan, catalog));
    warnings.extend(triggers::find(plan, catalog));
    warnings.extend(protection::find(plan, catalog, cascade));
    warnings.sort_by_key(|f| f.kind);
    warnings
}

#[cfg(test)]
mod tests;
