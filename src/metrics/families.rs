//! The metrics that each database has, with its name as a label.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::label::{DatabaseLabel, EntityLabel, FindingLabel, OutcomeLabel, ReasonLabel};
use super::pages::PageMetrics;
use super::server::ServerMetrics;

type Histograms = Family<DatabaseLabel, Histogram, fn() -> Histogram>;

/// Registered once, for all databases.
#[derive(Clone)]
pub(super) struct Families {
    pub(super) deletions: Family<OutcomeLabel, Counter>,
    pub(super) rows: Family<EntityLabel, Counter>,
    pub(super) duration: Histograms,
    pub(super) failures: Family<ReasonLabel, Counter>,
    pub(super) reconciles: Family<DatabaseLabel, Counter>,
    pub(super) reconcile_duration: Histograms,
    pub(super) oldest: Family<DatabaseLabel, Gauge<f64, AtomicU64>>,
    pub(super) unfinished: Family<DatabaseLabel, Gauge>,
    pub(super) blocked_now: Family<ReasonLabel, Gauge>,
    pub(super) suspended: Family<DatabaseLabel, Gauge>,
    pub(super) held: Family<ReasonLabel, Gauge>,
    pub(super) partly_erased: Family<DatabaseLabel, Gauge>,
    pub(super) plan_fault: Family<ReasonLabel, Gauge>,
    pub(super) findings: Family<FindingLabel, Gauge>,
    pub(super) unreadable: Family<DatabaseLabel, Counter>,
    pub(super) pages: PageMetrics,
    pub(super) server: ServerMetrics,
}

impl Families {
    pub(super) fn new() -> Self {
        let deletion = || Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0]);
        let reconciliation = || Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0]);
        Self {
            deletions: Family::default(),
            rows: Family::default(),
            duration: Family::new_with_constructor(deletion),
            failures: Family::default(),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(reconciliation),
            oldest: Family::default(),
            unfinished: Family::default(),
            blocked_now: Family::default(),
            suspended: Family::default(),
            held: Family::default(),
            partly_erased: Family::default(),
            plan_fault: Family::default(),
            findings: Family::default(),
            unreadable: Family::default(),
            pages: PageMetrics::default(),
            server: ServerMetrics::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "deletions",
            "Completed deletions, by outcome; with outcome Blocked, failed reconciliations of terminating objects, by reason",
            self.deletions.clone(),
        );
        registry.register("rows_deleted", "Rows deleted permanently", self.rows.clone());
        registry.register(
            "deletion_duration_seconds",
            "Time from the request to delete the object to its release",
            self.duration.clone(),
        );
        registry.register("failures", "Failed reconciliations", self.failures.clone());
        registry.register("reconciles", "Reconciliations", self.reconciles.clone());
        registry.register("reconcile_duration_seconds", "Duration of reconciliations", self.reconcile_duration.clone());
        registry.register(
            "oldest_unfinished_deletion_age_seconds",
            "Age of the oldest terminating object; 0 if there is none",
            self.oldest.clone(),
        );
        registry.register("unfinished_deletions", "Terminating objects", self.unfinished.clone());
        registry.register(
            "suspended_objects",
            "Objects with spec.suspend, live or terminating",
            self.suspended.clone(),
        );
        registry.register(
            "deletions_held",
            "Terminating objects that wait until a person confirms the deletion or lifts the suspension, by reason",
            self.held.clone(),
        );
        registry.register(
            "blocked_deletions",
            "Terminating objects whose deletion is blocked, by reason",
            self.blocked_now.clone(),
        );
        registry.register(
            "partly_erased_organizations",
            "Organizations of which a deletion has erased a part, and whose object is gone",
            self.partly_erased.clone(),
        );
        registry.register(
            "plan_fault",
            "1 while the operator can delete nothing because the plan does not fit, with the reason",
            self.plan_fault.clone(),
        );
        registry.register(
            "findings",
            "What `organization-operator check` finds in the schema, by kind and severity (Blocks, Warning)",
            self.findings.clone(),
        );
        self.pages.register(registry);
        self.server.register(registry);
        registry.register(
            "unreadable_objects",
            "Events about objects that the operator could not read",
            self.unreadable.clone(),
        );
    }
}
