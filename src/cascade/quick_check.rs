//! What would block a deletion that nobody has asked for yet, as far as a short query can tell.

use std::time::Duration;

use super::exclusive;
use super::preflight::some_blockers;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::Failure;
use planner::CompiledPlan;
use planner::cascade::Preflight;

/// Longest statement of a quick check: nobody waits for its answer.
pub const QUICK_CHECK_LIMIT: Duration = Duration::from_secs(2);

impl Database {
    /// Checks what would block a deletion of the organization with this key. Returns `None` if it finds nothing.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read; with `StatementTimeout` or `LockTimeout` when a
    /// statement took longer than [`QUICK_CHECK_LIMIT`].
    pub async fn quick_check(&self, key: &str, plan: &CompiledPlan) -> Result<Option<Failure>, Failure> {
        let erase = plan.erase()?;
        if erase.quick_check == Preflight::default() {
            return Ok(None);
        }
        let during = During::action("checking for what would block a deletion");
        let mut tx = self.begin().await?;
        let limit = QUICK_CHECK_LIMIT.min(self.settings().statement_timeout).as_millis().to_string();
        own("SELECT set_config('statement_timeout', $1, true)")
            .bind(limit)
            .execute(&mut *tx)
            .await
            .or_failure(during)?;
        // It writes keys, and nothing to the platform's tables.
        let captured = exclusive::find_quickly(&mut tx, erase, key).await.or_failure(during)?;
        own("SET TRANSACTION READ ONLY").execute(&mut *tx).await.or_failure(during)?;
        let found = some_blockers(&mut tx, key, &erase.quick_check, &captured).await?;
        // The second query may have ended the transaction, and what the first one found still holds.
        let ended = tx.rollback().await.or_failure(during);
        Failure::blocked_by(&found).map_or_else(|| ended.map(|()| None), |blocked| Ok(Some(blocked)))
    }
}
