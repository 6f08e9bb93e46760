//! The operator's binary. The library contains everything it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    organization_operator::commands::main()
}
