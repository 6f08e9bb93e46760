//! "The operator's watch lags": the network or the API server is slow, and the operator learns late of objects that exist
//! already. A rename erases nobody, in whatever order its engine works.

use std::sync::Arc;

use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use testbed::proxy::ApiProxy;

use crate::support::{OPERATOR, Operator, Org, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_rename_that_creates_first_hands_over,
    a_rename_that_deletes_first_hands_over_at_the_end_of_the_wait,
    another_spelling_hands_over_at_the_end_of_the_wait,
    a_rename_that_deletes_first_hands_over_without_a_wait_if_the_watch_lags,
    a_watch_that_begins_anew_hides_no_successor,
    a_name_that_was_used_again_for_another_organization_takes_nothing_over,
    a_burst_lists_for_the_first_few_only,
    a_first_list_that_does_not_come_keeps_nobody_from_stopping,
];

/// A tenant with a ready object of policy `Delete`, and an operator whose watch can be held back.
async fn ready(world: Arc<World>, handover: u32) -> (Scene, String, ApiProxy, Operator) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(0xacde);
    scene.seed(&acme).await;
    let proxy = scene.api_proxy().await;
    let operator = scene.operator().configure("handoverSeconds", json!(handover)).through(&scene, &proxy).start().await;
    scene.apply(&scene.org("old", &acme).policy("Delete")).await;
    scene.ready("old").await;
    (scene, acme, proxy, operator)
}

/// The new object owns the organization, and nothing has happened to a single row.
async fn taken_over(scene: &Scene, acme: &str, others: &str) {
    scene.gone("old").await;
    let new = scene.ready("new").await;
    assert_eq!(scene.owner(acme).await, new.0.metadata.uid, "the new object owns the organization");
    assert_eq!(scene.others(&[]).await, others, "something was erased or changed");
    let outcomes: Vec<String> = scene.ledger().await.into_iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, ["Transferred"]);
}

async fn a_rename_that_creates_first_hands_over(world: Arc<World>) {
    let (scene, acme, proxy, operator) = ready(world, 0).await;
    let others = scene.others(&[]).await;
    proxy.hold_watches();
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    scene.delete("old").await;
    proxy.release_watches();
    taken_over(&scene, &acme, &others).await;
    operator.stop().await;
}

/// The watch shows the deletion, and nothing of what comes after.
async fn a_rename_that_deletes_first_hands_over_at_the_end_of_the_wait(world: Arc<World>) {
    let (scene, acme, proxy, operator) = ready(world, 4).await;
    let others = scene.others(&[]).await;
    scene.delete("old").await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    proxy.hold_watches();
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    scene.gone("old").await;
    assert_eq!(scene.others(&[]).await, others, "something was erased or changed");
    proxy.release_watches();
    taken_over(&scene, &acme, &others).await;
    operator.stop().await;
}

/// A list finds the spellings that it is asked for; another one is found once the watch has sent it.
async fn another_spelling_hands_over_at_the_end_of_the_wait(world: Arc<World>) {
    let (scene, acme, proxy, operator) = ready(world, 4).await;
    let others = scene.others(&[]).await;
    scene.delete("old").await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    proxy.hold_watches();
    scene.apply(&scene.org("new", &acme.to_uppercase()).policy("Delete")).await;
    proxy.release_watches();
    taken_over(&scene, &acme, &others).await;
    operator.stop().await;
}

/// Without a wait, the order alone decides; but what happened seconds ago must not be missing.
async fn a_rename_that_deletes_first_hands_over_without_a_wait_if_the_watch_lags(world: Arc<World>) {
    let (scene, acme, proxy, operator) = ready(world, 0).await;
    let others = scene.others(&[]).await;
    proxy.hold_watches();
    scene.delete("old").await;
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    let deleted = scene.get("old").await.and_then(|s| s.0.metadata.deletion_timestamp).expect("terminating").0;
    eventually("the deletion is seconds old", || async {
        let age = k8s_openapi::jiff::Timestamp::now().duration_since(deleted);
        (age.as_secs() >= 4).then_some(())
    })
    .await;
    proxy.release_watches();
    taken_over(&scene, &acme, &others).await;
    operator.stop().await;
}

/// The connection is lost, and the operator is back before its watch has sent anything.
async fn a_watch_that_begins_anew_hides_no_successor(world: Arc<World>) {
    let (scene, acme, proxy, operator) = ready(world, 4).await;
    let others = scene.others(&[]).await;
    scene.delete("old").await;
    scene.until("old", "waiting for a successor", |s| s.reason("Deleting") == "AwaitingSuccessor").await;
    proxy.sever().await;
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    proxy.hold_watches();
    proxy.restore().await.expect("the port is free");
    scene.gone("old").await;
    assert_eq!(scene.others(&[]).await, others, "something was erased or changed");
    proxy.release_watches();
    taken_over(&scene, &acme, &others).await;
    operator.stop().await;
}

/// The cache still has the object that had the name before, of another spelling, for which no list asks.
async fn a_name_that_was_used_again_for_another_organization_takes_nothing_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let (acme, beta) = (scene.key(0xacde), scene.key(0xbeda));
    scene.seed(&acme).await;
    scene.seed(&beta).await;
    let others = scene.others(&[&acme]).await;
    let (watch, database) = (scene.api_proxy().await, scene.sql_proxy().await);
    let launch = scene.operator().through(&scene, &watch).url(&scene.url_through(&database));
    let operator = launch.configure("database.connectTimeoutSeconds", json!(1)).start().await;
    scene.apply(&scene.org("old", &acme).policy("Delete")).await;
    scene.ready("old").await;
    scene.apply(&scene.org("new", &acme.to_uppercase()).policy("Delete")).await;
    scene.until("new", "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    // The deletion waits, and no event is needed for its next attempt.
    database.sever().await;
    scene.delete("old").await;
    scene.until("old", "no database", |s| s.reason("DeletionBlocked") == "DatabaseUnavailable").await;
    watch.hold_watches();
    scene.delete("new").await;
    scene.force_release("new").await;
    scene.gone("new").await;
    scene.apply(&scene.org("new", &beta).policy("Delete")).await;
    database.restore().await.expect("the database is back");
    scene.gone("old").await;
    let outcomes: Vec<String> = scene.ledger().await.into_iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, ["Erased"]);
    assert_eq!((scene.total(&acme).await, scene.owner(&acme).await), (0, None));
    watch.release_watches();
    let new = scene.ready("new").await;
    assert_eq!(scene.owner(&beta).await, new.0.metadata.uid);
    assert_eq!(scene.others(&[&acme]).await, others, "another tenant changed");
    operator.stop().await;
}

/// The operator's own writes, which come back through the watch, prove that the cache is complete.
async fn a_burst_lists_for_the_first_few_only(world: Arc<World>) {
    const MANY: u32 = 40;
    for handover in [0, 2] {
        let scene = Scene::new(world.clone(), Variant::Platform).await;
        let keys: Vec<String> = (1..=MANY).map(|n| scene.key(n)).collect();
        scene.seed_many(&keys).await;
        // Few at a time, so that each takes less than the few seconds for which a proof counts, on a slow machine too.
        let launch = scene.operator().configure("handoverSeconds", json!(handover)).configure("concurrency", json!(2));
        let operator = launch.start().await;
        let burst = |org: Org| org.label("burst", &scene.class);
        let manifests: Vec<String> =
            (1..).zip(&keys).map(|(n, key)| burst(scene.org(&format!("o{n}"), key).policy("Delete")).yaml()).collect();
        let file = scene.file("all.yaml", &manifests.join("---\n"));
        scene.ok(&["apply", "-f", &file]).await;
        scene.ok(&["wait", "--for=condition=Ready", "--timeout=60s", "-f", &file]).await;
        let before = lists(&scene);
        // By one request: kubectl asks for one after the other, which on a slow machine is no burst.
        let all = ListParams::default().labels(&format!("burst={}", scene.class));
        scene.api().delete_collection(&DeleteParams::default(), &all).await.expect("accepted");
        for n in 1..=MANY {
            scene.gone(&format!("o{n}")).await;
        }
        operator.stop().await;
        assert_eq!(scene.ledger().await.iter().filter(|r| r.outcome == "Erased").count(), keys.len());
        let lists = lists(&scene) - before;
        println!("handoverSeconds {handover}: {lists} lists for {MANY} deletions");
        assert!(lists <= 15, "{lists} lists for {MANY} deletions");
    }
}

/// Nothing has begun that would have to end first.
async fn a_first_list_that_does_not_come_keeps_nobody_from_stopping(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let proxy = scene.api_proxy().await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    proxy.hold_lists();
    let operator = scene.operator().through(&scene, &proxy).start().await;
    eventually("the watch to begin", || async { operator.log().contains(r#""message":"serving""#).then_some(()) })
        .await;
    operator.stop().await;
    let acme = scene.get("acme").await.expect("the object");
    assert!(acme.status().state.is_none(), "the list came: {}", acme.yaml());
}

/// How often an operator has listed objects by their id.
fn lists(scene: &Scene) -> usize {
    let events = scene.world.control_plane().audit_events().expect("the audit log");
    let by_id = |uri: &str| uri.contains("spec.organizationId") && uri.contains(&scene.class);
    events.iter().filter(|e| e.verb == "list" && e.user == OPERATOR && by_id(&e.uri)).count()
}
