//! Too many deletions at once.

use super::{
    Arc, Scene, Seen, Variant, World, apply_all, confirm, delete_all, failures, held, json, metric, names, platform,
    start, tenants,
};
use crate::errors::shows;
use crate::support::eventually;
use crate::tests;

use organization_operator::api::Reason;

tests![
    an_emptied_repository_erases_nobody,
    without_a_wait_no_more_are_erased_than_the_limit_allows,
    a_trickle_reaches_the_limit_through_the_ledger,
    what_erases_nothing_passes_and_does_not_count,
    fewer_than_a_fifth_pass,
    a_recovery_window_does_not_begin,
    a_tenant_that_only_drained_is_active_again,
];

async fn outcomes(scene: &Scene, outcome: &str) -> usize {
    scene.ledger().await.iter().filter(|row| row.outcome == outcome).count()
}

/// The defaults that ship: the engine deletes everything, and the operator erases nothing, also after a restart, also while a
/// person saves one tenant after the other.
async fn an_emptied_repository_erases_nobody(world: Arc<World>) {
    let scene = platform(world).await;
    // The wait is long enough to request all deletions before the first one is judged, on a slow machine too.
    let launch = || scene.operator().configure("handoverSeconds", json!(20)).configure("breaker", json!({}));
    let operator = launch().start().await;
    let names = names("t", 30);
    let keys = tenants(&scene, &names, "Delete").await;
    let before = scene.others(&[]).await;
    delete_all(&scene, &names).await;
    for name in &names {
        let seen = scene.until(name, "held by the breaker", held("BreakerTripped")).await;
        let error = shows(&seen, Reason::BreakerTripped);
        assert_eq!(error.code, 429);
        assert!(error.message.starts_with("30 deletions of 30 objects began within 10 minutes"), "{}", error.message);
        assert!(error.message.ends_with("Nothing was changed"), "{}", error.message);
        assert!(seen.is("Stalled", "True") && seen.deletion().is_some_and(|d| d.summary.as_deref() == Some("Blocked")));
    }
    let told = scene.warned("t7", "BreakerTripped").await;
    assert!(told.contains("confirm-deletion=") && told.contains("kubectl organization confirm"), "{told}");
    assert_eq!(metric(&operator, "deletions_held{reason=\"BreakerTripped\"}").await.as_deref(), Some("30"));
    operator.stop().await;
    assert_eq!((scene.ledger().await.len(), scene.others(&[]).await), (0, before.clone()), "something was changed");

    // A new process knows.
    let operator = launch().start().await;
    eventually("the new operator reconciles all", || async {
        (failures(&operator, "BreakerTripped").await >= 30).then_some(())
    })
    .await;
    assert_eq!((scene.ledger().await.len(), scene.others(&[]).await), (0, before), "the restart changed something");

    // One is confirmed; the uid of another object confirms nothing.
    confirm(&scene, "t0").await;
    let uid = scene.uid("t2").await;
    let wrong = format!("organization-operator.io/confirm-deletion={uid}");
    scene.ok(&["annotate", "organization", &scene.name("t1"), &wrong]).await;
    scene.gone("t0").await;
    assert_eq!((scene.total(&keys[0]).await, scene.ledger().await.len()), (0, 1));

    // A person saves the others one after the other: the last ones are few, and are not erased.
    for name in &names[2..25] {
        scene.patch(name, r#"{"deletionPolicy":"Retain"}"#).await;
    }
    for name in &names[2..25] {
        scene.gone(name).await;
    }
    for name in &names[25..] {
        scene.retry(name, "1").await;
    }
    operator.stop().await;
    let operator = launch().start().await;
    eventually("the new operator reconciles the rest", || async {
        (failures(&operator, "BreakerTripped").await >= 6).then_some(())
    })
    .await;
    for (name, key) in names.iter().zip(&keys).filter(|(name, _)| *name == "t1" || names[25..].contains(name)) {
        let seen = scene.get(name).await.expect("it is held");
        assert!(held("BreakerTripped")(&seen), "{}", seen.yaml());
        assert!(scene.total(key).await > 0, "{name}");
    }
    assert_eq!((outcomes(&scene, "Erased").await, outcomes(&scene, "Retained").await), (1, 23));
    operator.stop().await;

    // A load that is meant says so in the configuration.
    let operator = scene.operator().configure("breaker", json!("never")).start().await;
    for name in &names {
        scene.gone(name).await;
    }
    assert_eq!(outcomes(&scene, "Erased").await, 7);
    let noted: i64 = scene.value("SELECT count(*) FROM organization_operator.deletions").await;
    assert_eq!(noted, 0, "notes of deletions that have ended");
    operator.stop().await;
}

/// Nothing waits for a successor, so deletions begin while others are still being requested.
async fn without_a_wait_no_more_are_erased_than_the_limit_allows(world: Arc<World>) {
    let scene = platform(world).await;
    let operator = start(&scene, 5, 0).await;
    let names = names("t", 24);
    let keys = tenants(&scene, &names, "Delete").await;
    delete_all(&scene, &names).await;
    let mut erased = 0;
    for (name, key) in names.iter().zip(&keys) {
        let api = scene.api();
        let full = scene.name(name);
        let gone = eventually("erased or held", || async {
            let seen = api.get_opt(&full).await.expect("the API server answers").map(Seen);
            match seen {
                None => Some(true),
                Some(seen) => held("BreakerTripped")(&seen).then_some(false),
            }
        })
        .await;
        assert_eq!(gone, scene.total(key).await == 0, "{name}");
        erased += usize::from(gone);
    }
    // Four at the same time may all be decided before the first of them is in the ledger.
    assert!(erased <= 5 + 4, "{erased} were erased");
    assert_eq!(outcomes(&scene, "Erased").await, erased);
    operator.stop().await;
}

async fn a_trickle_reaches_the_limit_through_the_ledger(world: Arc<World>) {
    let scene = platform(world).await;
    let operator = start(&scene, 10, 0).await;
    let names = names("t", 14);
    let keys = tenants(&scene, &names, "Delete").await;
    for name in &names[..5] {
        scene.delete(name).await;
        scene.gone(name).await;
    }
    operator.stop().await;
    let operator = start(&scene, 10, 0).await;
    for name in &names[5..10] {
        scene.delete(name).await;
        scene.gone(name).await;
    }
    scene.delete("t10").await;
    let seen = scene.until("t10", "held by the breaker", held("BreakerTripped")).await;
    assert!(shows(&seen, Reason::BreakerTripped).message.starts_with("11 deletions of 14 objects"), "{}", seen.yaml());
    assert!(scene.total(&keys[10]).await > 0);

    // Long after, others may go; the one that was held stays so until somebody confirms it.
    scene.sql("UPDATE organization_operator.ledger SET requested_at = requested_at - interval '1 hour'").await;
    scene.delete("t11").await;
    scene.gone("t11").await;
    let failed = failures(&operator, "BreakerTripped").await;
    scene.retry("t10", "1").await;
    eventually("another try", || async { (failures(&operator, "BreakerTripped").await > failed).then_some(()) }).await;
    assert!(scene.total(&keys[10]).await > 0);
    confirm(&scene, "t10").await;
    scene.gone("t10").await;

    // Rows of an older version do not say when their deletion was requested: when it began counts.
    scene.sql("UPDATE organization_operator.ledger SET requested_at = NULL, started_at = now()").await;
    scene.delete("t12").await;
    scene.until("t12", "held by the breaker", held("BreakerTripped")).await;
    operator.stop().await;
}

async fn what_erases_nothing_passes_and_does_not_count(world: Arc<World>) {
    let scene = platform(world).await;
    let operator = start(&scene, 3, 2).await;
    let names = names("t", 15);
    let keys: Vec<String> = (1..).take(15).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    for (range, policy) in [(0..6, "Retain"), (6..12, "Deactivate"), (12..15, "Delete")] {
        apply_all(&scene, &names[range.clone()], &keys[range], policy).await;
    }
    delete_all(&scene, &names).await;
    for name in &names {
        scene.gone(name).await;
    }
    for (outcome, count) in [("Retained", 6), ("Deactivated", 6), ("Erased", 3)] {
        assert_eq!(outcomes(&scene, outcome).await, count, "{outcome}");
    }
    assert_eq!(failures(&operator, "BreakerTripped").await, 0);
    operator.stop().await;
}

async fn fewer_than_a_fifth_pass(world: Arc<World>) {
    let scene = platform(world).await;
    let operator = start(&scene, 2, 2).await;
    let names = names("t", 20);
    tenants(&scene, &names, "Delete").await;
    delete_all(&scene, &names[..3]).await;
    for name in &names[..3] {
        scene.gone(name).await;
    }
    // The fourth of twenty.
    scene.delete("t3").await;
    let seen = scene.until("t3", "held by the breaker", held("BreakerTripped")).await;
    assert!(seen.message("DeletionBlocked").starts_with("4 deletions of 20 objects"), "{}", seen.yaml());
    operator.stop().await;
}

/// A recovery window deactivates at once: for an emptied repository that would be an outage.
async fn a_recovery_window_does_not_begin(world: Arc<World>) {
    let scene = platform(world).await;
    let operator = start(&scene, 1, 3600).await;
    let names = names("t", 4);
    let keys: Vec<String> = (1..).take(4).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    for (name, key) in names.iter().zip(&keys) {
        scene.apply(&scene.org(name, key).policy("Delete").window(3600)).await;
        scene.ready(name).await;
    }
    scene.delete("t0").await;
    scene.until("t0", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    delete_all(&scene, &names[1..]).await;
    for (name, key) in names.iter().zip(&keys).skip(1) {
        scene.until(name, "held by the breaker", held("BreakerTripped")).await;
        assert!(scene.active(key).await, "{name} was deactivated");
    }
    // The one that had begun ends its window in vain.
    scene.patch("t0", r#"{"recoveryWindowSeconds":1}"#).await;
    operator.stop().await;
    let operator = start(&scene, 1, 0).await;
    let seen = scene.until("t0", "held by the breaker", held("BreakerTripped")).await;
    assert!(seen.error().is_some_and(|e| e.message.ends_with("Nothing was deleted")), "{}", seen.yaml());
    assert!(scene.total(&keys[0]).await > 0 && !scene.active(&keys[0]).await);
    confirm(&scene, "t1").await;
    scene.until("t1", "its window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    assert!(!scene.active(&keys[1]).await);
    operator.stop().await;
}

/// Where no foreign key protects a table, the tenant is deactivated before the erasure. What is then held back is in use again.
async fn a_tenant_that_only_drained_is_active_again(world: Arc<World>) {
    let scene = Scene::new(world, Variant::NoKeys).await;
    let breaker = json!({"deletions": 2, "minutes": 10});
    let operator = scene.operator().configure("breaker", breaker).configure("drainSeconds", json!(8)).start().await;
    let names = names("t", 4);
    let keys = tenants(&scene, &names, "Delete").await;
    scene.delete("t0").await;
    scene.until("t0", "draining", |s| s.reason("Deleting") == "Draining").await;
    assert!(!scene.active(&keys[0]).await);
    delete_all(&scene, &names[1..]).await;
    let seen = scene.until("t0", "held by the breaker", held("BreakerTripped")).await;
    assert!(seen.message("DeletionBlocked").contains("the organization is active again"), "{}", seen.yaml());
    assert!(scene.active(&keys[0]).await && scene.total(&keys[0]).await > 0);
    operator.stop().await;
}
