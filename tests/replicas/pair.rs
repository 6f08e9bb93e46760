//! Two operators for the same objects and the same database, each behind proxies of its own.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use testbed::proxy::{ApiProxy, SqlProxy};
use tokio::sync::OnceCell;

use crate::support::{Launch, OPERATOR, Operator, Scene, Variant, World, eventually};

/// The namespace of the Leases of all these tests. The roles of `deploy/` allow one name only.
pub const NAMESPACE: &str = "replicas";
/// How long the others wait for the leader.
pub const LEASE: Duration = Duration::from_secs(9);

/// `leaderElection` of these tests: short, and long enough for a machine that runs eight tests at once.
pub fn times() -> Value {
    json!({"leaseSeconds": LEASE.as_secs(), "renewSeconds": 6, "retrySeconds": 1})
}

/// Allows the operator to write Leases in the namespace of these tests.
pub async fn allow(world: &World) {
    static ALLOWED: OnceCell<()> = OnceCell::const_new();
    ALLOWED.get_or_init(|| grant(world)).await;
}

/// The same in a control plane that only one test uses.
pub async fn grant(world: &World) {
    world.ok(&["create", "namespace", NAMESPACE]).await;
    let verbs = "--verb=get,create,update";
    let role = ["create", "role", "leases", "-n", NAMESPACE, verbs, "--resource=leases.coordination.k8s.io"];
    world.ok(&role).await;
    let user = format!("--user={OPERATOR}");
    world.ok(&["create", "rolebinding", "leases", "-n", NAMESPACE, "--role=leases", &user]).await;
}

/// One operator behind proxies.
pub struct Replica {
    name: &'static str,
    pub operator: Arc<Operator>,
    pub sql: SqlProxy,
    pub api: ApiProxy,
}

impl Replica {
    /// Starts it and waits until it is ready.
    pub async fn start(scene: &Scene, name: &'static str, configured: impl Fn(Launch) -> Launch) -> Self {
        let (sql, api) = (scene.sql_proxy().await, scene.api_proxy().await);
        let operator = Arc::new(Self::launch(scene, name, &sql, &api, configured).start().await);
        Self { name, operator, sql, api }
    }

    fn launch(
        scene: &Scene,
        name: &'static str,
        sql: &SqlProxy,
        api: &ApiProxy,
        configured: impl Fn(Launch) -> Launch,
    ) -> Launch {
        let launch = scene
            .operator()
            .replica(name, NAMESPACE, &times())
            // A leader that is frozen keeps the tenant's rows locked until the server ends its session.
            .configure("database.lockTimeoutSeconds", json!(18))
            .url(&scene.url_through(sql))
            .through(scene, api);
        configured(launch)
    }

    /// Starts it again, as the kubelet does.
    pub async fn restart(&mut self, scene: &Scene) {
        let launch = Self::launch(scene, self.name, &self.sql, &self.api, |launch| launch);
        self.operator = Arc::new(launch.start().await);
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        eventually(&format!("{} leads", self.name), || async { self.operator.leads().await.then_some(()) }).await;
    }
}

/// Two operators, of which the first leads, and two tenants with an object each.
pub struct Pair {
    pub scene: Arc<Scene>,
    pub first: Replica,
    pub second: Replica,
    acme: String,
    uid: String,
    others: String,
}

impl Pair {
    pub async fn start(world: Arc<World>) -> Self {
        Self::start_with(world, Variant::Platform, |launch| launch).await
    }

    pub async fn start_with(world: Arc<World>, variant: Variant, configured: impl Fn(Launch) -> Launch) -> Self {
        allow(&world).await;
        let scene = Arc::new(Scene::new(world, variant).await);
        let [acme, globex] = [1, 2].map(|n| scene.key(n));
        scene.seed(&acme).await;
        scene.seed(&globex).await;
        let first = Replica::start(&scene, "first", &configured).await;
        first.leads().await;
        let second = Replica::start(&scene, "second", &configured).await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.apply(&scene.org("globex", &globex).policy("Delete")).await;
        scene.ready("acme").await;
        scene.ready("globex").await;
        let (uid, others) = (scene.uid("acme").await, scene.others(&[&acme]).await);
        assert!(!second.operator.leads().await, "one leads");
        Self { scene, first, second, acme, uid, others }
    }

    /// Asks for the deletion of one tenant.
    pub async fn delete(&self) {
        self.scene.delete("acme").await;
    }

    /// The tenant is gone, one ledger row and one Event say so, and the other tenant is as it was.
    pub async fn erased_once(&self) {
        let scene = &self.scene;
        scene.gone("acme").await;
        assert_eq!(scene.total(&self.acme).await, 0);
        assert_eq!(scene.others(&[&self.acme]).await, self.others, "other tenants changed");
        let ledger = scene.ledger().await;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!((ledger[0].outcome.as_str(), ledger[0].organizations_deleted), ("Erased", 1), "{ledger:?}");
        assert_eq!(ledger[0].object_uid, self.uid);
        let reasons: Vec<String> = scene.events("acme").await.into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons.iter().filter(|reason| *reason == "Erased").count(), 1, "{reasons:?}");
        assert!(scene.get("globex").await.expect("the other object").is("Ready", "True"));
    }

    /// Which processes said that the tenant is erased.
    pub async fn announced_by(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.scene.world.client.clone(), "default");
        let name = self.scene.name("acme");
        let about = events.list(&ListParams::default().fields(&format!("regarding.name={name}"))).await;
        let erased = about.expect("events").items.into_iter().filter(|e| e.reason.as_deref() == Some("Erased"));
        erased.filter_map(|e| e.reporting_instance).collect()
    }

    /// The Lease of this pair.
    pub async fn lease(&self) -> Lease {
        let leases: Api<Lease> = Api::namespaced(self.scene.world.client.clone(), NAMESPACE);
        leases.get(&format!("organization-operator-{}", self.scene.class)).await.expect("the Lease")
    }

    /// Waits until the Lease has been renewed this often.
    pub async fn renewals(&self, times: u32) {
        let mut last = self.lease().await;
        for _ in 0..times {
            last = eventually("a renewal", || async {
                let now = self.lease().await;
                (now != last).then_some(now)
            })
            .await;
        }
    }

    /// Stops what still runs.
    pub async fn end(self) {
        for operator in [self.first.operator, self.second.operator] {
            if operator.guard().exit().is_none() {
                let exit = operator.guard().stop().await.expect("it can be stopped");
                assert!(exit.success(), "{exit}: {}", operator.guard().log_tail(20));
            }
        }
    }
}
