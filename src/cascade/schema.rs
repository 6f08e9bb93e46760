//! The schema stays as it is while a cascade runs.

use sqlx::PgConnection;

use super::run::Run;
use crate::api::Reason;
use crate::catalog;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{about, own};
use crate::domain::{Effect, Failure};
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
    if !fingerprint.enforces {
        return Err(nothing_enforced());
    }
    Ok(fingerprint.text == plan.fingerprint)
}

/// Foreign keys do not keep anybody from deleting what others refer to, and prove nothing.
fn nothing_enforced() -> Failure {
    Failure::new(
        Reason::SchemaMismatch,
        "the operator's sessions enforce no foreign key and fire no trigger, because session_replication_role is replica",
    )
    .effect(Effect::RolledBack)
    .remedy("ALTER ROLE ... RESET session_replication_role; for the operator's role, or ALTER DATABASE ... RESET session_replication_role;")
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
