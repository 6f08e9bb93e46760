//! Looks at one organization as a deletion would before its first delete, and changes nothing.

use sqlx::Row as _;

use super::bind::{Captured, own, query};
use super::connect::Database;
use super::erase::preflight;
use super::error::{During, failure};
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
    /// The blockers were looked for. They cannot be while the plan has no statements.
    pub complete: bool,
}

impl Database {
    /// Looks for an organization, and for rows outside that refer to its rows, in a read-only transaction that is rolled
    /// back.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn examine(&self, id: &str, plan: &CompiledPlan) -> Result<Examined, Failure> {
        let during = During::action("looking at the organization");
        let mut tx = self.begin().await?;
        own("SET TRANSACTION READ ONLY").execute(&mut *tx).await.map_err(|e| failure(&e, during))?;
        let row = query(&plan.root.observe, id, &Captured::new())
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| plan.explain(failure(&e, during)))?;
        let read = |e: sqlx::Error| failure(&e, during);
        let key: String = row.try_get("key").map_err(read)?;
        let present: bool = row.try_get("present").map_err(read)?;
        let active = row.try_get("active").map_err(read)?;
        let blockers = match &plan.erase {
            None => None,
            Some(erase) => match preflight(&mut tx, &key, erase.preflight.as_ref(), &Captured::new()).await {
                Ok(()) => None,
                Err(f) if f.reason == crate::api::Reason::ForeignKeyViolation => Some(f),
                Err(f) => return Err(plan.explain(f)),
            },
        };
        tx.rollback().await.map_err(|e| failure(&e, during))?;
        Ok(Examined {
            key,
            organization: if present { Presence::Present { active } } else { Presence::Absent },
            blockers,
            complete: plan.erase.is_some(),
        })
    }
}
