//! Fetches packages with apt, and unpacks them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process_guard::{Exit, Launch, ProcessGuard, Signal};
use crate::progress::Progress;

/// Far above what a slow line needs, so that a hanging download ends at all.
const TIMEOUT: Duration = Duration::from_mins(10);
/// The sandbox's user may not write into a directory of root. Where there is no network, an end should come within seconds.
const OPTIONS: [&str; 5] = [
    "-q",
    "-oAPT::Sandbox::User=root",
    "-oAcquire::Retries=1",
    "-oAcquire::http::Timeout=15",
    "-oAcquire::https::Timeout=15",
];

/// What `apt-get` and `dpkg-deb` do within one directory.
pub(super) struct Apt<'a> {
    path: &'a OsStr,
    pub(super) workshop: &'a Path,
    progress: &'a Progress,
    /// Lists of what there is, where those of the machine are missing or too old.
    lists: Option<PathBuf>,
}

/// A package that is unpacked.
pub(super) struct Unpacked {
    /// The directory that stands for `/`.
    pub root: PathBuf,
    /// Packages that it depends on.
    pub depends: Vec<String>,
}

impl Unpacked {
    /// Packages with libraries that it depends on: Debian calls them lib*.
    pub(super) fn libraries(&self) -> Vec<String> {
        self.depends.iter().filter(|name| name.starts_with("lib")).cloned().collect()
    }
}

impl<'a> Apt<'a> {
    pub(super) const fn new(path: &'a OsStr, workshop: &'a Path, progress: &'a Progress) -> Self {
        Self { path, workshop, progress, lists: None }
    }

    /// Fetches a package and unpacks it. `Err` in the result says why it cannot be had.
    pub(super) async fn unpack(&mut self, package: &str) -> Result<Result<Unpacked, String>> {
        let directory = self.workshop.join(package);
        let root = directory.join("root");
        fs::create_dir_all(&root).map_err(Error::file("create", &root))?;
        if let Err(why) = self.download(package, &directory).await? {
            return Ok(Err(why));
        }
        let Some(archive) = archives(&directory)?.pop() else {
            return Ok(Err(format!("`apt-get download {package}` left no archive")));
        };
        let unpack = self.tool("dpkg-deb").arg("-x").arg(&archive).arg(&root);
        if let Err(why) = self.run(unpack, &format!("unpacking {package}")).await? {
            return Ok(Err(why));
        }
        let show = self.tool("dpkg-deb").arg("--show").arg("--showformat=${Pre-Depends}, ${Depends}\n").arg(&archive);
        Ok(self.run(show, &format!("reading {package}")).await?.map(|text| Unpacked { root, depends: names(&text) }))
    }

    /// Whether the machine has a package, and so the libraries in it.
    pub(super) async fn installed(&self, package: &str) -> Result<bool> {
        let ask = self.tool("dpkg-query").args(["-W", "-f=${db:Status-Abbrev}", package]);
        let answer = self.run(ask, "asking dpkg").await?;
        Ok(answer.is_ok_and(|status| status.starts_with("ii")))
    }

    /// What a program links to and the machine does not have, even with the libraries in that directory.
    pub(super) async fn missing_libraries(
        &self,
        program: &Path,
        directory: &Path,
    ) -> Result<Result<Vec<String>, String>> {
        let ask = self.tool("ldd").arg(program).env("LD_LIBRARY_PATH", super::library_path(directory));
        Ok(self.run(ask, "asking ldd").await?.map(|text| not_found(&text)))
    }

    async fn download(&mut self, package: &str, directory: &Path) -> Result<Result<(), String>> {
        let what = format!("downloading the package {package}");
        self.fetch(&what, |apt| apt.get("download").arg(package).current_dir(directory)).await
    }

    /// Runs an apt that downloads. If that fails, once more with new lists of what there is.
    pub(super) async fn fetch(&mut self, what: &str, fetch: impl Fn(&Self) -> Launch) -> Result<Result<(), String>> {
        let first = self.run(fetch(self), what).await?;
        if first.is_ok() || self.lists.is_some() {
            return Ok(first.map(|_| ()));
        }
        // The machine's lists are missing or name a version that is gone, and only root may renew them.
        let lists = self.workshop.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            let path = lists.join(name);
            fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        }
        self.lists = Some(lists);
        // Some of the machine's sources may be out of reach; the next download tells whether that matters.
        let _ = self.run(self.get("update"), "downloading the lists of the distribution's packages").await?;
        Ok(self.run(fetch(self), what).await?.map(|_| ()))
    }

    pub(super) fn get(&self, command: &str) -> Launch {
        let mut apt = self.tool("apt-get").args(OPTIONS);
        if let Some(lists) = &self.lists {
            apt = apt
                .arg(format!("-oDir::State::Lists={}", lists.join("lists").display()))
                .arg(format!("-oDir::Cache={}", lists.join("cache").display()))
                .arg("-oDebug::NoLocking=1");
        }
        apt.arg(command)
    }

    pub(super) fn tool(&self, name: &str) -> Launch {
        ProcessGuard::program(name, self.workshop.join("log"))
            .env("PATH", self.path)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stop_with(Signal::Terminate, Duration::from_secs(2))
    }

    /// Runs a program to its end. Returns what it wrote, or why it failed.
    pub(super) async fn run(&self, launch: Launch, what: &str) -> Result<Result<String, String>> {
        let log = self.workshop.join("log");
        fs::write(&log, "").map_err(Error::file("write", &log))?;
        let running = launch.start()?;
        let exit = match self.progress.during(what, running.wait_exit(TIMEOUT)).await {
            Some(exit) => exit,
            None => running.stop().await?,
        };
        Ok(if exit.success() { Ok(running.log()) } else { Err(why(&running, exit)) })
    }
}

fn why(running: &ProcessGuard, exit: Exit) -> String {
    let name = running.name();
    // The shell's answer to a command that it does not find.
    if exit.code() == Some(127) {
        return format!("`{name}` is not in PATH");
    }
    let log = running.log();
    let last = log.lines().rfind(|line| line.starts_with("E: ")).or_else(|| log.lines().last());
    format!("`{name}` ended with {exit}: {}", last.unwrap_or("it said nothing"))
}

/// The packages in a directory.
pub(super) fn archives(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(Error::file("read", directory))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some_and(|end| end == "deb")).collect())
}

/// The names in a list of dependencies, with or without versions.
fn names(depends: &str) -> Vec<String> {
    depends
        .split([',', '|', '\n'])
        .filter_map(|entry| entry.trim().split([' ', ':', '(']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The libraries that `ldd` does not find.
fn not_found(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_read_from_dependencies() {
        let depends = "libc6 (>= 2.36), lsb-base (>= 3.1), libevent-2.1-7:any, libssl3 | libssl1.1 (>= 1.1.0)\n";
        assert_eq!(names(depends), ["libc6", "lsb-base", "libevent-2.1-7", "libssl3", "libssl1.1"]);
        assert!(names(", \n").is_empty());
    }

    #[test]
    fn libraries_that_are_not_there_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibcares.so.2 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n";
        assert_eq!(not_found(text), ["libcares.so.2"]);
    }
}
