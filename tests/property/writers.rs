//! Somebody else writes right before a statement of a deletion: each statement in turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use organization_operator::cascade::erase::Erasure;
use organization_operator::db::Database;
use organization_operator::domain::Failure;
use planner::{CompiledPlan, ErasePlan, Verdict};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use testbed::proxy::SqlProxy;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::case::Ground;
use crate::support::World;

/// What another session does.
#[derive(Clone, Copy)]
pub enum Writer {
    /// It runs this SQL in one transaction.
    Sql(&'static str),
    /// It erases the organization with this key by the same plan.
    Erases(&'static str),
}

/// How a writer ended: what the database or the engine refused, if it did.
pub type Ended = Result<(), String>;

/// A schema with rows, a plan for it, and the organization to erase.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub sql: &'static str,
    pub plan: &'static str,
    pub key: &'static str,
}

/// One run of the deletion.
pub struct Run {
    /// Before which statement the writer came in, as a text for messages.
    pub place: String,
    /// How the deletion ended.
    pub ended: Result<Erasure, Failure>,
    /// How the writer ended.
    pub writer: Ended,
    /// Whether the writer had to wait for a lock before the deletion went on.
    pub waited: bool,
}

/// A deletion, statement by statement.
pub struct Statements {
    pub ground: Arc<Ground>,
    scenario: Scenario,
    breaks: fn(&mut ErasePlan),
    proxy: SqlProxy,
    behind: Database,
    /// How many there are.
    pub count: u64,
}

impl Statements {
    /// Learns how many statements the deletion has.
    pub async fn of(world: &Arc<World>, scenario: Scenario) -> Self {
        Self::on(Ground::new(world).await, world, scenario, |_| {}).await
    }

    /// The same for a deletion in pages of one block, with a plan that may be broken on purpose.
    pub async fn in_pages(world: &Arc<World>, scenario: Scenario, breaks: fn(&mut ErasePlan)) -> Self {
        Self::on(Ground::in_pages(world).await, world, scenario, breaks).await
    }

    /// The same for a deletion in pages of one captured row.
    pub async fn row_by_row(world: &Arc<World>, scenario: Scenario) -> Self {
        Self::on(Ground::row_by_row(world).await, world, scenario, |_| {}).await
    }

    async fn on(ground: Ground, world: &Arc<World>, scenario: Scenario, breaks: fn(&mut ErasePlan)) -> Self {
        let ground = Arc::new(ground);
        let proxy = SqlProxy::start(world.postgres()).await.expect("a proxy");
        let behind = ground.through(&proxy);
        let compiled = prepare(&ground, scenario, breaks).await;
        // The first connection says things that later ones do not.
        behind.begin().await.expect("a connection").rollback().await.expect("a rollback");
        proxy.record();
        ground.erase_by(&behind, "reference", scenario.key, &compiled).await.expect("erased");
        let count = proxy.count();
        assert!(count > 5, "{count} statements are no deletion");
        Self { ground, scenario, breaks, proxy, behind, count }
    }

    /// Makes the schema anew and erases the organization. The writer comes in right before the statement with this number,
    /// counted from 1, and goes on until it has ended or waits for a lock. Returns when both have ended.
    pub async fn run(&self, ordinal: u64, writer: Writer) -> Run {
        let compiled = Arc::new(prepare(&self.ground, self.scenario, self.breaks).await);
        let place = Arc::new(Mutex::new(String::new()));
        let started: Arc<Mutex<Option<Started>>> = Arc::default();
        let seen = AtomicU64::new(0);
        let hook = {
            let (ground, place, started, compiled) =
                (self.ground.clone(), place.clone(), started.clone(), compiled.clone());
            move |sql: &str| {
                if seen.fetch_add(1, Ordering::SeqCst) + 1 == ordinal {
                    *place.lock().expect("a place") = format!("before statement {ordinal}, {sql}");
                    let running =
                        tokio::task::block_in_place(|| Handle::current().block_on(start(&ground, writer, &compiled)));
                    *started.lock().expect("a writer") = Some(running);
                }
                true
            }
        };
        self.proxy.count_only(hook);
        self.proxy.record();
        let uid = format!("{} {ordinal}", fastrand::u64(..));
        let ended = self.ground.erase_by(&self.behind, &uid, self.scenario.key, &compiled).await;
        self.proxy.count_only(|_| true);
        let running = started.lock().expect("a writer").take();
        let Started { running, waited } = running.expect("the statement came up");
        let writer = running.await.expect("it does not panic");
        let place = place.lock().expect("a place").clone();
        Run { place, ended, writer, waited }
    }
}

async fn prepare(ground: &Ground, scenario: Scenario, breaks: fn(&mut ErasePlan)) -> CompiledPlan {
    // A deletion in pages that was refused keeps its claim.
    let records = "DELETE FROM organization_operator.claims; DELETE FROM organization_operator.erasures";
    ground.execute(&format!("DROP SCHEMA public CASCADE; CREATE SCHEMA public; {records}")).await;
    let mut compiled = ground.prepare(scenario.sql, scenario.plan).await.expect("compiled");
    if let Verdict::Ready(erase) = &mut compiled.verdict {
        breaks(erase);
    }
    compiled
}

/// A writer that has ended or waits for a lock.
struct Started {
    running: JoinHandle<Ended>,
    waited: bool,
}

/// Starts the writer, and returns when it has ended or waits for a lock.
async fn start(ground: &Arc<Ground>, writer: Writer, compiled: &Arc<CompiledPlan>) -> Started {
    let running = match writer {
        Writer::Sql(sql) => {
            let mut session = ground.connect().await;
            tokio::spawn(async move {
                let sql = format!("BEGIN; {sql}; COMMIT");
                let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session).await;
                session.close().await.ok();
                done.map(drop).map_err(|e| e.to_string())
            })
        }
        Writer::Erases(key) => {
            let (ground, compiled) = (ground.clone(), compiled.clone());
            let uid = format!("other {}", fastrand::u64(..));
            tokio::spawn(async move {
                let ended = ground.erase_by(ground.database(), &uid, key, &compiled).await;
                ended.map(drop).map_err(|e| e.to_string())
            })
        }
    };
    let mut watching = ground.connect().await;
    let mut waited = false;
    while !waited && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
        waited = waits(&mut watching).await;
    }
    watching.close().await.ok();
    Started { running, waited }
}

/// The deletion itself is between two statements, so nobody else can wait.
async fn waits(connection: &mut PgConnection) -> bool {
    let waiting =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query(waiting).fetch_one(connection).await.expect("the activity").get(0)
}
