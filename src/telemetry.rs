//! Log lines on standard error.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person
    Text,
    /// One JSON object a line, for a program
    Json,
}

/// What is logged unless `RUST_LOG` is set. The level of sqlx is one at which it prints no statements.
const DEFAULT_FILTER: &str = "info,sqlx=warn,kube_client=warn,hyper=warn,tower=warn";

/// Starts logging.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    // Notices of the database's triggers may contain values of rows.
    let filter = match "sqlx::postgres::notice=off".parse() {
        Ok(never) => filter.add_directive(never),
        Err(_) => filter,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
