//! Claims: which object owns which organization.

use k8s_openapi::jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::Actor;
use super::bind::{Unreadable, own, time};
use super::error::{During, OrFailure as _};
use crate::api::{DeletionPolicy, Reason};
use crate::domain::facts::{Claim, Window};
use crate::domain::{Effect, Failure};

macro_rules! select_claim {
    ($condition:literal) => {
        concat!(
            "SELECT organization_key, cluster_id, object_uid, object_name, policy, \
             (extract(epoch FROM expiration_time) * 1000000)::bigint AS expiration, \
             (extract(epoch FROM window_started_at) * 1000000)::bigint AS window_started, window_was_active \
             FROM organization_operator.claims WHERE ",
            $condition
        )
    };
}

/// The claim on an organization.
pub(crate) const OF_ORGANIZATION: &str = select_claim!("organization_key = $1");
const LOCK: &str = select_claim!("organization_key = $1 FOR UPDATE");
const LOCK_OF_OBJECT: &str = select_claim!("cluster_id = $1 AND object_uid = $2 FOR UPDATE");

/// Reads a claim from a row; None where the columns are NULL.
pub(crate) fn read(row: &PgRow) -> Result<Option<Claim>, sqlx::Error> {
    let Some(cluster) = row.try_get::<Option<String>, _>("cluster_id")? else { return Ok(None) };
    let started: Option<i64> = row.try_get("window_started")?;
    let was_active: Option<bool> = row.try_get("window_was_active")?;
    let window = match (started, was_active) {
        (None, _) => None,
        (Some(started), Some(was_active)) => Some(Window { started: time(started)?, was_active }),
        (Some(_), None) => return Err(Unreadable("what a claim says of the time before the deactivation").into()),
    };
    Ok(Some(Claim {
        cluster,
        uid: row.try_get("object_uid")?,
        name: row.try_get("object_name")?,
        policy: policy(&row.try_get::<String, _>("policy")?)?,
        expiration: row.try_get::<Option<i64>, _>("expiration")?.map(time).transpose()?,
        window,
    }))
}

fn policy(word: &str) -> Result<DeletionPolicy, Unreadable> {
    [DeletionPolicy::Delete, DeletionPolicy::Deactivate, DeletionPolicy::Retain]
        .into_iter()
        .find(|p| p.as_str() == word)
        .ok_or(Unreadable("the policy of a claim"))
}

/// Locks the claim on the organization for this object, and makes it if nobody has it. `take_from` names the one other
/// owner from whom it may be taken; the check is made here, under the lock, so a decision that has grown old takes nothing.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    take_from: Option<&str>,
) -> Result<Claim, Failure> {
    let during = During::action("locking the claim");
    let mut claim = lock(connection, actor.key).await?;
    if claim.is_none() {
        own(
            "INSERT INTO organization_operator.claims (organization_key, cluster_id, object_uid, object_name, policy) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(actor.key)
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
        .bind(&actor.subject.name)
        .bind(actor.subject.policy.as_str())
        .execute(&mut *connection)
        .await
        .or_failure(during)?;
        claim = lock(connection, actor.key).await?;
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
        return Err(Failure::new(
            Reason::OrganizationClaimed,
            format!("the object {} owns this organization", claim.name),
        )
        .effect(Effect::Untouched));
    }
    own("UPDATE organization_operator.claims SET cluster_id = $2, object_uid = $3, object_name = $4, policy = $5, \
         expiration_time = NULL, claimed_at = now() WHERE organization_key = $1")
    .bind(actor.key)
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .bind(&actor.subject.name)
    .bind(actor.subject.policy.as_str())
    .execute(&mut *connection)
    .await
    .or_failure(during)?;
    Ok(Claim {
        cluster: actor.cluster.to_owned(),
        uid: actor.subject.uid.clone(),
        name: actor.subject.name.clone(),
        policy: actor.subject.policy,
        expiration: None,
        window: claim.window,
    })
}

async fn lock(connection: &mut PgConnection, key: &str) -> Result<Option<Claim>, Failure> {
    let during = During::action("locking the claim");
    let row = own(LOCK).bind(key).fetch_optional(connection).await.or_failure(during)?;
    Ok(row.as_ref().map(read).transpose().or_failure(during)?.flatten())
}

/// Notes policy and expiration in the object's claim, and forgets a recovery window that is over. Only an expiration
/// that is in the future by the database's clock is noted.
pub(crate) async fn note(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    let expiration = actor.subject.expiration.map(Timestamp::as_microsecond);
    own("UPDATE organization_operator.claims SET policy = $3, \
         expiration_time = CASE WHEN to_timestamp($4::double precision / 1000000) > now() \
             THEN to_timestamp($4::double precision / 1000000) END, \
         window_started_at = NULL, window_was_active = NULL, object_name = $5 \
         WHERE cluster_id = $1 AND object_uid = $2")
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .bind(actor.subject.policy.as_str())
    .bind(expiration)
    .bind(&actor.subject.name)
    .execute(connection)
    .await
    .or_failure(During::action("noting the policy in the claim"))?;
    Ok(())
}

/// Records the deactivation that precedes an erasure. Returns its time by the database's clock: now, and not when the
/// transaction began, which may have waited for locks since.
pub(crate) async fn start_window(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    was_active: bool,
) -> Result<Timestamp, Failure> {
    own("UPDATE organization_operator.claims SET window_started_at = clock_timestamp(), window_was_active = $2 \
         WHERE organization_key = $1 RETURNING (extract(epoch FROM window_started_at) * 1000000)::bigint")
    .bind(actor.key)
    .bind(was_active)
    .fetch_one(connection)
    .await
    .and_then(|row| time(row.try_get(0)?))
    .or_failure(During::action("starting the recovery window"))
}

/// Forgets the deactivation that preceded an erasure.
pub(crate) async fn end_window(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    own("UPDATE organization_operator.claims SET window_started_at = NULL, window_was_active = NULL \
         WHERE cluster_id = $1 AND object_uid = $2")
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .execute(connection)
    .await
    .or_failure(During::action("noting the end of the deactivation"))?;
    Ok(())
}

/// Gives the claim to another object of this cluster.
pub(crate) async fn hand_over(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    successor: &crate::domain::facts::Successor,
) -> Result<(), Failure> {
    own("UPDATE organization_operator.claims SET object_uid = $3, object_name = $4, policy = $5, \
         expiration_time = NULL, window_started_at = NULL, window_was_active = NULL, claimed_at = now() \
         WHERE organization_key = $1 AND cluster_id = $2 \
         AND NOT EXISTS (SELECT 1 FROM organization_operator.claims c WHERE c.cluster_id = $2 AND c.object_uid = $3)")
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

/// Drops the object's claim.
pub(crate) async fn drop_claim(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    own("DELETE FROM organization_operator.claims WHERE cluster_id = $1 AND object_uid = $2")
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
        .execute(connection)
        .await
        .or_failure(During::action("dropping the claim"))?;
    Ok(())
}

/// Locks and returns this object's claim with its key, if it has one.
pub(crate) async fn of_object(
    connection: &mut PgConnection,
    cluster: &str,
    uid: &str,
) -> Result<Option<(String, Claim)>, Failure> {
    let during = During::action("locking the claim");
    let row = own(LOCK_OF_OBJECT).bind(cluster).bind(uid).fetch_optional(connection).await.or_failure(during)?;
    let Some(row) = row else { return Ok(None) };
    let claim = read(&row).or_failure(during)?;
    let key: String = row.try_get("organization_key").or_failure(during)?;
    Ok(claim.map(|claim| (key, claim)))
}
