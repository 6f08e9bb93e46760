//! "Nobody but the owner": which object acts on which organization.

use std::sync::Arc;

use organization_operator::api::Reason;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use crate::support::{Scene, Variant, World};
use crate::tests;

tests![
    a_claim_says_who_owns_what,
    retain_drops_the_claim_and_nothing_else,
    a_claim_whose_object_is_gone_is_taken_over,
    the_next_object_owns_at_once_what_was_handed_over,
    a_changed_id_changes_nothing_but_status,
];

/// The claims: key, cluster, uid, name, policy, and whether an expiration is noted.
async fn claims(scene: &Scene) -> Vec<(String, String, String, String, String, bool)> {
    let sql = "SELECT organization_key, cluster_id, object_uid, object_name, policy, expiration_time IS NOT NULL \
               FROM organization_operator.claims ORDER BY organization_key";
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut scene.connect().await).await.expect("the claims");
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4), r.get(5))).collect()
}

/// Asks for the deletion while nobody serves the object, and takes its finalizer away, as somebody in a hurry would.
async fn strip(scene: &Scene, name: &str) {
    scene.delete(name).await;
    let body = r#"{"metadata":{"finalizers":null}}"#;
    scene.ok(&["patch", "organization", &scene.name(name), "--type=merge", "-p", body]).await;
    scene.gone(name).await;
}

async fn a_claim_says_who_owns_what(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let _operator = scene.start().await;
    // Another spelling: the claim has the database's own.
    scene.apply(&scene.org("acme", &acme.to_uppercase()).expires("2999-01-01T00:00:00Z")).await;
    scene.apply(&scene.org("ghost", &scene.key(2))).await;
    let seen = scene.ready("acme").await;
    let cluster = scene.ok(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await;
    let uid = scene.uid("acme").await;
    let expected = |policy: &str, expires: bool| {
        vec![(acme.clone(), cluster.clone(), uid.clone(), scene.name("acme"), policy.to_owned(), expires)]
    };
    assert_eq!(claims(&scene).await, expected("Retain", true));
    let claim = seen.status().claim.expect("the claim is shown");
    assert_eq!(claim.organization_key, acme);
    let installation: String = scene.value("SELECT id::text FROM organization_operator.installation").await;
    assert_eq!(claim.installation, installation);

    scene.patch("acme", r#"{"deletionPolicy":"Delete","expirationTime":null}"#).await;
    scene.ready("acme").await;
    assert_eq!(claims(&scene).await, expected("Delete", false), "the claim follows the spec");
}

async fn retain_drops_the_claim_and_nothing_else(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    scene.ready("acme").await;
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(claims(&scene).await, []);
    assert_eq!(scene.others(&[]).await, before);
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].outcome, "Retained");

    // Another object may have it now.
    scene.apply(&scene.org("successor", &acme)).await;
    scene.ready("successor").await;
    assert_eq!(claims(&scene).await[0].3, scene.name("successor"));
}

async fn a_claim_whose_object_is_gone_is_taken_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let kept = scene.others(&[&globex]).await;
    let operator = scene.start().await;
    for (name, key) in [("acme", &acme), ("globex", &globex)] {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    operator.stop().await;
    strip(&scene, "acme").await;
    strip(&scene, "globex").await;
    assert_eq!(claims(&scene).await.len(), 2, "nobody dropped them");
    // A live successor, and one whose deletion was asked for before the operator ever saw it.
    scene.apply(&scene.org("successor", &acme)).await;
    scene.apply(&scene.org("undertaker", &globex).policy("Delete").with_finalizer()).await;
    scene.delete("undertaker").await;
    let _operator = scene.start().await;
    scene.ready("successor").await;
    scene.gone("undertaker").await;
    assert_eq!(scene.total(&globex).await, 0);
    let left = claims(&scene).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((&left[0].0, &left[0].2, &left[0].3), (&acme, &scene.uid("successor").await, &scene.name("successor")));
    assert_eq!(left[0].4, "Retain", "the policy of the successor, not of the one before");
    assert_eq!(scene.others(&[&globex]).await, kept, "the successor's data is untouched");
}

async fn the_next_object_owns_at_once_what_was_handed_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let before = scene.others(&[]).await;
    // A refused object is tried again rarely; it must not have to wait for that.
    let rarely = json!({"initialSeconds": 3600, "maxSeconds": 3600});
    let _operator = scene.operator().configure("retry.slow", rarely).start().await;
    scene.apply(&scene.org("old", &acme).policy("Delete")).await;
    scene.ready("old").await;
    scene.apply(&scene.org("new", &acme).policy("Delete")).await;
    scene.until("new", "refused", |s| s.reason("Ready") == Reason::OrganizationClaimed.as_str()).await;
    scene.ok(&["delete", "organization", &scene.name("old")]).await;
    scene.event("old", "Transferred").await;
    assert_eq!(claims(&scene).await[0].3, scene.name("new"));
    scene.ready("new").await;
    assert_eq!(scene.others(&[]).await, before, "nothing was deleted");
}

/// In a control plane of its own, because the admission policy that forbids the change has to go.
async fn a_changed_id_changes_nothing_but_status(world: Arc<World>) {
    let world = Arc::new(world.apart().await);
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let binding = "organization-identity.organization-operator.io";
    scene.ok(&["delete", "validatingadmissionpolicybinding", binding]).await;
    let body = format!("{{\"spec\":{{\"organizationId\":\"{globex}\"}}}}");
    crate::support::eventually("the policy is gone", || async {
        let name = scene.name("acme");
        let output = scene.kubectl(&["patch", "organization", &name, "--type=merge", "-p", &body]).await;
        output.status.success().then_some(())
    })
    .await;
    let seen = scene.until("acme", "refused", |s| s.is("Ready", "False")).await;
    let error = seen.error().expect("an error");
    assert_eq!(error.reason, Reason::InvalidOrganizationId);
    assert!(error.message.contains("changed") && error.remedy.is_some_and(|r| r.contains("organizationId")));
    assert_eq!(seen.status().claim.expect("the claim").organization_key, acme);
    assert_eq!(claims(&scene).await[0].0, acme);

    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.total(&acme).await, 0, "what was claimed is erased");
    assert_eq!(scene.others(&[&acme]).await, others, "what the spec says now is not");
    assert_eq!(scene.ledger().await[0].organization_key, acme);
}
