//! The images that the Dockerfile begins with, made of the distribution's packages: no registry of images is asked.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::dockerfile::Dockerfile;
use super::sandbox::Sandbox;
use super::toolchain::{MOUNT, Toolchain};
use crate::cache::{CacheLock, cache_directory};
use crate::debian::{self, Dependencies};
use crate::error::{Error, Result};
use crate::programs::hexadecimal;
use crate::progress::Progress;

/// What distroless/cc has, without the libraries that only other programs use.
const FINAL: [&str; 9] = [
    "base-files",
    "netbase",
    "tzdata",
    "media-types",
    "ca-certificates",
    "libc6",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
];
/// What a Dockerfile's `RUN` and the linker need. The Rust toolchain is mounted.
const BUILD: [&str; 7] = ["base-files", "dash", "bash", "coreutils", "findutils", "gcc", "libc6-dev"];
/// It has the system calls that container engines permit.
const ENGINES: &str = "golang-github-containers-common";
/// Where that package has them.
const SECCOMP: &str = "usr/share/containers/seccomp.json";
/// Changes whenever what is made of the packages changes.
const RECIPE: u32 = 1;

/// Scripts that the packages bring, which the final base has no shell for.
const SCRIPTS: [&str; 4] = ["usr/bin", "usr/sbin", "etc/update-motd.d", "usr/share/doc/ca-certificates/examples"];

/// Puts a directory tree into an image.
const COMMIT: &str = r#"
tree=$1; image=$2; policy=$3; shift 3
container=$("$BUILDAH" from scratch)
root=$("$BUILDAH" mount "$container")
cp -a "$tree/." "$root"
"$BUILDAH" config "$@" "$container"
"$BUILDAH" commit --quiet --rm "$policy" "$container" "$image""#;

/// Directory trees in the cache.
#[derive(Debug)]
pub(super) struct Bases {
    directory: PathBuf,
}

impl Bases {
    /// Finds them in the cache, or makes them.
    pub(super) async fn locate(progress: &Progress) -> Result<Self> {
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let recipe = Sha256::digest(format!("{RECIPE} {FINAL:?} {BUILD:?} {ENGINES} {system}"));
        let mut name = format!("image-{}", hexadecimal(&recipe));
        name.truncate(18);
        let directory = cache_directory()?.join(name);
        let bases = Self { directory };
        if !bases.seccomp().is_file() {
            let _lock = CacheLock::acquire(&bases.directory, progress).await?;
            if !bases.seccomp().is_file() {
                bases.make(progress).await?;
            }
        }
        Ok(bases)
    }

    /// The system calls that a container may use, as the engines' own file.
    pub(super) fn seccomp(&self) -> PathBuf {
        self.directory.join("seccomp.json")
    }

    /// Each part appears by a rename, the file with the system calls last.
    async fn make(&self, progress: &Progress) -> Result<()> {
        let workshop =
            tempfile::tempdir_in(&self.directory).map_err(Error::file("create a directory in", &self.directory))?;
        let unpack = async |packages: &[&str], dependencies, name: &str| -> Result<PathBuf> {
            let root = workshop.path().join(name);
            let unpacked = debian::unpack(packages, dependencies, &root, progress).await?;
            unpacked.map(|()| root).map_err(|why| Error::ImageImpossible { why })
        };
        let install = |from: &Path, name: &str| {
            let target = self.directory.join(name);
            if target.is_dir() {
                fs::remove_dir_all(&target).map_err(Error::file("remove", &target))?;
            }
            fs::rename(from, &target).map_err(Error::file("install", &target))
        };
        let build = unpack(&BUILD, Dependencies::With, "build").await?;
        complete_build(&build).map_err(Error::file("complete", &build))?;
        install(&build, "build")?;
        let last = unpack(&FINAL, Dependencies::Without, "final").await?;
        complete_final(&last).map_err(Error::file("complete", &last))?;
        install(&last, "final")?;
        let engines = unpack(&[ENGINES], Dependencies::Without, "engines").await?;
        install(&engines.join(SECCOMP), "seccomp.json")
    }

    /// Puts them into the storage of a sandbox, by the names that the Dockerfile uses.
    pub(super) async fn commit(&self, sandbox: &Sandbox, dockerfile: &Dockerfile, toolchain: &Toolchain) -> Result<()> {
        let commit = async |tree: &str, image: &str, config: &[String]| {
            let launch = sandbox.script(COMMIT).arg(self.directory.join(tree)).arg(image);
            let doing = format!("making an image that stands for {image}");
            sandbox.run(&doing, launch.arg(sandbox.policy()).args(config)).await.map(|_| ())
        };
        // Of Rust's own image, except that cargo has the directory of this machine, so that it knows again what is compiled.
        let build = [
            "--env=PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            format!("--env=CARGO_HOME={}", toolchain.cargo_home.display()),
            "--env=CARGO_NET_OFFLINE=true".to_owned(),
        ];
        commit("build", &dockerfile.build_base, &build).await?;
        // Of distroless.
        let last = [
            "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "--env=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            "--user=65532",
            "--workingdir=/home/nonroot",
        ]
        .map(str::to_owned);
        commit("final", &dockerfile.final_base, &last).await
    }
}

/// What the packages' scripts would do.
fn complete_build(root: &Path) -> std::io::Result<()> {
    for (link, target) in [("usr/bin/cc", "gcc"), ("usr/bin/sh", "dash")] {
        let link = root.join(link);
        let elsewhere = root.join("bin").join(link.file_name().unwrap_or_default());
        if !link.exists() && !elsewhere.exists() {
            symlink(target, link)?;
        }
    }
    let programs = root.join("usr/local/cargo/bin");
    fs::create_dir_all(&programs)?;
    for program in ["cargo", "rustc"] {
        symlink(format!("{MOUNT}/bin/{program}"), programs.join(program))?;
    }
    Ok(())
}

/// Users, certificates and a home, as distroless has them, and nothing that could be run.
fn complete_final(root: &Path) -> std::io::Result<()> {
    let certificates = root.join("usr/share/ca-certificates/mozilla");
    let mut bundle = String::new();
    for entry in fs::read_dir(certificates)? {
        bundle.push_str(&fs::read_to_string(entry?.path())?);
    }
    fs::create_dir_all(root.join("etc/ssl/certs"))?;
    fs::write(root.join("etc/ssl/certs/ca-certificates.crt"), bundle)?;
    let users = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n\
                 nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
    fs::write(root.join("etc/passwd"), users)?;
    fs::write(root.join("etc/group"), "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n")?;
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    let home = root.join("home/nonroot");
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, Permissions::from_mode(0o700))?;
    chown(&home, Some(65532), Some(65532))?;
    for scripts in SCRIPTS.map(|name| root.join(name)) {
        if scripts.exists() {
            fs::remove_dir_all(&scripts)?;
        }
    }
    Ok(())
}
