//! "When I delete the object, the organization and all its data are gone, and nobody else's."

use std::sync::Arc;

use crate::support::{Scene, Variant, World};
use crate::tests;

tests![deletes_in_every_schema];

/// Invariants 1, 2 and 4 on every schema: rows gone, everybody else's untouched, one ledger row, one truthful Event.
async fn deletes_in_every_schema(world: Arc<World>) {
    for variant in Variant::ALL {
        let scene = Scene::new(world.clone(), variant).await;
        let (acme, globex) = (scene.key(1), scene.key(2));
        scene.seed(&acme).await;
        scene.seed(&globex).await;
        let others = scene.others(&[&acme]).await;
        let rows = scene.rows(&acme).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        let seen = scene.ready("acme").await;
        assert!(seen.is("DeletionReady", "True"), "{variant:?}: {}", seen.yaml());

        // kubectl waits until the object is gone.
        scene.ok(&["delete", "organization", &scene.name("acme")]).await;

        assert_eq!(scene.total(&acme).await, 0, "{variant:?}: rows are left");
        assert_eq!(scene.others(&[&acme]).await, others, "{variant:?}: other tenants changed");
        let ledger = scene.ledger().await;
        assert_eq!(ledger.len(), 1, "{variant:?}: {ledger:?}");
        assert_eq!(ledger[0].outcome, "Erased");
        assert_eq!(ledger[0].organizations_deleted, 1);
        assert!(ledger[0].verified);
        for step in ledger[0].steps.as_array().expect("steps") {
            let entity = step["entity"].as_str().expect("an entity");
            let expected = rows.iter().find(|(e, _)| e == entity).map(|(_, n)| *n);
            assert_eq!(step["deleted"].as_i64(), expected, "{variant:?}: {entity}");
            assert_eq!(step["found"].as_i64(), expected, "{variant:?}: {entity}");
        }
        let erased: Vec<_> = scene.events("acme").await.into_iter().filter(|(r, _)| r == "Erased").collect();
        assert_eq!(erased.len(), 1, "{variant:?}: {erased:?}");
        operator.stop().await;
    }
}
