//! All organizations at once, for the drift poller.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::connect::Database;
use super::error::{During, OrFailure as _};
use super::statement::about_all;
use crate::domain::Failure;
use planner::CompiledPlan;

/// What the drift poller compares of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantState {
    /// Whether it is active. `None` if the plan cannot tell.
    pub active: Option<bool>,
    /// The number of its users. `None` if the plan cannot tell.
    pub users: Option<i64>,
}

impl Database {
    /// Existence, activation and users of many organizations, in one query. A key that is missing in the answer is one of an
    /// organization that does not exist.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn tenants(&self, keys: &[String], plan: &CompiledPlan) -> Result<HashMap<String, TenantState>, Failure> {
        let during = During::action("querying all organizations");
        let statement = plan.cascade().map_or(&plan.root.observe_many, |c| &c.observe_many);
        let mut tx = self.begin().await?;
        // Row by row: all rows of ten thousand organizations are several times as large as what is kept of them.
        let found = about_all(statement, keys).fetch(&mut *tx).and_then(async |row| state(&row)).try_collect().await;
        let found = found.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(found)
    }
}

fn state(row: &PgRow) -> Result<(String, TenantState), sqlx::Error> {
    Ok((row.try_get("key")?, TenantState { active: row.try_get("active")?, users: row.try_get("users")? }))
}
