//! "I change the manifests in Git": removal, rename, many at once, delete and re-create, re-adding what was removed.

pub mod argocd;
mod definition;
pub mod flux;
pub mod health;
mod repository;
pub mod shipped;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::{OPERATOR, Org, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_manifest_removed_from_an_applyset_erases,
    a_manifest_removed_from_a_pruned_directory_erases,
    a_renamed_object_takes_over_and_nothing_is_erased,
    a_renamed_object_with_another_spelling_takes_over,
    forty_objects_deleted_at_once_are_all_erased,
    f22_an_object_created_again_under_the_same_name_is_another_one,
    f22_an_object_created_again_is_not_touched_by_the_old_deletion,
    a_manifest_added_again_with_retain_stops_the_deletion,
    f27_apply_with_force_never_replaces_the_object,
];

/// The manifests that Git holds now. A new directory for every commit, as an engine's checkout would be.
fn commit(scene: &Scene, number: u32, orgs: &[Org]) -> String {
    let mut directory = String::new();
    for org in orgs {
        let name = format!("commit-{number}");
        scene.file(".keep", "");
        let parent = Path::new(&scene.file(".keep", "")).with_file_name(&name);
        std::fs::create_dir_all(&parent).expect("a directory");
        scene.file(&format!("{name}/{}.yaml", org.name()), &org.yaml());
        directory = parent.to_string_lossy().into_owned();
    }
    directory
}

/// `kubectl apply --prune` of everything with this test's label.
async fn sync(scene: &Scene, directory: &str) {
    let label = format!("test={}", scene.class);
    scene
        .ok(&[
            "apply",
            "-f",
            directory,
            "--prune",
            "-l",
            &label,
            "--prune-allowlist=organization-operator.io/v1alpha1/Organization",
        ])
        .await;
}

/// A manifest with policy `Delete` and this test's label.
fn org(scene: &Scene, name: &str, key: &str) -> Org {
    scene.org(name, key).policy("Delete").label("test", &scene.class)
}

async fn a_manifest_removed_from_an_applyset_erases(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let operator = scene.start().await;
    let set = format!("--applyset=configmap/tenants-{}", scene.class);
    let apply = async |directory: &str| {
        let arguments = ["apply", "-n", "default", "-f", directory, "--prune", &set];
        let output = scene.world.kubectl_with(&[("KUBECTL_APPLYSET", "true")], &arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    apply(&commit(&scene, 1, &[org(&scene, "acme", &acme), org(&scene, "globex", &globex)])).await;
    scene.ready("acme").await;
    scene.ready("globex").await;

    apply(&commit(&scene, 2, &[org(&scene, "globex", &globex)])).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
    assert!(scene.ready("globex").await.0.metadata.deletion_timestamp.is_none());
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].organization_key.as_str()), ("Erased", acme.as_str()));
    operator.stop().await;
}

async fn a_manifest_removed_from_a_pruned_directory_erases(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let operator = scene.start().await;
    sync(&scene, &commit(&scene, 1, &[org(&scene, "acme", &acme), org(&scene, "globex", &globex)])).await;
    scene.ready("acme").await;
    scene.ready("globex").await;

    sync(&scene, &commit(&scene, 2, &[org(&scene, "globex", &globex)])).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "rows are left");
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
    assert!(scene.ready("globex").await.0.metadata.deletion_timestamp.is_none());
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].organization_key.as_str()), ("Erased", acme.as_str()));
    operator.stop().await;
}

async fn a_renamed_object_takes_over_and_nothing_is_erased(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(0xacde);
    renamed(&scene, &acme, &acme).await;
}

async fn a_renamed_object_with_another_spelling_takes_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(0xacde);
    renamed(&scene, &acme, &acme.to_uppercase()).await;
}

/// The object gets a new name in Git, and the id may be spelled otherwise there.
async fn renamed(scene: &Scene, acme: &str, spelling: &str) {
    scene.seed(acme).await;
    let before = (scene.rows(acme).await, scene.others(&[]).await);
    // The new object must not need a retry to find out that the claim is its own now.
    let never = json!({"initialSeconds": 3600, "maxSeconds": 3600});
    let operator = scene.operator().configure("retry.slow", never).start().await;
    sync(scene, &commit(scene, 1, &[org(scene, "old", acme)])).await;
    let old = scene.ready("old").await.0.metadata.uid.expect("a uid");
    assert_eq!(scene.owner(acme).await.as_ref(), Some(&old));

    sync(scene, &commit(scene, 2, &[org(scene, "new", spelling)])).await;
    scene.gone("old").await;
    let new = scene.ready("new").await;
    assert_eq!(scene.owner(acme).await, new.0.metadata.uid, "the new object owns the organization");
    assert!(new.error().is_none() && !new.has("Stalled"), "{}", new.yaml());
    assert_eq!((scene.rows(acme).await, scene.others(&[]).await), before, "something was erased or changed");
    assert!(scene.active(acme).await, "it was deactivated");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), &ledger[0].object_uid), ("Transferred", &old), "{ledger:?}");
    assert!(scene.event("old", "Transferred").await.contains(&scene.name("new")));

    // The claim is worth something: the new object can delete.
    scene.delete("new").await;
    scene.gone("new").await;
    assert_eq!(scene.total(acme).await, 0, "rows are left");
    operator.stop().await;
}

async fn forty_objects_deleted_at_once_are_all_erased(world: Arc<World>) {
    const MANY: u32 = 40;
    let scene = Scene::new(world, Variant::Platform).await;
    let survivor = scene.key(1000);
    scene.seed(&survivor).await;
    let keys: Vec<String> = (1..=MANY).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    let others = scene.others(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let operator = scene.start().await;
    let orgs: Vec<Org> = keys.iter().zip(1..).map(|(k, n)| org(&scene, &format!("o{n}"), k)).collect();
    scene.ok(&["apply", "-f", &commit(&scene, 1, &orgs)]).await;
    let selector = format!("--field-selector=spec.database={}", scene.class);
    scene
        .ok(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "organizations",
            "-l",
            &format!("test={}", scene.class),
        ])
        .await;

    // kubectl waits until all are gone.
    scene.ok(&["delete", "organizations", &selector, "--timeout=60s"]).await;
    assert_eq!(scene.others(&[]).await, others, "only the rows of the survivor are left, as they were");
    let ledger = scene.ledger().await;
    assert!(ledger.iter().all(|row| row.outcome == "Erased" && row.verified), "{ledger:?}");
    let erased: HashSet<&str> = ledger.iter().map(|row| row.organization_key.as_str()).collect();
    assert_eq!((ledger.len(), erased.len()), (40, 40), "each once");
    operator.stop().await;
}

async fn f22_an_object_created_again_under_the_same_name_is_another_one(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&org(&scene, "acme", &acme)).await;
    let first = scene.ready("acme").await.0.metadata.uid.expect("a uid");
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;

    // The tenant signs up again, and the ledger knows this name and this id already.
    scene.seed(&acme).await;
    let rows = scene.rows(&acme).await;
    scene.apply(&org(&scene, "acme", &acme)).await;
    let second = scene.ready("acme").await.0.metadata.uid.expect("a uid");
    assert_ne!(first, second);
    assert_eq!(scene.rows(&acme).await, rows, "the new tenant's rows are untouched");
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.total(&acme).await, 0, "the second deletion was taken for the first, which is done");
    let ends: Vec<_> = scene.ledger().await.into_iter().map(|row| (row.outcome, row.object_uid)).collect();
    assert_eq!(ends, [("Erased".to_owned(), first), ("Erased".to_owned(), second)]);
    operator.stop().await;
}

async fn f22_an_object_created_again_is_not_touched_by_the_old_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let proxy = scene.api_proxy().await;
    let operator = scene.operator().through(&scene, &proxy).start().await;
    scene.apply(&org(&scene, "acme", &acme)).await;
    let first = scene.ready("acme").await.0.metadata.uid.expect("a uid");

    // The operator erases, and stands still before the Event, which it writes before it lets the object go. Meanwhile
    // somebody strips the finalizer, and Git brings the object back for a tenant that signed up again. The release that
    // follows is meant for the old object and reaches the new one.
    proxy.count_only(|what| what.starts_with("POST ") && what.ends_with("/events"));
    let (reached, proceed) = (Arc::new(tokio::sync::Notify::new()), std::sync::mpsc::channel::<()>());
    let (seen, blocked) = (reached.clone(), std::sync::Mutex::new(proceed.1));
    proxy.arm(testbed::proxy::Fault { ordinal: 1, moment: testbed::proxy::Moment::Before }, move || {
        seen.notify_one();
        // An error: the test is over.
        let _over = blocked.lock().expect("a lock").recv();
    });
    scene.delete("acme").await;
    tokio::time::timeout(Duration::from_secs(30), reached.notified()).await.expect("the operator announces the end");
    assert_eq!(scene.total(&acme).await, 0, "erased");
    let strip = r#"{"metadata":{"finalizers":null}}"#;
    scene.ok(&["patch", "organization", &scene.name("acme"), "--type=merge", "-p", strip]).await;
    scene.gone("acme").await;
    scene.seed(&acme).await;
    let rows = scene.rows(&acme).await;
    scene.apply(&org(&scene, "acme", &acme).with_finalizer()).await;
    let second = scene.uid("acme").await;
    assert_ne!(first, second);

    proceed.0.send(()).expect("the hook waits");
    let seen = scene.ready("acme").await;
    assert_eq!(seen.0.metadata.uid.as_deref(), Some(second.as_str()));
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    assert!(seen.0.metadata.finalizers.iter().flatten().any(|f| f == "organization-operator.io/cascade"));
    assert!(seen.deletion().is_none(), "status of the old object: {}", seen.yaml());
    assert_eq!(scene.rows(&acme).await, rows, "the old deletion went on with the new tenant");
    assert_eq!(scene.owner(&acme).await, Some(second));
    assert_eq!(scene.ledger().await.len(), 1);
    // Its release did reach the new object, and was refused because of the uid.
    let audit = scene.world.control_plane().audit_events().expect("the audit log");
    let refused = audit.iter().any(|e| {
        e.user == OPERATOR
            && e.verb == "patch"
            && e.subresource.is_empty()
            && e.name == scene.name("acme")
            && e.code == 422
    });
    assert!(refused, "the test did not happen as planned: {:?}", scene.operator_writes("acme"));
    operator.stop().await;
}

async fn a_manifest_added_again_with_retain_stops_the_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    let globex = org(&scene, "globex", &globex);
    sync(&scene, &commit(&scene, 1, &[org(&scene, "acme", &acme).window(3600), globex.clone()])).await;
    let first = scene.ready("acme").await.0.metadata.uid.expect("a uid");
    sync(&scene, &commit(&scene, 2, std::slice::from_ref(&globex))).await;
    scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    assert!(!scene.active(&acme).await);

    // Reverted in Git, with Retain. The engine syncs again and again.
    let directory = commit(&scene, 3, &[org(&scene, "acme", &acme).policy("Retain"), globex]);
    sync(&scene, &directory).await;
    eventually("the old object is gone", || async {
        (scene.get("acme").await.and_then(|s| s.0.metadata.uid).as_ref() != Some(&first)).then_some(())
    })
    .await;
    sync(&scene, &directory).await;
    let seen = scene.ready("acme").await;
    assert!(seen.0.metadata.deletion_timestamp.is_none(), "{}", seen.yaml());
    assert_eq!(seen.reason("Ready"), "Reconciled", "{}", seen.yaml());
    assert_eq!(scene.rows(&acme).await, rows, "all rows are there");
    assert!(scene.active(&acme).await, "the activation is restored");
    assert_eq!(scene.owner(&acme).await, seen.0.metadata.uid);
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), &ledger[0].object_uid), ("Retained", &first));
    operator.stop().await;
}

async fn f27_apply_with_force_never_replaces_the_object(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    scene.apply(&org(&scene, "acme", &acme)).await;
    let uid = scene.ready("acme").await.0.metadata.uid;
    scene.admission("acme").await;
    for (wrong, edited) in [
        ("organizationId", org(&scene, "acme", &scene.key(2))),
        ("database", org(&scene, "acme", &acme).spec("database", json!("another"))),
    ] {
        let file = scene.file(&format!("wrong-{wrong}.yaml"), &edited.yaml());
        let text = scene.refused(&["apply", "--force", "-f", &file]).await;
        assert!(text.contains("Forbidden") && text.contains(&format!("spec.{wrong} must not change")), "{text}");
        let seen = scene.get("acme").await.expect("the object");
        assert_eq!(seen.0.metadata.uid, uid, "{wrong}: deleted and re-created");
        assert!(seen.0.metadata.deletion_timestamp.is_none(), "{wrong}: being deleted");
    }
    assert_eq!(scene.rows(&acme).await, rows, "rows are missing");
    assert_eq!(scene.ledger().await, []);
    operator.stop().await;
}
