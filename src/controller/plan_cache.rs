//! The compiled plan, shared by all passes and refreshed on an interval.

use std::sync::{Arc, PoisonError, RwLock};

use crate::db::Database;
use crate::domain::{CompiledPlan, Failure, Plan};

/// The compiled plan.
pub struct PlanCache {
    plan: Plan,
    database: Arc<Database>,
    compiled: RwLock<Option<Arc<CompiledPlan>>>,
}

impl PlanCache {
    /// Holds a plan that is compiled at the first use.
    #[must_use]
    pub fn new(plan: Plan, database: Arc<Database>) -> Self {
        Self { plan, database, compiled: RwLock::new(None) }
    }

    /// The compiled plan.
    ///
    /// # Errors
    /// Fails when it has to be compiled and cannot be.
    pub async fn get(&self) -> Result<Arc<CompiledPlan>, Failure> {
        if let Some(compiled) = self.current() {
            return Ok(compiled);
        }
        self.refresh().await.map(|(compiled, _)| compiled)
    }

    /// The compiled plan, if there is one already.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CompiledPlan>> {
        self.compiled.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compiles the plan against the catalogue of now. Returns whether that changed anything.
    ///
    /// # Errors
    /// Fails when the catalogue cannot be read or the organization's table is missing; what was compiled before is then
    /// forgotten only in the second case.
    pub async fn refresh(&self) -> Result<(Arc<CompiledPlan>, bool), Failure> {
        match self.database.compile(&self.plan).await {
            Ok(compiled) => {
                let compiled = Arc::new(compiled);
                let mut current = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
                // Privileges are no part of the digest, but their lack is a fault.
                let same = |c: &Arc<CompiledPlan>| c.digest == compiled.digest && c.fault == compiled.fault;
                let changed = !current.as_ref().is_some_and(same);
                if changed {
                    report(&compiled);
                }
                *current = Some(compiled.clone());
                Ok((compiled, changed))
            }
            Err(failure) => {
                if failure.reason == crate::api::Reason::SchemaMismatch {
                    *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = None;
                }
                Err(failure)
            }
        }
    }
}

fn report(compiled: &CompiledPlan) {
    match (&compiled.fault, &compiled.erase) {
        (Some(fault), _) => tracing::error!(
            reason = fault.reason.as_str(),
            remedy = fault.remedy.as_deref().unwrap_or_default(),
            "{}",
            fault.message
        ),
        (None, Some(erase)) => {
            let order: Vec<&str> = erase.entities.iter().map(|e| e.name.as_str()).collect();
            tracing::info!(order = order.join(", "), digest = compiled.digest, "the plan was compiled");
            for delete in erase.deletes.iter().filter(|d| !d.fenced) {
                tracing::warn!(
                    table = erase.tables[delete.table].name,
                    "no foreign key ties this table to the organization; deletions wait for writers to settle and count again"
                );
            }
        }
        (None, None) => {}
    }
}
