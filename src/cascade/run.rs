//! A run of an erase plan.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::step;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{Keys, counted, query};
use crate::domain::Failure;
use planner::statement::Statement;
use planner::{ErasePlan, Query};

/// A run of an erase plan for one organization, in a transaction that the caller ends. Each file beside this one adds a step.
pub(super) struct Run<'a> {
    pub(super) connection: &'a mut PgConnection,
    /// The organization's key.
    pub(super) key: &'a str,
    pub(super) erase: &'a ErasePlan,
    pub(super) keys: Keys,
    /// Captured keys of parents that their delete did not delete.
    pub(super) unaccounted: i64,
}

impl Run<'_> {
    /// Runs a query that returns one number for each of its subjects.
    pub(super) async fn count<'q, S: Sync>(
        &mut self,
        query: &'q Query<S>,
        during: During<'_>,
    ) -> Result<Vec<(&'q S, i64)>, Failure> {
        step::tell(during, false);
        counted(self.connection, query, self.key, &self.keys).await.or_failure(during)
    }

    /// Runs a statement that returns one row.
    pub(super) async fn row(&mut self, statement: &Statement, during: During<'_>) -> Result<PgRow, Failure> {
        step::tell(during, false);
        query(statement, self.key, &self.keys).fetch_one(&mut *self.connection).await.or_failure(during)
    }

    /// Runs a statement that changes rows. Returns how many.
    pub(super) async fn change(&mut self, statement: &Statement, during: During<'_>) -> Result<u64, Failure> {
        step::tell(during, true);
        let done = query(statement, self.key, &self.keys).execute(&mut *self.connection).await;
        Ok(done.or_failure(during)?.rows_affected())
    }
}
