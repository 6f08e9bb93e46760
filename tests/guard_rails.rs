//! "The day when something else went wrong": a repository that was emptied, requests from a restored backup, and an object that
//! somebody suspended. Nothing is erased, each object says why, and how to go on.

mod breaker;
mod handed_over;
mod stale;
mod suspended;

use std::sync::Arc;

use serde_json::json;

use crate::support::{Operator, Scene, Seen, Test, Variant, World};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [breaker::tests(), handed_over::tests(), stale::tests(), suspended::tests()].concat()
}

/// What waits for a person: who that is, and what it says.
fn held(reason: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.is("DeletionBlocked", "True") && seen.reason("DeletionBlocked") == reason
}

/// Confirms a deletion as the remedy says: its first command, word by word.
async fn confirm(scene: &Scene, name: &str) {
    let error = scene.get(name).await.and_then(|seen| seen.error()).expect("an error");
    let remedy = error.remedy.expect("a remedy");
    let command = remedy.split_once(": ").and_then(|(_, rest)| rest.split_once(';')).map(|(command, _)| command);
    let words: Vec<&str> = command.expect("a command").split(' ').collect();
    assert_eq!(words[0], "kubectl", "{remedy}");
    scene.ok(&words[1..]).await;
}

/// Many tenants with an object each, all ready. Returns their keys.
async fn tenants(scene: &Scene, names: &[String], policy: &str) -> Vec<String> {
    let keys: Vec<String> = (1..).take(names.len()).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    apply_all(scene, names, &keys, policy).await;
    keys
}

async fn apply_all(scene: &Scene, names: &[String], keys: &[String], policy: &str) {
    let objects = names.iter().zip(keys).map(|(name, key)| scene.org(name, key).policy(policy).yaml());
    let file = scene.file("all.yaml", &objects.collect::<Vec<_>>().join("---\n"));
    scene.ok(&["apply", "-f", &file]).await;
    for name in names {
        scene.ready(name).await;
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// Deletes all at once, as an engine does that prunes.
async fn delete_all(scene: &Scene, names: &[String]) {
    let full: Vec<String> = names.iter().map(|name| scene.name(name)).collect();
    let mut arguments = vec!["delete", "organization", "--wait=false"];
    arguments.extend(full.iter().map(String::as_str));
    scene.ok(&arguments).await;
}

/// How often the operator has failed for this reason since it started.
async fn failures(operator: &Operator, reason: &str) -> u64 {
    let line = format!("organization_operator_failures_total{{reason=\"{reason}\"}} ");
    operator.metrics().await.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

/// The value of a metric, as it is shown.
async fn metric(operator: &Operator, name: &str) -> Option<String> {
    let start = format!("organization_operator_{name} ");
    operator.metrics().await.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

/// An operator whose breaker trips at more than so many deletions.
async fn start(scene: &Scene, deletions: u32, handover: u32) -> Operator {
    let breaker = json!({"deletions": deletions, "minutes": 10});
    scene.operator().configure("breaker", breaker).configure("handoverSeconds", json!(handover)).start().await
}

/// A scene whose rows are those of the platform.
async fn platform(world: Arc<World>) -> Scene {
    Scene::new(world, Variant::Platform).await
}
