//! The operator's own schema, `organization_operator`.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::api::Reason;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Values, failure};
use crate::db::statement::own;
use crate::domain::Failure;

static MIGRATIONS: Migrator = sqlx::migrate!();

const SCHEMA: &str = "organization_operator";
const TABLE: &str = "organization_operator.migrations";

/// Key of the advisory lock under which the schema is changed: "org-oper". It never changes, because operators of different
/// versions have to agree on it.
pub const LOCK: i64 = 0x6f72_672d_6f70_6572;

/// The SQL that creates or updates the schema, for a database administrator to read and run. It skips the migrations that
/// were applied before. The role that the operator connects as then needs nothing but the grants at its end.
#[must_use]
pub fn script(role: &str) -> String {
    let role = planner::identifier::quote(role);
    // With the record that sqlx keeps, so that the operator sees which migrations were applied.
    let migrations: Vec<String> = MIGRATIONS
        .iter()
        .map(|m| {
            let checksum = m.checksum.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            let (version, description) = (m.version, planner::identifier::literal(&m.description));
            format!(
                r"
DO $migration$ BEGIN IF NOT EXISTS (SELECT FROM {TABLE} WHERE version = {version}) THEN
{sql}
INSERT INTO {TABLE} (version, description, success, checksum, execution_time)
    VALUES ({version}, {description}, true, '\x{checksum}', 0);
END IF; END $migration$;
",
                sql = m.sql.as_str().trim()
            )
        })
        .collect();
    let migrations = migrations.concat();
    format!(
        "BEGIN;
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {TABLE} (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
{migrations}
GRANT USAGE ON SCHEMA {SCHEMA} TO {role};
GRANT SELECT ON {SCHEMA}.installation, {TABLE} TO {role};
GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.ledger TO {role};
GRANT SELECT, DELETE ON {SCHEMA}.earlier_captured_keys TO {role};
GRANT SELECT, INSERT ON {SCHEMA}.standbys TO {role};
GRANT SELECT, INSERT, DELETE ON {SCHEMA}.captured_tids TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.claims, {SCHEMA}.captured_keys, {SCHEMA}.erasures, {SCHEMA}.deletions TO {role};
COMMIT;
"
    )
}

/// Whether the schema had to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// It was as it should be.
    UpToDate,
    /// It was created or changed.
    Changed,
}

impl Database {
    /// Creates or updates the operator's own schema if that is `allowed`; otherwise only checks that it is there and up to date. It
    /// does all or nothing, in one transaction under a lock that ends with it. So several operators can start at once, and a
    /// pooler may give the session to another client afterwards.
    ///
    /// # Errors
    /// Fails when the database cannot be reached, the schema is missing or out of date and may not be changed, or a privilege
    /// is missing; and when another operator holds the lock for longer than `lock_timeout`.
    pub async fn migrate(&self, allowed: bool) -> Result<Migrated, Failure> {
        let mut connection = self.extra_connection().await?;
        let mut tx = connection.begin_with(AssertSqlSafe(self.opening())).await.or_failure(DURING)?;
        match migrate(&mut tx, allowed).await {
            // A replica that stands by checks this, too.
            Ok(Migrated::UpToDate) => tx.rollback().await.map(|()| Migrated::UpToDate).or_failure(DURING),
            Ok(Migrated::Changed) => {
                self.may_commit()?;
                tx.commit().await.map(|()| Migrated::Changed).or_failure(DURING)
            }
            Err(refused) => {
                // The server also rolls back when the session ends: only the refusal counts.
                drop(tx.rollback().await);
                Err(refused)
            }
        }
    }
}

const DURING: During<'static> = During {
    action: "creating or updating the schema organization_operator",
    entity: None,
    table: None,
    tables: &[],
    values: Values::Columns,
};

async fn migrate(connection: &mut PgConnection, allowed: bool) -> Result<Migrated, Failure> {
    if applied(connection).await.or_failure(DURING)? {
        return Ok(Migrated::UpToDate);
    }
    if !allowed {
        return Err(out_of_date());
    }
    own("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await.or_failure(DURING)?;
    // The operator that had the lock before may have done it.
    if applied(connection).await.or_failure(DURING)? {
        return Ok(Migrated::UpToDate);
    }
    // CREATE SCHEMA IF NOT EXISTS needs the privilege even if the schema exists.
    let exists: bool = own("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'organization_operator')")
        .fetch_one(&mut *connection)
        .await
        .and_then(|r| r.try_get(0))
        .or_failure(DURING)?;
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.dangerous_set_table_name(TABLE);
    // Its lock is one of the session, which outlives a failure, and behind a transaction pooler also the connection.
    migrator.set_locking(false);
    if !exists {
        migrator.create_schema(SCHEMA);
    }
    migrator.run_direct(None, connection, false).await.map_err(|e| refused(&e))?;
    Ok(Migrated::Changed)
}

/// The schema is not the one of this version. No deletion may begin on it: its last statement could fail.
pub(super) fn out_of_date() -> Failure {
    Failure::new(Reason::SchemaMismatch, format!("the operator's own schema {SCHEMA} is missing or out of date"))
        .remedy("run `organization-operator migrate`, or give the output of `organization-operator migrate --print` to the database administrator")
}

fn refused(error: &MigrateError) -> Failure {
    let failed = match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => failure(e, DURING),
        _ => Failure::new(
            Reason::SchemaMismatch,
            format!("the migrations of {SCHEMA} do not fit this version of the operator"),
        )
        .remedy("use the operator's version that wrote the schema, or a newer one"),
    };
    if failed.reason == Reason::PermissionDenied {
        return failed.remedy(
            "GRANT CREATE ON DATABASE ... TO the operator's role for the first start, or give the output of `organization-operator migrate --print` to the database administrator",
        );
    }
    failed
}

/// Whether every migration was applied. It reads the catalogue itself, because names may be resolved from a cache that is
/// older than the lock.
async fn applied(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let exists: bool = own("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'organization_operator' AND c.relname = 'migrations')")
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    if !exists {
        return Ok(false);
    }
    let newest: Option<i64> = own("SELECT max(version) FROM organization_operator.migrations WHERE success")
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    Ok(newest.unwrap_or_default() >= MIGRATIONS.iter().map(|m| m.version).max().unwrap_or_default())
}
