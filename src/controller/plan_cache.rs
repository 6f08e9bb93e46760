//! The compiled plan, shared by all reconciliations and refreshed by the drift poller.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::db::Database;
use crate::domain::{Failure, PlanError};
use planner::finding::{self, Finding, Kind};
use planner::{CompiledPlan, Faults, Plan};

/// The compiled plan.
pub struct PlanCache {
    plan: Plan,
    database: Arc<Database>,
    known: RwLock<Known>,
    last: Mutex<Option<Instant>>,
}

/// What is known of the plan.
#[derive(Clone)]
enum Known {
    /// It was not compiled yet.
    Nothing,
    /// It was compiled, with faults or without.
    Compiled(Arc<CompiledPlan>),
    /// Not even the organization's table can be used.
    Unusable(Faults),
}

impl Known {
    /// Changes when something changes for the objects.
    fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Compiled(compiled) => {
                let faults = compiled.faults().map(Faults::to_string).unwrap_or_default();
                let caveat = finding::caveat(&compiled.warnings).unwrap_or_default();
                Some(format!("{} {faults} {caveat}", compiled.digest))
            }
            Self::Unusable(faults) => Some(faults.to_string()),
        }
    }

    fn warnings(&self) -> &[Finding] {
        match self {
            Self::Compiled(compiled) => &compiled.warnings,
            Self::Unusable(_) | Self::Nothing => &[],
        }
    }
}

/// Many deletions that a fault of the plan blocks share one query of the catalogue.
const FRESH: Duration = Duration::from_millis(500);

impl PlanCache {
    /// Holds a plan that is compiled at the first use.
    #[must_use]
    pub fn new(plan: Plan, database: Arc<Database>) -> Self {
        Self { plan, database, known: RwLock::new(Known::Nothing), last: Mutex::default() }
    }

    /// The compiled plan, as of the last refresh: objects never query the catalogue themselves.
    ///
    /// # Errors
    /// Fails when the plan is unusable, or has to be compiled for the first time and cannot be.
    pub async fn get(&self) -> Result<Arc<CompiledPlan>, Failure> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Known::Nothing => Ok(self.refresh().await?),
            Known::Compiled(compiled) => Ok(compiled),
            Known::Unusable(faults) => Err(Failure::from(&faults)),
        }
    }

    /// The compiled plan; compiled again if it has a fault, which may have been cleared since.
    ///
    /// # Errors
    /// Fails when it has to be compiled and cannot be.
    pub async fn refreshed_if_blocked(&self) -> Result<Arc<CompiledPlan>, Failure> {
        let known = self.get().await;
        if known.as_ref().is_ok_and(|plan| plan.faults().is_none()) || self.compiled_within(FRESH) {
            return known;
        }
        Ok(self.refresh().await?)
    }

    fn compiled_within(&self, age: Duration) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < age)
    }

    /// Changes when something changes for the objects. Returns `None` if the plan was not compiled yet.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).fingerprint()
    }

    /// Compiles the plan against the current catalogue, and logs once what has changed.
    ///
    /// # Errors
    /// Fails when the catalogue cannot be read or the organization's table is missing; what was compiled before is then
    /// forgotten only in the second case.
    pub async fn refresh(&self) -> Result<Arc<CompiledPlan>, PlanError> {
        let compiled = self.database.compile(&self.plan).await.map(Arc::new);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let now = match &compiled {
            Ok(compiled) => Known::Compiled(compiled.clone()),
            Err(PlanError::Faulty(faults)) => Known::Unusable(faults.clone()),
            Err(PlanError::Unread(_)) => return compiled,
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        report(&known, &now);
        *known = now;
        compiled
    }
}

/// One line for each thing that is new.
fn report(before: &Known, now: &Known) {
    if before.fingerprint() != now.fingerprint() {
        match now {
            Known::Compiled(plan) => match plan.erase() {
                Err(faults) => unusable(faults),
                Ok(erase) => {
                    let order: Vec<&str> = erase.entities.iter().map(|e| e.name.as_str()).collect();
                    tracing::info!(order = order.join(", "), digest = plan.digest, "the plan was compiled");
                    for table in &erase.not_paged {
                        tracing::info!(
                            table = table.table.name,
                            "{} has no pages: {}; in a large deletion its rows wait for the last transaction",
                            table.table.name,
                            table.because
                        );
                    }
                }
            },
            Known::Unusable(faults) => unusable(faults),
            Known::Nothing => {}
        }
    }
    let new: Vec<&Finding> = now.warnings().iter().filter(|f| !before.warnings().contains(f)).collect();
    if let Some(unknown) = finding::unknown(new.iter().copied()) {
        tracing::warn!(kind = Kind::UnknownTable.as_str(), "{unknown}");
    }
    for finding in new.into_iter().filter(|f| f.kind != Kind::UnknownTable) {
        tracing::warn!(
            kind = finding.kind.as_str(),
            remedy = finding.remedy.as_deref().unwrap_or_default(),
            "{}",
            finding.message
        );
    }
}

fn unusable(faults: &Faults) {
    let fault = Failure::from(faults);
    tracing::error!(
        reason = fault.reason.as_str(),
        remedy = fault.remedy.as_deref().unwrap_or_default(),
        "{}",
        fault.message()
    );
}
