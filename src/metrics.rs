//! Metrics in the OpenMetrics text format.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::Reason;
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;
use crate::domain::report::progress::Progress;
use crate::pace::WaitingFor;
use planner::{CompiledPlan, Faults, Finding};

/// What the objects say at the moment.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// When the deletions began that are not completed.
    pub(crate) began: Vec<Timestamp>,
    /// How many objects are suspended.
    pub(crate) suspended: usize,
    /// How many deletions a guard rail holds back, by reason.
    pub(crate) held: Vec<(&'static str, usize)>,
}

type Follow = dyn Fn() -> Objects + Send;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EntityLabel {
    entity: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerbLabel {
    verb: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabel {
    object: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WaitLabel {
    object: String,
    waiting_for: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FindingLabel {
    kind: &'static str,
    severity: &'static str,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    deletions: Family<OutcomeLabel, Counter>,
    rows: Family<EntityLabel, Counter>,
    duration: Histogram,
    failures: Family<ReasonLabel, Counter>,
    reconciles: Counter,
    reconcile_duration: Histogram,
    api_calls: Family<VerbLabel, Counter>,
    oldest: Gauge<f64, AtomicU64>,
    unfinished: Gauge<i64, AtomicI64>,
    suspended: Gauge<i64, AtomicI64>,
    held: Family<ReasonLabel, Gauge>,
    partly_erased: Gauge<i64, AtomicI64>,
    plan_fault: Family<ReasonLabel, Gauge>,
    findings: Family<FindingLabel, Gauge>,
    paged_rows: Family<ObjectLabel, Gauge>,
    paged_estimate: Family<ObjectLabel, Gauge>,
    paged_rate: Family<ObjectLabel, Gauge>,
    paged_wait: Family<WaitLabel, Gauge>,
    /// Events about objects that could not be read.
    pub unreadable: Counter,
    database: AtomicBool,
    compiled: AtomicBool,
    objects: Mutex<Option<Box<Follow>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all metrics.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("organization_operator");
        let seconds = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0];
        let metrics = Self {
            deletions: Family::default(),
            rows: Family::default(),
            duration: Histogram::new(seconds),
            failures: Family::default(),
            reconciles: Counter::default(),
            reconcile_duration: Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0]),
            api_calls: Family::default(),
            oldest: Gauge::default(),
            unfinished: Gauge::default(),
            suspended: Gauge::default(),
            held: Family::default(),
            partly_erased: Gauge::default(),
            plan_fault: Family::default(),
            findings: Family::default(),
            paged_rows: Family::default(),
            paged_estimate: Family::default(),
            paged_rate: Family::default(),
            paged_wait: Family::default(),
            unreadable: Counter::default(),
            database: AtomicBool::new(false),
            compiled: AtomicBool::new(false),
            objects: Mutex::new(None),
            registry: Registry::default(),
        };
        registry.register(
            "deletions",
            "Completed deletions, by outcome; with outcome Blocked, failed reconciliations of terminating objects, by reason",
            metrics.deletions.clone(),
        );
        registry.register("rows_deleted", "Rows deleted permanently", metrics.rows.clone());
        registry.register(
            "deletion_duration_seconds",
            "Time from the request to delete the object to its release",
            metrics.duration.clone(),
        );
        registry.register("failures", "Failed reconciliations", metrics.failures.clone());
        registry.register("reconciles", "Reconciliations", metrics.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Duration of reconciliations",
            metrics.reconcile_duration.clone(),
        );
        registry.register("api_calls", "Requests to the API server", metrics.api_calls.clone());
        registry.register(
            "oldest_unfinished_deletion_age_seconds",
            "Age of the oldest terminating object; 0 if there is none",
            metrics.oldest.clone(),
        );
        registry.register("unfinished_deletions", "Terminating objects", metrics.unfinished.clone());
        registry.register(
            "suspended_objects",
            "Objects with spec.suspend, live or terminating",
            metrics.suspended.clone(),
        );
        registry.register(
            "deletions_held",
            "Terminating objects that wait until a person confirms the deletion or lifts the suspension, by reason",
            metrics.held.clone(),
        );
        registry.register(
            "partly_erased_organizations",
            "Organizations of which a deletion has erased a part, and whose object is gone",
            metrics.partly_erased.clone(),
        );
        registry.register(
            "plan_fault",
            "1 while the operator can delete nothing because the plan does not fit, with the reason",
            metrics.plan_fault.clone(),
        );
        registry.register(
            "findings",
            "What `organization-operator check` finds in the schema, by kind and severity (Blocks, Warning)",
            metrics.findings.clone(),
        );
        metrics.register_pages(&mut registry);
        registry.register(
            "unreadable_objects",
            "Events about objects that the operator could not read",
            metrics.unreadable.clone(),
        );
        Self { registry, ..metrics }
    }

    fn register_pages(&self, registry: &mut Registry) {
        registry.register(
            "batch_rows_deleted",
            "Rows deleted so far of an organization that is deleted in pages",
            self.paged_rows.clone(),
        );
        registry.register(
            "batch_rows_estimated",
            "Estimated number of rows of that organization before the first page",
            self.paged_estimate.clone(),
        );
        registry.register(
            "batch_rows_per_second",
            "Recent rate of that deletion in rows per second, pauses included",
            self.paged_rate.clone(),
        );
        registry.register(
            "batch_waiting",
            "1 while that deletion waits or is slowed down, with the cause",
            self.paged_wait.clone(),
        );
    }

    /// Shows how far the deletion of an object in pages is. `None`: it is not deleted in pages, or not any more.
    pub(crate) fn pages(&self, object: &str, shown: Option<(&Progress, Option<i64>)>) {
        let label = ObjectLabel { object: object.to_owned() };
        if shown.is_none() && self.paged_rows.get(&label).is_none() {
            return;
        }
        for waiting_for in WaitingFor::LABELS {
            self.paged_wait.remove(&WaitLabel { object: object.to_owned(), waiting_for });
        }
        let Some((progress, rate)) = shown else {
            for gauge in [&self.paged_rows, &self.paged_estimate, &self.paged_rate] {
                gauge.remove(&label);
            }
            return;
        };
        self.paged_rows.get_or_create(&label).set(progress.rows);
        self.paged_estimate.get_or_create(&label).set(progress.estimated.max(progress.rows));
        self.paged_rate.get_or_create(&label).set(rate.unwrap_or_default());
        if let Some(waiting_for) = &progress.waiting_for {
            let label = WaitLabel { object: label.object, waiting_for: waiting_for.label() };
            self.paged_wait.get_or_create(&label).set(1);
        }
    }

    /// Sets where `encode` finds what the objects say.
    pub(crate) fn follow(&self, objects: impl Fn() -> Objects + Send + 'static) {
        *self.objects.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(objects));
    }

    /// Counts a request to the API server.
    pub fn api_call(&self, verb: &str) {
        self.api_calls.get_or_create(&VerbLabel { verb: verb.to_owned() }).inc();
    }

    pub(crate) fn reconciled(&self, length: Duration) {
        self.reconciles.inc();
        self.reconcile_duration.observe(length.as_secs_f64());
    }

    pub(crate) fn failed(&self, reason: Reason) {
        self.failures.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
    }

    pub(crate) fn blocked(&self, reason: Reason) {
        let label = OutcomeLabel { outcome: "Blocked", reason: reason.as_str() };
        self.deletions.get_or_create(&label).inc();
    }

    pub(crate) fn completed(&self, proof: &CompletionProof, since: Option<Timestamp>, now: Timestamp) {
        let label = OutcomeLabel { outcome: proof.outcome().as_str(), reason: "" };
        self.deletions.get_or_create(&label).inc();
        for step in proof.steps() {
            let rows = u64::try_from(step.deleted).unwrap_or_default();
            self.rows.get_or_create(&EntityLabel { entity: step.entity.clone() }).inc_by(rows);
        }
        if let Some(since) = since {
            self.duration.observe(now.duration_since(since).as_secs_f64().max(0.0));
        }
    }

    /// Records of how many organizations a deletion has erased a part whose object is gone.
    pub fn partly_erased(&self, organizations: usize) {
        self.partly_erased.set(i64::try_from(organizations).unwrap_or(i64::MAX));
    }

    /// Records whether the database answered.
    pub fn database_seen(&self, answered: bool) {
        self.database.store(answered, Ordering::Relaxed);
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
        self.compiled.store(faults.is_none(), Ordering::Relaxed);
        self.plan_fault.clear();
        if let Some(faults) = faults {
            let reason = Failure::from(faults).reason;
            self.plan_fault.get_or_create(&ReasonLabel { reason: reason.as_str() }).set(1);
        }
        self.findings.clear();
        for finding in findings {
            let label = FindingLabel { kind: finding.kind.as_str(), severity: finding.severity.as_str() };
            self.findings.get_or_create(&label).inc();
        }
    }

    /// Whether the database answers and the plan can be used.
    ///
    /// # Errors
    /// Fails with a sentence that says what is missing.
    pub fn ready(&self) -> Result<(), &'static str> {
        if !self.database.load(Ordering::Relaxed) {
            return Err("the database does not answer; see the log");
        }
        if !self.compiled.load(Ordering::Relaxed) {
            return Err("the plan cannot be used to delete; organization-operator check and the log say why");
        }
        Ok(())
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Fails only if the text cannot be written.
    pub fn encode(&self, now: Timestamp) -> Result<String, std::fmt::Error> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|objects| objects());
        let Objects { began, suspended, held } = objects.unwrap_or_default();
        let ages: Vec<f64> = began.iter().map(|began| now.duration_since(*began).as_secs_f64()).collect();
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.suspended.set(number(suspended));
        for (reason, count) in held {
            self.held.get_or_create(&ReasonLabel { reason }).set(number(count));
        }
        self.oldest.set(ages.iter().copied().fold(0.0, f64::max));
        self.unfinished.set(number(ages.len()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.encode(Timestamp::UNIX_EPOCH).expect("text")
    }

    #[test]
    fn pages_show_while_there_are_any() {
        let metrics = Metrics::new();
        let since = Timestamp::UNIX_EPOCH;
        let wait = Some(WaitingFor::Rows { limit: 5 });
        let progress = Progress { rows: 7, estimated: 90, since, waiting_for: wait };
        metrics.pages("acme", Some((&progress, Some(3))));
        let shown = text(&metrics);
        for line in [
            "organization_operator_batch_rows_deleted{object=\"acme\"} 7\n",
            "organization_operator_batch_rows_estimated{object=\"acme\"} 90\n",
            "organization_operator_batch_rows_per_second{object=\"acme\"} 3\n",
            "organization_operator_batch_waiting{object=\"acme\",waiting_for=\"RowsPerSecond\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line} is missing: {shown}");
        }
        let wait = Some(WaitingFor::Unreadable);
        metrics.pages("acme", Some((&Progress { rows: 99, waiting_for: wait, ..progress.clone() }, None)));
        let shown = text(&metrics);
        assert!(shown.contains("estimated{object=\"acme\"} 99\n") && shown.contains("per_second{object=\"acme\"} 0\n"));
        assert!(shown.contains("StandbysUnreadable") && !shown.contains("waiting_for=\"RowsPerSecond\""), "{shown}");
        metrics.pages("acme", Some((&Progress { waiting_for: None, ..progress }, None)));
        assert!(!text(&metrics).contains("waiting_for="), "it waits for nothing");
        metrics.pages("acme", None);
        assert!(!text(&metrics).contains("acme"), "nothing is left of it");
    }

    #[test]
    fn the_documentation_names_every_metric() {
        // A metric with labels is only shown with a value.
        let metrics = Metrics::new();
        let since = Timestamp::UNIX_EPOCH;
        let waiting_for = Some(WaitingFor::Unreadable);
        metrics.pages("acme", Some((&Progress { rows: 7, estimated: 90, since, waiting_for }, None)));
        metrics.api_call("GET");
        metrics.follow(|| Objects { held: vec![("Suspended", 1)], ..Objects::default() });
        metrics.blocked(Reason::LockTimeout);
        metrics.failed(Reason::LockTimeout);
        let docs = include_str!("../docs/install.md");
        let shown = text(&metrics);
        let described: Vec<&str> =
            shown.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
        assert!(described.len() > 10, "{shown}");
        for name in described {
            assert!(docs.contains(&format!("`{name}`")) || docs.contains(&format!("`{name}_total`")), "{name}");
        }
    }
}
