//! How far the deletion of a large tenant in pages is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::label::DatabaseLabel;
use crate::domain::report::progress::Progress;
use crate::pace::WaitingFor;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabel {
    #[prometheus(flatten)]
    database: DatabaseLabel,
    object: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WaitLabel {
    #[prometheus(flatten)]
    database: DatabaseLabel,
    object: String,
    waiting_for: &'static str,
}

/// Gauges with the object's name, there only as long as the object is deleted in pages.
#[derive(Clone, Default)]
pub(super) struct PageMetrics {
    rows: Family<ObjectLabel, Gauge>,
    estimate: Family<ObjectLabel, Gauge>,
    rate: Family<ObjectLabel, Gauge>,
    wait: Family<WaitLabel, Gauge>,
}

impl PageMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "batch_rows_deleted",
            "Rows deleted so far of an organization that is deleted in pages",
            self.rows.clone(),
        );
        registry.register(
            "batch_rows_estimated",
            "Estimated number of rows of that organization before the first page",
            self.estimate.clone(),
        );
        registry.register(
            "batch_rows_per_second",
            "Recent rate of that deletion in rows per second, pauses included",
            self.rate.clone(),
        );
        registry.register(
            "batch_waiting",
            "1 while that deletion waits or is slowed down, with the cause",
            self.wait.clone(),
        );
    }

    /// Shows the progress of an object, and its rate in rows per second. `None` removes it.
    pub(super) fn show(&self, database: &DatabaseLabel, object: &str, shown: Option<(&Progress, Option<i64>)>) {
        let label = ObjectLabel { database: database.clone(), object: object.to_owned() };
        let wait = |waiting_for| WaitLabel { database: database.clone(), object: object.to_owned(), waiting_for };
        if shown.is_none() && self.rows.get(&label).is_none() {
            return;
        }
        for waiting_for in WaitingFor::LABELS {
            self.wait.remove(&wait(waiting_for));
        }
        let Some((progress, rate)) = shown else {
            for gauge in [&self.rows, &self.estimate, &self.rate] {
                gauge.remove(&label);
            }
            return;
        };
        self.rows.get_or_create(&label).set(progress.rows);
        self.estimate.get_or_create(&label).set(progress.estimated.max(progress.rows));
        self.rate.get_or_create(&label).set(rate.unwrap_or_default());
        if let Some(waiting_for) = &progress.waiting_for {
            self.wait.get_or_create(&wait(waiting_for.label())).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::super::Metrics;
    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.encode(Timestamp::UNIX_EPOCH).expect("text")
    }

    #[test]
    fn pages_show_while_there_are_any() {
        let metrics = Metrics::new(["eu"]);
        let database = &metrics.databases()[0];
        let since = Timestamp::UNIX_EPOCH;
        let wait = Some(WaitingFor::Rows { limit: 5 });
        let progress = Progress { rows: 7, estimated: 90, since, waiting_for: wait };
        database.pages("acme", Some((&progress, Some(3))));
        let shown = text(&metrics);
        for line in [
            "organization_operator_batch_rows_deleted{database=\"eu\",object=\"acme\"} 7\n",
            "organization_operator_batch_rows_estimated{database=\"eu\",object=\"acme\"} 90\n",
            "organization_operator_batch_rows_per_second{database=\"eu\",object=\"acme\"} 3\n",
            "organization_operator_batch_waiting{database=\"eu\",object=\"acme\",waiting_for=\"RowsPerSecond\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line} is missing: {shown}");
        }
        let wait = Some(WaitingFor::Unreadable);
        database.pages("acme", Some((&Progress { rows: 99, waiting_for: wait, ..progress.clone() }, None)));
        let shown = text(&metrics);
        assert!(
            shown.contains("estimated{database=\"eu\",object=\"acme\"} 99\n")
                && shown.contains("per_second{database=\"eu\",object=\"acme\"} 0\n")
        );
        assert!(shown.contains("StandbysUnreadable") && !shown.contains("waiting_for=\"RowsPerSecond\""), "{shown}");
        database.pages("acme", Some((&Progress { waiting_for: None, ..progress }, None)));
        assert!(!text(&metrics).contains("waiting_for="), "it waits for nothing");
        database.pages("acme", None);
        assert!(!text(&metrics).contains("acme"), "nothing is left of it");
    }
}
