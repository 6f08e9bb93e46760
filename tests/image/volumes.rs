//! Volumes as the kubelet lays them out: a directory named after the time, the link `..data` to it, and links to its files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::Value;

use super::kubelet::{NAMESPACE, field_of, list, text};
use crate::support::Scene;

const DATED: &str = "..2026_11_29_12_00_00.1234567890";

/// A file of a volume.
struct File {
    path: String,
    content: Vec<u8>,
    mode: u32,
    /// The owner.
    user: u32,
}

/// Writes a volume of a pod into a directory.
pub async fn lay_out(scene: &Scene, pod: &Value, volume: &Value, directory: &Path) {
    let projected = &volume["projected"];
    assert!(!projected.is_null(), "this test lays out projected volumes only: {volume}");
    let number = |value: &Value| -> u32 { value.as_u64().and_then(|n| n.try_into().ok()).expect("a number") };
    let default_mode = number(&projected["defaultMode"]);
    let security = &pod["spec"]["securityContext"];
    let group = number(&security["fsGroup"]);
    let file = |path: &str, content: Vec<u8>| File { path: path.to_owned(), content, mode: default_mode, user: 0 };

    let mut files = Vec::new();
    for source in list(&projected["sources"]) {
        let (kind, source) = source.as_object().and_then(|s| s.iter().next()).expect("a source");
        match kind.as_str() {
            "configMap" | "secret" => {
                let name = text(&source["name"]);
                let object = scene.ok(&["get", kind, name, "-n", NAMESPACE, "-o", "json"]).await;
                let object: Value = serde_json::from_str(&object).expect("JSON");
                for item in list(&source["items"]) {
                    let value = &object["data"][text(&item["key"])];
                    let content = match kind.as_str() {
                        "secret" => serde_json::from_value::<ByteString>(value.clone()).expect("base64").0,
                        _ => text(value).as_bytes().to_vec(),
                    };
                    files.push(file(text(&item["path"]), content));
                }
            }
            "downwardAPI" => {
                for item in list(&source["items"]) {
                    let value = field_of(pod, text(&item["fieldRef"]["fieldPath"]));
                    files.push(file(text(&item["path"]), value.into_bytes()));
                }
            }
            "serviceAccountToken" => {
                let token = token(scene, pod, &source["expirationSeconds"]).await;
                // Only for the user of the containers, whatever the default mode.
                let user = number(&security["runAsUser"]);
                files.push(File { mode: 0o600, user, ..file(text(&source["path"]), token.into_bytes()) });
            }
            _ => panic!("a source that this test does not know: {kind}"),
        }
    }
    write(&files, directory, group);
}

/// A token that is bound to the pod.
async fn token(scene: &Scene, pod: &Value, expiration: &Value) -> String {
    let account = text(&pod["spec"]["serviceAccountName"]);
    let (name, uid) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
    let bound = ["--bound-object-kind=Pod", "--bound-object-name", name, "--bound-object-uid", uid];
    let duration = format!("--duration={expiration}s");
    let token = scene.ok(&[&["create", "token", account, "-n", NAMESPACE, &duration], &bound[..]].concat()).await;
    token.trim().to_owned()
}

fn write(files: &[File], directory: &Path, group: u32) {
    let dated = directory.join(DATED);
    fs::create_dir_all(&dated).expect("a directory");
    symlink(DATED, directory.join("..data")).expect("a link");
    for file in files {
        let path = dated.join(&file.path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, &file.content).expect("a file");
        chown(&path, Some(file.user), None).expect("an owner");
        set_mode(&path, file.mode);
        let first = file.path.split('/').next().expect("a name");
        let link = directory.join(first);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(first), link).expect("a link");
        }
    }
    set_mode(directory, 0o777);
    give_to_group(directory, group);
}

/// What `fsGroup` does to a volume that is mounted read-only.
fn give_to_group(path: &Path, group: u32) {
    let kind = fs::symlink_metadata(path).expect("metadata");
    if kind.is_symlink() {
        return;
    }
    chown(path, None, Some(group)).expect("a group");
    let added = if kind.is_dir() { 0o2550 } else { 0o440 };
    set_mode(path, (kind.permissions().mode() & 0o7777) | added);
    if kind.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            give_to_group(&entry.expect("an entry").path(), group);
        }
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
