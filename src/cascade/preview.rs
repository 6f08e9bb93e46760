//! What a deletion would take, without touching anything.

use sqlx::{PgConnection, Row as _};

use crate::db::Database;
use crate::db::bind::{counted, query};
use crate::db::error::{During, OrFailure as _, failure};
use crate::domain::{Failure, facts::Presence};
use planner::cascade::PlanTable;
use planner::{CapturedKeys, CompiledPlan};

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
    /// Counts what a deletion would take.
    ///
    /// # Errors
    /// Fails when the database cannot be read or the id is no value of the key's type.
    pub async fn preview(&self, id: &str, plan: &CompiledPlan) -> Result<Preview, Failure> {
        let mut tx = self.begin().await?;
        let (key, organization) = find(&mut tx, id, plan).await?;
        let during = During::action("counting");
        let rows = match plan.cascade() {
            Some(cascade) => {
                let rows = counted(&mut tx, &cascade.inventory, &key, &CapturedKeys::default()).await;
                let rows = rows.or_failure(during).map_err(|f| f.explained_by(plan))?;
                Some(rows.into_iter().map(|(table, rows)| (table.clone(), rows)).collect())
            }
            None => None,
        };
        tx.rollback().await.or_failure(during)?;
        Ok(Preview { key, organization, rows })
    }
}

/// The canonical key of an id, and whether there is such an organization.
pub(super) async fn find(
    connection: &mut PgConnection,
    id: &str,
    plan: &CompiledPlan,
) -> Result<(String, Presence), Failure> {
    let table = plan.root.table.name();
    let during = During::table("looking for the organization in", None, &table).id();
    let refused = |e: sqlx::Error| failure(&e, during).explained_by(plan);
    let row = query(&plan.root.observe, id, &CapturedKeys::default()).fetch_one(connection).await.map_err(refused)?;
    let present: bool = row.try_get("present").map_err(refused)?;
    let active: Option<bool> = row.try_get("active").map_err(refused)?;
    let organization = if present { Presence::Present { active } } else { Presence::Absent };
    Ok((row.try_get("key").map_err(refused)?, organization))
}
