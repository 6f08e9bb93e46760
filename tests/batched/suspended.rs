//! A large tenant whose object is suspended in the middle of its pages.

use super::{Arc, Large, Scene, Seen, Variant, World, json, launch, scene};
use crate::tests;

tests![a_suspension_stops_the_pages_and_lifting_it_goes_on];

async fn a_suspension_stops_the_pages_and_lifting_it_goes_on(world: Arc<World>) {
    let scene = scene(world, Variant::Ordinary).await;
    // Slow enough that a suspension comes between two pages.
    let batch = json!({"batch": {"rows": 1000, "maxRowsPerSecond": 200}});
    let launch = || launch(&scene).configure("cascade", batch.clone());
    let started = launch();
    let large = Large::launched(self::copy(&scene), started, 0).await;
    large.scene.delete("acme").await;
    let begun = |s: &Seen| s.deletion().and_then(|d| d.progress).is_some_and(|p| p.rows_deleted > 0);
    large.scene.until("acme", "the first rows", begun).await;
    large.scene.patch("acme", r#"{"suspend":true}"#).await;
    let seen = large.scene.until("acme", "suspended", |s| s.reason("DeletionBlocked") == "Suspended").await;
    let gone = large.gone().await;
    let rows: i64 = gone.iter().map(|(_, rows)| rows).sum();
    let total: i64 = large.rows.iter().map(|(_, rows)| rows).sum();
    assert!(rows > 0 && rows < total, "{rows} of {total} rows are gone");
    let deletion = seen.deletion().expect("a deletion");
    assert_eq!(deletion.progress.as_ref().map(|p| p.rows_deleted), Some(rows), "{}", seen.yaml());
    assert_eq!(deletion.summary.as_deref(), Some("Suspended"), "{}", seen.yaml());
    assert!(
        seen.message("Deleting").contains(&format!("{rows} rows had already been deleted in pages")),
        "{}",
        seen.yaml()
    );

    // Neither a restart nor a lowered policy is acted on; the policy is when the suspension is lifted.
    let Large { scene: shown, acme, rows: before, others, operator } = large;
    operator.stop().await;
    let operator = launch().start().await;
    shown.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    let observed = |s: &Seen| s.is("DeletionBlocked", "True") && s.reason("DeletionBlocked") == "Suspended";
    shown.until("acme", "suspended with Retain", observed).await;
    let large = Large { scene: shown, acme, rows: before, others, operator };
    assert_eq!(large.gone().await, gone, "rows went while it was suspended");
    large.scene.patch("acme", r#"{"suspend":false}"#).await;
    large.scene.until("acme", "interrupted", |s| s.reason("DeletionBlocked") == "ErasureInterrupted").await;
    assert_eq!(large.gone().await, gone, "rows went after the policy was lowered");
    large.scene.patch("acme", r#"{"deletionPolicy":"Delete"}"#).await;
    large.erased().await;
    large.stop().await;
}

/// The same servers and objects.
fn copy(scene: &Scene) -> Scene {
    Scene::of(scene.world.clone(), scene.variant, scene.database.clone(), scene.class.clone())
}
