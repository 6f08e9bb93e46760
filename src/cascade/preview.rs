//! What a deletion would delete. It changes nothing.

use super::exclusive;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::organization::{Found, find_by_id};
use crate::db::statement::counted;
use crate::domain::{Failure, facts::Presence};
use planner::CompiledPlan;
use planner::cascade::PlanTable;

/// An organization as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The key in the database's own spelling.
    pub key: String,
    /// Whether the organization is there, and active.
    pub organization: Presence,
    /// Rows of each table of the plan, counted up to `COUNT_LIMIT` + 1 except for users. `None` if names of the plan could not
    /// be resolved, so nothing can be counted.
    pub rows: Option<Vec<(PlanTable, i64)>>,
}

impl Database {
    /// Counts what a deletion would delete.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn preview(&self, id: &str, plan: &CompiledPlan) -> Result<Preview, Failure> {
        let mut tx = self.begin().await?;
        let Found { key, presence } = find_by_id(&mut tx, id, plan).await?;
        let during = During::action("counting");
        let rows = match plan.cascade() {
            Some(cascade) => {
                let captured = exclusive::find(&mut tx, cascade, &key).await;
                let captured = captured.or_failure(during).map_err(|f| f.explained_by(plan))?;
                let rows = counted(&mut tx, &cascade.inventory, &key, &captured).await;
                let rows = rows.or_failure(during).map_err(|f| f.explained_by(plan))?;
                Some(rows.into_iter().map(|(table, rows)| (table.clone(), rows)).collect())
            }
            None => None,
        };
        tx.rollback().await.or_failure(during)?;
        Ok(Preview { key, organization: presence, rows })
    }
}
