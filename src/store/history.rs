//! What the ledger says about the deletions of one object's name, or of one organization.

use k8s_openapi::jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::api::status::DeletionStep;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::statement::{own, time};
use crate::db::transaction::rollback;
use crate::domain::Failure;

/// An organization keeps its key when its object gets another name, so the rows of its other objects belong to its history.
const ROWS: &str = "WITH keys AS (
    SELECT $1::text AS organization_key WHERE $1::text IS NOT NULL
    UNION
    SELECT c.organization_key FROM organization_operator.claims c WHERE c.object_name = $2
    UNION
    SELECT l.organization_key FROM organization_operator.ledger l WHERE l.object_name = $2
)
SELECT l.cluster_id, l.object_name, l.object_uid, l.organization_key, l.outcome, l.policy, l.policy_manager, l.steps,
    l.organizations_deleted, l.detail, l.operator_version, l.started_at, l.finished_at, l.verified_at
FROM organization_operator.ledger l
WHERE l.organization_key IN (SELECT k.organization_key FROM keys k)
ORDER BY l.finished_at, l.id";

const EXISTS: &str = "SELECT to_regclass('organization_operator.ledger') IS NOT NULL";

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDeletion {
    /// The cluster of the object.
    pub cluster: String,
    /// The object's name.
    pub object_name: String,
    /// Its uid.
    pub object_uid: String,
    /// The organization's key.
    pub organization_key: String,
    /// How the deletion ended.
    pub outcome: String,
    /// The policy in effect.
    pub policy: String,
    /// The field manager that set the policy.
    pub policy_manager: Option<String>,
    /// The entities, in the order of deletion.
    pub steps: Vec<DeletionStep>,
    /// Rows of the organizations' own table.
    pub organizations: i64,
    /// What the row says beside its outcome, in words.
    pub detail: Option<String>,
    /// The version of the operator.
    pub operator_version: String,
    /// When the deletion began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// When the last count found nothing. `None` while that is still to come, or while an interrupted erasure can go on.
    pub verified: Option<Timestamp>,
}

impl Database {
    /// The deletions of an organization, oldest first: by its key, by the name of an object, or by both. Returns `None` if the
    /// database has no ledger.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn history(&self, key: Option<&str>, name: Option<&str>) -> Result<Option<Vec<PastDeletion>>, Failure> {
        let during = During::table("reading", None, "organization_operator.ledger");
        let mut tx = self.begin().await?;
        let exists: bool = own(EXISTS).fetch_one(&mut *tx).await.and_then(|row| row.try_get(0)).or_failure(during)?;
        let rows = if exists {
            own(ROWS).bind(key).bind(name).fetch_all(&mut *tx).await.or_failure(during)?
        } else {
            Vec::new()
        };
        rollback(tx).await?;
        let rows = rows.iter().map(past_deletion).collect::<Result<_, _>>().or_failure(during)?;
        Ok(exists.then_some(rows))
    }
}

fn past_deletion(row: &PgRow) -> Result<PastDeletion, sqlx::Error> {
    let steps: sqlx::types::Json<Vec<DeletionStep>> = row.try_get("steps")?;
    Ok(PastDeletion {
        cluster: row.try_get("cluster_id")?,
        object_name: row.try_get("object_name")?,
        object_uid: row.try_get("object_uid")?,
        organization_key: row.try_get("organization_key")?,
        outcome: row.try_get("outcome")?,
        policy: row.try_get("policy")?,
        policy_manager: row.try_get("policy_manager")?,
        steps: steps.0,
        organizations: row.try_get("organizations_deleted")?,
        detail: row.try_get("detail")?,
        operator_version: row.try_get("operator_version")?,
        started: time(row, "started_at")?.ok_or(Unreadable("a time"))?,
        finished: time(row, "finished_at")?.ok_or(Unreadable("a time"))?,
        verified: time(row, "verified_at")?,
    })
}
