//! `spec.suspend`: observed, never acted on.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use organization_operator::api::DeletionPolicy;

use super::{Arc, Operator, Scene, Seen, World, held, json, metric, platform};
use crate::support::{Etcd, eventually};
use crate::tests;

tests![
    a_live_object_is_observed_and_left_alone,
    an_object_that_is_created_suspended_claims_nothing,
    an_expiration_waits,
    a_deletion_waits_and_says_so_whatever_the_policy,
    a_deletion_before_its_window_begins_it_when_the_suspension_is_lifted,
    a_recovery_window_goes_on_by_the_clock_and_erases_nothing,
    a_policy_that_is_lowered_meanwhile_counts,
    a_suspension_while_the_cascade_waits_counts,
    an_uninstallation_does_not_release_it,
];

async fn ready(world: Arc<World>, window: i64) -> (Scene, String, Operator) {
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

async fn suspend(scene: &Scene) -> Seen {
    scene.patch("acme", r#"{"suspend":true}"#).await;
    scene
        .until("acme", "suspended", |s| {
            s.reason("Ready") == "Suspended" && s.status().observed_generation == s.0.metadata.generation
        })
        .await
}

/// How many reconciliations the operator has ended since it started.
async fn reconciles(operator: &Operator) -> u64 {
    metric(operator, "reconciles_total").await.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// The command that the message says lifts the suspension, run as it is written.
async fn lift(scene: &Scene, kind: &str) {
    let message = scene.get("acme").await.expect("the object").message(kind);
    let (_, command) = message.rsplit_once(": kubectl ").expect("a command");
    let (command, patch) = command.split_once(" -p '").expect("a patch");
    let words: Vec<&str> = command.split(' ').collect();
    scene.ok(&[&words[..], &["-p", patch.trim_end_matches('\'')]].concat()).await;
}

async fn a_live_object_is_observed_and_left_alone(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    let seen = suspend(&scene).await;
    // kstatus: current.
    assert!(seen.is("Ready", "True") && !seen.has("Stalled") && !seen.has("Reconciling"), "{}", seen.yaml());
    assert!(
        seen.error().is_none() && seen.message("Ready").contains(r#"-p '{"spec":{"suspend":false}}'"#),
        "{}",
        seen.yaml()
    );
    let shown = scene.ok(&["get", "organization", &scene.name("acme")]).await;
    assert!(shown.contains("Suspended"), "{shown}");
    assert_eq!(metric(&operator, "suspended_objects").await.as_deref(), Some("1"));
    assert_eq!(metric(&operator, "deletions_held{reason=\"Suspended\"}").await.as_deref(), Some("0"));

    // The spec is not enforced, and what happens in the database is shown.
    scene.patch("acme", r#"{"state":"Active"}"#).await;
    scene.set_active(&acme, false).await;
    let off = |s: &Seen| {
        serde_json::to_value(s.status().state).is_ok_and(|v| v == "Deactivated")
            && s.status().observed_generation == s.0.metadata.generation
    };
    let seen = scene.until("acme", "the state of the database", off).await;
    assert_eq!((seen.reason("Ready").as_str(), scene.active(&acme).await), ("Suspended", false), "{}", seen.yaml());
    scene.seed(&scene.key(2)).await;
    scene.sql(&format!("UPDATE users SET organization_id = '{acme}' WHERE organization_id = '{}'", scene.key(2))).await;
    scene.until("acme", "more users", |s| s.status().inventory.and_then(|i| i.users) == Some(6)).await;
    let told: Vec<_> = scene.events("acme").await.into_iter().filter(|(reason, _)| reason == "Suspended").collect();
    assert_eq!(told.len(), 1, "{told:?}");

    lift(&scene, "Ready").await;
    scene.until("acme", "enforced", |s| s.is("Ready", "True") && s.reason("Ready") == "Reconciled").await;
    assert!(scene.active(&acme).await);
    assert_eq!(metric(&operator, "suspended_objects").await.as_deref(), Some("0"));
    operator.stop().await;
}

async fn an_object_that_is_created_suspended_claims_nothing(world: Arc<World>) {
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).state("Deactivated").spec("suspend", json!(true))).await;
    let seen = scene.until("acme", "suspended", |s| s.reason("Ready") == "Suspended").await;
    assert!(seen.status().claim.is_none() && seen.status().inventory.is_some(), "{}", seen.yaml());
    assert_eq!(seen.0.metadata.finalizers.as_ref().map(Vec::len), Some(1), "the finalizer is there");
    assert_eq!((scene.owner(&acme).await, scene.active(&acme).await), (None, true));
    // One whose organization is not there is no different.
    scene.apply(&scene.org("absent", &scene.key(7)).spec("suspend", json!(true))).await;
    let absent = scene.until("absent", "suspended", |s| s.reason("Ready") == "Suspended").await;
    assert_eq!(serde_json::to_value(absent.status().state).expect("a word"), "Absent");
    lift(&scene, "Ready").await;
    scene.until("acme", "deactivated", |s| s.is("Ready", "True") && s.reason("Ready") == "Deactivated").await;
    assert_eq!(scene.owner(&acme).await, Some(scene.uid("acme").await));
    operator.stop().await;
}

async fn an_expiration_waits(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    suspend(&scene).await;
    let expires = Timestamp::now() + SignedDuration::from_secs(8);
    scene.patch("acme", &json!({"expirationTime": format!("{expires:.0}")}).to_string()).await;
    let noted = "SELECT expiration_time IS NOT NULL FROM organization_operator.claims";
    eventually("the expiration is noted", || async { scene.value::<bool>(noted).await.then_some(()) }).await;
    eventually("the expiration", || async { (Timestamp::now() > expires).then_some(()) }).await;
    let before = reconciles(&operator).await;
    scene.retry("acme", "1").await;
    eventually("a reconciliation", || async { (reconciles(&operator).await > before).then_some(()) }).await;
    let seen = scene.get("acme").await.expect("it is there");
    assert!(seen.0.metadata.deletion_timestamp.is_none() && seen.reason("Ready") == "Suspended", "{}", seen.yaml());
    lift(&scene, "Ready").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}

async fn a_deletion_waits_and_says_so_whatever_the_policy(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    let rows = scene.rows(&acme).await;
    suspend(&scene).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "suspended", held("Suspended")).await;
    let yaml = seen.yaml();
    assert!(seen.is("Deleting", "True") && seen.reason("Deleting") == "Suspended", "{yaml}");
    assert!(seen.is("Ready", "False") && seen.is("Stalled", "True") && !seen.has("Reconciling"), "{yaml}");
    assert!(seen.error().is_none(), "{yaml}");
    assert_eq!(seen.deletion().and_then(|d| d.summary).as_deref(), Some("Suspended"), "{yaml}");
    assert!(seen.message("DeletionBlocked").contains("Nothing was deleted."), "{yaml}");
    let told = scene.warned("acme", "Suspended").await;
    assert!(told.contains("suspend") && told.contains("kubectl patch"), "{told}");
    assert_eq!(metric(&operator, "deletions_held{reason=\"Suspended\"}").await.as_deref(), Some("1"));
    operator.stop().await;

    let operator = scene.start().await;
    for policy in ["Deactivate", "Retain"] {
        scene.patch("acme", &json!({"deletionPolicy": policy}).to_string()).await;
        let wanted = |s: &Seen| held("Suspended")(s) && s.message("Deleting").contains(policy);
        scene.until("acme", policy, wanted).await;
        assert!(scene.active(&acme).await && scene.rows(&acme).await == rows, "{policy} was acted on");
    }
    assert!(scene.ledger().await.is_empty());
    // Somebody who waits for it is told.
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_organization-operator"))
        .args(["watch", &scene.name("acme")])
        .env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig())
        .output();
    let output = output.await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.code() == Some(1) && said.contains("Suspended: ") && said.contains("\"suspend\":false"),
        "{said}"
    );
    lift(&scene, "Deleting").await;
    scene.gone("acme").await;
    assert_eq!((scene.rows(&acme).await, scene.ledger().await[0].outcome.as_str()), (rows, "Retained"));
    operator.stop().await;
}

async fn a_deletion_before_its_window_begins_it_when_the_suspension_is_lifted(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 3600).await;
    suspend(&scene).await;
    scene.delete("acme").await;
    scene.until("acme", "suspended", held("Suspended")).await;
    assert!(scene.active(&acme).await, "it was deactivated");
    let lifted = Timestamp::now();
    lift(&scene, "Deleting").await;
    let seen = scene.until("acme", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let ends = seen.deletion().and_then(|d| d.erase_time).expect("eraseTime").0;
    assert!(ends.duration_since(lifted).as_secs() >= 3590, "the window is shorter: {}", seen.yaml());
    assert!(seen.is("DeletionBlocked", "False") && !seen.has("Stalled"), "{}", seen.yaml());
    operator.stop().await;
}

async fn a_recovery_window_goes_on_by_the_clock_and_erases_nothing(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 8).await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let erase = seen.deletion().and_then(|d| d.erase_time).expect("eraseTime");
    suspend(&scene).await;
    let passed = "SELECT clock_timestamp() > window_started_at + interval '10 s' FROM organization_operator.claims";
    eventually("the end of the window", || async { scene.value::<bool>(passed).await.then_some(()) }).await;
    scene.retry("acme", "1").await;
    operator.stop().await;
    let operator = scene.start().await;
    eventually("the new operator reconciles it", || async { (reconciles(&operator).await > 0).then_some(()) }).await;
    let seen = scene.get("acme").await.expect("it is there");
    assert!(held("Suspended")(&seen), "{}", seen.yaml());
    assert_eq!(seen.deletion().and_then(|d| d.erase_time), Some(erase), "eraseTime moved");
    assert!(seen.message("Deleting").contains("is deactivated, and nothing was deleted"), "{}", seen.yaml());
    assert!(scene.total(&acme).await > 0 && !scene.active(&acme).await);
    lift(&scene, "Deleting").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}

/// Nobody sees the object between the change and its deletion, and then the policy is raised.
async fn a_policy_that_is_lowered_meanwhile_counts(world: Arc<World>) {
    let (scene, acme, operator) = ready(world, 0).await;
    suspend(&scene).await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    let noted = "SELECT policy FROM organization_operator.claims";
    eventually("the policy is noted", || async { (scene.value::<String>(noted).await == "Retain").then_some(()) })
        .await;
    operator.stop().await;
    scene.delete("acme").await;
    // The admission component refuses a raise, so it is made where the API server keeps the object.
    let etcd = Etcd::of(&scene);
    let mut object = etcd.get(&scene.name("acme")).await;
    object["spec"]["deletionPolicy"] = json!("Delete");
    object["spec"]["suspend"] = json!(false);
    let later = format!("{:.0}", Timestamp::now() + SignedDuration::from_secs(5));
    for entry in object["metadata"]["managedFields"].as_array_mut().expect("managers") {
        entry["time"] = json!(later);
    }
    etcd.put(&scene.name("acme"), &object).await;
    let raised = || async { scene.get("acme").await.filter(|s| s.0.spec.deletion_policy == DeletionPolicy::Delete) };
    eventually("the raise in the API server", raised).await;
    let operator = scene.start().await;
    scene.gone("acme").await;
    assert!(scene.total(&acme).await > 0, "the raise was followed");
    operator.stop().await;
}

/// The cascade waits for a lock, and counts again what the object says before it deletes.
async fn a_suspension_while_the_cascade_waits_counts(world: Arc<World>) {
    use sqlx::{AssertSqlSafe, Executor as _};
    let scene = platform(world).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(15)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM organizations WHERE id = '{acme}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    scene.delete("acme").await;
    scene.until("acme", "the cascade", |s| s.reason("Deleting") == "Erasing").await;
    scene.patch("acme", r#"{"suspend":true}"#).await;
    holder.execute("ROLLBACK").await.expect("the lock is released");
    scene.until("acme", "suspended", held("Suspended")).await;
    assert!(scene.total(&acme).await > 0 && scene.ledger().await.is_empty());
    lift(&scene, "Deleting").await;
    scene.gone("acme").await;
    operator.stop().await;
}

async fn an_uninstallation_does_not_release_it(world: Arc<World>) {
    let world = Arc::new(world.apart().await);
    let (scene, acme, operator) = ready(world, 0).await;
    suspend(&scene).await;
    let crd = ["crd", "organizations.organization-operator.io"];
    let allow = "organization-operator.io/allow-crd-deletion=true";
    scene.ok(&[&["annotate"], &crd[..], &[allow]].concat()).await;
    scene.ok(&[&["delete"], &crd[..], &["--wait=false"]].concat()).await;
    scene.until("acme", "suspended", held("Suspended")).await;
    assert!(scene.ledger().await.is_empty());
    lift(&scene, "Deleting").await;
    eventually("the ledger", || async { scene.ledger().await.first().map(|row| row.outcome.clone()) }).await;
    assert!(scene.total(&acme).await > 0, "an uninstallation erased the tenant");
    operator.stop().await;
}
