//! The server on which a transaction runs, and how it ends.

use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::error::{During, OrFailure as _, Values, failure};
use super::statement::own;
use crate::api::Reason;
use crate::domain::{Effect, Failure};

/// Where a transaction runs.
pub(crate) struct Server {
    /// The server is a standby.
    pub(crate) standby: bool,
    /// The server's process of this session.
    pub(crate) pid: i32,
}

/// Asks where a transaction runs.
pub(crate) async fn server(connection: &mut PgConnection) -> Result<Server, Failure> {
    own("SELECT pg_is_in_recovery(), pg_backend_pid()")
        .fetch_one(connection)
        .await
        .and_then(|row| Ok(Server { standby: row.try_get(0)?, pid: row.try_get(1)? }))
        .or_failure(During::action("checking whether the server is the primary"))
}

/// Commits.
pub(super) async fn commit(tx: Transaction<'static, Postgres>) -> Result<(), Failure> {
    tx.commit().await.map_err(|e| {
        let failure = refused_at_commit(&e);
        // The server may have got the COMMIT before the connection was lost.
        match failure.reason {
            Reason::DatabaseUnavailable => failure.effect(Effect::Open),
            _ => failure,
        }
    })
}

/// Ends a transaction that changed nothing, and waits for that: what follows must not run beside it.
pub(crate) async fn rollback(tx: Transaction<'static, Postgres>) -> Result<(), Failure> {
    tx.rollback().await.or_failure(During::action("rolling back"))
}

/// Checks now what COMMIT would check: deferred foreign keys and constraint triggers.
pub(crate) async fn check_constraints(connection: &mut PgConnection) -> Result<(), Failure> {
    own("SET CONSTRAINTS ALL IMMEDIATE").execute(connection).await.map_err(|e| refused_at_commit(&e))?;
    Ok(())
}

/// What the checks at COMMIT found.
fn refused_at_commit(error: &sqlx::Error) -> Failure {
    // What runs at COMMIT are checks and triggers of the schema.
    let mut failure = failure(error, During { values: Values::Trigger, ..During::action("committing") });
    // A deferred foreign key: rows that refer to deleted ones appeared after they were counted.
    if failure.reason == Reason::ForeignKeyViolation {
        failure.reason = Reason::ContentChanged;
        let table = failure.table.as_deref().unwrap_or("the organization's tables");
        failure.remedy = Some(format!("stop whatever writes to `{table}`; a trigger may"));
    }
    failure
}
