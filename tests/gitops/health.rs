//! "Is this tenant well? I look at Argo CD": the health script that `deploy/gitops` ships, run by the Lua that Argo CD uses over
//! objects of the real operator.

use std::sync::Arc;

use serde_json::json;
use testbed::Health;

use super::repository::contract;
use crate::support::{Engines, Need, PATIENCE, Scene, Seen, Variant, World};
use crate::tests;

tests![needs Need::ArgoCd;
    an_object_that_nobody_has_seen_is_progressing,
    the_health_follows_the_status,
];

/// What Argo CD shows of an object.
async fn health(engines: &Engines, seen: &Seen) -> Health {
    let object = serde_json::to_string(&seen.0).expect("an object");
    let health = engines.argocd().await.health(&object).await.unwrap_or_else(|e| panic!("{e}: {}", seen.yaml()));
    health.expect("the script has an opinion")
}

/// Waits until Argo CD shows this of an object, and returns its message.
async fn shown(engines: &Engines, scene: &Scene, name: &str, status: &str) -> (String, Seen) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let seen = scene.get(name).await.expect("the object");
        let health = health(engines, &seen).await;
        if health.status == status {
            return (health.message, seen);
        }
        assert!(std::time::Instant::now() < end, "{name} is {health:?}, not {status}: {}", seen.yaml());
        tokio::time::sleep(crate::support::INTERVAL).await;
    }
}

async fn an_object_that_nobody_has_seen_is_progressing(world: Arc<World>) {
    let engines = world.engines().await;
    let scene = Scene::new(engines.world.clone(), Variant::Platform).await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    let seen = scene.get("acme").await.expect("the object");
    let health = health(&engines, &seen).await;
    assert_eq!((health.status.as_str(), health.message.as_str()), ("Progressing", WAITING), "{}", seen.yaml());
}

const WAITING: &str = "waiting for the operator to see this generation";

async fn the_health_follows_the_status(world: Arc<World>) {
    let engines = world.engines().await;
    let scene = Scene::new(engines.world.clone(), Variant::Platform).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let operator = scene.start().await;

    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let (message, mut seen) = shown(&engines, &scene, "acme", "Healthy").await;
    assert_eq!(message, seen.message("Ready"));

    // A new generation that the operator has not seen yet.
    seen.0.metadata.generation = seen.0.metadata.generation.map(|generation| generation + 1);
    let health = health(&engines, &seen).await;
    assert_eq!((health.status.as_str(), health.message.as_str()), ("Progressing", WAITING));

    // Deactivated as the spec says is as it should be. `Suspended` is what the operator leaves alone.
    scene.patch("acme", r#"{"state":"Deactivated"}"#).await;
    scene.until("acme", "deactivated", |s| s.is("Ready", "True") && !s.message("Ready").is_empty()).await;
    let (message, seen) = shown(&engines, &scene, "acme", "Healthy").await;
    assert_eq!(message, seen.message("Ready"));
    scene.patch("acme", r#"{"suspend":true}"#).await;
    let (message, seen) = shown(&engines, &scene, "acme", "Suspended").await;
    assert_eq!(message, seen.message("Ready"));
    assert!(message.starts_with("spec.suspend is true"), "{message}");
    scene.patch("acme", r#"{"suspend":false,"state":"Active"}"#).await;
    shown(&engines, &scene, "acme", "Healthy").await;

    // Waits for an organization that is not there.
    scene.apply(&scene.org("initech", &scene.key(3))).await;
    let (message, seen) = shown(&engines, &scene, "initech", "Progressing").await;
    assert!(message == seen.message("Reconciling") || message == WAITING, "{message}: {}", seen.yaml());

    // What a person has to mend.
    scene.apply(&scene.org("second", &acme)).await;
    let (message, seen) = shown(&engines, &scene, "second", "Degraded").await;
    assert_eq!((message, seen.reason("Stalled").as_str()), (seen.message("Stalled"), "OrganizationClaimed"));

    // While an object is terminating, Argo CD runs no script, whatever the status says.
    scene.apply(&scene.org("globex", &globex).policy("Delete")).await;
    scene.ready("globex").await;
    contract(&scene, &globex).await;
    scene.delete("globex").await;
    let blocked = scene.until("globex", "blocked", |s| s.is("Stalled", "True")).await;
    let expected = Health { status: "Progressing".to_owned(), message: "Pending deletion".to_owned() };
    assert_eq!(self::health(&engines, &blocked).await, expected);
    // The script itself would say more.
    let mut unlike = blocked.clone();
    unlike.0.metadata.deletion_timestamp = None;
    let degraded = self::health(&engines, &unlike).await;
    assert_eq!((degraded.status.as_str(), degraded.message), ("Degraded", blocked.message("Stalled")));
    operator.stop().await;

    // A status without a single condition, as another program might write it.
    let mut bare = blocked;
    bare.0.metadata.deletion_timestamp = None;
    let status = json!({"observedGeneration": bare.0.metadata.generation});
    bare.0.status = serde_json::from_value(status).expect("a status");
    assert_eq!(
        self::health(&engines, &bare).await,
        Health { status: "Progressing".to_owned(), message: WAITING.to_owned() }
    );
}
