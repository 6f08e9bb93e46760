//! Runs the operator's own binary.

use std::path::PathBuf;

use serde_json::{Value, json};
use testbed::{ProcessGuard, Signal};

use super::eventually;
use super::scene::Scene;
use super::world::{binary, path};

/// An operator that is about to start.
pub struct Launch {
    config: Value,
    url: Option<String>,
    server: Option<String>,
    /// The database that it serves. `None`: all that the configuration lists.
    class: Option<String>,
    token: String,
    kubeconfig: String,
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

/// An operator that runs. It is killed when this value goes.
pub struct Operator {
    guard: ProcessGuard,
    address: String,
    /// The one database that it serves.
    class: Option<String>,
}

impl Launch {
    pub fn new(scene: &Scene) -> Self {
        let mut config = json!({
            // Fast, so that a test never waits for a timer of a person's size.
            "pollIntervalSeconds": 1,
            "drainSeconds": 1,
            "handoverSeconds": 0,
            // Many tests delete all that they have at once, and mean it.
            "breaker": "never",
            "database": {"maxConnections": 7, "lockTimeoutSeconds": 2, "statementTimeoutSeconds": 20},
            "retry": {
                "backoff": {"initialSeconds": 1, "maxSeconds": 2},
                "slow": {"initialSeconds": 1, "maxSeconds": 2},
            },
        });
        if let Some(plan) = scene.variant.plan() {
            let text = std::fs::read_to_string(path(plan)).expect("a plan");
            let plan: Value = serde_yaml::from_str(&text).expect("a plan");
            config["cascade"] = plan["cascade"].clone();
        }
        let directory = scene.world.directory.path().join(&scene.class);
        std::fs::create_dir_all(&directory).expect("a directory");
        Self {
            config,
            url: Some(scene.url()),
            server: None,
            class: Some(scene.class.clone()),
            token: scene.world.token.clone(),
            kubeconfig: scene.world.control_plane().kubeconfig(&scene.world.token, None),
            directory,
            environment: Vec::new(),
        }
    }

    /// Changes the configuration: `configure("cascade", json!({..}))`, `configure("database.migrate", json!(false))`.
    pub fn configure(mut self, field: &str, value: Value) -> Self {
        let pointer = format!("/{}", field.replace('.', "/"));
        match self.config.pointer_mut(&pointer) {
            Some(place) => *place = value,
            None => match field.rsplit_once('.') {
                Some((parent, child)) => {
                    let parent = self.config.pointer_mut(&format!("/{}", parent.replace('.', "/")));
                    parent.expect("the parent field")[child] = value;
                }
                None => self.config[field] = value,
            },
        }
        self
    }

    /// With the defaults that ship, apart from the plan. A benchmark deletes all that it has, and means it: the breaker counts as
    /// always, but trips later than any burst is large.
    #[allow(dead_code, reason = "the benchmark's, which shares this file")]
    pub fn shipped_defaults(mut self) -> Self {
        let plan = self.config.get("cascade").cloned();
        self.config = json!({"breaker": {"deletions": 5000}});
        if let Some(plan) = plan {
            self.config["cascade"] = plan;
        }
        self.environment.push(("RUST_LOG".to_owned(), "info".to_owned()));
        self
    }

    /// Connects to another database URL, for example through a proxy.
    pub fn url(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// Takes the database URL from a file.
    pub fn url_file(mut self, path: &str) -> Self {
        self.url = None;
        self.configure("database.urlFile", json!(path))
    }

    /// Serves all of these databases: the value of `databases`.
    pub fn databases(mut self, list: Value) -> Self {
        self.url = None;
        self.class = None;
        self.configure("databases", list)
    }

    /// Logs as `RUST_LOG` says.
    pub fn log(mut self, filter: &str) -> Self {
        self.environment.push(("RUST_LOG".to_owned(), filter.to_owned()));
        self
    }

    /// Talks to the API server through a proxy.
    pub fn through(mut self, scene: &Scene, proxy: &testbed::proxy::ApiProxy) -> Self {
        self.server = Some(proxy.url());
        self.kubeconfig = scene.world.control_plane().kubeconfig(&self.token, self.server.as_deref());
        self
    }

    /// Talks to the API server with another token.
    pub fn token(mut self, scene: &Scene, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self.kubeconfig = scene.world.control_plane().kubeconfig(&self.token, self.server.as_deref());
        self
    }

    /// One of several replicas: it takes part in an election, and has files of its own. The times are `leaderElection`.
    pub fn replica(mut self, name: &str, namespace: &str, times: &Value) -> Self {
        self.directory = self.directory.join(name);
        std::fs::create_dir_all(&self.directory).expect("a directory");
        self.environment.push(("POD_NAMESPACE".to_owned(), namespace.to_owned()));
        self.environment.push(("POD_NAME".to_owned(), name.to_owned()));
        self.configure("leaderElection", times.clone())
    }

    /// Starts it; it may not be ready yet.
    pub async fn launch(self) -> Operator {
        let write = |name: &str, text: &str| {
            let path = self.directory.join(name);
            std::fs::write(&path, text).expect("a file");
            path.to_string_lossy().into_owned()
        };
        let config = write("config.yaml", &serde_yaml::to_string(&self.config).expect("a configuration"));
        let kubeconfig = write("kubeconfig", &self.kubeconfig);
        let log = self.directory.join("operator.log");
        // Each start has a log of its own in the same file: the last line about the address counts.
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let mut launch = ProcessGuard::program(binary(), &log)
            .args(["run", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--config", config.as_str()])
            .env("KUBECONFIG", &kubeconfig)
            .env("RUST_LOG", "info,organization_operator=debug");
        if let Some(class) = &self.class {
            launch = launch.args(["--database", class.as_str()]);
        }
        launch = match &self.url {
            Some(url) => launch.env("DATABASE_URL", url),
            None => launch.env_remove("DATABASE_URL"),
        };
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        let guard = launch.start().expect("the operator starts");
        let address = eventually("the operator's address in its log", || async {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.get(before..).and_then(|t| {
                t.lines().find_map(|l| {
                    serde_json::from_str::<Value>(l).ok()?["fields"]["address"].as_str().map(str::to_owned)
                })
            })
        })
        .await;
        Operator { guard, address, class: self.class }
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Operator {
        let operator = self.launch().await;
        operator.wait_ready().await;
        operator
    }
}

impl Operator {
    /// Waits until /readyz says ok.
    pub async fn wait_ready(&self) {
        let end = std::time::Instant::now() + super::PATIENCE;
        while self.fetch("/readyz").await.is_none_or(|(status, _)| status != 200) {
            assert!(
                std::time::Instant::now() < end,
                "the operator is not ready; its log:\n{}",
                self.guard.log_tail(30)
            );
            tokio::time::sleep(super::INTERVAL).await;
        }
    }

    /// Status and body of an HTTP GET. Returns `None` if nobody answers.
    pub async fn fetch(&self, path: &str) -> Option<(u16, String)> {
        let stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        super::http::get(stream, path).await
    }

    /// Host and port of its HTTP server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The text of /metrics, without the label of the one database that it serves.
    pub async fn metrics(&self) -> String {
        let text = self.fetch("/metrics").await.expect("the operator answers").1;
        let Some(class) = &self.class else { return text };
        let label = format!("database=\"{class}\"");
        text.replace(&format!("{{{label}}}"), "").replace(&format!("{{{label},"), "{")
    }

    /// Whether it leads. False if it does not answer.
    pub async fn leads(&self) -> bool {
        let metrics = self.fetch("/metrics").await;
        metrics.is_some_and(|(_, text)| text.lines().any(|line| line == "organization_operator_leader 1"))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.guard.log()
    }

    pub fn guard(&self) -> &ProcessGuard {
        &self.guard
    }

    /// Stops it with SIGTERM and waits until it has ended.
    pub async fn stop(self) {
        let exit = self.guard.stop().await.expect("it can be stopped");
        assert!(exit.success(), "the operator ended with {exit}: {}", self.guard.log_tail(20));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.guard.signal(signal).expect("it can be signalled");
    }
}
