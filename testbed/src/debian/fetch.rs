//! Puts a program of a package into the cache, with the libraries that the machine lacks.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::apt::Apt;
use super::{Packaged, Search, library_path};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Whether a directory of the cache has the program, and it runs. After an upgrade of the distribution it may not.
pub(super) async fn works(tree: &Path, wanted: Packaged) -> bool {
    let program = tree.join("bin").join(wanted.program);
    if !program.is_file() {
        return false;
    }
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").env("LD_LIBRARY_PATH", library_path(&tree.join("lib"))).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Fetches the package, and from the packages that it depends on the libraries that are missing. The directory named after the
/// program appears by a rename, so that no half of it is ever found.
pub(super) async fn fetch(wanted: Packaged, search: &Search, shelf: &Path, progress: &Progress) -> Result<()> {
    let workshop = tempfile::tempdir_in(shelf).map_err(Error::file("create a directory in", shelf))?;
    let mut apt = Apt::new(&search.path, workshop.path(), progress);
    let tree = workshop.path().join("tree");
    let (programs, libraries) = (tree.join("bin"), tree.join("lib"));
    for directory in [&programs, &libraries] {
        fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    }

    let mut package = apt.unpack(wanted.package).await?.map_err(|why| wanted.missing(why))?;
    let is_wanted = |path: &Path| path.ends_with(wanted.program) && in_bin(path);
    let mut program = find(&package.root, &is_wanted)?;
    // One such as `postgresql-client` only stands for `postgresql-client-15`.
    let versioned = format!("{}-", wanted.package);
    if let Some(name) = package.depends.iter().find(|name| program.is_none() && name.starts_with(&versioned)) {
        package = apt.unpack(name).await?.map_err(|why| wanted.missing(why))?;
        program = find(&package.root, &is_wanted)?;
    }
    let program =
        program.ok_or_else(|| wanted.missing(format!("the package {} has no such program", wanted.package)))?;
    let installed = programs.join(wanted.program);
    fs::copy(&program, &installed).map_err(Error::file("copy", &program))?;
    fs::set_permissions(&installed, Permissions::from_mode(0o755)).map_err(Error::file("open up", &installed))?;

    let (mut seen, mut candidates) = (BTreeSet::new(), VecDeque::from(package.libraries()));
    loop {
        let missing = apt.missing_libraries(&installed, &libraries).await?.map_err(|why| wanted.missing(why))?;
        if missing.is_empty() {
            break;
        }
        let Some(candidate) = candidates.pop_front() else {
            return Err(wanted.missing(format!("no package that can be fetched has {}", missing.join(", "))));
        };
        if !seen.insert(candidate.clone()) || apt.installed(&candidate).await? {
            continue;
        }
        // A name that stands for other packages cannot be fetched; what is missing in the end is reported above.
        let Ok(unpacked) = apt.unpack(&candidate).await? else { continue };
        for library in missing {
            if let Some(file) = find(&unpacked.root, &|path| path.ends_with(&library))? {
                let target = libraries.join(&library);
                fs::copy(&file, &target).map_err(Error::file("copy", &file))?;
            }
        }
        candidates.extend(unpacked.libraries());
    }
    if !works(&tree, wanted).await {
        return Err(wanted.missing("what the package has does not run here"));
    }
    let target = shelf.join(wanted.program);
    if target.exists() {
        fs::remove_dir_all(&target).map_err(Error::file("remove", &target))?;
    }
    fs::rename(&tree, &target).map_err(Error::file("install", &target))
}

/// In `/usr/bin`, `/usr/sbin` or `/usr/lib/postgresql/15/bin`, and not, say, among the shell's completions.
fn in_bin(path: &Path) -> bool {
    path.parent().is_some_and(|directory| directory.ends_with("bin") || directory.ends_with("sbin"))
}

/// A file below a directory. Links lead to files, but not to directories.
fn find(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let entry = entry.map_err(Error::file("read", directory))?;
        let path = entry.path();
        let below = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { find(&path, wanted)? } else { None };
        if below.is_some() {
            return Ok(below);
        }
        if wanted(&path) && path.is_file() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Found, locate};
    use super::*;

    const WANTED: Packaged = Packaged { program: "thing-server", package: "thing" };

    /// Knows nothing before its own lists are there, and no package by the name `libvirtual`.
    const APT: &str = r#"
case "$*" in *Dir::State::Lists*) ;; *) echo "E: Unable to locate package"; exit 100 ;; esac
for last; do :; done
case $last in
    update | libvirtual) exit 100 ;;
    *) : > "$last.deb" ;;
esac"#;
    const DPKG_DEB: &str = r#"
for last; do :; done
case "$1 ${2##*/} ${last##*/}" in
    "-x thing.deb "*)
        mkdir -p "$3/usr/sbin" "$3/usr/share/completions"
        : > "$3/usr/share/completions/thing-server"
        printf '#!/bin/sh\nexit 0\n' > "$3/usr/sbin/thing-server" ;;
    "-x libone.deb "*) mkdir -p "$3/lib" && echo one > "$3/lib/libone.so.1.2" && ln -s libone.so.1.2 "$3/lib/libone.so.1" ;;
    "-x libtwo.deb "*) mkdir -p "$3/lib" && echo two > "$3/lib/libtwo.so.2" && : > "$3/lib/libunrelated.so" ;;
    "-x stand-in.deb "*) mkdir -p "$3/usr/share/doc" ;;
    "--show "*" stand-in.deb") echo "other, stand-in-15" ;;
    "-x stand-in-15.deb "*)
        mkdir -p "$3/usr/lib/stand/15/bin" && printf '#!/bin/sh\nexit 0\n' > "$3/usr/lib/stand/15/bin/thing-server" ;;
    "--show "*" thing.deb") echo "postgresql-common, libc6 (>= 2.36), libvirtual, libone | libother" ;;
    "--show "*" libone.deb") echo "libtwo:any" ;;
    "--show "*) echo ", " ;;
esac"#;
    const DPKG_QUERY: &str = r#"
for last; do :; done
[ "$last" = libc6 ] && echo "ii ""#;
    /// One library shows only when the other is there.
    const LDD: &str = r#"
here=${LD_LIBRARY_PATH%%:*}
[ -e "$here/libone.so.1" ] || { echo "	libone.so.1 => not found"; exit; }
[ -e "$here/libtwo.so.2" ] || echo "	libtwo.so.2 => not found"
echo "	libc.so.6 => /lib/libc.so.6 (0x1)""#;

    /// A `PATH` with these programs first.
    fn machine(directory: &Path, ldd: &str) -> Search {
        let programs = directory.join("programs");
        fs::create_dir(&programs).unwrap();
        for (name, script) in [("apt-get", APT), ("dpkg-deb", DPKG_DEB), ("dpkg-query", DPKG_QUERY), ("ldd", ldd)] {
            let path = programs.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", programs.display()).into();
        Search { path, cache: directory.join("cache"), download: true }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_program_comes_with_the_libraries_that_are_missing_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let search = machine(directory.path(), LDD);
        let found = locate(WANTED, &search, &Progress::silent()).await.unwrap();
        let tree = search.cache.join("packages/thing-server");
        assert_eq!(found, Found::Cached(tree.clone()));
        assert_eq!(names(&tree.join("bin")), ["thing-server"]);
        assert_eq!(names(&tree.join("lib")), ["libone.so.1", "libtwo.so.2"]);
        assert_eq!(fs::read_to_string(tree.join("lib/libone.so.1")).unwrap(), "one\n");
        assert_eq!(names(&search.cache.join("packages")), [".lock", "thing-server"]);
    }

    #[tokio::test]
    async fn a_package_that_stands_for_one_with_a_version_leads_there() {
        let directory = tempfile::tempdir().unwrap();
        let search = machine(directory.path(), ":");
        let wanted = Packaged { package: "stand-in", ..WANTED };
        let found = locate(wanted, &search, &Progress::silent()).await.unwrap();
        assert_eq!(names(&search.cache.join("packages/thing-server/bin")), ["thing-server"], "{found:?}");
    }

    #[tokio::test]
    async fn a_library_that_is_nowhere_is_named_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let search = machine(directory.path(), "echo '	libthree.so.3 => not found'");
        let message = locate(WANTED, &search, &Progress::silent()).await.unwrap_err().to_string();
        assert!(message.contains("(no package that can be fetched has libthree.so.3)"), "{message}");
        assert_eq!(names(&search.cache.join("packages")), [".lock"]);
    }

    #[tokio::test]
    async fn what_apt_says_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let search = machine(directory.path(), LDD);
        let wanted = Packaged { program: "thing-server", package: "libvirtual" };
        fs::write(
            directory.path().join("programs/apt-get"),
            "#!/bin/sh\necho 'E: no such thing'\necho more\nexit 100\n",
        )
        .unwrap();
        let message = locate(wanted, &search, &Progress::silent()).await.unwrap_err().to_string();
        assert!(message.contains("(`apt-get` ended with exit code 100: E: no such thing)"), "{message}");
    }
}
