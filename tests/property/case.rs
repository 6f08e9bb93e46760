//! The database in which the cases run, and what the tests of single schemas do there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::shrink::{Begun, Shrunk};
use organization_operator::cascade::verify::Verification;
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::domain::completion::CompletionProof;
use organization_operator::domain::{Failure, Subject};
use organization_operator::pace::{Next, PageSize};
use organization_operator::store::Actor;
use planner::CompiledPlan;
use planner::plan::Plan;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use testbed::Kept;
use testbed::proxy::SqlProxy;

use super::judge::drops_partitions;
use crate::support::{World, subject};

pub(super) const CLUSTER: &str = "property";

/// Pages of one block, or of five rows.
pub(super) const SMALLEST: PageSize =
    PageSize { takes: Duration::from_millis(100), blocks: 1, rows: 5, sparse: i64::MAX };

/// Pages of one captured row, where an index finds the organization's rows of the walked table.
pub(super) const ROW_BY_ROW: PageSize = PageSize { sparse: 0, ..SMALLEST };

pub(super) const SETTINGS: Settings = Settings {
    max_connections: 4,
    connect_timeout: Duration::from_secs(20),
    lock_timeout: Duration::from_secs(20),
    statement_timeout: Duration::from_secs(30),
};

/// The database in which the cases run, each in a schema of its own.
pub struct Ground {
    world: Arc<World>,
    name: String,
    queries: Kept,
    pub(super) database: Database,
    pub(super) number: AtomicU32,
    /// Organizations are deleted in such pages, each in a slice of its own, before the last transaction.
    pub(super) in_pages: Option<PageSize>,
    /// Rows that pages deleted.
    pub(super) paged: AtomicI64,
}

impl Ground {
    pub async fn new(world: &Arc<World>) -> Self {
        Self::behind(world, world.postgres().port()).await
    }

    /// The operator connects through this port.
    pub async fn behind(world: &Arc<World>, port: u16) -> Self {
        let name = format!("property_{}_{}", std::process::id(), world.number());
        world.postgres().create_database(&name).await.expect("a database");
        let own = world.postgres().port();
        let url = if port == own {
            world.postgres().admin_url(&name)
        } else {
            world.postgres().admin_url_through(port, &name)
        };
        let database = open(UrlSource::Text(url));
        database.migrate(true).await.expect("the operator's own schema");
        Self {
            world: world.clone(),
            name,
            queries: Kept::default(),
            database,
            number: AtomicU32::new(0),
            in_pages: None,
            paged: AtomicI64::new(0),
        }
    }

    /// The same, where organizations are deleted in pages of one block.
    pub async fn in_pages(world: &Arc<World>) -> Self {
        Self { in_pages: Some(SMALLEST), ..Self::new(world).await }
    }

    /// The same, in pages of one captured row where an index finds it.
    pub async fn row_by_row(world: &Arc<World>) -> Self {
        Self { in_pages: Some(ROW_BY_ROW), ..Self::new(world).await }
    }

    /// Where the database is, as the engine connects to it.
    pub fn url(&self) -> String {
        self.world.postgres().admin_url(&self.name)
    }

    /// A proxy in front of the server.
    pub async fn proxy(&self) -> SqlProxy {
        SqlProxy::start(self.world.postgres()).await.expect("a proxy")
    }

    /// The second count over another connection.
    pub async fn verify_through(
        &self,
        database: &Database,
        key: &str,
        compiled: &CompiledPlan,
    ) -> Result<Verification, Failure> {
        database.verify(CLUSTER, &subject(key, key), key, compiled).await
    }

    /// The same database behind a proxy.
    pub fn through(&self, proxy: &SqlProxy) -> Database {
        let postgres = self.world.postgres();
        let url = postgres.admin_url(&self.name);
        let behind = url.replacen(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.port()), 1);
        assert_ne!(url, behind, "the URL has the port");
        open(UrlSource::Text(behind))
    }

    /// The same database for a role of its own; `:role` in the grants is this role.
    pub async fn as_role(&self, grants: &str) -> Database {
        let role = format!("{}_role", self.name);
        let sql = format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'password'; GRANT USAGE ON SCHEMA organization_operator TO {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA organization_operator TO {role}; {}",
            grants.replace(":role", &role)
        );
        self.execute(&sql).await;
        Database::new(UrlSource::Text(self.world.postgres().url(&role, "password", &self.name)), SETTINGS)
            .expect("a URL")
    }

    /// The database as the engine sees it.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Erases one organization for the object with this uid.
    pub async fn erase_by(
        &self,
        database: &Database,
        uid: &str,
        key: &str,
        compiled: &CompiledPlan,
    ) -> Result<Erasure, Failure> {
        let subject = subject(uid, key);
        let actor = Actor { cluster: CLUSTER, subject: &subject, key };
        if let Some(page) = self.in_pages
            && !self.shrink(database, actor, compiled, page).await?
        {
            return Ok(Erasure::PlanOutdated);
        }
        database.erase(actor, compiled, std::future::ready(Ok(true))).await
    }

    /// Deletes all pages, each in a slice of its own: whatever one slice knows, the next has to find in the database. Returns
    /// false if the plan is outdated.
    async fn shrink(
        &self,
        database: &Database,
        actor: Actor<'_>,
        compiled: &CompiledPlan,
        page: PageSize,
    ) -> Result<bool, Failure> {
        let estimate = database.size_of(actor.key, compiled, 5).await?;
        match database.begin_shrinking(actor, None, compiled, estimate).await? {
            Begun::Ready => {}
            Begun::Recorded => return Ok(true),
            Begun::PlanOutdated => return Ok(false),
        }
        loop {
            match database.shrink(actor, compiled, || page, |_, _| Next::Stop).await? {
                // What was estimated before the first page stays.
                Shrunk::More(progress) => assert!(progress.pages == 1 && progress.estimated >= estimate),
                Shrunk::Done(progress) => {
                    self.paged.fetch_add(progress.rows, Ordering::Relaxed);
                    return Ok(true);
                }
                Shrunk::PlanOutdated => return Ok(false),
            }
        }
    }

    pub async fn connect(&self) -> PgConnection {
        self.world.postgres().connect(&self.name).await.expect("a connection")
    }

    /// Makes tables with rows, and erases one organization of them by a plan.
    pub async fn erased(&self, sql: &str, plan: &str, key: &str) -> Result<CompletionProof, Failure> {
        let compiled = self.prepare(sql, plan).await?;
        self.cascade(&compiled, key).await
    }

    /// Makes tables with rows, and compiles a plan for them.
    pub async fn prepare(&self, sql: &str, plan: &str) -> Result<CompiledPlan, Failure> {
        self.execute(sql).await;
        let plan: Plan = serde_yaml::from_str(plan).expect("a plan");
        plan.validate().expect("a valid plan");
        Ok(self.database.compile(&plan).await?)
    }

    /// Erases one organization.
    pub async fn cascade(&self, compiled: &CompiledPlan, key: &str) -> Result<CompletionProof, Failure> {
        self.erase(&subject(key, key), key, (compiled, None)).await.expect("an end")
    }

    /// Erases one organization; right before the first delete something else happens.
    pub async fn cascade_while(
        &self,
        compiled: &CompiledPlan,
        key: &str,
        happens: impl Future<Output = ()>,
    ) -> Result<Erasure, Failure> {
        let subject = subject(key, key);
        let wanted = async {
            happens.await;
            Ok(true)
        };
        self.database.erase(Actor { cluster: CLUSTER, subject: &subject, key }, compiled, wanted).await
    }

    /// Erases what no foreign key protects, and stops before the second count. Returns the plan for it.
    pub async fn unverified(&self, sql: &str, plan: &str, key: &str) -> CompiledPlan {
        let compiled = self.prepare(sql, plan).await.expect("compiled");
        let subject = subject(key, key);
        let erased = self
            .database
            .erase(Actor { cluster: CLUSTER, subject: &subject, key }, &compiled, std::future::ready(Ok(true)))
            .await;
        assert!(matches!(erased, Ok(Erasure::Unverified { .. })), "{erased:?}");
        compiled
    }

    /// What would block a deletion, as a live object is told.
    pub async fn quick_check(&self, compiled: &CompiledPlan, key: &str) -> Result<Option<Failure>, Failure> {
        self.database.quick_check(key, compiled).await
    }

    /// The second count.
    pub async fn verify(&self, compiled: &CompiledPlan, key: &str) -> Result<Verification, Failure> {
        self.database.verify(CLUSTER, &subject(key, key), key, compiled).await
    }

    /// Runs SQL.
    pub async fn execute(&self, sql: &str) {
        execute(&mut self.connect().await, sql).await.expect(sql);
    }

    /// A single value.
    pub async fn number(&self, sql: &str) -> i64 {
        self.row(sql).await.get(0)
    }

    /// A single text.
    pub async fn text(&self, sql: &str) -> String {
        self.row(sql).await.get(0)
    }

    /// The plan is not kept: tests change tables in between.
    async fn row(&self, sql: &str) -> PgRow {
        let mut queries = self.queries.get(self.world.postgres(), &self.name).await.expect("a connection");
        sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).fetch_one(&mut *queries).await.expect("a row")
    }

    /// Erases, and counts again until nothing is found.
    pub(super) async fn erase(
        &self,
        subject: &Subject,
        key: &str,
        (compiled, plan): (&CompiledPlan, Option<&Plan>),
    ) -> Result<Result<CompletionProof, Failure>, String> {
        let again;
        match self.erase_by(&self.database, &subject.uid, key, compiled).await {
            Ok(Erasure::Completed(proof)) => Ok(Ok(proof)),
            Ok(Erasure::Unverified { .. }) => {
                let compiled = match plan {
                    Some(plan) if drops_partitions(compiled) => {
                        again = self.database.compile(plan).await.expect("compiled");
                        &again
                    }
                    _ => compiled,
                };
                match self.database.verify(CLUSTER, subject, key, compiled).await {
                    Ok(Verification::Completed(proof)) => Ok(Ok(proof)),
                    other => Err(format!("nobody writes, and yet the second count is no end: {other:?}")),
                }
            }
            Ok(Erasure::Unwanted) => Err("it was wanted".to_owned()),
            Ok(Erasure::PlanOutdated) => Err("nobody changed the schema, and yet the plan is outdated".to_owned()),
            Err(failure) => Ok(Err(failure)),
        }
    }
}

/// A database as the engine opens it in the cases.
pub fn open(source: UrlSource) -> Database {
    Database::new(source, SETTINGS).expect("a URL")
}

/// Deletes all pages in one slice, then erases.
pub async fn erase_in_pages(
    database: &Database,
    uid: &str,
    key: &str,
    compiled: &CompiledPlan,
) -> Result<Erasure, Failure> {
    let subject = subject(uid, key);
    let actor = Actor { cluster: CLUSTER, subject: &subject, key };
    database.begin_shrinking(actor, None, compiled, 0).await?;
    database.shrink(actor, compiled, || SMALLEST, |_, _| Next::Continue).await?;
    database.erase(actor, compiled, std::future::ready(Ok(true))).await
}

pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_| ())
}
