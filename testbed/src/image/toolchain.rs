//! The machine's own Rust, which stands in the build stage for that of Rust's image.

use std::path::{Path, PathBuf};

use super::dockerfile::Dockerfile;
use super::sandbox::ask;
use crate::error::{Error, Result};
use crate::process_guard::{Launch, ProcessGuard};

/// Where the toolchain is mounted.
pub(super) const MOUNT: &str = "/usr/local/rustup/toolchain";

/// Directories that a release build has: what is compiled, by what it was compiled, and what build scripts made.
pub(super) const COMPILED: [&str; 3] = ["deps", ".fingerprint", "build"];

/// Copies what is compiled of other people's packages. Ours are compiled anew in any case.
pub(super) const COPY: &str = r#"
to=$2
cd "$1"
for directory in deps .fingerprint build; do
    mkdir -p "$to/$directory"
    find "$directory" -mindepth 1 -maxdepth 1 \
        ! -name 'organization?operator-*' ! -name 'liborganization_operator-*' ! -name '*planner-*' ! -name '*testbed-*' \
        ! -name 'suite-*' ! -name 'benchmarks-*' ! -name 'demo-*' -print0 | xargs -0 -r cp -a -t "$to/$directory"
done"#;

#[derive(Debug)]
pub(super) struct Toolchain {
    sysroot: PathBuf,
    target: String,
    /// cargo's directory, which has the sources of all packages.
    pub cargo_home: PathBuf,
}

impl Toolchain {
    /// The toolchain of this process, if it is the one that the Dockerfile names.
    pub(super) async fn locate(dockerfile: &Dockerfile) -> Result<Self> {
        let impossible = |why| Error::ImageImpossible { why };
        let version = ask("rustc", &["--version"]).await.map_err(impossible)?;
        if !version.starts_with(&format!("rustc {}.", dockerfile.rust)) {
            let why = format!("the Dockerfile names Rust {}, and `rustc --version` says {version}", dockerfile.rust);
            return Err(impossible(why));
        }
        let sysroot = ask("rustc", &["--print", "sysroot"]).await.map_err(impossible)?.into();
        let target = ask("rustc", &["--print", "host-tuple"]).await.map_err(impossible)?;
        let cargo_home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .ok_or(Error::NoCacheDirectory)?;
        Ok(Self { sysroot, target, cargo_home })
    }

    /// Prepares the download of all sources, which does nothing if they are there.
    pub(super) fn fetch(&self, context: &Path, log: PathBuf) -> Launch {
        ProcessGuard::program("cargo", log).args(["fetch", "--locked", "--target", &self.target]).current_dir(context)
    }

    /// What is mounted in the build stage: the toolchain and the sources, which nothing may change, and what is compiled.
    pub(super) fn volumes(&self, compiled: &Path) -> Vec<String> {
        let same = |name: &str| {
            let path = self.cargo_home.join(name);
            path.exists().then(|| format!("{0}:{0}:ro", path.display()))
        };
        let toolchain = format!("{}:{MOUNT}:ro", self.sysroot.display());
        let compiled = COMPILED.map(|name| format!("{0}/{name}:/src/target/release/{name}", compiled.display()));
        std::iter::once(toolchain)
            .chain(["registry", "config.toml"].iter().filter_map(|name| same(name)))
            .chain(compiled)
            .collect()
    }
}
