//! Unpacks several packages into one directory: a system that nobody has installed.

use std::fs;
use std::path::Path;

use super::apt::{Apt, archives};
use crate::error::{Error, Result};

/// Whether packages are fetched with all that they depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dependencies {
    /// Only the packages themselves.
    Without,
    /// They and all that they depend on.
    With,
}

/// Fetches packages and unpacks them into one directory, which stands for `/`. Their scripts do not run.
pub(super) async fn unpack(
    apt: &mut Apt<'_>,
    packages: &[&str],
    dependencies: Dependencies,
    root: &Path,
) -> Result<Result<(), String>> {
    let directory = tempfile::tempdir_in(apt.workshop).map_err(Error::file("use", apt.workshop))?;
    let directory = directory.path();
    let what = format!("downloading {} and other packages", packages.first().unwrap_or(&"no package"));
    let fetched = match dependencies {
        Dependencies::Without => {
            apt.fetch(&what, |apt| apt.get("download").args(packages).current_dir(directory)).await?
        }
        Dependencies::With => {
            let status = directory.join("status");
            fs::write(&status, "").map_err(Error::file("write", &status))?;
            let partial = directory.join("partial");
            fs::create_dir_all(&partial).map_err(Error::file("create", &partial))?;
            // As if nothing was installed, so that all they depend on is fetched.
            let fetch = |apt: &Apt<'_>| {
                apt.get("install")
                    .arg(format!("-oDir::State::status={}", status.display()))
                    .arg(format!("-oDir::Cache={}", directory.display()))
                    .arg(format!("-oDir::Cache::archives={}", directory.display()))
                    .args(["-oDebug::NoLocking=1", "--download-only", "--no-install-recommends", "-y"])
                    .args(packages)
            };
            apt.fetch(&what, fetch).await?
        }
    };
    if let Err(why) = fetched {
        return Ok(Err(why));
    }
    fs::create_dir_all(root).map_err(Error::file("create", root))?;
    let mut archives = archives(directory)?;
    // This one has the directories, and on newer systems the links between them.
    archives.sort_by_key(|path| {
        (!path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("base-files_")), path.clone())
    });
    for archive in archives {
        let unpack = apt.tool("dpkg-deb").arg("-x").arg(&archive).arg(root);
        if let Err(why) = apt.run(unpack, "unpacking a package").await? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::progress::Progress;

    #[tokio::test]
    async fn packages_are_unpacked_together_and_the_directories_first() {
        let directory = tempfile::tempdir().unwrap();
        let programs = directory.path().join("programs");
        fs::create_dir(&programs).unwrap();
        // With dependencies, apt fetches as if nothing was installed.
        let apt = r#"
for word; do case $word in
    -oDir::Cache::archives=*) archives=${word#*=} ;;
    -oDir::State::status=*) status=${word#*=} ;;
esac; done
case "$*" in
    *"download one two") : > one_1.deb; : > two_1.deb ;;
    *"--download-only --no-install-recommends -y one two")
        [ -e "$status" ] && [ ! -s "$status" ] || exit 1
        for name in a-library one two base-files; do : > "$archives/${name}_1.deb"; done ;;
    *) echo "E: Unable to locate package" >&2; exit 100 ;;
esac"#;
        for (name, script) in [("apt-get", apt), ("dpkg-deb", r#"echo "${2##*/}" >> "$3/order""#)] {
            let path = programs.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let progress = Progress::silent();
        let mut apt = Apt::new(path.as_ref(), directory.path(), &progress);
        for (dependencies, name, expected) in [
            (Dependencies::Without, "without", "one_1.deb\ntwo_1.deb\n"),
            (Dependencies::With, "with", "base-files_1.deb\na-library_1.deb\none_1.deb\ntwo_1.deb\n"),
        ] {
            let root = directory.path().join(name);
            unpack(&mut apt, &["one", "two"], dependencies, &root).await.unwrap().unwrap();
            assert_eq!(fs::read_to_string(root.join("order")).unwrap(), expected);
        }
        let root = directory.path().join("none");
        let why = unpack(&mut apt, &["three"], Dependencies::Without, &root).await.unwrap().unwrap_err();
        assert!(why.contains("Unable to locate package"), "{why}");
    }
}
