//! "The trial ends on Friday": `spec.expirationTime`.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use organization_operator::cluster::Cluster;

use crate::support::{SOON, Scene, Seen, Variant, World, eventually, time};
use crate::tests;

tests![
    when_the_time_comes_the_object_is_deleted_and_the_policy_decides,
    a_time_with_fractions_of_a_second_is_acted_on,
    a_time_in_the_past_is_reported_and_nothing_happens,
    a_manifest_created_again_after_it_expired_does_not_loop,
    moving_the_time_moves_the_expiration,
    moving_the_time_into_the_past_is_not_acted_on,
    an_expiration_that_passes_while_the_operator_is_away_is_acted_on,
    an_object_that_changed_since_it_was_read_is_not_deleted,
    a_time_beyond_all_calendars_never_comes,
];

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

/// What the operator noted in the claim, in seconds since 1970.
async fn noted(scene: &Scene, key: &str) -> Option<i64> {
    scene
        .value(&format!(
            "SELECT (SELECT extract(epoch FROM expiration_time)::bigint FROM organization_operator.claims \
             WHERE organization_key = '{key}')"
        ))
        .await
}

/// Waits until the expiration is noted: from then on it is acted on.
async fn until_noted(scene: &Scene, key: &str, expiration: &str) {
    let wanted = Some(at(expiration).as_second());
    eventually("the expiration is noted", || async { (noted(scene, key).await == wanted).then_some(()) }).await;
}

async fn tenant(world: Arc<World>) -> (Scene, String) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    (scene, acme)
}

async fn an_object_that_changed_since_it_was_read_is_not_deleted(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let cluster = Cluster::new(scene.api().into_client(), "test".to_owned());
    scene.apply(&scene.org("acme", &acme).expires(&time(-SOON))).await;
    let name = scene.name("acme");
    let read = cluster.live(&name).await.expect("an answer").expect("the object");
    scene.apply(&scene.org("acme", &acme).expires(&time(3600))).await;
    assert!(!cluster.delete_expired(&read).await.expect("an answer"), "its expiration was moved meanwhile");
    let read = cluster.live(&name).await.expect("an answer").expect("the object is still there");
    assert_eq!(read.metadata.deletion_timestamp, None);
    assert!(cluster.delete_expired(&read).await.expect("an answer"));
}

/// The API server accepts it, and jiff has no such time.
async fn a_time_beyond_all_calendars_never_comes(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    scene.apply(&scene.org("acme", &acme).expires("9999-12-31T23:59:59Z")).await;
    // The operator finds it at its start.
    let operator = scene.start().await;
    let seen = scene.ready("acme").await;
    assert_eq!(seen.0.spec.expiration_time, None, "{}", seen.yaml());
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert!(scene.total(&acme).await > 0, "the policy is Retain");
    operator.stop().await;
}

async fn when_the_time_comes_the_object_is_deleted_and_the_policy_decides(world: Arc<World>) {
    let (scene, _) = tenant(world).await;
    let operator = scene.start().await;
    let cases = [
        ("erase", 11, "Delete", "Erased"),
        ("switch", 12, "Deactivate", "Deactivated"),
        ("keep", 13, "Retain", "Retained"),
    ];
    for (name, number, policy, _) in cases {
        let key = scene.key(number);
        scene.seed(&key).await;
        scene.apply(&scene.org(name, &key).policy(policy)).await;
    }
    let mut expirations = Vec::new();
    for (name, number, ..) in cases {
        let expiration = scene.expire_soon(name).await;
        until_noted(&scene, &scene.key(number), &expiration).await;
        expirations.push(expiration);
    }
    for ((name, number, _, outcome), expiration) in cases.into_iter().zip(&expirations) {
        scene.gone(name).await;
        assert!(Timestamp::now() >= at(expiration), "{name} was deleted too early");
        let key = scene.key(number);
        assert_eq!(scene.total(&key).await == 0, outcome == "Erased", "{name}");
        let ledger = scene.ledger().await;
        let row = ledger.iter().find(|row| row.organization_key == key).expect("a row in the ledger");
        assert_eq!(row.outcome, outcome, "{name}");
        assert!(!scene.event(name, "Expired").await.is_empty());
    }
    assert!(!scene.active(&scene.key(12)).await, "Deactivate");
    assert!(scene.active(&scene.key(13)).await, "Retain");
    operator.stop().await;
}

async fn a_time_with_fractions_of_a_second_is_acted_on(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let expiration = time(SOON).replace('Z', ".123456789Z");
    scene.patch("acme", &format!(r#"{{"expirationTime":"{expiration}"}}"#)).await;
    scene.gone("acme").await;
    assert!(Timestamp::now() >= at(&expiration), "deleted too early");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

fn is_refused(seen: &Seen) -> bool {
    seen.is("Ready", "False") && seen.is("Stalled", "True") && seen.reason("Ready") == "Expired"
}

async fn a_time_in_the_past_is_reported_and_nothing_happens(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    // A typo in the year.
    scene.apply(&scene.org("acme", &acme).policy("Delete").expires("2016-01-01T00:00:00Z")).await;
    let seen = scene.until("acme", "Expired", is_refused).await;
    assert_eq!(seen.error().map(|e| e.code), Some(422), "{}", seen.yaml());
    assert!(seen.error().and_then(|e| e.remedy).is_some(), "{}", seen.yaml());
    assert_eq!(noted(&scene, &acme).await, None, "nothing to act on is noted");

    // Not after a restart either, nor after any other change.
    operator.stop().await;
    let operator = scene.start().await;
    scene.retry("acme", "now").await;
    scene.patch("acme", r#"{"state":"Active"}"#).await;
    let seen = scene.until("acme", "Expired again", is_refused).await;
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    assert_eq!(scene.rows(&acme).await, rows);

    // The remedy that it names works.
    scene.patch("acme", r#"{"expirationTime":null}"#).await;
    let seen = scene.ready("acme").await;
    assert!(seen.error().is_none() && !seen.has("Stalled"), "{}", seen.yaml());
    operator.stop().await;
}

async fn a_manifest_created_again_after_it_expired_does_not_loop(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    let expiration = time(SOON);
    let manifest = scene.org("acme", &acme).policy("Retain").expires(&expiration);
    scene.apply(&manifest).await;
    scene.gone("acme").await;
    assert_eq!(scene.ledger().await.len(), 1, "it had been noted in time");

    // The engine syncs the same manifest, this time with a policy that would erase.
    scene.apply(&manifest.policy("Delete")).await;
    let uid = scene.until("acme", "Expired", is_refused).await.0.metadata.uid;
    scene.retry("acme", "now").await;
    scene
        .until("acme", "a later write", |s| {
            s.0.metadata.annotations.iter().flatten().any(|(k, _)| k.ends_with("/retry")) && is_refused(s)
        })
        .await;
    assert_eq!(scene.get("acme").await.and_then(|s| s.0.metadata.uid), uid, "deleted again");
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(scene.ledger().await.len(), 1);
    operator.stop().await;
}

async fn moving_the_time_moves_the_expiration(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    let globex = scene.key(2);
    scene.seed(&globex).await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.apply(&scene.org("globex", &globex).policy("Retain")).await;
    let early = scene.expire_soon("acme").await;
    until_noted(&scene, &acme, &early).await;
    let late = time(3600);
    scene.patch("acme", &format!(r#"{{"expirationTime":"{late}"}}"#)).await;
    until_noted(&scene, &acme, &late).await;

    // The early time passes for another object, and this one stays.
    let later = scene.expire_soon("globex").await;
    until_noted(&scene, &globex, &later).await;
    scene.gone("globex").await;
    assert!(Timestamp::now() >= at(&later) && at(&later) >= at(&early));
    let seen = scene.ready("acme").await;
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());

    let soon = scene.expire_soon("acme").await;
    scene.gone("acme").await;
    assert!(Timestamp::now() >= at(&soon), "deleted too early");
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn moving_the_time_into_the_past_is_not_acted_on(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    let expiration = time(3600);
    scene.apply(&scene.org("acme", &acme).policy("Delete").expires(&expiration)).await;
    until_noted(&scene, &acme, &expiration).await;
    scene.patch("acme", r#"{"expirationTime":"2016-01-01T00:00:00Z"}"#).await;
    scene.until("acme", "Expired", is_refused).await;
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert!(scene.get("acme").await.expect("the object").0.metadata.deletion_timestamp.is_none());
    operator.stop().await;
}

async fn an_expiration_that_passes_while_the_operator_is_away_is_acted_on(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let expiration = scene.expire_soon("acme").await;
    until_noted(&scene, &acme, &expiration).await;
    operator.stop().await;
    assert!(Timestamp::now() < at(&expiration), "this machine is too slow for this test");
    eventually("the time has passed", || async { (Timestamp::now() > at(&expiration)).then_some(()) }).await;
    assert!(scene.get("acme").await.is_some());
    let operator = scene.start().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    operator.stop().await;
}
