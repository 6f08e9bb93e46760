//! A large tenant that goes, with and without what comes in between.

use super::{Arc, BEFORE, Large, Scene, Seen, Variant, World, json, numbers};
use crate::tests;

tests![
    a_large_organization_goes_in_pages_and_says_so,
    a_blocker_in_the_middle_says_how_far_the_deletion_got,
    nobody_takes_over_after_the_first_page,
    a_large_organization_has_a_recovery_window,
    what_cannot_go_in_pages_goes_at_once_or_not_at_all,
];

async fn a_large_organization_goes_in_pages_and_says_so(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Ordinary] {
        let large = Large::ready(world.clone(), variant).await;
        let holder = large.held().await;
        let seen = large.scene.get("acme").await.expect("the object");
        let yaml = seen.yaml();
        assert_eq!(large.gone().await.iter().map(|r| r.1).sum::<i64>(), BEFORE, "{variant:?}");
        assert!(!large.scene.active(&large.acme).await, "{variant:?}: deactivated before the first page");
        let deletion = seen.deletion().expect("a deletion");
        let progress = deletion.progress.expect("progress");
        assert!(progress.rows_estimated >= 1000 && progress.percent < 100, "{yaml}");
        assert_eq!(numbers(&json!(deletion.steps)), [("taskOutputs".into(), BEFORE)]);
        for text in [seen.message("DeletionBlocked"), seen.error().expect("an error").message] {
            assert!(text.contains("1000 rows had already been deleted in pages; the remainder is unchanged"), "{text}");
        }
        assert_eq!(large.scene.ledger().await, [], "nothing has ended");
        large.release(holder).await;
        large.erased().await;
        large.stop().await;
    }
}

async fn a_blocker_in_the_middle_says_how_far_the_deletion_got(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let (scene, acme) = (&large.scene, &large.acme);
    let holder = large.held().await;
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{acme}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
    large.release(holder).await;
    let seen = scene.until("acme", "the blocker", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    let error = seen.error().expect("an error");
    let gone: i64 = large.gone().await.iter().map(|r| r.1).sum();
    assert!(error.message.contains(&format!("{gone} rows had already been deleted in pages")), "{gone}: {error:?}");
    assert_eq!(error.causes.len(), 1, "{error:?}");
    assert_eq!(error.causes[0].table.as_deref(), Some("public.contracts"), "{error:?}");
    assert!(!scene.active(acme).await, "what is left of it is not used");
    scene.warned("acme", "ForeignKeyViolation").await;
    scene.sql("DELETE FROM contracts").await;
    large.erased().await;
    large.stop().await;
}

/// A rename that comes after the first page is no rename any more.
async fn nobody_takes_over_after_the_first_page(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let holder = large.held().await;
    large.scene.apply(&large.scene.org("newer", &large.acme).policy("Retain")).await;
    let refused = |s: &Seen| s.reason("Ready") == "OrganizationClaimed";
    large.scene.until("newer", "refused", refused).await;
    large.release(holder).await;
    large.erased().await;
    large.scene.until("newer", "absent", |s| s.reason("Ready") == "OrganizationNotFound").await;
    large.stop().await;
}

async fn a_large_organization_has_a_recovery_window(world: Arc<World>) {
    let large = Large::with_window(world, Variant::Ordinary, 3600).await;
    let scene = &large.scene;
    scene.delete("acme").await;
    let seen = scene.until("acme", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    assert!(seen.deletion().is_some_and(|d| d.progress.is_none()), "no page is near: {}", seen.yaml());
    assert_eq!(large.gone().await, [], "nothing is gone");
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    assert!(scene.active(&large.acme).await, "it is undone");
    assert_eq!(scene.ledger().await[0].outcome, "Retained");

    scene.sql("TRUNCATE organization_operator.ledger").await;
    scene.apply(&scene.org("acme", &large.acme).policy("Delete").window(1)).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.until("acme", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    large.erased().await;
    large.stop().await;
}

/// A view has no pages.
async fn what_cannot_go_in_pages_goes_at_once_or_not_at_all(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene
        .sql(
            "CREATE TABLE tenants (id int PRIMARY KEY, on_ boolean NOT NULL DEFAULT true); INSERT INTO tenants VALUES (1); \
             CREATE TABLE people (id int PRIMARY KEY, tenant int NOT NULL); CREATE VIEW members AS SELECT * FROM people; \
             CREATE INDEX ON people (tenant); INSERT INTO people SELECT n, 1 FROM generate_series(1, 2000) n; \
             GRANT SELECT, DELETE, UPDATE ON tenants, people, members TO organization_operator",
        )
        .await;
    let plan = |unpageable: &str| {
        json!({
            "organization": {"table": "tenants", "key": "id", "active": {"column": "on_", "inactive": false}},
            "steps": [{"entity": "people", "table": "members", "organization": "tenant"}],
            "batch": {"rows": 1000, "unpageable": unpageable},
        })
    };
    let operator = scene.operator().configure("cascade", plan("refuse")).start().await;
    scene.apply(&scene.org("acme", "1").policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "refused", |s| s.reason("DeletionBlocked") == "SchemaMismatch").await;
    let error = seen.error().expect("an error");
    assert!(error.message.contains("`public.members`: it is a view"), "{error:?}");
    assert!(error.remedy.as_ref().is_some_and(|r| r.contains("cascade.batch.unpageable")), "{error:?}");
    assert!(scene.value::<bool>("SELECT on_ FROM tenants").await, "it stays in use");
    operator.stop().await;

    let operator = scene.operator().configure("cascade", plan("atomic")).start().await;
    scene.gone("acme").await;
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM people").await, 0);
    let ledger = scene.ledger().await;
    assert_eq!(numbers(&ledger[0].steps), [("people".into(), 2000)], "{ledger:?}");
    operator.stop().await;
}
