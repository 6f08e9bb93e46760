//! "kubectl tells me what I am about to erase": the warning at the moment of a deletion, which never denies one.

use std::collections::BTreeSet;

use super::{Arc, ListParams, OURS, Org, Scene, Value, Variant, World, eventually, json, path};
use crate::tests;

tests![
    kubectl_prints_what_a_deletion_will_do,
    whatever_is_in_the_object_the_warning_fits_and_denies_nothing,
    many_at_once_are_warned_about_and_none_is_denied,
    an_object_that_nobody_can_read_is_not_denied_either,
];

/// With what the API server begins every warning of this policy.
const BEGINS: &str = "Warning: Validation failed for ValidatingAdmissionPolicy 'organization-deletion-warning' \
                      with binding 'organization-deletion-warning': ";
/// What the API server keeps of each warning if there are many.
const KEPT: usize = 256;
const ID: &str = "00000000-0000-4000-8000-0000000000ff";
/// What is shown if an expression fails.
const FALLBACK: &str = "the object cannot be read completely; spec.deletionPolicy decides what this deletion does to the data (Delete erases it permanently).";

/// Deletes with kubectl and insists on success. Returns the warnings of this policy, without their beginning.
async fn deleted(world: &World, arguments: &[&str]) -> Vec<String> {
    let output = world.ok(&[&["delete"], arguments].concat()).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .map(|line| line.strip_prefix(BEGINS).unwrap_or_else(|| panic!("another line: {text}")).to_owned())
        .collect()
}

/// The only warning about one object, of a dry run. Policies need a moment until they are in effect.
async fn warned(scene: &Scene, name: &str) -> String {
    eventually(&format!("a warning about {name}"), || async {
        let mut all = deleted(&scene.world, &["organization", name, "--dry-run=server"]).await;
        assert!(all.len() <= 1, "{all:?}");
        all.pop()
    })
    .await
}

fn keep(name: &str) -> String {
    format!(r#"kubectl patch organization {name} --type=merge -p '{{"spec":{{"deletionPolicy":"Retain"}}}}'"#)
}

async fn kubectl_prints_what_a_deletion_will_do(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let operator = scene.start().await;
    for (name, number, policy, window) in [
        ("acme", 1, "Delete", 0),
        ("hooli", 2, "Delete", 604_800),
        ("initech", 3, "Deactivate", 0),
        ("globex", 4, "Retain", 0),
    ] {
        scene.seed(&scene.key(number)).await;
        scene.apply(&scene.org(name, &scene.key(number)).policy(policy).window(window)).await;
        scene.ready(name).await;
    }
    // Nobody serves it, so it has no finalizer.
    scene.create(&Org::new(&scene.name("nobody"), "id5", "nobody-serves-this").policy("Delete")).await;
    let seen = scene.until("acme", "counted rows", |s| s.status().inventory.is_some()).await;
    let inventory = seen.status().inventory.expect("counted rows");
    let rows = format!(
        "permanently: {} rows in all (users: {}), counted {}. Its id is {}.",
        scene.total(&scene.key(1)).await - 1,
        3,
        inventory.observed_time.as_ref().expect("a time").0.strftime("%Y-%m-%dT%H:%M:%SZ"),
        scene.key(1)
    );
    let (acme, hooli, initech, globex) =
        (scene.name("acme"), scene.name("hooli"), scene.name("initech"), scene.name("globex"));
    assert_eq!(
        warned(&scene, &acme).await,
        format!(
            "this erases {acme} {rows} The erasure begins after handoverSeconds (10 by default). \
             Until then, this keeps the data: {}",
            keep(&acme)
        )
    );
    // The documentation shows a real one.
    let docs = std::fs::read_to_string(path("docs/organization.md")).expect("the documentation");
    let counted = inventory.observed_time.as_ref().expect("a time").0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let shown = warned(&scene, &acme).await.replace(&acme, "acme").replace(&counted, "2026-11-29T01:00:00Z");
    assert!(docs.contains(&format!("{BEGINS}{shown}\n")), "{shown}");
    let text = warned(&scene, &hooli).await;
    assert!(text.starts_with(&format!("this erases {hooli} permanently in 7 d: ")), "{text}");
    assert!(
        text.ends_with(&format!(
            " The organization is deactivated at once. Until then, this keeps the data: {}",
            keep(&hooli)
        )),
        "{text}"
    );
    assert_eq!(
        warned(&scene, &initech).await,
        format!("deletionPolicy is Deactivate: this deactivates {initech} and keeps its data.")
    );
    assert_eq!(
        warned(&scene, &globex).await,
        format!("deletionPolicy is Retain: this keeps the data of {globex}, which nothing manages any more then.")
    );
    let nobody = scene.name("nobody");
    assert_eq!(
        warned(&scene, &nobody).await,
        format!(
            "the operator has not adopted {nobody} yet: the object goes at once, and its data stays, whatever deletionPolicy says."
        )
    );
    // That were dry runs.
    assert!(scene.get("acme").await.is_some_and(|s| s.0.metadata.deletion_timestamp.is_none()));

    // What it says comes true, and the way out that it names is one.
    let text = deleted(&scene.world, &["organization", &hooli, "--wait=false"]).await;
    assert_eq!(text.len(), 1, "{text:?}");
    let seen = scene.until("hooli", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let erase =
        seen.deletion().and_then(|d| d.erase_time).expect("a time").0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let text = deleted(&scene.world, &["organization", &hooli, "--wait=false"]).await;
    assert_eq!(
        text,
        [format!(
            "{hooli} is already being deleted (RecoveryWindow); another delete changes nothing. It will be erased at {erase}. \
             This keeps the data: {}",
            keep(&hooli)
        )]
    );
    scene.patch("hooli", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("hooli").await;
    assert!(scene.total(&scene.key(2)).await > 0);
    operator.stop().await;
}

/// Shapes of an object that may be stored, with the name `name`: its spec, its status, and what the warning contains.
fn shapes(name: &str) -> Vec<(Value, Value, String)> {
    let delete = |spec: Value| {
        let mut all = json!({"deletionPolicy": "Delete", "organizationId": ID});
        all.as_object_mut().expect("a spec").extend(spec.as_object().expect("a spec").clone());
        all
    };
    let uncounted = format!("this erases {name} permanently: its rows have not been counted yet. Its id is {ID}.");
    let window = |text: &str| format!("this erases {name} permanently in {text}: its rows have not been counted yet");
    let condition = |status: &str, reason: &str| {
        let since = "2026-01-01T00:00:00Z";
        json!({"type": "DeletionReady", "status": status, "reason": reason, "message": "m", "lastTransitionTime": since})
    };
    let (failing, ready) = (condition("False", "ForeignKeyViolation"), condition("True", "PlanComplete"));
    let entities = json!([{"entity": "users", "rows": 3}, {"entity": "flows", "rows": 10000, "capped": true}]);
    vec![
        (delete(json!({})), Value::Null, uncounted.clone()),
        (delete(json!({})), json!({"observedGeneration": -1}), uncounted.clone()),
        (delete(json!({})), json!({"conditions": []}), uncounted.clone()),
        (
            delete(json!({})),
            json!({"inventory": {"total": 7}}),
            format!("this erases {name} permanently: 7 rows in all. Its id is {ID}."),
        ),
        (
            delete(json!({})),
            json!({"inventory": {"total": 10003, "users": 3, "entities": entities}}),
            "permanently: 10003+ rows in all (users: 3).".to_owned(),
        ),
        (
            delete(json!({})),
            json!({"state": "Absent"}),
            "permanently: the database had no such organization.".to_owned(),
        ),
        (
            delete(json!({})),
            json!({"conditions": [failing]}),
            " As last seen, ForeignKeyViolation would prevent it. Until".to_owned(),
        ),
        (delete(json!({})), json!({"conditions": [ready]}), " (10 by default). Until".to_owned()),
        (
            delete(json!({})),
            json!({"error": {"reason": "OrganizationClaimed", "code": 409, "message": "m"}}),
            " As last seen, OrganizationClaimed would prevent it. ".to_owned(),
        ),
        (delete(json!({"recoveryWindowSeconds": 59})), Value::Null, window("59 s")),
        (delete(json!({"recoveryWindowSeconds": 120})), Value::Null, window("2 min")),
        (delete(json!({"recoveryWindowSeconds": 7200})), Value::Null, window("2 h")),
        (delete(json!({"recoveryWindowSeconds": 90061})), Value::Null, window("90061 s")),
        (delete(json!({"recoveryWindowSeconds": i32::MAX})), Value::Null, window("2147483647 s")),
        (
            delete(json!({"suspend": true})),
            Value::Null,
            format!(
                "Its id is {ID}. This keeps the data: {} Nothing happens before spec.suspend is lifted.",
                keep(name)
            ),
        ),
        (
            json!({"organizationId": ID, "suspend": true}),
            Value::Null,
            " Nothing happens before spec.suspend is lifted.".to_owned(),
        ),
        (json!({"organizationId": ID}), Value::Null, "deletionPolicy is Retain: ".to_owned()),
        // No warning may have a control character: the API server drops it.
        (
            delete(json!({"organizationId": "a\nb\u{1}"})),
            Value::Null,
            "rows have not been counted yet. The erasure".to_owned(),
        ),
        (
            delete(json!({"organizationId": "\u{1F600}".repeat(255)})),
            Value::Null,
            format!("Its id is {}.", "\u{1F600}".repeat(255)),
        ),
        (delete(json!({"organizationId": r#"'"\ "#})), Value::Null, r#"Its id is '"\ ."#.to_owned()),
    ]
}

/// Nobody serves these objects.
async fn whatever_is_in_the_object_the_warning_fits_and_denies_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let name = scene.name("acme");
    let mut seen = BTreeSet::new();
    for (spec, status, text) in shapes(&name) {
        scene.fresh(&name, spec.clone(), &status).await;
        let shown = warned(&scene, &name).await;
        assert!(shown.contains(&text), "{spec} {status}: {shown}");
        seen.insert(shown);
        scene.forget(&name).await;
    }
    assert!(!seen.iter().any(|text| text == FALLBACK), "{seen:?}");
    again_and_again(&scene).await;
}

/// The longest name, deleted for real, and again.
async fn again_and_again(scene: &Scene) {
    let long = format!("{}.{}", "n".repeat(248 - scene.class.len()), scene.class);
    let spec = json!({"organizationId": ID, "deletionPolicy": "Delete", "recoveryWindowSeconds": 1});
    scene.fresh(&long, spec, &json!({"inventory": {"total": i64::MAX, "users": 0}})).await;
    assert!(warned(scene, &long).await.ends_with(&keep(&long)));
    scene.ok(&["delete", "organization", &long, "--wait=false"]).await;
    let again = format!("{long} is already being deleted; another delete changes nothing.");
    for (deletion, rest) in [
        (Value::Null, format!(" This keeps the data: {}", keep(&long))),
        (json!({"policy": "Delete", "summary": "Blocked"}), format!(" This keeps the data: {}", keep(&long))),
        (
            json!({"policy": "Delete", "summary": "63%", "progress": {"rowsDeleted": 0, "rowsEstimated": 9, "percent": 0}}),
            format!(" This keeps the data: {}", keep(&long)),
        ),
        (
            json!({"policy": "Delete", "summary": "63%", "progress": {"rowsDeleted": 5, "rowsEstimated": 9, "percent": 63}}),
            " Rows of it are gone already: deletionPolicy Retain would stop the erasure and keep the remainder."
                .to_owned(),
        ),
        (json!({"policy": "Delete", "outcome": "Erased", "summary": "Verifying", "progress": null}), String::new()),
    ] {
        let word = deletion["outcome"].as_str().or(deletion["summary"].as_str());
        let stage = word.map(|word| format!(" ({word})")).unwrap_or_default();
        scene.report(&long, &json!({"deletion": deletion})).await;
        let expected = again.replacen(';', &format!("{stage};"), 1) + &rest;
        assert_eq!(deleted(&scene.world, &["organization", &long, "--wait=false"]).await, [expected], "{deletion}");
    }
    scene.forget(&long).await;
}

impl Scene {
    /// Creates an object with the finalizer, and writes its status.
    async fn fresh(&self, name: &str, mut spec: Value, status: &Value) {
        spec["database"] = json!(self.class);
        let object = json!({
            "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
            "metadata": {"name": name, "finalizers": [OURS], "labels": {"of": self.class}}, "spec": spec,
        });
        let file = self.file("shape.json", &object.to_string());
        self.ok(&["create", "-f", &file]).await;
        if !status.is_null() {
            self.report(name, status).await;
        }
    }

    /// Removes an object that nobody serves.
    async fn forget(&self, name: &str) {
        self.ok(&["delete", "organization", name, "--wait=false"]).await;
        let body = r#"{"metadata":{"finalizers":null}}"#;
        self.ok(&["patch", "organization", name, "--type=merge", "-p", body]).await;
    }
}

/// In a cluster of its own: `--all` means all.
async fn many_at_once_are_warned_about_and_none_is_denied(world: Arc<World>) {
    const MANY: usize = 40;
    let scene = Scene::new(Arc::new(world.apart().await), Variant::Platform).await;
    for number in 0..MANY {
        let spec = json!({"organizationId": ID, "deletionPolicy": "Delete"});
        scene.fresh(&format!("tenant-{number}"), spec, &json!({"inventory": {"total": 12345, "users": 3}})).await;
    }
    warned(&scene, "tenant-0").await;
    // kubectl deletes one after the other.
    let all = deleted(&scene.world, &["organizations", "--all", "--dry-run=server"]).await;
    assert_eq!(all.len(), MANY, "{all:?}");
    assert!(
        all.iter().all(|text| text.contains(" permanently: 12345 rows in all (users: 3)") && text.ends_with('\'')),
        "{all:?}"
    );
    // One request: the API server shortens, and then leaves out.
    let raw = "/apis/organization-operator.io/v1alpha1/organizations";
    for (query, terminating) in [("?dryRun=All", 0), ("", MANY), ("", MANY)] {
        let all = deleted(&scene.world, &["--raw", &format!("{raw}{query}")]).await;
        assert!(all.len() > 10, "{all:?}");
        let limit = KEPT - (BEGINS.len() - "Warning: ".len());
        for text in &all {
            assert!(text.chars().count() <= limit, "{} > {limit}: {text}", text.chars().count());
            let said = text.contains(" permanently: 12345 rows in all (users: 3)")
                || text.contains("is already being deleted");
            assert!(said, "{text}");
        }
        let list = scene.api().list(&ListParams::default()).await.expect("a list");
        assert_eq!(list.iter().filter(|o| o.metadata.deletion_timestamp.is_some()).count(), terminating, "{query}");
    }
}

/// With a CRD that permits everything, as the CRD of another version may.
async fn an_object_that_nobody_can_read_is_not_denied_either(world: Arc<World>) {
    const CRD: &str = "organizations.organization-operator.io";
    let scene = Scene::new(Arc::new(world.apart().await), Variant::Platform).await;
    // The other policies would refuse to create such objects.
    let bindings = scene.ok(&["get", "validatingadmissionpolicybindings", "-o", "name"]).await;
    for binding in bindings.lines().filter(|name| !name.ends_with("/organization-deletion-warning")) {
        scene.ok(&["delete", binding]).await;
    }
    let mut crd: Value = serde_json::from_str(&scene.ok(&["get", "crd", CRD, "-o", "json"]).await).expect("a CRD");
    let version = &mut crd["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    version["selectableFields"] = Value::Null;
    let file = scene.file("crd.json", &crd.to_string());
    scene.ok(&["replace", "-f", &file]).await;

    let erasing = json!({"deletionPolicy": "Delete", "organizationId": "a"});
    let erases = |field: &str, value: Value| {
        let mut spec = erasing.clone();
        spec[field] = value;
        spec
    };
    let permanently = " permanently: its rows have not been counted yet";
    let shapes = [
        (Value::Null, Value::Null, "deletionPolicy is Retain: "),
        (json!("text"), json!("text"), "deletionPolicy is Retain: "),
        (json!([1]), json!([1]), FALLBACK),
        (json!({"deletionPolicy": 5}), Value::Null, "is 5, which this warning does not know"),
        (json!({"deletionPolicy": {"a": 1}}), Value::Null, FALLBACK),
        (json!({"deletionPolicy": "Archive"}), Value::Null, "is Archive, which this warning does not know"),
        (erases("organizationId", json!(7)), Value::Null, FALLBACK),
        (erases("recoveryWindowSeconds", json!("soon")), Value::Null, FALLBACK),
        (erases("suspend", json!("yes")), Value::Null, permanently),
        (erasing.clone(), json!("text"), permanently),
        (erasing.clone(), json!({"inventory": []}), FALLBACK),
        (erasing.clone(), json!({"inventory": {"total": "many"}}), " permanently: many rows in all"),
        (erasing.clone(), json!({"inventory": {"total": {}}}), FALLBACK),
        (erasing.clone(), json!({"conditions": [{"type": 1}, {"a": 2}, 3]}), FALLBACK),
        (erasing.clone(), json!({"conditions": {"a": 1}}), FALLBACK),
        (erasing.clone(), json!({"error": "text"}), permanently),
        (erasing.clone(), json!({"error": {"reason": {}}}), FALLBACK),
    ];
    for (number, (spec, status, text)) in shapes.into_iter().enumerate() {
        let name = format!("shape-{number}");
        let mut object = json!({
            "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
            "metadata": {"name": name, "finalizers": [OURS]}, "spec": spec,
        });
        if spec.is_null() {
            object.as_object_mut().expect("an object").remove("spec");
        }
        let file = scene.file("shape.json", &object.to_string());
        eventually("the CRD permits everything", || async {
            let created = scene.kubectl(&["create", "-f", &file, "--validate=false"]).await;
            created.status.success().then_some(())
        })
        .await;
        if !status.is_null() {
            let body = json!({"status": status}).to_string();
            scene.ok(&["patch", "organization", &name, "--subresource=status", "--type=merge", "-p", &body]).await;
        }
        let stored: Value =
            serde_json::from_str(&scene.ok(&["get", "organization", &name, "-o", "json"]).await).expect("JSON");
        assert_eq!(
            (&stored["spec"], &stored["status"]),
            (&spec, &status),
            "the API server changed what the test is about"
        );
        let shown = warned(&scene, &name).await;
        assert!(shown.contains(text), "{spec} {status}: {shown}");
        for _ in 0..2 {
            deleted(&scene.world, &["organization", &name, "--wait=false"]).await;
        }
    }
}
