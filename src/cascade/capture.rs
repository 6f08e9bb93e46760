//! Captures keys and locks rows before the first delete.

use sqlx::postgres::PgRow;

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::captured;
use crate::domain::Failure;
use planner::StepId;
use planner::cascade::Exclusive;

impl Run<'_> {
    /// Adds to what was captured before. `exclusive` finds the rows to which only the organization's rows refer.
    pub(super) async fn capture(&mut self, exclusive: &[Exclusive]) -> Result<(), Failure> {
        self.capture_exclusive(exclusive).await?;
        let exclusive = |step: StepId| self.erase.exclusive.iter().any(|e| e.step == step);
        for capture in self.erase.captures.iter().filter(|c| !exclusive(c.step)) {
            let during = During::table("locking rows of", Some(&capture.table.entity), &capture.table.name);
            let row = self.row(&capture.statement, during).await?;
            if !capture.columns.is_empty() {
                self.keep_keys(capture.step, &row, 0, &capture.columns).or_failure(during)?;
            }
        }
        Ok(())
    }

    /// Adds captured columns of a row, beginning with its column number `first`.
    pub(super) fn keep_keys(
        &mut self,
        step: StepId,
        row: &PgRow,
        first: usize,
        columns: &[String],
    ) -> Result<(), sqlx::Error> {
        captured(&mut self.captured, step, row, first, columns)
    }
}
