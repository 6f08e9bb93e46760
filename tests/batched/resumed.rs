//! An object whose deletion had begun is gone: its finalizer was taken away by force.

use super::{Arc, Large, Variant, World, eventually, json, launch, nothing_under_way, numbers, numbers_of};
use crate::{check, tests};

tests![
    what_a_gone_object_left_is_not_used_and_can_be_finished,
    what_a_gone_object_left_is_counted_by_one_that_was_never_live,
    what_a_gone_object_left_is_no_permission_to_erase_it,
    what_a_gone_object_left_is_told_and_can_be_kept,
    what_somebody_finished_by_hand_is_recorded_and_forgotten,
];

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
        for part in ["erased 1000 rows of this organization", "SELECT * FROM organization_operator.keep_remainder("] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    assert!(!scene.active(&large.acme).await);
    scene.patch("next", r#"{"state":"Active"}"#).await;
    let seen = scene.until("next", "refused", |s| s.reason("Ready") == "ErasureInterrupted").await;
    let remedy = seen.error().and_then(|e| e.remedy).expect("a remedy");
    assert!(remedy.contains("SELECT * FROM organization_operator.keep_remainder("), "{remedy}");
    assert!(!scene.active(&large.acme).await, "what is left of it is used");
    // Its own Retain deletes nothing and is not stopped by what was deleted before.
    scene.patch("next", r#"{"state":null}"#).await;
    scene.ready("next").await;
    scene.delete("next").await;
    scene.gone("next").await;
    assert_eq!(large.gone().await, gone);
    assert!(!scene.active(&large.acme).await);
    // Nobody has the claim any more. What is left is not used by the next one either, from its first reconciliation on.
    assert_eq!(scene.owner(&large.acme).await, None);
    scene.sql("CREATE TABLE switched (active boolean)").await;
    scene
        .sql(
            "CREATE FUNCTION switched() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ BEGIN \
             INSERT INTO switched VALUES (NEW.is_active); RETURN NEW; END $$; \
             CREATE TRIGGER switched AFTER UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION switched()",
        )
        .await;
    scene.apply(&scene.org("third", &large.acme).policy("Retain").state("Active")).await;
    scene.until("third", "refused", |s| s.reason("Ready") == "ErasureInterrupted").await;
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM switched WHERE active").await, 0, "what is left was used");
    scene.sql("DROP TRIGGER switched ON organizations; DROP FUNCTION switched; DROP TABLE switched").await;
    scene.delete("third").await;
    scene.gone("third").await;

    // Delete finishes it, and counts what the first object had deleted.
    scene.sql("TRUNCATE organization_operator.ledger").await;
    scene.apply(&scene.org("acme", &large.acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    large.erased().await;
    large.stop().await;
}

/// No object has the claim, and the one that erases the rest was deleted before the operator saw it.
async fn what_a_gone_object_left_is_counted_by_one_that_was_never_live(world: Arc<World>) {
    let large = left(world).await;
    let scene = &large.scene;
    scene.sql("TRUNCATE organization_operator.ledger, organization_operator.claims").await;
    let Large { scene, acme, rows, others, operator } = large;
    operator.stop().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").with_finalizer()).await;
    scene.delete("acme").await;
    let operator = launch(&scene).start().await;
    let large = Large { scene, acme, rows, others, operator };
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

/// Nobody takes the organization over, so no object says anything.
async fn what_a_gone_object_left_is_told_and_can_be_kept(world: Arc<World>) {
    let large = left(world).await;
    let (scene, gone) = (&large.scene, large.gone().await);
    let shown = async |number: &str| {
        let line = format!("organization_operator_partly_erased_organizations {number}\n");
        eventually(&line, || async { large.operator.metrics().await.contains(&line).then_some(()) }).await;
    };
    shown("1").await;
    let check = async || check::run(scene, &json!({}), &["-o", "json"], &scene.url()).await;
    let answer = check().await;
    let found = answer.of("PartlyErased");
    assert_eq!((answer.code, found.len(), answer.kinds().len()), (Some(0), 1, 1), "{}", answer.text);
    assert!(answer.text.contains("has erased 1000 rows of the organization"), "{}", answer.text);
    let (_, keep) = found[0].3.split_once("to keep the rest: ").expect("the SQL");
    // Before that the ledger says that it may go on, and nobody's deletion has ended.
    let before = scene.ledger().await;
    assert!(before.len() == 1 && before[0].outcome == "Interrupted" && !before[0].verified, "{before:?}");
    let detail = "SELECT detail FROM organization_operator.ledger";
    let counted: String = scene.value(detail).await;
    for recorded in [true, false] {
        if !recorded {
            // The finalizer was removed before the interruption was recorded.
            scene
                .sql(
                    "INSERT INTO organization_operator.erasures (cluster_id, object_uid, organization_key, estimated_rows, \
                     deleted, plan_digest, started_at) SELECT cluster_id, object_uid, organization_key, 1, steps, plan_digest, \
                     started_at FROM organization_operator.ledger; TRUNCATE organization_operator.ledger",
                )
                .await;
        }
        scene.sql(keep).await;
        let ledger = scene.ledger().await;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!((ledger[0].outcome.as_str(), ledger[0].policy.as_str()), ("Interrupted", "Retain"), "{ledger:?}");
        assert!(ledger[0].verified && ledger[0].object_uid == before[0].object_uid, "{ledger:?}");
        assert_eq!(numbers(&ledger[0].steps), numbers_of(&gone));
        nothing_under_way(scene).await;
        let left: String = scene.value(detail).await;
        assert_eq!(left, if recorded { counted.as_str() } else { "the remainder, which was not counted" });
        // Once more, or with another key, it does nothing.
        scene.sql(keep).await;
        assert_eq!(scene.ledger().await, ledger);
    }
    assert_eq!(check().await.kinds(), Vec::<String>::new());
    shown("0").await;
    assert_eq!(large.gone().await, gone);
    // Whoever wants to use what is left may.
    scene.apply(&scene.org("rest", &large.acme).policy("Retain").state("Active")).await;
    scene.ready("rest").await;
    assert!(scene.active(&large.acme).await);
    large.stop().await;
}

/// Otherwise the next organization with that key would inherit it.
async fn what_somebody_finished_by_hand_is_recorded_and_forgotten(world: Arc<World>) {
    let large = left(world).await;
    let (scene, acme) = (&large.scene, &large.acme);
    scene.apply(&scene.org("next", acme).policy("Delete")).await;
    scene.ready("next").await;
    let flows = format!("SELECT id FROM flows WHERE organization_id = '{acme}'");
    let executions = format!("SELECT id FROM flow_executions WHERE flow_id IN ({flows})");
    scene
        .sql(&format!(
            "DELETE FROM task_statuses WHERE flow_execution_id IN ({executions}); \
             DELETE FROM task_outputs WHERE flow_execution_id IN ({executions}); \
             DELETE FROM flow_executions WHERE flow_id IN ({flows}); \
             DELETE FROM flows WHERE organization_id = '{acme}'; DELETE FROM users WHERE organization_id = '{acme}'; \
             DELETE FROM organizations WHERE id = '{acme}'"
        ))
        .await;
    scene.sql("TRUNCATE organization_operator.ledger").await;
    scene.delete("next").await;
    scene.gone("next").await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "Erased"), "{ledger:?}");
    assert_eq!(ledger[0].organizations_deleted, 0, "{ledger:?}");
    let outputs = ("taskOutputs".to_owned(), super::BEFORE);
    assert!(super::numbers(&ledger[0].steps).contains(&outputs), "{ledger:?}");
    // What is noted of the object that is gone is forgotten by the next poll of the database.
    eventually("the deletion of the first object is forgotten", async || {
        let noted: i64 = scene.value("SELECT count(*) FROM organization_operator.deletions").await;
        (noted == 0).then_some(())
    })
    .await;
    super::nothing_under_way(scene).await;
    large.stop().await;
}
