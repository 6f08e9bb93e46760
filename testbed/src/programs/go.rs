//! Builds programs from pinned Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{KUBERNETES_VERSION, Program};
use crate::cache::CacheLock;
use crate::error::{Error, Result};
use crate::process_guard::{Launch, ProcessGuard, Signal};
use crate::progress::Progress;

/// Where the Go modules stand that pin the versions.
const MODULES: &str = env!("CARGO_MANIFEST_DIR");
/// Far above what the slowest machine needs, so that a hanging download ends at all.
const TIMEOUT: Duration = Duration::from_hours(1);

/// How a program is built.
struct Recipe {
    /// The directory of the module that pins it.
    module: &'static str,
    package: &'static str,
    /// How long it takes the first time, measured on two cores.
    duration: &'static str,
    /// What else the tests use of the module: the file in the module called first, under the name given last.
    file: Option<(&'static str, &'static str, &'static str)>,
}

const fn recipe(program: Program) -> Recipe {
    let (module, package, duration) = match program {
        Program::Etcd => ("controlplane/etcd", "go.etcd.io/etcd/server/v3", "about half a minute"),
        Program::ApiServer => ("controlplane", "k8s.io/kubernetes/cmd/kube-apiserver", "about 4 minutes"),
        Program::Kubectl => ("controlplane", "k8s.io/kubernetes/cmd/kubectl", "about half a minute"),
        Program::ControllerManager => {
            ("controlplane", "k8s.io/kubernetes/cmd/kube-controller-manager", "about a minute")
        }
        Program::KustomizeController => ("gitops/flux", KUSTOMIZE_CONTROLLER, "about 3 minutes"),
        Program::ArgoCdEngine => ("gitops/argocd", ".", "about 2 minutes"),
    };
    let file = match program {
        Program::KustomizeController => Some((
            KUSTOMIZE_CONTROLLER,
            "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
            super::KUSTOMIZATION_CRD,
        )),
        _ => None,
    };
    Recipe { module, package, duration, file }
}

const KUSTOMIZE_CONTROLLER: &str = "github.com/fluxcd/kustomize-controller";

/// The directory of the module that pins a program.
pub(super) fn module(program: Program) -> PathBuf {
    Path::new(MODULES).join(recipe(program).module)
}

/// Builds `program` into `directory`, unless another process has done so meanwhile.
pub(super) async fn build(program: Program, directory: &Path, progress: &Progress) -> Result<PathBuf> {
    let _lock = CacheLock::acquire(directory, progress).await?;
    let target = directory.join(program.name());
    if target.is_file() {
        return Ok(target);
    }
    // Within the directory, so that the finished program appears by a rename.
    let workshop = tempfile::tempdir_in(directory).map_err(Error::file("create a directory in", directory))?;
    let recipe = recipe(program);
    let output = workshop.path().join(program.name());
    let log = workshop.path().join("build.log");
    let build = go(program, &log)
        .args(["build", "-trimpath", "-mod=readonly", "-ldflags", &linker_flags(program), "-o"])
        .arg(&output)
        .arg(recipe.package);
    let what = format!("building {} from Go modules, {} the first time", program.name(), recipe.duration);
    progress.during(&what, finish(program, build)).await?;
    if let Some((of, path, name)) = recipe.file {
        let log = workshop.path().join("module.log");
        let output =
            finish(program, go(program, &log).args(["list", "-mod=readonly", "-f", "{{.Dir}}", "-m", of])).await?;
        // The last line: before it, Go says what it downloads.
        let source = Path::new(output.lines().last().unwrap_or_default()).join(path);
        // Not by a copy of the file, which Go keeps read-only.
        let content = fs::read(&source).map_err(Error::file("read", &source))?;
        let copy = directory.join(name);
        fs::write(&copy, content).map_err(Error::file("write", &copy))?;
    }
    // The program comes last: who finds it finds everything.
    fs::rename(&output, &target).map_err(Error::file("install", &target))?;
    Ok(target)
}

fn go(program: Program, log: &Path) -> Launch {
    ProcessGuard::program("go", log)
        .name(format!("go build of {}", program.name()))
        .current_dir(module(program))
        .env("CGO_ENABLED", "0")
        // The modules ask for no newer Go than the one at hand, and nothing may download one.
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .stop_with(Signal::Terminate, Duration::from_secs(2))
}

/// Waits for the end of `go`, and returns what it printed.
async fn finish(program: Program, go: Launch) -> Result<String> {
    let go = go.start()?;
    let exit = match go.wait_exit(TIMEOUT).await {
        Some(exit) => exit,
        None => go.stop().await?,
    };
    match exit.code() {
        Some(0) => Ok(go.log()),
        // The shell's answer to a command that it does not find.
        Some(127) => Err(Error::GoMissing { program: program.name(), otherwise: otherwise(program) }),
        _ => Err(Error::GoBuild {
            program: program.name(),
            exit,
            module: module(program),
            otherwise: otherwise(program),
            log: go.log_tail(20),
        }),
    }
}

/// What else a person can do than to install Go.
const fn otherwise(program: Program) -> &'static str {
    if program.in_envtest() {
        ", or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl (`setup-envtest use -p path` prints one)"
    } else {
        ""
    }
}

/// Kubernetes gets its version only from the linker; without it `kubectl version` fails.
fn linker_flags(program: Program) -> String {
    match program {
        Program::ApiServer | Program::Kubectl | Program::ControllerManager => format!(
            "-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION} \
             -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
        ),
        Program::Etcd | Program::KustomizeController | Program::ArgoCdEngine => "-s -w".to_owned(),
    }
}
