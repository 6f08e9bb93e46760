//! "A policy of our cluster said no, and nobody told me": what the API server refuses is shown with the words of the policy,
//! and what stands in the operator's own tables and cannot be read is never taken for something else.

use std::sync::Arc;

use serde_json::json;

use crate::support::{OPERATOR, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_finalizer_that_a_policy_refuses_is_told_of,
    an_object_that_a_policy_holds_shows_that_its_data_is_gone,
    a_status_that_a_policy_refuses_is_told_of_in_an_event,
    the_last_cause_of_a_failed_call_is_logged,
    a_ledger_that_cannot_be_read_stops_the_deletion,
    a_claim_that_cannot_be_read_stops_the_deletion,
];

/// What the policies of these tests say.
const WORDS: &str = "not on a Friday";

/// A policy of the cluster against what the operator does to the objects of one test.
struct Freeze(String);

impl Freeze {
    /// Refuses, by this CEL expression. It answers as policies do by default: 422, reason `Invalid`.
    async fn new(scene: &Scene, resource: &str, expression: &str) -> Self {
        let name = format!("freeze.{}", scene.class);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["organization-operator.io"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": [resource],
                }]},
                "matchConditions": [
                    {"name": "operator", "expression": format!("request.userInfo.username == '{OPERATOR}'")},
                    {"name": "test", "expression": format!("object.spec.database == '{}'", scene.class)},
                ],
                "validations": [{"expression": expression, "message": WORDS}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        let file = scene
            .file("freeze.yaml", &json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string());
        scene.ok(&["apply", "-f", &file]).await;
        let freeze = Self(name);
        freeze.in_effect(scene, resource).await;
        freeze
    }

    /// Policies need a moment: asks as the operator would, for an object that nobody serves.
    async fn in_effect(&self, scene: &Scene, resource: &str) {
        let probe = scene.org("probe", "probe").with_finalizer();
        scene.ok(&["create", "-f", &scene.file("probe.yaml", &probe.yaml())]).await;
        let (name, user) = (scene.name("probe"), format!("--as={OPERATOR}"));
        let other = r#"{"metadata":{"finalizers":["example.org/none"]}}"#;
        let status = json!({
            "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
            "metadata": {"name": name}, "status": {"state": "Active"},
        });
        let status = scene.file("status.yaml", &status.to_string());
        let ask = match resource {
            "organizations" => vec!["patch", "organization", &name, "--type=merge", "-p", other],
            _ => vec!["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", &status],
        };
        let ask = [ask.as_slice(), &[user.as_str(), "--dry-run=server"]].concat();
        eventually("the policy is in effect", || async {
            let answer = scene.kubectl(&ask).await;
            String::from_utf8_lossy(&answer.stderr).contains(WORDS).then_some(())
        })
        .await;
        scene.patch("probe", r#"{"deletionPolicy":"Retain"}"#).await;
        scene.ok(&["patch", "organization", &name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
        scene.delete("probe").await;
    }

    async fn lift(self, scene: &Scene) {
        scene.ok(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", &self.0]).await;
    }
}

/// Log lines about an object with this reason.
fn logged(log: &str, name: &str, reason: &str) -> usize {
    let (name, reason) = (format!(r#""object":"{name}""#), format!(r#""reason":"{reason}""#));
    log.lines().filter(|l| l.contains(&name) && l.contains(&reason) && l.contains(WORDS)).count()
}

async fn a_finalizer_that_a_policy_refuses_is_told_of(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let ours = "!has(object.metadata.finalizers) || !object.metadata.finalizers.exists(f, f.startsWith('organization-operator.io'))";
    let probe = "!has(object.metadata.finalizers)";
    let freeze = Freeze::new(&scene, "organizations", &format!("({ours}) && ({probe})")).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.until("acme", "refused", |s| s.reason("Ready") == "AdmissionDenied").await;
    let message = seen.message("Ready");
    assert!(message.contains(WORDS) && message.contains(&freeze.0), "{message}");
    assert!(message.contains("deleting the object now keeps its data"), "{message}");
    assert_eq!(seen.error().expect("an error").code, 403);
    assert!(scene.warned("acme", "AdmissionDenied").await.contains(WORDS));
    assert!(logged(&operator.log(), &scene.name("acme"), "AdmissionDenied") > 0, "{}", operator.log());
    assert_eq!(seen.0.metadata.finalizers, None);
    freeze.lift(&scene).await;
    scene.ready("acme").await;
    operator.stop().await;
}

async fn an_object_that_a_policy_holds_shows_that_its_data_is_gone(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let kept = "has(object.metadata.finalizers) && object.metadata.finalizers.exists(f, f.startsWith('organization-operator.io'))";
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let freeze = Freeze::new(&scene, "organizations", kept).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "held", |s| s.reason("DeletionBlocked") == "AdmissionDenied").await;
    let message = seen.message("DeletionBlocked");
    assert!(message.contains(WORDS) && message.contains("The deletion itself is completed (Erased)"), "{message}");
    let deletion = seen.deletion().expect("a deletion");
    assert_eq!(json!(deletion.outcome), json!("Erased"));
    assert!(deletion.steps.iter().any(|s| s.deleted > 0), "{}", seen.yaml());
    assert_eq!(seen.reason("Deleting"), "Completed");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert!(scene.warned("acme", "AdmissionDenied").await.contains(WORDS));
    // It is tried again and again, and the status does not flap meanwhile.
    eventually("three tries", || async {
        (logged(&operator.log(), &scene.name("acme"), "AdmissionDenied") >= 3).then_some(())
    })
    .await;
    let writes = scene.operator_writes("acme");
    let statuses = writes.iter().filter(|w| w.ends_with("organizations/status")).count();
    assert!(statuses <= 6, "the status is written again and again: {writes:?}");
    assert_eq!(scene.get("acme").await.expect("the object").reason("DeletionBlocked"), "AdmissionDenied");
    freeze.lift(&scene).await;
    scene.gone("acme").await;
    let ledger = scene.ledger().await;
    assert_eq!(ledger.iter().filter(|r| r.outcome == "Erased").count(), 1, "{ledger:?}");
    let metrics = operator.metrics().await;
    assert!(metrics.contains(r#"deletions_total{outcome="Erased",reason=""} 1"#), "{metrics}");
    operator.stop().await;
}

async fn a_status_that_a_policy_refuses_is_told_of_in_an_event(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let freeze = Freeze::new(&scene, "organizations/status", "false").await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    assert!(scene.warned("acme", "AdmissionDenied").await.contains(WORDS));
    eventually("two tries", || async {
        (logged(&operator.log(), &scene.name("acme"), "AdmissionDenied") >= 2).then_some(())
    })
    .await;
    assert!(!scene.get("acme").await.expect("the object").is("Ready", "True"), "the status was written");
    freeze.lift(&scene).await;
    scene.ready("acme").await;
    operator.stop().await;
}

async fn the_last_cause_of_a_failed_call_is_logged(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let proxy = scene.api_proxy().await;
    proxy.sever().await;
    let operator = scene.operator().through(&scene, &proxy).launch().await;
    let line = eventually("what the system said", || async {
        operator.log().lines().find(|l| l.contains("waiting for the API server")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("onnection re"), "refused or reset: {line}");
    let chain = operator.log().lines().find(|l| l.contains("a call to the API server failed while")).map(str::to_owned);
    assert!(chain.as_ref().is_some_and(|c| c.contains("onnection re")), "{chain:?}");
    proxy.restore().await.expect("the proxy listens again");
    operator.wait_ready().await;
    operator.stop().await;
}

/// What `kubectl delete` and a record that cannot be read come to. `cure` corrects the record.
async fn unreadable(scene: Scene, acme: &str, damage: &str, cure: &str, words: &str) {
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", acme).policy("Delete")).await;
    scene.ready("acme").await;
    let cluster = scene.ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let uid = scene.uid("acme").await;
    scene.sql(&damage.replace("CLUSTER", &cluster).replace("UID", &uid)).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "blocked", |s| s.has("DeletionBlocked") && s.error().is_some()).await;
    let error = seen.error().expect("an error");
    assert!(error.message.contains(words), "{}", error.message);
    assert!(error.message.ends_with("This attempt deleted nothing"), "{}", error.message);
    assert!(error.remedy.is_some(), "{}", seen.yaml());
    assert!(scene.total(acme).await > 0, "rows are gone");
    scene.sql(cure).await;
    scene.gone("acme").await;
    operator.stop().await;
}

async fn a_ledger_that_cannot_be_read_stops_the_deletion(world: Arc<World>) {
    for (outcome, finished) in [("Shredded", "now()"), ("Retained", "'290000-01-01'"), ("Retained", "'-infinity'")] {
        let scene = Scene::new(world.clone(), Variant::Platform).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        let damage = format!(
            "ALTER TABLE organization_operator.ledger DROP CONSTRAINT ledger_outcome_check; \
             INSERT INTO organization_operator.ledger (cluster_id, object_uid, object_name, organization_key, outcome, policy, \
             operator_version, finished_at, verified_at) \
             VALUES ('CLUSTER', 'UID', 'acme', '{acme}', '{outcome}', 'Delete', '99', {finished}, now())"
        );
        let words = if outcome == "Shredded" {
            "the outcome of a deletion in the ledger cannot be read"
        } else {
            "a time cannot be read"
        };
        let cure = "DELETE FROM organization_operator.ledger";
        unreadable(scene, &acme, &damage, cure, words).await;
    }
}

async fn a_claim_that_cannot_be_read_stops_the_deletion(world: Arc<World>) {
    for (damage, cure, words) in [
        ("policy = 'Shred'", "policy = 'Delete'", "the policy of a claim cannot be read"),
        (
            "window_started_at = '290000-01-01', window_was_active = true",
            "window_started_at = NULL, window_was_active = NULL",
            "a time cannot be read",
        ),
        (
            "window_started_at = 'infinity', window_was_active = true",
            "window_started_at = NULL, window_was_active = NULL",
            "a time cannot be read",
        ),
        (
            "window_started_at = now()",
            "window_started_at = NULL",
            "the activation that a claim recorded before the deactivation cannot be read",
        ),
    ] {
        let scene = Scene::new(world.clone(), Variant::Platform).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        let update = |set: &str| format!("UPDATE organization_operator.claims SET {set}");
        unreadable(scene, &acme, &update(damage), &update(cure), words).await;
    }
}
