//! Builds the programs of a control plane from pinned Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{KUBERNETES_VERSION, Program};
use crate::cache::CacheLock;
use crate::error::{Error, Result};
use crate::process_guard::{ProcessGuard, Signal};
use crate::progress::Progress;

/// The Go modules that pin the versions.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/controlplane");
/// Far above what the slowest machine needs, so that a hanging download ends at all.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Builds `program` into `directory`, unless another process has done so meanwhile.
pub(super) async fn build(program: Program, directory: &Path, progress: &Progress) -> Result<PathBuf> {
    let _lock = CacheLock::acquire(directory, progress).await?;
    let target = directory.join(program.name());
    if target.is_file() {
        return Ok(target);
    }
    // Within the directory, so that the finished program appears by a rename.
    let workshop = tempfile::tempdir_in(directory).map_err(Error::file("create a directory in", directory))?;
    let output = workshop.path().join(program.name());
    let log = workshop.path().join("log");
    let module = match program {
        Program::Etcd => Path::new(MODULES).join("etcd"),
        Program::ApiServer | Program::Kubectl | Program::ControllerManager => PathBuf::from(MODULES),
    };
    let go = ProcessGuard::program("go", &log)
        .name(format!("go build of {}", program.name()))
        .args(["build", "-trimpath", "-mod=readonly", "-ldflags", &linker_flags(program), "-o"])
        .arg(&output)
        .arg(package(program))
        .current_dir(&module)
        .env("CGO_ENABLED", "0")
        // The modules ask for no newer Go than the one at hand, and nothing may download one.
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .stop_with(Signal::Terminate, Duration::from_secs(2))
        .start()?;
    let what = format!("building {} from Go modules, {} the first time", program.name(), duration(program));
    let exit = match progress.during(&what, go.wait_exit(TIMEOUT)).await {
        Some(exit) => exit,
        None => go.stop().await?,
    };
    match exit.code() {
        Some(0) => {}
        // The shell's answer to a command that it does not find.
        Some(127) => {
            return Err(Error::GoMissing { program: program.name() });
        }
        _ => {
            return Err(Error::GoBuild { program: program.name(), exit, module, log: go.log_tail(20) });
        }
    }
    fs::rename(&output, &target).map_err(Error::file("install", &target))?;
    Ok(target)
}

const fn package(program: Program) -> &'static str {
    match program {
        Program::Etcd => "go.etcd.io/etcd/server/v3",
        Program::ApiServer => "k8s.io/kubernetes/cmd/kube-apiserver",
        Program::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        Program::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
    }
}

/// Measured on two cores.
const fn duration(program: Program) -> &'static str {
    match program {
        Program::Etcd | Program::Kubectl => "about half a minute",
        Program::ApiServer => "about 4 minutes",
        Program::ControllerManager => "about a minute",
    }
}

/// Kubernetes gets its version only from the linker; without it `kubectl version` fails.
fn linker_flags(program: Program) -> String {
    match program {
        Program::Etcd => "-s -w".to_owned(),
        Program::ApiServer | Program::Kubectl | Program::ControllerManager => format!(
            "-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION} \
             -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
        ),
    }
}
