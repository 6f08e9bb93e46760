//! One large deletion at a time, and small ones beside it.

use super::{Arc, Scene, Seen, Variant, World, json, launch, seed};
use crate::tests;

tests![one_large_deletion_at_a_time_and_small_ones_beside_it];

/// Each output takes a while to go.
pub(super) async fn slow_outputs(scene: &Scene, microseconds: u32) {
    let seconds = f64::from(microseconds) / 1e6;
    scene
        .sql(&format!(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN OLD; END $$; \
             CREATE TRIGGER slowly BEFORE DELETE ON task_outputs FOR EACH ROW EXECUTE FUNCTION slowly()"
        ))
        .await;
}

fn rows(seen: &Seen) -> i64 {
    seen.deletion().and_then(|d| d.progress).map_or(0, |p| p.rows_deleted)
}

async fn one_large_deletion_at_a_time_and_small_ones_beside_it(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let (first, second, small) = (scene.key(1), scene.key(2), scene.key(3));
    scene.seed(&small).await;
    // The first takes about ten seconds: two slices.
    scene.seed_sized(&first, 20, 10, 20, 20).await;
    seed(&scene, &second).await;
    slow_outputs(&scene, 2500).await;
    // One place for small ones: a large one must not take it.
    let operator = launch(&scene).configure("concurrency", json!(1)).start().await;
    for (name, key) in [("first", &first), ("second", &second), ("small", &small)] {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    scene.delete("first").await;
    scene.until("first", "its first pages", |s| rows(s) > 0).await;
    scene.delete("second").await;
    let waits = |s: &Seen| {
        let waiting = s.deletion().and_then(|d| d.progress).and_then(|p| p.waiting_for);
        waiting.is_some_and(|sentence| sentence.contains("cascade.batch.atOnce"))
    };
    let seen = scene.until("second", "waits for its place", waits).await;
    assert!(rows(&seen) == 0 && seen.is("DeletionBlocked", "False"), "{}", seen.yaml());
    scene.delete("small").await;
    scene.gone("small").await;
    let seen = scene.get("first").await.expect("it takes longer than a small one");
    assert_eq!(seen.reason("Deleting"), "Shrinking", "{}", seen.yaml());
    scene.gone("first").await;
    scene.gone("second").await;
    for key in [&first, &second, &small] {
        assert_eq!(scene.total(key).await, 0);
    }
    // The ledger has them in the order of their ends, and the second began when the first had ended.
    let ledger = scene.ledger().await;
    let names: Vec<&str> = ledger.iter().map(|row| row.object_name.as_str()).collect();
    assert_eq!(names, [scene.name("small"), scene.name("first"), scene.name("second")]);
    let after = "SELECT (SELECT started_at FROM organization_operator.ledger ORDER BY id OFFSET 2 LIMIT 1) >= \
                 (SELECT finished_at FROM organization_operator.ledger ORDER BY id OFFSET 1 LIMIT 1)";
    assert!(scene.value::<bool>(after).await, "both went at once");
    operator.stop().await;
}
