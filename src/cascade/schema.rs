//! The schema stays as it is while a cascade runs.

use sqlx::PgConnection;

use super::run::Run;
use crate::catalog;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{about, own};
use crate::domain::Failure;
use planner::CompiledPlan;

/// Keeps the schema of the plan's tables from changing until the transaction ends, and says whether it is still the one that
/// the plan was compiled against.
pub(super) async fn unchanged(connection: &mut PgConnection, plan: &CompiledPlan) -> Result<bool, Failure> {
    let erase = plan.erase()?;
    for lock in erase.lock_partitioned.iter().chain([&erase.lock_tables]) {
        let during = During::action("locking the plan's tables against changes of the schema");
        about(lock, "").execute(&mut *connection).await.or_failure(during)?;
    }
    let fingerprint =
        catalog::fingerprint(connection, plan).await.or_failure(During::action("reading the catalogue"))?;
    Ok(fingerprint == plan.fingerprint)
}

impl Run<'_> {
    /// Moves the checks of deferrable constraints to COMMIT.
    pub(super) async fn defer_constraints(&mut self) -> Result<(), Failure> {
        if self.erase.defer_constraints {
            let during = During::action("deferring constraints");
            own("SET CONSTRAINTS ALL DEFERRED").execute(&mut *self.connection).await.or_failure(during)?;
        }
        Ok(())
    }
}
