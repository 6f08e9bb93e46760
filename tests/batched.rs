//! "A large tenant goes in pages, and whatever happens meanwhile, I am told exactly what is gone and what is left."
//!
//! The tests hold a row in the middle of a deletion: the pages before it are committed, and its own cannot be.

mod before;
mod interrupted;
mod kill;
mod places;
mod resumed;
mod slow;
mod stories;
mod suspended;

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::support::{Launch, Operator, Scene, Seen, Test, Variant, World, eventually};
use crate::tests;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [
        stories::tests(),
        before::tests(),
        interrupted::tests(),
        kill::tests(),
        places::tests(),
        resumed::tests(),
        slow::tests(),
        suspended::tests(),
    ]
    .concat()
}

/// Rows that pages delete before they come to the held row, of a tenant that [`seed`] makes: its outputs.
const BEFORE: i64 = 1000;

/// An operator for which a tenant of a thousand rows is large.
fn launch(scene: &Scene) -> Launch {
    scene.operator().configure("cascade", json!({"batch": {"rows": 1000}}))
}

/// A large tenant, its object and its operator.
struct Large {
    scene: Scene,
    acme: String,
    rows: Vec<(String, i64)>,
    others: String,
    operator: Operator,
}

impl Large {
    async fn ready(world: Arc<World>, variant: Variant) -> Self {
        Self::with_window(world, variant, 0).await
    }

    async fn with_window(world: Arc<World>, variant: Variant, seconds: i64) -> Self {
        let scene = self::scene(world, variant).await;
        let launch = launch(&scene);
        Self::launched(scene, launch, seconds).await
    }

    /// With this operator.
    async fn launched(scene: Scene, launch: Launch, seconds: i64) -> Self {
        let acme = scene.key(1);
        scene.seed(&scene.key(99)).await;
        seed(&scene, &acme).await;
        let (rows, others) = (scene.rows(&acme).await, scene.others(&[&acme]).await);
        let operator = launch.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete").window(seconds)).await;
        scene.ready("acme").await;
        Self { scene, acme, rows, others, operator }
    }

    /// Deletes the object, and stops the pages at the statuses. They go on when the session is released.
    async fn held(&self) -> PgConnection {
        let holder = hold(&self.scene, &self.acme).await;
        self.scene.delete("acme").await;
        self.scene.until("acme", "pages before the held row", partly).await;
        holder
    }

    /// The held row is let go of, and until it is gone nobody can delete it.
    async fn release(&self, mut holder: PgConnection) {
        holder.execute("ROLLBACK").await.expect("the lock is released");
    }

    /// Lowers the policy and waits until the operator has stopped.
    async fn lower(&self, policy: &str) -> Seen {
        self.scene.patch("acme", &json!({"deletionPolicy": policy}).to_string()).await;
        self.scene.until("acme", "the interruption", |s| s.reason("DeletionBlocked") == "ErasureInterrupted").await
    }

    /// How many rows of each entity are gone. Nothing of anybody else may be.
    async fn gone(&self) -> Vec<(String, i64)> {
        assert_eq!(self.scene.others(&[&self.acme]).await, self.others, "other tenants changed");
        let left = self.scene.rows(&self.acme).await;
        let gone = self.rows.iter().zip(left).map(|((entity, before), (_, after))| (entity.clone(), before - after));
        gone.filter(|(_, rows)| *rows > 0).collect()
    }

    /// Everything is gone, and the only row of the ledger has the exact numbers.
    async fn erased(&self) {
        self.scene.gone("acme").await;
        assert_eq!(self.gone().await, self.rows, "rows are left");
        let ledger = self.scene.ledger().await;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!((ledger[0].outcome.as_str(), ledger[0].organizations_deleted), ("Erased", 1), "{ledger:?}");
        assert!(ledger[0].verified, "{ledger:?}");
        assert_eq!(numbers(&ledger[0].steps), numbers_of(&self.rows), "{ledger:?}");
        nothing_under_way(&self.scene).await;
        let told = self.scene.event("acme", "Erased").await;
        assert!(told.contains(&format!("{} rows", self.rows.iter().map(|r| r.1).sum::<i64>() - 1)), "{told}");
    }

    async fn stop(self) {
        self.operator.stop().await;
    }
}

/// A database in which the operator may lock the parents of the rows that it deletes.
async fn scene(world: Arc<World>, variant: Variant) -> Scene {
    let scene = Scene::new(world, variant).await;
    scene.sql("GRANT UPDATE (id) ON users, flows, flow_executions TO organization_operator").await;
    scene
}

/// 20 users, 10 flows, 200 executions, and 1000 outputs and statuses each.
async fn seed(scene: &Scene, key: &str) {
    scene.seed_sized(key, 20, 10, 20, 5).await;
}

/// A session that holds the tenant's first status: its outputs go before, and nothing else does.
async fn hold(scene: &Scene, key: &str) -> PgConnection {
    let mut holder = scene.connect().await;
    let lock = format!(
        "BEGIN; SELECT FROM task_statuses WHERE ctid = (SELECT min(ctid) FROM task_statuses WHERE flow_execution_id IN \
         (SELECT id FROM flow_executions WHERE flow_id IN (SELECT id FROM flows WHERE organization_id::text = '{key}'))) \
         FOR UPDATE"
    );
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    holder
}

/// The pages before the held row are gone, and the deletion says so and waits for the lock.
fn partly(seen: &Seen) -> bool {
    let rows = seen.deletion().and_then(|d| d.progress).map(|p| p.rows_deleted);
    rows == Some(BEFORE) && seen.reason("DeletionBlocked") == "LockTimeout"
}

/// Entities and deleted rows, sorted; as many must have been found.
fn numbers(steps: &Value) -> Vec<(String, i64)> {
    let mut numbers: Vec<(String, i64)> = steps
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| {
            assert_eq!(step["found"], step["deleted"], "{step}");
            (step["entity"].as_str().expect("an entity").to_owned(), step["deleted"].as_i64().expect("a number"))
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The same of rows by entity, without the organization's own.
fn numbers_of(rows: &[(String, i64)]) -> Vec<(String, i64)> {
    let mut numbers: Vec<_> = rows.iter().filter(|(entity, _)| entity != "organizations").cloned().collect();
    numbers.sort_unstable();
    numbers
}

/// Nothing of a deletion is left in the operator's own tables but the ledger.
async fn nothing_under_way(scene: &Scene) {
    for table in ["erasures", "claims", "captured_keys", "captured_tids", "deletions"] {
        let rows: i64 = scene.value(&format!("SELECT count(*) FROM organization_operator.{table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
}
