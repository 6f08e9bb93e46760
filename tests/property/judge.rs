//! One case: makes the schema, runs the engine, and compares what is left with what should be.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use fastrand::Rng;
use organization_operator::api::Reason;
use organization_operator::domain::completion::CompletionProof;
use organization_operator::domain::{Failure, Subject};
use planner::CompiledPlan;
use planner::plan::Plan;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::broken::Breakage;
use super::case::{Ground, execute};
use super::expected::{Expected, State, difference};
use super::kinds::{Kind, kinds};
use super::plan;
use super::schema::{ROOT, Schema};
use crate::support::subject;

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

/// A case that keeps the property.
#[derive(Clone, Debug)]
pub struct Case {
    /// How the deletion of the first tenant ended.
    pub verdict: Verdict,
    pub kinds: BTreeSet<Kind>,
}

impl Ground {
    /// Runs one case. Err: the property does not hold; the text has all that is needed to see why.
    pub async fn run(
        &self,
        connection: &mut PgConnection,
        seed: u64,
        breakage: Option<Breakage>,
    ) -> Result<Case, String> {
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
            format!("seed {seed}: {what}\n\ntenants {:?}\n\n{yaml}\n{};", schema.tenants, schema.sql())
        };
        plan.validate().map_err(|problems| told(&format!("the test's own plan: {problems:?}")))?;
        execute(connection, &schema.sql()).await.map_err(|e| told(&format!("the test's own schema: {e}")))?;
        let case = self.judge(connection, &schema, &plan, breakage).await;
        execute(connection, &format!("DROP SCHEMA {} CASCADE", schema.name)).await.expect("dropped");
        case.map_err(|violation| told(&violation))
    }

    async fn judge(
        &self,
        connection: &mut PgConnection,
        schema: &Schema,
        plan: &Plan,
        breakage: Option<Breakage>,
    ) -> Result<Case, String> {
        let (mut compiled, why) = match self.compile(plan, breakage).await {
            None => return Ok(Case { verdict: Verdict::NotBroken, kinds: BTreeSet::new() }),
            Some(Ok(compiled)) => (Some(compiled), None),
            Some(Err(failure)) => (None, Some(failure)),
        };
        let kinds = kinds(schema, plan, compiled.as_ref());
        let mut left = schema.clone();
        let mut first = None;
        // What is right for one tenant must be so for the next, after the rows of the first are gone: of every other schema
        // with people, all tenants are deleted.
        let all = kinds.contains(&Kind::SharedPeople) && schema.tenants[0] % 2 == 0;
        loop {
            let verdict = self.delete_first(connection, &left, plan, compiled.as_ref().ok_or(why.as_ref())).await?;
            let first = *first.get_or_insert(verdict);
            if !all || verdict != Verdict::Erased || left.tenants.len() == 1 {
                return Ok(Case { verdict: first, kinds });
            }
            Expected::of(&left, plan).remove(&mut left);
            if compiled.as_ref().is_some_and(drops_partitions) {
                compiled = self.compile(plan, breakage).await.and_then(Result::ok);
            }
        }
    }

    /// Deletes the first tenant.
    async fn delete_first(
        &self,
        connection: &mut PgConnection,
        schema: &Schema,
        plan: &Plan,
        compiled: Result<&CompiledPlan, Option<&Failure>>,
    ) -> Result<Verdict, String> {
        let before = state(connection, schema).await;
        let written_before = written(connection, schema).await;
        let key = schema.tables[ROOT].columns[1].ty.text(schema.tenants[0]);
        let subject = subject(&format!("{} {key}", schema.name), &key);
        let ended = match compiled {
            Ok(compiled) => self.erase(&subject, &key, (compiled, Some(plan))).await?,
            Err(failure) => Err(failure.cloned().expect("a failure")),
        };
        let after = state(connection, schema).await;
        let mut written = written(connection, schema).await;
        written.retain(|seen| !written_before.contains(seen));
        let expected = Expected::of(schema, plan);
        match ended {
            Ok(proof) => {
                expected.left(&before, &after)?;
                expected.written(schema, &written)?;
                expected.counts(schema, &proof)?;
                self.recorded(connection, &subject, &proof).await?;
                Ok(Verdict::Erased)
            }
            Err(failure) => {
                // What pages deleted before stays deleted.
                if self.in_pages.is_some() {
                    expected.partly_left(schema, (&before, &after), &written)?;
                    let gone = before.len() - after.len();
                    self.counted(connection, &subject, i64::try_from(gone).unwrap_or_default()).await?;
                } else if after != before || !written.is_empty() {
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
        let (catalog, role) = self.database.catalog(plan).await.expect("the catalogue");
        breakage.compile(plan.clone(), catalog, &role).map(Ok)
    }

    /// The deletion that goes on says how many rows its pages deleted.
    async fn counted(&self, connection: &mut PgConnection, subject: &Subject, gone: i64) -> Result<(), String> {
        let counted: i64 = sqlx::query(
            "SELECT COALESCE(sum((s->>'deleted')::bigint), 0)::bigint \
             FROM organization_operator.erasures, jsonb_array_elements(deleted) s WHERE object_uid = $1",
        )
        .bind(&subject.uid)
        .fetch_one(connection)
        .await
        .map_err(|e| format!("no pages: {e}"))?
        .get(0);
        if counted == gone { Ok(()) } else { Err(format!("pages deleted {gone} rows and counted {counted}")) }
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

/// Whether a deletion changes the schema.
pub(super) fn drops_partitions(compiled: &CompiledPlan) -> bool {
    compiled.cascade().is_some_and(|cascade| cascade.lock_partitioned.is_some())
}

async fn state(connection: &mut PgConnection, schema: &Schema) -> State {
    let rows = sqlx::query(AssertSqlSafe(schema.state())).persistent(false).fetch_all(connection).await;
    let number = |r: &PgRow| usize::try_from(r.get::<i32, _>(0)).unwrap_or_default();
    rows.expect("the rows").iter().map(|r| ((number(r), r.get(1)), r.get(2))).collect()
}

/// What triggers wrote: the table and the number of each deleted row that they saw.
async fn written(connection: &mut PgConnection, schema: &Schema) -> Vec<(usize, i64)> {
    let Some(sql) = schema.written() else { return Vec::new() };
    let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await.expect("the outbox");
    let number = |r: &PgRow| usize::try_from(r.get::<i32, _>(0)).unwrap_or_default();
    let mut written: Vec<_> = rows.iter().map(|r| (number(r), r.get(1))).collect();
    written.sort_unstable();
    written
}
