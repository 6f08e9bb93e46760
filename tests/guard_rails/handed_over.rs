//! A path that was renamed: every object is deleted and created again under another name.

use super::{Arc, World, delete_all, failures, names, platform, start, tenants};
use crate::tests;

tests![objects_created_first_are_handed_over, objects_deleted_first_are_handed_over];

/// Twelve tenants under a breaker that allows three.
async fn renamed(world: Arc<World>, create_first: bool) {
    let scene = platform(world).await;
    let operator = start(&scene, 3, 30).await;
    let (old, new) = (names("old", 12), names("new", 12));
    let keys = tenants(&scene, &old, "Delete").await;
    let before = scene.others(&[]).await;
    let objects = new.iter().zip(&keys).map(|(name, key)| scene.org(name, key).policy("Delete").yaml());
    let file = scene.file("new.yaml", &objects.collect::<Vec<_>>().join("---\n"));
    if create_first {
        scene.ok(&["apply", "-f", &file]).await;
        delete_all(&scene, &old).await;
    } else {
        delete_all(&scene, &old).await;
        scene.ok(&["apply", "-f", &file]).await;
    }
    for name in &old {
        scene.gone(name).await;
    }
    for name in &new {
        scene.ready(name).await;
    }
    let ledger = scene.ledger().await;
    assert!(ledger.len() == 12 && ledger.iter().all(|row| row.outcome == "Transferred"), "{ledger:?}");
    assert_eq!(scene.others(&[]).await, before, "something was changed");

    // They do not count: three of the new ones may go.
    delete_all(&scene, &new[..3]).await;
    operator.stop().await;
    let operator = start(&scene, 3, 0).await;
    for name in &new[..3] {
        scene.gone(name).await;
    }
    assert_eq!(failures(&operator, "BreakerTripped").await, 0);
    operator.stop().await;
}

async fn objects_created_first_are_handed_over(world: Arc<World>) {
    renamed(world, true).await;
}

async fn objects_deleted_first_are_handed_over(world: Arc<World>) {
    renamed(world, false).await;
}
