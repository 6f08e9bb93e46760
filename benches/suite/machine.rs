//! On what a run was measured.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::progress;
use crate::support::World;

/// The machine, the servers and the state in which they were.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub scale: String,
    pub began: Timestamp,
    pub commit: String,
    /// The build profile.
    pub profile: String,
    pub processor: String,
    pub processors: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub postgres: String,
    pub kubernetes: String,
    /// Share of the processors that was in use before the first measurement, in percent: by others.
    pub busy_percent: f64,
    /// How long the section took, in seconds.
    pub seconds: f64,
}

/// More than this is not a quiet machine.
const QUIET_PERCENT: f64 = 10.0;

impl Machine {
    /// Before the first measurement.
    pub async fn observe(world: &World, scale: &str) -> Self {
        let mut connection = world.postgres().connect("postgres").await.expect("a connection");
        let shown = "SELECT current_setting('server_version') || ', shared_buffers ' || current_setting('shared_buffers') \
                     || ', fsync ' || current_setting('fsync')";
        let row = sqlx::query(shown).fetch_one(&mut connection).await.expect("settings");
        let version = world.client.apiserver_version().await.expect("the API server answers");
        let busy_percent = busy_percent().await;
        if busy_percent > QUIET_PERCENT {
            progress().say(&format!(
                "others use {busy_percent:.0} % of this machine: figures of this run are not comparable with others"
            ));
        }
        Self {
            scale: scale.to_owned(),
            began: Timestamp::now(),
            commit: commit(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .and_then(|m| m.trim_end_matches(" kB").parse::<f64>().ok())
                .map_or(f64::NAN, |kibibytes| (kibibytes / 1024.0 / 1024.0).round()),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            postgres: row.get(0),
            kubernetes: version.git_version,
            busy_percent,
            seconds: 0.0,
        }
    }

    /// One sentence.
    pub fn text(&self) -> String {
        let Self { scale, commit, profile, processor, processors, memory_gib, kernel, .. } = self;
        format!(
            "{} at commit {commit} ({profile} build, scale {scale}), in {:.0} minutes, on {processors} processors ({processor}), \
             {memory_gib:.0} GiB, Linux {kernel}, PostgreSQL {}, Kubernetes {}; others used {:.0} % of the processors before",
            self.began.strftime("%Y-%m-%d %H:%M UTC"),
            (self.seconds / 60.0).ceil(),
            self.postgres,
            self.kubernetes,
            self.busy_percent,
        )
    }
}

/// The value of the first line `name : value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// With `+` if files have changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(std::process::Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "crates", "Cargo.lock"]);
    let mark = if changed.is_some_and(|c| !c.is_empty()) { "+" } else { "" };
    git(&["rev-parse", "--short", "HEAD"]).map_or_else(|| "unknown".to_owned(), |commit| format!("{commit}{mark}"))
}

async fn busy_percent() -> f64 {
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ((idle, all), (idle_before, all_before)) = (ticks(), before);
    let all = (all - all_before).max(1.0);
    100.0 * (1.0 - (idle - idle_before) / all)
}

/// Hundredths of a second in which the processors were idle, and all of them.
fn ticks() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    // idle and iowait
    let idle = ticks.iter().skip(3).take(2).sum();
    (idle, ticks.iter().take(8).sum())
}
