//! What is counted of one database and of the objects that name it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::families::Families;
use super::label::{DatabaseLabel, EntityLabel, FindingLabel, OutcomeLabel, ReasonLabel};
use super::server::Connections;
use crate::api::Reason;
use crate::api::status::Outcome;
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;
use crate::domain::report::progress::Progress;
use planner::{CompiledPlan, Faults, Finding};

/// What the objects say at the moment.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// When the deletions began that are not completed.
    pub(crate) began: Vec<Timestamp>,
    /// What blocks those of them that are blocked.
    pub(crate) blocked: Vec<Reason>,
    /// How many objects are suspended.
    pub(crate) suspended: usize,
    /// How many deletions a guard rail holds back, by reason.
    pub(crate) held: Vec<(&'static str, usize)>,
}

type Follow<T> = Mutex<Option<Box<dyn Fn() -> T + Send>>>;

/// The metrics of one database.
pub struct DatabaseMetrics {
    database: DatabaseLabel,
    families: Families,
    compiled: AtomicBool,
    objects: Follow<Objects>,
    connections: Follow<Connections>,
    /// The findings that are shown.
    shown: Mutex<Vec<FindingLabel>>,
}

impl DatabaseMetrics {
    pub(super) fn new(database: &str, families: Families) -> Self {
        let metrics = Self {
            database: DatabaseLabel { database: database.to_owned() },
            families,
            compiled: AtomicBool::new(false),
            objects: Mutex::new(None),
            connections: Mutex::new(None),
            shown: Mutex::default(),
        };
        metrics.zero();
        metrics
    }

    /// Shows counters before they count: Prometheus sees no increase in one that begins at 1.
    fn zero(&self) {
        let Self { database, families, .. } = self;
        for outcome in Outcome::ALL {
            drop(families.deletions.get_or_create(&self.outcome(outcome.as_str(), "")));
        }
        for reason in Reason::ALL {
            drop(families.deletions.get_or_create(&self.outcome("Blocked", reason.as_str())));
            drop(families.failures.get_or_create(&self.reason(*reason)));
        }
        drop(families.duration.get_or_create(database));
        drop(families.reconcile_duration.get_or_create(database));
        drop(families.reconciles.get_or_create(database));
        drop(families.unreadable.get_or_create(database));
        drop(families.partly_erased.get_or_create(database));
        families.server.zero(database);
        self.refresh(Timestamp::UNIX_EPOCH);
    }

    fn outcome(&self, outcome: &'static str, reason: &'static str) -> OutcomeLabel {
        OutcomeLabel { database: self.database.clone(), outcome, reason }
    }

    fn reason(&self, reason: Reason) -> ReasonLabel {
        self.word(reason.as_str())
    }

    fn word(&self, reason: &'static str) -> ReasonLabel {
        ReasonLabel { database: self.database.clone(), reason }
    }

    /// The `spec.database`.
    pub(super) fn name(&self) -> &str {
        &self.database.database
    }

    /// Shows how far the deletion of an object in pages is. `None`: it is not deleted in pages, or not any more.
    pub(crate) fn pages(&self, object: &str, shown: Option<(&Progress, Option<i64>)>) {
        self.families.pages.show(&self.database, object, shown);
    }

    /// Sets where a scrape finds what the objects say.
    pub(crate) fn follow(&self, objects: impl Fn() -> Objects + Send + 'static) {
        *locked(&self.objects) = Some(Box::new(objects));
    }

    /// Sets where a scrape finds how many connections to the database there are.
    pub fn follow_connections(&self, connections: impl Fn() -> Connections + Send + 'static) {
        *locked(&self.connections) = Some(Box::new(connections));
    }

    pub(crate) fn reconciled(&self, length: Duration) {
        self.families.reconciles.get_or_create(&self.database).inc();
        self.families.reconcile_duration.get_or_create(&self.database).observe(length.as_secs_f64());
    }

    pub(crate) fn failed(&self, reason: Reason) {
        self.families.failures.get_or_create(&self.reason(reason)).inc();
    }

    pub(crate) fn blocked(&self, reason: Reason) {
        self.families.deletions.get_or_create(&self.outcome("Blocked", reason.as_str())).inc();
    }

    pub(crate) fn completed(&self, proof: &CompletionProof, since: Option<Timestamp>, now: Timestamp) {
        let Self { database, families, .. } = self;
        families.deletions.get_or_create(&self.outcome(proof.outcome().as_str(), "")).inc();
        for step in proof.steps() {
            let rows = u64::try_from(step.deleted).unwrap_or_default();
            let label = EntityLabel { database: database.clone(), entity: step.entity.clone() };
            families.rows.get_or_create(&label).inc_by(rows);
        }
        if let Some(since) = since {
            let length = now.duration_since(since).as_secs_f64().max(0.0);
            families.duration.get_or_create(database).observe(length);
        }
    }

    /// Counts an event about an object that could not be read.
    pub(crate) fn unreadable(&self) {
        self.families.unreadable.get_or_create(&self.database).inc();
    }

    /// Records whether a plan could be used, for a replica that stands by: what is wrong with it is the leader's to say.
    pub fn plan_usable(&self, usable: bool) {
        self.compiled.store(usable, Ordering::Relaxed);
    }

    /// Records of how many organizations a deletion has erased a part whose object is gone.
    pub fn partly_erased(&self, organizations: usize) {
        self.families.partly_erased.get_or_create(&self.database).set(number(organizations));
    }

    /// Records whether the database answered.
    pub fn database_seen(&self, answered: bool) {
        self.families.server.seen(&self.database, answered);
    }

    /// Records that the drift poller has compared all organizations, and how many it found changed.
    pub(crate) fn polled(&self, now: Timestamp, drifted: usize) {
        self.families.server.polled(&self.database, now, drifted);
    }

    /// Records the findings of a compiled plan.
    pub fn plan(&self, plan: &CompiledPlan) {
        self.record(plan.faults(), plan.findings());
    }

    /// Records the faults of a plan that could not be compiled.
    pub fn plan_unusable(&self, faults: &Faults) {
        self.record(Some(faults), faults.findings().iter());
    }

    fn record<'a>(&self, faults: Option<&Faults>, findings: impl Iterator<Item = &'a Finding>) {
        let Self { database, families, .. } = self;
        self.compiled.store(faults.is_none(), Ordering::Relaxed);
        for reason in Reason::ALL {
            families.plan_fault.remove(&self.reason(*reason));
        }
        if let Some(faults) = faults {
            families.plan_fault.get_or_create(&self.reason(Failure::from(faults).reason)).set(1);
        }
        let mut shown = locked(&self.shown);
        for label in shown.drain(..) {
            families.findings.remove(&label);
        }
        for finding in findings {
            let (kind, severity) = (finding.kind.as_str(), finding.severity.as_str());
            let label = FindingLabel { database: database.clone(), kind, severity };
            families.findings.get_or_create(&label).inc();
            shown.push(label);
        }
    }

    /// Whether this database can be used: it answers, and so does the plan.
    pub(super) fn ready(&self) -> Result<(), &'static str> {
        if !self.families.server.answers(&self.database) {
            return Err("the database cannot be used; see the log");
        }
        if !self.compiled.load(Ordering::Relaxed) {
            return Err("the plan cannot be used to delete; organization-operator check and the log say why");
        }
        Ok(())
    }

    /// Shows what is shown only with a value.
    #[cfg(test)]
    pub(super) fn show_all(&self) {
        let Self { database, families, .. } = self;
        drop(families.plan_fault.get_or_create(&self.word("r")));
        drop(families.rows.get_or_create(&EntityLabel { database: database.clone(), entity: "users".to_owned() }));
        drop(families.findings.get_or_create(&FindingLabel { database: database.clone(), kind: "k", severity: "s" }));
    }

    /// Counts what is counted at each scrape.
    pub(super) fn refresh(&self, now: Timestamp) {
        let Self { database, families, .. } = self;
        let objects = locked(&self.objects).as_ref().map(|objects| objects());
        let Objects { began, blocked, suspended, held } = objects.unwrap_or_default();
        let ages: Vec<f64> = began.iter().map(|began| now.duration_since(*began).as_secs_f64()).collect();
        families.suspended.get_or_create(database).set(number(suspended));
        for (reason, count) in held {
            families.held.get_or_create(&self.word(reason)).set(number(count));
        }
        families.oldest.get_or_create(database).set(ages.iter().copied().fold(0.0, f64::max));
        families.unfinished.get_or_create(database).set(number(ages.len()));
        for reason in Reason::ALL {
            let count = blocked.iter().filter(|blocks| *blocks == reason).count();
            families.blocked_now.get_or_create(&self.reason(*reason)).set(number(count));
        }
        let connections = locked(&self.connections).as_ref().map(|connections| connections());
        families.server.connected(database, connections.unwrap_or_default());
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
