//! `make demo`: the operator's story in a terminal, on a real control plane and a real database.
//!
//! Every step is shown as the command that a person would type, with its real output, and checked. A step that does not go
//! as announced ends the demo with exit code 1. Nothing is left running.

mod person;
mod stage;
mod story;
mod table;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;
use terminal::Terminal;

/// Tells what organization-operator does, on real servers of its own.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The operator's binary; by default the one beside this program
    #[arg(long, env = "OPERATOR", value_name = "FILE")]
    operator: Option<PathBuf>,
    /// No pauses between the steps; there are none anyway where nobody reads along
    #[arg(long, env = "DEMO_FAST")]
    fast: bool,
}

/// Why the demo ended early: one message for a person.
#[derive(Debug)]
pub(crate) struct Stopped(String);

/// The result of everything in the demo.
pub(crate) type Outcome<T = ()> = Result<T, Stopped>;

impl Stopped {
    pub(crate) fn because(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<testbed::Error> for Stopped {
    fn from(error: testbed::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.fast);
    let begin = Instant::now();
    let told = tokio::select! {
        told = tell(&arguments, &terminal) => told,
        () = asked_to_stop() => Err(Stopped::because("interrupted; everything was stopped")),
    };
    match told {
        Ok(()) => {
            terminal.end(begin.elapsed());
            ExitCode::SUCCESS
        }
        Err(Stopped(message)) => {
            terminal.failed(&message);
            ExitCode::FAILURE
        }
    }
}

async fn tell(arguments: &Arguments, terminal: &Terminal) -> Outcome {
    let operator = match &arguments.operator {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("organization-operator"),
    };
    if !operator.is_file() {
        return Err(Stopped::because(format!(
            "the operator's binary {} is not there; build it with `cargo build --release --bins`, or say --operator FILE",
            operator.display()
        )));
    }
    let stage = Stage::build(terminal, operator).await?;
    let told = story::tell(&stage).await;
    // The operator's log says more than the step that failed.
    let told = told.map_err(|Stopped(message)| {
        let log = stage.operator_log();
        if log.is_empty() {
            Stopped(message)
        } else {
            Stopped(format!("{message}\n\nThe end of the operator's log:\n{log}"))
        }
    });
    // Ends the operator first, then the servers.
    stage.end().await?;
    told
}

/// Ctrl-C, or a polite end by whatever started this process.
async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the default action ends the process, and the process guards end the servers.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
