//! Metrics in the OpenMetrics text format. `docs/monitoring.md` has an entry for each.

mod database;
mod pages;
mod requests;

pub use database::Connections;
pub use requests::Metered;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::Reason;
use crate::api::status::Outcome;
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;
use crate::domain::report::progress::Progress;
use database::DatabaseMetrics;
use pages::PageMetrics;
use planner::{CompiledPlan, Faults, Finding};
use requests::Requests;

/// The commit of which this program was built, where the build said so.
const REVISION: &str = match option_env!("REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

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
    requests: Requests,
    oldest: Gauge<f64, AtomicU64>,
    unfinished: Gauge<i64, AtomicI64>,
    blocked_now: Family<ReasonLabel, Gauge>,
    suspended: Gauge<i64, AtomicI64>,
    held: Family<ReasonLabel, Gauge>,
    partly_erased: Gauge<i64, AtomicI64>,
    plan_fault: Family<ReasonLabel, Gauge>,
    findings: Family<FindingLabel, Gauge>,
    pages: PageMetrics,
    /// Events about objects that could not be read.
    pub unreadable: Counter,
    database: DatabaseMetrics,
    leader: Gauge,
    /// Whether the Lease could be read. True also where there is no election.
    elects: AtomicBool,
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
            requests: Requests::new(),
            oldest: Gauge::default(),
            unfinished: Gauge::default(),
            blocked_now: Family::default(),
            suspended: Gauge::default(),
            held: Family::default(),
            partly_erased: Gauge::default(),
            plan_fault: Family::default(),
            findings: Family::default(),
            pages: PageMetrics::default(),
            unreadable: Counter::default(),
            database: DatabaseMetrics::default(),
            leader: Gauge::default(),
            elects: AtomicBool::new(true),
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
        metrics.requests.register(&mut registry);
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
            "blocked_deletions",
            "Terminating objects whose deletion is blocked, by reason",
            metrics.blocked_now.clone(),
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
        registry.register(
            "leader",
            "1 if this replica leads, or if there is no election; 0 if it stands by",
            metrics.leader.clone(),
        );
        metrics.pages.register(&mut registry);
        metrics.database.register(&mut registry);
        registry.register(
            "unreadable_objects",
            "Events about objects that the operator could not read",
            metrics.unreadable.clone(),
        );
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        registry.register("build", "The running program", Info::new(build));
        metrics.zero();
        Self { registry, ..metrics }
    }

    /// Shows counters before they count: Prometheus sees no increase in one that begins at 1.
    fn zero(&self) {
        for outcome in Outcome::ALL {
            drop(self.deletions.get_or_create(&OutcomeLabel { outcome: outcome.as_str(), reason: "" }));
        }
        for reason in Reason::ALL {
            let reason = reason.as_str();
            drop(self.deletions.get_or_create(&OutcomeLabel { outcome: "Blocked", reason }));
            drop(self.failures.get_or_create(&ReasonLabel { reason }));
        }
    }

    /// Shows how far the deletion of an object in pages is. `None`: it is not deleted in pages, or not any more.
    pub(crate) fn pages(&self, object: &str, shown: Option<(&Progress, Option<i64>)>) {
        self.pages.show(object, shown);
    }

    /// Sets where `encode` finds what the objects say.
    pub(crate) fn follow(&self, objects: impl Fn() -> Objects + Send + 'static) {
        *self.objects.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(objects));
    }

    /// Sets where `encode` finds how many connections to the database there are.
    pub fn follow_connections(&self, connections: impl Fn() -> Connections + Send + 'static) {
        self.database.follow(connections);
    }

    /// Counts and times the requests of a client.
    #[must_use]
    pub fn metered(&self) -> Metered {
        self.requests.layer()
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

    /// Records whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Records whether the Lease could be read.
    pub fn lease_seen(&self, seen: bool) {
        self.elects.store(seen, Ordering::Relaxed);
    }

    /// Records whether a plan could be used, for a replica that stands by: what is wrong with it is the leader's to say.
    pub fn plan_usable(&self, usable: bool) {
        self.compiled.store(usable, Ordering::Relaxed);
    }

    /// Records of how many organizations a deletion has erased a part whose object is gone.
    pub fn partly_erased(&self, organizations: usize) {
        self.partly_erased.set(i64::try_from(organizations).unwrap_or(i64::MAX));
    }

    /// Records whether the database answered.
    pub fn database_seen(&self, answered: bool) {
        self.database.seen(answered);
    }

    /// Records that the drift poller has compared all organizations, and how many it found changed.
    pub(crate) fn polled(&self, now: Timestamp, drifted: usize) {
        self.database.polled(now, drifted);
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

    /// Whether this replica can lead: the API server lets it take part in the election, the database answers, and the plan can
    /// be used.
    ///
    /// # Errors
    /// Fails with a sentence that says what is missing.
    pub fn ready(&self) -> Result<(), &'static str> {
        if !self.elects.load(Ordering::Relaxed) {
            return Err("the Lease of the leader cannot be read; see the log");
        }
        if !self.database.answers() {
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
        let Objects { began, blocked, suspended, held } = objects.unwrap_or_default();
        let ages: Vec<f64> = began.iter().map(|began| now.duration_since(*began).as_secs_f64()).collect();
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.suspended.set(number(suspended));
        for (reason, count) in held {
            self.held.get_or_create(&ReasonLabel { reason }).set(number(count));
        }
        self.oldest.set(ages.iter().copied().fold(0.0, f64::max));
        self.unfinished.set(number(ages.len()));
        for reason in Reason::ALL {
            let count = blocked.iter().filter(|blocks| *blocks == reason).count();
            self.blocked_now.get_or_create(&ReasonLabel { reason: reason.as_str() }).set(number(count));
        }
        self.database.count();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pace::WaitingFor;

    fn text(metrics: &Metrics) -> String {
        metrics.encode(Timestamp::UNIX_EPOCH).expect("text")
    }

    /// All metrics by the names under which Prometheus stores them (of a histogram without its suffix).
    fn registered() -> BTreeSet<String> {
        // Some with labels are only shown with a value.
        let metrics = Metrics::new();
        let since = Timestamp::UNIX_EPOCH;
        let waiting_for = Some(WaitingFor::Unreadable);
        metrics.pages("acme", Some((&Progress { rows: 7, estimated: 90, since, waiting_for }, None)));
        metrics.follow(|| Objects { held: vec![("Suspended", 1)], ..Objects::default() });
        drop(metrics.plan_fault.get_or_create(&ReasonLabel { reason: "r" }));
        drop(metrics.rows.get_or_create(&EntityLabel { entity: "users".to_owned() }));
        drop(metrics.findings.get_or_create(&FindingLabel { kind: "k", severity: "s" }));
        let shown = text(&metrics);
        let types = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let names = types.map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        });
        names.collect()
    }

    #[test]
    fn the_documentation_names_every_metric_and_no_other() {
        let docs = include_str!("../docs/monitoring.md");
        let rows = docs.lines().filter_map(|line| line.strip_prefix("| `organization_operator_")?.split('|').next());
        let named = rows.flat_map(|names| names.split(", `organization_operator_").collect::<Vec<_>>());
        let named: BTreeSet<String> =
            named.map(|name| format!("organization_operator_{}", name.trim().trim_end_matches('`'))).collect();
        assert!(named.len() > 10, "{named:?}");
        assert_eq!(registered(), named);
    }

    #[test]
    fn what_blocks_is_counted_as_long_as_it_blocks() {
        let metrics = Metrics::new();
        let line = |reason: &str, number: u32| {
            format!("organization_operator_blocked_deletions{{reason=\"{reason}\"}} {number}\n")
        };
        assert!(text(&metrics).contains(&line("ForeignKeyViolation", 0)), "an alert needs a number");
        metrics.follow(|| Objects {
            began: vec![Timestamp::UNIX_EPOCH; 3],
            blocked: vec![Reason::ForeignKeyViolation; 2],
            suspended: 4,
            held: vec![("Suspended", 1)],
        });
        let shown = text(&metrics);
        assert!(shown.contains(&line("ForeignKeyViolation", 2)) && shown.contains(&line("LockTimeout", 0)), "{shown}");
        assert!(shown.contains("organization_operator_unfinished_deletions 3\n"), "{shown}");
        assert!(shown.contains("suspended_objects 4\n") && shown.contains("held{reason=\"Suspended\"} 1\n"), "{shown}");
        metrics.follow(Objects::default);
        assert!(text(&metrics).contains(&line("ForeignKeyViolation", 0)));
    }

    #[test]
    fn counters_are_there_before_they_count() {
        let shown = text(&Metrics::new());
        for line in [
            "deletions_total{outcome=\"Erased\",reason=\"\"} 0",
            "deletions_total{outcome=\"Blocked\",reason=\"ErasureInterrupted\"} 0",
            "failures_total{reason=\"AdmissionDenied\"} 0",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        let build = format!("build_info{{version=\"{}\",revision=\"", env!("CARGO_PKG_VERSION"));
        assert!(shown.contains(&build), "{shown}");
    }

    #[test]
    fn the_database_and_its_connections_show() {
        let metrics = Metrics::new();
        assert!(text(&metrics).contains("connections{state=\"max\"} 0\n"));
        metrics.follow_connections(|| Connections { in_use: 3, idle: 2, max: 10 });
        metrics.database_seen(true);
        metrics.polled(Timestamp::constant(1_800_000_000, 0), 2);
        let shown = text(&metrics);
        for line in [
            "database_connections{state=\"in_use\"} 3",
            "database_connections{state=\"idle\"} 2",
            "database_connections{state=\"max\"} 10",
            "database_up 1",
            "last_poll_timestamp_seconds 1800000000",
            "drifted_organizations_total 2",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        metrics.database_seen(false);
        assert!(text(&metrics).contains("organization_operator_database_up 0\n"));
    }
}
