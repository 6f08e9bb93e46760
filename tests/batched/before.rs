//! What happens before the first page.

use super::{Arc, Large, Variant, World};
use crate::tests;

tests![a_large_organization_is_not_rehearsed_in_one_transaction];

/// What blocked an attempt for long is gone. The next attempt must not try all deletes at once to find out what else blocks.
async fn a_large_organization_is_not_rehearsed_in_one_transaction(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let (scene, acme) = (&large.scene, &large.acme);
    // A sequence also counts deletes that are rolled back.
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{acme}'); \
             GRANT SELECT ON contracts TO organization_operator; CREATE SEQUENCE deletes; \
             CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
             $$ BEGIN PERFORM nextval('public.deletes'); RETURN OLD; END $$; \
             CREATE TRIGGER counted BEFORE DELETE ON task_outputs FOR EACH ROW EXECUTE FUNCTION counted()"
        ))
        .await;
    scene.delete("acme").await;
    scene.until("acme", "the blocker", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    scene.sql("DELETE FROM contracts").await;
    large.erased().await;
    assert_eq!(scene.value::<i64>("SELECT last_value FROM deletes").await, super::BEFORE, "rows went more than once");
    large.stop().await;
}
