//! Looks: at one organization, at the rows of one, at all of them at once.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};

use super::bind::{counted, own, query, query_keys, time};
use super::connect::Database;
use super::error::{During, OrFailure as _, failure};
use super::{claim, ledger};
use crate::api::status::EntityRows;
use crate::api::status::Inventory;
use crate::domain::facts::{Facts, Presence};
use crate::domain::{Failure, Subject};
use planner::cascade::USERS;
use planner::{COUNT_LIMIT, CapturedKeys, CompiledPlan};

/// One organization in the census.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusEntry {
    /// Whether it is in use.
    pub active: Option<bool>,
    /// Its users.
    pub users: Option<i64>,
}

const OBJECT: &str = "SELECT i.id::text AS installation, pg_is_in_recovery() AS standby, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now, \
    c.organization_key, \
    l.outcome, l.steps, \
    (extract(epoch FROM l.finished_at) * 1000000)::bigint AS ledger_finished, l.verified_at IS NOT NULL AS ledger_verified \
    FROM organization_operator.installation i \
    LEFT JOIN organization_operator.claims c ON c.cluster_id = $1 AND c.object_uid = $2 \
    LEFT JOIN organization_operator.ledger l ON l.cluster_id = $1 AND l.object_uid = $2";

impl Database {
    /// Looks at the object's records and at its organization.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn observe(&self, cluster: &str, subject: &Subject, plan: &CompiledPlan) -> Result<Facts, Failure> {
        let mut tx = self.begin().await?;
        let facts = look(&mut tx, cluster, subject, plan).await?;
        tx.rollback().await.or_failure(During::action("observing"))?;
        Ok(facts)
    }

    /// Counts the organization's rows: users exactly, the rest up to a limit.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn inventory(&self, key: &str, plan: &CompiledPlan) -> Result<Option<Inventory>, Failure> {
        let Some(cascade) = plan.cascade() else { return Ok(None) };
        let mut tx = self.begin().await?;
        let during = During::action("counting");
        let rows = counted(&mut tx, &cascade.inventory, key, &CapturedKeys::default()).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        let entities: Vec<EntityRows> = cascade
            .by_entity(&rows)
            .into_iter()
            .map(|(entity, rows)| EntityRows {
                capped: rows > COUNT_LIMIT && entity.name != USERS,
                rows: if entity.name == USERS { rows } else { rows.min(COUNT_LIMIT) },
                entity: entity.name.clone(),
            })
            .collect();
        Ok(Some(Inventory {
            users: entities.iter().find(|e| e.entity == USERS).map(|e| e.rows),
            total: entities.iter().map(|e| e.rows).sum(),
            entities,
            observed_time: None,
        }))
    }

    /// Existence, activation and users of many organizations, in one query. Keys that are missing in the answer are
    /// organizations that are not there.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn census(&self, keys: &[String], plan: &CompiledPlan) -> Result<HashMap<String, CensusEntry>, Failure> {
        let during = During::action("looking at all organizations");
        let statement = plan.cascade().map_or(&plan.root.observe_many, |c| &c.observe_many);
        let mut tx = self.begin().await?;
        let rows = query_keys(statement, keys).fetch_all(&mut *tx).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        rows.iter()
            .map(|row| {
                Ok((row.try_get("key")?, CensusEntry { active: row.try_get("active")?, users: row.try_get("users")? }))
            })
            .collect::<Result<_, sqlx::Error>>()
            .or_failure(during)
    }

    /// The canonical text of an id, or None where it is no value of the key's type.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn canonical(&self, id: &str, plan: &CompiledPlan) -> Result<Option<String>, Failure> {
        let mut tx = self.begin().await?;
        match query(&plan.root.observe, id, &CapturedKeys::default()).fetch_one(&mut *tx).await {
            Ok(row) => Ok(row.try_get("key").ok()),
            Err(e) => {
                let failure = failure(&e, During::action("reading an id").id());
                if failure.reason == crate::api::Reason::InvalidOrganizationId { Ok(None) } else { Err(failure) }
            }
        }
    }

    /// Whether this is the database with that identity. One without the operator's schema is not: a claim is made where the
    /// schema is.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn is_installation(&self, id: &str) -> Result<bool, Failure> {
        let during = During::table("asking for the database's identity in", None, "organization_operator.installation");
        let mut tx = self.begin().await?;
        let known = own("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname = 'organization_operator' AND c.relname = 'installation')")
        .fetch_one(&mut *tx)
        .await
        .and_then(|row| row.try_get(0))
        .or_failure(during)?;
        let same = if known {
            own("SELECT EXISTS (SELECT FROM organization_operator.installation WHERE id::text = $1)")
                .bind(id)
                .fetch_one(&mut *tx)
                .await
                .and_then(|row| row.try_get(0))
                .or_failure(during)?
        } else {
            false
        };
        tx.rollback().await.or_failure(during)?;
        Ok(same)
    }

    /// Rows of the plan that are there for this key, whether or not the organization is.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read.
    pub async fn rows(&self, key: &str, plan: &CompiledPlan) -> Result<i64, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let during = During::action("counting");
        let rows = counted(&mut tx, &erase.count, key, &CapturedKeys::default()).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(rows.iter().map(|(_, rows)| rows).sum())
    }
}

pub(crate) async fn look(
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
        .or_failure(own_schema)?
        .ok_or_else(|| {
            Failure::new(
                crate::api::Reason::DatabaseMismatch,
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
    let row =
        query(&plan.root.observe, id, &CapturedKeys::default()).fetch_one(&mut *connection).await.or_failure(during)?;
    let key: String = row.try_get("key").or_failure(during)?;
    let present: bool = row.try_get("present").or_failure(during)?;
    let active: Option<bool> = row.try_get("active").or_failure(during)?;

    let id_changed = match &claimed_key {
        Some(claimed) if *claimed != subject.organization_id => {
            // Another spelling of the same id is no change.
            !same_id(connection, &subject.organization_id, claimed, plan).await?
        }
        _ => false,
    };
    let claim = own(claim::OF_ORGANIZATION)
        .bind(&key)
        .fetch_optional(connection)
        .await
        .or_failure(own_schema)?
        .as_ref()
        .map(claim::read)
        .transpose()
        .or_failure(own_schema)?
        .flatten();
    Ok(Facts {
        installation: records.try_get("installation").or_failure(own_schema)?,
        standby: records.try_get("standby").or_failure(own_schema)?,
        now: records.try_get("now").and_then(time).or_failure(own_schema)?,
        key,
        id_changed,
        organization: if present { Presence::Present { active } } else { Presence::Absent },
        claim,
        ledger: ledger::read(&records).or_failure(own_schema)?,
    })
}

/// Whether an id of a spec is another spelling of a key. An id that is no value of the key's type is not, and the error
/// would end the transaction, so a savepoint stands around the question.
async fn same_id(connection: &mut PgConnection, id: &str, key: &str, plan: &CompiledPlan) -> Result<bool, Failure> {
    use sqlx::Connection as _;
    let during = During::action("comparing ids").id();
    let mut savepoint = connection.begin().await.or_failure(during)?;
    let row = query(&plan.root.observe, id, &CapturedKeys::default()).fetch_one(&mut *savepoint).await;
    savepoint.rollback().await.or_failure(during)?;
    match row {
        Ok(row) => Ok(row.try_get::<Option<String>, _>("key").or_failure(during)?.as_deref() == Some(key)),
        Err(e) => match failure(&e, during) {
            no_key if no_key.reason == crate::api::Reason::InvalidOrganizationId => Ok(false),
            other => Err(other),
        },
    }
}

/// What a transaction that changes something runs on: whether the server is a standby, and the process of this session.
pub(crate) async fn server(connection: &mut PgConnection) -> Result<(bool, i32), Failure> {
    let during = During::action("asking whether this is the primary");
    own("SELECT pg_is_in_recovery(), pg_backend_pid()")
        .fetch_one(connection)
        .await
        .and_then(|r| Ok((r.try_get(0)?, r.try_get(1)?)))
        .or_failure(during)
}
