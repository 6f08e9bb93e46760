//! Looks at one organization as a deletion would before its first delete, in full or by a quick check, and changes nothing.

use std::time::Duration;

use sqlx::Row as _;

use super::bind::{Captured, numbers, own, query};
use super::connect::Database;
use super::erase::blockers;
use super::error::{During, OrFailure as _, failure};
use crate::domain::Failure;
use crate::domain::facts::Presence;
use planner::{CompiledPlan, Finding};

/// What was seen of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Its key in canonical text.
    pub key: String,
    /// Whether it is there.
    pub organization: Presence,
    /// Rows outside that refer to its rows, and rows that belong to another organization as well.
    pub blockers: Vec<Finding>,
    /// Both were looked for. They cannot be while the plan has no statements.
    pub complete: bool,
}

impl Database {
    /// Looks for an organization, for rows outside that refer to its rows, and for rows that are another one's as well, and
    /// whether its rows can be counted, in a read-only transaction that is rolled back.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn examine(&self, id: &str, plan: &CompiledPlan) -> Result<Examined, Failure> {
        let during = During::action("looking at the organization").id();
        let mut tx = self.begin().await?;
        own("SET TRANSACTION READ ONLY").execute(&mut *tx).await.or_failure(during)?;
        let row = query(&plan.root.observe, id, &Captured::new())
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| failure(&e, during).explained_by(plan))?;
        let key: String = row.try_get("key").or_failure(during)?;
        let present: bool = row.try_get("present").or_failure(during)?;
        let active = row.try_get("active").or_failure(during)?;
        let mut found = Vec::new();
        if let Some(cascade) = plan.cascade() {
            let (references, shared) = (cascade.preflight.as_ref(), cascade.shared.as_ref());
            found = blockers(&mut tx, &key, references, shared, &Captured::new())
                .await
                .map_err(|f| f.explained_by(plan))?;
            // What cannot be counted cannot be deleted: a value, for example, that does not fit the column it is compared with.
            numbers(&mut tx, &cascade.inventory, &key, &Captured::new())
                .await
                .map_err(|e| failure(&e, During::action("counting")).explained_by(plan))?;
        }
        tx.rollback().await.or_failure(during)?;
        Ok(Examined {
            key,
            organization: if present { Presence::Present { active } } else { Presence::Absent },
            blockers: found,
            complete: plan.cascade().is_some(),
        })
    }

    /// What would stand in the way of a deletion of the organization with this key, as far as a short look can tell. The
    /// first thing found is enough. None: nothing was found.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read; with `StatementTimeout` or `LockTimeout` when the
    /// look took longer than [`QUICK_CHECK_LIMIT`].
    pub async fn quick_check(&self, key: &str, plan: &CompiledPlan) -> Result<Option<Failure>, Failure> {
        let erase = plan.erase()?;
        if erase.quick_check.is_none() && erase.quick_shared.is_none() {
            return Ok(None);
        }
        let during = During::action("looking for what would block a deletion");
        let mut tx = self.begin().await?;
        let limit = QUICK_CHECK_LIMIT.min(self.settings().statement_timeout).as_millis().to_string();
        own("SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true)")
            .bind(limit)
            .execute(&mut *tx)
            .await
            .or_failure(during)?;
        let (references, shared) = (erase.quick_check.as_ref(), erase.quick_shared.as_ref());
        let found = blockers(&mut tx, key, references, shared, &Captured::new()).await?;
        tx.rollback().await.or_failure(during)?;
        Ok(Failure::blocked_by(&found))
    }
}

/// Longest statement of a look while nobody deletes.
pub const QUICK_CHECK_LIMIT: Duration = Duration::from_secs(2);
