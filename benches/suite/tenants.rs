//! Databases with tenants of one size, and fresh copies of them: each measurement begins with the same files.

use std::sync::Arc;

use testbed::quote;

use super::progress;
use crate::support::{PASSWORD, ROLE, Scene, Variant, World, path};

/// A tenant on ordinary foreign keys: flows with executions, each with 5 outputs and 5 statuses, and 10 users for each flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    flows: u32,
    /// Executions of each flow.
    executions: u32,
}

/// Outputs, and statuses, of each execution.
const TASKS: u32 = 5;
const USERS_OF_A_FLOW: u32 = 10;
/// Tenants of this size beside the one that is erased.
const OTHERS: u32 = 2;

impl Size {
    pub const fn new(flows: u32, executions: u32) -> Self {
        Self { flows, executions }
    }

    /// All rows, with that of the organization.
    pub fn rows(self) -> u64 {
        let executions = u64::from(self.flows) * u64::from(self.executions);
        1 + u64::from(self.flows * (1 + USERS_OF_A_FLOW)) + executions * u64::from(1 + 2 * TASKS)
    }

    /// The rows as people say them: `1.1 M`.
    pub fn words(self) -> String {
        words(self.rows())
    }
}

/// A number of rows as people say it.
pub fn words(rows: u64) -> String {
    match rows {
        0..1_000 => rows.to_string(),
        1_000..1_000_000 => format!("{} k", rows / 1_000),
        1_000_000..10_000_000 => format!("{}.{} M", rows / 1_000_000, rows / 100_000 % 10),
        _ => format!("{} M", rows / 1_000_000),
    }
}

/// A database with tenants of one size.
pub struct Tenants {
    world: Arc<World>,
    database: String,
    size: Size,
}

impl Tenants {
    /// Fills a database with tenants: the one that is erased (number 1), and others of its size.
    pub async fn create(world: &Arc<World>, size: Size) -> Self {
        Self::beside(world, size, OTHERS, size).await
    }

    /// A tenant of one size beside others of another.
    pub async fn beside(world: &Arc<World>, size: Size, others: u32, of: Size) -> Self {
        let database = format!("tenants_{}_{}", std::process::id(), world.number());
        let postgres = world.postgres();
        postgres.create_database(&database).await.expect("a database");
        for file in Variant::Ordinary.files() {
            let sql = std::fs::read_to_string(path(file)).expect("an example file");
            postgres.run_sql(&database, &sql).await.expect("the example loads");
        }
        postgres.run_sql(&database, &format!("ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")).await.expect("a password");
        let seeds = (1..=others + 1).map(|number| {
            let Size { flows, executions } = if number == 1 { size } else { of };
            let (key, users) = (Variant::Ordinary.key(number), flows * USERS_OF_A_FLOW);
            // The rows refer to each other by construction; checking each would take most of the time.
            let sql = format!(
                "SET session_replication_role = replica; SELECT seed_tenant('{key}', {users}, {flows}, {executions}, {TASKS})"
            );
            let database = database.clone();
            async move { postgres.run_sql(&database, &sql).await.expect("the tenant") }
        });
        let rows = size.rows() + u64::from(others) * of.rows();
        progress().during(&format!("writing {} rows", words(rows)), futures::future::join_all(seeds)).await;
        let statistics = postgres.run_sql(&database, "VACUUM ANALYZE");
        progress().during("VACUUM ANALYZE", statistics).await.expect("statistics");
        Self { world: world.clone(), database, size }
    }

    pub const fn size(&self) -> Size {
        self.size
    }

    /// A scene on a copy of the database, right after a checkpoint.
    pub async fn copy(&self) -> Scene {
        let number = self.world.number();
        let database = format!("copy_{}_{number}", std::process::id());
        // The default copies through the write-ahead log.
        let sql = format!("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", quote(&database), quote(&self.database));
        let copied = async {
            self.world.postgres().run_sql("postgres", &sql).await.expect("a copy");
            self.world.postgres().run_sql("postgres", "CHECKPOINT").await.expect("a checkpoint");
        };
        progress().during(&format!("copying the tenants of {} rows", self.size.words()), copied).await;
        Scene::of(self.world.clone(), Variant::Ordinary, database, format!("b{number}"))
    }

    /// The database itself, for a tenant too large to copy.
    pub fn original(&self) -> Scene {
        let class = format!("b{}", self.world.number());
        Scene::of(self.world.clone(), Variant::Ordinary, self.database.clone(), class)
    }

    /// Removes it.
    pub async fn remove(self) {
        self.world.postgres().drop_database(&self.database).await.expect("removed");
    }
}

/// Removes a copy.
pub async fn discard(scene: Scene) {
    scene.world.postgres().drop_database(&scene.database).await.expect("removed");
}
