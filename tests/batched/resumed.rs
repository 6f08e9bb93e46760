//! An object whose deletion had begun is gone: its finalizer was taken away by force.

use super::{Arc, Large, Variant, World};
use crate::tests;

tests![what_a_gone_object_left_is_not_used_and_can_be_finished, what_a_gone_object_left_is_no_permission_to_erase_it,];

/// A large tenant whose object is gone in the middle of its deletion.
async fn left(world: Arc<World>) -> Large {
    let large = Large::ready(world, Variant::Ordinary).await;
    let scene = &large.scene;
    let holder = large.held().await;
    large.lower("Retain").await;
    scene.force_release("acme").await;
    scene.gone("acme").await;
    large.release(holder).await;
    large
}

async fn what_a_gone_object_left_is_not_used_and_can_be_finished(world: Arc<World>) {
    let large = left(world).await;
    let scene = &large.scene;
    let gone = large.gone().await;

    // A live object takes over, and does not undo the deactivation as it would after a recovery window.
    scene.apply(&scene.org("next", &large.acme).policy("Retain")).await;
    let seen = scene.ready("next").await;
    assert_eq!(seen.reason("Ready"), "Deactivated", "{}", seen.yaml());
    for condition in ["Ready", "DeletionReady"] {
        let message = seen.message(condition);
        for part in ["erased 1000 rows of this organization", "DELETE FROM organization_operator.erasures"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
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

/// Renames and recovery windows of the objects that come later are what they always are: they never began to erase it.
async fn what_a_gone_object_left_is_no_permission_to_erase_it(world: Arc<World>) {
    let large = left(world).await;
    let (scene, gone) = (&large.scene, large.gone().await);
    scene.apply(&scene.org("next", &large.acme).policy("Delete").window(3600)).await;
    scene.ready("next").await;
    scene.apply(&scene.org("renamed", &large.acme).policy("Delete").window(3600)).await;
    scene.until("renamed", "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    scene.delete("next").await;
    scene.gone("next").await;
    scene.event("next", "Transferred").await;
    let seen = scene.ready("renamed").await;
    assert!(seen.message("Ready").contains("erased 1000 rows"), "{}", seen.yaml());
    assert_eq!(large.gone().await, gone, "the rename erased rows");
    scene.delete("renamed").await;
    scene.until("renamed", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    assert_eq!(large.gone().await, gone, "rows went before the window ended");
    assert!(!scene.active(&large.acme).await, "what is left of it is used");
    scene.patch("renamed", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("renamed").await;
    assert_eq!(large.gone().await, gone, "Retain keeps it");
    assert!(!scene.active(&large.acme).await, "what is left of it is used");
    large.stop().await;
}
