//! The ledger: one truthful record of how each deletion ended.

use k8s_openapi::jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::Actor;
use super::erasures::Pages;
use crate::api::status::{DeletionStep, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::statement::{own, time};
use crate::domain::completion::CompletionProof;
use crate::domain::facts::LedgerEntry;
use crate::domain::written::WrittenTable;
use crate::domain::{Effect, Failure};

const OF_OBJECT: &str = "SELECT outcome, steps, finished_at, verified_at IS NOT NULL AS verified, detail
FROM organization_operator.ledger
WHERE cluster_id = $1 AND object_uid = $2";

/// An entry starts with its transaction, or with the first of its pages, and finishes when it is written: the waits of the
/// transaction in between must not count as drain time. The entry of an interrupted erasure that may go on is replaced by the
/// one of its end.
const INSERT: &str = "INSERT INTO organization_operator.ledger
    (cluster_id, object_uid, object_name, organization_key, outcome, policy, policy_manager, steps,
    organizations_deleted, detail, plan_digest, operator_version, finished_at, verified_at, written, started_at,
    requested_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp(), CASE WHEN $13 THEN clock_timestamp() END,
    $14, COALESCE($15, now()), $16)
ON CONFLICT (cluster_id, object_uid) DO UPDATE
SET outcome = EXCLUDED.outcome, policy = EXCLUDED.policy, policy_manager = EXCLUDED.policy_manager,
    steps = EXCLUDED.steps, organizations_deleted = EXCLUDED.organizations_deleted, detail = EXCLUDED.detail,
    plan_digest = EXCLUDED.plan_digest, operator_version = EXCLUDED.operator_version,
    finished_at = EXCLUDED.finished_at, verified_at = EXCLUDED.verified_at, written = EXCLUDED.written,
    started_at = EXCLUDED.started_at, requested_at = EXCLUDED.requested_at
WHERE ledger.outcome = 'Interrupted' AND ledger.verified_at IS NULL";

/// What was written is added to what the entry says. If one of the two is not known, their sum is not.
const AMEND: &str = "UPDATE organization_operator.ledger
SET written = CASE WHEN written || $5 IS NOT NULL THEN COALESCE((
        SELECT jsonb_agg(to_jsonb(s) ORDER BY s.table)
        FROM (
            SELECT w.table, sum(w.inserted) AS inserted, sum(w.updated) AS updated, sum(w.deleted) AS deleted
            FROM jsonb_to_recordset(written || $5) w(\"table\" text, inserted bigint, updated bigint, deleted bigint)
            GROUP BY w.table
        ) s), '[]') END,
    steps = $3, finished_at = CASE WHEN $4 THEN finished_at ELSE clock_timestamp() END,
    verified_at = CASE WHEN $4 THEN clock_timestamp() END
WHERE cluster_id = $1 AND object_uid = $2";

/// What is recorded beside the actor.
pub(crate) struct Record<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) policy: DeletionPolicy,
    pub(crate) steps: &'a [DeletionStep],
    pub(crate) organizations: i64,
    pub(crate) detail: &'a str,
    pub(crate) plan_digest: &'a str,
    pub(crate) verified: bool,
    /// `None` if nothing was deleted, or if the server does not count.
    pub(crate) written: Option<&'a [WrittenTable]>,
    /// When the first page began. `None` if there were no pages.
    pub(crate) started: Option<Timestamp>,
}

impl<'a> Record<'a> {
    /// A record without deleted rows.
    pub(crate) fn kept(outcome: Outcome, policy: DeletionPolicy, detail: &'a str) -> Self {
        Self {
            outcome,
            policy,
            steps: &[],
            organizations: 0,
            detail,
            plan_digest: "",
            verified: true,
            written: None,
            started: None,
        }
    }

    /// The same after what pages did, if there were any.
    pub(crate) fn after(self, pages: Option<&'a Pages>) -> Self {
        let Some(pages) = pages else { return self };
        Self {
            steps: &pages.under_way.deleted,
            started: Some(pages.under_way.started),
            plan_digest: &pages.plan_digest,
            written: pages.written.as_deref(),
            ..self
        }
    }
}

/// Reads an entry from a row. Returns `None` if the columns are NULL. An entry that cannot be read is an error: taken as
/// missing, it would let a completed deletion begin again.
pub(super) fn entry_in(row: &PgRow) -> Result<Option<LedgerEntry>, sqlx::Error> {
    let Some(outcome) = row.try_get::<Option<&str>, _>("outcome")? else { return Ok(None) };
    let steps: sqlx::types::Json<Vec<DeletionStep>> = row.try_get("steps")?;
    let outcome = outcome.parse().map_err(|_| Unreadable("the outcome of a deletion in the ledger"))?;
    // Other details are whole sentences.
    let explained = matches!(outcome, Outcome::Retained | Outcome::Interrupted);
    Ok(Some(LedgerEntry {
        outcome,
        steps: steps.0,
        finished: time(row, "finished_at")?.ok_or(Unreadable("a time"))?,
        verified: row.try_get("verified")?,
        detail: row.try_get::<Option<String>, _>("detail")?.filter(|_| explained),
    }))
}

/// The entry of an object. Returns `None` if its deletion has neither ended nor been interrupted.
pub(crate) async fn entry_of(
    connection: &mut PgConnection,
    cluster: &str,
    uid: &str,
) -> Result<Option<LedgerEntry>, Failure> {
    let row = own(OF_OBJECT).bind(cluster).bind(uid).fetch_optional(connection).await;
    row.and_then(|row| row.map_or(Ok(None), |row| entry_in(&row))).or_failure(During::action("reading the ledger"))
}

/// The proof that this object's deletion is completed. Returns `None` if it has not ended.
pub(crate) async fn completion_of(
    connection: &mut PgConnection,
    actor: Actor<'_>,
) -> Result<Option<CompletionProof>, Failure> {
    let entry = entry_of(connection, actor.cluster, &actor.subject.uid).await?;
    entry.filter(|entry| !entry.may_go_on()).as_ref().map(completed).transpose()
}

/// The proof in an entry. An erasure that still has to be verified has none.
pub(crate) fn completed(entry: &LedgerEntry) -> Result<CompletionProof, Failure> {
    CompletionProof::recorded(entry)
        .ok_or_else(|| Failure::new(Reason::ContentChanged, "the deletion is not completed").effect(Effect::Erased))
}

/// Writes this object's entry.
pub(crate) async fn write(connection: &mut PgConnection, actor: Actor<'_>, record: &Record<'_>) -> Result<(), Failure> {
    let written = actor
        .own(INSERT)
        .bind(&actor.subject.name)
        .bind(actor.key)
        .bind(record.outcome.as_str())
        .bind(record.policy.as_str())
        .bind(&actor.subject.policy_manager)
        .bind(sqlx::types::Json(record.steps))
        .bind(record.organizations)
        .bind(record.detail)
        .bind(record.plan_digest)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(record.verified)
        .bind(record.written.map(sqlx::types::Json))
        .bind(record.started.map(jiff_sqlx::Timestamp::from))
        .bind(actor.subject.terminating_since.map(jiff_sqlx::Timestamp::from))
        .execute(connection)
        .await
        .or_failure(During::action("writing the ledger"))?;
    if written.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Failure::new(
            Reason::SerializationFailure,
            "another process recorded the end of this deletion at the same time; nothing was done twice",
        ))
    }
}

/// Adds what a second count deleted, or marks the entry as verified.
pub(crate) async fn amend(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    steps: &[DeletionStep],
    written: Option<&[WrittenTable]>,
    verified: bool,
) -> Result<(), Failure> {
    actor
        .own(AMEND)
        .bind(sqlx::types::Json(steps))
        .bind(verified)
        .bind(written.map(sqlx::types::Json))
        .execute(connection)
        .await
        .or_failure(During::action("writing the ledger"))?;
    Ok(())
}
