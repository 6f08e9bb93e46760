//! `testbed up`: a control plane and a database to try the operator against. `testbed image`: the image, without a daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testbed::{ControlPlaneOptions, Image, ImageOptions, PostgresOptions, PostgresVersion, Progress, Testbed};
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
    /// Build the container image without a daemon, on bases made of the distribution's packages.
    Image(ImageArguments),
}

#[derive(clap::Args)]
struct ImageArguments {
    /// The directory with the Dockerfile.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    context: PathBuf,
    /// The image's name.
    #[arg(long)]
    name: String,
    /// The revision that the image and the program show.
    #[arg(long, default_value = "unknown")]
    revision: String,
    /// The file to write, which `docker load` takes.
    #[arg(long, value_name = "FILE")]
    archive: PathBuf,
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
    let ended = match command.unwrap_or(Command::Up(up)) {
        Command::Up(up) => run(up).await,
        Command::Image(arguments) => image(arguments).await,
    };
    match ended {
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

async fn image(arguments: ImageArguments) -> testbed::Result<()> {
    let ImageArguments { context, name, revision, archive } = arguments;
    let archive = std::path::absolute(&archive).unwrap_or(archive);
    let progress = Progress::stderr();
    let options = ImageOptions { context, name, revision, archive: Some(archive.clone()), progress };
    let image = tokio::select! {
        built = Image::build(options) => built?,
        () = stop_requested() => return Ok(()),
    };
    eprintln!("testbed: {} is written; base and own layers in bytes: {:?}", archive.display(), image.layers());
    Ok(())
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
