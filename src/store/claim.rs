//! Claims: which object owns which organization.

use k8s_openapi::jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::{Actor, erasures};
use crate::api::{DeletionPolicy, Reason};
use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::statement::{own, time};
use crate::domain::facts::{Claim, Successor, UnderWay, Window};
use crate::domain::{Effect, Failure};

const OF_ORGANIZATION: &str = "SELECT * FROM organization_operator.claims WHERE organization_key = $1";

const LOCK: &str = "SELECT * FROM organization_operator.claims WHERE organization_key = $1 FOR UPDATE";

/// Locks the claim if this object has it, nobody else has it locked, and the server is the primary.
const LOCK_OWN: &str = "WITH c AS MATERIALIZED (
    SELECT object_uid FROM organization_operator.claims
    WHERE organization_key = $3 AND cluster_id = $1 AND object_uid = $2
    FOR UPDATE SKIP LOCKED
)
SELECT pg_backend_pid(), EXISTS (
    SELECT FROM organization_operator.ledger WHERE cluster_id = $1 AND object_uid = $2
) AS recorded
FROM c";

const LOCK_OF_OBJECT: &str =
    "SELECT * FROM organization_operator.claims WHERE cluster_id = $1 AND object_uid = $2 FOR UPDATE";

const INSERT: &str = "INSERT INTO organization_operator.claims
    (organization_key, cluster_id, object_uid, object_name, policy)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING";

const TAKE_OVER: &str = "UPDATE organization_operator.claims
SET cluster_id = $2, object_uid = $3, object_name = $4, policy = $5, expiration_time = NULL, claimed_at = now()
WHERE organization_key = $1";

const RECORD_SPEC: &str = "UPDATE organization_operator.claims
SET policy = $3, expiration_time = CASE WHEN $4 > now() THEN $4 END, window_started_at = NULL,
    window_was_active = NULL, object_name = $5
WHERE cluster_id = $1 AND object_uid = $2";

const START_WINDOW: &str = "UPDATE organization_operator.claims
SET window_started_at = clock_timestamp(), window_was_active = $2
WHERE organization_key = $1
RETURNING window_started_at";

const END_WINDOW: &str = "UPDATE organization_operator.claims
SET window_started_at = NULL, window_was_active = NULL
WHERE cluster_id = $1 AND object_uid = $2";

const HAND_OVER: &str = "UPDATE organization_operator.claims
SET object_uid = $3, object_name = $4, policy = $5, expiration_time = NULL, window_started_at = NULL,
    window_was_active = NULL, claimed_at = now()
WHERE organization_key = $1 AND cluster_id = $2
    AND NOT EXISTS (SELECT 1 FROM organization_operator.claims c WHERE c.cluster_id = $2 AND c.object_uid = $3)";

/// What [`claim_in`] reads.
pub(super) const COLUMNS: &str =
    "c.cluster_id, c.object_uid, c.object_name, c.policy, c.expiration_time, c.window_started_at, c.window_was_active";

pub(super) fn claim_in(row: &PgRow) -> Result<Claim, sqlx::Error> {
    let window = match (time(row, "window_started_at")?, row.try_get("window_was_active")?) {
        (None, _) => None,
        (Some(started), Some(was_active)) => Some(Window { started, was_active }),
        (Some(_), None) => {
            return Err(Unreadable("the activation that a claim recorded before the deactivation").into());
        }
    };
    let policy: &str = row.try_get("policy")?;
    Ok(Claim {
        cluster: row.try_get("cluster_id")?,
        uid: row.try_get("object_uid")?,
        name: row.try_get("object_name")?,
        policy: policy.parse::<DeletionPolicy>().map_err(|_| Unreadable("the policy of a claim"))?,
        expiration: time(row, "expiration_time")?,
        window,
    })
}

/// The claim on an organization, without a lock.
pub(crate) async fn of_organization(connection: &mut PgConnection, key: &str) -> Result<Option<Claim>, Failure> {
    let row = own(OF_ORGANIZATION).bind(key).fetch_optional(connection).await;
    let during = During::table("observing", None, "organization_operator.claims");
    row.and_then(|row| row.as_ref().map(claim_in).transpose()).or_failure(during)
}

/// A claim that this transaction has locked.
pub(super) struct Locked {
    /// The organization's key.
    pub(super) key: String,
    pub(super) claim: Claim,
    /// The organization's erasure in pages, whoever began it.
    pub(super) under_way: Option<UnderWay>,
}

impl Locked {
    /// Rows of the organization that pages have deleted.
    pub(super) fn rows_gone(&self) -> i64 {
        self.under_way.as_ref().map_or(0, UnderWay::rows)
    }
}

/// Locks this object's claim. Returns `None` if the object has no claim.
///
/// The erasure is read by a second statement: the first may have waited for a page, and does not see what that committed. No
/// page is committed after it, because each locks the claim.
pub(super) async fn lock_claim_of_object(
    connection: &mut PgConnection,
    cluster: &str,
    uid: &str,
) -> Result<Option<Locked>, Failure> {
    let row = own(LOCK_OF_OBJECT).bind(cluster).bind(uid).fetch_optional(&mut *connection).await;
    let found = row
        .and_then(|row| row.map(|row| Ok((row.try_get::<String, _>("organization_key")?, claim_in(&row)?))).transpose())
        .or_failure(During::action("locking the claim"))?;
    let Some((key, claim)) = found else { return Ok(None) };
    let under_way = erasures::of_organization(connection, &key).await?;
    Ok(Some(Locked { key, claim, under_way }))
}

/// Locks the claim on an organization, whoever has it: no page of it is committed until this transaction ends.
pub(crate) async fn lock_claim_of_organization(connection: &mut PgConnection, key: &str) -> Result<(), Failure> {
    lock_claim_on(connection, key).await.map(drop)
}

/// A statement whose values are the organization's key and what a claim says of its owner.
fn owned_by<'a>(sql: &'static str, actor: Actor<'a>) -> Query<'a, Postgres, PgArguments> {
    let Actor { cluster, subject, key } = actor;
    own(sql).bind(key).bind(cluster).bind(&subject.uid).bind(&subject.name).bind(subject.policy.as_str())
}

async fn lock_claim_on(connection: &mut PgConnection, key: &str) -> Result<Option<Claim>, Failure> {
    let row = own(LOCK).bind(key).fetch_optional(connection).await;
    row.and_then(|row| row.as_ref().map(claim_in).transpose()).or_failure(During::action("locking the claim"))
}

/// Locks the claim of an object that has it already. Returns the server's process of this session. Returns `None` if that is
/// not all there is to do: the object has no claim, somebody holds its lock, or the deletion is recorded in the ledger.
///
/// One statement sees the ledger as it was before the lock. Nothing can have been recorded in between: whoever records the
/// end of a deletion deletes its claim in the same transaction, and then there is nothing to lock.
pub(crate) async fn lock_own_claim(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Option<i32>, Failure> {
    let during = During::action("locking the claim");
    let row = actor.own(LOCK_OWN).bind(actor.key).fetch_optional(connection).await.or_failure(during)?;
    let Some(row) = row else { return Ok(None) };
    let recorded: bool = row.try_get("recorded").or_failure(during)?;
    let pid = row.try_get(0).or_failure(during)?;
    Ok((!recorded).then_some(pid))
}

/// Locks the claim on the organization for this object, and makes it if no object has it. `take_from` names the one other
/// owner from whom it may be taken. The check is made here, under the lock, so an outdated decision takes nothing.
pub(crate) async fn lock_claim(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    take_from: Option<&str>,
) -> Result<Claim, Failure> {
    let during = During::action("locking the claim");
    let mut claim = lock_claim_on(connection, actor.key).await?;
    if claim.is_none() {
        owned_by(INSERT, actor).execute(&mut *connection).await.or_failure(during)?;
        claim = lock_claim_on(connection, actor.key).await?;
    }
    let Some(claim) = claim else {
        // The object has a claim on another organization; the unique key on (cluster_id, object_uid) refused this one.
        return Err(Failure::new(Reason::OrganizationClaimed, "this object already owns another organization")
            .effect(Effect::Untouched)
            .remedy("set spec.organizationId back to the value in status.claim.organizationKey"));
    };
    if claim.cluster == actor.cluster && claim.uid == actor.subject.uid {
        return Ok(claim);
    }
    if take_from != Some(claim.uid.as_str()) {
        let message = format!("the object {} owns this organization", claim.name);
        return Err(Failure::new(Reason::OrganizationClaimed, message).effect(Effect::Untouched));
    }
    owned_by(TAKE_OVER, actor).execute(&mut *connection).await.or_failure(during)?;
    Ok(Claim {
        cluster: actor.cluster.to_owned(),
        uid: actor.subject.uid.clone(),
        name: actor.subject.name.clone(),
        policy: actor.subject.policy,
        expiration: None,
        window: claim.window,
    })
}

/// Records policy and expiration in the object's claim, and forgets a recovery window that is over. An expiration is only
/// recorded if it is in the future by the database's clock.
pub(super) async fn record_spec(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    actor
        .own(RECORD_SPEC)
        .bind(actor.subject.policy.as_str())
        .bind(actor.subject.expiration.map(jiff_sqlx::Timestamp::from))
        .bind(&actor.subject.name)
        .execute(connection)
        .await
        .or_failure(During::action("recording the policy in the claim"))?;
    Ok(())
}

/// Records the deactivation that precedes an erasure. Returns its time by the database's clock: now, and not when the
/// transaction began, which may have waited for locks since.
pub(super) async fn start_window(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    was_active: bool,
) -> Result<Timestamp, Failure> {
    own(START_WINDOW)
        .bind(actor.key)
        .bind(was_active)
        .fetch_one(connection)
        .await
        .and_then(|row| time(&row, "window_started_at")?.ok_or(sqlx::Error::RowNotFound))
        .or_failure(During::action("starting the recovery window"))
}

/// Forgets the deactivation that preceded an erasure.
pub(super) async fn end_window(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    actor
        .own(END_WINDOW)
        .execute(connection)
        .await
        .or_failure(During::action("recording the end of the deactivation"))?;
    Ok(())
}

/// Gives the claim to another object of this cluster.
pub(super) async fn hand_over(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    successor: &Successor,
) -> Result<(), Failure> {
    own(HAND_OVER)
        .bind(actor.key)
        .bind(actor.cluster)
        .bind(&successor.uid)
        .bind(&successor.name)
        .bind(successor.policy.as_str())
        .execute(connection)
        .await
        .or_failure(During::action("handing over the claim"))?;
    Ok(())
}

impl Database {
    /// Takes over the claim on an organization for an object that erases it, and its erasure that another object began.
    ///
    /// # Errors
    /// Fails when the claim cannot be obtained, or the database refuses.
    pub async fn claim_to_erase(&self, actor: Actor<'_>, take_from: Option<&str>) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        lock_claim(&mut tx, actor, take_from).await?;
        erasures::adopt(&mut tx, actor).await?;
        self.may_commit()?;
        tx.commit().await.or_failure(During::action("committing"))
    }
}

/// Drops the object's claim, and its erasure if no page has deleted anything. What is recorded with it must be true, so this
/// fails if pages have deleted rows meanwhile. The erasure of another object stays: it says that rows are gone.
pub(crate) async fn drop_claim(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    if erasures::drop_with_claim(connection, actor).await? == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Reason::SerializationFailure,
        "another process deleted rows of the organization before this transaction began",
    )
    .remedy("nothing: the operator tries again by itself"))
}
