//! The operator's binary. The library contains everything it does.

use std::process::ExitCode;

use organization_operator::commands::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::of_process().execute().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
