//! The commands, one file each.

#![expect(clippy::doc_markdown, reason = "--help prints the doc comments of arguments, where backticks disturb")]

mod amounts;
pub mod check;
pub mod completion;
pub mod config;
pub mod confirm;
pub mod crd;
pub mod error;
pub mod explain;
mod file;
mod guard_rail;
pub mod history;
pub mod import;
pub mod kubeconfig;
pub mod migrate;
pub mod output;
pub mod plan;
pub mod program;
pub mod rehearse;
pub mod run;
pub mod target;
pub mod watch;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::runtime::Runtime;

use error::{CommandError, exit_code};
use program::Program;

/// Deletes, deactivates or retains the tenants of a workflow platform kept in PostgreSQL, as Organization objects say.
///
/// `kubectl delete organization NAME` erases the tenant in order if its `spec.deletionPolicy` is `Delete`. If the operator
/// cannot erase it, the status says exactly why.
#[derive(Debug, Parser)]
#[command(name = "organization-operator", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "--help prints the comments of the types; one of a variant would replace it")]
pub enum Command {
    Run(run::Run),
    Check(check::Check),
    #[command(name = "__complete", hide = true)]
    Complete(completion::Complete),
    Completion(completion::Completion),
    Confirm(confirm::Confirm),
    Crd(crd::Crd),
    Explain(explain::Explain),
    History(history::History),
    Import(import::Import),
    Migrate(migrate::Migrate),
    Plan(plan::Plan),
    Rehearse(rehearse::Rehearse),
    Watch(watch::Watch),
}

/// The whole program: runs the command of this process and tells a person what went wrong.
///
/// It is no `async fn`: the crate that polls a future is the one that compiles it, and all that it awaits.
#[must_use]
pub fn main() -> ExitCode {
    let done = Runtime::new()
        .map_err(|error| format!("cannot start the threads of the program: {error}"))
        .and_then(|runtime| runtime.block_on(Cli::of_process().execute()).map_err(|error| error.to_string()));
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

impl Cli {
    /// The command line of this process, under the name by which it was called. Ends the process if it asks for help, or cannot be
    /// understood.
    fn of_process() -> Self {
        let mut matches = Program::of_process().named(Self::command()).get_matches();
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Fails with one message for a person.
    async fn execute(self) -> Result<ExitCode, CommandError> {
        let done = match self.command {
            Command::Check(command) => return Ok(exit_code(command.execute().await)),
            Command::Confirm(command) => return Ok(exit_code(command.execute().await)),
            Command::Explain(command) => return Ok(exit_code(command.execute().await)),
            Command::History(command) => return Ok(exit_code(command.execute().await)),
            Command::Import(command) => return Ok(exit_code(command.execute().await)),
            Command::Plan(command) => return Ok(exit_code(command.execute().await)),
            Command::Rehearse(command) => return Ok(exit_code(command.execute().await)),
            Command::Watch(command) => return Ok(exit_code(command.execute().await)),
            Command::Run(command) => command.execute().await,
            Command::Complete(command) => command.execute(Program::Plugin.named(Self::command())).await,
            Command::Completion(command) => {
                let program = Program::of_process();
                command.execute(program, program.named(Self::command()))
            }
            Command::Crd(command) => command.execute(),
            Command::Migrate(command) => command.execute().await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}
