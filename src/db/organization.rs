//! The organization's own row: find it, lock it, switch it.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::connect::Database;
use super::error::{During, OrFailure as _, failure};
use super::statement::about;
use crate::api::{Activation, Reason};
use crate::domain::Failure;
use crate::domain::decide::deactivation_unsupported;
use crate::domain::facts::Presence;
use planner::CompiledPlan;

/// An organization as the database has it.
pub(crate) struct Found {
    /// The key in canonical text.
    pub(crate) key: String,
    /// Whether the row exists, and whether the organization is active.
    pub(crate) presence: Presence,
}

/// Finds an organization by its key, or by an id as a person wrote it if `during` says so.
pub(crate) async fn find(
    connection: &mut PgConnection,
    id: &str,
    plan: &CompiledPlan,
    during: During<'_>,
) -> Result<Found, Failure> {
    let row = about(&plan.root.observe, id).fetch_one(connection).await.or_failure(during)?;
    let present = row.try_get("present").or_failure(during)?;
    let active = row.try_get("active").or_failure(during)?;
    let presence = if present { Presence::Present { active } } else { Presence::Absent };
    Ok(Found { key: row.try_get("key").or_failure(during)?, presence })
}

/// Finds an organization by an id as a person wrote it.
pub(crate) async fn find_by_id(connection: &mut PgConnection, id: &str, plan: &CompiledPlan) -> Result<Found, Failure> {
    let table = plan.root.table.name();
    let during = During::table("finding the organization in", None, &table).id();
    find(connection, id, plan, during).await.map_err(|f| f.explained_by(plan))
}

/// The canonical text of an id as a person wrote it. Returns `None` if it is no value of the key's type. That error would
/// end the transaction, so it runs in a savepoint.
pub(crate) async fn canonical(
    connection: &mut PgConnection,
    id: &str,
    plan: &CompiledPlan,
) -> Result<Option<String>, Failure> {
    let during = During::action("reading an id").id();
    let mut savepoint = connection.begin().await.or_failure(during)?;
    let found = find(&mut savepoint, id, plan, during).await;
    savepoint.rollback().await.or_failure(during)?;
    match found {
        Ok(found) => Ok(Some(found.key)),
        Err(failure) if failure.reason == Reason::InvalidOrganizationId => Ok(None),
        Err(failure) => Err(failure),
    }
}

impl Database {
    /// The canonical text of an id. Returns `None` if it is no value of the key's type.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn canonical(&self, id: &str, plan: &CompiledPlan) -> Result<Option<String>, Failure> {
        canonical(&mut *self.begin().await?, id, plan).await
    }
}

/// Locks the organization's row against everything, new references included.
pub(crate) async fn lock(connection: &mut PgConnection, key: &str, plan: &CompiledPlan) -> Result<Presence, Failure> {
    let table = plan.root.table.name();
    let during = During::table("locking the organization in", None, &table);
    match about(&plan.root.lock, key).fetch_optional(connection).await.or_failure(during)? {
        Some(row) => Ok(Presence::Present { active: row.try_get("active").or_failure(during)? }),
        None => Ok(Presence::Absent),
    }
}

/// Switches the organization on or off. Its own triggers and constraints may refuse.
pub(crate) async fn switch(
    connection: &mut PgConnection,
    key: &str,
    target: Activation,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    let unsupported = || plan.faults().map_or_else(deactivation_unsupported, Failure::from);
    let activation = plan.root.activation.as_ref().ok_or_else(unsupported)?;
    let statement = match target {
        Activation::Active => &activation.activate,
        Activation::Deactivated => &activation.deactivate,
    };
    let table = plan.root.table.name();
    let during = During::change("changing the activation of the organization in", None, &table);
    about(statement, key).execute(connection).await.map_err(|e| failure(&e, during))?;
    Ok(())
}
