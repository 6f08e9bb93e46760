//! One case: makes the schema, runs the engine, and compares what is left with what should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use organization_operator::api::{DeletionPolicy, Reason};
use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::verify::Verification;
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::domain::completion::CompletionProof;
use organization_operator::domain::{Failure, Subject};
use organization_operator::store::Actor;
use planner::compile::compile;
use planner::plan::Plan;
use planner::{Cascade, CompiledPlan, ErasePlan};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use testbed::proxy::SqlProxy;

use super::expected::{Expected, State, difference};
use super::plan;
use super::schema::{ROOT, Schema};
use crate::support::World;

const CLUSTER: &str = "property";

const SETTINGS: Settings = Settings {
    max_connections: 4,
    connect_timeout: Duration::from_secs(20),
    lock_timeout: Duration::from_secs(20),
    statement_timeout: Duration::from_secs(30),
};

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// A composite key is matched by one of its columns.
    HalfOfAKey,
    /// Keys of parents that go first are captured, and not found by the statements that need them.
    NoCapture,
    /// The predicate on the tenant is always true.
    NoTenant,
}

/// How a case ended that keeps the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Erased,
    Refused(Reason),
    /// There was nothing to break.
    NotBroken,
}

impl PartialOrd for Verdict {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Verdict {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        format!("{self:?}").cmp(&format!("{other:?}"))
    }
}

/// The database in which the cases run, each in a schema of its own.
pub struct Ground {
    world: Arc<World>,
    name: String,
    database: Database,
    number: AtomicU32,
}

impl Ground {
    pub async fn new(world: &Arc<World>) -> Self {
        let name = format!("property_{}_{}", std::process::id(), world.number());
        world.postgres().create_database(&name).await.expect("a database");
        let database = Database::new(UrlSource::Text(world.postgres().admin_url(&name)), SETTINGS).expect("a URL");
        database.migrate(true).await.expect("the operator's own schema");
        Self { world: world.clone(), name, database, number: AtomicU32::new(0) }
    }

    /// The same database behind a proxy.
    pub fn through(&self, proxy: &SqlProxy) -> Database {
        let postgres = self.world.postgres();
        let url = postgres.admin_url(&self.name);
        let behind = url.replacen(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.port()), 1);
        assert_ne!(url, behind, "the URL has the port");
        Database::new(UrlSource::Text(behind), SETTINGS).expect("a URL")
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
        database.erase(actor, compiled, std::future::ready(Ok(true))).await
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
        self.erase(&subject(key, key), key, compiled).await.expect("an end")
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
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.connect().await).await;
        row.expect("a row").get(0)
    }

    /// A single text.
    pub async fn text(&self, sql: &str) -> String {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.connect().await).await;
        row.expect("a row").get(0)
    }

    /// Runs one case. Err: the property does not hold; the text has all that is needed to see why.
    pub async fn run(
        &self,
        connection: &mut PgConnection,
        seed: u64,
        breakage: Option<Breakage>,
    ) -> Result<Verdict, String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::with_seed(seed);
        // A plan has at least one step; not every schema has a table for it.
        let (schema, plan) = loop {
            let schema = Schema::random(format!("s{number}"), i64::from(number), &mut rng);
            let plan = plan::random(&schema, &mut rng);
            if !plan.steps.is_empty() {
                break (schema, plan);
            }
        };
        let told = |what: &str| {
            let yaml = serde_yaml::to_string(&plan).unwrap_or_default();
            format!("seed {seed}: {what}\n\ntenant {}\n\n{yaml}\n{};", schema.tenants[0], schema.sql())
        };
        plan.validate().map_err(|problems| told(&format!("the test's own plan: {problems:?}")))?;
        execute(connection, &schema.sql()).await.map_err(|e| told(&format!("the test's own schema: {e}")))?;
        let verdict = self.judge(connection, &schema, &plan, breakage).await;
        execute(connection, &format!("DROP SCHEMA {} CASCADE", schema.name)).await.expect("dropped");
        verdict.map_err(|violation| told(&violation))
    }

    async fn judge(
        &self,
        connection: &mut PgConnection,
        schema: &Schema,
        plan: &Plan,
        breakage: Option<Breakage>,
    ) -> Result<Verdict, String> {
        let before = state(connection, schema).await;
        let key = schema.tables[ROOT].columns[1].ty.text(schema.tenants[0]);
        let subject = subject(&schema.name, &key);
        let ended = match self.compile(plan, breakage).await {
            None => return Ok(Verdict::NotBroken),
            Some(Ok(compiled)) => self.erase(&subject, &key, &compiled).await?,
            Some(Err(failure)) => Err(failure),
        };
        let after = state(connection, schema).await;
        let expected = Expected::of(schema, plan);
        match ended {
            Ok(proof) => {
                expected.left(&before, &after)?;
                expected.counts(schema, &proof)?;
                self.recorded(connection, &subject, &proof).await?;
                Ok(Verdict::Erased)
            }
            Err(failure) => {
                if after != before {
                    return Err(format!("it failed and yet changed rows: {failure}: {}", difference(&before, &after)));
                }
                if failure.reason == Reason::InternalError || failure.message().is_empty() {
                    return Err(format!("it does not say why: {failure:?}"));
                }
                expected.justifies(schema, &failure)?;
                Ok(Verdict::Refused(failure.reason))
            }
        }
    }

    /// Compiles the plan, or something broken. Returns `None` if this schema has nothing of the kind.
    async fn compile(&self, plan: &Plan, breakage: Option<Breakage>) -> Option<Result<CompiledPlan, Failure>> {
        let Some(breakage) = breakage else { return Some(self.database.compile(plan).await.map_err(Failure::from)) };
        let (mut catalog, role) = self.database.catalog(plan).await.expect("the catalogue");
        let mut plan = plan.clone();
        match breakage {
            Breakage::HalfOfAKey => {
                let step = plan.steps.iter_mut().find(|s| s.columns.len() > 1)?;
                // The half that the other tenants have as well.
                let half =
                    step.columns.iter().find(|(_, parent)| *parent == "n").map(|(c, p)| (c.clone(), p.clone()))?;
                step.columns.retain(|c, _| *c == half.0);
                for table in &mut catalog.tables {
                    table.unique_keys.push(vec![half.1.clone()]);
                }
                let mut compiled = compile(&plan, &catalog, &role).ok()?;
                // The count of parents that are still there would refuse it.
                ready(&mut compiled)?.parents_left = None;
                Some(Ok(compiled))
            }
            Breakage::NoCapture => {
                let mut compiled = compile(&plan, &catalog, &role).ok()?;
                let erase = ready(&mut compiled)?;
                // It would ask for as many answers as there are keys, and get none.
                erase.parents_back.clear();
                let Cascade { captures, deletes, .. } = &mut **erase;
                let captured = captures.iter_mut().flat_map(|c| &mut c.columns);
                // What a delete returns would make up for it.
                let returned = deletes.iter_mut().flat_map(|d| &mut d.returns).flat_map(|r| &mut r.columns);
                // No statement asks for keys of this name.
                let lost = captured.chain(returned).map(|column| column.push_str(", lost")).count();
                (lost > 0).then_some(Ok(compiled))
            }
            Breakage::NoTenant => {
                let whole = compile(&plan, &catalog, &role).ok()?;
                for table in &mut catalog.tables {
                    let key = if table.id == whole.root.id { "id" } else { "org" };
                    for column in table.columns.iter_mut().filter(|c| c.name == key) {
                        column.type_name.push_str(" IS NOT NULL");
                    }
                }
                let mut broken = compile(&plan, &catalog, &role).ok()?;
                // The organizations themselves are deleted one by one.
                ready(&mut broken)?.delete_organization = whole.erase().ok()?.delete_organization.clone();
                Some(Ok(CompiledPlan { root: whole.root, ..broken }))
            }
        }
    }

    /// Erases, and counts again until nothing is found.
    async fn erase(
        &self,
        subject: &Subject,
        key: &str,
        compiled: &CompiledPlan,
    ) -> Result<Result<CompletionProof, Failure>, String> {
        let actor = Actor { cluster: CLUSTER, subject, key };
        match self.database.erase(actor, compiled, std::future::ready(Ok(true))).await {
            Ok(Erasure::Completed(proof)) => Ok(Ok(proof)),
            Ok(Erasure::Unverified { .. }) => match self.database.verify(CLUSTER, subject, key, compiled).await {
                Ok(Verification::Completed(proof)) => Ok(Ok(proof)),
                other => Err(format!("nobody writes, and yet the second count is no end: {other:?}")),
            },
            Ok(Erasure::Unwanted) => Err("it was wanted".to_owned()),
            Ok(Erasure::PlanOutdated) => Err("nobody changed the schema, and yet the plan is outdated".to_owned()),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// The ledger says what the proof says.
    async fn recorded(
        &self,
        connection: &mut PgConnection,
        subject: &Subject,
        proof: &CompletionProof,
    ) -> Result<(), String> {
        let row = sqlx::query(
            "SELECT outcome, organizations_deleted, steps, verified_at IS NOT NULL FROM organization_operator.ledger \
             WHERE object_uid = $1",
        )
        .bind(&subject.uid)
        .fetch_one(connection)
        .await
        .map_err(|e| format!("no row in the ledger: {e}"))?;
        let steps = serde_json::to_value(proof.steps()).expect("JSON");
        let found: (String, i64, serde_json::Value, bool) =
            (row.get(0), row.get(1), row.get::<sqlx::types::Json<_>, _>(2).0, row.get(3));
        let wanted = ("Erased".to_owned(), 1, steps, true);
        if found == wanted { Ok(()) } else { Err(format!("the ledger says {found:?}, the proof {wanted:?}")) }
    }
}

/// What a plan without faults runs.
fn ready(compiled: &mut CompiledPlan) -> Option<&mut ErasePlan> {
    match &mut compiled.verdict {
        planner::Verdict::Ready(erase) => Some(erase),
        planner::Verdict::Blocked { .. } => None,
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_| ())
}

async fn state(connection: &mut PgConnection, schema: &Schema) -> State {
    let parts: Vec<String> = (0..schema.tables.len())
        .map(|t| format!("SELECT {t}, t.uid, t::text FROM {} t", schema.table_name(t)))
        .collect();
    let rows = sqlx::query(AssertSqlSafe(parts.join(" UNION ALL "))).persistent(false).fetch_all(connection).await;
    rows.expect("the rows")
        .iter()
        .map(|r| ((usize::try_from(r.get::<i32, _>(0)).unwrap_or_default(), r.get(1)), r.get(2)))
        .collect()
}

fn subject(name: &str, key: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        uid: name.to_owned(),
        generation: 1,
        organization_id: key.to_owned(),
        policy: DeletionPolicy::Delete,
        raise_suspected: false,
        policy_manager: None,
        state: None,
        recovery_window_seconds: 0,
        expiration: None,
        terminating_since: None,
        has_finalizer: true,
        stage: None,
        force_setting: None,
        claimed: None,
    }
}
