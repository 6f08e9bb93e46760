//! `testbed up`: a control plane and a database to try the operator against.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testbed::{ControlPlaneOptions, PostgresOptions, PostgresVersion, Testbed};
use tokio::signal::unix::{SignalKind, signal};

/// Real Kubernetes and PostgreSQL servers on this machine, without containers.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: Up,
}

#[derive(Subcommand)]
enum Command {
    /// Start etcd, kube-apiserver and PostgreSQL, and run them until Ctrl-C. This is the default.
    Up(Up),
}

#[derive(clap::Args)]
struct Up {
    /// Also run the controllers of namespaces, garbage collection and service accounts.
    #[arg(long)]
    controllers: bool,
    /// The major version of PostgreSQL; by default the server of `DATABASE_URL`, else any version.
    #[arg(long, value_name = "MAJOR")]
    postgres: Option<u16>,
    /// Have PostgreSQL write to disk as in production.
    #[arg(long)]
    durable: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command, up } = Arguments::parse();
    let up = command.map_or(up, |Command::Up(up)| up);
    match run(up).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(up: Up) -> testbed::Result<()> {
    let stop = stop_requested();
    let start = async {
        let testbed = Testbed::start_with(
            ControlPlaneOptions::default(),
            PostgresOptions {
                version: up.postgres.map_or(PostgresVersion::Any, PostgresVersion::Major),
                durable: up.durable,
                ..PostgresOptions::default()
            },
        )
        .await?;
        if up.controllers {
            testbed.control_plane.start_controller_manager().await?;
        }
        announce(&testbed);
        // Held until Ctrl-C drops this future, and the servers with it.
        std::future::pending::<testbed::Result<()>>().await
    };
    tokio::select! {
        failed = start => failed,
        () = stop => {
            eprintln!("testbed: stopped");
            Ok(())
        }
    }
}

/// On standard output, ready for a shell; everything else is on standard error.
fn announce(testbed: &Testbed) {
    println!("export KUBECONFIG={}", testbed.control_plane.admin_kubeconfig().display());
    println!("export DATABASE_URL='{}'", testbed.postgres.admin_url("postgres"));
    println!("alias kubectl={}", testbed.control_plane.kubectl_path().display());
    eprintln!("testbed: ready; put the lines above into another shell, and press Ctrl-C here to end everything");
}

/// Ctrl-C, or a polite end by whatever started this process.
async fn stop_requested() {
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
