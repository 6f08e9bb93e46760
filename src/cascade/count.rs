//! Counts an organization's rows.

use super::exclusive;
use crate::api::status::{EntityRows, Inventory};
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::counted;
use crate::domain::Failure;
use planner::CompiledPlan;
use planner::cascade::{USERS, capped};

impl Database {
    /// Counts the organization's rows: users exactly, the rest up to a limit. Returns `None` if the plan has no statements.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn inventory(&self, key: &str, plan: &CompiledPlan) -> Result<Option<Inventory>, Failure> {
        let Some(cascade) = plan.cascade() else { return Ok(None) };
        let mut tx = self.begin().await?;
        let during = During::action("counting");
        let captured = exclusive::find(&mut tx, cascade, key).await.or_failure(during)?;
        let rows = counted(&mut tx, &cascade.inventory, key, &captured).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        let entities: Vec<EntityRows> = cascade
            .by_entity(&rows)
            .into_iter()
            .map(|(entity, rows)| {
                let (rows, capped) = capped(&entity.name, rows);
                EntityRows { entity: entity.name.clone(), rows, capped }
            })
            .collect();
        Ok(Some(Inventory {
            users: entities.iter().find(|e| e.entity == USERS).map(|e| e.rows),
            total: entities.iter().map(|e| e.rows).sum(),
            entities,
            observed_time: None,
        }))
    }

    /// How many rows of the plan exist for this key, whether or not the organization does.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read.
    pub async fn rows(&self, key: &str, plan: &CompiledPlan) -> Result<i64, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let during = During::action("counting");
        let captured = exclusive::find(&mut tx, erase, key).await.or_failure(during)?;
        let rows = counted(&mut tx, &erase.count, key, &captured).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(rows.iter().map(|(_, rows)| rows).sum())
    }
}
