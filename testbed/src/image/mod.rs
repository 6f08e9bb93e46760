//! The container image, built from the Dockerfile without a daemon and without a registry.

mod bases;
mod dockerfile;
mod sandbox;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::progress::Progress;
use bases::Bases;
use dockerfile::Dockerfile;
pub(crate) use sandbox::Sandbox;
use toolchain::{COPY, Toolchain};

/// Builds the Dockerfile, with a layer for each instruction, as other builders do.
const BUILD: &str = r#"exec "$BUILDAH" build --pull-never --isolation=chroot --layers "$@""#;

/// Takes the image out of buildah's storage: its files, as a container would see them, and its layers, as they are pushed.
const EXPORT: &str = r#"
container=$("$BUILDAH" from --pull-never "$2")
cp -a "$("$BUILDAH" mount "$container")" "$1/rootfs"
"$BUILDAH" push --quiet "$3" "$2" "oci:$1/layout""#;

/// Writes a file that `docker load` takes.
const ARCHIVE: &str = r#""$BUILDAH" push --quiet "$3" "$2" "docker-archive:$1:$2""#;

/// How to build an [`Image`].
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// The directory with the Dockerfile.
    pub context: PathBuf,
    /// The image's name.
    pub name: String,
    /// The argument `REVISION` of the Dockerfile.
    pub revision: String,
    /// A file for the image, which `docker load` takes.
    pub archive: Option<PathBuf>,
    /// Where lines about long work go.
    pub progress: Progress,
}

/// An image that is built. Its files go when it is dropped.
#[derive(Debug)]
pub struct Image {
    sandbox: Sandbox,
    bases: Bases,
    config: Value,
    layers: Vec<u64>,
}

impl Image {
    /// Gets what a build needs.
    ///
    /// # Errors
    ///
    /// Fails where the image cannot be built; the message says why.
    pub async fn prepare(context: &Path, progress: &Progress) -> Result<()> {
        Toolchain::locate(&Dockerfile::read(context)?).await?;
        Sandbox::new(progress).await?;
        Bases::locate(progress).await.map(|_| ())
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// Fails where the image cannot be built, and when a step of the Dockerfile fails.
    pub async fn build(options: ImageOptions) -> Result<Self> {
        let ImageOptions { context, name, revision, archive, progress } = options;
        let dockerfile = Dockerfile::read(&context)?;
        let toolchain = Toolchain::locate(&dockerfile).await?;
        let bases = Bases::locate(&progress).await?;
        let sandbox = Sandbox::new(&progress).await?;
        let directory = sandbox.path();

        sandbox.run("downloading the sources of packages", toolchain.fetch(&context, directory.join("log"))).await?;
        let compiled = directory.join("compiled");
        if let Some(release) = compiled_here() {
            let copy = sandbox.outside(COPY).arg(release).arg(&compiled);
            sandbox.run("copying what is compiled", copy).await?;
        }
        for name in toolchain::COMPILED {
            sandbox.create(&format!("compiled/{name}"))?;
        }
        bases.commit(&sandbox, &dockerfile, &toolchain).await?;
        let volumes = toolchain.volumes(&compiled).into_iter().map(|volume| format!("--volume={volume}"));
        let build = sandbox.script(BUILD).arg(sandbox.policy()).args(volumes);
        let build = build.arg(format!("--build-arg=REVISION={revision}")).arg(format!("--tag={name}")).arg(&context);
        sandbox.run("building the Dockerfile", build).await?;
        let export = |script, to: &Path| sandbox.script(script).arg(to).arg(&name).arg(sandbox.policy());
        sandbox.run("unpacking the image", export(EXPORT, directory)).await?;
        if let Some(file) = archive {
            sandbox.run("writing the image's file", export(ARCHIVE, &file)).await?;
        }
        // Gigabytes, of which nothing is needed any more.
        for name in ["compiled", "store", "run"] {
            sandbox.remove(name)?;
        }
        let (config, layers) = read_layout(&directory.join("layout"))?;
        Ok(Self { sandbox, bases, config, layers })
    }

    /// The files of the image.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.sandbox.path().join("rootfs")
    }

    /// What the image says about its program: `User`, `Entrypoint`, `Cmd`, `Env` and so on.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config["config"]
    }

    /// The layers, in bytes as they are transferred. The first is the base, which has one layer because it is made here.
    #[must_use]
    pub fn layers(&self) -> &[u64] {
        &self.layers
    }

    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) fn seccomp(&self) -> PathBuf {
        self.bases.seccomp()
    }
}

/// A directory of cargo's with a release build, as long as this program is in one or beside one.
///
/// A build without it compiles all dependencies, which takes minutes.
#[must_use]
pub fn compiled_here() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|directory| directory.join("release")).find(|release| release.join("deps").is_dir())
}

/// The configuration and the sizes of the layers of an image in an OCI layout.
fn read_layout(layout: &Path) -> Result<(Value, Vec<u64>)> {
    let read = |path: PathBuf| -> Result<Value> {
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))
    };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().ok_or_else(|| wrong("a descriptor without a digest"))?;
        read(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let manifest = blob(&read(layout.join("index.json"))?["manifests"][0])?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sizes = layers.iter().filter_map(|layer| layer["size"].as_u64()).collect();
    Ok((blob(&manifest["config"])?, sizes))
}

fn wrong(why: &str) -> Error {
    Error::Answer { name: "buildah", why: why.to_owned() }
}
