//! "I apply a manifest and wait until it is ready; I patch the state and the organization is switched off and on."

use std::sync::Arc;

use serde_json::json;

use crate::support::{Scene, Variant, World, eventually};
use crate::tests;

tests![
    apply_and_wait_until_it_is_ready,
    get_prints_the_columns,
    patching_the_state_switches_the_organization,
    the_state_is_enforced_when_somebody_changes_the_row,
    without_a_state_the_activation_is_left_alone,
    an_organization_that_comes_later_is_waited_for,
    the_users_column_follows_the_database,
];

/// An active tenant in the platform's schema.
async fn tenant(world: Arc<World>) -> (Scene, String) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    (scene, acme)
}

/// The cells of `kubectl get organization NAME`, by header.
async fn columns(scene: &Scene, name: &str) -> Vec<(String, String)> {
    let printed = scene.ok(&["get", "organization", &scene.name(name)]).await;
    let (header, row) = printed.trim_end().split_once('\n').expect("a header and a row");
    // Cells may be empty, so they are cut where the headers begin.
    let starts: Vec<usize> = header
        .char_indices()
        .filter(|(at, c)| *c != ' ' && (*at == 0 || header.as_bytes()[at - 1] == b' '))
        .map(|(at, _)| at)
        .collect();
    let cell = |text: &str, at: usize, end: Option<&usize>| {
        let end = end.copied().unwrap_or(text.len()).min(text.len());
        text.get(at..end).unwrap_or_default().trim().to_owned()
    };
    starts
        .iter()
        .enumerate()
        .map(|(i, at)| (cell(header, *at, starts.get(i + 1)), cell(row, *at, starts.get(i + 1))))
        .collect()
}

fn cell<'a>(columns: &'a [(String, String)], header: &str) -> &'a str {
    columns.iter().find(|(h, _)| h == header).map_or_else(|| panic!("no {header}: {columns:?}"), |(_, cell)| cell)
}

async fn apply_and_wait_until_it_is_ready(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    scene.ok(&["wait", "--for=condition=Ready", "--timeout=30s", "organization", &scene.name("acme")]).await;

    let seen = scene.get("acme").await.expect("the object");
    let finalizers = seen.0.metadata.finalizers.clone().unwrap_or_default();
    assert_eq!(finalizers, ["organization-operator.io/cascade"]);
    assert_eq!(scene.owner(&acme).await, seen.0.metadata.uid, "the object owns the organization");
    assert!(!seen.has("Reconciling") && !seen.has("Stalled"), "kstatus: {}", seen.yaml());
    assert!(seen.is("DeletionReady", "True"), "{}", seen.yaml());
    assert_eq!(seen.status().observed_generation, seen.0.metadata.generation);
    // All but the organization's own row.
    let rows = scene.total(&acme).await - 1;
    assert_eq!(seen.status().inventory.map(|i| i.total), Some(rows), "rows are counted");
    operator.stop().await;
}

async fn get_prints_the_columns(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    // Nobody serves the object yet: it must not be reported as current.
    scene.apply(&scene.org("acme", &acme).policy("Delete").window(3600)).await;
    let generation =
        scene.ok(&["get", "organization", &scene.name("acme"), "-o", "jsonpath={.status.observedGeneration}"]).await;
    assert_eq!(generation, "-1");

    let operator = scene.start().await;
    scene.ready("acme").await;
    let shown = columns(&scene, "acme").await;
    let headers: Vec<&str> = shown.iter().map(|(h, _)| h.as_str()).collect();
    assert_eq!(headers, ["NAME", "STATE", "POLICY", "USERS", "READY", "REASON", "DELETING", "ERASE", "AGE"]);
    for (header, expected) in [
        ("NAME", scene.name("acme").as_str()),
        ("STATE", "Active"),
        ("POLICY", "Delete"),
        ("USERS", "3"),
        ("READY", "True"),
        ("REASON", "Reconciled"),
        ("DELETING", ""),
        ("ERASE", ""),
    ] {
        assert_eq!(cell(&shown, header), expected, "{header}: {shown:?}");
    }

    scene.delete("acme").await;
    scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    let shown = columns(&scene, "acme").await;
    assert_eq!(cell(&shown, "STATE"), "Deactivated", "{shown:?}");
    assert_eq!(cell(&shown, "READY"), "False", "{shown:?}");
    assert_eq!(cell(&shown, "REASON"), "Deleting", "{shown:?}");
    assert_eq!(cell(&shown, "DELETING"), "RecoveryWindow", "where the deletion stands: {shown:?}");
    assert!(cell(&shown, "ERASE").ends_with('Z'), "when the data will be erased: {shown:?}");

    let wide = scene.ok(&["get", "org", &scene.name("acme"), "-o", "wide"]).await;
    for expected in ["ID", "ROWS", "DATABASE", "DELETIONREADY", "MESSAGE", acme.as_str(), scene.class.as_str()] {
        assert!(wide.contains(expected), "{expected} is missing in:\n{wide}");
    }
    operator.stop().await;
}

async fn patching_the_state_switches_the_organization(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let rows = scene.rows(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    scene.ready("acme").await;

    scene.patch("acme", r#"{"state":"Deactivated"}"#).await;
    let seen = scene.until("acme", "Deactivated", |s| s.is("Ready", "True")).await;
    assert_eq!(seen.reason("Ready"), "Deactivated", "{}", seen.yaml());
    assert_eq!(json!(seen.status().state), json!("Deactivated"));
    assert!(!scene.active(&acme).await, "the row");
    assert!(!scene.event("acme", "Deactivated").await.is_empty());

    scene.patch("acme", r#"{"state":"Active"}"#).await;
    let seen = scene.ready("acme").await;
    assert_eq!(seen.reason("Ready"), "Reconciled", "{}", seen.yaml());
    assert_eq!(json!(seen.status().state), json!("Active"));
    assert!(scene.active(&acme).await, "the row");
    assert!(!scene.event("acme", "Activated").await.is_empty());
    assert_eq!(scene.rows(&acme).await, rows, "activation deletes nothing");
    operator.stop().await;
}

async fn the_state_is_enforced_when_somebody_changes_the_row(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    for (state, active) in [("Deactivated", false), ("Active", true)] {
        scene.apply(&scene.org("acme", &acme).state(state)).await;
        scene.ready("acme").await;
        assert_eq!(scene.active(&acme).await, active);
        scene.set_active(&acme, !active).await;
        eventually("the row is switched back", || async { (scene.active(&acme).await == active).then_some(()) }).await;
        let seen = scene.until("acme", "the state in status", |s| json!(s.status().state) == json!(state)).await;
        assert!(seen.is("Ready", "True"), "{}", seen.yaml());
    }
    operator.stop().await;
}

async fn without_a_state_the_activation_is_left_alone(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    scene.ready("acme").await;
    for (active, state, reason) in [(false, "Deactivated", "Deactivated"), (true, "Active", "Reconciled")] {
        scene.set_active(&acme, active).await;
        // Seen and reported, so the operator had its chance to interfere.
        let seen = scene.until("acme", state, |s| json!(s.status().state) == json!(state)).await;
        assert_eq!(seen.reason("Ready"), reason, "{}", seen.yaml());
        assert!(seen.is("Ready", "True"), "{}", seen.yaml());
        assert_eq!(scene.active(&acme).await, active, "the row was changed");
    }
    let switched: Vec<_> =
        scene.events("acme").await.into_iter().filter(|(r, _)| r == "Activated" || r == "Deactivated").collect();
    assert!(switched.is_empty(), "{switched:?}");
    operator.stop().await;
}

async fn an_organization_that_comes_later_is_waited_for(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").state("Deactivated")).await;
    let seen = scene.until("acme", "waiting", |s| s.reason("Ready") == "OrganizationNotFound").await;
    assert!(seen.is("Ready", "False") && seen.is("Reconciling", "True"), "{}", seen.yaml());
    assert!(!seen.has("Stalled"), "nobody has to act: {}", seen.yaml());
    assert_eq!(json!(seen.status().state), json!("Absent"));
    assert_eq!(seen.error().map(|e| e.code), Some(404));
    assert_eq!(scene.owner(&acme).await, None, "what is not there is not claimed");

    scene.seed(&acme).await;
    let seen = scene.ready("acme").await;
    assert!(seen.error().is_none() && !seen.has("Reconciling"), "{}", seen.yaml());
    assert_eq!(json!(seen.status().state), json!("Deactivated"));
    assert!(!scene.active(&acme).await, "the state that was asked for before");
    operator.stop().await;
}

async fn the_users_column_follows_the_database(world: Arc<World>) {
    let (scene, acme) = tenant(world).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    scene.ready("acme").await;
    assert_eq!(cell(&columns(&scene, "acme").await, "USERS"), "3");
    scene.sql(&format!("INSERT INTO users (organization_id, email) VALUES ('{acme}', 'new@acme.example')")).await;
    eventually("four users", || async { (cell(&columns(&scene, "acme").await, "USERS") == "4").then_some(()) }).await;
    scene.sql(&format!("DELETE FROM users WHERE organization_id = '{acme}' AND email = 'new@acme.example'")).await;
    eventually("three users", || async { (cell(&columns(&scene, "acme").await, "USERS") == "3").then_some(()) }).await;
    operator.stop().await;
}
