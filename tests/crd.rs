//! "What I may write is in the CRD": the file in `crds/` is what the binary prints, keeps the promises of the contract, and
//! accepts everything that the documentation shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::support::World;
use crate::tests;

tests![
    the_file_is_what_the_binary_prints,
    the_schema_keeps_its_promises,
    every_example_is_accepted,
    status_starts_unobserved,
];

const FILE: &str = "crds/organizations.organization-operator.io.yaml";

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn crd() -> Value {
    let text = std::fs::read_to_string(project().join(FILE)).expect("the CRD");
    serde_yaml::from_str(&text).expect("YAML")
}

async fn the_file_is_what_the_binary_prints(_: Arc<World>) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_organization-operator"));
    let printed = command.arg("crd").output().await.expect("it runs");
    assert!(printed.status.success());
    let written = std::fs::read(project().join(FILE)).expect("the CRD");
    assert!(printed.stdout == written, "{FILE} is stale: run `make crd` and commit the result");
}

async fn the_schema_keeps_its_promises(_: Arc<World>) {
    let version = &crd()["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    assert!(schema["x-kubernetes-validations"].is_null(), "rules at the root are not ratcheted");
    assert_eq!(schema["properties"]["status"]["default"]["observedGeneration"], -1);
    let conditions = &schema["properties"]["status"]["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    let selectable: Vec<&str> =
        version["selectableFields"].as_array().expect("fields").iter().filter_map(|f| f["jsonPath"].as_str()).collect();
    assert!(selectable.contains(&".spec.database"), "{selectable:?}");

    let mut faults = Vec::new();
    bounded("", schema, &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    faults.clear();
    bounded("", &serde_json::json!({"properties": {"a": {"type": "string"}, "b": {"type": "array"}}}), &mut faults);
    assert_eq!(faults.len(), 2, "the check finds what has no bound");
}

/// Every string has a bound, every list has one, and nothing is nullable.
fn bounded(path: &str, schema: &Value, faults: &mut Vec<String>) {
    let has = |names: &[&str]| names.iter().any(|n| !schema[*n].is_null());
    // The API server itself bounds these two.
    let own = path == ".apiVersion" || path == ".kind";
    if schema["type"] == "string" && !own && !has(&["maxLength", "enum", "pattern", "format"]) {
        faults.push(format!("{path}: a string without a bound"));
    }
    if schema["type"] == "array" && !has(&["maxItems"]) {
        faults.push(format!("{path}: a list without a bound"));
    }
    if has(&["nullable"]) {
        faults.push(format!("{path}: nullable"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        bounded(&format!("{path}.{name}"), property, faults);
    }
    if !schema["items"].is_null() {
        bounded(&format!("{path}[]"), &schema["items"], faults);
    }
    if schema["additionalProperties"].is_object() {
        bounded(&format!("{path}{{}}"), &schema["additionalProperties"], faults);
    }
}

/// Everything that a reader could copy: manifests of the examples, and blocks of the documentation.
async fn every_example_is_accepted(world: Arc<World>) {
    let mut found: Vec<(String, String)> = Vec::new();
    for file in files(&project().join("examples/platform/manifests"), "yaml") {
        found.push((file.display().to_string(), std::fs::read_to_string(&file).expect("text")));
    }
    assert!(!found.is_empty(), "no manifests in the examples");
    let mut pages = files(&project().join("docs"), "md");
    pages.extend([project().join("README.md")].into_iter().filter(|p| p.exists()));
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("text");
        for (number, block) in text.split("```yaml").skip(1).enumerate() {
            let block = block.split("```").next().unwrap_or_default();
            // An excerpt has no apiVersion.
            if block.contains("kind: Organization\n") && block.contains("apiVersion: organization-operator.io") {
                found.push((format!("{} block {}", page.display(), number + 1), block.to_owned()));
            }
        }
    }
    for (place, text) in found {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().to_string_lossy().into_owned();
        let output = world.kubectl(&["apply", "--dry-run=server", "-f", &path]).await;
        assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for path in entries.map(|e| e.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whoever waits with kstatus never takes a fresh object for a finished one.
async fn status_starts_unobserved(world: Arc<World>) {
    let scene = crate::support::Scene::new(world, crate::support::Variant::Platform).await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    let acme = scene.get("acme").await.expect("the object");
    assert_eq!(acme.status().observed_generation, Some(-1));
}
