//! Where buildah and crun run: all that they mount and remember is gone with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process_guard::{Launch, ProcessGuard, Signal};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::tool::Tool;

/// Far above what a build without compiled dependencies needs, so that a hanging one ends at all.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Whatever is below ends with `unshare`, whose other arguments make namespaces of its own for mounts and processes.
const UNSHARE: [&str; 7] = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Hides what the programs would write outside of the scratch directory (/var/lib), and cgroups, which belong to whoever runs
/// this process. buildah starts itself again without `LD_LIBRARY_PATH`, so its libraries go into the cache of the loader.
const ENTER: &str = r#"
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /sys/fs/cgroup
if [ -e "$LOADER_CACHE" ]; then mount --bind "$LOADER_CACHE" /etc/ld.so.cache; fi
unset LOADER_CACHE
exec "$@""#;

/// What the loader finds on this machine, and in the directories that are given.
const LOADER: &str = r#"
cd "$1"; shift
{ echo "include /etc/ld.so.conf"; printf '%s\n' "$@"; } > ld.so.conf
PATH="$PATH:/usr/sbin:/sbin" ldconfig -X -f ld.so.conf -C ld.so.cache"#;

/// Whether the kernel can mount an overlay here, which spares a copy of the whole tree for each layer.
const OVERLAY: &str = r#"
mkdir -p "$1/lower" "$1/upper" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged""#;

/// A directory for images and containers, and the programs that make them.
#[derive(Debug)]
pub(crate) struct Sandbox {
    scratch: Scratch,
    progress: Progress,
    buildah: PathBuf,
    crun: PathBuf,
}

impl Sandbox {
    /// Gets the programs, and tries whether this user may run them.
    pub(crate) async fn new(progress: &Progress) -> Result<Self> {
        let scratch = Scratch::new("image")?;
        let (mut programs, mut libraries) = (Vec::new(), Vec::new());
        for tool in [Tool::Buildah, Tool::Crun] {
            let found = tool.locate(progress).await?;
            programs.push(found.program(tool.packaged()));
            libraries.extend(found.libraries());
        }
        let crun = programs.pop().unwrap_or_default();
        let buildah = programs.pop().unwrap_or_default();
        let sandbox = Self { scratch, progress: progress.clone(), buildah, crun };
        if !libraries.is_empty() {
            let launch = sandbox.outside(LOADER).arg(sandbox.path()).args(libraries);
            sandbox.run("making a cache of the loader", launch).await?;
        }
        if let Err(error) = sandbox.run("using namespaces", sandbox.program("true")).await {
            let why = match error {
                Error::Image { log, .. } => log.lines().last().unwrap_or_default().to_owned(),
                other => other.to_string(),
            };
            return Err(Error::ImageImpossible { why: format!("this user may not use namespaces ({why})") });
        }
        sandbox.configure().await?;
        Ok(sandbox)
    }

    /// Writes what buildah would else read from /etc.
    async fn configure(&self) -> Result<()> {
        let probe = self.path().join("overlay");
        let overlay = self.run("mounting an overlay", self.script(OVERLAY).arg(&probe)).await.is_ok();
        let driver = if overlay { "overlay" } else { "vfs" };
        let directory = self.path().display();
        self.write("containers.conf", "")?;
        self.write("registries.conf", "unqualified-search-registries = []\n")?;
        self.write("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
        self.write(
            "storage.conf",
            &format!(
                "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{directory}/store\"\nrunroot = \"{directory}/run\"\n"
            ),
        )?;
        self.create("temporary")
    }

    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn crun(&self) -> &Path {
        &self.crun
    }

    /// A file that says which images may be used: all of them.
    pub(super) fn policy(&self) -> String {
        format!("--signature-policy={}", self.path().join("policy.json").display())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path().join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))
    }

    pub(super) fn create(&self, name: &str) -> Result<()> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).map_err(Error::file("create", &path))
    }

    /// Removes what is no longer needed.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.path().join(name);
        if path.exists() { fs::remove_dir_all(&path).map_err(Error::file("remove", &path)) } else { Ok(()) }
    }

    /// Prepares a program.
    pub(crate) fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Launch {
        let variable = |name: &str| self.path().join(name);
        ProcessGuard::program("unshare", variable("log"))
            .args(UNSHARE)
            .args(["sh", "-ec", ENTER, "sh"])
            .arg(program)
            .env("LOADER_CACHE", variable("ld.so.cache"))
            .env("CONTAINERS_CONF", variable("containers.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", variable("registries.conf"))
            .env("CONTAINERS_STORAGE_CONF", variable("storage.conf"))
            .env("TMPDIR", variable("temporary"))
            .env("BUILDAH", &self.buildah)
            // unshare itself ignores SIGTERM.
            .stop_with(Signal::Kill, Duration::from_secs(2))
    }

    /// Prepares a script of the shell, which stops at the first error. `$BUILDAH` is buildah.
    pub(super) fn script(&self, text: &str) -> Launch {
        self.program("sh").args(["-ec", text, "sh"])
    }

    /// The same in the namespaces of this process.
    pub(super) fn outside(&self, text: &str) -> Launch {
        ProcessGuard::program("sh", self.path().join("log")).args(["-ec", text, "sh"])
    }

    /// Runs a program to its end. Returns what it wrote.
    pub(super) async fn run(&self, doing: &str, launch: Launch) -> Result<String> {
        let log = self.path().join("log");
        fs::write(&log, "").map_err(Error::file("write", &log))?;
        let running = launch.name(doing).start()?;
        let exit = match self.progress.during(doing, running.wait_exit(TIMEOUT)).await {
            Some(exit) => exit,
            None => running.stop().await?,
        };
        if exit.success() {
            return Ok(running.log());
        }
        Err(Error::Image { doing: doing.to_owned(), exit, log: running.log_tail(40) })
    }
}

/// Runs a program of the machine to its end, and returns the first line that it prints.
pub(super) async fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{program}` says: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}
