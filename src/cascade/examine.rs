//! Checks one organization as a deletion would before its first delete, and changes nothing.

use super::exclusive;
use super::preflight::blockers;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::organization::{Found, find};
use crate::db::statement::{counted, own};
use crate::db::transaction::server;
use crate::domain::Failure;
use crate::domain::facts::Presence;
use planner::{CompiledPlan, Finding};

/// What was found out about an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Its key in canonical text.
    pub key: String,
    /// Whether it is there.
    pub organization: Presence,
    /// Rows outside that refer to its rows, and rows that belong, or could belong, to another organization as well.
    pub blockers: Vec<Finding>,
    /// Tables of steps with `referencedBy` whose rows a standby cannot find, because that takes a table for the keys. Then nothing
    /// else was checked either: without these rows, what they refer to would seem to be referred to from outside.
    pub unfound: Vec<String>,
    /// The blockers are complete. They are not if the plan has no statements, or on a standby.
    pub complete: bool,
}

impl Database {
    /// Finds an organization, rows outside that refer to its rows, rows that also belong to another one, and whether its
    /// rows can be counted, in a read-only transaction that is rolled back.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn examine(&self, id: &str, plan: &CompiledPlan) -> Result<Examined, Failure> {
        let during = During::action("checking the organization").id();
        let mut tx = self.begin().await?;
        let Found { key, presence } = find(&mut tx, id, plan, during).await.map_err(|f| f.explained_by(plan))?;
        let mut found = Vec::new();
        if let Some(cascade) = plan.cascade() {
            if !cascade.exclusive.is_empty() && server(&mut tx).await?.standby {
                tx.rollback().await.or_failure(during)?;
                let unfound = cascade.exclusive.iter().map(|exclusive| exclusive.table.name.clone()).collect();
                return Ok(Examined { key, organization: presence, blockers: Vec::new(), unfound, complete: false });
            }
            // It writes keys, and nothing to the platform's tables.
            let captured = exclusive::find(&mut tx, cascade, &key).await;
            let captured = captured
                .or_failure(During::action("finding the rows to which nothing else refers"))
                .map_err(|f| f.explained_by(plan))?;
            own("SET TRANSACTION READ ONLY").execute(&mut *tx).await.or_failure(during)?;
            let blockers = blockers(&mut tx, &key, &cascade.preflight, &captured).await;
            found = blockers.map_err(|f| f.explained_by(plan))?;
            // What cannot be counted cannot be deleted: a value, for example, that does not fit the column it is compared with.
            let rows = counted(&mut tx, &cascade.inventory, &key, &captured).await;
            rows.or_failure(During::action("counting")).map_err(|f| f.explained_by(plan))?;
        }
        tx.rollback().await.or_failure(during)?;
        Ok(Examined {
            key,
            organization: presence,
            blockers: found,
            unfound: Vec::new(),
            complete: plan.cascade().is_some(),
        })
    }
}
