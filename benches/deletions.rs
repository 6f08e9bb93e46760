//! How many small organizations one operator deletes in a second. It prints; it does not judge.
//!
//! `make bench`, or `cargo bench --bench deletions -- [NUMBER]`. etcd, kube-apiserver, PostgreSQL (with fsync) and the
//! operator share this machine.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, unused_imports, reason = "the support of the tests offers more than a benchmark needs")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Instant;

use kube::api::PostParams;
use organization_operator::api::Organization;
use support::{Scene, Variant, World};

const NUMBER: u32 = 300;

fn main() {
    let number = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(NUMBER);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = Arc::new(runtime.block_on(World::alone()));
    for variant in [Variant::Platform, Variant::Ordinary] {
        runtime.block_on(measure(world.clone(), variant, number));
    }
    drop(world);
}

async fn measure(world: Arc<World>, variant: Variant, number: u32) {
    let scene = Scene::new(world, variant).await;
    for n in 1..=number {
        scene.seed(&scene.key(n)).await;
    }
    // As shipped: only the plan's schema and the polling differ from a file without a single line.
    let operator = scene.operator().shipped_defaults().start().await;

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
    let selector = kube::api::ListParams::default().fields(&format!("spec.database={}", scene.class));
    loop {
        let objects = api.list(&selector).await.expect("listed").items;
        if objects.iter().all(|o| support::Seen(o.clone()).is("Ready", "True")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let ready = began.elapsed();

    let raw =
        format!("/apis/organization-operator.io/v1alpha1/organizations?fieldSelector=spec.database%3D{}", scene.class);
    let began = Instant::now();
    scene.ok(&["delete", "--raw", &raw]).await;
    let accepted = began.elapsed();
    // One object a look: the measurement must not be the load.
    while !api.list_metadata(&selector.clone().limit(1)).await.expect("listed").items.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let gone = began.elapsed();
    let ledger = scene.ledger().await;
    assert_eq!(
        ledger.iter().filter(|r| r.outcome == "Erased").count(),
        number as usize,
        "the ledger has every erasure"
    );
    let writes: usize = (1..=number).map(|n| scene.operator_writes(&format!("bench-{n}")).len()).sum();
    println!(
        "{:<10} {number} objects: ready after {ready:.2?} ({:.0}/s); deletion accepted after {accepted:.2?}, all gone after {gone:.2?} ({:.0}/s); {:.1} API writes of the operator an object, creation included",
        variant.name(),
        f64::from(number) / ready.as_secs_f64(),
        f64::from(number) / gone.as_secs_f64(),
        f64::from(u32::try_from(writes).expect("few writes")) / f64::from(number),
    );
    operator.stop().await;
}
