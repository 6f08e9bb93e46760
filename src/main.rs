//! The operator's binary. All it does is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use organization_operator::commands::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().execute().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
