//! The statements that change the organization's rows.

use sqlx::Row as _;

use super::changed::{classified, not_one_organization, of_organization, rows_left, suppressed};
use super::partition::Locked;
use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::unpaired;
use crate::domain::Failure;
use planner::cascade::{Delete, DeletedTable, PlanTable};
use planner::query::Unpaired;

/// What was there right before the first delete.
pub(super) struct Before<'f> {
    /// The rows of each table. `None` if they were not counted.
    pub(super) found: Option<&'f [(&'f PlanTable, i64)]>,
    /// The organizations' own table.
    pub(super) organizations: &'f str,
    /// Whether the organization was there when it was locked.
    pub(super) present: bool,
    /// Partitions whose rows go with them.
    pub(super) partitions: &'f [Locked<'f>],
}

/// What is really gone.
#[derive(Default)]
pub(super) struct Gone<'a> {
    /// The rows of each table.
    pub(super) rows: Vec<(&'a PlanTable, i64)>,
    /// Rows of the organizations' own table.
    pub(super) organizations: i64,
}

impl<'a> Run<'a> {
    /// Sets to NULL the references because of which tables could not be deleted from one by one.
    pub(super) async fn detach(&mut self) -> Result<(), Failure> {
        for detach in &self.erase.detaches {
            let during = During::change("setting references to NULL in", None, &detach.table);
            self.change(&detach.statement, during).await.map_err(|f| classified(f, self.erase))?;
        }
        Ok(())
    }

    /// Runs deletes in order.
    pub(super) async fn delete(
        &mut self,
        deletes: impl Iterator<Item = &'a Delete> + Send,
        before: &Before<'_>,
    ) -> Result<Gone<'a>, Failure> {
        let mut gone = Gone::default();
        for delete in deletes {
            if delete.tables.is_empty() {
                gone.organizations += self.delete_organization(delete, before).await?;
            } else {
                self.delete_rows(delete, before, &mut gone).await?;
            }
        }
        Ok(gone)
    }

    /// Deletes from one table, or from several at once. If it deletes fewer rows of a table than were found, it counts them
    /// again as long as they can be found by parents that are still there: a trigger may suppress deletes.
    async fn delete_rows(
        &mut self,
        delete: &'a Delete,
        before: &Before<'_>,
        gone: &mut Gone<'a>,
    ) -> Result<(), Failure> {
        let names = delete.tables.iter().map(|of| of.table.name.as_str());
        let names: Vec<&str> = names.chain(delete.organization.then_some(before.organizations)).collect();
        let during = match delete.tables.as_slice() {
            [DeletedTable { table, .. }] if !delete.organization => {
                During::change("deleting from", Some(&table.entity), &table.name)
            }
            _ => During::changes("deleting from", &names),
        };
        let mut counted = Vec::new();
        for of in &delete.tables {
            // Triggers on other tables may have deleted some already.
            let counts = of.may_suppress && before.found.is_some();
            counted.push(if counts { sum(&self.count(&of.left, during).await?) } else { 0 });
        }
        let mut with_partitions = Vec::new();
        for of in &delete.tables {
            with_partitions.push(self.remove_partition(of, before.partitions).await?);
        }
        let at = gone.rows.len();
        self.run_delete(delete, during, before, gone).await.map_err(|failure| {
            let failure = classified(failure, self.erase);
            if delete.organization { of_organization(failure, before.organizations) } else { failure }
        })?;
        for ((_, deleted), with_partition) in gone.rows[at..].iter_mut().zip(with_partitions) {
            *deleted += with_partition;
        }
        let Some(found) = before.found else { return Ok(()) };
        for ((of, counted), (_, deleted)) in delete.tables.iter().zip(counted).zip(&gone.rows[at..]) {
            if *deleted < sum(found.iter().filter(|(table, _)| table.id == of.table.id)) {
                let left = self.count(&of.left, during).await?;
                if left.iter().any(|(_, rows)| *rows > 0) {
                    return Err(rows_left(&left));
                }
                if counted > *deleted {
                    return Err(suppressed(&of.table, counted - deleted));
                }
            }
        }
        Ok(())
    }

    /// Runs one delete, and adds what it deleted.
    async fn run_delete(
        &mut self,
        delete: &'a Delete,
        during: During<'_>,
        before: &Before<'_>,
        gone: &mut Gone<'a>,
    ) -> Result<(), Failure> {
        if let (true, [of]) = (delete.by_command, delete.tables.as_slice()) {
            let deleted = self.change(&delete.statement, during).await?;
            gone.rows.push((&of.table, i64::try_from(deleted).unwrap_or(i64::MAX)));
            return Ok(());
        }
        let row = self.row(&delete.statement, during).await?;
        let mut numbers = (0..row.len()).map(|at| row.try_get::<i64, _>(at).or_failure(during));
        let missing = || Err(unpaired(Unpaired { expected: row.len() + 1, found: row.len() })).or_failure(during);
        for of in &delete.tables {
            gone.rows.push((&of.table, numbers.next().unwrap_or_else(missing)?));
            self.unaccounted += numbers.next().unwrap_or_else(missing)?;
        }
        if delete.organization {
            gone.organizations += one_organization(numbers.next().unwrap_or_else(missing)?.unsigned_abs(), before)?;
        }
        Unpaired::check(row.len() - numbers.len(), row.len()).map_err(unpaired).or_failure(during)
    }

    /// Deletes the organization itself by a statement of its own.
    async fn delete_organization(&mut self, delete: &Delete, before: &Before<'_>) -> Result<i64, Failure> {
        let during = During::change("deleting the organization from", None, before.organizations);
        let rows = self.change(&delete.statement, during).await.map_err(|f| classified(f, self.erase))?;
        one_organization(rows, before)
    }
}

/// Exactly one row of the organizations' own table must be gone if the organization was there, and none if it was not.
fn one_organization(rows: u64, before: &Before<'_>) -> Result<i64, Failure> {
    if rows != u64::from(before.present) {
        return Err(not_one_organization(before.organizations, rows));
    }
    Ok(i64::from(before.present))
}

fn sum<'r>(rows: impl IntoIterator<Item = &'r (&'r PlanTable, i64)>) -> i64 {
    rows.into_iter().map(|(_, rows)| rows).sum()
}
