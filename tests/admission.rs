//! "The API server refuses before the operator would have to": `deploy/components/admission`.
//!
//! What should be refused is asked for as a dry run, so that a policy that does not work does no harm to other tests. Nobody
//! serves these objects, except where a test starts an operator.

pub mod expired;
pub mod warning;

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::{OPERATOR, Org, Scene, Variant, World, eventually, path};
use crate::tests;

/// The operator's finalizer.
const OURS: &str = "organization-operator.io/cascade";

tests![
    the_identity_of_an_object_never_changes,
    a_policy_is_only_lowered_while_the_object_is_terminating,
    the_crd_is_not_deleted_by_accident,
    nobody_strips_the_finalizer_without_force_finalize,
    preparing_an_erasure_needs_the_right_to_delete,
    f19_with_the_finalizer_at_creation_no_deletion_is_missed,
    the_pod_meets_the_restricted_standard_and_weaker_ones_are_refused,
];

/// Words by which Flux and kubectl recognise a field that can only be changed by deleting and creating again.
const TEMPTING: [&str; 3] = ["is immutable", "immutable field", "is invalid"];

impl Scene {
    /// Creates an object as a cluster administrator.
    async fn create(&self, org: &Org) {
        let file = self.file(&format!("{}.yaml", org.name()), &org.yaml());
        self.ok(&["create", "-f", &file]).await;
    }

    /// A user of this test with `ClusterRole`s.
    async fn user(&self, name: &str, roles: &[&str]) -> String {
        let user = format!("{name}-{}", self.class);
        for role in roles {
            for role in self.aggregated(role).await {
                let binding = format!("{user}-{role}");
                let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
                self.ok(&["create", "clusterrolebinding", &binding, &role, &user]).await;
            }
        }
        user
    }

    /// What a cluster's role aggregation, which does not run here, makes our part of `view`, `edit` and `admin`.
    async fn aggregated(&self, role: &str) -> Vec<String> {
        let levels = ["view", "edit", "admin"];
        let Some(level) = levels.iter().position(|l| *l == role) else { return vec![role.to_owned()] };
        let mut roles = Vec::new();
        for level in &levels[..=level] {
            let labels = format!(
                "app.kubernetes.io/part-of=organization-operator,rbac.authorization.k8s.io/aggregate-to-{level}=true"
            );
            let names =
                self.ok(&["get", "clusterroles", "-l", &labels, "-o", "jsonpath={.items[*].metadata.name}"]).await;
            roles.extend(names.split_whitespace().map(str::to_owned));
        }
        assert!(!roles.is_empty(), "nothing is aggregated to {role}");
        roles
    }

    /// Waits until kubectl is refused with `Forbidden` and these words. Policies and roles need a moment.
    async fn denied(&self, what: &str, words: &str, arguments: &[&str]) {
        let mut arguments = arguments.to_vec();
        arguments.push("--dry-run=server");
        let text = eventually(&format!("denied: {what}"), || async {
            let output = self.kubectl(&arguments).await;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            (!output.status.success() && text.contains(words)).then_some(text)
        })
        .await;
        // kubectl prints the reason of the API server's answer.
        assert!(text.contains("(Forbidden)"), "{what}: {text}");
        for word in TEMPTING {
            assert!(!text.contains(word), "{what}: Flux would delete and create again: {text}");
        }
    }

    /// Writes into the status of an object, as the operator would.
    async fn report(&self, name: &str, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api().patch_status(name, &PatchParams::default(), &patch).await.expect("a status");
    }

    /// Waits until kubectl is allowed to.
    async fn allowed(&self, what: &str, arguments: &[&str]) {
        eventually(&format!("allowed: {what}"), || async {
            self.kubectl(arguments).await.status.success().then_some(())
        })
        .await;
    }
}

/// Arguments of `kubectl patch`.
fn patch<'a>(name: &'a str, body: &'a str, user: &'a str) -> [&'a str; 7] {
    ["patch", "organization", name, "--type=merge", "-p", body, user]
}

async fn the_identity_of_an_object_never_changes(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.create(&scene.org("acme", "id1")).await;
    let name = scene.name("acme");
    scene.admission("acme").await;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    for (field, value) in [("organizationId", "other"), ("database", "other")] {
        let edit = Patch::Merge(json!({"spec": {field: value}}));
        let answer = scene.api().patch(&name, &dry, &edit).await;
        let Err(kube::Error::Api(status)) = answer else { panic!("{field}: {answer:?}") };
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{field}: {status:?}");
        assert!(status.message.contains(&format!("spec.{field} must not change")), "{field}: {status:?}");
        assert!(TEMPTING.iter().all(|word| !status.message.contains(word)), "{field}: {status:?}");
        // Not for the operator either, and not in a manifest.
        let (body, operator) = (json!({"spec": {field: value}}).to_string(), format!("--as={OPERATOR}"));
        scene.denied(field, "must not change", &patch(&name, &body, &operator)).await;
        let manifest = scene.org("acme", "id1").spec(field, json!(value)).yaml();
        let file = scene.file("edited.yaml", &manifest);
        scene.denied(field, "must not change", &["apply", "--server-side", "--force-conflicts", "-f", &file]).await;
    }
    // What is not the identity may change.
    scene.patch("acme", r#"{"state":"Active","deletionPolicy":"Deactivate","recoveryWindowSeconds":5}"#).await;
    scene.ok(&["label", "organization", &name, "a=b"]).await;
}

async fn a_policy_is_only_lowered_while_the_object_is_terminating(world: Arc<World>) {
    const WORDS: &str = "may only be lowered";
    let scene = Scene::new(world, Variant::Platform).await;
    let (keep, erase) = (scene.name("keep"), scene.name("erase"));
    scene.create(&scene.org("keep", "id1").with_finalizer()).await;
    scene.create(&scene.org("erase", "id2").with_finalizer().policy("Delete").window(60)).await;
    // Free while nobody deletes.
    scene.patch("keep", r#"{"deletionPolicy":"Delete"}"#).await;
    scene.patch("keep", r#"{"deletionPolicy":"Retain"}"#).await;

    scene.delete("keep").await;
    let (admin, operator) = ("--as=system:admin", format!("--as={OPERATOR}"));
    let masters = "--as-group=system:masters";
    for policy in ["Delete", "Deactivate"] {
        let body = json!({"spec": {"deletionPolicy": policy}}).to_string();
        let mut arguments = patch(&keep, &body, admin).to_vec();
        arguments.push(masters);
        scene.denied(policy, WORDS, &arguments).await;
        scene.denied(policy, WORDS, &patch(&keep, &body, &operator)).await;
        let file = scene.file("raised.yaml", &scene.org("keep", "id1").policy(policy).yaml());
        scene.denied(policy, WORDS, &["apply", "--server-side", "--force-conflicts", "-f", &file]).await;
    }
    // Everything else may change.
    scene.patch("keep", r#"{"state":"Active"}"#).await;
    scene.ok(&["annotate", "organization", &keep, "x=y"]).await;
    scene.delete("keep").await;

    scene.delete("erase").await;
    scene.patch("erase", r#"{"deletionPolicy":"Deactivate"}"#).await;
    scene
        .denied("Deactivate to Delete", WORDS, &patch(&erase, r#"{"spec":{"deletionPolicy":"Delete"}}"#, "-o=name"))
        .await;
    only_after_an_interruption(&scene, &erase).await;
    scene
        .denied("Retain to Deactivate", WORDS, &patch(&erase, r#"{"spec":{"deletionPolicy":"Deactivate"}}"#, "-o=name"))
        .await;
    let goes_on = patch(&erase, r#"{"spec":{"deletionPolicy":"Delete"}}"#, "--dry-run=server");
    scene.allowed("Retain to Delete", &goes_on).await;
    // Not without the right to delete.
    let editor = scene.user("edda", &["organization-editor"]).await;
    let mut arguments = patch(&erase, r#"{"spec":{"deletionPolicy":"Delete"}}"#, "-o=name").to_vec();
    let impersonate = format!("--as={editor}");
    arguments.push(&impersonate);
    let words = r#"need the verb "delete""#;
    scene.denied("Retain to Delete by an editor", words, &arguments).await;
    scene.report(&erase, &json!({"deletion": {"progress": null}})).await;
    // Taking it out of the manifest lowers it to the default.
    scene.patch("erase", r#"{"deletionPolicy":null}"#).await;
    let seen = scene.get("erase").await.expect("the object");
    assert_eq!(json!(seen.0.spec.deletion_policy), json!("Retain"));
    scene
        .denied("Retain to Deactivate", WORDS, &patch(&erase, r#"{"spec":{"deletionPolicy":"Deactivate"}}"#, "-o=name"))
        .await;
}

/// Back to `Delete` only where rows were deleted in pages already: the rest may go, too. Leaves the object so.
async fn only_after_an_interruption(scene: &Scene, erase: &str) {
    const WORDS: &str = "may only be lowered";
    let raise = |option| patch(erase, r#"{"spec":{"deletionPolicy":"Delete"}}"#, option);
    let waits = json!({"rowsDeleted": 0, "rowsEstimated": 9, "percent": 0, "waitingFor": "another deletion"});
    let begins = json!({"rowsDeleted": 0, "rowsEstimated": 9, "percent": 0, "waitingFor": null});
    let began = json!({"rowsDeleted": 1, "rowsEstimated": 9, "percent": 11});
    let error = |reason: &str| json!({"reason": reason, "code": 409, "message": "m"});
    scene.patch("erase", r#"{"deletionPolicy":"Retain"}"#).await;
    for (what, progress, error, permitted) in [
        ("it waits for the first page", &waits, Value::Null, false),
        ("it waits, and something else is wrong", &waits, error("DatabaseUnavailable"), false),
        ("an interruption without pages, which no operator reports", &Value::Null, error("ErasureInterrupted"), false),
        ("the operator found that rows are gone", &begins, error("ErasureInterrupted"), true),
        ("something else is wrong meanwhile", &began, error("DatabaseUnavailable"), true),
        ("rows are gone", &began, Value::Null, true),
    ] {
        scene.report(erase, &json!({"error": error, "deletion": {"policy": "Delete", "progress": progress}})).await;
        if permitted {
            scene.allowed(what, &raise("--dry-run=server")).await;
        } else {
            scene.denied(what, WORDS, &raise("-o=name")).await;
        }
    }
}

async fn the_crd_is_not_deleted_by_accident(world: Arc<World>) {
    const CRD: &str = "organizations.organization-operator.io";
    const WORDS: &str = "deletes every Organization object";
    let scene = Scene::new(world, Variant::Platform).await;
    scene.create(&scene.org("acme", "id1")).await;
    // Only dry runs: the CRD is everybody's.
    scene.denied("delete", WORDS, &["delete", "crd", CRD]).await;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.world.client.clone());
    let dry = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let answer = crds.delete_collection(&dry, &ListParams::default()).await;
    let Err(kube::Error::Api(status)) = answer else { panic!("all CRDs at once: {answer:?}") };
    assert!(status.code == 403 && status.message.contains(WORDS), "{status:?}");

    // Other CRDs are none of our business.
    let group = format!("{}.example.org", scene.class);
    let widgets = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Cluster", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let file = scene.file("widgets.yaml", &widgets.to_string());
    scene.ok(&["create", "-f", &file]).await;
    scene.ok(&["delete", "-f", &file]).await;

    // Whoever says it explicitly may.
    let allow = "organization-operator.io/allow-crd-deletion";
    scene.ok(&["annotate", "crd", CRD, &format!("{allow}=true")]).await;
    scene.allowed("with the annotation", &["delete", "crd", CRD, "--dry-run=server"]).await;
    scene.ok(&["annotate", "crd", CRD, &format!("{allow}-")]).await;
    scene.denied("without it again", WORDS, &["delete", "crd", CRD]).await;
    assert!(scene.get("acme").await.is_some());
}

async fn nobody_strips_the_finalizer_without_force_finalize(world: Arc<World>) {
    const WORDS: &str = "only the operator removes";
    const STRIP: &str = r#"{"metadata":{"finalizers":null}}"#;
    let scene = Scene::new(world, Variant::Platform).await;
    let (live, going) = (scene.name("live"), scene.name("going"));
    scene.create(&scene.org("live", "id1").with_finalizer()).await;
    scene.create(&scene.org("going", "id2").with_finalizer()).await;
    scene.delete("going").await;
    for (person, role) in
        [("edith", "organization-editor"), ("eddy", "edit"), ("ada", "admin"), ("erin", "organization-eraser")]
    {
        let user = format!("--as={}", scene.user(person, &[role]).await);
        for name in [&live, &going] {
            scene.denied(person, WORDS, &patch(name, STRIP, &user)).await;
        }
        // What `kubectl replace` of a manifest from Git does unnoticed.
        let file = scene.file("replace.yaml", &scene.org("live", "id1").yaml());
        scene.denied(person, WORDS, &["replace", "-f", &file, &user]).await;
    }
    // The way out that the message names works for them.
    let edith = format!("--as=edith-{}", scene.class);
    scene.allowed("lowering", &patch(&going, r#"{"spec":{"deletionPolicy":"Retain"}}"#, &edith)).await;
    // Other finalizers are none of our business.
    let other = r#"{"metadata":{"finalizers":["organization-operator.io/cascade","example.org/other"]}}"#;
    scene.allowed("adding another finalizer", &patch(&live, other, &edith)).await;
    let ours = r#"{"metadata":{"finalizers":["organization-operator.io/cascade"]}}"#;
    scene.allowed("removing another finalizer", &patch(&live, ours, &edith)).await;
    // Break glass.
    let brook = scene.user("brook", &["organization-editor", "organization-force-finalize"]).await;
    scene.allowed("break-glass", &patch(&going, STRIP, &format!("--as={brook}"))).await;
    scene.gone("going").await;
}

async fn preparing_an_erasure_needs_the_right_to_delete(world: Arc<World>) {
    const WORDS: &str = r#"need the verb "delete""#;
    let scene = Scene::new(world, Variant::Platform).await;
    let edith = format!("--as={}", scene.user("edith", &["organization-editor"]).await);
    let erin = format!("--as={}", scene.user("erin", &["organization-eraser"]).await);
    let (one, two) = (scene.name("one"), scene.name("two"));

    let file = scene.file("create.yaml", &scene.org("one", "id1").yaml());
    scene.allowed("an editor creates with Retain", &["create", "-f", &file, &edith]).await;
    let file = scene.file("erase.yaml", &scene.org("two", "id2").policy("Delete").yaml());
    scene.denied("an editor creates with Delete", WORDS, &["create", "-f", &file, &edith]).await;
    scene.denied("an editor raises", WORDS, &patch(&one, r#"{"spec":{"deletionPolicy":"Delete"}}"#, &edith)).await;
    scene
        .allowed(
            "an expiration that erases nothing",
            &patch(&one, r#"{"spec":{"deletionPolicy":"Deactivate","expirationTime":"2099-01-01T00:00:00Z"}}"#, &edith),
        )
        .await;
    let raise = r#"{"spec":{"deletionPolicy":"Delete","recoveryWindowSeconds":60}}"#;
    scene.allowed("an eraser raises", &patch(&one, raise, &erin)).await;
    for (what, body) in [
        ("a shorter window", r#"{"spec":{"recoveryWindowSeconds":5}}"#),
        ("no window", r#"{"spec":{"recoveryWindowSeconds":null}}"#),
        ("an earlier expiration", r#"{"spec":{"expirationTime":"2098-01-01T00:00:00Z"}}"#),
    ] {
        scene.denied(what, WORDS, &patch(&one, body, &edith)).await;
    }
    for (what, body) in [
        ("deactivate", r#"{"spec":{"state":"Deactivated"}}"#),
        ("a longer window", r#"{"spec":{"recoveryWindowSeconds":90}}"#),
        ("no expiration", r#"{"spec":{"expirationTime":null}}"#),
    ] {
        scene.allowed(what, &patch(&one, body, &edith)).await;
    }
    let soon = r#"{"spec":{"expirationTime":"2098-01-01T00:00:00Z"}}"#;
    scene.denied("a new expiration", WORDS, &patch(&one, soon, &edith)).await;
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"none","uid":"00000000-0000-0000-0000-000000000001"}]}}"#;
    let words = "to add or change an owner reference";
    scene.denied("an owner reference", words, &patch(&one, owner, &edith)).await;
    // The garbage collector deletes an object whose owner has another name than the reference says.
    scene.allowed("an eraser adds an owner reference", &patch(&one, owner, &erin)).await;
    let renamed = owner.replace("none", "other");
    scene.denied("an owner of another name", words, &patch(&one, &renamed, &edith)).await;
    scene.allowed("without owners", &patch(&one, r#"{"metadata":{"ownerReferences":null}}"#, &edith)).await;

    // On its way out: an editor stops the deletion and cannot hasten it.
    let file = scene.file("window.yaml", &scene.org("two", "id2").policy("Delete").window(60).with_finalizer().yaml());
    scene.allowed("an eraser creates with Delete", &["create", "-f", &file, &erin]).await;
    scene.ok(&["delete", "organization", &two, "--wait=false", &erin]).await;
    scene.denied("hasten", WORDS, &patch(&two, r#"{"spec":{"recoveryWindowSeconds":0}}"#, &edith)).await;
    scene.allowed("undo", &patch(&two, r#"{"spec":{"deletionPolicy":"Retain"}}"#, &edith)).await;

    // The verb itself is in no role that was handed out for something else.
    for (person, role) in [("eddy", "edit"), ("ada", "admin"), ("vera", "view"), ("edda", "organization-editor")] {
        let user = format!("--as={}", scene.user(person, &[role]).await);
        scene.allowed(person, &["get", "organization", &one, &user]).await;
        scene.denied(person, "cannot delete resource", &["delete", "organization", &one, &user]).await;
    }
    let vera = format!("--as=vera-{}", scene.class);
    scene
        .denied("a viewer patches", "cannot patch resource", &patch(&one, r#"{"spec":{"state":"Active"}}"#, &vera))
        .await;
}

/// Installs the component as it is, but for the objects of this test only. Returns the file with it.
async fn finalizer_at_creation(scene: &Scene) -> String {
    let text = std::fs::read_to_string(path("deploy/components/finalizer-at-creation/finalizer-at-creation.yaml"))
        .expect("the component");
    let documents: Vec<String> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| {
            let mut value = Value::deserialize(document).expect("YAML");
            let name = format!("{}.{}", scene.class, value["metadata"]["name"].as_str().expect("a name"));
            if value["kind"] == "MutatingAdmissionPolicy" {
                let mine = format!(
                    "has(object.spec) && has(object.spec.database) && object.spec.database == '{}'",
                    scene.class
                );
                let conditions = value["spec"]["matchConditions"].as_array_mut().expect("conditions");
                conditions.push(json!({"name": "this-test", "expression": mine}));
            } else {
                value["spec"]["policyName"] = json!(name);
            }
            value["metadata"]["name"] = json!(name);
            serde_yaml::to_string(&value).expect("YAML")
        })
        .collect();
    assert_eq!(documents.len(), 2, "a policy and its binding");
    let file = scene.file("finalizer-at-creation.yaml", &documents.join("---\n"));
    scene.ok(&["apply", "-f", &file]).await;
    file
}

/// Created and deleted while no operator runs: without the finalizer the object is gone and its data stays for ever.
async fn f19_with_the_finalizer_at_creation_no_deletion_is_missed(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let file = finalizer_at_creation(&scene).await;

    let finalizers = |text: String| -> Vec<String> {
        let created: Value = serde_json::from_str(&text).expect("an object");
        let list = created["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect()
    };
    let manifest = scene.file("probe.yaml", &scene.org("probe", "id1").yaml());
    eventually("the policy is in effect", || async {
        // The admission of the API server learns of a new kind with a delay, and refuses to judge it until then.
        let created = scene.kubectl(&["create", "-f", &manifest, "--dry-run=server", "-o", "json"]).await;
        let text = String::from_utf8(created.stdout).ok().filter(|_| created.status.success())?;
        (finalizers(text) == [OURS]).then_some(())
    })
    .await;
    for (given, expected) in [
        (json!([]), vec![OURS]),
        (json!([OURS]), vec![OURS]),
        (json!(["example.org/other"]), vec!["example.org/other", OURS]),
    ] {
        let manifest = scene.file("probe.yaml", &scene.org("probe", "id1").finalizers(&given).yaml());
        let text = scene.ok(&["create", "-f", &manifest, "--dry-run=server", "-o", "json"]).await;
        assert_eq!(finalizers(text), expected, "{given}");
    }

    scene.create(&scene.org("acme", &acme).policy("Delete")).await;
    scene.delete("acme").await;
    assert!(scene.get("acme").await.is_some(), "it waits for the operator");
    let operator = scene.start().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
    scene.ok(&["delete", "-f", &file]).await;
}

async fn the_pod_meets_the_restricted_standard_and_weaker_ones_are_refused(world: Arc<World>) {
    const NAMESPACE: &str = "organization-operator-system";
    let scene = Scene::new(world, Variant::Platform).await;
    let text = scene.ok(&["get", "deployment", "organization-operator", "-n", NAMESPACE, "-o", "json"]).await;
    let deployment: Value = serde_json::from_str(&text).expect("a Deployment");
    let template = deployment["spec"]["template"]["spec"].clone();
    let create = async |spec: &Value| {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "operator", "namespace": NAMESPACE}, "spec": spec,
        });
        let file = scene.file("pod.yaml", &pod.to_string());
        scene.kubectl(&["create", "-f", &file, "--dry-run=server"]).await
    };
    let output = create(&template).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let weaker: [(&str, &str, Value); 6] = [
        ("root", "/securityContext/runAsNonRoot", json!(false)),
        ("uid 0", "/securityContext/runAsUser", json!(0)),
        ("escalation", "/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("capabilities", "/containers/0/securityContext/capabilities", json!({})),
        ("no seccomp", "/securityContext/seccompProfile", json!({"type": "Unconfined"})),
        ("host path", "/volumes/0", json!({"name": "config", "hostPath": {"path": "/"}})),
    ];
    for (what, place, value) in weaker {
        let mut spec = template.clone();
        *spec.pointer_mut(place).unwrap_or_else(|| panic!("{place} is missing in the Deployment")) = value;
        let output = create(&spec).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("violates PodSecurity"), "{what} was admitted: {text}");
    }
}
