//! Reads what a decision about an object needs: its records, and its organization.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::migrations::out_of_date;
use super::{claim, deletions, erasures, ledger};
use crate::api::Reason;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::organization::{canonical, find};
use crate::db::statement::{own, time};
use crate::db::transaction::rollback;
use crate::domain::facts::{Claim, Facts, Presence, UnderWay};
use crate::domain::{Failure, Subject};
use planner::CompiledPlan;
use planner::statement::Param;

const OBJECT: &str = "SELECT i.id::text AS installation, pg_is_in_recovery() AS standby, clock_timestamp() AS now,
    c.organization_key, d.first_seen_at, d.breaker_deletions, d.breaker_objects, l.outcome, l.steps, l.finished_at, l.verified_at IS NOT NULL AS verified, l.detail
FROM organization_operator.installation i
LEFT JOIN organization_operator.claims c ON c.cluster_id = $1 AND c.object_uid = $2
LEFT JOIN organization_operator.ledger l ON l.cluster_id = $1 AND l.object_uid = $2
-- Fails on the schema of an older version.
LEFT JOIN organization_operator.deletions d ON d.cluster_id = $1 AND d.object_uid = $2";

impl Database {
    /// Reads the object's records and its organization.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn observe(&self, cluster: &str, subject: &Subject, plan: &CompiledPlan) -> Result<Facts, Failure> {
        let mut tx = self.begin().await?;
        let facts = match at_once(&mut tx, cluster, subject, plan).await {
            Ok(Some(facts)) => facts,
            Ok(None) => facts(&mut tx, cluster, subject, plan).await?,
            // One statement cannot say what failed.
            Err(_) => {
                drop(tx);
                tx = self.begin().await?;
                facts(&mut tx, cluster, subject, plan).await?
            }
        };
        rollback(tx).await?;
        Ok(facts)
    }
}

/// The facts, in one statement. Returns `None` if the object claims another key than its id: then that is the organization.
async fn at_once(
    connection: &mut PgConnection,
    cluster: &str,
    subject: &Subject,
    plan: &CompiledPlan,
) -> Result<Option<Facts>, sqlx::Error> {
    let observe = &plan.root.observe;
    if observe.params() != [Param::Key] {
        return Ok(None);
    }
    // The first value of both is another one.
    let records = OBJECT.replace("$2", "$3").replace("$1", "$2");
    let sql = format!(
        "SELECT r.*, o.key, o.present, o.active, c.organization_key IS NOT NULL AS owned, {claim}, {erasure}
FROM ({records}) r CROSS JOIN ({observe}) o
LEFT JOIN organization_operator.claims c ON c.organization_key = o.key
LEFT JOIN organization_operator.erasures e ON e.organization_key = o.key",
        claim = claim::COLUMNS,
        erasure = erasures::COLUMNS,
        observe = observe.sql()
    );
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    let query = query.bind(&subject.organization_id).bind(cluster).bind(&subject.uid);
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    let claimed: Option<&str> = row.try_get("organization_key")?;
    let key: String = row.try_get("key")?;
    if claimed.is_some_and(|claimed| claimed != key) {
        return Ok(None);
    }
    let organization =
        if row.try_get("present")? { Presence::Present { active: row.try_get("active")? } } else { Presence::Absent };
    let claim = if row.try_get("owned")? { Some(claim::claim_in(&row)?) } else { None };
    // Another spelling of the same id is no change.
    let found = Found { key, organization, claim, under_way: erasures::under_way_in(&row)? };
    facts_in(&row, false, found).map(Some)
}

/// What was found of an organization.
struct Found {
    key: String,
    organization: Presence,
    claim: Option<Claim>,
    under_way: Option<UnderWay>,
}

/// The facts of a row with the object's records.
fn facts_in(records: &PgRow, id_changed: bool, found: Found) -> Result<Facts, sqlx::Error> {
    let Found { key, organization, claim, under_way } = found;
    Ok(Facts {
        installation: records.try_get("installation")?,
        standby: records.try_get("standby")?,
        now: time(records, "now")?.ok_or(Unreadable("a time"))?,
        claim,
        key,
        id_changed,
        organization,
        under_way,
        ledger: ledger::entry_in(records)?,
        noted: deletions::noted_in(records)?,
    })
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
    let claim = claim::of_organization(connection, &organization.key).await?;
    let under_way = erasures::of_organization(connection, &organization.key).await?;
    let found = Found { key: organization.key, organization: organization.presence, claim, under_way };
    facts_in(&records, id_changed, found).or_failure(own_schema)
}
