//! Three servers: one is frozen, and the schema of another does not fit the plan.

use std::process::Command;

use organization_operator::api::status::ObservedState;
use testbed::PostgresOptions;

use super::{Arc, World, eventually, json, list, metric, ready};
use crate::support::{Scene, Variant};

crate::tests![one_that_is_frozen_or_has_a_broken_plan_hinders_no_other, a_replica_takes_over_all_of_them];

/// Stops all processes of a server, or lets them go on: to everyone else the machine hangs.
struct Frozen(Vec<String>);

impl Frozen {
    fn new(scene: &Scene) -> Self {
        let server = scene.world.postgres().with_server(testbed::ProcessGuard::pid).expect("a server of our own");
        let send = |processes: &[String]| signal("-STOP", processes);
        // The postmaster first: it starts no further ones then.
        let mut processes = vec![server.to_string()];
        send(&processes);
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).expect("its children");
        processes.extend(children.split_whitespace().map(str::to_owned));
        send(&processes);
        Self(processes)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

/// A process that has ended meanwhile is no failure.
fn signal(signal: &str, processes: &[String]) {
    let sent = Command::new("kill").arg(signal).args(processes).output().expect("kill runs");
    assert!(sent.status.success() || processes.len() > 1, "{sent:?}");
}

async fn one_that_is_frozen_or_has_a_broken_plan_hinders_no_other(world: Arc<World>) {
    let apart = Arc::new(world.apart().await);
    let own = || async { Arc::new(apart.with_postgres(PostgresOptions::default()).await) };
    let (second, third) = tokio::join!(own(), own());
    let eu = Scene::new(apart.clone(), Variant::Platform).await;
    let us = Scene::new(second, Variant::Platform).await;
    let asia = Scene::new(third, Variant::Platform).await;
    // The same tenants in each: what is erased in one database is another organization in the next.
    let [acme, globex, initech] = [1, 2, 3].map(|n| eu.key(n));
    for scene in [&eu, &us, &asia] {
        for key in [&acme, &globex, &initech] {
            scene.seed(key).await;
        }
    }
    asia.sql("ALTER TABLE task_outputs RENAME TO outputs").await;
    let operator = eu
        .operator()
        .databases(list([&eu, &us, &asia]))
        .configure("database.connectTimeoutSeconds", json!(2))
        .configure("database.statementTimeoutSeconds", json!(5))
        .configure("reconcileTimeoutSeconds", json!(10))
        .start()
        .await;
    for scene in [&eu, &us, &asia] {
        for (name, key) in [("acme", &acme), ("globex", &globex)] {
            scene.apply(&scene.org(name, key).policy("Delete")).await;
        }
    }
    for scene in [&eu, &us] {
        scene.ready("acme").await;
        scene.ready("globex").await;
        ready(&operator, scene, 200, "ok").await;
    }

    // The plan does not fit one of them: that concerns its objects alone.
    asia.until("acme", "no plan", |s| s.reason("DeletionReady") == "SchemaMismatch").await;
    ready(&operator, &asia, 503, "the plan cannot be used").await;
    metric(&operator, "database_up", &asia, 1).await;
    let (code, text) = operator.fetch("/readyz").await.expect("an answer");
    assert_eq!(code, 200, "{text}");
    assert!(
        text.contains(&format!("{}: ok", eu.class)) && text.contains(&format!("{}: the plan", asia.class)),
        "{text}"
    );

    let us_before = us.others(&[]).await;
    let frozen = Frozen::new(&us);
    us.delete("acme").await;
    us.until("acme", "the server does not answer", |s| s.reason("DeletionBlocked") == "DatabaseUnavailable").await;
    ready(&operator, &us, 503, "the database cannot be used").await;
    metric(&operator, "database_up", &us, 0).await;
    asia.delete("acme").await;
    asia.until("acme", "no plan", |s| s.reason("DeletionBlocked") == "SchemaMismatch").await;

    // The first one is served as ever, also by its poller.
    let others = eu.others(&[&acme]).await;
    eu.delete("acme").await;
    eu.gone("acme").await;
    assert_eq!((eu.total(&acme).await, eu.ledger().await.len()), (0, 1));
    assert_eq!(eu.others(&[&acme]).await, others, "other tenants changed");
    eu.set_active(&globex, false).await;
    eu.until("globex", "the poller saw it", |s| s.status().state == Some(ObservedState::Deactivated)).await;
    eu.apply(&eu.org("initech", &initech)).await;
    eu.ready("initech").await;
    metric(&operator, "database_up", &eu, 1).await;
    assert_eq!(operator.fetch("/readyz").await.map(|(code, _)| code), Some(200));

    // Nothing was lost: the others go on by themselves.
    drop(frozen);
    us.gone("acme").await;
    assert_eq!((us.total(&acme).await, us.ledger().await.len()), (0, 1));
    assert_ne!(us.others(&[]).await, us_before);
    assert_eq!(us.total(&globex).await, eu.total(&globex).await);
    asia.sql("ALTER TABLE outputs RENAME TO task_outputs").await;
    asia.gone("acme").await;
    ready(&operator, &asia, 200, "ok").await;
    assert_eq!((asia.total(&acme).await, asia.ledger().await.len()), (0, 1));
    for scene in [&eu, &us, &asia] {
        assert!(scene.total(&globex).await > 0, "a tenant that nobody deleted");
        let claim = scene.ledger().await.remove(0);
        assert_eq!((claim.organization_key.as_str(), claim.object_name), (acme.as_str(), scene.name("acme")));
    }
    // Log lines say which database they are about.
    let about = format!(r#""database":"{}""#, asia.class);
    let log = operator.log();
    assert!(log.lines().any(|l| l.contains("task_outputs") && l.contains(&about)), "{log}");

    // A server that does not answer does not keep the process from ending.
    let frozen = Frozen::new(&us);
    us.delete("globex").await;
    us.until("globex", "the server does not answer", |s| s.reason("DeletionBlocked") == "DatabaseUnavailable").await;
    operator.stop().await;
    drop(frozen);
    assert!(us.total(&globex).await > 0);
}

async fn a_replica_takes_over_all_of_them(world: Arc<World>) {
    let apart = Arc::new(world.apart().await);
    crate::replicas::pair::grant(&apart).await;
    let (eu, us) = (Scene::new(apart.clone(), Variant::Platform).await, Scene::new(apart, Variant::Platform).await);
    let acme = eu.key(1);
    for scene in [&eu, &us] {
        scene.seed(&acme).await;
    }
    let launch = |name| {
        let times = crate::replicas::pair::times();
        eu.operator().databases(list([&eu, &us])).replica(name, crate::replicas::pair::NAMESPACE, &times)
    };
    let first = launch("first").start().await;
    eventually("the first leads", || async { first.leads().await.then_some(()) }).await;
    let second = launch("second").start().await;
    for scene in [&eu, &us] {
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;
        ready(&second, scene, 200, "ok").await;
    }
    assert!(!second.leads().await, "one leads");
    first.signal(testbed::Signal::Kill);
    for scene in [&eu, &us] {
        scene.delete("acme").await;
        scene.gone("acme").await;
        assert_eq!((scene.total(&acme).await, scene.ledger().await.len()), (0, 1));
    }
    assert!(second.leads().await);
    second.stop().await;
}
