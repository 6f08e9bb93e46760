//! The probes of the manifest, as often as it says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use testbed::Container;
use tokio::task::JoinHandle;

use super::kubelet::{Pod, text};
use crate::support::{PATIENCE, http};

/// Between two requests for the time until the program is ready.
const POLL: Duration = Duration::from_millis(5);

/// The kubelet's probes of a container, until this value goes.
pub struct Probes {
    counts: Arc<Mutex<Counts>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    started: bool,
    /// Readiness probes that succeeded.
    ready: u32,
    /// Liveness probes that succeeded.
    alive: u32,
    /// The most failures in a row, of any probe after the start.
    failures: u32,
    /// Whether the kubelet would kill the container.
    killed: bool,
}

/// One probe of the manifest.
#[derive(Clone)]
struct Probe {
    path: String,
    port: u16,
    period: Duration,
    timeout: Duration,
    delay: Duration,
    threshold: u32,
}

impl Probe {
    fn new(pod: &Pod, name: &str) -> Self {
        let probe = &pod.main()[name];
        let number = |field: &str| probe[field].as_u64().unwrap_or_else(|| panic!("{name} has no {field}: {probe}"));
        let http = &probe["httpGet"];
        assert_eq!(http["scheme"], "HTTP");
        let port = match &http["port"] {
            Value::String(name) => pod.port(name),
            number => pod.port(&number.to_string()),
        };
        Self {
            path: text(&http["path"]).to_owned(),
            port,
            period: Duration::from_secs(number("periodSeconds")),
            timeout: Duration::from_secs(number("timeoutSeconds")),
            delay: Duration::from_secs(probe["initialDelaySeconds"].as_u64().unwrap_or(0)),
            threshold: number("failureThreshold").try_into().expect("a threshold"),
        }
    }

    async fn succeeds(&self, container: &Container) -> bool {
        let answer = tokio::time::timeout(self.timeout, get(container, self.port, &self.path)).await;
        answer.is_ok_and(|answer| answer.is_some_and(|(status, _)| (200..400).contains(&status)))
    }

    /// Asks until the probe has failed as often as it may. `note` counts.
    async fn repeat(&self, container: &Container, note: impl Fn(bool, u32)) {
        tokio::time::sleep(self.delay).await;
        let mut failures = 0;
        while failures < self.threshold {
            let success = self.succeeds(container).await;
            failures = if success { 0 } else { failures + 1 };
            note(success, failures);
            tokio::time::sleep(self.period).await;
        }
    }
}

impl Probes {
    pub fn start(pod: &Pod, container: Arc<Container>) -> Self {
        let [startup, liveness, readiness] =
            ["startupProbe", "livenessProbe", "readinessProbe"].map(|name| Probe::new(pod, name));
        // A container that is not ready goes on.
        let readiness = Probe { threshold: u32::MAX, ..readiness };
        let counts = Arc::new(Mutex::new(Counts::default()));
        let noted = counts.clone();
        let task = tokio::spawn(async move {
            let note = |change: &dyn Fn(&mut Counts)| change(&mut noted.lock().expect("a lock"));
            tokio::time::sleep(startup.delay).await;
            let mut failures = 0;
            while !startup.succeeds(&container).await {
                failures += 1;
                if failures >= startup.threshold {
                    return note(&|counts| counts.killed = true);
                }
                tokio::time::sleep(startup.period).await;
            }
            note(&|counts| counts.started = true);
            let alive = liveness.repeat(&container, |success, failures| {
                note(&|counts| {
                    counts.alive += u32::from(success);
                    counts.failures = counts.failures.max(failures);
                });
            });
            let ready = readiness.repeat(&container, |success, _| note(&|counts| counts.ready += u32::from(success)));
            tokio::select! {
                () = alive => note(&|counts| counts.killed = true),
                () = ready => {}
            }
        });
        Self { counts, task }
    }

    /// The container has started, is ready and alive, and has never failed a liveness probe.
    pub fn all_well(&self, container: &Container) {
        let counts = *self.counts.lock().expect("a lock");
        let well = counts.started && counts.ready > 0 && counts.alive > 0 && counts.failures == 0 && !counts.killed;
        assert!(well, "{counts:?}: {}", container.log());
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the readiness probe succeeds. Returns how long after its start the program was ready.
pub async fn until_ready(pod: &Pod, container: &Container) -> Duration {
    let probe = Probe::new(pod, "readinessProbe");
    while !probe.succeeds(container).await {
        let elapsed = container.begin().elapsed();
        let waits = container.exit().is_none() && elapsed < PATIENCE;
        assert!(waits, "not ready after {elapsed:?}; its log:\n{}", container.log());
        tokio::time::sleep(POLL).await;
    }
    container.begin().elapsed()
}

/// Status and body of an HTTP GET. Returns `None` if nobody answers.
pub async fn get(container: &Container, port: u16, path: &str) -> Option<(u16, String)> {
    http::get(container.connect(port).ok()?, path).await
}
