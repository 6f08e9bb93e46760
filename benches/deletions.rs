//! How many small organizations one operator deletes in a second. It prints; it does not judge.
//!
//! `make bench`, or `cargo bench --bench deletions -- [NUMBER]`. etcd, kube-apiserver, PostgreSQL (with fsync) and the
//! operator share this machine.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, unused_imports, reason = "the support of the tests offers more than a benchmark needs")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use organization_operator::api::{FINALIZER, Organization};
use serde_json::json;
use support::{Scene, Variant, World};

const NUMBER: u32 = 300;

fn main() {
    let number = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(NUMBER);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = Arc::new(runtime.block_on(World::alone()));
    for (variant, handover) in [(Variant::Platform, 0), (Variant::Platform, 10), (Variant::Ordinary, 0)] {
        runtime.block_on(measure(world.clone(), variant, number, handover));
    }
    runtime.block_on(ceiling(world.clone(), number));
    drop(world);
}

async fn measure(world: Arc<World>, variant: Variant, number: u32, handover: u64) {
    let scene = Scene::new(world, variant).await;
    for n in 1..=number {
        scene.seed(&scene.key(n)).await;
    }
    // As shipped but for the wait for a successor: only the plan's schema differs from a file without a single line.
    let launch = scene.operator().shipped_defaults().configure("handoverSeconds", json!(handover));
    let operator = launch.start().await;

    let began = Instant::now();
    let api = scene.api();
    let mut creations = tokio::task::JoinSet::new();
    for n in 1..=number {
        let org = scene.org(&format!("bench-{n}"), &scene.key(n)).policy("Delete");
        let object: Organization = serde_yaml::from_str(&org.yaml()).expect("an object");
        let api = api.clone();
        creations.spawn(async move { api.create(&PostParams::default(), &object).await.expect("created") });
    }
    creations.join_all().await;
    let selector = ListParams::default().fields(&format!("spec.database={}", scene.class));
    loop {
        let objects = api.list(&selector).await.expect("listed").items;
        if objects.iter().all(|o| support::Seen(o.clone()).is("Ready", "True")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = began.elapsed();
    let deletion = delete_all(&scene).await;
    let ledger = scene.ledger().await;
    assert_eq!(
        ledger.iter().filter(|r| r.outcome == "Erased").count(),
        number as usize,
        "the ledger has every erasure"
    );
    let writes: usize = (1..=number).map(|n| scene.operator_writes(&format!("bench-{n}")).len()).sum();
    println!(
        "{:<10} {number} objects: ready after {ready:.2?} ({:.0}/s); {}; {:.1} API writes of the operator an object, creation included",
        variant.name(),
        f64::from(number) / ready.as_secs_f64(),
        deletion.told(number, Duration::from_secs(handover)),
        f64::from(u32::try_from(writes).expect("few writes")) / f64::from(number),
    );
    println!("           {}", deletion.spent);
    operator.stop().await;
}

/// What this machine's API server can do at most: nobody reads anything, no database is asked, and a watcher answers each
/// deletion with the three writes that a truthful one needs (Event, status, release).
async fn ceiling(world: Arc<World>, number: u32) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.seed(&scene.key(1)).await;
    let operator = scene.operator().shipped_defaults().start().await;
    let first = scene.org("bench-1", &scene.key(1));
    scene.apply(&first).await;
    scene.until("bench-1", "ready", |o| o.is("Ready", "True")).await;
    let api = scene.api();
    let status = serde_json::to_value(api.get(&first.name()).await.expect("read").status).expect("a status");
    scene.ok(&["delete", "organization", &first.name()]).await;
    operator.stop().await;

    for n in 1..=number {
        let org = scene.org(&format!("bench-{n}"), &scene.key(n)).policy("Delete");
        let mut object: Organization = serde_yaml::from_str(&org.yaml()).expect("an object");
        object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        api.create(&PostParams::default(), &object).await.expect("created");
        write_status(&api, &org.name(), &status).await;
    }
    let config = kube::runtime::watcher::Config::default().fields(&format!("spec.database={}", scene.class));
    let watched = kube::runtime::watcher(api.clone(), config);
    let answering = tokio::spawn(async move {
        let mut watched = std::pin::pin!(watched);
        while let Some(event) = watched.next().await {
            let Ok(kube::runtime::watcher::Event::Apply(object)) = event else { continue };
            if object.metadata.deletion_timestamp.is_some() && object.status.iter().any(|s| s.state.is_some()) {
                tokio::spawn(answer(api.clone(), object.name_any(), status.clone()));
            }
        }
    });
    let deletion = delete_all(&scene).await;
    answering.abort();
    println!(
        "{:<10} {number} objects, three writes each and nothing else: {}",
        "ceiling",
        deletion.told(number, Duration::ZERO)
    );
    println!("           {}", deletion.spent);
}

/// The status loses its state, so that its own write is not answered again.
async fn answer(api: Api<Organization>, name: String, mut status: serde_json::Value) {
    let event: kube::core::DynamicObject = serde_json::from_value(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
        "type": "Normal", "reason": "Erased", "action": "Delete", "note": "Erased.",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "benchmark", "reportingInstance": "benchmark",
        "regarding": {"apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization", "name": name},
    }))
    .expect("an Event");
    let resource = kube::core::ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&());
    let events: Api<kube::core::DynamicObject> = Api::namespaced_with(api.clone().into_client(), "default", &resource);
    events.create(&PostParams::default(), &event).await.expect("announced");
    status.as_object_mut().expect("an object").remove("state");
    write_status(&api, &name, &status).await;
    let release = json!([{"op": "remove", "path": "/metadata/finalizers"}]);
    let release = Patch::Json::<()>(serde_json::from_value(release).expect("a patch"));
    api.patch(&name, &PatchParams::default(), &release).await.expect("released");
}

async fn write_status(api: &Api<Organization>, name: &str, status: &serde_json::Value) {
    let body = json!({"apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization", "metadata": {"name": name}, "status": status});
    let params = PatchParams::apply("benchmark").force();
    api.patch_status(name, &params, &Patch::Apply(body)).await.expect("written");
}

/// One collection delete, until nothing is left.
struct Deletion {
    accepted: Duration,
    gone: Duration,
    spent: String,
}

impl Deletion {
    /// The rate is that of the time after the wait for a successor, which all deletions of a burst share.
    fn told(&self, number: u32, wait: Duration) -> String {
        let rate = f64::from(number) / self.gone.saturating_sub(wait).as_secs_f64();
        let waited =
            if wait.is_zero() { String::new() } else { format!(", {wait:.0?} of them a wait for a successor") };
        format!("deletion accepted after {:.2?}, all gone after {:.2?}{waited} ({rate:.0}/s)", self.accepted, self.gone)
    }
}

async fn delete_all(scene: &Scene) -> Deletion {
    let api = scene.api();
    let selector = ListParams::default().fields(&format!("spec.database={}", scene.class)).limit(1);
    let raw =
        format!("/apis/organization-operator.io/v1alpha1/organizations?fieldSelector=spec.database%3D{}", scene.class);
    let before = cpu_seconds();
    let began = Instant::now();
    scene.ok(&["delete", "--raw", &raw]).await;
    let accepted = began.elapsed();
    // Each request lists one object: the measurement must not be the load.
    while !api.list_metadata(&selector).await.expect("listed").items.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gone = began.elapsed();
    let spent = cpu_seconds();
    let spent = spent.iter().map(|(name, s)| (name, s - before.get(name).unwrap_or(&0.0))).filter(|(_, s)| *s >= 0.1);
    let spent: Vec<String> = spent.map(|(name, s)| format!("{name} {s:.1} s")).collect();
    Deletion { accepted, gone, spent: format!("processor time: {}", spent.join(", ")) }
}

/// Processor time so far by program, in seconds (proc(5): fields 14 to 17 of `stat`, in hundredths of a second).
fn cpu_seconds() -> BTreeMap<String, f64> {
    let mut spent = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, fields)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        if ["kube-apiserver", "etcd", "postgres", "organization-op", "deletions", "kubectl"]
            .iter()
            .any(|n| name.starts_with(n))
        {
            let ticks: u32 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u32>().ok()).sum();
            *spent.entry(name.to_owned()).or_default() += f64::from(ticks) / 100.0;
        }
    }
    spent
}
