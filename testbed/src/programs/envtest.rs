//! Downloads the archive that the Kubernetes project publishes for tests.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha512};
use tokio::sync::Mutex;

use super::Program;
use super::digest::hexadecimal;
use crate::cache::{CacheLock, downloads_allowed};
use crate::error::{Error, Result};
use crate::http;
use crate::progress::Progress;

/// The version in the archive.
pub(super) const VERSION: &str = "v1.37.0";

/// Where the network does not lead there, a build should start within seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A transfer without a byte for this long has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Platform and SHA-512, as in `envtest-releases.yaml` of kubernetes-sigs/controller-tools.
const ARCHIVES: [(&str, &str, &str, &str); 4] = [
    (
        "linux",
        "x86_64",
        "linux-amd64",
        "1d1c453633b72c161a5d5a886cde7ac850be1a2ac796a9e1d4ffacacc64868295bdd2d57aa66cd0c158f5ce510f5dfe3fbc61ac21bd3dcfb875bd70658aa663a",
    ),
    (
        "linux",
        "aarch64",
        "linux-arm64",
        "ae6a670502988200b0131c943758cfd3d3a58cf4e6247ef7f0e6a6467f1cd9a333c802e86101f0446b1b92a0e327387224e1e44fe1a4693da0929c6e529cfe9a",
    ),
    (
        "macos",
        "x86_64",
        "darwin-amd64",
        "19a2a5376a8aa57a7b25ec5198834db29bf2ba0d6ff572d7f45ba683b13fb14c3ebec8069e92db66c39f1c7a9cff1bc2be879e2aacdc9fa8b8a7e861959bdf7b",
    ),
    (
        "macos",
        "aarch64",
        "darwin-arm64",
        "fb38cfacdd71b5e97a4d4cceac861af5f55069cf783f0e49cf181bfc32eb3e557c2091a534dc5d38f1b92c5ba142bc1979f215a5385b3630ea6a661be6fa161b",
    ),
];

/// Whether this process has tried. What failed once is not tried again for the next program.
static TRIED: Mutex<bool> = Mutex::const_new(false);

/// Installs the programs of the archive into `directory`, where the network allows it.
pub(super) async fn try_once(directory: &Path, progress: &Progress) -> Result<()> {
    let mut tried = TRIED.lock().await;
    if !std::mem::replace(&mut *tried, true) {
        match install(directory, progress).await {
            // Wrong content is an alarm; no network is not.
            Err(error @ Error::Checksum { .. }) => return Err(error),
            Err(error) => progress.say(&format!("{error}; building from Go modules instead")),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Downloads and unpacks the archive into `directory`. Does nothing where there is no archive
/// for the platform, or where `TESTBED_DOWNLOAD=0` says so.
async fn install(directory: &Path, progress: &Progress) -> Result<()> {
    if !downloads_allowed() {
        return Ok(());
    }
    let Some((_, _, platform, checksum)) =
        ARCHIVES.iter().find(|(os, arch, ..)| *os == std::env::consts::OS && *arch == std::env::consts::ARCH)
    else {
        return Ok(());
    };
    let url = format!(
        "https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-{VERSION}/envtest-{VERSION}-{platform}.tar.gz"
    );
    let archive = progress.during(&format!("downloading {url}"), download(&url)).await?;
    let found = hexadecimal(&Sha512::digest(&archive));
    if found != *checksum {
        return Err(Error::Checksum { url, expected: checksum, found });
    }
    let _lock = CacheLock::acquire(directory, progress).await?;
    unpack(&archive, directory)
}

async fn download(url: &str) -> Result<Vec<u8>> {
    let failed = |source| Error::http(format!("download {url}"), source);
    http::install_provider();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(failed)?;
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    Ok(answer.bytes().await.map_err(failed)?.to_vec())
}

/// Takes the programs out of the archive, each by a rename, so that no half of one is ever found.
fn unpack(archive: &[u8], directory: &Path) -> Result<()> {
    let workshop = tempfile::tempdir_in(directory).map_err(Error::file("create a directory in", directory))?;
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let damaged = |source| Error::file("unpack the envtest archive into", directory)(source);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let wanted = [Program::Etcd, Program::ApiServer, Program::Kubectl]
            .into_iter()
            .find(|program| path.file_name().is_some_and(|name| name == program.name()));
        if let Some(program) = wanted {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            let part = workshop.path().join(program.name());
            fs::write(&part, content).map_err(Error::file("write", &part))?;
            fs::set_permissions(&part, fs::Permissions::from_mode(0o755))
                .map_err(Error::file("make executable", &part))?;
            let target = directory.join(program.name());
            fs::rename(&part, &target).map_err(Error::file("install", &target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn the_programs_are_taken_out_of_the_archive_and_nothing_else() {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for name in ["etcd", "kube-apiserver", "kubectl", "LICENSE"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            header.set_mode(0o600);
            let path = format!("controller-tools/envtest/{name}");
            archive.append_data(&mut header, path, &b"1234"[..]).unwrap();
        }
        let archive = archive.into_inner().unwrap().finish().unwrap();
        let directory = tempfile::tempdir().unwrap();
        unpack(&archive, directory.path()).unwrap();
        let mut found: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, ["etcd", "kube-apiserver", "kubectl"]);
        let mode = fs::metadata(directory.path().join("etcd")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_checksum_is_written_as_it_is_published() {
        assert_eq!(hexadecimal(&[0x00, 0x0f, 0xa0]), "000fa0");
    }
}
