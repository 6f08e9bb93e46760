//! Metrics in the OpenMetrics text format. `docs/monitoring.md` has an entry for each.

mod database;
mod families;
mod label;
mod pages;
mod requests;
mod server;

pub use database::DatabaseMetrics;
pub(crate) use database::Objects;
pub use requests::Metered;
pub use server::Connections;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use families::Families;
use requests::Requests;

/// The commit of which this program was built, where the build said so.
const REVISION: &str = match option_env!("REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    leader: Gauge,
    unserved: Gauge,
    counts_unserved: Mutex<Option<Box<dyn Fn() -> usize + Send>>>,
    /// Whether the Lease could be read. True also where there is no election.
    elects: AtomicBool,
    databases: Vec<Arc<DatabaseMetrics>>,
}

impl Metrics {
    /// Registers all metrics. `databases` are the names of those that the process serves.
    #[must_use]
    pub fn new<'a>(databases: impl IntoIterator<Item = &'a str>) -> Self {
        let mut registry = Registry::with_prefix("organization_operator");
        let families = Families::new();
        families.register(&mut registry);
        let (requests, leader, unserved) = (Requests::new(), Gauge::default(), Gauge::default());
        requests.register(&mut registry);
        registry.register(
            "leader",
            "1 if this replica leads, or if there is no election; 0 if it stands by",
            leader.clone(),
        );
        registry.register(
            "unserved_objects",
            "Objects that no operator has taken up, because nobody serves their spec.database",
            unserved.clone(),
        );
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        registry.register("build", "The running program", Info::new(build));
        let databases = databases.into_iter().map(|name| Arc::new(DatabaseMetrics::new(name, families.clone())));
        Self {
            databases: databases.collect(),
            registry,
            requests,
            leader,
            unserved,
            counts_unserved: Mutex::new(None),
            elects: AtomicBool::new(true),
        }
    }

    /// Those of each database, in the order in which they were named.
    #[must_use]
    pub fn databases(&self) -> &[Arc<DatabaseMetrics>] {
        &self.databases
    }

    /// Counts and times the requests of a client.
    #[must_use]
    pub fn metered(&self) -> Metered {
        self.requests.layer()
    }

    /// Records whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Records whether the Lease could be read.
    pub fn lease_seen(&self, seen: bool) {
        self.elects.store(seen, Ordering::Relaxed);
    }

    /// Sets where a scrape finds how many objects name a database that nobody serves.
    pub(crate) fn follow_unserved(&self, objects: impl Fn() -> usize + Send + 'static) {
        *self.counts_unserved.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(objects));
    }

    /// Whether this replica can lead: the API server lets it take part in the election, and of the databases at least one can be
    /// used. One that cannot must not keep a rollout from the others.
    ///
    /// # Errors
    /// Fails if it cannot. Both ways, the text says what is missing, a line for each database if there are several.
    pub fn ready(&self) -> Result<String, String> {
        if !self.elects.load(Ordering::Relaxed) {
            return Err("the Lease of the leader cannot be read; see the log".to_owned());
        }
        let states: Vec<_> = self.databases.iter().map(|database| (database.name(), database.ready())).collect();
        let text = match states.as_slice() {
            [(_, state)] => said(*state).to_owned(),
            several => {
                several.iter().map(|(name, state)| format!("{name}: {}", said(*state))).collect::<Vec<_>>().join("\n")
            }
        };
        if states.iter().any(|(_, state)| state.is_ok()) { Ok(text) } else { Err(text) }
    }

    /// Whether one database can be used. Returns `None` if the process does not serve it.
    #[must_use]
    pub fn database_ready(&self, name: &str) -> Option<Result<(), &'static str>> {
        self.databases.iter().find(|database| database.name() == name).map(|database| database.ready())
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Fails only if the text cannot be written.
    pub fn encode(&self, now: Timestamp) -> Result<String, std::fmt::Error> {
        for database in &self.databases {
            database.refresh(now);
        }
        let counts = self.counts_unserved.lock().unwrap_or_else(PoisonError::into_inner);
        let unserved = counts.as_ref().map(|count| count()).unwrap_or_default();
        self.unserved.set(i64::try_from(unserved).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn said(state: Result<(), &'static str>) -> &'static str {
    state.map_or_else(|missing| missing, |()| "ok")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::Reason;
    use crate::domain::report::progress::Progress;
    use crate::pace::WaitingFor;

    fn one() -> (Metrics, Arc<DatabaseMetrics>) {
        let metrics = Metrics::new(["eu"]);
        let database = metrics.databases()[0].clone();
        (metrics, database)
    }

    fn text(metrics: &Metrics) -> String {
        metrics.encode(Timestamp::UNIX_EPOCH).expect("text")
    }

    /// All metrics by the names under which Prometheus stores them (of a histogram without its suffix).
    fn registered() -> BTreeSet<String> {
        // Some with labels are only shown with a value.
        let (metrics, database) = one();
        let since = Timestamp::UNIX_EPOCH;
        let waiting_for = Some(WaitingFor::Unreadable);
        database.pages("acme", Some((&Progress { rows: 7, estimated: 90, since, waiting_for }, None)));
        database.follow(|| Objects { held: vec![("Suspended", 1)], ..Objects::default() });
        database.show_all();
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
        let (metrics, database) = one();
        let line = |reason: &str, number: u32| {
            format!("organization_operator_blocked_deletions{{database=\"eu\",reason=\"{reason}\"}} {number}\n")
        };
        assert!(text(&metrics).contains(&line("ForeignKeyViolation", 0)), "an alert needs a number");
        database.follow(|| Objects {
            began: vec![Timestamp::UNIX_EPOCH; 3],
            blocked: vec![Reason::ForeignKeyViolation; 2],
            suspended: 4,
            held: vec![("Suspended", 1)],
        });
        let shown = text(&metrics);
        assert!(shown.contains(&line("ForeignKeyViolation", 2)) && shown.contains(&line("LockTimeout", 0)), "{shown}");
        assert!(shown.contains("organization_operator_unfinished_deletions{database=\"eu\"} 3\n"), "{shown}");
        assert!(shown.contains("suspended_objects{database=\"eu\"} 4\n"), "{shown}");
        assert!(shown.contains("held{database=\"eu\",reason=\"Suspended\"} 1\n"), "{shown}");
        database.follow(Objects::default);
        assert!(text(&metrics).contains(&line("ForeignKeyViolation", 0)));
    }

    #[test]
    fn counters_are_there_before_they_count() {
        let shown = text(&one().0);
        for line in [
            "deletions_total{database=\"eu\",outcome=\"Erased\",reason=\"\"} 0",
            "deletions_total{database=\"eu\",outcome=\"Blocked\",reason=\"ErasureInterrupted\"} 0",
            "failures_total{database=\"eu\",reason=\"AdmissionDenied\"} 0",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        let build = format!("build_info{{version=\"{}\",revision=\"", env!("CARGO_PKG_VERSION"));
        assert!(shown.contains(&build), "{shown}");
    }

    #[test]
    fn the_database_and_its_connections_show() {
        let (metrics, database) = one();
        assert!(text(&metrics).contains("connections{database=\"eu\",state=\"max\"} 0\n"));
        database.follow_connections(|| Connections { in_use: 3, idle: 2, max: 10 });
        database.database_seen(true);
        database.polled(Timestamp::constant(1_800_000_000, 0), 2);
        let shown = text(&metrics);
        for line in [
            "database_connections{database=\"eu\",state=\"in_use\"} 3",
            "database_connections{database=\"eu\",state=\"idle\"} 2",
            "database_connections{database=\"eu\",state=\"max\"} 10",
            "database_up{database=\"eu\"} 1",
            "last_poll_timestamp_seconds{database=\"eu\"} 1800000000",
            "drifted_organizations_total{database=\"eu\"} 2",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        database.database_seen(false);
        assert!(text(&metrics).contains("organization_operator_database_up{database=\"eu\"} 0\n"));
    }

    #[test]
    fn each_database_has_its_own_numbers_under_one_name() {
        let metrics = Metrics::new(["eu", "us"]);
        let [eu, us] = metrics.databases() else { unreachable!("two") };
        eu.database_seen(true);
        us.failed(Reason::DatabaseUnavailable);
        let shown = text(&metrics);
        for line in [
            "database_up{database=\"eu\"} 1",
            "database_up{database=\"us\"} 0",
            "failures_total{database=\"eu\",reason=\"DatabaseUnavailable\"} 0",
            "failures_total{database=\"us\",reason=\"DatabaseUnavailable\"} 1",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        // A metric family must not come twice (OpenMetrics).
        assert_eq!(shown.matches("# TYPE organization_operator_failures counter").count(), 1, "{shown}");
    }

    #[test]
    fn ready_as_long_as_one_database_can_be_used() {
        let metrics = Metrics::new(["eu", "us"]);
        let [eu, us] = metrics.databases() else { unreachable!("two") };
        let silent = "the database cannot be used; see the log";
        assert_eq!(metrics.ready(), Err(format!("eu: {silent}\nus: {silent}")));
        for database in [eu, us] {
            database.database_seen(true);
        }
        us.plan_usable(true);
        let ready = metrics.ready().expect("one of them");
        assert!(ready.starts_with("eu: the plan cannot be used") && ready.ends_with("\nus: ok"), "{ready}");
        assert_eq!(metrics.database_ready("us"), Some(Ok(())));
        assert!(metrics.database_ready("eu").is_some_and(|ready| ready.is_err()));
        assert_eq!(metrics.database_ready("asia"), None);
        metrics.lease_seen(false);
        assert!(metrics.ready().expect_err("it cannot lead").contains("Lease"));
        let (metrics, database) = one();
        assert_eq!(metrics.ready(), Err(silent.to_owned()), "one has no name in front");
        database.database_seen(true);
        database.plan_usable(true);
        assert_eq!(metrics.ready(), Ok("ok".to_owned()));
    }
}
