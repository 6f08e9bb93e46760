//! An object whose deletion had begun is gone: its finalizer was taken away by force.

use super::{Arc, Large, Variant, World};
use crate::tests;

tests![what_a_gone_object_left_is_not_used_and_can_be_finished];

async fn what_a_gone_object_left_is_not_used_and_can_be_finished(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let scene = &large.scene;
    let holder = large.held().await;
    large.lower("Retain").await;
    let body = r#"{"metadata":{"finalizers":null}}"#;
    let name = scene.name("acme");
    scene
        .ok(&[
            "patch",
            "organization",
            &name,
            "--type=merge",
            "-p",
            body,
            "--as=system:admin",
            "--as-group=system:masters",
        ])
        .await;
    scene.gone("acme").await;
    large.release(holder).await;
    let gone = large.gone().await;

    // A live object takes over, and does not undo the deactivation as it would after a recovery window.
    scene.apply(&scene.org("next", &large.acme).policy("Retain")).await;
    let seen = scene.ready("next").await;
    assert_eq!(seen.reason("Ready"), "Deactivated", "{}", seen.yaml());
    assert!(!scene.active(&large.acme).await);
    scene.patch("next", r#"{"state":"Active"}"#).await;
    let seen = scene.until("next", "refused", |s| s.reason("Ready") == "ErasureInterrupted").await;
    let remedy = seen.error().and_then(|e| e.remedy).expect("a remedy");
    assert!(remedy.contains("DELETE FROM organization_operator.erasures"), "{remedy}");
    assert!(!scene.active(&large.acme).await, "what is left of it is used");
    // Its own Retain deletes nothing and is not stopped by what was deleted before.
    scene.patch("next", r#"{"state":null}"#).await;
    scene.ready("next").await;
    scene.delete("next").await;
    scene.gone("next").await;
    assert_eq!(large.gone().await, gone);
    assert!(!scene.active(&large.acme).await);

    // Delete finishes it, and counts what the first object had deleted.
    scene.sql("TRUNCATE organization_operator.ledger").await;
    scene.apply(&scene.org("acme", &large.acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    large.erased().await;
    large.stop().await;
}
