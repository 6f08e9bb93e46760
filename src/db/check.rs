//! Looks at one organization as a deletion would before its first delete, in full or at a glance, and changes nothing.

use std::time::Duration;

use sqlx::Row as _;

use super::bind::{Captured, numbers, own, query};
use super::connect::Database;
use super::erase::{nothing_shared, preflight};
use super::error::{During, OrFailure as _, failure};
use crate::api::Reason;
use crate::domain::Failure;
use crate::domain::compile::CompiledPlan;
use crate::domain::facts::Presence;

/// What was seen of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Its key in canonical text.
    pub key: String,
    /// Whether it is there.
    pub organization: Presence,
    /// Rows outside that refer to its rows; None: there are none.
    pub blockers: Option<Failure>,
    /// Rows that belong to another organization as well; None: there are none.
    pub shared: Option<Failure>,
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
            .map_err(|e| plan.explain(failure(&e, during)))?;
        let key: String = row.try_get("key").or_failure(during)?;
        let present: bool = row.try_get("present").or_failure(during)?;
        let active = row.try_get("active").or_failure(during)?;
        let (mut blockers, mut shared) = (None, None);
        if let Some(erase) = &plan.erase {
            let outside = preflight(&mut tx, &key, erase.preflight.as_ref(), &Captured::new()).await;
            blockers = found(outside).map_err(|f| plan.explain(f))?;
            shared = found(nothing_shared(&mut tx, &key, erase.shared.as_ref()).await).map_err(|f| plan.explain(f))?;
            // What cannot be counted cannot be deleted: a value, for example, that does not fit the column it is compared with.
            numbers(&mut tx, &erase.inventory, &key, &Captured::new())
                .await
                .map_err(|e| plan.explain(failure(&e, During::action("counting"))))?;
        }
        tx.rollback().await.or_failure(during)?;
        Ok(Examined {
            key,
            organization: if present { Presence::Present { active } } else { Presence::Absent },
            blockers,
            shared,
            complete: plan.erase.is_some(),
        })
    }

    /// What would stand in the way of a deletion of the organization with this key, as far as a short look can tell. The
    /// first thing found is enough. None: nothing was found.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read; with `StatementTimeout` or `LockTimeout` when the
    /// look took longer than [`GLANCE_LIMIT`].
    pub async fn glance(&self, key: &str, plan: &CompiledPlan) -> Result<Option<Failure>, Failure> {
        let erase = plan.erase()?;
        if erase.glance.is_none() && erase.glance_shared.is_none() {
            return Ok(None);
        }
        let during = During::action("looking for what would block a deletion");
        let mut tx = self.begin().await?;
        let limit = GLANCE_LIMIT.min(self.settings().statement_timeout).as_millis().to_string();
        own("SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true)")
            .bind(limit)
            .execute(&mut *tx)
            .await
            .or_failure(during)?;
        let outside = preflight(&mut tx, key, erase.glance.as_ref(), &Captured::new()).await;
        let blocked = match found(outside)? {
            None => found(nothing_shared(&mut tx, key, erase.glance_shared.as_ref()).await)?,
            blocked => blocked,
        };
        tx.rollback().await.or_failure(during)?;
        Ok(blocked)
    }
}

/// Longest statement of a look while nobody deletes.
pub const GLANCE_LIMIT: Duration = Duration::from_secs(2);

/// Rows that stand in the way are an answer, and no failure of the look.
fn found(looked: Result<(), Failure>) -> Result<Option<Failure>, Failure> {
    match looked {
        Ok(()) => Ok(None),
        Err(failure) if failure.reason == Reason::ForeignKeyViolation => Ok(Some(failure)),
        Err(failure) => Err(failure),
    }
}
