//! Captures keys and locks rows before the first delete.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::unpaired;
use crate::domain::Failure;
use planner::StepId;

impl Run<'_> {
    /// Adds to what was captured before.
    pub(super) async fn capture(&mut self) -> Result<(), Failure> {
        for capture in &self.erase.captures {
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
        let values = (first..first + columns.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>()?;
        self.captured.add(step, columns, values).map_err(unpaired)
    }
}
