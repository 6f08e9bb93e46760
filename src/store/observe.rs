//! Reads what a decision about an object needs: its records, and its organization.

use sqlx::{PgConnection, Row as _};

use super::migrations::out_of_date;
use super::{claim, ledger};
use crate::api::Reason;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::organization::{canonical, find};
use crate::db::statement::{own, time};
use crate::domain::facts::Facts;
use crate::domain::{Failure, Subject};
use planner::CompiledPlan;

const OBJECT: &str = "SELECT i.id::text AS installation, pg_is_in_recovery() AS standby, clock_timestamp() AS now,
    c.organization_key, l.outcome, l.steps, l.finished_at, l.verified_at IS NOT NULL AS verified
FROM organization_operator.installation i
LEFT JOIN organization_operator.claims c ON c.cluster_id = $1 AND c.object_uid = $2
LEFT JOIN organization_operator.ledger l ON l.cluster_id = $1 AND l.object_uid = $2
-- Fails on the schema of an older version.
LEFT JOIN (SELECT key_set FROM organization_operator.captured_keys WHERE false) w ON true";

impl Database {
    /// Reads the object's records and its organization.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn observe(&self, cluster: &str, subject: &Subject, plan: &CompiledPlan) -> Result<Facts, Failure> {
        let mut tx = self.begin().await?;
        let facts = facts(&mut tx, cluster, subject, plan).await?;
        tx.rollback().await.or_failure(During::action("observing"))?;
        Ok(facts)
    }
}

async fn facts(
    connection: &mut PgConnection,
    cluster: &str,
    subject: &Subject,
    plan: &CompiledPlan,
) -> Result<Facts, Failure> {
    let own_schema = During::table("observing", None, "organization_operator.installation");
    let records = own(OBJECT)
        .bind(cluster)
        .bind(&subject.uid)
        .fetch_optional(&mut *connection)
        .await
        .or_failure(own_schema)
        .map_err(|failure| if failure.reason == Reason::SchemaMismatch { out_of_date() } else { failure })?
        .ok_or_else(|| {
            Failure::new(
                Reason::DatabaseMismatch,
                "the operator's own schema in this database has no identity; the database is an incomplete copy",
            )
            .remedy(
                "INSERT INTO organization_operator.installation DEFAULT VALUES; -- only if this is the right database",
            )
        })?;
    let claimed_key: Option<String> = records.try_get("organization_key").or_failure(own_schema)?;
    let now = time(&records, "now").and_then(|now| Ok(now.ok_or(Unreadable("a time"))?)).or_failure(own_schema)?;

    let table = plan.root.table.name();
    let during = During::table("observing", None, &table);
    // A key that was claimed was one of the key's type: if it is none any more, the schema has changed.
    let (id, during) = match &claimed_key {
        Some(claimed) => (claimed, during),
        None => (&subject.organization_id, during.id()),
    };
    let organization = find(connection, id, plan, during).await?;
    // Another spelling of the same id is no change.
    let id_changed = match &claimed_key {
        Some(claimed) if *claimed != subject.organization_id => {
            canonical(connection, &subject.organization_id, plan).await?.as_ref() != Some(claimed)
        }
        _ => false,
    };
    Ok(Facts {
        installation: records.try_get("installation").or_failure(own_schema)?,
        standby: records.try_get("standby").or_failure(own_schema)?,
        now,
        claim: claim::of_organization(connection, &organization.key).await?,
        key: organization.key,
        id_changed,
        organization: organization.presence,
        ledger: ledger::entry_in(&records).or_failure(own_schema)?,
    })
}
