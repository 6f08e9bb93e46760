//! The statements that change the organization's rows.

use sqlx::Row as _;

use super::changed::{classified, not_one_organization, rows_left, suppressed};
use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::unpaired;
use crate::domain::Failure;
use planner::cascade::{Delete, PlanTable};
use planner::query::Unpaired;

impl<'a> Run<'a> {
    /// Sets to NULL the references that no order of deletion honours.
    pub(super) async fn detach(&mut self) -> Result<(), Failure> {
        for detach in &self.erase.detaches {
            let during = During::change("setting references to NULL in", None, &detach.table);
            self.change(&detach.statement, during).await.map_err(|f| classified(f, self.erase))?;
        }
        Ok(())
    }

    /// Runs deletes in order. Returns the rows that are really gone. `found` is what was counted before the first delete.
    pub(super) async fn delete(
        &mut self,
        deletes: impl Iterator<Item = &'a Delete> + Send,
        found: Option<&[(&PlanTable, i64)]>,
    ) -> Result<Vec<(&'a PlanTable, i64)>, Failure> {
        let mut deleted = Vec::new();
        for delete in deletes {
            let of_table = |all: &[(&PlanTable, i64)]| sum(all.iter().filter(|(table, _)| table.id == delete.table.id));
            deleted.push((&delete.table, self.delete_from(delete, found.map(of_table)).await?));
        }
        Ok(deleted)
    }

    /// Deletes from one table. If it deletes fewer rows than were found, it counts them again while their parents are still
    /// there: a trigger may suppress deletes.
    async fn delete_from(&mut self, delete: &Delete, found: Option<i64>) -> Result<i64, Failure> {
        let table = &delete.table;
        let during = During::change("deleting from", Some(&table.entity), &table.name);
        // Triggers on other tables may have deleted some already.
        let before =
            if delete.may_suppress && found.is_some() { sum(&self.count(&delete.left, during).await?) } else { 0 };
        let row = self.row(&delete.statement, during).await.map_err(|f| classified(f, self.erase))?;
        let deleted: i64 = row.try_get(0).or_failure(during)?;
        if found.is_some_and(|found| deleted < found) {
            let left = self.count(&delete.left, during).await?;
            if left.iter().any(|(_, rows)| *rows > 0) {
                return Err(rows_left(&left));
            }
            if before > deleted {
                return Err(suppressed(table, before - deleted));
            }
        }
        // Rows that appeared after the capture are parents too.
        let mut first = 1;
        for returned in &delete.returns {
            self.keep_keys(returned.step, &row, first, &returned.columns).or_failure(during)?;
            first += returned.columns.len();
        }
        Unpaired::check(first, row.len()).map_err(unpaired).or_failure(during)?;
        Ok(deleted)
    }

    /// Deletes the organization itself from its `table`: exactly one row if it was `present` when it was locked.
    pub(super) async fn delete_organization(&mut self, table: &str, present: bool) -> Result<i64, Failure> {
        let during = During::change("deleting the organization from", None, table);
        let rows = self.change(&self.erase.delete_organization, during).await.map_err(|f| classified(f, self.erase))?;
        if rows == u64::from(present) { Ok(i64::from(present)) } else { Err(not_one_organization(table, rows)) }
    }
}

fn sum<'r>(rows: impl IntoIterator<Item = &'r (&'r PlanTable, i64)>) -> i64 {
    rows.into_iter().map(|(_, rows)| rows).sum()
}
