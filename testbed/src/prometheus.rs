//! A real Prometheus that scrapes one process and evaluates rules.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use url::Url;

use crate::error::{Error, Result};
use crate::http;
use crate::ports::free_port;
use crate::postgres::{account, give};
use crate::process_guard::{ProcessGuard, Signal};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::tool::Tool;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(5);

/// How to start a [`Prometheus`].
#[derive(Clone, Debug, Default)]
pub struct PrometheusOptions {
    /// Host and port of the process that it scrapes at `/metrics`, every second.
    pub target: String,
    /// The label `job` of what it scrapes.
    pub job: String,
    /// The label `namespace` of what it scrapes.
    pub namespace: String,
    /// A rule file (YAML), evaluated every second.
    pub rules: String,
    /// Where lines about long work go.
    pub progress: Progress,
}

/// A Prometheus on loopback. It ends, and its data with it, when dropped.
#[derive(Debug)]
pub struct Prometheus {
    running: ProcessGuard,
    client: reqwest::Client,
    url: Url,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails when the program can be had nowhere, or ends, or is not ready in time.
    pub async fn start(options: PrometheusOptions) -> Result<Self> {
        let found = Tool::Prometheus.locate(&options.progress).await?;
        let account = account()?;
        let scratch = Scratch::new("prometheus")?;
        let port = free_port()?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = scratch.join(name);
            fs::write(&path, text).map_err(Error::file("write", &path))?;
            give(&path, account)?;
            Ok(path)
        };
        write("rules.yaml", &options.rules)?;
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\n\
             scrape_configs:\n- job_name: {job}\n  static_configs:\n  - targets: ['{target}']\n    labels: {{namespace: {namespace}}}\n",
            job = options.job,
            target = options.target,
            namespace = options.namespace,
        );
        let config = write("prometheus.yml", &config)?;
        let data = scratch.join("data");
        fs::create_dir(&data).map_err(Error::file("create", &data))?;
        give(&data, account)?;
        let running = found
            .launch(Tool::Prometheus.packaged(), account, &scratch, scratch.join("prometheus.log"))?
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(scratch.path())
            .stop_with(Signal::Terminate, GRACE)
            .start()?;
        http::install_provider();
        let failed = |source| Error::http("set up an HTTP client".to_owned(), source);
        let client = reqwest::Client::builder().no_proxy().build().map_err(failed)?;
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).map_err(|e| invalid(&e.to_string()))?;
        let prometheus = Self { running, client, url, _scratch: scratch };
        prometheus.wait_ready().await?;
        Ok(prometheus)
    }

    async fn wait_ready(&self) -> Result<()> {
        let begin = Instant::now();
        let ready = self.at("/-/ready", &[]);
        loop {
            let answer = self.client.get(ready.clone()).send().await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let name = "Prometheus".to_owned();
            if let Some(exit) = self.running.exit() {
                return Err(Error::Ended { name, exit, log: self.running.log_tail(20) });
            }
            if begin.elapsed() > READY_TIMEOUT {
                let why = answer.map_or_else(|e| e.to_string(), |answer| answer.status().to_string());
                return Err(Error::NotReady { name, waited: begin.elapsed(), why, log: self.running.log_tail(20) });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks its API: `api("query", &[("query", "up")])`. Returns the field `data` of the answer.
    ///
    /// # Errors
    ///
    /// Fails when it does not answer, or refuses; the message has its words.
    pub async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = self.at(&format!("/api/v1/{path}"), parameters);
        let failed = |source| Error::http(format!("ask Prometheus for {path}"), source);
        let text = self.client.get(url).send().await.map_err(failed)?.text().await.map_err(failed)?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|e| invalid(&e.to_string()))?;
        if answer["status"] != "success" {
            return Err(invalid(answer["error"].as_str().unwrap_or(&text)));
        }
        Ok(answer["data"].take())
    }

    fn at(&self, path: &str, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }
}

fn invalid(why: &str) -> Error {
    Error::Answer { name: "Prometheus", why: why.to_owned() }
}
