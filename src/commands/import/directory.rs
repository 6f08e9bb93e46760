//! A directory of manifests: what is there, and what is added.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_yaml::Value;

use super::manifest::{Manifest, quoted};
use crate::api::{DEFAULT_DATABASE, GROUP};
use crate::commands::error::CommandError;
use crate::commands::file;

/// The file that lists the manifests for kustomize.
const LIST: &str = "kustomization.yaml";
/// Names under which kustomize finds such a file.
const LISTS: [&str; 3] = [LIST, "kustomization.yml", "Kustomization"];
/// The first line of a list that the command may write again.
const HEAD: &str =
    "# Written by `organization-operator import`, which adds to the list whatever it adds to the directory.";

/// A directory of manifests.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Names of all its files.
    files: HashSet<String>,
    /// Its manifests of organizations.
    pub(super) manifests: Vec<Found>,
    /// The text of its list.
    list: Option<String>,
    /// The files that the list names or will name.
    listed: BTreeSet<String>,
}

/// A manifest of an organization that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// `metadata.name`.
    pub(super) name: String,
    /// `spec.organizationId` as it is written.
    pub(super) id: String,
    /// `spec.database`.
    pub(super) database: String,
}

impl Directory {
    /// Reads a directory, which need not exist. Directories below it are not read.
    ///
    /// # Errors
    /// Fails if a file cannot be read: it may be the manifest of any organization. Fails also if somebody else wrote the list.
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let mut directory = Self {
            path: path.to_owned(),
            files: HashSet::new(),
            manifests: Vec::new(),
            list: None,
            listed: BTreeSet::new(),
        };
        let refused = |e: std::io::Error| CommandError(format!("{} cannot be read: {e}", path.display()));
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(directory),
            Err(e) => return Err(refused(e)),
        };
        for entry in entries {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if LISTS.contains(&name.as_str()) {
                directory.read_list(&entry.path(), &name)?;
            } else if is_manifest(&entry.path()) {
                let found = manifests(&entry.path())?;
                if !found.is_empty() {
                    directory.listed.insert(name.clone());
                }
                directory.manifests.extend(found);
            }
            directory.files.insert(name);
        }
        Ok(directory)
    }

    fn read_list(&mut self, path: &Path, name: &str) -> Result<(), CommandError> {
        let text = file::read(path)?;
        if name != LIST || !text.starts_with(HEAD) {
            return Err(CommandError(format!(
                "{} was not written by this command, so the command does not change it: name a directory of its own, and list that directory in {name}",
                path.display()
            )));
        }
        let listed: Value = serde_yaml::from_str(&text)
            .map_err(|e| CommandError(format!("{} cannot be read as YAML: {e}", path.display())))?;
        let resources = listed.get("resources").and_then(Value::as_sequence);
        self.listed.extend(resources.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        self.list = Some(text);
        Ok(())
    }

    /// Whether a file that is no manifest of this object has the name that its manifest would have.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.files.contains(&file_of(name))
    }

    /// The file of an object of this name, for a person.
    pub(super) fn file(&self, name: &str) -> String {
        self.path.join(file_of(name)).display().to_string()
    }

    /// Writes a manifest. A file that has appeared meanwhile is never overwritten.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn add(&mut self, manifest: &Manifest) -> Result<(), CommandError> {
        let name = file_of(&manifest.name);
        match file::create(&self.path.join(&name), &manifest.yaml()) {
            Err(error) if self.path.is_dir() => return Err(error),
            Err(_) => {
                std::fs::create_dir_all(&self.path)
                    .map_err(|e| CommandError(format!("{} cannot be created: {e}", self.path.display())))?;
                file::create(&self.path.join(&name), &manifest.yaml())?;
            }
            Ok(()) => {}
        }
        self.listed.insert(name);
        Ok(())
    }

    /// Lists all manifests for kustomize.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn close(&self) -> Result<(), CommandError> {
        let path = self.path.join(LIST);
        let mut text =
            format!("{HEAD}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n");
        for name in &self.listed {
            text.extend(["  - ", &quoted(name), "\n"]);
        }
        match &self.list {
            _ if self.listed.is_empty() => Ok(()),
            Some(old) if *old == text => Ok(()),
            Some(old) => file::replace(&path, old, &text),
            None => file::create(&path, &text),
        }
    }
}

fn file_of(name: &str) -> String {
    format!("{name}.yaml")
}

fn is_manifest(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known))
}

/// The manifests of organizations in a file.
fn manifests(path: &Path) -> Result<Vec<Found>, CommandError> {
    let text = file::read(path)?;
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let value = Value::deserialize(document).map_err(|e| {
            CommandError(format!(
                "{} cannot be read as YAML, so nobody knows whether it is the manifest of an organization: {e}",
                path.display()
            ))
        })?;
        collect(&value, &mut found);
    }
    Ok(found)
}

/// An object, or a list of objects as `kubectl get -o yaml` writes it.
fn collect(value: &Value, found: &mut Vec<Found>) {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => Some(text.clone()),
        // Written without quotes. The API server refuses it, but it is meant.
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    for item in value.get("items").and_then(Value::as_sequence).into_iter().flatten() {
        collect(item, found);
    }
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let ours = version.split('/').next() == Some(GROUP);
    if ours && value.get("kind").and_then(Value::as_str) == Some("Organization") {
        let spec = value.get("spec");
        let of_spec = |field| text(spec.and_then(|spec| spec.get(field)));
        found.push(Found {
            name: text(value.get("metadata").and_then(|m| m.get("name"))).unwrap_or_default(),
            id: of_spec("organizationId").unwrap_or_default(),
            database: of_spec("database").unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeletionPolicy;

    fn manifest(name: &str) -> Manifest {
        let (id, database) = (format!("id-{name}"), "default".to_owned());
        Manifest { name: name.to_owned(), id, policy: DeletionPolicy::Retain, database }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("text")
    }

    #[test]
    fn manifests_are_added_listed_and_found_again() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("a/b");
        let mut directory = Directory::read(&path).expect("it need not exist");
        directory.close().expect("nothing to list");
        assert!(!path.exists());
        directory.add(&manifest("b")).expect("written");
        directory.add(&manifest("4711")).expect("written");
        directory.close().expect("listed");
        let list = format!(
            "{HEAD}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - \"4711.yaml\"\n  - \"b.yaml\"\n"
        );
        assert_eq!(read(&path.join(LIST)), list);
        // A person adds a file with two objects, another kind, and a list, and forgets to list it.
        std::fs::write(
            path.join("more.yml"),
            "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: organization-operator.io/v1\nkind: Organization\nmetadata: {name: c}\nspec: {organizationId: 7, database: eu}\n---\nkind: List\nitems:\n- apiVersion: organization-operator.io/v1alpha1\n  kind: Organization\n  metadata: {name: d}\n  spec: {organizationId: x}\n",
        )
        .expect("written");
        std::fs::write(path.join("notes.txt"), "{{ not yaml").expect("written");
        let mut directory = Directory::read(&path).expect("read");
        let mut found: Vec<(String, String, String)> =
            directory.manifests.iter().map(|f| (f.name.clone(), f.id.clone(), f.database.clone())).collect();
        found.sort();
        let expected =
            [("4711", "id-4711", "default"), ("b", "id-b", "default"), ("c", "7", "eu"), ("d", "x", "default")];
        assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        assert!(directory.has_file("b") && !directory.has_file("c"));
        let refused = directory.add(&manifest("b")).expect_err("it is there").0;
        assert!(refused.contains("b.yaml already exists"), "{refused}");
        directory.close().expect("listed");
        assert!(read(&path.join(LIST)).ends_with("  - \"b.yaml\"\n  - \"more.yml\"\n"), "{}", read(&path.join(LIST)));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_changed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path();
        for list in LISTS {
            std::fs::write(path.join(list), "resources: [x.yaml]\n").expect("written");
            let refused = Directory::read(path).expect_err("another's list").0;
            assert!(refused.contains(list) && refused.contains("a directory of its own"), "{refused}");
            std::fs::remove_file(path.join(list)).expect("removed");
        }
        std::fs::write(path.join("x.yaml"), "{{ a template }}: [").expect("written");
        let refused = Directory::read(path).expect_err("it may be a manifest").0;
        assert!(refused.contains("x.yaml cannot be read as YAML"), "{refused}");
    }
}
