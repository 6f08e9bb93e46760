//! `(Plan, Catalog) -> CompiledPlan`: names resolved, types known, statements written, order fixed, faults listed.

mod captures;
mod checks;
mod digest;
mod effort;
mod faults;
mod ownership;
mod relations;
mod resolve;
pub(crate) mod root;
mod rows;
pub(crate) mod rules;
mod sequence;
mod shared;
mod statements;
mod steps;
mod types;

use crate::cascade::ErasePlan;
use crate::catalog::Catalog;
use crate::compiled::{CompiledPlan, Verdict};
use crate::fault::Faults;
use crate::findings;
use crate::plan::Plan;

/// Compiles a plan for the database role `role`.
///
/// # Errors
/// Fails when the organization's own table or key cannot be resolved: then nothing can be done for any object. All other
/// faults leave a plan that can observe and deactivate, and whose verdict is [`Verdict::Blocked`].
pub fn compile(plan: &Plan, catalog: &Catalog, role: &str) -> Result<CompiledPlan, Faults> {
    let mut faults = faults::Collector::new(role);
    faults.own_privileges(catalog);
    let Some(root) = root::resolve(plan, catalog, &mut faults) else {
        return Err(faults.certain());
    };
    let cascade = steps::compile(plan, catalog, &root, &mut faults);
    faults.unclassified(plan, catalog);
    faults.undecided(plan);
    faults.privileges(plan, catalog);
    relations::find(plan, catalog, &mut faults);
    rules::find(plan, catalog, &mut faults);
    let warnings = findings::find(plan, catalog, cascade.as_ref(), faults.known());
    let verdict = match cascade {
        Some(cascade) => match faults.finish() {
            None => Verdict::Ready(Box::new(ErasePlan::new(cascade))),
            Some(faults) => Verdict::Blocked { faults, cascade: Some(Box::new(cascade)) },
        },
        None => Verdict::Blocked { faults: faults.certain(), cascade: None },
    };
    Ok(CompiledPlan {
        root,
        verdict,
        warnings,
        digest: digest::digest(plan, catalog),
        fingerprint: catalog.fingerprint.clone(),
        fingerprint_tables: catalog.plan_tables.clone(),
        tenant_columns: plan.tenant_columns.clone(),
    })
}

#[cfg(test)]
mod tests;
