//! "What does it cost my API server?" Counted from the audit log.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::support::{OPERATOR, Operator, Scene, Variant, World, eventually};
use crate::tests;

tests![
    an_object_costs_at_most_three_writes_until_it_is_ready,
    a_small_deletion_costs_at_most_four_writes,
    a_small_deletion_costs_few_reads_and_statements,
    keeping_the_data_costs_at_most_four_writes,
    forty_deletions_cost_four_writes_each,
    idle_objects_cost_nothing,
];

/// The most statements of a small deletion: one observation, and the cascade.
const STATEMENTS: usize = 27;
/// How many rounds an idle object is watched.
const ROUNDS: u64 = 3;

async fn ready(world: Arc<World>) -> (Scene, String, Operator) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    (scene, acme, operator)
}

/// The operator's writes about an object, when a first one of this kind is among them.
async fn writes(scene: &Scene, name: &str, kind: &str) -> Vec<String> {
    eventually(&format!("{kind} in the audit log"), || async {
        let writes = scene.operator_writes(name);
        writes.iter().any(|w| w == kind).then_some(writes)
    })
    .await
}

/// Waits for whole rounds of the drift poller, which queries all organizations.
async fn rounds(proxy: &testbed::proxy::SqlProxy) {
    let before = proxy.count();
    eventually("rounds of the drift poller", || async { (proxy.count() > before + ROUNDS).then_some(()) }).await;
}

async fn an_object_costs_at_most_three_writes_until_it_is_ready(world: Arc<World>) {
    let (scene, _, operator) = ready(world).await;
    let seen = writes(&scene, "acme", "patch organizations/status").await;
    assert_eq!(seen, ["patch organizations/", "patch organizations/status"], "the finalizer and the status");

    let globex = scene.key(2);
    scene.seed(&globex).await;
    scene.apply(&scene.org("globex", &globex).state("Deactivated")).await;
    scene.ready("globex").await;
    scene.event("globex", "Deactivated").await;
    let seen = writes(&scene, "globex", "create events/").await;
    assert!(seen.len() <= 3, "finalizer, status, Event that it was deactivated: {seen:?}");
    operator.stop().await;
}

async fn a_small_deletion_costs_at_most_four_writes(world: Arc<World>) {
    let (scene, acme, operator) = ready(world).await;
    let before = writes(&scene, "acme", "patch organizations/status").await.len();
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
    let seen = writes(&scene, "acme", "create events/").await;
    let deletion = &seen[before..];
    println!("a small deletion: {deletion:?}");
    assert!(deletion.len() <= 4, "{deletion:?}");
    for needed in ["patch organizations/status", "create events/", "patch organizations/"] {
        assert!(deletion.iter().any(|w| w == needed), "{needed} is missing: {deletion:?}");
    }
    assert_eq!(deletion.last().map(String::as_str), Some("patch organizations/"), "the release comes last");
}

/// One live read of the object, one of the CRD, no list; and what the database is asked.
async fn a_small_deletion_costs_few_reads_and_statements(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let proxy = scene.sql_proxy().await;
    let launch = scene.operator().configure("pollIntervalSeconds", json!(3600));
    let operator = launch.url(&scene.url_through(&proxy)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    proxy.record();
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    let mut statements: Vec<String> = proxy.log().iter().map(ToString::to_string).collect();
    // The live object may have been reconciled once more before. The last observation is that of the deletion.
    let observed =
        statements.iter().rposition(|s| s.contains("pg_is_in_recovery() AS standby")).expect("an observation");
    let statements = statements.split_off(observed.saturating_sub(1));
    println!("a small deletion: {} statements", statements.len());
    assert!(statements.len() <= STATEMENTS, "{statements:#?}");
    operator.stop().await;
    let reads = eventually("the reads in the audit log", || async {
        let events = scene.world.control_plane().audit_events().expect("the audit log");
        let mine = events.iter().filter(|e| e.user == OPERATOR && e.uri.contains(&scene.class));
        let reads: Vec<String> = mine.filter(|e| !e.is_write() && e.verb != "watch").map(|e| e.verb.clone()).collect();
        reads.iter().any(|verb| verb == "get").then_some(reads)
    })
    .await;
    // The first list is that of the watch.
    assert_eq!(reads, ["list", "get"], "reads of Organizations");
}

async fn keeping_the_data_costs_at_most_four_writes(world: Arc<World>) {
    let (scene, acme, operator) = ready(world).await;
    for policy in ["Retain", "Deactivate"] {
        scene.apply(&scene.org("acme", &acme).policy(policy)).await;
        scene.ready("acme").await;
        let before = scene.operator_writes("acme").len();
        scene.delete("acme").await;
        scene.gone("acme").await;
        let deletion = eventually("the release in the audit log", || async {
            let seen = scene.operator_writes("acme").split_off(before);
            (seen.last().map(String::as_str) == Some("patch organizations/")).then_some(seen)
        })
        .await;
        assert!(deletion.len() <= 4, "{policy}: {deletion:?}");
    }
    operator.stop().await;
}

async fn forty_deletions_cost_four_writes_each(world: Arc<World>) {
    const MANY: u32 = 40;
    let scene = Scene::new(world, Variant::Platform).await;
    let mut manifests = Vec::new();
    for number in 1..=MANY {
        manifests.push(scene.org(&format!("o{number}"), &scene.key(number)).policy("Delete").yaml());
    }
    scene.seed_many(&(1..=MANY).map(|n| scene.key(n)).collect::<Vec<_>>()).await;
    let operator = scene.start().await;
    let file = scene.file("all.yaml", &manifests.join("---\n"));
    scene.ok(&["apply", "-f", &file]).await;
    scene.ok(&["wait", "--for=condition=Ready", "--timeout=60s", "-f", &file]).await;
    scene.ok(&["delete", "-f", &file, "--timeout=60s"]).await;
    operator.stop().await;
    // The log is long, so it is read once for all. Names of Events begin with the name of the object.
    let mine = format!("-{}", scene.class);
    let counts = eventually("all releases in the audit log", || async {
        let mut counts: HashMap<String, Vec<String>> = HashMap::new();
        for event in scene.world.control_plane().audit_events().expect("the audit log") {
            let name = event.name.split('.').next().unwrap_or_default();
            if event.is_write() && event.user == OPERATOR && name.ends_with(&mine) {
                let what = format!("{} {}/{}", event.verb, event.resource, event.subresource);
                counts.entry(name.to_owned()).or_default().push(what);
            }
        }
        let done = |w: &Vec<String>| w.len() > 2 && w.last().is_some_and(|w| w == "patch organizations/");
        (counts.len() == 40 && counts.values().all(done)).then_some(counts)
    })
    .await;
    for (name, writes) in counts {
        // Two until it was ready.
        assert!(writes.len() <= 2 + 4, "{name}: {writes:?}");
    }
}

async fn idle_objects_cost_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let [active, inactive, window, refused] = [1, 2, 3, 4].map(|n| scene.key(n));
    for key in [&active, &inactive, &window, &refused] {
        scene.seed(key).await;
    }
    let proxy = scene.sql_proxy().await;
    let launch = scene.operator().url(&scene.url_through(&proxy));
    let operator = launch.start().await;
    scene.apply(&scene.org("active", &active).state("Active")).await;
    scene.apply(&scene.org("inactive", &inactive).state("Deactivated")).await;
    scene.apply(&scene.org("absent", &scene.key(9))).await;
    scene.apply(&scene.org("window", &window).policy("Delete").window(3600)).await;
    scene.apply(&scene.org("expired", &refused).expires("2016-01-01T00:00:00Z")).await;
    scene.ready("active").await;
    scene.ready("inactive").await;
    scene.ready("window").await;
    scene.delete("window").await;
    scene.until("window", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    scene.until("absent", "waiting", |s| s.reason("Ready") == "OrganizationNotFound").await;
    scene.until("expired", "refused", |s| s.reason("Ready") == "Expired").await;

    // The drift poller's query is the only statement that repeats when nothing changes.
    proxy.count_only(|what| what.contains("ANY(") && what.contains("organizations"));
    proxy.record();
    // A first round, so that everything that was still under way is written.
    rounds(&proxy).await;
    let (before, versions) = (operator_calls(&operator).await, versions(&scene).await);
    rounds(&proxy).await;
    assert_eq!(operator_calls(&operator).await, before, "requests to the API server for objects that do not change");
    assert_eq!(self::versions(&scene).await, versions, "objects were written");

    // It is awake: a change is noticed.
    scene.set_active(&active, false).await;
    eventually("the row is switched back", || async { scene.active(&active).await.then_some(()) }).await;
    assert_eq!(json!(scene.get("active").await.expect("the object").status().state), json!("Active"));
    operator.stop().await;
}

/// The resource versions of this test's objects.
async fn versions(scene: &Scene) -> Vec<Option<String>> {
    let mut versions = Vec::new();
    for name in ["active", "inactive", "absent", "window", "expired"] {
        versions.push(scene.get(name).await.and_then(|s| s.0.metadata.resource_version));
    }
    versions
}

/// The operator's own count of its requests, but for GET, which is the watch.
async fn operator_calls(operator: &Operator) -> Vec<String> {
    let metrics = operator.metrics().await;
    let calls =
        metrics.lines().filter(|l| l.starts_with("organization_operator_api_calls_total") && !l.contains("GET"));
    let mut calls: Vec<String> = calls.map(str::to_owned).collect();
    assert!(!calls.is_empty(), "{metrics}");
    calls.sort();
    calls
}
