//! Rows that belong to no organization: counted when somebody asks, never in the course of a deletion.

use std::time::Duration;

use crate::api::Reason;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{Keys, counted, own};
use crate::domain::Failure;
use planner::cascade::NobodysRows;
use planner::{CompiledPlan, Finding, Query, nobodys};

/// Longest count of one table: without an index it scans the whole table.
pub const NOBODYS_ROWS_LIMIT: Duration = Duration::from_secs(5);

impl Database {
    /// Counts, up to a limit, the rows of each table of the plan that belong to no organization. A table for which that takes
    /// too long has a finding that says so. One that the role may not read has none: it is a fault of the plan.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn nobodys_rows(&self, plan: &CompiledPlan) -> Result<Vec<Finding>, Failure> {
        let limit = NOBODYS_ROWS_LIMIT.min(self.settings().statement_timeout);
        let mut found = Vec::new();
        for query in plan.cascade().into_iter().flat_map(|c| &c.nobodys_rows) {
            match self.rows_of_nobody(query, limit).await {
                Ok(rows) => {
                    found.extend(rows.into_iter().filter_map(|(table, rows)| nobodys::nobodys_rows(table, rows)));
                }
                Err(failure) => match failure.reason {
                    Reason::StatementTimeout | Reason::LockTimeout => {
                        found.extend(query.subjects().iter().map(|t| nobodys::uncounted_rows(t, failure.what())));
                    }
                    Reason::PermissionDenied if plan.faults().is_some_and(planner::Faults::any_access) => {}
                    _ => return Err(failure),
                },
            }
        }
        Ok(found)
    }

    /// In a transaction of its own: a statement that takes too long ends it.
    async fn rows_of_nobody<'q>(
        &self,
        query: &'q Query<NobodysRows>,
        limit: Duration,
    ) -> Result<Vec<(&'q NobodysRows, i64)>, Failure> {
        let table = query.subjects().first();
        let during = table.map_or_else(During::default, |t| {
            During::table("counting rows that belong to no organization in", Some(&t.entity), &t.table)
        });
        let mut tx = self.begin().await?;
        own("SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true)")
            .bind(limit.as_millis().to_string())
            .execute(&mut *tx)
            .await
            .or_failure(during)?;
        let rows = counted(&mut tx, query, "", &Keys::none()).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(rows)
    }
}
