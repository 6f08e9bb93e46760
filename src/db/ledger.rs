//! The ledger: one truthful record of how each deletion ended.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::Actor;
use super::bind::{Unreadable, own, time};
use super::error::{During, OrFailure as _};
use crate::api::status::{DeletionStep, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::domain::Failure;
use crate::domain::facts::LedgerEntry;

/// What is recorded beside the actor.
pub(crate) struct Record<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) policy: DeletionPolicy,
    pub(crate) steps: &'a [DeletionStep],
    pub(crate) organizations: i64,
    pub(crate) detail: &'a str,
    pub(crate) plan_digest: &'a str,
    pub(crate) verified: bool,
}

impl<'a> Record<'a> {
    /// A record without deleted rows.
    pub(crate) fn kept(outcome: Outcome, policy: DeletionPolicy, detail: &'a str) -> Self {
        Self { outcome, policy, steps: &[], organizations: 0, detail, plan_digest: "", verified: true }
    }
}

/// Reads an entry from a row; None where the columns are NULL. What cannot be read is an error: as no entry, it would let a
/// deletion that has ended begin anew.
pub(crate) fn read(row: &PgRow) -> Result<Option<LedgerEntry>, sqlx::Error> {
    let Some(word) = row.try_get::<Option<String>, _>("outcome")? else { return Ok(None) };
    let steps: sqlx::types::Json<Vec<DeletionStep>> = row.try_get("steps")?;
    Ok(Some(LedgerEntry {
        outcome: Outcome::parse(&word).ok_or(Unreadable("the outcome of a deletion in the ledger"))?,
        steps: steps.0,
        finished: time(row.try_get("ledger_finished")?)?,
        verified: row.try_get("ledger_verified")?,
    }))
}

/// This object's entry.
pub(crate) async fn find(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Option<LedgerEntry>, Failure> {
    let during = During::action("reading the ledger");
    let row = own("SELECT outcome, steps, \
                   (extract(epoch FROM finished_at) * 1000000)::bigint AS ledger_finished, \
                   verified_at IS NOT NULL AS ledger_verified \
                   FROM organization_operator.ledger WHERE cluster_id = $1 AND object_uid = $2")
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .fetch_optional(connection)
    .await
    .or_failure(during)?;
    Ok(row.as_ref().map(read).transpose().or_failure(during)?.flatten())
}

/// Writes this object's entry. It began with its transaction and ended when it is written: what is waited for in between must
/// not count as time for writers to settle.
pub(crate) async fn write(connection: &mut PgConnection, actor: Actor<'_>, record: &Record<'_>) -> Result<(), Failure> {
    let written = own("INSERT INTO organization_operator.ledger (cluster_id, object_uid, object_name, organization_key, \
         outcome, policy, policy_manager, steps, organizations_deleted, detail, plan_digest, operator_version, \
         finished_at, verified_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp(), CASE WHEN $13 THEN clock_timestamp() END) \
         ON CONFLICT (cluster_id, object_uid) DO NOTHING")
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
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

/// Adds what a sweep after COMMIT deleted, or marks the entry as verified.
pub(crate) async fn amend(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    steps: &[DeletionStep],
    verified: bool,
) -> Result<(), Failure> {
    own("UPDATE organization_operator.ledger SET steps = $3, \
         finished_at = CASE WHEN $4 THEN finished_at ELSE clock_timestamp() END, \
         verified_at = CASE WHEN $4 THEN clock_timestamp() END WHERE cluster_id = $1 AND object_uid = $2")
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .bind(sqlx::types::Json(steps))
    .bind(verified)
    .execute(connection)
    .await
    .or_failure(During::action("writing the ledger"))?;
    Ok(())
}
