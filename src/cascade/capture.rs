//! Captures keys and locks rows before the first delete.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{captured, unpaired};
use crate::domain::Failure;
use planner::StepId;
use planner::cascade::Exclusive;

impl Run<'_> {
    /// Adds to what was captured before. `exclusive` finds the rows to which only the organization's rows refer.
    pub(super) async fn capture(&mut self, exclusive: &[Exclusive]) -> Result<(), Failure> {
        self.capture_exclusive(exclusive).await?;
        for capture in self.erase.captures.iter().filter(|c| !self.erase.is_exclusive(c.step)) {
            let during = During::table("locking rows of", Some(&capture.table.entity), &capture.table.name);
            let row = self.row(&capture.statement, during).await?;
            if !capture.columns.is_empty() {
                self.keep_keys(capture.step, &row, 0, &capture.columns).or_failure(during)?;
            }
        }
        Ok(())
    }

    /// Forgets the parts of keys that a row outside has as well. The preflight after it finds the child rows that have one; if
    /// there is none, such a parent says nothing about what is deleted.
    pub(super) async fn forget_shared_parts(&mut self) -> Result<(), Failure> {
        let during = During::action("checking for parts of keys that other rows have as well");
        for shared in &self.erase.parents_shared {
            let row = self.row(&shared.statement, during).await?;
            let shared_by: Vec<bool> = row.try_get(0).or_failure(during)?;
            self.captured
                .forget_shared_part(shared.step, &shared.columns, &shared_by)
                .map_err(unpaired)
                .or_failure(during)?;
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
