//! `(Plan, Catalog) -> CompiledPlan`: resolves names and types, fixes the order, writes the statements, lists the faults.

mod ambiguous;
mod captures;
mod checks;
mod columns;
mod detach;
mod digest;
mod effort;
mod exclusive;
mod faults;
mod kept;
mod nobodys;
mod organization;
mod ownership;
mod pages;
mod partitions;
mod proof;
mod referenced;
mod relations;
mod resolve;
mod rows;
mod rules;
mod sequence;
mod shared;
mod statements;
mod steps;
mod types;

use crate::cascade::{Cascade, ErasePlan};
use crate::catalog::Catalog;
use crate::compiled::{CompiledPlan, Verdict};
use crate::fault::Faults;
use crate::findings::warnings;
use crate::plan::Plan;

/// Compiles a plan for the database role `role`, the operator's.
///
/// # Errors
/// Fails if the organizations' own table or key cannot be resolved: then the operator can do nothing for any object. With
/// every other fault the plan can still observe and deactivate, and its verdict is [`Verdict::Blocked`].
pub fn compile(plan: &Plan, catalog: &Catalog, role: &str) -> Result<CompiledPlan, Faults> {
    let mut faults = faults::Collector::new(role);
    faults.own_privileges(catalog);
    let Some(root) = organization::resolve_root(plan, catalog, &mut faults) else {
        return Err(faults.into_faults());
    };
    let cascade = steps::compile(plan, catalog, &root, &mut faults);
    faults.unclassified(plan, catalog);
    faults.listed_as_unclassified(plan);
    faults.unknown_tables(plan, catalog);
    faults.privileges(plan, catalog);
    relations::report_relations(plan, catalog, &mut faults);
    let together = cascade.as_ref().is_some_and(Cascade::organization_is_in_a_cycle);
    rules::report_rules(plan, catalog, together, &mut faults);
    let warnings = warnings((plan, catalog, role), cascade.as_ref(), faults.of_schema());
    let verdict = match cascade {
        Some(cascade) if faults.is_empty() => Verdict::Ready(Box::new(ErasePlan::new(cascade))),
        Some(cascade) => Verdict::Blocked { faults: faults.into_faults(), cascade: Some(Box::new(cascade)) },
        None => Verdict::Blocked { faults: faults.into_faults(), cascade: None },
    };
    Ok(CompiledPlan {
        root,
        verdict,
        warnings,
        digest: digest::digest(plan, catalog),
        fingerprint: catalog.fingerprint.clone(),
        fingerprint_tables: catalog.plan_tables.clone(),
        tenant_columns: plan.tenant_columns.clone(),
        free_schemas: plan.free_schemas(),
    })
}

#[cfg(test)]
mod tests;
