//! Standbys of the server: how far they are, and which of their names are known.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::Failure;
use crate::pace::load::synchronous;
use crate::pace::{Load, Standby};

/// One row for each thing that follows the server, and one without a name if nothing does.
const LOAD: &str = "SELECT current_setting('cluster_name') AS server, r.application_name AS name, r.state,
    (extract(epoch FROM r.replay_lag) * 1000)::bigint AS lag,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), r.replay_lsn)::bigint AS behind
FROM (SELECT) one LEFT JOIN pg_stat_replication r ON true";

/// Who may see how far standbys are, or may act as the role that does: one with `NOINHERIT`, for example. Since PostgreSQL 16, a
/// member may be one `WITH SET FALSE`.
const SEES: &str = "SELECT current_user::text AS role, pg_has_role('pg_read_all_stats', 'USAGE') AS sees,
    CASE WHEN current_setting('server_version_num')::int >= 160000 THEN pg_has_role('pg_read_all_stats', 'SET')
        ELSE pg_has_role('pg_read_all_stats', 'MEMBER') END AS acts";

/// A physical slot usually has the name of its standby, and remains while the standby is away.
const KNOWN: &str = "SELECT application_name FROM pg_stat_replication
UNION SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical'
UNION SELECT current_setting('cluster_name')";

/// Names of standbys that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Those of the configuration that were never seen.
    pub names: Vec<String>,
    /// Those that the server knows.
    pub known: Vec<String>,
}

impl Unknown {
    /// What is wrong, for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let quoted = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let known = match &*self.known {
            [] => "no standby".to_owned(),
            known => quoted(known),
        };
        let names = quoted(&self.names);
        format!(
            "`cascade.batch.standbys` names {names}, but the database server has never had a standby of that name: it knows {known}"
        )
    }
}

/// What clears it.
pub const UNKNOWN_REMEDY: &str = "write the application_name that the standby sets in primary_conninfo; SELECT application_name FROM pg_stat_replication shows those that are connected";

impl Database {
    /// How far the standbys are.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub async fn load(&self) -> Result<Load, Failure> {
        let mut tx = self.begin().await?;
        let load = load(&mut tx).await.or_failure(DURING)?;
        tx.rollback().await.or_failure(DURING)?;
        Ok(load)
    }

    /// The operator's role, if it may not see the replication lag of standbys. `None` if it may.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub async fn role_without_replay_lag(&self) -> Result<Option<String>, Failure> {
        let mut tx = self.begin().await?;
        let Sight { sees, acts, role } = sight(&mut tx).await.or_failure(DURING)?;
        tx.rollback().await.or_failure(DURING)?;
        Ok((!sees && !acts).then_some(role))
    }

    /// Which of these names the server does not know: no standby of that name is connected, has a slot, is synchronous, or was
    /// known to an operator before. Returns `None` if all are known.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub async fn unknown_standbys(&self, names: &[String]) -> Result<Option<Unknown>, Failure> {
        if names.is_empty() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let known = known(&mut tx).await.or_failure(DURING)?;
        tx.rollback().await.or_failure(DURING)?;
        let names: Vec<String> = names.iter().filter(|name| !known.contains(*name)).cloned().collect();
        Ok((!names.is_empty()).then(|| Unknown { names, known: known.into_iter().collect() }))
    }

    /// Remembers standbys that are known, so that they stay known while they are away.
    ///
    /// # Errors
    /// Fails if the operator's own schema cannot be written.
    pub async fn remember_standbys(&self, names: &[String]) -> Result<(), Failure> {
        let during = During::table("remembering a standby in", None, "organization_operator.standbys");
        let mut tx = self.begin().await?;
        own("INSERT INTO organization_operator.standbys (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING")
            .bind(names.to_vec())
            .execute(&mut *tx)
            .await
            .or_failure(during)?;
        self.may_commit()?;
        tx.commit().await.or_failure(during)
    }
}

const DURING: During<'static> = During {
    action: "asking the server about its standbys",
    entity: None,
    table: None,
    tables: &[],
    values: crate::db::error::Values::Columns,
};

/// Whether the operator's role sees how far standbys are.
struct Sight {
    /// It does.
    sees: bool,
    /// It may act as a role that does.
    acts: bool,
    /// Its name.
    role: String,
}

async fn sight(connection: &mut PgConnection) -> Result<Sight, sqlx::Error> {
    let row = own(SEES).fetch_one(connection).await?;
    Ok(Sight { sees: row.try_get("sees")?, acts: row.try_get("acts")?, role: row.try_get("role")? })
}

/// In a transaction, which nothing follows.
async fn load(connection: &mut PgConnection) -> Result<Load, sqlx::Error> {
    let sight = sight(&mut *connection).await?;
    if !sight.sees && sight.acts {
        own("SET LOCAL ROLE pg_read_all_stats").execute(&mut *connection).await?;
    }
    let mut load = Load::default();
    for row in own(LOAD).fetch_all(connection).await? {
        load.server = row.try_get("server")?;
        let Some(name) = row.try_get("name")? else { continue };
        let positive = |column| row.try_get::<Option<i64>, _>(column).map(|n| n.map(|n| u64::try_from(n).unwrap_or(0)));
        load.standbys.push(Standby {
            name,
            state: row.try_get("state")?,
            lag: positive("lag")?.map(Duration::from_millis),
            behind: positive("behind")?,
        });
    }
    Ok(load)
}

async fn known(connection: &mut PgConnection) -> Result<BTreeSet<String>, sqlx::Error> {
    let mut known = BTreeSet::new();
    for row in own(KNOWN).fetch_all(&mut *connection).await? {
        known.extend(row.try_get::<Option<String>, _>(0)?);
    }
    let setting: String =
        own("SELECT current_setting('synchronous_standby_names')").fetch_one(&mut *connection).await?.try_get(0)?;
    known.extend(synchronous(&setting));
    // `check` runs before the operator has created its schema.
    let remembers: bool = own("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'organization_operator' AND c.relname = 'standbys' AND has_table_privilege(c.oid, 'SELECT')
    AND has_schema_privilege(n.oid, 'USAGE'))")
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    if remembers {
        for row in own("SELECT name FROM organization_operator.standbys").fetch_all(connection).await? {
            known.insert(row.try_get(0)?);
        }
    }
    known.remove("");
    Ok(known)
}
